package bench

// backlogMax bounds what is kept for one client that its socket would not take; a publisher then waits, and its messages age.
const backlogMax = 256 << 10

// write sends packets to a client, and keeps what the socket does not take.
func (e *engine) write(c *client, b []byte) {
	e.counters.BytesOut += uint64(len(b))
	if c.wait != nil && c.wait.codec != nil {
		e.framed = c.wait.codec.wrap(e.framed[:0], b)
		b = e.framed
	}
	e.writeRaw(c, b)
}

// writeRaw writes bytes as they are on the wire.
func (e *engine) writeRaw(c *client, b []byte) {
	if c.wait != nil && len(c.wait.out) > 0 {
		c.wait.out = append(c.wait.out, b...)
		return
	}
	n, no := sysWrite(c.fd, b)
	if no == again || no == interrupted {
		n, no = 0, 0
	}
	if no != 0 {
		e.fail(c, "write: "+no.Error())
		return
	}
	if n == len(b) {
		return
	}
	if c.wait == nil {
		c.wait = &wait{}
	}
	c.wait.out = append(c.wait.out, b[n:]...)
	if c.flags&flagBlocked == 0 {
		c.flags |= flagBlocked
		e.poll.modify(c.fd, e.number(c), readable|writable)
	}
}

// drain writes what was kept.
func (e *engine) drain(c *client) {
	w := c.wait
	n, no := sysWrite(c.fd, w.out)
	if no == again || no == interrupted {
		return
	}
	if no != 0 {
		e.fail(c, "write: "+no.Error())
		return
	}
	w.out = w.out[:copy(w.out, w.out[n:])]
	if len(w.out) > 0 {
		return
	}
	w.out = nil
	c.flags &^= flagBlocked
	e.poll.modify(c.fd, e.number(c), readable)
	if len(w.in) == 0 && w.codec == nil {
		c.wait = nil
	}
	if e.groups[c.group].Publisher {
		e.dirty = append(e.dirty, e.number(c))
	}
}

// backlog is how many bytes wait for the socket.
func (c *client) backlog() int {
	if c.wait == nil {
		return 0
	}
	return len(c.wait.out)
}
