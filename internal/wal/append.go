package wal

import (
	"encoding/binary"
	"fmt"
)

// batch is what one turn of the writer puts on disk.
type batch struct {
	buf     []byte
	parts   []part
	ops     []op
	offs    []uint32 // of entries; ops refer to it
	waiters []Waiter
	err     error
}

// part is a piece of a batch that goes to one segment in one write.
type part struct {
	seg      *segment
	off      int64
	from, to int // in buf
}

// op is what a batch changes in the index of a group once it is on disk.
type op struct {
	g        *group
	kind     kind
	tag      byte
	seg      *segment
	index    uint64
	term     uint64
	from, to int // offs of entries
	bytes    int64
	off      int64  // chunks
	cold     uint64 // horizon of resets and removals
}

func (b *batch) reset() {
	const keep = 1 << 20
	if cap(b.buf) > 16*keep {
		b.buf = nil
	}
	clear(b.waiters)
	clear(b.ops)
	clear(b.parts)
	b.buf, b.parts, b.ops = b.buf[:0], b.parts[:0], b.ops[:0]
	b.offs, b.waiters, b.err = b.offs[:0], b.waiters[:0], nil
}

// Append adds an update to the log. With a waiter, it is written and synced at
// once, together with what others append meanwhile, and the waiter is told.
// Without, it goes to the disk with the next write: after a crash it may be
// missing, but only together with everything appended after it. (A lone state
// or base may be late by some writes more while the disk is full.)
//
// Append blocks while too much waits to be written, and, if u has entries,
// while the disk has no room. It fails without effect if the log is closed
// or has failed, or if u is not a continuation of the group's log.
func (l *Log) Append(u *Update, w Waiter) error {
	g := l.obtain(u.Group)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.mu.cur.buf) > l.opt.MaxPending && l.mu.err == nil && !l.mu.closed && !l.opt.Manual {
		l.mu.urgent = true
		l.work.Signal()
		l.room.Wait()
	}
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.check(g, u); err != nil {
		return err
	}
	if w == nil && u.Snapshot == nil && len(u.Entries) == 0 && (u.Base == nil || !u.Base.Reset) {
		l.later(g, u)
		return nil
	}
	if err := l.encode(g, u); err != nil {
		return err
	}
	if w != nil {
		l.mu.cur.waiters = append(l.mu.cur.waiters, w)
		l.wake()
	}
	return nil
}

// Remove drops a group with everything it has. Its id may be used again.
func (l *Log) Remove(id uint64, w Waiter) error {
	g := l.lookup(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if g == nil || !g.app.exists {
		return ErrNoGroup
	}
	cold := l.closeCold()
	seg, _, err := l.put(&record{kind: kindRemove, group: id, term: cold}, false)
	if err != nil {
		return err
	}
	l.mu.cur.ops = append(l.mu.cur.ops, op{g: g, kind: kindRemove, seg: seg, cold: cold})
	a := &g.app
	past := horizon{hot: seg.epoch, cold: cold}
	*a = appended{void: past, born: past, voidSeg: seg, version: a.version + 1, dirty: a.dirty}
	l.mu.moved = true
	if w != nil {
		l.mu.cur.waiters = append(l.mu.cur.waiters, w)
		l.wake()
	}
	return nil
}

func (l *Log) usable() error {
	if l.mu.err != nil {
		return l.mu.err
	}
	if l.mu.closed {
		return ErrClosed
	}
	return nil
}

// wake makes the writer write what waits.
func (l *Log) wake() {
	if !l.mu.urgent {
		l.mu.urgent = true
		l.work.Signal()
	}
}

// check refuses what would make a hole in the group's log.
func (l *Log) check(g *group, u *Update) error {
	a := &g.app
	last, base := a.last, a.base.Index
	if b := u.Base; b != nil {
		switch {
		case b.Reset:
			last, base = b.Index, b.Index
		case b.Index > last:
			return fmt.Errorf("%w: group %d: base %d after the last entry %d", ErrGap, g.id, b.Index, last)
		}
	}
	for i := range u.Entries {
		e := &u.Entries[i]
		switch {
		case len(e.Data) > l.opt.MaxEntry:
			return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(e.Data), l.opt.MaxEntry)
		case i == 0 && (e.Index > last+1 || e.Index <= base):
			return fmt.Errorf("%w: group %d: entry %d, log has %d to %d", ErrGap, g.id, e.Index, base+1, last)
		case i > 0 && e.Index != u.Entries[i-1].Index+1:
			return fmt.Errorf("%w: group %d: entry %d after %d", ErrGap, g.id, e.Index, u.Entries[i-1].Index)
		}
	}
	return nil
}

// later notes a hard state or base that the next write takes along.
func (l *Log) later(g *group, u *Update) {
	a := &g.app
	a.exists = true
	if u.State != nil {
		a.state, a.dirtyState = *u.State, true
	}
	if u.Base != nil && u.Base.Index > a.base.Index {
		a.base, a.dirtyBase = *u.Base, true
		l.mu.moved = true
	}
	if !a.dirty {
		a.dirty = true
		l.mu.dirty = append(l.mu.dirty, g)
	}
}

// encode puts the records of an update into the current batch.
func (l *Log) encode(g *group, u *Update) error {
	a := &g.app
	a.exists = true
	if u.Snapshot != nil && (u.Snapshot.Index > a.snap || a.snap == 0) {
		a.snap = u.Snapshot.Index
		if err := l.putSnapshot(g, u.Snapshot); err != nil {
			return err
		}
	}
	if u.Base != nil {
		l.mu.moved = true
		a.base = *u.Base
		if u.Base.Reset {
			a.last = u.Base.Index
			a.version++
			a.state.Commit = max(a.state.Commit, u.Base.Index)
		}
		if err := l.putBase(g); err != nil {
			return err
		}
		a.base.Reset = false
	}
	if len(u.Entries) > 0 {
		a.version++
		a.last = u.Entries[len(u.Entries)-1].Index
		if err := l.putEntries(g, kindEntry, u.Entries); err != nil {
			return err
		}
		l.count(u.Entries)
	}
	if u.State != nil {
		a.state = *u.State
		return l.putState(g)
	}
	return nil
}

func (l *Log) putSnapshot(g *group, s *Snapshot) error {
	parts := 0
	for rest := s.Data; ; parts++ {
		piece := rest[:min(len(rest), chunkSize, l.opt.MaxEntry)]
		rest = rest[len(piece):]
		seg, off, err := l.put(&record{kind: kindChunk, group: g.id, index: s.Index, term: uint64(parts), payload: piece}, true)
		if err != nil {
			return err
		}
		l.mu.cur.ops = append(l.mu.cur.ops, op{
			g: g, kind: kindChunk, seg: seg, off: off, index: s.Index, term: uint64(parts), bytes: int64(len(piece)),
		})
		if len(rest) == 0 {
			break
		}
	}
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(s.Data)))
	seg, _, err := l.put(&record{kind: kindSnapshot, group: g.id, index: s.Index, term: uint64(parts + 1), payload: size[:]}, true)
	if err == nil {
		l.mu.cur.ops = append(l.mu.cur.ops, op{
			g: g, kind: kindSnapshot, seg: seg, index: s.Index, term: uint64(parts + 1), bytes: int64(len(s.Data)),
		})
	}
	return err
}

// putEntries encodes entries and notes where they stand, one op for each run of
// a term in a segment.
func (l *Log) putEntries(g *group, k kind, es []Entry) error {
	var o *op
	for i := range es {
		e := &es[i]
		waits := l.mu.waits
		seg, off, err := l.put(&record{kind: k, tag: e.Tag, group: g.id, term: e.Term, index: e.Index, payload: e.Data}, k == kindEntry)
		if err != nil {
			return err
		}
		b := l.mu.cur
		// Whoever waited for room finds another batch, or others' changes in the same one; or the same one again, used
		// anew. What o points to is then no longer its own.
		if o == nil || l.mu.waits != waits || o.seg != seg || o.term != e.Term {
			b.ops = append(b.ops, op{g: g, kind: k, seg: seg, index: e.Index, term: e.Term, from: len(b.offs), to: len(b.offs)})
			o = &b.ops[len(b.ops)-1]
		}
		b.offs = append(b.offs, uint32(off/align))
		o.to++
		o.bytes += int64(padded(len(e.Data)))
	}
	return nil
}

func (l *Log) count(es []Entry) {
	bytes := 0
	for i := range es {
		bytes += len(es[i].Data)
	}
	l.stats.records.Add(int64(len(es)))
	l.stats.payload.Add(int64(bytes))
}

func (l *Log) putState(g *group) error {
	a := &g.app
	a.dirtyState = false
	if l.opt.plant.forgetState {
		return nil
	}
	var vote [voteSize]byte
	binary.LittleEndian.PutUint64(vote[:], a.state.Vote)
	seg, _, err := l.put(&record{kind: kindState, group: g.id, term: a.state.Term, index: a.state.Commit, payload: vote[:]}, false)
	if err == nil {
		a.stateSeg = seg
		l.mu.cur.ops = append(l.mu.cur.ops, op{g: g, kind: kindState, index: a.state.Commit})
	}
	return err
}

func (l *Log) putBase(g *group) error {
	a := &g.app
	a.dirtyBase = false
	rec := record{kind: kindBase, group: g.id, term: a.base.Term, index: a.base.Index}
	cold := uint64(0)
	if a.base.Reset {
		cold = l.closeCold()
		rec.tag = resetTag
		rec.payload = a.born.append(binary.LittleEndian.AppendUint64(nil, cold))
	}
	seg, _, err := l.put(&rec, false)
	if err != nil {
		return err
	}
	a.baseSeg = seg
	l.mu.cur.ops = append(l.mu.cur.ops, op{g: g, kind: kindBase, tag: rec.tag, seg: seg, index: a.base.Index, term: a.base.Term, cold: cold})
	if rec.tag == resetTag {
		a.void, a.voidSeg = horizon{hot: seg.epoch, cold: cold}, seg
	}
	return nil
}

func (l *Log) putVoid(g *group) error {
	a := &g.app
	born := a.born.append(nil)
	seg, _, err := l.put(&record{kind: kindVoid, group: g.id, index: a.void.hot, term: a.void.cold, payload: born}, false)
	if err == nil {
		a.voidSeg = seg
	}
	return err
}

// closeCold ends the copying into the open cold segment, so that what is copied
// from now on is in a younger one. It gives the highest epoch that a cold
// segment may have so far. The reclaimer seals the one that was open.
func (l *Log) closeCold() uint64 {
	l.mu.coldOpen = nil
	return l.mu.epoch
}

// put encodes one record where the log ends, moving on to the next segment if
// the active one is full. Bulk records leave the last quarter of the last
// segment to those that make room again, and wait for it. l.mu is held, and
// given up while waiting: the current batch may be another one afterwards.
func (l *Log) put(r *record, bulk bool) (*segment, int64, error) {
	n := int64(padded(len(r.payload)))
	for {
		s := l.mu.active
		free := s.size - endSize - s.off - n
		switch {
		case l.mu.next == nil && l.mu.stuck && bulk && free < s.size/4, free < 0 && l.mu.next == nil:
			if err := l.awaitRoom(); err != nil {
				return nil, 0, err
			}
			continue
		case free < 0:
			l.rotate()
			continue
		}
		return s, l.write(s, r), nil
	}
}

// awaitRoom sleeps until something changed that may have made room.
func (l *Log) awaitRoom() error {
	l.mu.waits++
	if l.opt.Manual {
		l.mu.Unlock()
		err := l.prepareNext()
		l.mu.Lock()
		if err != nil {
			return err
		}
		if l.mu.next == nil {
			return fmt.Errorf("wal: no room: %w", errNoRoom)
		}
		return nil
	}
	poke(l.prepare)
	l.wake() // what was encoded so far need not wait with us
	l.room.Wait()
	return l.usable()
}

// write encodes a record into the current batch at the end of s.
func (l *Log) write(s *segment, r *record) (off int64) {
	b := l.mu.cur
	if n := len(b.parts); n == 0 || b.parts[n-1].seg != s {
		s.batch++
		b.parts = append(b.parts, part{seg: s, off: s.off, from: len(b.buf), to: len(b.buf)})
		r.first = true
	}
	r.epoch, r.batch = s.epoch32(), s.batch
	off = s.off
	before := len(b.buf)
	b.buf = appendRecord(b.buf, l.salt, r)
	b.parts[len(b.parts)-1].to = len(b.buf)
	s.off += int64(len(b.buf) - before)
	return off
}

// rotate ends the active segment and goes on in the next.
func (l *Log) rotate() {
	s := l.mu.active
	l.write(s, &record{kind: kindEnd, index: uint64(s.off), term: l.mu.next.epoch})
	l.mu.active, l.mu.next = l.mu.next, nil
	l.mu.hot = append(l.mu.hot, l.mu.active)
	// So that recovery finds it by reading the newest segment alone.
	l.write(l.mu.active, &record{kind: kindOldest, index: l.mu.oldest})
	poke(l.prepare)
	poke(l.tidy)
}

// poke wakes a goroutine that waits on a channel of capacity 1.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
