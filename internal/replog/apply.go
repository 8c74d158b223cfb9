package replog

import (
	"encoding/binary"
	"fmt"
	"go.etcd.io/raft/v3"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/millrace-mq/millrace/internal/wal"
)

// apply hands committed entries to the machine, and their results to whoever
// proposed them.
func (g *Group) apply(es []*raftpb.Entry) bool {
	g.entries, g.commands = g.entries[:0], g.commands[:0]
	bytes := 0
	for _, e := range es {
		bytes += len(e.GetData()) + 64
		switch {
		case e.GetType() != raftpb.EntryNormal:
			if !g.applyToMachine() || !g.applyConfChange(e) {
				return false
			}
		case len(e.GetData()) == 0: // the first entry of a leader
			if !g.applyToMachine() {
				return false
			}
			g.passed = max(g.passed, e.GetIndex())
			if e.GetTerm() == g.term && g.leads() && !g.ready {
				g.ready = true
				g.showRole(g.replica)
			}
		case e.GetIndex() <= g.passed:
			// Contained in the snapshot that the machine was restored from.
		default:
			if !g.addEntry(e) {
				return false
			}
		}
	}
	if !g.applyToMachine() {
		return false
	}
	g.applied.Store(g.passed)
	g.snap.bytes += bytes
	g.store.unwritten += bytes
	g.store.unbased += bytes
	return true
}

// addEntry decodes an entry for the next call of the machine.
func (g *Group) addEntry(e *raftpb.Entry) bool {
	from := len(g.commands)
	var err error
	if g.commands, err = appendCommands(g.commands, e.GetData()); err != nil {
		g.fail(fmt.Errorf("group %d, entry %d: %w", g.id, e.GetIndex(), err))
		return false
	}
	// The commands are cut out of g.commands only when it has stopped growing.
	g.entries = append(g.entries, Entry{Index: e.GetIndex(), Term: e.GetTerm(), Commands: g.commands[from:]})
	return true
}

// applyToMachine applies the entries that were gathered.
func (g *Group) applyToMachine() bool {
	if len(g.entries) == 0 {
		return true
	}
	cutCommands(g.entries, g.commands)
	g.machine.Apply(g.entries)
	g.passed = g.entries[len(g.entries)-1].Index
	for i := range g.entries {
		g.answer(&g.entries[i])
	}
	clear(g.entries)
	clear(g.commands)
	g.entries, g.commands = g.entries[:0], g.commands[:0]
	const most = 4096 // entries and commands that are kept room for
	if cap(g.commands) > most {
		g.entries, g.commands = nil, nil
	}
	return true
}

// answer takes an applied entry to its proposers, or to those who wait for
// replicas.
func (g *Group) answer(e *Entry) {
	p, ok := g.takeApplied(e.Index, e.Term)
	if !ok || p.done {
		return
	}
	a := answered{index: e.Index, term: e.Term, who: p.who}
	if len(g.unacked) > 0 || !g.enough(e.Index) {
		a.results = make([]Result, len(e.Commands))
		for i := range e.Commands {
			a.results[i] = e.Commands[i].Result
		}
		g.unacked = append(g.unacked, a)
		return
	}
	for i, w := range a.who {
		if w != nil && i < len(e.Commands) {
			w.Proposed(Outcome{Index: e.Index, Term: e.Term, Command: i, Result: e.Commands[i].Result})
		}
	}
}

// MemberChange adds a replica, promotes a learner, or removes one.
type MemberChange struct {
	Member
	Remove bool
}

// ChangeMembers proposes a change of the members, one replica at a time or
// several at once (then by a joint membership). The Proposer is told when it is
// committed here. Only the leader can; a change that is made before the last one
// is applied is ignored by raft, and ends with ErrBusy.
func (g *Group) ChangeMembers(changes []MemberChange, p Proposer) error {
	cc := &raftpb.ConfChangeV2{}
	var ctx []byte
	for _, c := range changes {
		t := raftpb.ConfChangeAddNode
		switch {
		case c.Remove:
			t = raftpb.ConfChangeRemoveNode
		case c.Learner:
			t = raftpb.ConfChangeAddLearnerNode
		}
		cc.Changes = append(cc.Changes, &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: new(c.Replica)})
		if !c.Remove {
			ctx = binary.AppendUvarint(binary.AppendUvarint(ctx, c.Replica), c.Node)
		}
	}
	cc.Context = ctx
	data, err := proto.Marshal(cc)
	if err != nil {
		return err
	}
	if l := g.Leadership(); !l.Mine {
		return &NotLeaderError{Group: g.id, Leader: l.Leader, Node: l.Node}
	}
	g.control(func() {
		f := frame{data: data, who: []Proposer{p}, typ: raftpb.EntryConfChangeV2}
		switch {
		case !g.leads():
			g.refuseFrames([]frame{f}, &NotLeaderError{Group: g.id, Leader: g.lead.Leader, Node: g.lead.Node})
		case g.changing || len(g.conf().state.VotersOutgoing) > 0 || g.step([]frame{f}) != nil:
			g.refuseFrames([]frame{f}, ErrBusy)
		default:
			g.changing = true
		}
	})
	return nil
}

// applyConfChange applies a change of the members. Those that the snapshot knew
// from which the replica started are passed over, as the machine passes over
// entries: raft was told the newest members, not those at the base of the log.
func (g *Group) applyConfChange(e *raftpb.Entry) bool {
	g.passed = max(g.passed, e.GetIndex())
	if e.GetIndex() <= g.conf().index {
		return true
	}
	var cc raftpb.ConfChangeI
	v2 := &raftpb.ConfChangeV2{}
	err := proto.Unmarshal(e.GetData(), v2)
	cc = v2
	if e.GetType() == raftpb.EntryConfChange {
		v1 := &raftpb.ConfChange{}
		err = proto.Unmarshal(e.GetData(), v1)
		cc = v1
	}
	if err != nil {
		g.fail(fmt.Errorf("group %d, entry %d: %w", g.id, e.GetIndex(), err))
		return false
	}
	added := make(map[uint64]uint64)
	for d := (decoder{b: cc.AsV2().GetContext()}); len(d.b) > 0 && !d.bad; {
		r := d.uvarint()
		added[r] = d.uvarint()
	}
	state := g.raft.ApplyConfChange(cc)
	g.store.conf = g.conf().change(e.GetIndex(), state, added)
	g.changing = false
	g.sync.forget()
	g.snap.due = true // so that a restart knows the members early
	g.answer(&Entry{Index: e.GetIndex(), Term: e.GetTerm(), Commands: make([]Command, 1)})
	if lead := g.raft.BasicStatus().Lead; lead != raft.None && g.nodeOf(lead) == 0 {
		g.replaceLeader(lead) // it has left the group
	}
	return true
}

// install takes a snapshot from the leader over: into the update for the disk,
// the storage and the machine.
func (g *Group) install(snap *raftpb.Snapshot, u *wal.Update) bool {
	env, err := decodeEnvelope(snap.GetData())
	meta := snap.GetMetadata()
	if err == nil && env.applied < meta.GetIndex() {
		err = errEnvelope
	}
	if err != nil {
		g.fail(fmt.Errorf("group %d: snapshot from the leader: %w", g.id, err))
		return false
	}
	u.Snapshot = &wal.Snapshot{Index: env.applied, Data: snap.GetData()}
	u.Base = &wal.Base{Index: meta.GetIndex(), Term: meta.GetTerm(), Reset: true}
	g.store.reset(wal.Base{Index: meta.GetIndex(), Term: meta.GetTerm()})
	if env.applied <= g.passed {
		return true // the machine is further, and so are the members
	}
	g.store.conf = env.conf
	if err := g.machine.Restore(machineIndex(env.applied), env.data); err != nil {
		g.fail(fmt.Errorf("group %d: restoring the leader's snapshot: %w", g.id, err))
		return false
	}
	g.passed = env.applied
	g.applied.Store(g.passed)
	g.snap.took(env.applied, len(env.data))
	return true
}

// snapshotter knows when the machine's next snapshot is due.
type snapshotter struct {
	index uint64 // of the last one
	size  int    // of the last one
	bytes int    // applied since
	due   bool   // whatever bytes says
}

func (s *snapshotter) took(index uint64, size int) { *s = snapshotter{index: index, size: size} }

// recentBytes is how much of the newest log a busy group with other replicas
// keeps in memory for them.
const recentBytes = 256 << 10

// upkeep takes a snapshot if one is due, and drops what the machine no longer
// needs and a snapshot covers. Both go to the disk with whatever is written
// next: nothing depends on when.
func (g *Group) upkeep() {
	s := &g.snap
	if s.bytes >= max(g.host.opt.SnapshotBytes, 32*s.size) || s.due || g.store.asked {
		if !g.takeSnapshot() {
			return
		}
	}
	applied := g.raft.BasicStatus().Applied
	base := min(s.index, applied, g.store.durable)
	if f := g.machine.Floor(); f > 0 {
		base = min(base, f-1)
	} else {
		base = 0
	}
	if base > g.store.base.Index && g.store.worthCompacting(base) {
		if err := g.store.compact(base); err != nil {
			g.fail(fmt.Errorf("group %d: compacting to %d: %w", g.id, base, err))
			return
		}
		g.check(g.host.opt.Log.Append(&wal.Update{Group: g.id, Base: &g.store.base}, nil))
	}
	keep := 0
	if len(g.conf().nodes) > 1 {
		keep = recentBytes
	}
	g.store.forget(applied, keep)
}

func (g *Group) takeSnapshot() bool {
	var w wal.Waiter
	if g.store.asked {
		w = flushed{g} // a follower waits for it
	}
	g.store.asked, g.snap.due = false, false
	if g.passed <= g.snap.index {
		return true
	}
	env := envelope{applied: g.passed, conf: g.store.conf}
	data, err := env.append(nil)
	head := len(data)
	if err == nil {
		data, err = g.machine.Snapshot(data)
	}
	if err != nil {
		g.fail(fmt.Errorf("group %d: snapshot of its machine: %w", g.id, err))
		return false
	}
	g.snap.took(g.passed, len(data)-head)
	return g.check(g.host.opt.Log.Append(&wal.Update{Group: g.id, Snapshot: &wal.Snapshot{Index: g.passed, Data: data}}, w))
}

// flushed is a wal.Waiter for what only has to be written soon.
type flushed struct{ g *Group }

// Durable implements wal.Waiter.
func (f flushed) Durable(err error) { f.g.control(func() { f.g.check(err) }) }
