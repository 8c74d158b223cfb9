package queue

// Member is one consumer in a group of one partition, as Dispatcher.Join gave it.
type Member struct {
	id      uint64
	of      *consumers // nil when it has left, or the group is gone
	window  int
	leased  int
	first   uint32 // of its leases
	blocked bool   // it had no room when it was offered something
	place   int    // in consumers.open, -1 if it is not there

	// Of key-ordered dispatch: the number of its slots, and the keys with a
	// message for it.
	slots             int
	runFirst, runLast uint32
}

// ID is what Join was told.
func (m *Member) ID() uint64 { return m.id }

// Leased is the number of messages that the member has.
func (m *Member) Leased() int { return m.leased }

// consumers is what a leader knows of a group beside its replicated state.
type consumers struct {
	*group
	number  uint64   // of the group, as far as was noticed
	next    uint64   // everything before it was looked at once
	place   place    // where next stands in the log
	again   place    // where the last one of the others stood
	ready   byOffset // to be delivered, before next
	waiting byTime
	members []*Member
	open    []*Member // those with room
	turn    int       // whose turn it is in open
	keys    *keys     // nil under Shared
	grave   Member    // holds the leases of dead letters on their way
	burials []uint32  // leases of dead letters to be given out

	done [causes][]span // to be proposed
}

// update puts a member where it belongs after something changed.
func (c *consumers) update(m *Member) {
	open := !m.blocked && m.leased < m.window
	switch {
	case open && m.place < 0:
		m.place = len(c.open)
		c.open = append(c.open, m)
	case !open && m.place >= 0:
		last := c.open[len(c.open)-1]
		c.open[m.place], last.place = last, m.place
		c.open[len(c.open)-1] = nil
		c.open = c.open[:len(c.open)-1]
		m.place = -1
	}
}

// pick gives the member whose turn it is. There must be one with room.
func (c *consumers) pick() *Member {
	if c.turn++; c.turn >= len(c.open) {
		c.turn = 0
	}
	return c.open[c.turn]
}

// finish notes that the group is done with a message.
func (c *consumers) finish(offset uint64, why cause) {
	spans := c.done[why]
	if n := len(spans); n > 0 {
		switch last := &spans[n-1]; offset {
		case last.hi:
			last.hi++
			return
		case last.lo - 1:
			last.lo--
			return
		}
	}
	c.done[why] = append(spans, span{offset, offset + 1})
}

// upcoming gives the next message in turn, without taking it. fresh says that it
// was not looked at before.
func (c *consumers) upcoming(end uint64) (it item, fresh, ok bool) {
	for len(c.ready) > 0 {
		if it = c.ready[0]; !c.has(it.offset) {
			return it, false, true
		}
		c.ready.pop() // purged, or dropped by retention
	}
	c.next = c.group.next(c.next, end, false)
	return item{offset: c.next}, true, c.next < end
}

// took says that what upcoming gave was taken.
func (c *consumers) took(fresh bool) {
	if fresh {
		c.next++
	} else {
		c.ready.pop()
	}
}
