package wal

import (
	"encoding/binary"
	"slices"
	"sync"
)

// group is what the log knows of one replicated log: where its entries stand.
type group struct {
	id uint64

	// app is the state with everything appended so far, on disk or not;
	// guarded by Log.mu.
	app appended

	// mu guards the state that is on disk. Readers hold it while they look up,
	// the writer while it publishes a batch.
	mu struct {
		sync.RWMutex
		onDisk
	}
}

// appended is the front of a group. The *Seg fields tell where the newest
// record of each kind stands, so that the reclaimer knows what to write again
// before a segment goes.
type appended struct {
	exists   bool
	last     uint64
	snap     uint64 // index of the newest snapshot
	base     Base
	state    HardState
	void     horizon // entries in cold segments behind it do not count
	born     horizon // nor do snapshots in segments behind this one
	version  uint64  // counts changes of entries
	stateSeg *segment
	baseSeg  *segment
	voidSeg  *segment
	// dirtyState and dirtyBase wait for the next write to take them along.
	dirty, dirtyState, dirtyBase bool
}

// horizon hides cold segments: what a group had before it was reset or removed
// may still stand in them. Copies are made out of order, so that there is one
// limit for segments that were part of the log and one for those of copies.
type horizon struct{ hot, cold uint64 }

func (h horizon) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, h.hot), h.cold)
}

func decodeHorizon(b []byte) horizon {
	return horizon{hot: binary.LittleEndian.Uint64(b), cold: binary.LittleEndian.Uint64(b[8:])}
}

func (h horizon) hides(s *segment) bool {
	if s.copies {
		return s.epoch <= h.cold
	}
	return s.epoch < h.hot
}

// onDisk is the index of a group: runs of entries in the order of their
// indexes, without holes from base.Index+1 to the last.
type onDisk struct {
	exists  bool
	commit  uint64 // of the newest hard state that is on disk
	void    horizon
	base    Base
	runs    []run
	snap    snapshot
	partial snapshot // chunks whose end has not been seen
	carried []run    // while recovering: entries that were appended again
}

// snapshot is where the newest snapshot stands.
type snapshot struct {
	index uint64
	size  uint64
	parts []place
	end   *segment // where the record that completes it stands
}

// in tells whether any of it stands in a segment.
func (s *snapshot) in(seg *segment) bool {
	return s.end == seg || slices.ContainsFunc(s.parts, func(p place) bool { return p.seg == seg })
}

// run is a piece of a group's log that stands in one segment: 4 bytes of index
// per entry.
type run struct {
	seg   *segment
	first uint64
	term  uint64 // of the first entry
	later []termFrom
	offs  []uint32 // offset of each entry's record, in units of align
	bytes int64    // what the records take, roughly after a cut
}

// termFrom says that the entries from index on have this term.
type termFrom struct{ index, term uint64 }

func (r *run) end() uint64 { return r.first + uint64(len(r.offs)) }

func (r *run) offset(i uint64) int64 { return int64(r.offs[i-r.first]) * align }

func (r *run) termAt(i uint64) uint64 {
	t := r.term
	for _, l := range r.later {
		if l.index > i {
			break
		}
		t = l.term
	}
	return t
}

// cutTail drops the entries from index i on.
func (r *run) cutTail(i uint64) {
	n := int(i - r.first)
	r.bytes = r.bytes * int64(n) / int64(max(1, len(r.offs)))
	r.offs = r.offs[:n]
	for len(r.later) > 0 && r.later[len(r.later)-1].index >= i {
		r.later = r.later[:len(r.later)-1]
	}
}

// cutHead drops the entries before index i, which is within the run.
func (r *run) cutHead(i uint64) {
	n := int(i - r.first)
	r.term = r.termAt(i)
	for len(r.later) > 0 && r.later[0].index <= i {
		r.later = r.later[1:]
	}
	r.bytes -= r.bytes * int64(n) / int64(max(1, len(r.offs)))
	r.offs = r.offs[n:]
	r.first = i
}

// find gives the position of the run that holds index i, or len(d.runs).
func (d *onDisk) find(i uint64) int {
	n, found := slices.BinarySearchFunc(d.runs, i, func(r run, i uint64) int {
		switch {
		case r.end() <= i:
			return -1
		case r.first > i:
			return 1
		}
		return 0
	})
	if !found {
		return len(d.runs)
	}
	return n
}

func (d *onDisk) last() uint64 {
	if n := len(d.runs); n > 0 {
		return d.runs[n-1].end() - 1
	}
	return d.base.Index
}

// add appends entries of one term that stand in seg, the first at index. What
// the group had from index on is replaced. It gives the segments that now hold
// replaced entries.
func (d *onDisk) add(seg *segment, index, term uint64, offs []uint32, bytes int64) (stale []*segment) {
	d.exists = true
	stale = d.cut(index)
	if n := len(d.runs); n > 0 {
		r := &d.runs[n-1]
		if r.seg == seg && r.end() == index {
			if r.termAt(index-1) != term {
				r.later = append(r.later, termFrom{index, term})
			}
			r.offs = append(r.offs, offs...)
			r.bytes += bytes
			return stale
		}
	}
	d.runs = append(d.runs, run{seg: seg, first: index, term: term, offs: slices.Clone(offs), bytes: bytes})
	return stale
}

// cut drops the entries from index i on.
func (d *onDisk) cut(i uint64) (stale []*segment) {
	for n := len(d.carried); n > 0 && d.carried[n-1].end() > i; n-- {
		r := &d.carried[n-1]
		stale = append(stale, r.seg)
		if r.first < i {
			r.cutTail(i)
			break
		}
		d.carried = d.carried[:n-1]
	}
	for n := len(d.runs); n > 0 && d.runs[n-1].end() > i; n-- {
		r := &d.runs[n-1]
		stale = append(stale, r.seg)
		if r.first < i {
			r.cutTail(i)
			break
		}
		d.runs = d.runs[:n-1]
	}
	return stale
}

// setBase drops the entries up to b.Index, or all of them if b.Reset.
func (d *onDisk) setBase(b Base) (stale []*segment) {
	d.exists = true
	if b.Reset {
		stale = d.cut(0)
		d.base = Base{Index: b.Index, Term: b.Term}
		return stale
	}
	if b.Index < d.base.Index {
		return nil
	}
	d.base = Base{Index: b.Index, Term: b.Term}
	d.trim()
	return nil
}

// relocate lets the index find entries in other places, which come in runs in
// the order of their indexes. Entries that it does not have stay unknown.
func (d *onDisk) relocate(to []run) {
	var runs []run
	for _, r := range d.runs {
		for _, n := range to {
			if n.end() <= r.first || n.first >= r.end() {
				continue
			}
			if n.first > r.first {
				runs = append(runs, r.slice(r.first, n.first))
			}
			from, end := max(n.first, r.first), min(n.end(), r.end())
			runs = append(runs, n.slice(from, end))
			r = r.slice(end, r.end())
		}
		if len(r.offs) > 0 {
			runs = append(runs, r)
		}
	}
	d.runs = runs
}

// slice gives a copy of the part of a run from index lo up to hi.
func (r run) slice(lo, hi uint64) run {
	r.later = slices.Clone(r.later)
	if hi < r.end() {
		r.cutTail(hi)
	}
	if lo > r.first {
		r.cutHead(lo)
	}
	r.offs = slices.Clone(r.offs)
	return r
}

// trim drops the runs that the base made superfluous.
func (d *onDisk) trim() {
	n := 0
	for n < len(d.runs) && d.runs[n].end() <= d.base.Index+1 {
		n++
	}
	if n > 0 {
		d.runs = slices.Delete(d.runs, 0, n)
	}
	if len(d.runs) > 0 && d.runs[0].first <= d.base.Index {
		d.runs[0].cutHead(d.base.Index + 1)
	}
}

// addChunk notes a part of a snapshot; parts come in order.
func (d *onDisk) addChunk(index uint64, part int, p place) {
	if part == 0 || d.partial.index != index {
		d.partial = snapshot{index: index}
	}
	if part == len(d.partial.parts) {
		d.partial.parts = append(d.partial.parts, p)
		d.partial.size += uint64(p.len)
	}
}

// endSnapshot makes the parts seen a snapshot, if they are all there and it is
// not older than the one known. ok is false when a part is missing.
func (d *onDisk) endSnapshot(seg *segment, index uint64, parts int, size uint64) (ok bool) {
	p := d.partial
	p.end = seg
	d.partial = snapshot{}
	if p.index != index || len(p.parts) != parts || p.size != size {
		return false
	}
	d.exists = true
	if index >= d.snap.index {
		d.snap = p
	}
	return true
}

// term gives the term of entry i, or of the base.
func (d *onDisk) term(i uint64) (uint64, error) {
	switch {
	case !d.exists:
		return 0, ErrNoGroup
	case i == d.base.Index:
		return d.base.Term, nil
	case i < d.base.Index:
		return 0, ErrCompacted
	}
	n := d.find(i)
	if n == len(d.runs) {
		return 0, ErrUnavailable
	}
	return d.runs[n].termAt(i), nil
}
