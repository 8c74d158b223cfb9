package wal

import (
	"errors"
	"io"
	"slices"
)

// GroupInfo is what a replica finds at start.
type GroupInfo struct {
	State HardState
	Base  Base
	Last  uint64 // index of the last entry; Base.Index if there is none
	// Snapshot is the index of the newest snapshot; 0 none.
	Snapshot uint64
}

// Groups gives the ids of all groups that exist, sorted.
func (l *Log) Groups() []uint64 {
	var ids []uint64
	for _, g := range l.all() {
		l.mu.Lock()
		if g.app.exists {
			ids = append(ids, g.id)
		}
		l.mu.Unlock()
	}
	slices.Sort(ids)
	return ids
}

// Info tells the state of a group with everything appended so far, on disk or
// not; right after Open it is what is on disk. Error: ErrNoGroup.
func (l *Log) Info(id uint64) (GroupInfo, error) {
	g := l.lookup(id)
	if g == nil {
		return GroupInfo{}, ErrNoGroup
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !g.app.exists {
		return GroupInfo{}, ErrNoGroup
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return GroupInfo{State: g.app.state, Base: g.app.base, Last: g.app.last, Snapshot: g.mu.snap.index}, nil
}

// Term gives the term of an entry that is on disk, or of the base.
// Error: ErrCompacted, ErrUnavailable, ErrNoGroup.
func (l *Log) Term(id, index uint64) (uint64, error) {
	g := l.lookup(id)
	if g == nil {
		return 0, ErrNoGroup
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.term(index)
}

// Reader holds the buffers of Read, so that reading allocates nothing once they
// have grown. It is used by one goroutine at a time.
type Reader struct {
	buf     []byte
	used    int // of buf, by the current Read
	entries []Entry
	wants   []want
}

// want is a record to be read, and what it must turn out to be.
type want struct {
	seg   *segment
	off   int64
	end   int64 // where it probably ends
	index uint64
}

const (
	// readAhead is how much is read at once when the entries stand close to
	// each other, readGap how many foreign bytes between two entries are read
	// along rather than skipped.
	readAhead = 256 << 10
	readGap   = 16 << 10
	// readFirst is read beyond the usual length of a group's records.
	readFirst = 4 << 10
)

// Read gives the entries from lo up to, not including, hi that are on disk:
// as many as have about maxBytes of data in all, at least one. Their Data lies
// in r and is good until its next use. Every record's checksum is verified.
// Error: ErrCompacted, ErrUnavailable, ErrNoGroup, CorruptError.
func (l *Log) Read(r *Reader, id, lo, hi uint64, maxBytes int) ([]Entry, error) {
	g := l.lookup(id)
	if g == nil {
		return nil, ErrNoGroup
	}
	r.entries = r.entries[:0]
	if hi <= lo {
		return nil, nil
	}
	if err := g.locate(r, lo, hi, maxBytes); err != nil {
		return nil, err
	}
	defer r.release()
	return r.entries, l.fetch(r, id, maxBytes)
}

// locate notes where the entries stand, and pins their segments.
func (g *group) locate(r *Reader, lo, hi uint64, maxBytes int) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	d := &g.mu.onDisk
	switch {
	case !d.exists:
		return ErrNoGroup
	case lo <= d.base.Index:
		return ErrCompacted
	}
	r.wants = r.wants[:0]
	budget := int64(maxBytes)
	for n := d.find(lo); n < len(d.runs) && lo < hi; n++ {
		s := &d.runs[n]
		each := s.bytes / int64(len(s.offs))
		for ; lo < min(hi, s.end()) && (budget > 0 || len(r.wants) == 0); lo++ {
			s.seg.refs.Add(1)
			off := s.offset(lo)
			// Its length is not in the index: it ends before the next one of the
			// group, and is most likely as long as the others.
			end := off + each + each/4 + readFirst
			if lo+1 < s.end() && s.offset(lo+1) > off {
				end = min(end, s.offset(lo+1))
			}
			r.wants = append(r.wants, want{seg: s.seg, off: off, end: end, index: lo})
			budget -= each - recordHeader
		}
		if budget <= 0 {
			break
		}
	}
	if len(r.wants) == 0 {
		return ErrUnavailable
	}
	return nil
}

func (r *Reader) release() {
	for _, w := range r.wants {
		w.seg.refs.Add(-1)
	}
	r.wants = r.wants[:0]
}

// fetch reads the wanted records, neighbours with one call.
func (l *Log) fetch(r *Reader, id uint64, maxBytes int) error {
	total := 0
	r.used = 0
	for i := 0; i < len(r.wants); {
		first := &r.wants[i]
		j := i + 1
		for j < len(r.wants) && r.wants[j].seg == first.seg &&
			r.wants[j].off > r.wants[j-1].off && r.wants[j].off-r.wants[j-1].end <= readGap &&
			r.wants[j].end-first.off <= readAhead {
			j++
		}
		b, err := r.read(first.seg, first.off, r.wants[j-1].end)
		if err != nil {
			return err
		}
		for _, w := range r.wants[i:j] {
			e, err := l.entryAt(r, w, b[w.off-first.off:], id)
			if err != nil {
				return err
			}
			if total += len(e.Data); total > maxBytes && len(r.entries) > 0 {
				return nil
			}
			r.entries = append(r.entries, e)
		}
		i = j
	}
	return nil
}

// read reads part of a segment into the reader's buffer, behind what was read
// before; a buffer that is too small is left to those who have parts of it.
func (r *Reader) read(s *segment, from, to int64) ([]byte, error) {
	n := int(min(to, s.size) - from)
	if len(r.buf)-r.used < n {
		r.buf = make([]byte, max(n, 2*len(r.buf), 4*readFirst))
		r.used = 0
	}
	b := r.buf[r.used : r.used+n]
	r.used += n
	if m, err := s.file.ReadAt(b, from); err != nil && (!errors.Is(err, io.EOF) || m < n) {
		return nil, s.corrupt(from, "cannot be read: "+err.Error())
	}
	return b, nil
}

// entryAt decodes the entry at the front of b; one that reaches beyond b is read
// again.
func (l *Log) entryAt(r *Reader, w want, b []byte, id uint64) (Entry, error) {
	rec, _, f := decodeRecord(b, l.salt, w.seg.epoch32())
	if f == faultShort && len(b) >= recordHeader {
		n := min(int64(padded(l.opt.MaxEntry)), recordHeader+int64(leUint32(b[4:])))
		whole, err := r.read(w.seg, w.off, w.off+n)
		if err != nil {
			return Entry{}, err
		}
		rec, _, f = decodeRecord(whole, l.salt, w.seg.epoch32())
	}
	if f == sound && (!rec.isEntry() || rec.group != id || rec.index != w.index) {
		f = "another record stands where the entry was written"
	}
	if f != sound {
		return Entry{}, w.seg.corrupt(w.off, string(f))
	}
	return Entry{Index: rec.index, Term: rec.term, Tag: rec.tag, Data: rec.payload}, nil
}

// Snapshot reads the newest snapshot of a group. Error: ErrNoSnapshot,
// ErrNoGroup, CorruptError.
func (l *Log) Snapshot(id uint64) (Snapshot, error) {
	g := l.lookup(id)
	if g == nil {
		return Snapshot{}, ErrNoGroup
	}
	s, pinned := g.pinSnapshot()
	if !pinned {
		return Snapshot{}, ErrNoSnapshot
	}
	defer s.unpin()
	data, err := l.readSnapshot(id, s)
	return Snapshot{Index: s.index, Data: data}, err
}

// pinSnapshot gives the newest snapshot and keeps its segments in place.
func (g *group) pinSnapshot() (s snapshot, ok bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s = g.mu.snap
	for _, p := range s.parts {
		p.seg.refs.Add(1)
	}
	return s, len(s.parts) > 0
}

func (s snapshot) unpin() {
	for _, p := range s.parts {
		p.seg.refs.Add(-1)
	}
}

func (l *Log) readSnapshot(id uint64, s snapshot) ([]byte, error) {
	data := make([]byte, 0, s.size)
	for i, p := range s.parts {
		b := make([]byte, padded(p.len))
		if _, err := p.seg.file.ReadAt(b, p.off); err != nil && !errors.Is(err, io.EOF) {
			return nil, p.seg.corrupt(p.off, "cannot be read: "+err.Error())
		}
		rec, _, f := decodeRecord(b, l.salt, p.seg.epoch32())
		if f == sound && (rec.kind != kindChunk || rec.group != id || rec.index != s.index || rec.term != uint64(i)) {
			f = "another record stands where the snapshot was written"
		}
		if f != sound {
			return nil, p.seg.corrupt(p.off, string(f))
		}
		data = append(data, rec.payload...)
	}
	return data, nil
}
