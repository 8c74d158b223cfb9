package depot

import (
	"container/heap"
	"sync"
	"time"
)

// clock wakes partitions at a time. One heap and one goroutine serve all.
type clock struct {
	wake chan struct{}
	mu   struct {
		sync.Mutex
		due alarms
	}
}

type alarm struct {
	at int64
	p  *Partition
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	n := len(old) - 1
	x := old[n]
	old[n] = alarm{}
	*a = old[:n]
	return x
}

func newClock() *clock { return &clock{wake: make(chan struct{}, 1)} }

// now is the time in Unix milliseconds.
func (c *clock) now() int64 { return time.Now().UnixMilli() }

// at has the partition's ring called at a time. It is not taken back.
func (c *clock) at(ms int64, p *Partition) {
	c.mu.Lock()
	heap.Push(&c.mu.due, alarm{ms, p})
	first := c.mu.due[0].at == ms
	c.mu.Unlock()
	if first {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// run rings until stop is closed.
func (c *clock) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.ringDue())
		select {
		case <-stop:
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// ringDue rings what is due and tells how long until the next.
func (c *clock) ringDue() time.Duration {
	for {
		now := c.now()
		c.mu.Lock()
		if len(c.mu.due) == 0 {
			c.mu.Unlock()
			return time.Hour
		}
		if wait := c.mu.due[0].at - now; wait > 0 {
			c.mu.Unlock()
			return time.Duration(wait) * time.Millisecond
		}
		a := heap.Pop(&c.mu.due).(alarm)
		c.mu.Unlock()
		a.p.ring(a.at)
	}
}
