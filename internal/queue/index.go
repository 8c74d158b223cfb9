package queue

import "sort"

// run is consecutive offsets whose messages stand next to each other in one
// command of the log.
type run struct {
	first   uint64 // offset of the first message
	count   uint32
	index   uint64 // of the entry
	command uint32 // within the entry
	pos     uint32 // of the first message within the batch
	time    int64  // of the batch, never earlier than that of the run before
	bytes   uint64 // of the encoded messages
}

func (r *run) end() uint64 { return r.first + uint64(r.count) }

// The index tells where in the log a message is. Most of a backlog is never
// looked up one by one, so runs are kept as differences from the one before, four
// to six bytes as a rule, in pages that know where they begin: a look-up is a
// binary search over the pages and a walk through one.
//
//	flags  count?  index? command?  pos?  time  bytes      (uvarint each; ? by flag)
const (
	pageSize = 480
	maxRun   = 1 + 5 + 10 + 5 + 5 + 10 + 10

	runMany  = 1 << 0 // count is given, else it is 1
	runApart = 1 << 1 // index difference and command are given, else the first command of the next entry
	runInner = 1 << 2 // pos is given, else 0
)

// page is 512 bytes without a pointer.
type page struct {
	first uint64 // offset, index and time before the page's first run
	index uint64
	time  int64
	used  uint16
	data  [pageSize]byte
}

// index is the runs of the messages that are kept, oldest first. Pages have
// consecutive numbers; front is that of pages[head].
type index struct {
	pages []*page
	head  int
	front uint64
	last  run     // the newest, from which the next one is told
	free  []*page // a few pages for the next ones
}

// cursor is a place in the index. It stays valid while its page is kept, however
// many runs are added.
type cursor struct {
	page uint64
	at   uint16 // of the next run in the page
	run  run    // the run before that: the current one
}

// append encodes r as the successor of prev.
func (r *run) append(dst []byte, prev *run) []byte {
	var flags byte
	if r.count != 1 {
		flags |= runMany
	}
	if r.index != prev.index+1 || r.command != 0 {
		flags |= runApart
	}
	if r.pos != 0 {
		flags |= runInner
	}
	dst = append(dst, flags)
	if flags&runMany != 0 {
		dst = appendUvarint(dst, uint64(r.count))
	}
	if flags&runApart != 0 {
		dst = appendUvarint(appendUvarint(dst, r.index-prev.index), uint64(r.command))
	}
	if flags&runInner != 0 {
		dst = appendUvarint(dst, uint64(r.pos))
	}
	return appendUvarint(appendUvarint(dst, uint64(r.time-prev.time)), r.bytes)
}

// decode reads the run that follows prev and gives its length. b was written by
// append; a snapshot's is read by decodeRun.
func (r *run) decode(b []byte, prev run) int {
	r.first, r.count, r.index, r.command, r.pos = prev.end(), 1, prev.index+1, 0, 0
	flags, at := b[0], 1
	next := func() uint64 {
		if v := b[at]; v < 0x80 {
			at++
			return uint64(v)
		}
		v, n := uvarint(b[at:])
		at += n
		return v
	}
	if flags&runMany != 0 {
		r.count = uint32(next())
	}
	if flags&runApart != 0 {
		r.index = prev.index + next()
		r.command = uint32(next())
	}
	if flags&runInner != 0 {
		r.pos = uint32(next())
	}
	r.time = prev.time + int64(next())
	r.bytes = next()
	return at
}

// reset empties the index; the next run begins at offset first.
func (x *index) reset(first uint64) { *x = index{last: run{first: first}} }

func (x *index) tail() *page {
	if x.head == len(x.pages) {
		return nil
	}
	return x.pages[len(x.pages)-1]
}

// add appends a run. Its first offset, its index and command, and its time must
// not be below those of the run before.
func (x *index) add(r *run) {
	p := x.tail()
	if p == nil || int(p.used)+maxRun > pageSize {
		p = x.grow()
	}
	n := len(r.append(p.data[p.used:p.used], &x.last))
	p.used += uint16(n)
	x.last = *r
}

func (x *index) grow() *page {
	var p *page
	if n := len(x.free); n > 0 {
		p, x.free = x.free[n-1], x.free[:n-1]
	} else {
		p = new(page)
	}
	p.first, p.index, p.time, p.used = x.last.end(), x.last.index, x.last.time, 0
	if x.head > 32 && x.head > len(x.pages)/2 {
		n := copy(x.pages, x.pages[x.head:])
		clear(x.pages[n:])
		x.pages, x.head = x.pages[:n], 0
	}
	x.pages = append(x.pages, p)
	return p
}

// clear forgets every run, but not where the next one begins.
func (x *index) clear() { x.dropTo(x.front + uint64(len(x.pages)-x.head)) }

// dropTo forgets the pages before that of a number.
func (x *index) dropTo(number uint64) {
	for ; x.front < number; x.front++ {
		if len(x.free) < 4 {
			x.free = append(x.free, x.pages[x.head])
		}
		x.pages[x.head] = nil
		x.head++
	}
}

// begin gives the cursor before the first run of a page.
func (x *index) begin(number uint64) cursor {
	p := x.pages[x.head+int(number-x.front)]
	return cursor{page: number, run: run{first: p.first, index: p.index, time: p.time}}
}

// kept tells whether the page of c is.
func (x *index) kept(c *cursor) bool {
	return c.page >= x.front && c.page-x.front < uint64(len(x.pages)-x.head)
}

// next moves c to the run after its own, if there is one. The page of c must be
// kept.
func (x *index) next(c *cursor) bool {
	p := x.pages[x.head+int(c.page-x.front)]
	if c.at == p.used {
		if c.page-x.front+1 == uint64(len(x.pages)-x.head) {
			return false
		}
		c.page, c.at = c.page+1, 0
		p = x.pages[x.head+int(c.page-x.front)]
	}
	c.at += uint16(c.run.decode(p.data[c.at:p.used], c.run))
	return true
}

// find gives the run that holds an offset. It must be among those kept.
func (x *index) find(offset uint64) cursor {
	kept := x.pages[x.head:]
	n := sort.Search(len(kept), func(i int) bool { return kept[i].first > offset }) - 1
	c := x.begin(x.front + uint64(n))
	for x.next(&c) && c.run.end() <= offset {
	}
	return c
}

// after gives the offset of the first run of time or later, after the runs that
// end at start, or the end.
func (x *index) after(time int64, start uint64) uint64 {
	kept := x.pages[x.head:]
	if len(kept) == 0 {
		return x.last.end()
	}
	n := sort.Search(len(kept), func(i int) bool { return kept[i].time >= time }) - 1
	c := x.begin(x.front + uint64(max(0, n)))
	for x.next(&c) {
		if c.run.time >= time {
			return max(start, c.run.first)
		}
	}
	return x.last.end()
}
