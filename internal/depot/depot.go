package depot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/topic"
)

// Options are what a depot is told once.
type Options struct {
	Logs Logs
	Log  *slog.Logger
	// Runner has partitions pumped.
	Runner Runner
	// AutoCreate makes a queue that is used and does not exist, with Defaults.
	AutoCreate bool
	Defaults   Settings
	// Declared are queues that must exist, with their settings.
	Declared map[string]Settings
	// MaxQueues and MaxPartitions bound what is created, queues and the partitions of all of them; 0: no bound.
	MaxQueues, MaxPartitions int
	// Memory is what is held of the logs in memory for consumers, in bytes, all partitions together; 0: 64 MiB.
	Memory int64
	// Readers is the number of reads from the disk for consumers at a time; 0: 4.
	Readers int
}

// Depot is the queues of a node. Its methods may be called by any goroutine.
type Depot struct {
	o       Options
	log     *slog.Logger
	runner  Runner
	memory  *memory
	readers readers
	clock   *clock
	catalog *catalog
	table   Log // of the catalog
	serials atomic.Int64

	// queues and captures are replaced when they change; readers take no lock.
	queues   atomic.Pointer[map[string]*Queue]
	captures atomic.Pointer[topic.Router[Queue]] // nil: no queue captures

	mu struct {
		sync.Mutex
		waiting []waiter // for queues to be open
		stopped bool
	}

	stopping context.Context // ends with Stop
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// waiter waits until the queue of an id can be used.
type waiter struct {
	id   uint64
	done func(*Queue, error)
}

// startPatience bounds how long Open waits for the catalog and the partitions.
const startPatience = 60 * time.Second

// Errors of a depot.
var (
	ErrStopped   = errors.New("depot: stopped")
	ErrNotLeader = replog.ErrNotLeader
)

// Open opens the catalog and every queue in it, and makes and alters queues so that they are as declared. ctx bounds the
// wait. Stop ends what Open began, also after an error.
func Open(ctx context.Context, o Options) (*Depot, error) {
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	d := &Depot{
		o: o, log: o.Log, runner: o.Runner, memory: &memory{budget: o.Memory}, clock: newClock(), catalog: newCatalog(),
	}
	d.stopping, d.stop = context.WithCancel(context.Background())
	d.queues.Store(&map[string]*Queue{})
	d.readers.start(o.Readers)
	d.running.Go(func() { d.clock.run(d.stopping.Done()) })
	var err error
	if d.table, err = o.Logs.Open(catalogGroup, d.catalog, Replication{}); err != nil {
		return d, fmt.Errorf("depot: catalog: %w", err)
	}
	for ready := false; !ready; {
		select {
		case <-d.catalog.changed:
		case <-ctx.Done():
			return d, fmt.Errorf("depot: catalog: %w", context.Cause(ctx))
		}
		_, ready = d.catalog.list()
	}
	if err := d.follow(ctx); err != nil {
		return d, err
	}
	d.running.Go(d.keep)
	return d, d.declare(ctx)
}

// Stop ends the depot's own work. Logs are whoever gave them's to close.
func (d *Depot) Stop() {
	d.mu.Lock()
	stopped := d.mu.stopped
	d.mu.stopped = true
	waiting := d.mu.waiting
	d.mu.waiting = nil
	d.mu.Unlock()
	if stopped {
		return
	}
	d.stop()
	d.running.Wait()
	d.readers.stop()
	for _, w := range waiting {
		w.done(nil, ErrStopped)
	}
}

// keep follows the catalog until Stop.
func (d *Depot) keep() {
	for {
		select {
		case <-d.stopping.Done():
			return
		case <-d.catalog.changed:
		}
		ctx, cancel := context.WithTimeout(d.stopping, startPatience)
		err := d.follow(ctx)
		cancel()
		if err != nil && d.stopping.Err() == nil {
			d.log.Error("queues could not be opened", "error", err)
		}
	}
}

// follow makes the open queues those of the catalog. One goroutine calls it at a time.
func (d *Depot) follow(ctx context.Context) error {
	records, _ := d.catalog.list()
	now := map[string]*Queue{}
	var fresh []*Queue
	var errs []error
	old := *d.queues.Load()
	for _, r := range records {
		q := old[r.Name]
		if q == nil || q.ID != r.ID {
			var err error
			if q, err = d.openQueue(r); err != nil {
				errs = append(errs, err)
				continue
			}
			fresh = append(fresh, q)
		}
		if s := q.settings.Load(); s == nil || !equal(s, &r.Settings) {
			q.set(&r.Settings)
			for _, p := range q.Partitions {
				p.log.Set(r.Settings.replication())
			}
			if !slices.Contains(fresh, q) {
				fresh = append(fresh, q)
			}
		}
		now[r.Name] = q
	}
	for _, q := range fresh {
		if err := d.configure(ctx, q); err != nil {
			errs = append(errs, fmt.Errorf("queue %s: %w", q.Name, err))
			delete(now, q.Name)
		}
	}
	d.queues.Store(&now)
	d.capture(now)
	for name, q := range old {
		if now[name] == q {
			continue
		}
		q.gone.Store(true)
		for _, p := range q.Partitions {
			if err := d.o.Logs.Remove(p.group); err != nil {
				errs = append(errs, fmt.Errorf("queue %s: partition %d: %w", name, p.Number, err))
			}
		}
	}
	d.tell(now, errors.Join(errs...))
	return errors.Join(errs...)
}

func equal(a, b *Settings) bool {
	x, y := *a, *b
	x.Capture, y.Capture = nil, nil
	return slices.Equal(a.Capture, b.Capture) && fmt.Sprint(x) == fmt.Sprint(y)
}

// opening is how many logs are opened at a time: a new one waits for the disk.
const opening = 32

// openQueue opens the logs of a queue.
func (d *Depot) openQueue(r *record) (*Queue, error) {
	q := &Queue{Name: r.Name, ID: r.ID, Partitions: make([]*Partition, len(r.Groups))}
	q.set(&r.Settings)
	errs := make([]error, len(r.Groups))
	var running sync.WaitGroup
	room := make(chan struct{}, opening)
	for i, group := range r.Groups {
		p := newPartition(d, q, i, group)
		q.Partitions[i] = p
		room <- struct{}{}
		running.Go(func() {
			log, err := d.o.Logs.Open(group, p, r.Settings.replication())
			if err != nil {
				errs[i] = fmt.Errorf("queue %s: partition %d: %w", r.Name, i, err)
			} else {
				p.opened(log)
			}
			<-room
		})
	}
	running.Wait()
	return q, errors.Join(errs...)
}

// configure waits until a queue's partitions lead, and gives them the queue's settings where they have others.
func (d *Depot) configure(ctx context.Context, q *Queue) error {
	answers := make(chan error, len(q.Partitions))
	proposed := 0
	for _, p := range q.Partitions {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return fmt.Errorf("partition %d: %w", p.Number, context.Cause(ctx))
		}
		want := *q.limits.Load()
		p.mu.Lock()
		same := p.mu.machine.Settings() == want
		p.mu.Unlock()
		if same {
			continue
		}
		if err := p.Propose(queue.AppendConfigure(nil, &want), answering(answers)); err != nil {
			return err
		}
		proposed++
	}
	for range proposed {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// answering sends what became of a proposal to a channel with room for it.
type answering chan error

// Proposed implements replog.Proposer.
func (a answering) Proposed(o replog.Outcome) {
	if o.Err == nil {
		r := ResultOf(&o)
		o.Err = r.Err
	}
	a <- o.Err
}

// capture makes the table of captured topics.
func (d *Depot) capture(queues map[string]*Queue) {
	var r *topic.Router[Queue]
	for _, q := range queues {
		for _, f := range q.Settings().Capture {
			if r == nil {
				r = topic.NewRouter[Queue]()
			}
			r.Subscribe(f, q)
		}
	}
	d.captures.Store(r)
}

// Captures appends the queues that capture a topic to dst, each once. into is the caller's, to be used again.
func (d *Depot) Captures(name []byte, into *topic.Matches[Queue], dst []*Queue) []*Queue {
	r := d.captures.Load()
	if r == nil {
		return dst
	}
	r.Match(name, into)
	for _, set := range into.Sets {
		for q := range set.Each {
			if !slices.Contains(dst, q) {
				dst = append(dst, q)
			}
		}
	}
	return dst
}

// tell answers those who wait for queues.
func (d *Depot) tell(now map[string]*Queue, failure error) {
	byID := make(map[uint64]*Queue, len(now))
	for _, q := range now {
		byID[q.ID] = q
	}
	d.mu.Lock()
	var ready []waiter
	d.mu.waiting = slices.DeleteFunc(d.mu.waiting, func(w waiter) bool {
		if byID[w.id] == nil && failure == nil {
			return false
		}
		ready = append(ready, w)
		return true
	})
	d.mu.Unlock()
	for _, w := range ready {
		if q := byID[w.id]; q != nil {
			w.done(q, nil)
		} else {
			w.done(nil, failure)
		}
	}
}

// Find gives the queue with a name, nil when there is none.
func (d *Depot) Find(name []byte) *Queue { return (*d.queues.Load())[string(name)] }

// Queues gives all queues, by name.
func (d *Depot) Queues() []*Queue {
	all := *d.queues.Load()
	list := make([]*Queue, 0, len(all))
	for _, q := range all {
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b *Queue) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Use gives the queue with a name to done, at once or later, on any goroutine, and makes it if that is allowed. The error is
// ErrNotFound, ErrName, ErrTooMany or what kept the queue from being opened.
func (d *Depot) Use(name string, done func(*Queue, error)) {
	if q := d.Find([]byte(name)); q != nil {
		done(q, nil)
		return
	}
	if err := CheckName(name); err != nil {
		done(nil, err)
		return
	}
	if !d.o.AutoCreate {
		done(nil, ErrNotFound)
		return
	}
	d.create(name, d.o.Defaults, true, done)
}

// Create makes a queue and waits until it can be used. Errors: ErrExists, ErrName, ErrTooMany, those of Settings.Check.
func (d *Depot) Create(ctx context.Context, name string, s Settings) (*Queue, error) {
	return d.await(ctx, func(done func(*Queue, error)) { d.create(name, s, false, done) })
}

// await calls begin and waits for what it is told.
func (d *Depot) await(ctx context.Context, begin func(func(*Queue, error))) (*Queue, error) {
	type answer struct {
		q   *Queue
		err error
	}
	answers := make(chan answer, 1)
	begin(func(q *Queue, err error) { answers <- answer{q, err} })
	select {
	case a := <-answers:
		return a.q, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// create proposes a queue. found says that one that exists will do.
func (d *Depot) create(name string, s Settings, found bool, done func(*Queue, error)) {
	c := change{Create: &createQueue{Name: name, Settings: s, MaxQueues: d.o.MaxQueues, MaxPartitions: d.o.MaxPartitions}}
	d.propose(&c, func(id uint64, err error) {
		if err != nil && !(found && errors.Is(err, ErrExists)) {
			done(nil, err)
			return
		}
		d.whenOpen(name, id, done)
	})
}

// whenOpen calls done when the queue of an id can be used; with id 0, the one of a name.
func (d *Depot) whenOpen(name string, id uint64, done func(*Queue, error)) {
	if id == 0 {
		records, _ := d.catalog.list()
		for _, r := range records {
			if r.Name == name {
				id = r.ID
			}
		}
	}
	d.mu.Lock()
	q := d.Find([]byte(name))
	stopped := d.mu.stopped
	if !stopped && (q == nil || q.ID != id) {
		d.mu.waiting = append(d.mu.waiting, waiter{id, done})
		d.mu.Unlock()
		d.catalog.signal() // it may have been opened just before
		return
	}
	d.mu.Unlock()
	if stopped {
		done(nil, ErrStopped)
		return
	}
	done(q, nil)
}

// Alter changes the settings of a queue and waits until they are in force.
func (d *Depot) Alter(ctx context.Context, name string, s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	if err := d.change(ctx, &change{Alter: &alterQueue{Name: name, Settings: s}}); err != nil {
		return err
	}
	for {
		q := d.Find([]byte(name))
		if q == nil {
			return ErrNotFound
		}
		if equal(q.Settings(), &s) {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Delete removes a queue with all that it holds.
func (d *Depot) Delete(ctx context.Context, name string) error {
	return d.change(ctx, &change{Delete: &deleteQueue{Name: name}})
}

// change proposes a change and waits for its outcome.
func (d *Depot) change(ctx context.Context, c *change) error {
	answers := make(chan error, 1)
	d.propose(c, func(_ uint64, err error) { answers <- err })
	select {
	case err := <-answers:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// changing is a change of the catalog under way.
type changing func(id uint64, err error)

// Proposed implements replog.Proposer.
func (c changing) Proposed(o replog.Outcome) {
	err := o.Err
	if e, ok := o.Result.Detail.(error); ok && err == nil {
		err = e
	}
	c(o.Result.Value, err)
}

func (d *Depot) propose(c *change, done changing) {
	if err := d.table.Propose(c.encode(), c.Delete != nil, done); err != nil {
		done(0, err)
	}
}

// declare makes the declared queues, and gives them their settings.
func (d *Depot) declare(ctx context.Context) error {
	for name, s := range d.o.Declared {
		q := d.Find([]byte(name))
		var err error
		switch {
		case q == nil:
			_, err = d.Create(ctx, name, s)
		case !equal(q.Settings(), &s):
			err = d.Alter(ctx, name, s)
		}
		if err != nil {
			return fmt.Errorf("queue %s: %w", name, err)
		}
	}
	return nil
}
