package queue

import "errors"

// Pump delivers what can be delivered, and ends the leases that ran out. It is to
// be called after Apply, after members came, went or got room, after messages
// were settled or released, and at the time NextDue says. more says that it left
// work for another call, so that one partition does not keep others waiting. The
// error is that of a message that cannot be read; its group stops there, the
// others do not.
func (d *Dispatcher) Pump(now int64) (more bool, err error) {
	d.sync()
	d.expireLeases(now)
	budget := pumpBudget
	n := len(d.groups)
	if n == 0 {
		return false, nil
	}
	d.first = (d.first + 1) % n
	for i := range n {
		c := d.groups[(d.first+i)%n]
		if e := d.serve(c, now, &budget); e != nil && !errors.Is(e, ErrLater) {
			err = e
		}
	}
	d.batch = openBatch{} // the bytes are not ours any longer
	return budget <= 0, err
}

// serve does what there is to do for a group.
func (d *Dispatcher) serve(c *consumers, now int64, budget *int) error {
	c.wake(now)
	if err := d.bury(c); err != nil {
		return err
	}
	if !d.m.settings.Paused {
		if err := d.deliver(c, now, budget); err != nil {
			return err
		}
	}
	return d.bury(c) // what members could not take
}

// deliver gives out messages while somebody has room for one.
func (d *Dispatcher) deliver(c *consumers, now int64, budget *int) error {
	if c.keys != nil {
		if err := d.serveLines(c, now, budget); err != nil {
			return err
		}
	}
	for len(c.open) > 0 && *budget > 0 && d.leases.used < MaxLeases && len(c.waiting) < maxWaiting &&
		(c.keys == nil || c.keys.parked.used < d.ahead) {
		it, fresh, ok := c.upcoming(d.m.end)
		if !ok {
			return nil
		}
		*budget--
		if err := d.serveNext(c, it, fresh, now); err != nil {
			return err
		}
	}
	return nil
}

// serveNext delivers, parks or skips one message that nobody has seen, or that
// became ready again.
func (d *Dispatcher) serveNext(c *consumers, it item, fresh bool, now int64) error {
	p := &c.again
	if fresh {
		p = &c.place
	}
	msg := &d.delivery.Message
	time, err := d.read(p, it.offset, msg)
	switch {
	case err != nil:
		return err
	case fresh && !c.matches(msg.Topic):
		c.took(fresh)
		c.finish(it.offset, causeSettled)
		return nil
	case msg.Expires != 0 && now >= msg.Expires:
		c.took(fresh)
		c.finish(it.offset, causeExpired)
		return nil
	case msg.NotBefore > now:
		c.took(fresh)
		c.waiting.push(wait{due: msg.NotBefore, item: it})
		return nil
	case c.keys == nil || msg.Key == 0:
		if d.offer(c, c.pick(), it, time, now, 0) {
			c.took(fresh)
		}
		return nil
	}
	d.serveKey(c, it, fresh, time, now)
	return nil
}

// serveKey delivers a message that has a key, or parks it with its key.
func (d *Dispatcher) serveKey(c *consumers, it item, fresh bool, time, now int64) {
	k := c.keys
	key := d.delivery.Message.Key
	c.took(fresh)
	if n := k.of(key); n != 0 {
		k.park(n, it)
		return
	}
	n := k.add(key, keyOut)
	m := k.home(key)
	if m.place >= 0 && d.offer(c, m, it, time, now, n) {
		return
	}
	k.park(n, it)
	k.run(n)
}

// serveLines delivers to members with room what stands in their lines.
func (d *Dispatcher) serveLines(c *consumers, now int64, budget *int) error {
	for i := 0; i < len(c.open); {
		m := c.open[i]
		for m.runFirst != 0 && m.place >= 0 && *budget > 0 && d.leases.used < MaxLeases {
			*budget--
			if err := d.serveLine(c, m, now); err != nil {
				return err
			}
		}
		if m.place >= 0 {
			i++ // else another one stands there now
		}
	}
	return nil
}

// serveLine delivers the first message of the first key in a member's line.
func (d *Dispatcher) serveLine(c *consumers, m *Member, now int64) error {
	k := c.keys
	n := m.runFirst
	it := k.head(n)
	if c.has(it.offset) { // purged, or dropped by retention
		k.unline(m)
		k.unpark(n)
		k.settle(n)
		return nil
	}
	msg := &d.delivery.Message
	time, err := d.read(&c.again, it.offset, msg)
	if err != nil {
		return err
	}
	k.unline(m)
	k.unpark(n)
	if msg.Expires != 0 && now >= msg.Expires {
		c.finish(it.offset, causeExpired)
		k.settle(n)
		return nil
	}
	k.at(n).mode = keyOut
	if !d.offer(c, m, it, time, now, n) {
		k.parkFirst(n, it)
		k.run(n)
	}
	return nil
}

// offer gives d.delivery.Message to a member with room. It gives false when the
// member has none after all.
func (d *Dispatcher) offer(c *consumers, m *Member, it item, time, now int64, key uint32) bool {
	n := d.leases.take()
	l := &d.delivery
	l.Member, l.Token, l.Offset, l.Time, l.Count = m.id, d.leases.token(n), it.offset, time, it.count+1
	verdict := d.sink.Deliver(l)
	if verdict == NoRoom {
		d.leases.put(n)
		m.blocked = true
		c.update(m)
		return false
	}
	s := d.leases.at(n)
	s.item, s.key, s.state = item{it.offset, it.count + 1}, key, leaseOut
	d.leases.give(n, m)
	switch verdict {
	case Done:
		d.close(c, n, causeSettled)
	case Unfit:
		s.count-- // it was not sent
		d.die(c, n, TooLarge)
	default:
		if lease := d.m.settings.Lease; lease > 0 && !c.stream {
			d.leases.limit(n, now+lease)
		}
		c.update(m)
	}
	return true
}

// wake moves what has waited long enough.
func (c *consumers) wake(now int64) {
	for len(c.waiting) > 0 && c.waiting[0].due <= now {
		switch w := c.waiting.pop(); w.kind {
		case waitMessage:
			c.ready.push(w.item)
		case waitKey:
			c.keys.run(w.ref)
		case waitBurial:
			c.burials = append(c.burials, w.ref)
		}
	}
}

// NextDue is the earliest time, in Unix milliseconds, at which Pump or Proposal
// has something to do that nothing else brings about. ok is false when there is
// none.
func (d *Dispatcher) NextDue() (due int64, ok bool) {
	d.sync()
	earlier := func(t int64) {
		if !ok || t < due {
			due, ok = t, true
		}
	}
	if n := d.leases.first; n != 0 {
		earlier(d.leases.at(n).deadline)
	}
	for _, c := range d.groups {
		if len(c.waiting) > 0 {
			earlier(c.waiting[0].due)
		}
	}
	if t, some := d.m.retentionDue(); some {
		earlier(max(t, d.trimmed+trimPause))
	}
	return due, ok
}
