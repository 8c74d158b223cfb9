package replog

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/millrace-mq/millrace/internal/wal"
)

// Options of a Host. Log must be set.
type Options struct {
	Log *wal.Log
	// Node is the number of this node; Transport leads to the others. A host
	// without a transport has single replicas only.
	Node      uint64
	Transport Transport
	// Workers run the groups; default GOMAXPROCS, 4 at most.
	Workers int
	// Tick is the unit of raft's timers, for groups with unfinished business;
	// default 20 ms. An election timeout is 10 to 20 ticks, a heartbeat 2.
	Tick time.Duration
	// Synchronous selects raft's Ready/Advance cycle instead of asynchronous
	// storage writes. It is slower and run by more people.
	Synchronous bool
	// Manual makes a host without goroutines: Run does what there is to do,
	// and Advance lets a tick pass. For simulation.
	Manual bool
	// BatchBytes is how much of what waits is put into one entry; default 64 KiB.
	BatchBytes int
	// MaxUncommitted limits what a group may have proposed and not committed,
	// in bytes, and apart from that what may wait to be proposed; default 16 MiB.
	MaxUncommitted int
	// SnapshotBytes is how much log is applied, at least, between two
	// snapshots of a machine; default 8 MiB. A machine with a large snapshot
	// is asked less often, so that they are at most a thirtieth of the log.
	SnapshotBytes int
	// Logger gets what an operator should know; nil for none.
	Logger *slog.Logger

	plant planted
}

// planted are bugs that tests put in, to prove that other tests catch them.
type planted struct {
	forgetVote bool // a vote is not written
}

const (
	electionTicks  = 10
	heartbeatTicks = 2
	// lingerTicks is how long a leader goes on with heartbeats after its last
	// business, so that followers learn the last commit index.
	lingerTicks = 2 * electionTicks
)

func (o *Options) setDefaults() {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.Workers, min(4, runtime.GOMAXPROCS(0)))
	set(&o.BatchBytes, 64<<10)
	set(&o.MaxUncommitted, 16<<20)
	set(&o.SnapshotBytes, 8<<20)
	if o.Tick <= 0 {
		o.Tick = 20 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Host runs the replicas of a node. Its methods may be called by any goroutine.
type Host struct {
	opt Options

	// mu guards the table. Lock order: Host.mu, Group.mu, Host.queue.
	mu struct {
		sync.RWMutex
		groups map[uint64]*Group
		down   map[uint64]bool // nodes that are known to be dead
		closed bool
	}
	queue runQueue
	// active are the groups that are ticked.
	active struct {
		sync.Mutex
		groups map[*Group]struct{}
	}
	stop chan struct{} // closed by Close
	done sync.WaitGroup
}

// New makes a host without groups.
func New(opt Options) *Host {
	opt.setDefaults()
	h := &Host{opt: opt, stop: make(chan struct{})}
	h.mu.groups = make(map[uint64]*Group)
	h.mu.down = make(map[uint64]bool)
	h.active.groups = make(map[*Group]struct{})
	h.queue.init()
	if opt.Manual {
		return h
	}
	h.done.Add(opt.Workers + 1)
	for range opt.Workers {
		go h.work() // stopped by Close
	}
	go h.tick() // stopped by Close
	return h
}

// GroupConfig says what to start.
type GroupConfig struct {
	ID uint64
	// Replica is this node's replica id in the group.
	Replica uint64
	// Members of a group that the log does not know yet, this replica among
	// them: the same list on each. Empty for a replica that joins an existing
	// group: it waits for the leader to send it everything.
	Members  []Member
	Machine  StateMachine
	Settings Settings
}

// Settings of a group; they can change while it runs.
type Settings struct {
	Mode Mode
	// MinInSync is how many replicas must be in sync for a proposal to be
	// accepted, and must have it for an acknowledgement under ModeQuorum and
	// ModeAll, this one included; 0 and 1 ask for nothing.
	MinInSync int
}

// Start starts a replica of a group: it makes the group if the log does not know
// it, or restores the machine and goes on where the log ends.
func (h *Host) Start(cfg GroupConfig) (*Group, error) {
	if h.Group(cfg.ID) != nil {
		return nil, fmt.Errorf("replog: group %d runs already", cfg.ID)
	}
	if _, err := h.opt.Log.Info(cfg.ID); errors.Is(err, wal.ErrNoGroup) {
		if err := h.create(cfg); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	g, err := newGroup(h, cfg)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if h.mu.closed || h.mu.groups[cfg.ID] != nil {
		h.mu.Unlock()
		return nil, ErrStopped
	}
	h.mu.groups[cfg.ID] = g
	h.mu.Unlock()
	h.activate(g)
	g.control(func() { g.begin() })
	return g, nil
}

// firstIndex is where the log of a new group begins: every replica starts with
// a snapshot of this index that says who the members are. A replica that joins
// later starts with nothing, at index 0.
const firstIndex = 1

// create writes what a new group starts with, and waits for the disk.
func (h *Host) create(cfg GroupConfig) error {
	u := wal.Update{Group: cfg.ID}
	env := envelope{conf: conf{state: &raftpb.ConfState{}}}
	if len(cfg.Members) > 0 {
		c, err := newConf(firstIndex, cfg.Members)
		if err != nil {
			return err
		}
		if _, ok := c.nodes[cfg.Replica]; !ok {
			return fmt.Errorf("replog: replica %d is no member of the new group %d", cfg.Replica, cfg.ID)
		}
		env = envelope{applied: firstIndex, conf: c}
		u.Base = &wal.Base{Index: firstIndex, Term: 1, Reset: true}
		u.State = &wal.HardState{Term: 1, Commit: firstIndex}
	} else {
		u.Base = &wal.Base{Reset: true}
	}
	data, err := env.append(nil)
	if err != nil {
		return err
	}
	u.Snapshot = &wal.Snapshot{Index: env.applied, Data: data}
	w := make(waiter, 1)
	if err := h.opt.Log.Append(&u, w); err != nil {
		return err
	}
	if h.opt.Manual {
		if err := h.opt.Log.Sync(); err != nil {
			return err
		}
	}
	return <-w
}

// waiter is a wal.Waiter for one who sleeps; its capacity is 1.
type waiter chan error

// Durable implements wal.Waiter.
func (w waiter) Durable(err error) { w <- err }

// Group gives a running group, or nil.
func (h *Host) Group(id uint64) *Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.mu.groups[id]
}

// Groups gives the running groups, by id.
func (h *Host) Groups() []*Group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	gs := make([]*Group, 0, len(h.mu.groups))
	for _, g := range h.mu.groups {
		gs = append(gs, g)
	}
	slices.SortFunc(gs, func(a, b *Group) int { return cmp.Compare(a.id, b.id) })
	return gs
}

// Stop stops a replica; what it has on disk stays. Proposals without an outcome
// end with ErrUnknown. A leader should Transfer first, if the node lives on:
// nobody tells the others that it is gone.
func (h *Host) Stop(id uint64) {
	h.mu.Lock()
	g := h.mu.groups[id]
	delete(h.mu.groups, id)
	h.mu.Unlock()
	if g != nil {
		g.control(func() { g.end(ErrStopped) })
		if h.opt.Manual {
			h.Run()
		}
		<-g.ended
	}
}

// Remove stops a replica and drops everything it has on disk.
func (h *Host) Remove(id uint64) error {
	h.Stop(id)
	w := make(waiter, 1)
	if err := h.opt.Log.Remove(id, w); err != nil {
		return err
	}
	if h.opt.Manual {
		if err := h.opt.Log.Sync(); err != nil {
			return err
		}
	}
	return <-w
}

// Receive takes a message that the Transport of another node sent. The message
// may be for a group that does not run here: then it is dropped.
func (h *Host) Receive(node, group uint64, m *raftpb.Message) {
	if g := h.Group(group); g != nil && m.GetTo() == g.replica {
		g.receive(node, m)
	}
}

// ReportUnreachable tells that a message to a replica was not delivered, so that
// the leader does not count on it; ReportSnapshot how the sending of a snapshot
// ended, without which the leader sends the replica nothing more.
func (h *Host) ReportUnreachable(group, replica uint64) {
	if g := h.Group(group); g != nil {
		g.control(func() { g.raft.ReportUnreachable(replica) })
	}
}

// ReportSnapshot: see ReportUnreachable.
func (h *Host) ReportSnapshot(group, replica uint64, ok bool) {
	if g := h.Group(group); g != nil {
		g.control(func() { g.raft.ReportSnapshot(replica, snapshotStatus(ok)) })
	}
}

// NodeDown tells that a node is dead. The groups that it led forget it, and in
// each the next replica on a living node stands for election at once.
func (h *Host) NodeDown(node uint64) {
	h.setDown(node, true)
	for _, g := range h.Groups() {
		g.control(func() { g.nodeDown(node) })
	}
}

// NodeUp tells that a node is reachable again.
func (h *Host) NodeUp(node uint64) {
	h.setDown(node, false)
	for _, g := range h.Groups() {
		g.control(g.nodeUp)
	}
}

func (h *Host) setDown(node uint64, down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if down {
		h.mu.down[node] = true
	} else {
		delete(h.mu.down, node)
	}
}

// isDown tells whether a node is known to be dead.
func (h *Host) isDown(node uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.mu.down[node]
}

// Close stops all groups. The log stays open, for its owner to close.
func (h *Host) Close() {
	h.mu.Lock()
	if h.mu.closed {
		h.mu.Unlock()
		return
	}
	h.mu.closed = true
	h.mu.Unlock()
	for _, g := range h.Groups() {
		h.Stop(g.id)
	}
	close(h.stop)
	h.queue.close()
	h.done.Wait()
}
