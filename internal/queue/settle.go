package queue

import "slices"

// Ack settles a message for its group. Like the others below it gives false, and
// does nothing, when the token names nothing (any more). The member's room is free
// at once, but nothing is delivered before Pump.
func (d *Dispatcher) Ack(t Token) bool {
	n := d.lookup(t, leaseOut)
	if n == 0 {
		return false
	}
	d.close(d.leases.at(n).member.of, n, causeSettled)
	return true
}

// Nack gives a message back, to be delivered again after the backoff.
func (d *Dispatcher) Nack(t Token, now int64) bool {
	n := d.lookup(t, leaseOut)
	if n == 0 {
		return false
	}
	s := d.leases.at(n)
	c := s.member.of
	switch {
	case c.stream:
		d.close(c, n, causeSettled)
	case d.exhausted(s.count):
		d.die(c, n, MaxDeliveries)
	default:
		w := wait{due: now + d.m.settings.backoff(s.count), item: s.item}
		if s.key != 0 {
			c.keys.parkFirst(s.key, s.item)
			c.keys.at(s.key).mode = keyWaiting
			w.kind, w.ref = waitKey, s.key
		}
		c.waiting.push(w)
		d.free(c, n)
	}
	return true
}

// Reject makes a message a dead letter at once.
func (d *Dispatcher) Reject(t Token) bool {
	n := d.lookup(t, leaseOut)
	if n == 0 {
		return false
	}
	d.die(d.leases.at(n).member.of, n, Rejected)
	return true
}

// Release gives back a message that a member was sent and will not settle, as
// Leave does with all of them.
func (d *Dispatcher) Release(t Token) bool {
	n := d.lookup(t, leaseOut)
	if n == 0 {
		return false
	}
	d.release(d.leases.at(n).member.of, n)
	return true
}

// Unsent gives back a message that the owner accepted for a member and did not
// send after all. It was no delivery. The member is offered nothing until Room.
func (d *Dispatcher) Unsent(t Token) bool {
	n := d.lookup(t, leaseOut)
	if n == 0 {
		return false
	}
	s := d.leases.at(n)
	s.count--
	s.member.blocked = true
	d.back(s.member.of, n)
	return true
}

// lookup gives the lease of a token in a state, 0 if there is none.
func (d *Dispatcher) lookup(t Token, state leaseState) uint32 {
	d.sync()
	return d.leases.lookup(t, state)
}

// exhausted tells whether a message was delivered as often as may be.
func (d *Dispatcher) exhausted(deliveries uint32) bool {
	most := d.m.settings.MaxDeliveries
	return most > 0 && int64(deliveries) >= most
}

// close settles a message.
func (d *Dispatcher) close(c *consumers, n uint32, why cause) {
	s := d.leases.at(n)
	c.finish(s.offset, why)
	if s.key != 0 {
		c.keys.settle(s.key)
	}
	d.free(c, n)
}

// free ends a lease.
func (d *Dispatcher) free(c *consumers, n uint32) {
	m := d.leases.at(n).member
	d.leases.unlimit(n)
	d.leases.withdraw(n)
	d.leases.put(n)
	if m != &c.grave {
		c.update(m)
	}
}

// release ends a delivery that came to nothing.
func (d *Dispatcher) release(c *consumers, n uint32) {
	if d.exhausted(d.leases.at(n).count) && !c.stream {
		d.die(c, n, MaxDeliveries)
		return
	}
	d.back(c, n)
}

// back makes a message that is out ready again.
func (d *Dispatcher) back(c *consumers, n uint32) {
	s := d.leases.at(n)
	if s.key != 0 {
		c.keys.parkFirst(s.key, s.item)
		c.keys.run(s.key)
	} else {
		c.ready.push(s.item)
	}
	d.free(c, n)
}

// expireLeases releases what was out too long.
func (d *Dispatcher) expireLeases(now int64) {
	for n := d.leases.first; n != 0; n = d.leases.first {
		s := d.leases.at(n)
		if s.deadline > now {
			return
		}
		d.release(s.member.of, n)
	}
}

// burialPause is the least time between two tries to store a dead letter.
const burialPause = 1000

// die makes a dead letter of a message. Its key stays taken until that is stored,
// so that nothing overtakes it.
func (d *Dispatcher) die(c *consumers, n uint32, why Reason) {
	switch {
	case c.stream:
		d.close(c, n, causeSettled)
		return
	case !d.m.settings.DeadLetters:
		d.close(c, n, causeBuried)
		return
	}
	s := d.leases.at(n)
	m := s.member
	d.leases.unlimit(n)
	d.leases.withdraw(n)
	c.update(m)
	c.grave.of = c
	d.leases.give(n, &c.grave)
	s.state, s.reason = leaseDying, why
	c.burials = append(c.burials, n)
}

// bury gives out the dead letters of a group.
func (d *Dispatcher) bury(c *consumers) error {
	for i, n := range c.burials {
		s := d.leases.at(n)
		s.state = leaseDying
		if c.has(s.offset) { // purged, or dropped by retention
			d.close(c, n, causeBuried)
			continue
		}
		l := &d.letter
		time, err := d.read(&c.again, s.offset, &l.Message)
		if err != nil {
			c.burials = c.burials[:copy(c.burials, c.burials[i:])]
			return err
		}
		l.Token, l.Group, l.Offset, l.Time, l.Count, l.Reason = d.leases.token(n), c.name, s.offset, time, s.count, s.reason
		d.sink.Bury(l)
	}
	c.burials = c.burials[:0]
	return nil
}

// Buried says that a dead letter is stored: the message is settled.
func (d *Dispatcher) Buried(t Token) bool {
	n := d.lookup(t, leaseDying)
	if n == 0 {
		return false
	}
	d.close(d.leases.at(n).member.of, n, causeBuried)
	return true
}

// Unburied says that a dead letter could not be stored. It is given out again
// after the backoff, a second at least.
func (d *Dispatcher) Unburied(t Token, now int64) bool {
	n := d.lookup(t, leaseDying)
	if n == 0 {
		return false
	}
	s := d.leases.at(n)
	s.state = leaseStalled
	due := now + max(burialPause, d.m.settings.backoff(s.count))
	s.member.of.waiting.push(wait{due: due, item: s.item, ref: n, kind: waitBurial})
	return true
}

const (
	// maxSpans bounds a settle command: what is more goes into the next one.
	maxSpans = 8192
	// trimPause is the least time between two proposals to drop old messages.
	trimPause = 1000
)

// Proposal appends to dst the command that settles what was settled since the
// last call, and gives nil when there is nothing to propose. The owner must
// propose it until it is committed or the leadership ends: for this Dispatcher it
// has happened. Proposing it twice does no harm. more says that there is another.
func (d *Dispatcher) Proposal(dst []byte, now int64) (command []byte, more bool) {
	d.sync()
	sections, room := 0, maxSpans
	for _, c := range d.groups {
		for why := range c.done {
			if len(c.done[why]) > 0 && room > 0 {
				c.done[why] = mergeSpans(c.done[why])
				room -= min(room, len(c.done[why]))
				sections++
			}
		}
	}
	if due, ok := d.m.retentionDue(); sections == 0 && (!ok || due > now || now < d.trimmed+trimPause) {
		return nil, false
	} else if ok && due <= now {
		d.trimmed = now
	}
	dst = appendSettleHead(dst, now, sections)
	room = maxSpans
	for _, c := range d.groups {
		for why := range c.done {
			spans := c.done[why]
			if len(spans) == 0 {
				continue
			}
			if room == 0 {
				return dst, true
			}
			n := min(room, len(spans))
			dst = appendSettleSection(dst, c.number, cause(why), spans[:n])
			room -= n
			c.done[why] = spans[:copy(spans, spans[n:])]
			more = more || n < len(spans)
		}
	}
	return dst, more
}

// mergeSpans sorts spans and joins those that touch.
func mergeSpans(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortFunc(spans, func(a, b span) int {
		switch {
		case a.lo < b.lo:
			return -1
		case a.lo > b.lo:
			return 1
		}
		return 0
	})
	out := spans[:1]
	for _, s := range spans[1:] {
		if last := &out[len(out)-1]; s.lo <= last.hi {
			last.hi = max(last.hi, s.hi)
		} else {
			out = append(out, s)
		}
	}
	return out
}
