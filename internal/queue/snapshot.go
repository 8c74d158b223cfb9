package queue

import (
	"errors"
	"math"
)

const snapshotVersion = 1

// ErrSnapshot: the bytes are no snapshot of this version.
var ErrSnapshot = errors.New("queue: malformed snapshot")

// Snapshot appends the encoded state to dst. Machines that applied the same
// commands, or were restored from one that did and applied the rest, give the
// same bytes.
//
// The format is drawn in docs/format-queue.md. It says what the state means, not
// how memory happens to hold it: a batch that is gone in part begins with what is
// left.
func (m *Machine) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = m.settings.append(dst)
	for _, n := range []uint64{uint64(m.now), m.start, m.end - m.start, m.nextID, m.dropped} {
		dst = appendUvarint(dst, n)
	}
	dst = m.appendRuns(dst)
	dst = appendUvarint(dst, uint64(len(m.groups)))
	for _, g := range m.groups {
		dst = g.append(dst, m.end)
	}
	dst = appendUvarint(dst, uint64(m.dedup.len()))
	last := int64(0)
	for i := range m.dedup.len() {
		e := m.dedup.at(i)
		dst = append(dst, e.id[:]...)
		dst = appendUvarint(appendUvarint(dst, e.offset), uint64(e.time-last))
		last = e.time
	}
	return dst
}

// appendRuns writes the runs from the start on. Where they end follows from the
// number of messages.
func (m *Machine) appendRuns(dst []byte) []byte {
	if m.start == m.end {
		return dst
	}
	c := m.head
	r := c.run
	gone := uint32(m.start - r.first)
	r.first, r.count, r.pos = m.start, r.count-gone, r.pos+gone
	dst = r.append(dst, &run{first: m.start})
	for {
		prev := c.run
		if !m.index.next(&c) {
			return dst
		}
		dst = c.run.append(dst, &prev)
	}
}

func (g *group) append(dst []byte, end uint64) []byte {
	stream := byte(0)
	if g.stream {
		stream = 1
	}
	dst = append(appendUvarint(dst, g.id), stream)
	dst = appendText(appendText(dst, g.name), string(g.filter))
	dst = appendUvarint(dst, g.floor)
	for _, n := range g.done {
		dst = appendUvarint(dst, n)
	}
	// Gaps and spans of settled offsets in turn, until all of them are told.
	dst = appendUvarint(dst, g.n)
	at := g.floor
	for left := g.n; left > 0; {
		lo := g.next(at, end, true)
		hi := g.next(lo, end, false)
		dst = appendUvarint(appendUvarint(dst, lo-at), hi-lo)
		left -= hi - lo
		at = hi
	}
	return dst
}

// Restore replaces the state by that of a snapshot, taken when the entry at index
// had been applied; no data gives the empty state. The error is ErrSnapshot, and
// the state is as before. data is not kept.
func (m *Machine) Restore(index uint64, data []byte) error {
	fresh := New()
	if len(data) > 0 {
		d := decoder{b: data}
		if d.byte() != snapshotVersion {
			return ErrSnapshot
		}
		fresh.decode(&d)
		if !d.done() {
			return ErrSnapshot
		}
	}
	fresh.applied = index
	fresh.shape = m.shape + 1
	*m = *fresh
	return nil
}

func (m *Machine) decode(d *decoder) {
	m.settings.decode(d)
	m.now, m.start = d.number(), uint64(d.number())
	messages := uint64(d.number())
	m.nextID, m.dropped = d.uvarint(), d.uvarint()
	if m.now > maxTime || m.start > maxSetting || messages > maxSetting || m.nextID == 0 {
		d.fail()
	}
	m.decodeRuns(d, messages)
	for n := d.count(8 + int(causes)); n > 0 && !d.bad; n-- {
		g := &group{}
		g.decode(d, m)
		if len(m.groups) > 0 && m.groups[len(m.groups)-1].id >= g.id || m.names[g.name] != nil {
			d.fail()
		}
		m.groups = append(m.groups, g)
		m.names[g.name] = g
	}
	last := int64(0)
	for n := d.count(18); n > 0 && !d.bad; n-- {
		var id DedupID
		copy(id[:], d.take(16))
		offset := d.uvarint()
		last += d.number()
		if _, known := m.dedup.find(id); known || last < 0 || last > m.now || offset >= m.end || id == (DedupID{}) {
			d.fail()
			return
		}
		m.dedup.add(id, offset, last)
	}
}

func (m *Machine) decodeRuns(d *decoder, messages uint64) {
	m.index.reset(m.start)
	m.end = m.start
	for messages > 0 && !d.bad {
		prev := m.index.last
		var r run
		if !r.read(d, &prev) || uint64(r.count) > messages || r.time > m.now {
			d.fail()
			return
		}
		m.store(&r)
		messages -= uint64(r.count)
	}
}

// read is decode for bytes that may be anything.
func (r *run) read(d *decoder, prev *run) bool {
	*r = run{first: prev.end(), count: 1, index: prev.index + 1}
	flags := d.byte()
	if flags&^(runMany|runApart|runInner) != 0 {
		return false
	}
	var count, apart, command, pos uint64 = 1, 1, 0, 0
	if flags&runMany != 0 {
		count = d.uvarint()
	}
	if flags&runApart != 0 {
		apart, command = d.uvarint(), d.uvarint()
	}
	if flags&runInner != 0 {
		pos = d.uvarint()
	}
	later, bytes := d.number(), d.number()
	switch {
	case d.bad, count == 0, count > MaxBatch, pos+count > MaxBatch, command > math.MaxUint32, bytes > maxSetting:
		return false
	case flags&runMany != 0 && count == 1, flags&runInner != 0 && pos == 0, flags&runApart != 0 && apart == 1 && command == 0:
		return false
	case apart > maxSetting, prev.index > maxSetting, later > maxTime:
		return false
	case apart == 0 && (command < uint64(prev.command) || command == uint64(prev.command) && pos < uint64(prev.pos)+uint64(prev.count)):
		return false // not behind the one before
	}
	r.count, r.index, r.command, r.pos = uint32(count), prev.index+apart, uint32(command), uint32(pos)
	r.time, r.bytes = prev.time+later, uint64(bytes)
	return true
}

func (g *group) decode(d *decoder, m *Machine) {
	g.id = d.uvarint()
	stream := d.byte()
	g.stream = stream == 1
	g.name, g.filter, g.floor = d.text(), []byte(d.text()), d.uvarint()
	for i := range g.done {
		g.done[i] = d.uvarint()
	}
	if d.bad || g.id == 0 || g.id >= m.nextID || stream > 1 || g.name == "" || len(g.name) > maxGroupName ||
		!validFilter(g.filter) || len(g.filter) == 0 || g.floor < m.start || g.floor > m.end {
		d.fail()
		return
	}
	at := g.floor
	for left := d.uvarint(); left > 0; {
		gap, size := d.uvarint(), d.uvarint()
		if d.bad || gap == 0 || size == 0 || size > left || gap > m.end-at || size > m.end-at-gap {
			d.fail()
			return
		}
		lo := at + gap
		at = lo + size
		g.set(span{lo, at}, &m.pool)
		left -= size
	}
}
