package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// Options of a run.
type Options struct {
	Scenario Scenario
	Target   Target
	// Workers is the number of processes; 0: as many as the limit of open files asks for. One works within this process.
	Workers int
	// Command starts a worker's process, which must call Work on its standard input and output.
	Command []string
	// PIDs of the broker's processes, when they are on this machine.
	PIDs []int
	// Label names the broker in the result.
	Label string
	// Progress is called about once a second and at the end of a stage, if it is set.
	Progress func(Progress)
}

// Progress is the state of a running scenario.
type Progress struct {
	Stage     string
	Index     int
	Stages    int
	Done      float64 // of this stage, 0 to 1
	Elapsed   time.Duration
	Left      time.Duration // estimate for this stage; 0: unknown
	Connected int
	Point     Point
	Errors    map[string]uint64 // so far
}

// sparePerWorker are descriptors that a worker's process needs for itself.
const sparePerWorker = 100

const stageLead = 50 * time.Millisecond

// Run runs a scenario and returns what came of it. When ctx ends it stops early and returns the result so far. An error means that
// there is no result.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Scenario.Validate(); err != nil {
		return nil, err
	}
	if err := o.Target.resolve(); err != nil {
		return nil, err
	}
	if o.Workers == 0 {
		o.Workers = (o.Scenario.Sockets() + sparePerWorker) / max(1, DescriptorLimit()-2*sparePerWorker)
		o.Workers = max(1, o.Workers+1)
	}
	if room := o.Workers * (DescriptorLimit() - sparePerWorker); o.Scenario.Sockets() > room {
		return nil, fmt.Errorf("%d sockets do not fit into %d workers of %d open files each: give more workers",
			o.Scenario.Sockets(), o.Workers, DescriptorLimit())
	}
	c := &coordinator{options: o, notices: make(chan notice, 64), epoch: monotonic()}
	c.result = &Result{
		Scenario: o.Scenario, Label: o.Label, Workers: o.Workers, Began: time.Now(), Machine: ThisMachine(), Errors: map[string]uint64{},
	}
	defer c.stop()
	if err := c.start(); err != nil {
		return nil, err
	}
	c.result.Target = c.plans[0].Target
	c.result.Target.Locals, c.result.Target.Password = nil, ""
	for i := range c.plans[0].Stages {
		if err := c.stage(ctx, i); err != nil {
			c.problem("%v", err)
			break
		}
		if ctx.Err() != nil {
			c.problem("interrupted in stage %q", c.plans[0].Stages[i].Name)
			break
		}
	}
	if err := c.check(); err != nil {
		c.problem("%v", err)
	}
	c.judge()
	c.result.Seconds = time.Since(c.result.Began).Seconds()
	return c.result, nil
}

// coordinator takes the workers through the stages.
type coordinator struct {
	options Options
	result  *Result
	plans   []Plan
	epoch   int64
	orders  []io.WriteCloser
	notices chan notice
	wait    sync.WaitGroup
	cmds    []*exec.Cmd
	sent    []uint32
	checked bool
	gone    bool // the broker's process ended
}

func (c *coordinator) start() error {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	run := hex.EncodeToString(id[:])
	for w := range c.options.Workers {
		p, err := build(c.options.Scenario, c.options.Target, run, w, c.options.Workers)
		if err != nil {
			return err
		}
		p.Epoch = c.epoch
		if w == 0 {
			p.PIDs = c.options.PIDs
		}
		c.plans = append(c.plans, p)
		if err := c.startWorker(w); err != nil {
			return err
		}
		if err := c.order(w, order{Plan: &p}); err != nil {
			return err
		}
	}
	for ready := 0; ready < c.options.Workers; {
		n := <-c.notices
		if n.Error != "" {
			return errors.New(n.Error)
		}
		if n.Ready {
			ready++
		}
	}
	return nil
}

// startWorker starts one, in a process of its own when there are several.
func (c *coordinator) startWorker(w int) error {
	var in io.WriteCloser
	var out io.Reader
	if c.options.Workers == 1 {
		r, ordersEnd := io.Pipe()
		noticesEnd, reports := io.Pipe()
		in, out = ordersEnd, noticesEnd
		c.wait.Go(func() { // ends when stop closes the orders
			reports.CloseWithError(Work(r, reports))
		})
	} else {
		cmd := exec.Command(c.options.Command[0], c.options.Command[1:]...)
		cmd.Stderr = os.Stderr
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			return err
		}
		if out, err = cmd.StdoutPipe(); err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		c.cmds = append(c.cmds, cmd)
	}
	c.orders = append(c.orders, in)
	c.wait.Go(func() { // ends when the worker closes its end
		for d := json.NewDecoder(out); ; {
			var n notice
			if err := d.Decode(&n); err != nil {
				c.notices <- notice{Worker: w, Error: fmt.Sprintf("worker %d ended: %v", w, err)}
				return
			}
			c.notices <- n
		}
	})
	return nil
}

func (c *coordinator) order(w int, o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = c.orders[w].Write(append(b, '\n'))
	return err
}

func (c *coordinator) all(o order) error {
	for w := range c.orders {
		if err := c.order(w, o); err != nil {
			return fmt.Errorf("worker %d: %w", w, err)
		}
	}
	return nil
}

// stop ends all workers and waits for them.
func (c *coordinator) stop() {
	for _, o := range c.orders {
		_ = o.Close()
	}
	done := make(chan struct{})
	go func() { // ends when the workers have
		c.wait.Wait()
		close(done)
	}()
	for {
		select {
		case <-c.notices:
		case <-done:
			for _, cmd := range c.cmds {
				_ = cmd.Wait()
			}
			return
		}
	}
}

// stage takes all workers through stage i.
func (c *coordinator) stage(ctx context.Context, i int) error {
	if c.plans[0].Stages[i].Clear {
		if err := c.check(); err != nil {
			return err
		}
	}
	r := newRecorder(c, i, monotonic()-c.epoch+int64(stageLead))
	if err := c.all(order{Stage: &i, Start: r.start}); err != nil {
		return err
	}
	told := make([]bool, len(c.orders))
	cancelled := ctx.Done()
	for left := len(c.orders); left > 0; {
		select {
		case <-cancelled:
			cancelled = nil
			r.interrupted = true
			if err := c.all(order{Stop: true}); err != nil {
				return err
			}
		case n := <-c.notices:
			switch {
			case n.Error != "":
				return errors.New(n.Error)
			case n.Sample != nil:
				r.sample(n.Worker, *n.Sample)
			case n.Sent != nil:
				if n.Done != nil {
					left--
				}
				if err := c.count(n, told); err != nil {
					return err
				}
			}
		}
	}
	r.finish()
	return nil
}

// count merges how much a worker's publishers sent. When the last worker told, all hear the sum.
func (c *coordinator) count(n notice, told []bool) error {
	if c.sent == nil {
		c.sent = make([]uint32, c.options.Scenario.Publishers)
	}
	for i, sent := range n.Sent {
		c.sent[i] = max(c.sent[i], sent)
	}
	if told[n.Worker] {
		return nil
	}
	told[n.Worker] = true
	if slices.Contains(told, false) {
		return nil
	}
	return c.all(order{Sent: c.sent})
}

// check asks what the subscribers found, once.
func (c *coordinator) check() error {
	if c.checked {
		return nil
	}
	c.checked = true
	if c.sent == nil {
		c.sent = []uint32{}
	}
	if err := c.all(order{Check: true, Sent: c.sent}); err != nil {
		return err
	}
	for left := len(c.orders); left > 0; {
		n := <-c.notices
		if n.Error != "" {
			return errors.New(n.Error)
		}
		if n.Check != nil {
			c.result.Check.add(*n.Check)
			left--
		}
	}
	return nil
}

func (c *coordinator) problem(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.result.Problems, text) {
		c.result.Problems = append(c.result.Problems, text)
	}
}

// judge puts into words what is wrong with the figures.
func (c *coordinator) judge() {
	r := c.result
	k := r.Check
	for _, x := range []struct {
		n    uint64
		what string
	}{{k.Lost, "lost"}, {k.Duplicates, "delivered twice"}, {k.Reordered, "out of order"}, {k.Corrupt, "with wrong content"}} {
		if x.n > 0 {
			c.problem("%d of %d deliveries %s", x.n, k.Expected, x.what)
		}
	}
	var all counters
	for _, s := range r.Stages {
		all.add(s.Counts)
		if s.Units == 0 {
			c.problem("stage %q did nothing: 0 %s", s.Name, s.Unit)
		}
	}
	if all.Stalls > 0 {
		c.problem("%d windows were given up because nothing moved for %v", all.Stalls, stallAfter)
	}
	if all.Refused > 0 {
		c.problem("%d messages were refused", all.Refused)
	}
	for _, e := range sortedErrors(r.Errors) {
		c.problem("%d x %s", e.Count, e.Text)
	}
	if c.gone {
		c.problem("the broker's process ended")
	}
}
