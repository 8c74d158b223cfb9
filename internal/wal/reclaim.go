package wal

import (
	"cmp"
	"errors"
	"slices"
)

// The reclaimer.
//
// The hot segments form one chain, and recovery replays it from the oldest. The
// reclaimer shortens it at that end only, so that what is left is always a
// complete history from some point on:
//
//  1. What the oldest segment holds that is still needed moves: entries up to
//     the commit index go to cold segments, or the segment itself becomes a
//     cold one if most of it is needed; entries that are not committed are
//     appended again. All of it is synced.
//  2. The newest hard states, bases and voids that stand in it are appended
//     again, followed by a record that names the next segment as the oldest.
//  3. When that is on disk the segment is free.
//
// A crash between any two steps leaves the chain as it was: recovery replays
// the segment again, and that gives the same result whether or not copies of
// its entries exist. Committed entries never change, so cold segments have no
// order; they only fill in what is older than the chain.

// runReclaimer is stopped by Close.
func (l *Log) runReclaimer() {
	defer l.done.Done()
	for {
		select {
		case <-l.stop:
			return
		case <-l.failed:
			return
		case <-l.tidy:
		}
		if err := l.tidyUp(); err != nil {
			l.mu.Lock()
			if !l.mu.closed {
				l.fail(err)
			}
			l.mu.Unlock()
		}
	}
}

// tidyUp frees what can be freed.
func (l *Log) tidyUp() error {
	l.reclaim.Lock()
	defer l.reclaim.Unlock()
	l.mu.Lock()
	most := len(l.mu.hot)
	l.mu.Unlock()
	for range most { // not those that it makes itself
		more, err := l.shortenChain()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return l.tidyCold()
}

// holding is what a group has in a segment.
type holding struct {
	g           *group
	bytes       int64
	committed   bool // all of the entries are
	hasSnapshot bool
}

// survey finds out what is needed of a segment.
func (l *Log) survey(s *segment) (hs []holding, bytes int64) {
	for _, g := range l.all() {
		h := holding{g: g}
		g.mu.RLock()
		h.committed = true
		for i := range g.mu.runs {
			if r := &g.mu.runs[i]; r.seg == s {
				h.bytes += r.bytes
				h.committed = h.committed && r.end()-1 <= g.mu.commit
			}
		}
		for _, p := range g.mu.snap.parts {
			if p.seg == s {
				h.bytes += int64(padded(p.len))
			}
		}
		h.hasSnapshot = g.mu.snap.in(s)
		g.mu.RUnlock()
		if h.bytes > 0 || h.hasSnapshot {
			hs = append(hs, h)
			bytes += h.bytes
		}
	}
	slices.SortFunc(hs, func(a, b holding) int { return cmp.Compare(a.g.id, b.g.id) })
	return hs, bytes
}

// shortenChain frees the oldest hot segment, if nothing in it is needed or the
// chain is longer than it may be. more tells that it did.
func (l *Log) shortenChain() (more bool, err error) {
	l.mu.Lock()
	if len(l.mu.hot) < 2 || l.mu.err != nil || l.mu.closed {
		l.mu.Unlock()
		return false, nil
	}
	s := l.mu.hot[0]
	length, stuck := len(l.mu.hot), l.mu.stuck
	stale := s.stale
	l.mu.Unlock()
	long := stuck || length > l.opt.HotSegments+int(2*l.uncommitted()/l.opt.SegmentSize)
	if s.end.Load() < s.off {
		return false, nil // its end is still being written
	}
	hs, needed := l.survey(s)
	if len(hs) > 0 && !long {
		return false, nil
	}
	inPlace := !stale && needed > s.size/2
	for _, h := range hs {
		if h.committed {
			continue
		}
		inPlace = false
		if ok, err := l.carry(h.g, s); err != nil || !ok {
			return false, err // the group is busy; at the next segment again
		}
	}
	switch {
	case len(hs) == 0:
	case inPlace:
		err = s.stamp()
	default:
		var ok bool
		if ok, err = l.copyOut(s, hs); err == nil && !ok {
			return false, nil // no room for the copies
		}
	}
	if err != nil {
		return false, err
	}
	return true, l.retire(s, inPlace && len(hs) > 0)
}

// uncommitted is the size of all entries that are not known to be committed.
// The chain may be longer by twice that: it is written again whenever it comes
// to the end of the chain, and that must not make the chain longer each time.
func (l *Log) uncommitted() (bytes int64) {
	for _, g := range l.all() {
		g.mu.RLock()
		commit := g.mu.commit
		for i := len(g.mu.runs) - 1; i >= 0 && g.mu.runs[i].end() > commit+1; i-- {
			r := &g.mu.runs[i]
			n := r.end() - max(r.first, commit+1)
			bytes += r.bytes * int64(n) / int64(len(r.offs))
		}
		g.mu.RUnlock()
	}
	return bytes
}

// carry appends the entries of a group that stand in s and are not committed
// again. They may yet be replaced, so they must not become cold ones. ok is
// false if the group appends at the same time.
//
// The copies say that they are some: if a crash leaves a part of them only, a
// plain entry would replace those that follow it, which stand elsewhere.
func (l *Log) carry(g *group, s *segment) (ok bool, err error) {
	l.mu.Lock()
	version, last := g.app.version, g.app.last
	l.mu.Unlock()
	lo, hi, lastOnDisk := g.uncommittedIn(s)
	if lastOnDisk != last {
		return false, nil
	}
	var r Reader
	var es []Entry
	for lo < hi {
		more, err := l.Read(&r, g.id, lo, hi, l.opt.MaxEntry)
		if err != nil {
			return false, ignoreMissing(err)
		}
		for _, e := range more {
			e.Data = slices.Clone(e.Data)
			es = append(es, e)
		}
		lo = es[len(es)-1].Index + 1
	}
	l.mu.Lock()
	if g.app.version != version || l.usable() != nil {
		l.mu.Unlock()
		return false, nil
	}
	s.stale = true // the index no longer sees what may be replaced in it
	err = l.putEntries(g, kindCarry, es)
	l.mu.Unlock()
	if err != nil {
		return false, err
	}
	return true, l.sync()
}

// uncommittedIn gives the range of indexes, from lo up to hi, that stand in s and
// are not committed, and the last index of the group that is on disk.
func (g *group) uncommittedIn(s *segment) (lo, hi, last uint64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for i := range g.mu.runs {
		if r := &g.mu.runs[i]; r.seg == s {
			if hi == 0 {
				lo = r.first
			}
			hi = r.end()
		}
	}
	return max(lo, g.mu.commit+1), hi, g.mu.last()
}

// ignoreMissing passes over the errors of entries that are not on disk yet, or
// no longer needed.
func ignoreMissing(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrCompacted) || errors.Is(err, ErrNoGroup) {
		return nil
	}
	return err
}

// retire takes the oldest segment out of the chain, for good once the record
// that says so is on disk.
func (l *Log) retire(s *segment, toCold bool) error {
	l.mu.Lock()
	next := l.mu.hot[1].epoch
	err := l.renew(s)
	if err == nil {
		_, _, err = l.put(&record{kind: kindOldest, index: next}, false)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.hot = slices.Delete(l.mu.hot, 0, 1)
	l.mu.oldest = next
	if toCold {
		s.class = classCold
		l.mu.cold = append(l.mu.cold, s)
	}
	l.mu.Unlock()
	if toCold {
		return nil
	}
	return l.release(s)
}

// renew appends what stands in s and nowhere else again. l.mu is held, but may
// be given up meanwhile; groups that change then have their newest records
// elsewhere already.
func (l *Log) renew(s *segment) error {
	for _, g := range l.all() {
		if g.app.voidSeg == s {
			if l.hidesAny(g.app.void) {
				if err := l.putVoid(g); err != nil {
					return err
				}
			} else {
				g.app.void, g.app.born, g.app.voidSeg = horizon{}, horizon{}, nil
				g.mu.Lock()
				g.mu.void = horizon{}
				g.mu.Unlock()
			}
		}
		// A group of which nothing else is said in the chain would not exist.
		mute := g.app.exists && g.app.baseSeg == nil && g.app.stateSeg == nil
		if g.app.baseSeg == s || mute {
			if err := l.putBase(g); err != nil {
				return err
			}
		}
		if g.app.stateSeg == s {
			if err := l.putState(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// hidesAny tells whether there are cold segments behind a horizon. l.mu is held.
func (l *Log) hidesAny(h horizon) bool { return slices.ContainsFunc(l.mu.cold, h.hides) }

// sync writes what was appended so far and waits for it.
func (l *Log) sync() error {
	l.mu.Lock()
	if err := l.mu.err; err != nil {
		l.mu.Unlock()
		return err
	}
	if l.opt.Manual {
		l.mu.Unlock()
		l.flush()
		return l.Err()
	}
	w := make(chanWaiter, 1)
	if l.mu.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mu.cur.waiters = append(l.mu.cur.waiters, w)
	l.wake()
	l.mu.Unlock()
	return <-w
}

// chanWaiter is a Waiter for one who sleeps; its capacity is 1.
type chanWaiter chan error

// Durable implements Waiter.
func (w chanWaiter) Durable(err error) { w <- err }

// Sync writes and syncs everything appended so far.
func (l *Log) Sync() error { return l.sync() }

// Flush does all that is to do, in the caller's goroutine: it writes and syncs
// what was appended, tells the waiters, prepares segments and reclaims old
// ones. For a Manual log, which has no goroutines of its own.
func (l *Log) Flush() error {
	l.flush()
	if err := l.Err(); err != nil {
		return err
	}
	if err := l.upkeep(); err != nil {
		l.mu.Lock()
		l.fail(err)
		l.mu.Unlock()
		return l.Err()
	}
	return nil
}

// upkeep does a turn of the preparer and of the reclaimer.
func (l *Log) upkeep() error {
	if err := l.prepareNext(); err != nil {
		return err
	}
	tidy := l.takeMoved()
	select {
	case <-l.tidy:
		tidy = true
	default:
	}
	if !tidy {
		return nil
	}
	return l.tidyUp()
}
