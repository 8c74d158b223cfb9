package wal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// recovery reads a directory and finds out what the log is. It writes nothing,
// so that Check can use it too.
type recovery struct {
	fs     vfs.FS
	dir    string
	write  bool // open the files for writing
	groups map[uint64]*group
	sc     scanner

	segs    []*segment // all files, by number
	hot     []*segment // the chain, oldest first
	cold    []*segment // by epoch
	free    []*segment
	oldest  uint64
	seed    uint64
	epoch   uint64 // the highest seen
	tail    scanned
	coldEnd map[*segment]scanned

	// Parts of snapshots, and ends of some whose first parts are not in the chain.
	hotParts, coldParts map[partKey]place
	ends                []openEnd

	image []byte
	last  *group // of the last record, to save a look-up
	// problem is called with what is wrong. The recovery goes on as well as it
	// can if it gives nil, or ends with the error that it gives.
	problem func(error) error
	bytes   int64
	records int
}

func (r *recovery) run() error {
	r.hotParts = make(map[partKey]place)
	if err := r.openAll(); err != nil {
		return err
	}
	if err := r.findChain(); err != nil {
		return err
	}
	if err := r.replayHot(); err != nil {
		return err
	}
	if err := r.replayCold(); err != nil {
		return err
	}
	return r.checkGroups()
}

// openAll opens the segments and reads their headers.
func (r *recovery) openAll() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return err
	}
	open := r.fs.Open
	if r.write {
		open = r.fs.OpenWrite
	}
	for _, name := range names {
		num, ok := segmentNumber(name)
		if !ok {
			continue
		}
		f, err := open(path.Join(r.dir, name))
		if err != nil {
			return err
		}
		s := &segment{file: f, name: name, num: num}
		r.segs = append(r.segs, s)
		if ok, err = s.readHeader(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s.size, err = f.Size(); err != nil {
			return err
		}
		r.epoch = max(r.epoch, s.epoch)
		if ok {
			r.seed = s.salt
		}
	}
	r.sc.salt = saltOf(r.seed)
	return nil
}

func (r *recovery) closeAll() error {
	var err error
	for _, s := range r.segs {
		err = errors.Join(err, s.file.Close())
	}
	return err
}

// findChain finds the newest segment in use, which says what the oldest one is,
// and follows the chain from the one to the other.
func (r *recovery) findChain() error {
	byEpoch := make(map[uint64]*segment)
	var used []*segment // by epoch; a stamped one may still be part of the chain
	for _, s := range r.segs {
		if s.epoch != 0 && s.class != classFree {
			byEpoch[s.epoch] = s
			used = append(used, s)
		}
	}
	slices.SortFunc(used, func(a, b *segment) int { return cmp.Compare(a.epoch, b.epoch) })
	newest, err := r.findNewest(used)
	if err != nil || newest == nil {
		return err
	}
	for s := newest; ; {
		r.hot = append(r.hot, s)
		if s.epoch <= r.oldest || s.prev == 0 {
			break
		}
		prev := byEpoch[s.prev]
		if prev == nil {
			err := r.problem(&CorruptError{What: fmt.Sprintf("the segment of epoch %d, before %s, is missing or its header is damaged", s.prev, s.name)})
			if err != nil {
				return err
			}
			break
		}
		s = prev
	}
	slices.Reverse(r.hot)
	for _, s := range r.segs {
		switch {
		case slices.Contains(r.hot, s):
			s.class = classHot
		case s.epoch != 0 && s.class == classCold:
			r.cold = append(r.cold, s)
		default:
			r.free = append(r.free, s)
		}
	}
	slices.SortFunc(r.cold, func(a, b *segment) int { return cmp.Compare(a.epoch, b.epoch) })
	return nil
}

// findNewest finds the hot segment with the highest epoch that was written to,
// and in it where the chain begins.
func (r *recovery) findNewest(used []*segment) (*segment, error) {
	followed := make(map[uint64]bool) // epochs that have an unused successor
	for _, s := range slices.Backward(used) {
		if s.class == classCold && s.prev == 0 {
			continue // made as a cold one; the first segment of a log is never stamped while it is the newest
		}
		var err error
		if r.image, err = s.load(r.image); err != nil {
			return nil, err
		}
		oldest := s.oldest
		res, err := r.sc.scan(r.image, s.epoch32(), func(off int64, rec *record) error {
			if rec.kind != kindOldest {
				return nil
			}
			if rec.index > s.epoch {
				return r.problem(s.corrupt(off, "the log begins after its end"))
			}
			oldest = max(oldest, rec.index)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !res.sealed {
			if err := r.sc.judgeTail(s, r.image, res); err != nil {
				if err = r.problem(err); err != nil {
					return nil, err
				}
			}
		}
		if res.records == 0 && s.prev != 0 {
			followed[s.prev] = true
			continue // prepared, or never synced
		}
		if res.next != 0 && !followed[s.epoch] {
			err := r.problem(&CorruptError{What: fmt.Sprintf("the segment of epoch %d, after %s, is missing or its header is damaged", res.next, s.name)})
			if err != nil {
				return nil, err
			}
		}
		r.oldest, r.tail = oldest, res
		return s, nil
	}
	return nil, nil
}

// replayHot rebuilds the index from the chain, as the writer built it.
func (r *recovery) replayHot() error {
	for i, s := range r.hot {
		var err error
		if r.image, err = s.load(r.image); err != nil {
			if err = r.problem(err); err != nil {
				return err
			}
			continue
		}
		res, err := r.sc.scan(r.image, s.epoch32(), func(off int64, rec *record) error {
			return r.replay(s, off, rec)
		})
		if err != nil {
			return err
		}
		s.off, s.batch = res.end, res.batch
		s.end.Store(res.end)
		r.bytes += res.end
		r.records += res.records
		if i < len(r.hot)-1 && !res.sealed {
			if err := r.problem(s.corrupt(res.end, string(res.fault))); err != nil {
				return err
			}
		}
	}
	return nil
}

// replay does what a record of the chain says.
func (r *recovery) replay(s *segment, off int64, rec *record) error {
	if rec.kind == kindOldest {
		return nil
	}
	defer r.noteEpochs(r.group(rec.group))
	g := r.group(rec.group)
	d, a := &g.mu.onDisk, &g.app
	var stale []*segment
	switch rec.kind {
	case kindEntry, kindCarry:
		if rec.index == 0 || rec.index == math.MaxUint64 {
			return r.problem(s.corrupt(off, fmt.Sprintf("group %d: entry %d", g.id, rec.index)))
		}
		if rec.kind == kindCarry {
			d.carry(s, off, rec)
			return nil
		}
		if last := d.last(); len(d.runs) > 0 && rec.index > last+1 {
			return r.problem(s.corrupt(off, fmt.Sprintf("group %d: entry %d after %d", g.id, rec.index, last)))
		}
		stale = d.add(s, rec.index, rec.term, []uint32{uint32(off / align)}, int64(padded(len(rec.payload))))
	case kindState:
		if len(rec.payload) != voteSize {
			return r.problem(s.corrupt(off, "hard state of a wrong length"))
		}
		d.exists, d.commit = true, rec.index
		a.state = HardState{Term: rec.term, Vote: binary.LittleEndian.Uint64(rec.payload), Commit: rec.index}
		a.stateSeg = s
	case kindBase:
		reset := rec.tag == resetTag
		if reset && len(rec.payload) != 24 {
			return r.problem(s.corrupt(off, "reset of a wrong length"))
		}
		stale = d.setBase(Base{Index: rec.index, Term: rec.term, Reset: reset})
		a.baseSeg = s
		if reset {
			a.void, a.voidSeg = horizon{hot: s.epoch, cold: binary.LittleEndian.Uint64(rec.payload)}, s
			a.born = decodeHorizon(rec.payload[8:])
			stale = append(stale, s)
		}
	case kindChunk:
		r.hotParts[partKey{g.id, rec.index, rec.term}] = place{seg: s, off: off, len: len(rec.payload)}
		d.addChunk(rec.index, int(rec.term), place{seg: s, off: off, len: len(rec.payload)})
	case kindSnapshot:
		return r.endSnapshot(s, off, d, rec)
	case kindRemove:
		stale = append(d.remove(), s)
		r.ends = slices.DeleteFunc(r.ends, func(e openEnd) bool { return e.g == g })
		past := horizon{hot: s.epoch, cold: rec.term}
		*a = appended{void: past, born: past, voidSeg: s}
	case kindVoid:
		if len(rec.payload) != 16 {
			return r.problem(s.corrupt(off, "horizon of a wrong length"))
		}
		a.void = horizon{hot: rec.index, cold: rec.term}
		a.born = decodeHorizon(rec.payload)
		a.voidSeg = s
	}
	for _, s := range stale {
		s.stale = true
	}
	return nil
}

// carry notes an entry that was appended again. The chain has it already, if the
// segment where it first stood is still part of it.
func (d *onDisk) carry(s *segment, off int64, rec *record) {
	if d.find(rec.index) < len(d.runs) {
		return
	}
	m := moved{runs: d.carried}
	m.add(place{seg: s, off: off, len: len(rec.payload)}, rec)
	d.carried = m.runs
}

// noteEpochs keeps epochs from being given out again that a horizon hides,
// though the segments that had them may have been removed.
func (r *recovery) noteEpochs(g *group) {
	r.epoch = max(r.epoch, g.app.void.cold, g.app.born.cold)
}

func (r *recovery) endSnapshot(s *segment, off int64, d *onDisk, rec *record) error {
	if len(rec.payload) != 8 {
		return r.problem(s.corrupt(off, "end of snapshot of a wrong length"))
	}
	if !d.endSnapshot(s, rec.index, int(rec.term), binary.LittleEndian.Uint64(rec.payload)) {
		// Its beginning is gone from the chain: it is in a cold segment, or
		// the whole is.
		r.ends = append(r.ends, openEnd{g: r.group(rec.group), seg: s, index: rec.index, parts: rec.term})
	}
	return nil
}

func (r *recovery) group(id uint64) *group {
	if r.last != nil && r.last.id == id {
		return r.last
	}
	g := r.groups[id]
	if g == nil {
		g = &group{id: id}
		r.groups[id] = g
	}
	r.last = g
	return g
}

// replayCold fills in what is older than the chain.
func (r *recovery) replayCold() error {
	r.coldEnd = make(map[*segment]scanned)
	r.coldParts = make(map[partKey]place)
	older := make(map[*group][]run)
	for _, s := range r.cold {
		var err error
		if r.image, err = s.load(r.image); err != nil {
			if err = r.problem(err); err != nil {
				return err
			}
			continue
		}
		moves := make(map[*group]*moved)
		res, err := r.sc.scan(r.image, s.epoch32(), func(off int64, rec *record) error {
			g := r.groups[rec.group]
			if g == nil || !g.mu.exists {
				return nil
			}
			p := place{seg: s, off: off, len: len(rec.payload)}
			switch {
			case rec.isEntry() && !g.app.void.hides(s) && rec.index > g.mu.base.Index:
				if moves[g] == nil {
					moves[g] = &moved{g: g}
				}
				moves[g].add(p, rec)
			case rec.kind == kindChunk && !g.app.born.hides(s):
				r.coldParts[partKey{rec.group, rec.index, rec.term}] = p
			case rec.kind == kindSnapshot && !g.app.born.hides(s):
				r.collect(openEnd{g: g, seg: s, index: rec.index, parts: rec.term})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for g, m := range moves {
			older[g] = append(older[g], m.runs...)
		}
		s.off, s.batch = res.end, res.batch
		s.end.Store(res.end)
		r.coldEnd[s] = res
		r.bytes += res.end
		r.records += res.records
	}
	for _, e := range r.ends {
		r.collect(e)
	}
	for _, g := range r.groups {
		g.mu.prepend(append(older[g], g.mu.carried...))
		g.mu.carried = nil
	}
	return nil
}

// partKey names a part of a snapshot.
type partKey struct{ group, index, part uint64 }

// openEnd is the end of a snapshot whose parts must be looked for.
type openEnd struct {
	g            *group
	seg          *segment
	index, parts uint64
}

// collect takes a snapshot whose parts stand in cold segments, or in these and
// in the chain, if it is newer than the one known and all of it is there.
func (r *recovery) collect(e openEnd) {
	d := &e.g.mu.onDisk
	if e.index <= d.snap.index && len(d.snap.parts) > 0 {
		return
	}
	s := snapshot{index: e.index, end: e.seg}
	for i := range e.parts {
		k := partKey{e.g.id, e.index, i}
		p, ok := r.hotParts[k]
		if !ok {
			p, ok = r.coldParts[k]
		}
		if !ok {
			return
		}
		s.parts = append(s.parts, p)
		s.size += uint64(p.len)
	}
	d.snap = s
}

// prepend puts runs of entries, in any order and with repetitions, before those
// that are there. Where both have an entry, the latter count.
func (d *onDisk) prepend(runs []run) {
	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.end(), a.end()))
	})
	limit := ^uint64(0)
	if len(d.runs) > 0 {
		limit = d.runs[0].first
	}
	next := d.base.Index + 1
	var out []run
	for _, r := range runs {
		if r.end() <= next || r.first >= limit || next >= limit {
			continue
		}
		if r.end() > limit {
			r.cutTail(limit)
		}
		if r.first < next {
			r.cutHead(next)
		}
		out = append(out, r)
		next = r.end()
	}
	d.runs = append(out, d.runs...)
}

// checkGroups finds holes, which are what lost segments and lost tails leave.
func (r *recovery) checkGroups() error {
	ids := make([]uint64, 0, len(r.groups))
	for id := range r.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		g := r.groups[id]
		d, a := &g.mu.onDisk, &g.app
		d.partial = snapshot{}
		d.trim()
		next := d.base.Index + 1
		for i := range d.runs {
			if d.runs[i].first != next {
				if err := r.problem(r.hole(g, next, d.runs[i].first)); err != nil {
					return err
				}
			}
			next = d.runs[i].end()
		}
		d.void = a.void
		a.exists, a.base, a.last, a.snap = d.exists, d.base, d.last(), d.snap.index
		a.state.Commit = max(a.state.Commit, a.base.Index)
		if a.exists && a.state.Commit > a.last {
			if err := r.problem(r.hole(g, a.last+1, a.state.Commit+1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hole describes missing entries, and where they may have been.
func (r *recovery) hole(g *group, from, to uint64) error {
	e := &CorruptError{What: fmt.Sprintf("group %d lacks the entries %d to %d", g.id, from, to-1)}
	for _, s := range r.cold {
		if end, ok := r.coldEnd[s]; ok && !end.sealed {
			e.File, e.Offset = s.name, end.end
			e.What = string(end.fault) + "; " + e.What
			break
		}
	}
	return e
}
