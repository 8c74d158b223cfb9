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

// keepPieces copies what is left of pieces after their first n bytes.
func (o *output) keepPieces(pieces [][]byte, n int) {
	for _, b := range pieces {
		if n < len(b) {
			o.keep(b[n:])
		}
		n -= min(n, len(b))
	}
}

// dropSegments forgets the segments.
func (o *output) dropSegments() {
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
	o.dropSegments()
}

// empty reports whether nothing waits.
func (o *output) empty() bool { return o.size == 0 && len(o.segs) == 0 }

// pieces returns the segments as they go to the network: over WebSocket they are one frame. The result is in t.bufs.
func (c *Conn) pieces(t *Turn, o *output) [][]byte {
	bufs := t.bufs[:0]
	if c.ext != nil && c.ext.ws != nil {
		n := 0
		for i := range o.segs {
			n += o.segs[i].Len()
		}
		bufs = append(bufs, frameHeader(t.header[:0], opBinary, n))
	}
	for _, s := range o.segs {
		bufs = append(bufs, s.Bytes())
	}
	t.bufs = bufs
	return bufs
}

// keepSegments moves all segments to left. The caller holds mu.
func (c *Conn) keepSegments(t *Turn, o *output) {
	bufs := c.pieces(t, o)
	o.keepPieces(bufs, 0)
	clear(bufs)
	o.dropSegments()
}

// flush writes what is pending, as far as the kernel takes it and nobody else is writing.
func (c *Conn) flush(t *Turn) {
	if c.ext != nil && c.ext.tls != nil {
		c.ext.tls.flush(t)
		return
	}
	c.mu.Lock()
	o := c.out
	if o == nil || len(o.segs) == 0 {
		c.mu.Unlock()
		return
	}
	flags := c.flags.Load()
	if flags&(flagBusy|flagFull|flagPortable|flagBroken|flagClosed) != 0 {
		c.keepSegments(t, o)
		c.postpone(o, flags)
		c.mu.Unlock()
		return
	}
	c.flags.Or(flagBusy)
	if o.foreign(t) {
		c.keepSegments(t, o)
		c.wrote(t, nil)
		return
	}
	c.out = nil
	fd := c.fd
	c.mu.Unlock()
	if len(o.segs) == 1 && c.ext == nil {
		b := o.segs[0].Bytes()
		n, err := sysWrite(fd, b)
		if n < len(b) {
			o.keep(b[n:])
			err = full(err)
		}
		c.rejoin(t, o, err)
		return
	}
	bufs := c.pieces(t, o)
	n, err := writev(fd, bufs)
	o.keepPieces(bufs, n)
	clear(bufs)
	c.rejoin(t, o, err)
}

// push writes b behind what is left, and before what is pending.
func (c *Conn) push(t *Turn, b []byte) {
	c.mu.Lock()
	flags := c.flags.Load()
	if flags&(flagBusy|flagFull|flagPortable|flagBroken|flagClosed) != 0 {
		if c.out == nil {
			c.out = t.takeOutput()
		}
		c.out.keep(b)
		c.postpone(c.out, flags)
		c.mu.Unlock()
		return
	}
	c.flags.Or(flagBusy)
	fd := c.fd
	c.mu.Unlock()
	o := t.takeOutput()
	n, err := sysWrite(fd, b)
	if n < len(b) {
		o.keep(b[n:])
		err = full(err)
	}
	c.rejoin(t, o, err)
}

// postpone sees to it that somebody writes what was just added to left. The caller holds mu.
func (c *Conn) postpone(o *output, flags uint32) {
	switch {
	case flags&(flagBroken|flagClosed) != 0:
		if flags&flagBusy == 0 { // else its buffers are in use
			o.drop()
		}
	case flags&flagPortable != 0:
		c.ext.std.wake()
	case flags&flagFull != 0:
		c.waits.Store(clampSize(o.size))
	} // flagBusy: the one who writes goes on
}

// writev writes as many of bufs as go in one call. A short write is errAgain: the kernel takes less than all only when it
// is full.
func writev(fd int32, bufs [][]byte) (int, error) {
	bufs = bufs[:min(len(bufs), maxGather)]
	want := 0
	for _, b := range bufs {
		want += len(b)
	}
	n, err := sysWritev(fd, bufs)
	if n < want {
		err = full(err)
	}
	return n, err
}

// full is the error of a short write.
func full(err error) error {
	if err == nil {
		return errAgain
	}
	return err
}

// rejoin puts what a write left over, in o, before what others added meanwhile, and goes on. The caller holds flagBusy and not
// mu.
func (c *Conn) rejoin(t *Turn, o *output, err error) {
	o.dropSegments()
	c.mu.Lock()
	if o.size > 0 {
		if added := c.out; added != nil {
			o.left = append(o.left, added.left...)
			o.size += added.size
			o.segs = append(o.segs, added.segs...)
			clear(added.left)
			added.left, added.size = added.left[:0], 0
			added.dropSegments()
			c.out, o = o, added
		} else {
			c.out, o = o, nil
		}
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
		n, err = writev(fd, bufs)
		clear(bufs)
		t.bufs = bufs
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
