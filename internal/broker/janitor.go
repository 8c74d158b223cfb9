package broker

import (
	"container/heap"
	"sync"
	"time"
)

// janitor does what is due at a time: ends sessions whose expiry has passed and publishes
// wills whose delay has. One heap serves all clients, so that an idle client costs no timer.
type janitor struct {
	mu struct {
		sync.Mutex
		due dueHeap
	}
	wake chan struct{}
}

// errand is one thing to do: do is called on the janitor's goroutine, not before at (Unix
// milliseconds). It is not taken back when it is no longer wanted; do checks for itself.
type errand struct {
	at int64
	do func()
}

type dueHeap []errand

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(errand)) }
func (h *dueHeap) Pop() any {
	old := *h
	n := len(old) - 1
	e := old[n]
	old[n] = errand{}
	*h = old[:n]
	return e
}

func newJanitor() *janitor { return &janitor{wake: make(chan struct{}, 1)} }

// at arranges that do is called at a time in Unix milliseconds. Any goroutine.
func (j *janitor) at(ms int64, do func()) {
	j.mu.Lock()
	heap.Push(&j.mu.due, errand{ms, do})
	first := j.mu.due[0].at == ms
	j.mu.Unlock()
	if first {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// run does errands until stop is closed.
func (j *janitor) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(j.work())
		select {
		case <-stop:
			return
		case <-j.wake:
		case <-timer.C:
		}
	}
}

// work does what is due and tells how long until the next.
func (j *janitor) work() time.Duration {
	for {
		now := time.Now().UnixMilli()
		j.mu.Lock()
		if len(j.mu.due) == 0 {
			j.mu.Unlock()
			return time.Hour
		}
		if wait := j.mu.due[0].at - now; wait > 0 {
			j.mu.Unlock()
			return time.Duration(wait) * time.Millisecond
		}
		e := heap.Pop(&j.mu.due).(errand)
		j.mu.Unlock()
		e.do()
	}
}
