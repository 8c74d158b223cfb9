package wal

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// coldWrite is how much is copied with one write.
const coldWrite = 1 << 20

// copier writes records into cold segments. It is used by the reclaimer only.
type copier struct {
	l    *Log
	seg  *segment // the open one
	buf  []byte   // not written yet; goes to seg at seg.off - len(buf)
	void horizon  // of the group that is being copied, as of the entries on disk
}

// errGone ends the copying of a group that was reset or removed meanwhile.
var errGone = errors.New("wal: group was reset")

// moved is a piece of a group's log in its new place.
type moved struct {
	g    *group
	runs []run
	snap snapshot
}

// copyOut copies what hs need of s to cold segments, syncs them and lets the
// index refer to the copies. ok is false if there is no room for them.
func (l *Log) copyOut(s *segment, hs []holding) (ok bool, err error) {
	c := copier{l: l}
	image := make([]byte, s.size)
	if _, err := s.file.ReadAt(image, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, s.corrupt(0, "cannot be read: "+err.Error())
	}
	var out []moved
	for _, h := range hs {
		m := moved{g: h.g}
		if err = c.copyRuns(&m, s, image); err == nil && h.hasSnapshot {
			err = c.copySnapshot(&m)
		}
		if errors.Is(err, errGone) {
			err = nil
			continue
		}
		if err != nil {
			break
		}
		out = append(out, m)
	}
	if err == nil {
		err = c.finish()
	}
	if errors.Is(err, errNoRoom) {
		return false, nil // what was written so far is harmless, and dead
	}
	if err != nil {
		return false, err
	}
	for i := range out {
		out[i].install()
	}
	return true, nil
}

// copyRuns copies the entries that a group has in s.
func (c *copier) copyRuns(m *moved, s *segment, image []byte) error {
	m.g.mu.RLock()
	c.void = m.g.mu.void
	var runs []run
	for _, r := range m.g.mu.runs {
		if r.seg == s {
			r.offs = slices.Clone(r.offs)
			runs = append(runs, r)
		}
	}
	m.g.mu.RUnlock()
	for i := range runs {
		r := &runs[i]
		for index := r.first; index < r.end(); index++ {
			off := r.offset(index)
			rec, _, f := decodeRecord(image[off:], c.l.salt, s.epoch32())
			if f == sound && (!rec.isEntry() || rec.group != m.g.id || rec.index != index) {
				f = "another record stands where the entry was written"
			}
			if f != sound {
				return s.corrupt(off, string(f))
			}
			rec.kind = kindEntry
			p, err := c.put(&rec)
			if err != nil {
				return err
			}
			m.add(p, &rec)
		}
	}
	return nil
}

func (m *moved) add(p place, rec *record) {
	o := uint32(p.off / align)
	if n := len(m.runs); n > 0 {
		if r := &m.runs[n-1]; r.seg == p.seg && r.end() == rec.index {
			if r.termAt(rec.index-1) != rec.term {
				r.later = append(r.later, termFrom{rec.index, rec.term})
			}
			r.offs = append(r.offs, o)
			r.bytes += int64(padded(p.len))
			return
		}
	}
	m.runs = append(m.runs, run{seg: p.seg, first: rec.index, term: rec.term, offs: []uint32{o}, bytes: int64(padded(p.len))})
}

// copySnapshot copies the newest snapshot of a group, all parts.
func (c *copier) copySnapshot(m *moved) error {
	s, ok := m.g.pinSnapshot()
	if !ok {
		return nil
	}
	defer s.unpin()
	data, err := c.l.readSnapshot(m.g.id, s)
	if err != nil {
		return err
	}
	m.snap = snapshot{index: s.index, size: s.size}
	for i, rest := 0, data; i < len(s.parts); i++ {
		piece := rest[:s.parts[i].len]
		rest = rest[len(piece):]
		p, err := c.put(&record{kind: kindChunk, group: m.g.id, index: s.index, term: uint64(i), payload: piece})
		if err != nil {
			return err
		}
		m.snap.parts = append(m.snap.parts, p)
	}
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], s.size)
	p, err := c.put(&record{kind: kindSnapshot, group: m.g.id, index: s.index, term: uint64(len(s.parts)), payload: size[:]})
	m.snap.end = p.seg
	return err
}

// put appends a record to the open cold segment, or to a new one.
func (c *copier) put(r *record) (place, error) {
	n := int64(padded(len(r.payload)))
	if err := c.open(n, r.group); err != nil {
		return place{}, err
	}
	s := c.seg
	at := place{seg: s, off: s.off, len: len(r.payload)}
	r.epoch, r.batch, r.first = s.epoch32(), s.batch, len(c.buf) == 0
	c.buf = appendRecord(c.buf, c.l.salt, r)
	s.off += n
	if len(c.buf) >= coldWrite {
		return at, c.write()
	}
	return at, nil
}

// open makes sure that there is an open cold segment with room for n bytes. It
// gives errGone if the group was reset or removed since the copying began: its
// old entries must not come into a segment that is younger than that.
func (c *copier) open(n int64, id uint64) error {
	l := c.l
	g := l.lookup(id)
	l.mu.Lock()
	cur := l.mu.coldOpen
	gone := g.app.void != c.void
	l.mu.Unlock()
	if gone {
		return errGone
	}
	if c.seg == nil {
		c.seg = cur
	}
	if c.seg != nil && c.seg == cur && c.seg.size-endSize-c.seg.off >= n {
		return nil
	}
	if c.seg != nil { // full, or too old for what comes now
		if err := c.close(); err != nil {
			return err
		}
	}
	s, err := l.takeSegment(header{class: classCold, oldest: l.oldestHot(), salt: l.seed})
	if err != nil {
		return err
	}
	s.batch = 1
	l.mu.Lock()
	l.mu.coldOpen = s
	l.mu.cold = append(l.mu.cold, s)
	l.mu.Unlock()
	c.seg = s
	return c.open(n, id)
}

func (l *Log) oldestHot() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.oldest
}

// write writes what was encoded.
func (c *copier) write() error {
	if len(c.buf) == 0 {
		return nil
	}
	if _, err := c.seg.file.WriteAt(c.buf, c.seg.off-int64(len(c.buf))); err != nil {
		return err
	}
	c.l.stats.written.Add(int64(len(c.buf)))
	c.l.stats.copied.Add(int64(len(c.buf)))
	c.buf = c.buf[:0]
	c.seg.batch++
	return nil
}

// close ends a cold segment.
func (c *copier) close() error {
	if err := c.write(); err != nil {
		return err
	}
	l := c.l
	l.mu.Lock()
	if l.mu.coldOpen == c.seg {
		l.mu.coldOpen = nil
	}
	l.mu.Unlock()
	err := l.seal(c.seg, 0)
	c.seg = nil
	return err
}

// finish makes all copies durable.
func (c *copier) finish() error {
	if c.seg == nil {
		return nil
	}
	if err := c.write(); err != nil {
		return err
	}
	if err := c.seg.file.Sync(); err != nil {
		return err
	}
	c.l.stats.syncs.Add(1)
	c.seg.end.Store(c.seg.off)
	return nil
}

// install lets the index refer to the copies. What was dropped meanwhile stays
// dropped.
func (m *moved) install() {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	d := &m.g.mu.onDisk
	d.relocate(m.runs)
	if len(m.snap.parts) > 0 && d.snap.index == m.snap.index {
		d.snap = m.snap
	}
}

// tidyCold frees cold segments that nothing is needed of and, when more than
// half of what cold segments hold is dead, moves what the emptiest needs.
func (l *Log) tidyCold() error {
	l.mu.Lock()
	cold := slices.Clone(l.mu.cold)
	open := l.mu.coldOpen
	l.mu.Unlock()
	live := l.liveBytes()
	var best *segment
	var used, needed int64
	for _, s := range cold {
		bytes, any := live[s]
		if !any {
			if err := l.freeCold(s); err != nil {
				return err
			}
			continue
		}
		used += s.size
		needed += bytes
		if s != open && (best == nil || bytes < live[best]) {
			best = s
		}
	}
	if best == nil || used <= 2*needed+2*l.opt.SegmentSize || best.size < 2*live[best] {
		return nil
	}
	bestHolds, _ := l.survey(best)
	ok, err := l.copyOut(best, bestHolds)
	if err != nil || !ok {
		return err
	}
	return l.freeCold(best)
}

// liveBytes tells what is needed of each segment; what is not in it is dead.
func (l *Log) liveBytes() map[*segment]int64 {
	live := make(map[*segment]int64)
	for _, g := range l.all() {
		g.mu.RLock()
		for i := range g.mu.runs {
			live[g.mu.runs[i].seg] += g.mu.runs[i].bytes
		}
		for _, p := range g.mu.snap.parts {
			live[p.seg] += int64(padded(p.len))
		}
		if s := g.mu.snap.end; s != nil {
			live[s] += stateSize
		}
		g.mu.RUnlock()
	}
	return live
}

// freeCold makes a cold segment free. Its header goes first, so that recovery
// does not take its entries for those of a group that was removed since.
func (l *Log) freeCold(s *segment) error {
	l.mu.Lock()
	l.mu.epoch++
	h := header{class: classFree, epoch: l.mu.epoch, salt: l.seed}
	l.mu.Unlock()
	if err := s.begin(h); err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.cold = slices.DeleteFunc(l.mu.cold, func(c *segment) bool { return c == s })
	if l.mu.coldOpen == s {
		l.mu.coldOpen = nil
	}
	l.mu.Unlock()
	return l.release(s)
}
