// Package lone keeps logs of one replica each straight on a write-ahead log: the simplest thing that does what
// internal/depot wants of a log, on which its tests run without elections.
package lone

import (
	"errors"
	"math"
	"sync"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/wal"
)

// snapshotEvery is how many bytes of commands a group takes between two snapshots.
const snapshotEvery = 16 << 20

// Host is the logs of a node.
type Host struct {
	wal  *wal.Log
	done sync.WaitGroup
	mu   struct {
		sync.Mutex
		wake   sync.Cond
		ready  []ready
		groups map[uint64]*group
		closed bool
	}
}

// ready is work for the applier.
type ready struct {
	g   *group
	n   int // entries that are on disk
	err error
	do  func()
}

// New begins to serve groups on a log, which Close closes.
func New(w *wal.Log) *Host {
	h := &Host{wal: w}
	h.mu.wake.L = &h.mu
	h.mu.groups = map[uint64]*group{}
	h.done.Go(h.apply)
	return h
}

// Close ends the applier and closes the log. What was proposed and is not on disk has no outcome.
func (h *Host) Close() error {
	err := h.wal.Close()
	h.mu.Lock()
	h.mu.closed = true
	h.mu.wake.Broadcast()
	h.mu.Unlock()
	h.done.Wait()
	return err
}

// Failed is closed when the disk failed.
func (h *Host) Failed() <-chan struct{} { return h.wal.Failed() }

func (h *Host) later(r ready) {
	h.mu.Lock()
	h.mu.ready = append(h.mu.ready, r)
	h.mu.wake.Signal()
	h.mu.Unlock()
}

// apply applies what is on disk, one group after the other, until Close.
func (h *Host) apply() {
	var list []ready
	for {
		h.mu.Lock()
		for len(h.mu.ready) == 0 && !h.mu.closed {
			h.mu.wake.Wait()
		}
		if len(h.mu.ready) == 0 {
			h.mu.Unlock()
			return
		}
		list, h.mu.ready = h.mu.ready, list[:0]
		h.mu.Unlock()
		for _, r := range list {
			if r.do != nil {
				r.do()
			} else {
				r.g.committed(r.n, r.err)
			}
		}
	}
}

// group is one log.
type group struct {
	h  *Host
	id uint64
	m  replog.StateMachine
	mu struct {
		sync.Mutex
		last    uint64
		pending []proposal // in the order of their indexes
		stopped bool
	}
	// of the applier
	applied, since uint64
	entries        []replog.Entry
	snapshot       []byte
}

type proposal struct {
	index uint64
	data  []byte
	to    replog.Proposer
}

// Open implements depot.Logs.
func (h *Host) Open(id uint64, m replog.StateMachine, _ depot.Replication) (depot.Log, error) {
	g := &group{h: h, id: id, m: m}
	info, err := h.wal.Info(id)
	if err != nil && !errors.Is(err, wal.ErrNoGroup) {
		return nil, err
	}
	var from uint64
	if snap, err := h.wal.Snapshot(id); err == nil {
		if err := m.Restore(snap.Index, snap.Data); err != nil {
			return nil, err
		}
		from = snap.Index
	} else if err := m.Restore(0, nil); err != nil {
		return nil, err
	}
	g.mu.last, g.applied = info.Last, info.Last
	for from < info.Last {
		entries, err := g.Read(from+1, 4<<20)
		if err != nil {
			return nil, err
		}
		m.Apply(entries)
		from = entries[len(entries)-1].Index
	}
	h.mu.Lock()
	h.mu.groups[id] = g
	h.mu.Unlock()
	h.later(ready{do: func() { m.Lead(replog.Leadership{Term: 1, Leader: 1, Node: 1, Mine: true}) }})
	return g, nil
}

// Remove implements depot.Logs.
func (h *Host) Remove(id uint64) error {
	h.mu.Lock()
	g := h.mu.groups[id]
	delete(h.mu.groups, id)
	h.mu.Unlock()
	if g != nil {
		g.mu.Lock()
		g.mu.stopped = true
		pending := g.mu.pending
		g.mu.pending = nil
		g.mu.Unlock()
		h.later(ready{do: func() {
			for _, p := range pending {
				p.to.Proposed(replog.Outcome{Err: replog.ErrUnknown})
			}
		}})
	}
	if err := h.wal.Remove(id, nil); !errors.Is(err, wal.ErrNoGroup) {
		return err
	}
	return nil
}

// Propose implements depot.Log.
func (g *group) Propose(data []byte, to replog.Proposer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.stopped {
		return replog.ErrStopped
	}
	index := g.mu.last + 1
	u := wal.Update{Group: g.id, Entries: []wal.Entry{{Index: index, Term: 1, Data: data}}}
	if err := g.h.wal.Append(&u, durable{g}); err != nil {
		return err
	}
	g.mu.last = index
	g.mu.pending = append(g.mu.pending, proposal{index, data, to})
	return nil
}

// durable is told of one entry.
type durable struct{ g *group }

// Durable implements wal.Waiter.
func (d durable) Durable(err error) { d.g.h.later(ready{g: d.g, n: 1, err: err}) }

// committed applies the next n entries.
func (g *group) committed(n int, err error) {
	g.mu.Lock()
	if len(g.mu.pending) < n {
		g.mu.Unlock()
		return // removed meanwhile
	}
	done := append([]proposal(nil), g.mu.pending[:n]...)
	g.mu.pending = g.mu.pending[n:]
	g.mu.Unlock()
	if err != nil {
		for _, p := range done {
			p.to.Proposed(replog.Outcome{Err: replog.ErrUnknown})
		}
		return
	}
	g.entries = g.entries[:0]
	for _, p := range done {
		g.entries = append(g.entries, replog.Entry{Index: p.index, Term: 1, Commands: []replog.Command{{Data: p.data}}})
		g.since += uint64(len(p.data))
	}
	g.m.Apply(g.entries)
	g.applied = done[len(done)-1].index
	for i, p := range done {
		p.to.Proposed(replog.Outcome{Index: p.index, Term: 1, Result: g.entries[i].Commands[0].Result})
	}
	if g.since >= snapshotEvery {
		g.since = 0
		g.compact()
	}
}

// compact stores a snapshot and lets go of the entries that the machine does not need.
func (g *group) compact() {
	var err error
	if g.snapshot, err = g.m.Snapshot(g.snapshot[:0]); err != nil {
		return
	}
	floor := min(g.m.Floor(), g.applied+1)
	u := wal.Update{
		Group: g.id, Snapshot: &wal.Snapshot{Index: g.applied, Data: g.snapshot},
		Base: &wal.Base{Index: floor - 1, Term: 1}, State: &wal.HardState{Term: 1, Vote: 1, Commit: g.applied},
	}
	_ = g.h.wal.Append(&u, nil) // a log that failed says so to the next proposal
}

// Read implements depot.Log.
func (g *group) Read(lo uint64, maxBytes int) ([]replog.Entry, error) {
	var r wal.Reader
	found, err := g.h.wal.Read(&r, g.id, lo, math.MaxUint64, maxBytes)
	if err != nil {
		return nil, err
	}
	entries := make([]replog.Entry, len(found))
	for i, e := range found {
		entries[i] = replog.Entry{Index: e.Index, Term: e.Term, Commands: []replog.Command{{Data: e.Data}}}
	}
	return entries, nil
}
