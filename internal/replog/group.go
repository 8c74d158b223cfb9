package replog

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/millrace-mq/millrace/internal/wal"
)

// Group is a replica of a replicated log. Its methods may be called by any
// goroutine.
type Group struct {
	// constant
	host       *Host
	id         uint64
	replica    uint64
	machine    StateMachine
	maxCommand int
	ended      chan struct{} // closed when the group has stopped

	// shown to others, set by the worker
	shown    atomic.Pointer[Leadership]
	commit   atomic.Uint64
	applied  atomic.Uint64
	tooFew   atomic.Bool
	settings atomic.Pointer[Settings]

	// mu guards the input. See schedule.go.
	mu struct {
		sync.Mutex
		run     runState
		in      input
		spare   input // empty, with its arrays
		waiting int   // bytes proposed and without an outcome
		ended   bool
	}

	// owned by the worker that runs the group
	raft     *raft.RawNode
	store    *storage
	driver   driver
	lead     Leadership // as shown
	term     uint64
	state    raft.StateType
	ready    bool   // the first entry of this term is applied
	passed   uint64 // the machine has applied everything up to here
	inFlight []proposed
	numbered int               // of inFlight, those whose index is known
	changing bool              // a change of members is on its way
	heard    map[uint64]uint64 // nodes of replicas that are not known as members yet
	held     []frame           // waits for raft to take proposals again
	unacked  []answered        // applied, waits for replicas
	sync     inSync            // which replicas are
	quiet    int               // ticks since the last business
	ticking  bool              // is among the active
	err      error             // why the group stopped working
	snap     snapshotter       // when to take the next one
	entries  []Entry           // for reuse
	commands []Command
}

// input is what a turn works on.
type input struct {
	messages []received
	frames   []frame
	written  []*write
	controls []func()
	ticks    int
}

// received is a message and the node that it came from.
type received struct {
	node uint64
	m    *raftpb.Message
}

// newGroup restores a replica from the log. It runs once begin was called.
func newGroup(h *Host, cfg GroupConfig) (*Group, error) {
	store, env, err := openStorage(h.opt.Log, cfg.ID)
	if err != nil {
		return nil, err
	}
	g := &Group{
		host: h, id: cfg.ID, replica: cfg.Replica, machine: cfg.Machine, store: store,
		ended: make(chan struct{}), passed: env.applied,
		maxCommand: h.opt.Log.MaxEntry() - frameHeader,
	}
	g.settings.Store(&cfg.Settings)
	g.shown.Store(&Leadership{})
	if err := g.machine.Restore(machineIndex(env.applied), env.data); err != nil {
		return nil, fmt.Errorf("replog: group %d: restoring its machine: %w", g.id, err)
	}
	g.snap.took(env.applied, len(env.data))
	g.raft, err = raft.NewRawNode(&raft.Config{
		ID: cfg.Replica, ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: store,
		// Entries up to there were applied before the snapshot was taken.
		Applied:            min(env.applied, store.state.Commit),
		AsyncStorageWrites: !h.opt.Synchronous, CheckQuorum: true, PreVote: true, StepDownOnRemoval: true,
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 4 << 20,
		MaxInflightMsgs: 256, MaxInflightBytes: 16 << 20,
		MaxUncommittedEntriesSize: uint64(h.opt.MaxUncommitted),
		DisableProposalForwarding: true, Logger: raftLogger{h.opt.Logger.With("group", cfg.ID)},
	})
	if err != nil {
		return nil, err
	}
	g.applied.Store(g.passed)
	g.commit.Store(store.state.Commit)
	g.driver = asyncDriver{g}
	if h.opt.Synchronous {
		g.driver = &syncDriver{g: g}
	}
	g.ticking = true
	return g, nil
}

// machineIndex is what a machine is told of an index: 0 in a new group, whose
// first entry is not the machine's.
func machineIndex(i uint64) uint64 {
	if i <= firstIndex {
		return 0
	}
	return i
}

// ID is the group's number, Replica this replica's.
func (g *Group) ID() uint64      { return g.id }
func (g *Group) Replica() uint64 { return g.replica }

// Leadership tells who leads, as far as this replica knows.
func (g *Group) Leadership() Leadership { return *g.shown.Load() }

// Applied is the index up to which the machine has applied the log, Commit the
// index up to which it is known to be committed.
func (g *Group) Applied() uint64 { return g.applied.Load() }
func (g *Group) Commit() uint64  { return g.commit.Load() }

// Settings are those in force.
func (g *Group) Settings() Settings { return *g.settings.Load() }

// SetSettings changes them; it binds proposals that have no outcome yet, too.
func (g *Group) SetSettings(s Settings) {
	g.settings.Store(&s)
	g.control(func() {})
}

// begin lets a lone voter lead at once.
func (g *Group) begin() {
	c := g.conf()
	if len(c.state.Voters) == 1 && c.state.Voters[0] == g.replica && len(c.state.VotersOutgoing) == 0 {
		_ = g.raft.Campaign() // refused only while a change of members is pending; then the timer does it
	}
}

// Campaign makes this replica stand for election.
func (g *Group) Campaign() {
	g.control(func() { _ = g.raft.Campaign() }) // as in begin
}

// Transfer asks the leader, if this is it, to hand over to another replica.
func (g *Group) Transfer(replica uint64) {
	g.control(func() {
		if g.leads() {
			g.raft.TransferLeader(replica)
		}
	})
}

func (g *Group) leads() bool { return g.state == raft.StateLeader && g.err == nil }

// receive takes a message from another replica, on a node.
func (g *Group) receive(node uint64, m *raftpb.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended {
		return
	}
	// A follower that floods a slow replica is cut off: raft sends it again.
	const most = 4096
	if len(g.mu.in.messages) >= most {
		return
	}
	g.mu.in.messages = append(g.mu.in.messages, received{node, m})
	g.wake()
}

// control runs f in the next turn, or at once if the group has ended.
func (g *Group) control(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended {
		return
	}
	g.mu.in.controls = append(g.mu.in.controls, f)
	g.wake()
}

// takeInput takes what there is. g.mu is held.
func (g *Group) takeInput() input {
	in := g.mu.in
	g.mu.in, g.mu.spare = g.mu.spare, input{}
	return in
}

// giveBack keeps the arrays of an input that was worked on. g.mu is held.
func (g *Group) giveBack(in *input) {
	const most = 1024 // a group that was busy once keeps no large arrays
	if cap(in.messages)+cap(in.frames)+cap(in.written) > most {
		return
	}
	clear(in.messages)
	clear(in.frames)
	clear(in.written)
	clear(in.controls)
	g.mu.spare = input{
		messages: in.messages[:0], frames: in.frames[:0], written: in.written[:0], controls: in.controls[:0],
	}
}

// turn works on input, then on what raft makes of it.
func (g *Group) turn(in *input) {
	if g.err == nil {
		for _, w := range in.written {
			g.driver.written(w)
		}
		for _, r := range in.messages {
			if _, ok := g.conf().nodes[r.m.GetFrom()]; !ok {
				g.hear(r)
			}
			g.stepMessage(r.m)
		}
	}
	for _, f := range in.controls {
		f()
	}
	if g.err != nil {
		g.refuseFrames(in.frames, ErrStopped)
		return
	}
	for range in.ticks {
		g.tick()
	}
	g.noteState()
	g.proposeAll(in.frames)
	for g.err == nil && g.driver.work() {
	}
	if g.err != nil {
		return
	}
	g.acknowledge()
	g.upkeep()
	g.rest(in)
}

// hear remembers where a replica is that this one does not know as a member: it
// joins, and the leader is about to tell it everything.
func (g *Group) hear(r received) {
	const most = 16
	if len(g.heard) >= most {
		return
	}
	if g.heard == nil {
		g.heard = make(map[uint64]uint64)
	}
	g.heard[r.m.GetFrom()] = r.node
}

// stepMessage hands a message from another replica to raft.
func (g *Group) stepMessage(m *raftpb.Message) {
	if t := m.GetType(); (t == raftpb.MsgVote || t == raftpb.MsgPreVote) && m.GetFrom() == g.lead.Leader && g.lead.Leader != 0 {
		// Who asks for votes leads no longer. Idle followers are not ticked, so
		// that without this they would hold to a leader that has resigned.
		_ = g.raft.ForgetLeader() // cannot fail
	}
	if m.GetType() == raftpb.MsgApp && g.host.opt.Log.Full() {
		return // sent again when there is room
	}
	// Errors are for messages of replicas that are no members any more.
	_ = g.raft.Step(m)
}

// fail stops the group after an error of its disk or machine.
func (g *Group) fail(err error) {
	if g.err != nil {
		return
	}
	g.err = err
	g.host.opt.Logger.Error("group stopped", "group", g.id, "err", err)
	g.abandon(ErrStopped)
	g.show(Leadership{Term: g.term})
	g.host.deactivate(g)
}

// end stops the group for good.
func (g *Group) end(err error) {
	g.mu.Lock()
	if g.mu.ended {
		g.mu.Unlock()
		return
	}
	g.mu.ended = true
	frames := g.mu.in.frames
	g.mu.in = input{}
	g.mu.Unlock()
	g.refuseFrames(frames, err)
	if g.err == nil {
		g.err = err
		g.abandon(err)
		g.show(Leadership{Term: g.term})
	}
	g.host.deactivate(g)
	close(g.ended)
}

// send hands messages for other replicas to the transport.
func (g *Group) send(m *raftpb.Message) {
	if g.host.opt.Transport == nil {
		return
	}
	node, ok := g.conf().nodes[m.GetTo()]
	if !ok {
		if node, ok = g.heard[m.GetTo()]; !ok {
			return
		}
	}
	g.host.opt.Transport.Send(node, g.id, m)
}

// show tells the machine and everyone else who leads.
func (g *Group) show(l Leadership) {
	if l == g.lead {
		return
	}
	g.lead = l
	g.shown.Store(&l)
	g.machine.Lead(l)
}

// noteState follows a change of raft's role or term.
func (g *Group) noteState() {
	s := g.raft.BasicStatus()
	g.commit.Store(s.GetCommit())
	if s.GetTerm() == g.term && s.RaftState == g.state && s.Lead == g.lead.Leader {
		return
	}
	if s.GetTerm() != g.term || s.RaftState != raft.StateLeader {
		g.ready, g.changing = false, false
		// Whatever is on its way may be committed by the next leader, or not.
		g.abandon(&NotLeaderError{Group: g.id, Leader: s.Lead, Node: g.nodeOf(s.Lead)})
		g.sync.forget()
		g.tooFew.Store(false)
	}
	g.term, g.state = s.GetTerm(), s.RaftState
	g.showRole(s.Lead)
}

func (g *Group) showRole(leader uint64) {
	g.show(Leadership{
		Term: g.term, Leader: leader, Node: g.nodeOf(leader),
		Mine: leader == g.replica && g.state == raft.StateLeader && g.ready,
	})
}

func (g *Group) nodeOf(replica uint64) uint64 {
	return g.conf().nodes[replica]
}

func sortGroups(gs []*Group) {
	slices.SortFunc(gs, func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
}

func snapshotStatus(ok bool) raft.SnapshotStatus {
	if ok {
		return raft.SnapshotFinish
	}
	return raft.SnapshotFailure
}

var _ wal.Waiter = (*write)(nil)
