package netpoll

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/buffer"
)

// waiter is what a loop sleeps in. There is one per back end.
type waiter interface {
	// wait returns when something happened, or timeout milliseconds after now, a time not long ago (negative: no limit; 0:
	// at once), and tells whether it slept.
	wait(now time.Time, timeout int64) bool
	// dispatch handles what wait found.
	dispatch(l *Loop)
	// wake ends a wait, from any goroutine.
	wake()
	// invite lets wait return, and dispatch say guestReady, when another waiter has something; dismiss undoes it.
	invite(guest waiter, index int) error
	dismiss(guest waiter)
	close()
}

// Loop owns a part of the connections and calls their handlers.
type Loop struct {
	poller *Poller
	index  int
	conns  atomic.Int64 // connections that it owns
	box    mailbox
	poll   waiter

	// Owned by the loop's goroutine.
	turn  Turn
	wheel wheel
	buf   []byte             // what was read
	raw   []byte             // what was read and is encrypted; nil until needed
	moved bool               // the handler of a connection was exchanged
	mails []Mail             // taken from the mailbox
	attns []*Conn            // taken from the mailbox
	std   map[*Conn]struct{} // connections of the portable back end
	gens  uint32
	ended bool

	crew crew
}

// Index returns the number of the loop, from 0.
func (l *Loop) Index() int { return l.index }

// Connections returns how many connections the loop owns.
func (l *Loop) Connections() int { return int(l.conns.Load()) }

// run is the loop's goroutine. Poller.Stop ends it.
func (l *Loop) run() {
	defer l.poller.loops.done.Done()
	end := time.Now()
	for !l.ended {
		rested := l.sleep(end)
		begin := time.Now()
		l.pass(begin)
		l.passGuests()
		end = time.Now()
		l.crew.note(begin, end, rested)
		switch {
		case l.wantsAboard(end):
			l.board()
			end = time.Now()
		case l.index == 0 && l.crew.landing:
			l.crew.landing = false
			l.land()
		}
	}
	l.retire()
	l.box.end(l.poll)
}

// sleep waits until the loop or one of its guests has something to do, and tells whether that took any time. now is when the
// last pass ended.
func (l *Loop) sleep(now time.Time) (rested bool) {
	guests := l.guests()
	timeout := l.timeout(now)
	for _, g := range guests {
		due := g.timeout(now)
		g.crew.ready = g.crew.ready || due == 0
		if timeout < 0 || due >= 0 && due < timeout {
			timeout = due
		}
	}
	if timeout != 0 {
		filled := l.box.sleep()
		for _, g := range guests {
			filled = g.box.sleep() || filled
		}
		if filled {
			timeout = 0
		}
	}
	rested = l.poll.wait(now, timeout)
	l.box.sleeping.Store(false)
	for _, g := range l.guests() { // some may have come meanwhile
		g.box.sleeping.Store(false)
	}
	return rested
}

// timeout returns for how many milliseconds the loop may sleep.
func (l *Loop) timeout(now time.Time) int64 {
	if l.box.filled.Load() {
		return 0
	}
	return l.wheel.wait(now.Sub(l.poller.start).Milliseconds())
}

// pass is one turn. Input comes before alarms, so that a client whose packet was in time does not lose to a loop that
// was late.
func (l *Loop) pass(now time.Time) {
	l.turn.start(now)
	l.wheel.at(now.Sub(l.poller.start).Milliseconds())
	l.poll.dispatch(l)
	for _, c := range l.wheel.advance() {
		l.alarm(c)
	}
	// What mail and the ends of connections leave in the mailbox is handled in this turn, up to a bound: packets that they
	// send go out together.
	for round := 0; round < 3 && l.box.filled.Load(); round++ {
		l.collect()
	}
	l.turn.finish()
}

// collect handles what is in the mailbox.
func (l *Loop) collect() {
	l.mails, l.attns = l.box.take(l.mails, l.attns)
	for i, m := range l.mails {
		m.Mail(&l.turn)
		l.mails[i] = nil
		l.turn.Cycle()
	}
	l.mails = l.mails[:0]
	l.turn.finish() // what was sent before Close must have been tried before the connection is attended to
	for i, c := range l.attns {
		l.look(c)
		l.attns[i] = nil
		l.turn.Cycle()
	}
	l.attns = l.attns[:0]
}

// alarm tells the handler that the time is up. A connection that has none is late with its handshake, or with closing its
// side.
func (l *Loop) alarm(c *Conn) {
	switch {
	case c.handler == nil:
		l.release(c)
	case c.flags.Load()&(flagClosing|flagAborting) == 0:
		c.handler.Alarm(&l.turn)
		l.turn.Cycle()
	}
}

// look acts upon the flags of a connection.
func (l *Loop) look(c *Conn) {
	c.mu.Lock()
	c.flags.And(^flagAttend)
	flags := c.flags.Load()
	idle := flags&flagBusy == 0 && (c.out == nil || c.out.empty() || flags&flagBroken != 0)
	c.mu.Unlock()
	if flags&flagClosed != 0 {
		return
	}
	switch {
	case flags&flagAborting != 0:
		l.gone(c, ErrClosed)
	case flags&flagBroken != 0:
		l.gone(c, errBroken)
	case flags&flagClosing != 0:
		l.leave(c, flags, idle)
	case flags&flagPaused == 0:
		l.resume(c)
	}
}

// resume goes on reading after a pause.
func (l *Loop) resume(c *Conn) {
	if c.in != nil && c.handler != nil {
		l.present(c, c.in.buf, len(c.in.buf))
	}
	if c.ext == nil {
		return
	}
	if c.ext.tls != nil && c.ext.tls.active {
		l.decrypt(c, nil)
	}
	if c.ext.std != nil {
		c.ext.std.resume(&l.turn)
	}
}

// leave goes on closing a connection in order. idle: nothing waits to be written.
func (l *Loop) leave(c *Conn, flags uint32, idle bool) {
	if h := c.handler; h != nil {
		c.handler = nil
		c.dropInput()
		l.wheel.set(c, l.poller.options.Linger)
		h.Closed(&l.turn, ErrClosed)
	}
	if !idle || flags&flagShut != 0 {
		return
	}
	if l.farewell(c) {
		c.end(0) // look again: it may have been written, or wait
		return
	}
	if flags&flagPeerDone != 0 {
		l.release(c)
		return
	}
	c.mu.Lock()
	c.flags.Or(flagShut)
	c.flags.And(^flagPaused)
	c.watch()
	c.shut()
	c.mu.Unlock()
}

// gone ends a connection at once.
func (l *Loop) gone(c *Conn, err error) {
	if h := c.handler; h != nil {
		c.handler = nil
		l.release(c)
		h.Closed(&l.turn, err)
		return
	}
	l.release(c)
}

// release closes the descriptor and lets go of everything. If another goroutine is just writing, it has the loop attend
// to the connection again when it is done.
func (l *Loop) release(c *Conn) {
	l.wheel.unlink(c)
	c.dropInput()
	c.dropLayers()
	c.mu.Lock()
	flags := c.flags.Load()
	if flags&flagClosed != 0 {
		c.mu.Unlock()
		return
	}
	if flags&flagBusy != 0 && flags&flagPortable == 0 {
		c.flags.Or(flagAborting)
		c.mu.Unlock()
		return
	}
	c.flags.Or(flagClosed)
	c.waits.Store(0)
	if c.out != nil && flags&flagBusy == 0 {
		c.out.drop()
	}
	c.out = nil
	c.disconnect()
	c.mu.Unlock()
	l.conns.Add(-1)
	l.poller.listener(c).released()
}

// fail ends a connection because its handler said so.
func (l *Loop) fail(c *Conn, err error) {
	h := c.handler
	c.handler = nil
	c.dropInput()
	l.wheel.set(c, l.poller.options.Linger)
	if errors.Is(err, io.EOF) {
		c.end(flagClosing | flagPeerDone)
	} else {
		c.end(flagClosing)
	}
	h.Closed(&l.turn, err)
}

// room returns where the next want bytes or more of c are to be read to, and how many of its unused bytes are before them; want
// is at most readSize. A short rest
// is copied to the buffer of the loop and its buffer given back; a long one is read on in its own buffer, which grows
// geometrically.
func (l *Loop) room(c *Conn, want int) (b []byte, have int) {
	if c.in == nil {
		return l.buf, 0
	}
	have = len(c.in.buf)
	if have <= maxMoved {
		copy(l.buf, c.in.buf)
		c.dropInput()
		return l.buf, have
	}
	c.in.buf = buffer.Grow(c.in.buf, max(want, min(have, readSize)))
	return c.in.buf[:cap(c.in.buf)], have
}

// present gives the handler the first n bytes of b, which are all that it did not use. b is the loop's buffer, or that of
// c.in. A handler of a step may give way to the next one, which gets the rest.
func (l *Loop) present(c *Conn, b []byte, n int) {
	for {
		l.moved = false
		used, err := c.handler.Data(&l.turn, b[:n:n])
		if err != nil {
			l.fail(c, err)
			break
		}
		if used == n {
			c.dropInput()
		} else {
			c.keepInput(b[used:n])
		}
		if !l.moved {
			break
		}
		if c.handler == nil {
			l.release(c)
			break
		}
		if c.in == nil {
			break
		}
		b, n = c.in.buf, len(c.in.buf)
	}
	l.turn.Cycle()
}

// keepInput keeps what the handler did not use; rest may be a part of what is kept already.
func (c *Conn) keepInput(rest []byte) {
	if c.in == nil {
		c.in = &input{append(buffer.Get(len(rest)), rest...)}
		return
	}
	c.in.buf = c.in.buf[:copy(c.in.buf[:cap(c.in.buf)], rest)]
}

// dropInput gives back the buffer of unused input.
func (c *Conn) dropInput() {
	if c.in != nil {
		buffer.Put(c.in.buf)
		c.in = nil
	}
}

// input reads once what has come and presents it.
func (l *Loop) input(c *Conn) {
	if c.flags.Load()&flagsMute != 0 {
		if c.handler == nil {
			l.discard(c)
		} // else the loop is about to attend to it
		return
	}
	if c.ext != nil && c.ext.tls != nil && c.ext.tls.active {
		l.inputRaw(c)
		return
	}
	b, have := l.room(c, 1)
	n, err := sysRead(c.fd, b[have:])
	if n > 0 {
		l.arrived(c, b, have, n)
		return
	}
	l.unread(c, b, have)
	l.finished(c, err)
}

// inputRaw reads what has come and is not yet what the handler wants.
func (l *Loop) inputRaw(c *Conn) {
	if l.raw == nil {
		l.raw = make([]byte, readSize)
	}
	n, err := sysRead(c.fd, l.raw)
	if n > 0 {
		l.received(c, l.raw[:n])
		return
	}
	l.finished(c, err)
}

// finished handles a read that gave nothing.
func (l *Loop) finished(c *Conn, err error) {
	switch err {
	case errAgain:
	case nil:
		l.gone(c, io.EOF)
	default:
		l.gone(c, err)
	}
}

// discard reads what comes after the end, so that the kernel does not answer with a reset what the peer should still read.
func (l *Loop) discard(c *Conn) {
	if n, err := sysRead(c.fd, l.buf); n == 0 && err != errAgain {
		l.release(c)
	}
}

// errBroken is reported when a write failed and the read side did not say why.
var errBroken = errors.New("netpoll: the connection broke while writing")
