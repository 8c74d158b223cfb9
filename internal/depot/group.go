package depot

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
)

// Group sees to it that a group is there in every partition, and calls done, at once or later, on any goroutine. The error is
// queue.ErrFilter when it has another filter, queue.ErrTooManyGroups, or that of a log. The first partition decides
// between members that make a group with different filters at the same time.
func (q *Queue) Group(g *queue.NewGroup, done func(error)) {
	missing, err := q.missing(g)
	if err != nil || len(missing) == 0 {
		done(err)
		return
	}
	first, rest := missing[:1], missing[1:]
	if missing[0].Number != 0 {
		first, rest = missing, nil
	}
	onAll(first, false, queue.AppendCreateGroup(nil, g), func(err error) {
		if err != nil || len(rest) == 0 {
			done(err)
			return
		}
		onAll(rest, false, queue.AppendCreateGroup(nil, g), done)
	})
}

// missing gives the partitions that do not have a group.
func (q *Queue) missing(g *queue.NewGroup) (missing []*Partition, err error) {
	filter := g.Filter
	if filter == "" {
		filter = "#"
	}
	for _, p := range q.Partitions {
		p.mu.Lock()
		info, ok := p.mu.machine.Group(g.Name)
		p.mu.Unlock()
		switch {
		case !ok:
			missing = append(missing, p)
		case info.Filter != filter || info.Stream != g.Stream:
			return nil, queue.ErrFilter
		}
	}
	return missing, nil
}

// HasGroup tells whether the first partition has a group.
func (q *Queue) HasGroup(name string) bool {
	p := q.Partitions[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.mu.machine.Group(name)
	return ok
}

// Seek moves a group in every partition.
func (q *Queue) Seek(name string, to queue.From, done func(error)) {
	onAll(q.Partitions, true, queue.AppendSeek(nil, name, to), func(err error) {
		for _, p := range q.Partitions {
			p.Wake()
		}
		done(err)
	})
}

// DeleteGroup forgets a group in every partition. That a partition does not have it is no error, unless none has.
func (q *Queue) DeleteGroup(name string, done func(error)) {
	if !q.HasGroup(name) {
		done(queue.ErrNoGroup)
		return
	}
	onAll(q.Partitions, true, queue.AppendDeleteGroup(nil, name), func(err error) {
		if errors.Is(err, queue.ErrNoGroup) {
			err = nil
		}
		done(err)
	})
}

// Purge drops every message that is there now, for all groups.
func (q *Queue) Purge(done func(dropped uint64, err error)) {
	a := &all{left: int32Of(len(q.Partitions)), essential: true}
	a.done = func(err error) { done(a.sum.Load(), err) }
	for _, p := range q.Partitions {
		p.mu.Lock()
		_, end := p.mu.machine.Offsets()
		p.mu.Unlock()
		a.propose(p, queue.AppendPurge(nil, end))
	}
}

// all proposes a command to several partitions and calls done once.
type all struct {
	left *atomic.Int32
	sum  atomic.Uint64 // of the results
	done func(error)
	// essential: see Log.Propose
	essential bool
	mu        sync.Mutex
	err       error // guarded by mu; the first one
}

func int32Of(n int) *atomic.Int32 {
	var v atomic.Int32
	v.Store(int32(n))
	return &v
}

func onAll(parts []*Partition, essential bool, command []byte, done func(error)) {
	a := &all{left: int32Of(len(parts)), done: done, essential: essential}
	for _, p := range parts {
		a.propose(p, command)
	}
}

func (a *all) propose(p *Partition, command []byte) {
	if err := p.log.Propose(command, a.essential, a); err != nil {
		a.ended(err)
	}
}

// Proposed implements replog.Proposer.
func (a *all) Proposed(o replog.Outcome) {
	err := o.Err
	if err == nil {
		r := ResultOf(&o)
		err = r.Err
		a.sum.Add(r.Value)
	}
	a.ended(err)
}

func (a *all) ended(err error) {
	if err != nil {
		a.mu.Lock()
		if a.err == nil {
			a.err = err
		}
		a.mu.Unlock()
	}
	if a.left.Add(-1) == 0 {
		a.done(a.err)
	}
}
