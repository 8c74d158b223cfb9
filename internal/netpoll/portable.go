package netpoll

import (
	"errors"
	"net"
	"time"

	"github.com/millrace-mq/millrace/internal/buffer"
)

// portable is the part of a connection of the portable back end that drives it. Its loop is the same as that of the epoll
// back end but for what it sleeps in: a goroutine reads and hands each piece to the loop, and waits until the loop has
// used it; another one exists while there is something to write. So handlers, turns, mail and alarms behave alike, and no
// loop ever waits for a connection.
type portable struct {
	c    *Conn
	conn net.Conn
	next chan struct{} // the loop is done with what was read

	// The reader's until it posts, then the loop's until it says next.
	buf []byte
	n   int
	err error

	held bool // owned by the loop: what was read waits for Resume
}

// read is the connection's reading goroutine. Closing conn ends it.
func (s *portable) read() {
	s.buf = buffer.Get(buffer.Largest / 16)
	for s.err == nil {
		s.n, s.err = s.conn.Read(s.buf[:cap(s.buf)])
		full := s.n == cap(s.buf)
		if !s.c.loop.Post(s) {
			s.conn.Close()
			break
		}
		<-s.next
		if full && cap(s.buf) < buffer.Largest {
			s.buf = buffer.Grow(s.buf, buffer.Largest)
		}
	}
	buffer.Put(s.buf)
}

// Mail takes what was read.
func (s *portable) Mail(t *Turn) {
	c, l := s.c, t.loop
	switch flags := c.flags.Load(); {
	case flags&flagClosed != 0:
		s.n, s.err = 0, net.ErrClosed
	case flags&flagsMute != 0: // what comes after the end is dropped
		if s.err != nil {
			l.gone(c, s.err)
		}
	case flags&flagPaused != 0:
		s.held = true
		return
	default:
		s.ingest(l)
	}
	s.next <- struct{}{}
}

// ingest presents what was read.
func (s *portable) ingest(l *Loop) {
	c := s.c
	if s.n > 0 {
		l.received(c, s.buf[:s.n])
	}
	if s.err != nil && c.flags.Load()&flagClosed == 0 {
		l.gone(c, s.err)
	}
}

// resume goes on with what was held.
func (s *portable) resume(t *Turn) {
	if s.held {
		s.held = false
		s.Mail(t)
	}
}

// wake sees to it that what is left gets written. The caller holds Conn.mu.
func (s *portable) wake() {
	c := s.c
	c.waits.Store(clampSize(c.out.size))
	if c.flags.Load()&flagBusy == 0 {
		c.flags.Or(flagBusy)
		go s.write()
	}
}

// write is the connection's writing goroutine. It ends when nothing is left, or when closing conn breaks its write.
func (s *portable) write() {
	c := s.c
	var err error
	bufs := make([][]byte, 0, maxGather)
	c.mu.Lock()
	for err == nil && c.out != nil && c.out.size > 0 {
		o := c.out
		pieces := net.Buffers(o.gather(bufs[:0]))
		c.mu.Unlock()
		var n int64
		n, err = pieces.WriteTo(s.conn)
		c.mu.Lock()
		o.wrote(int(n))
		c.waits.Store(clampSize(o.size))
	}
	if err != nil && c.out != nil {
		c.out.drop()
		c.flags.Or(flagBroken)
	}
	if c.out != nil && c.out.empty() {
		c.out = nil
	}
	c.waits.Store(0)
	c.flags.And(^flagBusy)
	attend := c.flags.Load()&(flagClosing|flagAborting|flagBroken) != 0 && c.set(flagAttend)
	c.mu.Unlock()
	if attend {
		c.loop.attend(c)
	}
	c.loop.Post((*drained)(s))
}

// drained tells the handler that its backlog fell to zero.
type drained portable

func (s *drained) Mail(t *Turn) {
	if c := s.c; c.handler != nil && c.flags.Load()&flagsMute == 0 && c.waits.Load() == 0 {
		c.handler.Drained(t)
	}
}

// shut shuts down the writing side.
func (s *portable) shut() {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a connection that is broken is noticed by the reader
	}
}

// close ends both goroutines. By the loop, which holds Conn.mu.
func (s *portable) close() {
	s.conn.Close()
	delete(s.c.loop.std, s.c)
	if s.held {
		s.held = false
		s.err = net.ErrClosed
		s.next <- struct{}{}
	}
}

func (s *portable) address(remote bool) net.Addr {
	if remote {
		return s.conn.RemoteAddr()
	}
	return s.conn.LocalAddr()
}

// sleeper is the waiter of the portable back end.
type sleeper struct {
	signal chan struct{}
	timer  *time.Timer
}

func newSleeper() *sleeper {
	s := &sleeper{signal: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	return s
}

// invite refuses: loops that sleep in a channel do not share it.
func (s *sleeper) invite(waiter, int) error { return errors.ErrUnsupported }

func (s *sleeper) dismiss(waiter) {}

func (s *sleeper) wait(_ time.Time, timeout int64) bool {
	switch {
	case timeout == 0:
		select {
		case <-s.signal:
		default:
		}
	case timeout < 0:
		<-s.signal
	default:
		s.timer.Reset(time.Duration(timeout) * time.Millisecond)
		select {
		case <-s.signal:
		case <-s.timer.C:
		}
		s.timer.Stop()
	}
	return timeout != 0
}

func (s *sleeper) dispatch(*Loop) {}

func (s *sleeper) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *sleeper) close() {}

// listenPortable starts to accept connections for the portable back end.
func (p *Poller) listenPortable(ln *Listener) error {
	std, err := openPortable(ln.cfg)
	if err != nil {
		return err
	}
	ln.std = std
	ln.addr = ln.std.Addr()
	p.add(ln)
	go ln.acceptPortable() // ends when std is closed
	return nil
}

// acceptPortable is the accepting goroutine of the portable back end. Closing the socket ends it.
func (ln *Listener) acceptPortable() {
	for turn := 0; ; turn++ {
		if ln.cfg.Pace != nil {
			for d := ln.cfg.Pace(time.Now()); d > 0 && !ln.closed.Load(); d = ln.cfg.Pace(time.Now()) {
				time.Sleep(d)
			}
		}
		conn, err := ln.std.Accept()
		if ln.closed.Load() {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			ln.poller.options.Logger.Error("accepting connections failed", "listener", ln.addr.String(), "err", err)
			time.Sleep(emfilePause)
			continue
		}
		if !ln.admit() {
			conn.Close()
			continue
		}
		loops := ln.poller.loops.all
		if !loops[turn%len(loops)].Post(&arrival{ln, conn}) {
			conn.Close()
			ln.released()
		}
	}
}

// arrival gives a connection to a loop.
type arrival struct {
	ln   *Listener
	conn net.Conn
}

func (a *arrival) Mail(t *Turn) {
	l := t.loop
	c := &Conn{loop: l, fd: -1}
	c.flags.Store(flagPortable | uint32(a.ln.index)<<listenerShift)
	s := &portable{c: c, conn: a.conn, next: make(chan struct{}, 1)}
	c.ext = &extra{std: s}
	l.conns.Add(1)
	l.std[c] = struct{}{}
	l.wheel.set(c, a.ln.cfg.ConnectTimeout)
	if l.proceed(c, stepAccepted); c.handler == nil {
		l.release(c)
		return
	}
	go s.read() // ends when conn is closed
}
