package replog

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/millrace-mq/millrace/internal/wal"
)

// driver carries out what raft wants done, in one of the two ways that raft
// offers. It belongs to the worker that runs the group.
type driver interface {
	// work does what is ready, and tells whether there was anything.
	work() bool
	// written goes on after a write of this group reached the disk.
	written(w *write)
}

// write is an update on its way to the disk.
type write struct {
	g           *Group
	index, term uint64            // of the last entry, or of the base of a snapshot; 0 none
	responses   []*raftpb.Message // to be delivered when it is on disk
	err         error
}

// Durable implements wal.Waiter.
func (w *write) Durable(err error) {
	w.err = err
	g := w.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.ended {
		return
	}
	g.mu.in.written = append(g.mu.in.written, w)
	g.wake()
}

// persist hands entries, a hard state and a snapshot to the log. With w nil
// nobody waits for it.
func (g *Group) persist(es []*raftpb.Entry, st *wal.HardState, snap *raftpb.Snapshot, w *write) bool {
	u := wal.Update{Group: g.id, State: st}
	if snap != nil && !g.install(snap, &u) {
		return false
	}
	if len(es) > 0 {
		u.Entries = g.store.append(es)
		g.numberProposals(es)
	}
	if st != nil {
		if g.host.opt.plant.forgetVote {
			st.Vote = 0
		}
		if w == nil && len(es) == 0 && snap == nil && !g.store.worthWriting(st) {
			return true
		}
		g.store.state, g.store.unwritten = *st, 0
	}
	if w == nil {
		return g.check(g.host.opt.Log.Append(&u, nil))
	}
	switch {
	case len(es) > 0:
		last := es[len(es)-1]
		w.index, w.term = last.GetIndex(), last.GetTerm()
	case snap != nil:
		w.index, w.term = g.store.base.Index, g.store.base.Term
	}
	return g.check(g.host.opt.Log.Append(&u, w))
}

// check stops the group after an error of the log.
func (g *Group) check(err error) bool {
	if err != nil {
		g.fail(err)
	}
	return err == nil
}

// landed notes that a write is on disk.
func (g *Group) landed(w *write) bool {
	if !g.check(w.err) {
		return false
	}
	if w.index > 0 {
		g.store.stable(w.index, w.term)
		if g.Settings().Mode == ModeLeader {
			g.acknowledgeLocal(w.index)
		}
	}
	return true
}

// asyncDriver is for a raft with AsyncStorageWrites: storage and machine get
// messages, and answer with others once they are done.
type asyncDriver struct{ g *Group }

func (d asyncDriver) work() bool {
	g := d.g
	if !g.raft.HasReady() {
		return false
	}
	rd := g.raft.Ready()
	g.noteState()
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			var st *wal.HardState
			if m.Term != nil {
				st = &wal.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
			}
			var w *write
			if len(m.GetResponses()) > 0 {
				w = &write{g: g, responses: m.GetResponses()}
			}
			if !g.persist(m.GetEntries(), st, m.GetSnapshot(), w) {
				return true
			}
		case raft.LocalApplyThread:
			if !g.apply(m.GetEntries()) {
				return true
			}
			d.deliver(m.GetResponses())
		default:
			g.send(m)
		}
	}
	return true
}

func (d asyncDriver) written(w *write) {
	if d.g.landed(w) {
		d.deliver(w.responses)
	}
}

// deliver passes on the answers of storage and machine.
func (d asyncDriver) deliver(ms []*raftpb.Message) {
	for _, m := range ms {
		if m.GetTo() == d.g.replica {
			_ = d.g.raft.Step(m) // our own replica is known to it
		} else {
			d.g.send(m)
		}
	}
}

// syncDriver is for the Ready/Advance cycle: one Ready at a time, whose messages
// and entries go out only when it is on disk. The worker does not wait for the
// disk: the group takes input meanwhile, and works on when it is told.
type syncDriver struct {
	g       *Group
	rd      raft.Ready
	waiting bool // for the disk
}

func (d *syncDriver) work() bool {
	g := d.g
	if d.waiting || !g.raft.HasReady() {
		return false
	}
	d.rd = g.raft.Ready()
	g.noteState()
	var st *wal.HardState
	if !raft.IsEmptyHardState(d.rd.HardState) {
		st = &wal.HardState{Term: d.rd.GetTerm(), Vote: d.rd.GetVote(), Commit: d.rd.GetCommit()}
	}
	var snap *raftpb.Snapshot
	if !raft.IsEmptySnap(d.rd.Snapshot) {
		snap = d.rd.Snapshot
	}
	if !d.rd.MustSync && snap == nil {
		if st != nil && !g.persist(nil, st, nil, nil) {
			return true
		}
		d.finish()
		return true
	}
	d.waiting = true
	g.persist(d.rd.Entries, st, snap, &write{g: g})
	return true
}

func (d *syncDriver) written(w *write) {
	if d.g.landed(w) {
		d.waiting = false
		d.finish()
	}
}

// finish does the rest of a Ready that is on disk.
func (d *syncDriver) finish() {
	for _, m := range d.rd.Messages {
		d.g.send(m)
	}
	if len(d.rd.CommittedEntries) > 0 && !d.g.apply(d.rd.CommittedEntries) {
		return
	}
	d.g.raft.Advance(d.rd)
}
