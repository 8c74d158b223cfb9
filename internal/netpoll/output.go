package netpoll

import "github.com/millrace-mq/millrace/internal/buffer"

// output is what waits to be written to one connection. A connection has one only while something does.
//
// There are two stages, and bytes in left always go before those in segs:
//
//   - segs name bytes in the arenas of turns. The turn that added one has the connection on its dirty list and flushes it
//     at its end, so no segment outlives its arena. Segments of several turns may be mixed. Whoever flushes first takes
//     all of them, but copies them to left first: outside mu, only bytes of one's own arena are certain to stay.
//   - left holds copies of what could not be written when its turn ended: because the kernel was full (flagFull; the loop
//     goes on at EPOLLOUT), or because another goroutine was just writing (flagBusy; that one goes on when it is done).
//
// One goroutine at a time writes, and holds flagBusy instead of the mutex meanwhile: a loop that wants to send to a
// connection which another loop is writing to never waits for a system call.
type output struct {
	segs  []Segment
	first [2]Segment // where segs starts: most connections need no more
	left  [][]byte   // from package buffer
	head  int        // bytes of left[0] that are written
	size  int        // bytes in left that are not
	next  *output    // in the free list of a turn
}

// keep copies b behind what is left.
func (o *output) keep(b []byte) {
	o.size += len(b)
	if n := len(o.left); n > 0 {
		last := o.left[n-1]
		room := min(cap(last)-len(last), len(b))
		o.left[n-1] = append(last, b[:room]...)
		b = b[room:]
	}
	for len(b) > 0 {
		n := min(len(b), buffer.Largest)
		o.left = append(o.left, append(buffer.Get(min(max(n, o.size/2), buffer.Largest)), b[:n]...))
		b = b[n:]
	}
}

// keepSegments moves all segments to left.
func (o *output) keepSegments() {
	for _, s := range o.segs {
		o.keep(s.Bytes())
	}
	clear(o.segs)
	o.segs = o.segs[:0]
}

// foreign reports whether another turn than t has added segments.
func (o *output) foreign(t *Turn) bool {
	for i := range o.segs {
		if o.segs[i].chunk.turn != t {
			return true
		}
	}
	return false
}

// wrote drops the first n bytes of left.
func (o *output) wrote(n int) {
	o.size -= n
	o.head += n
	done := 0
	for done < len(o.left) && o.head >= len(o.left[done]) {
		o.head -= len(o.left[done])
		buffer.Put(o.left[done])
		done++
	}
	if done > 0 {
		kept := copy(o.left, o.left[done:])
		clear(o.left[kept:])
		o.left = o.left[:kept]
	}
}

// gather appends up to maxGather pieces of left to bufs.
func (o *output) gather(bufs [][]byte) [][]byte {
	for i, b := range o.left {
		if i == 0 {
			b = b[o.head:]
		}
		if len(bufs) == maxGather {
			break
		}
		bufs = append(bufs, b)
	}
	return bufs
}

// drop gives everything back.
func (o *output) drop() {
	o.wrote(o.size)
	clear(o.segs)
	o.segs = o.segs[:0]
}

// empty reports whether nothing waits.
func (o *output) empty() bool { return o.size == 0 && len(o.segs) == 0 }

// flush writes what is pending, as far as the kernel takes it and nobody else is writing.
func (c *Conn) flush(t *Turn) {
	c.mu.Lock()
	o := c.out
	if o == nil || len(o.segs) == 0 {
		c.mu.Unlock()
		return
	}
	flags := c.flags.Load()
	switch {
	case flags&(flagBusy|flagFull) != 0:
		o.keepSegments()
		if flags&(flagFull|flagPortable) != 0 {
			c.waits.Store(clampSize(o.size))
		}
		c.mu.Unlock()
		return
	case flags&(flagBroken|flagClosed) != 0:
		o.drop()
		c.mu.Unlock()
		return
	case flags&flagPortable != 0:
		o.keepSegments()
		c.ext.std.wake()
		c.mu.Unlock()
		return
	}
	c.flags.Or(flagBusy)
	if o.foreign(t) {
		o.keepSegments()
		c.wrote(t, nil)
		return
	}
	c.out = nil
	fd := c.fd
	c.mu.Unlock()
	if len(o.segs) == 1 {
		b := o.segs[0].Bytes()
		n, err := sysWrite(fd, b)
		c.wroteSegments(t, o, n, short(n, len(b), err))
		return
	}
	bufs := t.bufs[:0]
	for _, s := range o.segs {
		if len(bufs) == maxGather {
			break
		}
		bufs = append(bufs, s.Bytes())
	}
	n, err := t.writev(fd, bufs)
	c.wroteSegments(t, o, n, err)
}

// writev writes bufs, which are in t.bufs, and makes a short write errAgain: the kernel takes less than all only when it
// is full.
func (t *Turn) writev(fd int32, bufs [][]byte) (int, error) {
	want := 0
	for _, b := range bufs {
		want += len(b)
	}
	n, err := sysWritev(fd, bufs)
	clear(bufs)
	t.bufs = bufs
	return n, short(n, want, err)
}

func short(n, want int, err error) error {
	if err == nil && n < want {
		return errAgain
	}
	return err
}

// wroteSegments ends what flush began: what was not written is kept, before what others added meanwhile.
func (c *Conn) wroteSegments(t *Turn, o *output, n int, err error) {
	for i, s := range o.segs {
		if n < s.Len() {
			o.keep(s.Bytes()[n:])
		}
		n -= min(n, s.Len())
		o.segs[i] = Segment{}
	}
	o.segs = o.segs[:0]
	c.mu.Lock()
	if added := c.out; added == nil {
		if o.size > 0 {
			c.out, o = o, nil
		}
	} else if o.size > 0 { // o goes before added
		o.left = append(o.left, added.left...)
		o.size += added.size
		o.segs = append(o.segs, added.segs...)
		clear(added.left)
		clear(added.segs)
		added.left, added.segs, added.size = added.left[:0], added.segs[:0], 0
		c.out, o = o, added
	}
	c.wrote(t, err)
	if o != nil {
		t.giveOutput(o)
	}
}

// wrote goes on after a write: with what is left, until the kernel takes no more. It takes the connection with mu locked
// and flagBusy set, and leaves it with both undone.
func (c *Conn) wrote(t *Turn, err error) {
	for err == nil && c.out != nil && c.out.size > 0 && c.flags.Load()&flagAborting == 0 {
		o, fd := c.out, c.fd
		// Others may append to left meanwhile, which moves neither the buffers nor what is in them.
		bufs := o.gather(t.bufs[:0])
		c.mu.Unlock()
		var n int
		n, err = t.writev(fd, bufs)
		c.mu.Lock()
		o.wrote(n)
	}
	c.flags.And(^flagBusy)
	c.settle(t, err)
	attend := c.flags.Load()&(flagClosing|flagAborting|flagBroken) != 0 && c.set(flagAttend)
	c.mu.Unlock()
	if attend {
		c.loop.attend(c)
	}
}

// drain goes on writing when the kernel takes bytes again.
func (c *Conn) drain(t *Turn) {
	c.mu.Lock()
	if c.flags.Load()&(flagFull|flagBusy) != flagFull {
		c.mu.Unlock()
		return
	}
	c.flags.Or(flagBusy)
	c.wrote(t, nil)
	if c.handler != nil && c.flags.Load()&(flagFull|flagClosing|flagAborting|flagBroken) == 0 {
		c.handler.Drained(t)
	}
}

// settle notes what the last write came to. The caller holds mu.
func (c *Conn) settle(t *Turn, err error) {
	flags := c.flags.Load()
	switch {
	case err != nil && err != errAgain:
		if c.out != nil {
			c.out.drop()
		}
		c.flags.Or(flagBroken)
	case c.out != nil && c.out.size > 0:
		c.waits.Store(clampSize(c.out.size))
		if flags&flagFull == 0 {
			c.flags.Or(flagFull)
			c.watch()
		}
		return
	}
	c.waits.Store(0)
	if flags&flagFull != 0 {
		c.flags.And(^flagFull)
		c.watch()
	}
	if c.out != nil && c.out.empty() {
		t.giveOutput(c.out)
		c.out = nil
	}
}

// clampSize makes a size fit Conn.waits.
func clampSize(n int) int32 { return int32(min(n, 1<<31-1)) }
