package replog

import (
	"sync"
	"time"
)

// The scheduler.
//
// A group is idle, queued or running. Whoever gives it input puts it into the
// run queue if it is idle; a worker takes it, runs one turn with all the input
// there is, and puts it back at the end if more came meanwhile. So a group is
// run by one worker at a time, busy groups take turns, and idle ones are in no
// list at all.

// runState of a group; guarded by Group.mu.
type runState byte

const (
	idle runState = iota
	queued
	running
	runningAgain // input came while it ran
)

// runQueue is a queue of groups that have input.
type runQueue struct {
	sync.Mutex
	filled sync.Cond
	ring   []*Group
	head   int
	n      int
	closed bool
}

func (q *runQueue) init() {
	q.filled.L = &q.Mutex
	q.ring = make([]*Group, 64)
}

func (q *runQueue) push(g *Group) {
	q.Lock()
	defer q.Unlock()
	if q.n == len(q.ring) {
		grown := make([]*Group, 2*len(q.ring))
		k := copy(grown, q.ring[q.head:])
		copy(grown[k:], q.ring[:q.head])
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = g
	q.n++
	q.filled.Signal()
}

// pop waits for a group, or for the end if wait is set; nil means none.
func (q *runQueue) pop(wait bool) *Group {
	q.Lock()
	defer q.Unlock()
	for q.n == 0 {
		if q.closed || !wait {
			return nil
		}
		q.filled.Wait()
	}
	g := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return g
}

func (q *runQueue) close() {
	q.Lock()
	defer q.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// wake sees to it that the group is run. g.mu is held.
func (g *Group) wake() {
	switch g.mu.run {
	case idle:
		g.mu.run = queued
		g.host.queue.push(g)
	case running:
		g.mu.run = runningAgain
	}
}

// work is a worker; it is stopped by Close.
func (h *Host) work() {
	defer h.done.Done()
	for {
		g := h.queue.pop(true)
		if g == nil {
			return
		}
		h.runTurn(g)
	}
}

// Run does all there is to do, in the caller's goroutine, for a Manual host. It
// tells whether there was anything.
func (h *Host) Run() (any bool) {
	for {
		g := h.queue.pop(false)
		if g == nil {
			return any
		}
		h.runTurn(g)
		any = true
	}
}

func (h *Host) runTurn(g *Group) {
	g.mu.Lock()
	g.mu.run = running
	in := g.takeInput()
	g.mu.Unlock()
	g.turn(&in)
	g.mu.Lock()
	g.giveBack(&in)
	again := g.mu.run == runningAgain
	g.mu.run = idle
	if again {
		g.wake()
	}
	g.mu.Unlock()
}

// tick lets time pass for active groups; it is stopped by Close.
func (h *Host) tick() {
	defer h.done.Done()
	t := time.NewTicker(h.opt.Tick)
	defer t.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-t.C:
			h.Advance()
		}
	}
}

// Advance lets one tick pass for the groups that have unfinished business.
func (h *Host) Advance() {
	h.active.Lock()
	gs := make([]*Group, 0, len(h.active.groups))
	for g := range h.active.groups {
		gs = append(gs, g)
	}
	h.active.Unlock()
	sortGroups(gs)
	for _, g := range gs {
		g.mu.Lock()
		g.mu.in.ticks++
		g.wake()
		g.mu.Unlock()
	}
}

func (h *Host) activate(g *Group) {
	h.active.Lock()
	defer h.active.Unlock()
	h.active.groups[g] = struct{}{}
}

func (h *Host) deactivate(g *Group) {
	h.active.Lock()
	defer h.active.Unlock()
	delete(h.active.groups, g)
}
