package netpoll

import (
	"time"
	"unsafe"
)

// Turn is one pass of a loop over its events, or one call of Poller.Turn. It holds the arena that packets are encoded
// into, the connections that have something to write, and the time. A Turn belongs to one goroutine, and a caller must
// not keep it beyond the call that it was given to.
type Turn struct {
	// Scratch is the owner's: what it wants to find again in every turn of the same loop. Turns outside loops are
	// pooled with theirs.
	Scratch any

	loop  *Loop // nil outside loops
	now   int64 // unix milliseconds
	cur   *chunk
	full  []*chunk // chunks before cur
	spare []*chunk // empty ones
	used  int      // bytes in full and cur
	dirty []*Conn  // connections to flush; may name one twice

	free    *output // outputs for reuse
	nfree   int
	bufs    [][]byte // scratch of a gathered write
	header  [maxFrameHeader]byte
	scratch []byte // scratch of a write that needs its bytes in one piece
}

// chunk is a piece of a turn's arena.
type chunk struct {
	turn *Turn
	mem  []byte // constant; chunkSize, or more for one large packet
	used int    // owned by turn: others read no further than the segments that they were given
}

// Segment is a run of encoded bytes in a turn's arena. It may be sent to any number of connections, until the call of
// the handler (or mail, or function) in which it was made returns.
type Segment struct {
	chunk    *chunk
	from, to uint32
}

// Bytes returns the bytes of s, to be read only.
func (s Segment) Bytes() []byte {
	if s.chunk == nil {
		return nil
	}
	return s.chunk.mem[s.from:s.to:s.to]
}

// Len returns the number of bytes in s.
func (s Segment) Len() int { return int(s.to - s.from) }

// Now returns the time at which the turn began, in unix milliseconds.
func (t *Turn) Now() int64 { return t.now }

// Loop returns the loop whose turn this is, or nil for one of Poller.Turn.
func (t *Turn) Loop() *Loop { return t.loop }

// Begin returns an empty slice of the arena with room for n bytes (less than 2 GiB). Append what is to be sent, and pass
// the result to End. There is one at a time: a second Begin before End takes the room of the first.
func (t *Turn) Begin(n int) []byte {
	c := t.cur
	if c == nil || len(c.mem)-c.used < n {
		c = t.extend(n)
	}
	return c.mem[c.used : c.used : c.used+n]
}

// End takes what was appended to the slice that Begin returned. More than was asked for is allowed, but costs a copy.
func (t *Turn) End(b []byte) Segment {
	if len(b) == 0 {
		return Segment{}
	}
	c := t.cur
	if unsafe.SliceData(b) != unsafe.SliceData(c.mem[c.used:]) { // it outgrew its room and moved
		if len(c.mem)-c.used < len(b) {
			c = t.extend(len(b))
		}
		copy(c.mem[c.used:], b)
	}
	from := c.used
	c.used += len(b)
	t.used += len(b)
	return Segment{c, uint32(from), uint32(c.used)}
}

// Flush writes what is pending now rather than at the end of the turn. Segments stay valid.
func (t *Turn) Flush() {
	for i := 0; i < len(t.dirty); i++ { // a flush may add to the list
		t.dirty[i].flush(t)
		t.dirty[i] = nil
	}
	t.dirty = t.dirty[:0]
	if cap(t.dirty) > dirtyLimit {
		t.dirty = nil
	}
}

// extend starts a chunk with room for n bytes.
func (t *Turn) extend(n int) *chunk {
	if t.cur != nil {
		t.full = append(t.full, t.cur)
	}
	if last := len(t.spare) - 1; last >= 0 && n <= chunkSize {
		t.cur, t.spare = t.spare[last], t.spare[:last]
		return t.cur
	}
	t.cur = &chunk{turn: t, mem: make([]byte, max(n, chunkSize))}
	return t.cur
}

// start begins a turn.
func (t *Turn) start(now time.Time) { t.now = now.UnixMilli() }

// Cycle writes what is pending and takes the arena back when much has been encoded. A handler that does a lot in one call
// calls it in between, so that the arena stays bounded; segments made before are invalid afterwards.
func (t *Turn) Cycle() {
	if t.used >= arenaLimit {
		t.finish()
	}
}

// finish writes what is pending and empties the arena. No connection refers to the arena afterwards: what the kernel did
// not take was copied.
func (t *Turn) finish() {
	t.Flush()
	for i, c := range t.full {
		t.retire(c)
		t.full[i] = nil
	}
	t.full = t.full[:0]
	if t.cur != nil && len(t.cur.mem) > chunkSize {
		t.cur = nil
	} else if t.cur != nil {
		t.cur.used = 0
	}
	t.used = 0
	if cap(t.scratch) > chunkSize {
		t.scratch = nil
	}
}

// retire keeps a chunk for reuse if it is of the usual size and few are kept.
func (t *Turn) retire(c *chunk) {
	if len(c.mem) != chunkSize || len(t.spare) >= maxSpare {
		return
	}
	c.used = 0
	t.spare = append(t.spare, c)
}

// takeOutput returns an empty output.
func (t *Turn) takeOutput() *output {
	o := t.free
	if o == nil {
		o = new(output)
		o.segs = o.first[:0]
		return o
	}
	t.free, o.next = o.next, nil
	t.nfree--
	return o
}

// giveOutput keeps an empty output for reuse.
func (t *Turn) giveOutput(o *output) {
	if t.nfree >= dirtyLimit {
		return
	}
	o.next, t.free = t.free, o
	t.nfree++
}
