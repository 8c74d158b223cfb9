package netpoll

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Poller is a set of loops and the listeners and connections that they drive.
type Poller struct {
	options Options
	start   time.Time
	table   table
	turns   sync.Pool // of *Turn, for Turn

	loops struct {
		all  []*Loop
		done sync.WaitGroup
	}
	listeners struct {
		mu  sync.Mutex
		all atomic.Pointer[[]*Listener] // copied on change, under mu
	}
	stopping atomic.Bool
	boarding sync.Mutex // guards the changes of who drives which loop, see crew
}

// New starts the loops. Stop ends them.
func New(o Options) (*Poller, error) {
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	if o.Backend == BackendAuto {
		o.Backend = defaultBackend
	}
	if o.Linger <= 0 {
		o.Linger = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Poller{options: o, start: time.Now()}
	p.listeners.all.Store(new([]*Listener))
	for i := range o.Loops {
		poll, err := newWaiter(o.Backend)
		if err != nil {
			for _, l := range p.loops.all {
				l.poll.close()
			}
			return nil, fmt.Errorf("netpoll: loop %d: %w", i, err)
		}
		p.loops.all = append(p.loops.all, newLoop(p, i, poll))
	}
	p.loops.all[0].crew.guests.Store(new([]*Loop))
	p.loops.done.Add(o.Loops)
	for _, l := range p.loops.all {
		go l.run()
	}
	return p, nil
}

func newLoop(p *Poller, index int, poll waiter) *Loop {
	l := &Loop{poller: p, index: index, poll: poll, buf: make([]byte, maxMoved+readSize)}
	l.turn.loop = l
	l.crew.home = make(chan struct{}, 1)
	l.std = make(map[*Conn]struct{})
	return l
}

// Loops returns the loops, by index.
func (p *Poller) Loops() []*Loop { return p.loops.all }

// Connections returns how many connections are open.
func (p *Poller) Connections() int {
	n := 0
	for _, l := range p.loops.all {
		n += l.Connections()
	}
	return n
}

// Turn calls f with a turn outside any loop, and flushes what it sent. From any goroutine that is not a loop.
func (p *Poller) Turn(f func(t *Turn)) {
	t, ok := p.turns.Get().(*Turn)
	if !ok {
		t = new(Turn)
	}
	t.start(time.Now())
	f(t)
	t.finish()
	p.turns.Put(t)
}

// Stop closes the listeners, aborts all connections and ends the loops, and returns when that is done or ctx ends.
// Whoever wants clients to leave in peace closes the listeners first (Listener.Close), then the connections, then stops.
func (p *Poller) Stop(ctx context.Context) error {
	if !p.stopping.Swap(true) {
		for _, ln := range *p.listeners.all.Load() {
			ln.Close()
		}
		for _, l := range p.loops.all {
			l.Post(stopMail{})
		}
	}
	done := make(chan struct{})
	go func() { // ends with the loops
		p.loops.done.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stopMail ends the loop that gets it.
type stopMail struct{}

func (stopMail) Mail(t *Turn) {
	l := t.loop
	l.box.close(true)
	for c := range l.std {
		l.gone(c, ErrStopped)
	}
	l.poller.table.each(func(c *Conn) {
		if c.loop == l {
			l.gone(c, ErrStopped)
		}
	})
	l.ended = l.conns.Load() == 0
	if !l.ended {
		l.box.close(false)
		l.Post(stopMail{}) // someone is just writing to one of them, or one was just accepted
	}
}

// listener returns the listener that a connection came from.
func (p *Poller) listener(c *Conn) *Listener {
	return (*p.listeners.all.Load())[c.flags.Load()>>listenerShift]
}
