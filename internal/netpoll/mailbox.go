package netpoll

import (
	"sync"
	"sync/atomic"
)

// mailbox is what others left for a loop. Posting takes a mutex for the time of an append, and wakes the loop only if it
// sleeps: the one who finds sleeping set, and clears it, does so.
type mailbox struct {
	filled   atomic.Bool
	sleeping atomic.Bool

	mu     sync.Mutex
	mails  []Mail  // guarded by mu
	conns  []*Conn // guarded by mu; to attend to
	closed bool    // guarded by mu; no more mail is taken
	ended  bool    // guarded by mu; the waiter is closed
}

// Post leaves mail for the loop, from any goroutine; it is called in the order of posting. It reports false, and drops
// the mail, if the loop has ended.
func (l *Loop) Post(m Mail) bool {
	b := &l.box
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.mails = append(b.mails, m)
	b.filled.Store(true)
	b.mu.Unlock()
	l.rouse()
	return true
}

// attend has the loop look at a connection whose flags someone has changed.
func (l *Loop) attend(c *Conn) {
	b := &l.box
	b.mu.Lock()
	b.conns = append(b.conns, c)
	b.filled.Store(true)
	b.mu.Unlock()
	l.rouse()
}

// sleep notes that the loop is about to sleep, and tells whether it must not since there is mail.
func (b *mailbox) sleep() bool {
	b.sleeping.Store(true)
	return b.filled.Load()
}

// rouse wakes the loop if it sleeps.
func (l *Loop) rouse() {
	b := &l.box
	if !b.sleeping.Load() || !b.sleeping.Swap(false) {
		return
	}
	l.nudge()
}

// nudge ends the loop's sleep, if it has not ended itself.
func (l *Loop) nudge() {
	b := &l.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		l.poll.wake()
	}
}

// take empties the mailbox into the slices given, which become those of the mailbox.
func (b *mailbox) take(mails []Mail, conns []*Conn) ([]Mail, []*Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled.Store(false)
	mails, b.mails = b.mails, mails[:0]
	conns, b.conns = b.conns, conns[:0]
	return mails, conns
}

// close refuses mail from now on, or takes it again.
func (b *mailbox) close(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = yes
}

// end closes the waiter, so that nobody wakes it any more.
func (b *mailbox) end(poll waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.ended = true, true
	poll.close()
}
