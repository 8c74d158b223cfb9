package depot_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// rig is a depot over a disk in memory, with consumers that write down what they get.
type rig struct {
	*depot.Depot
	t    testing.TB
	disk vfs.FS
	o    depot.Options
	wal  *wal.Log
	host *replog.Host

	wake    chan *depot.Partition
	pumping sync.WaitGroup
	stop    chan struct{}
	mu      struct {
		sync.Mutex
		got     []got
		verdict func(*depot.Consumer, *queue.Delivery) queue.Verdict
	}
}

// got is one delivery.
type got struct {
	p       *depot.Partition
	to      *depot.Consumer
	token   queue.Token
	offset  uint64
	count   uint32
	topic   string
	props   string
	payload string
}

func newRig(t testing.TB, change func(*depot.Options)) *rig {
	t.Helper()
	r := &rig{t: t, disk: vfs.NewMemory()}
	r.o = depot.Options{Log: slog.New(slog.DiscardHandler), AutoCreate: true, Defaults: depot.DefaultSettings()}
	if change != nil {
		change(&r.o)
	}
	r.start()
	t.Cleanup(r.close)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	w, err := wal.Open(wal.Options{FS: r.disk, Dir: "wal", SegmentSize: 4 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	r.wal, r.host = w, replog.New(replog.Options{Log: w, Node: 1})
	r.wake, r.stop = make(chan *depot.Partition, 1<<16), make(chan struct{})
	r.o.Logs, r.o.Runner = depot.OnHost(r.host, 1), r
	r.pumping.Go(r.pump)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r.Depot, err = depot.Open(ctx, r.o); err != nil {
		r.t.Fatal(err)
	}
}

// close ends the depot as a process does that is told to.
func (r *rig) close() {
	if r.Depot == nil {
		return
	}
	r.Depot.Stop()
	r.host.Close()
	if err := r.wal.Close(); err != nil {
		r.t.Error(err)
	}
	close(r.stop)
	r.pumping.Wait()
	r.Depot = nil
}

func (r *rig) restart() {
	r.t.Helper()
	r.close()
	r.mu.got = nil
	r.start()
}

// Wake implements depot.Runner.
func (r *rig) Wake(p *depot.Partition) { r.wake <- p }

func (r *rig) pump() {
	for {
		select {
		case <-r.stop:
			return
		case p := <-r.wake:
			for p.Pump(time.Now().UnixMilli(), r) {
			}
		}
	}
}

// Deliver implements depot.Out.
func (r *rig) Deliver(p *depot.Partition, c *depot.Consumer, d *queue.Delivery) queue.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := queue.Leased
	if r.mu.verdict != nil {
		v = r.mu.verdict(c, d)
	}
	if v == queue.Leased || v == queue.Done {
		m := &d.Message
		r.mu.got = append(r.mu.got, got{p, c, d.Token, d.Offset, d.Count, string(m.Topic), string(m.Props), string(m.Payload)})
	}
	return v
}

// use gives a queue, made with the defaults if need be.
func (r *rig) use(name string) *depot.Queue {
	r.t.Helper()
	type answer struct {
		q   *depot.Queue
		err error
	}
	answers := make(chan answer, 1)
	r.Use(name, func(q *depot.Queue, err error) { answers <- answer{q, err} })
	a := wait(r.t, "a queue", answers)
	if a.err != nil {
		r.t.Fatal(a.err)
	}
	return a.q
}

func wait[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// store stores a message and gives its offset.
func (r *rig) store(q *depot.Queue, key, payload string) queue.Outcome {
	r.t.Helper()
	m := &queue.Message{Topic: []byte(key), Key: queue.KeyOf([]byte(key)), Payload: []byte(payload), QoS: 1}
	type answer struct {
		o   queue.Outcome
		err error
	}
	answers := make(chan answer, 1)
	q.Partition(m.Key).Store(m, time.Now().UnixMilli(), func(o queue.Outcome, err error) { answers <- answer{o, err} })
	a := wait(r.t, "an outcome", answers)
	if a.err != nil {
		r.t.Fatal(a.err)
	}
	return a.o
}

// consume joins a group, which is made.
func (r *rig) consume(q *depot.Queue, g queue.NewGroup, window int) *depot.Consumer {
	r.t.Helper()
	errs := make(chan error, 1)
	q.Group(&g, func(err error) { errs <- err })
	if err := wait(r.t, "a group", errs); err != nil {
		r.t.Fatal(err)
	}
	c := &depot.Consumer{Queue: q, Group: g.Name, Window: window}
	c.Attach()
	return c
}

// want waits until these payloads were delivered, in the order of delivery where sorted is false, and forgets them.
func (r *rig) want(what string, payloads ...string) []got {
	r.t.Helper()
	var all []got
	deadline := time.Now().Add(patience)
	for {
		r.mu.Lock()
		all = slices.Clone(r.mu.got)
		if len(all) >= len(payloads) {
			r.mu.got = nil
			r.mu.Unlock()
			break
		}
		r.mu.Unlock()
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	var list []string
	for _, g := range all {
		list = append(list, fmt.Sprintf("%s#%d", g.payload, g.count))
	}
	if !slices.Equal(list, payloads) {
		r.t.Fatalf("%s: delivered %v, want %v", what, list, payloads)
	}
	return all
}

func (r *rig) settle(g got, s depot.Settlement) {
	g.p.Settle(g.token, s, time.Now().UnixMilli())
	g.p.Wake()
}

// settled waits until the group owes nothing in partition 0.
func (r *rig) unsettled(q *depot.Queue, group string, n uint64) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := uint64(0)
		for _, s := range q.Status() {
			for _, g := range s.Groups {
				if g.Name == group {
					left += g.Unsettled
				}
			}
		}
		if left == n {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("group %s has %d messages that are not settled, want %d", group, left, n)
		}
		time.Sleep(time.Millisecond)
	}
}
