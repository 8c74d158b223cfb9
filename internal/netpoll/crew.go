package netpoll

import (
	"slices"
	"sync/atomic"
	"time"
)

// A node with little to do wakes up for each packet, and then a second loop costs more than it gives: every packet wakes
// another thread on another processor (measured at 5,000 messages/s over 50 pairs: 1.4 times the floor with two loops, 1.26
// with one). So loops with little to do board the first one: its goroutine drives them as well, each still with
// connections, mail, alarms and turns of its own, so that handlers see no difference. When there is more to do they go
// home: their own goroutines drive them again.
//
//	guest's goroutine                          host's goroutine (loop 0)
//	board: aboard, guest's set into host's ->  wakes, passes for itself and for each guest with something to do
//	waits for home                             land: guest's set out of host's
//	drives itself again                    <-  home
//
// A loop is driven by one goroutine at any time; aboard and home hand it over, and with it everything that is the loop's own.
type crew struct {
	aboard atomic.Bool
	home   chan struct{}

	// Owned by whoever drives the loop.
	ready   bool      // guest: its set has events
	since   time.Time // when the window began
	busy    time.Duration
	streak  int       // waits in a row that found something at once
	ashore  time.Time // guest: not before this time does it board again
	landing bool      // host: guests are to go home

	use    atomic.Int32            // of the last window, in thousandths
	guests atomic.Pointer[[]*Loop] // of the host, else nil; replaced under Poller.boarding
}

const (
	// useWindow is the time over which a loop's use is measured.
	useWindow = 20 * time.Millisecond
	// boardBelow is the use of guest and host together, in thousandths, below which a guest boards.
	boardBelow = 300
	// landAbove is the host's use above which guests go home; a pass longer than landPass or landStreak waits without
	// rest say so sooner.
	landAbove  = 600
	landPass   = 2 * time.Millisecond
	landStreak = 64
	// shoreLeave is how long a guest that went home stays there.
	shoreLeave = time.Second
)

// note counts a pass from begin to end, and whether the wait before it rested.
func (c *crew) note(begin, end time.Time, rested bool) {
	c.busy += end.Sub(begin)
	if rested {
		c.streak = 0
	} else {
		c.streak++
	}
	if end.Sub(begin) > landPass || c.streak >= landStreak {
		c.landing = true
	}
	if window := end.Sub(c.since); window >= useWindow {
		use := int32(c.busy * 1000 / window)
		c.use.Store(use)
		c.landing = c.landing || use > landAbove
		c.since, c.busy = end, 0
	}
}

// wantsAboard tells whether the loop, which is driven by its own goroutine, should be the first one's guest.
func (l *Loop) wantsAboard(now time.Time) bool {
	c := &l.crew
	host := l.poller.loops.all[0]
	if l == host || l.ended || c.streak > 0 || c.since != now {
		return false // not at the end of a window
	}
	if c.landing {
		c.landing, c.ashore = false, now.Add(shoreLeave)
	}
	return now.After(c.ashore) && c.use.Load()+host.crew.use.Load() < boardBelow
}

// guests are the loops aboard this one.
func (l *Loop) guests() []*Loop {
	if all := l.crew.guests.Load(); all != nil {
		return *all
	}
	return nil
}

// board hands the loop to the host and returns when it is back. By the loop's own goroutine.
func (l *Loop) board() {
	p := l.poller
	host := p.loops.all[0]
	p.boarding.Lock()
	if host.crew.guests.Load() == nil || host.poll.invite(l.poll, l.index) != nil {
		p.boarding.Unlock() // the host has ended, or the kernel has no memory
		return
	}
	l.box.sleeping.Store(true) // so that mail wakes the host, by way of the guest's set
	l.crew.aboard.Store(true)
	more := append(slices.Clone(host.guests()), l)
	host.crew.guests.Store(&more)
	p.boarding.Unlock()
	host.nudge() // the host must learn of the guest's mail and alarms
	<-l.crew.home
}

// land sends the guests home. By the host.
func (l *Loop) land() {
	if len(l.guests()) == 0 {
		return
	}
	p := l.poller
	p.boarding.Lock()
	defer p.boarding.Unlock()
	for _, g := range l.guests() {
		l.poll.dismiss(g.poll)
		g.crew.ready, g.crew.ashore = false, time.Now().Add(shoreLeave)
		g.crew.aboard.Store(false)
		g.crew.home <- struct{}{}
	}
	l.crew.guests.Store(new([]*Loop))
}

// retire sends everybody home for good. By the host when it ends.
func (l *Loop) retire() {
	for l.crew.guests.Load() != nil {
		l.land()
		l.poller.boarding.Lock()
		if len(l.guests()) == 0 {
			l.crew.guests.Store(nil)
		}
		l.poller.boarding.Unlock()
	}
}

// guestReady notes that a guest's set has events.
func (l *Loop) guestReady(index int) {
	if g := l.poller.loops.all[index]; g.crew.aboard.Load() {
		g.crew.ready = true
	}
}

// passGuests drives the guests that have something to do. One that has ended meanwhile stays until the host ends too, as
// Poller.Stop ends all.
func (l *Loop) passGuests() {
	for _, g := range l.guests() {
		if !g.crew.ready && !g.box.filled.Load() {
			continue
		}
		g.crew.ready = false
		g.poll.wait(time.Time{}, 0)
		g.pass(time.Now())
	}
}
