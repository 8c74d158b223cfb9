package queue

import (
	"bytes"
	"fmt"
)

// referee watches a dispatcher. It does not foretell which of several members gets a message; it knows, of every message
// and group, where the message is, and whether what the dispatcher does is allowed, and at the end of a Pump whether
// anything was left undone.
type referee struct {
	n       *naive
	now     int64
	ahead   int
	groups  map[string]*court
	outs    map[Token]*flight
	used    map[Token]bool
	decide  func() Verdict
	trouble string
}

type stage uint8

const (
	idle    stage = iota // may be delivered, or was never looked at
	out                  // leased until due, if that is not 0
	waiting              // until due
	dying                // is to be given out as a dead letter
	buried               // was given out
	stalled              // failed; again when due
	over                 // settled, and that is not committed
)

type flight struct {
	group  string
	offset uint64
	stage  stage
	count  uint32
	due    int64
	token  Token
	member *seat
	reason Reason
	loose  bool // under way when the dispatch changed
}

type seat struct {
	id      uint64
	m       *Member
	group   string
	window  int
	leased  int
	blocked bool
}

func (s *seat) open() bool { return !s.blocked && s.leased < s.window }

type court struct {
	id      uint64
	keyed   bool
	stream  bool
	flights map[uint64]*flight
	seats   []*seat
	home    map[Key]*seat    // since members came or went
	done    map[uint64]cause // to be proposed
}

func (f *referee) fault(format string, args ...any) {
	if f.trouble == "" {
		f.trouble = fmt.Sprintf(format, args...)
	}
}

// sync follows the groups, as the dispatcher does.
func (f *referee) sync() {
	for name, c := range f.groups {
		if g := f.n.group(name); g == nil || g.id != c.id {
			for t, fl := range f.outs {
				if fl.group == name {
					delete(f.outs, t)
				}
			}
			for _, s := range c.seats {
				s.leased, s.blocked = 0, false
			}
			if g == nil {
				delete(f.groups, name)
				continue
			}
			f.groups[name] = &court{id: g.id, stream: g.stream, seats: c.seats}
			f.groups[name].clear()
		}
	}
	for _, g := range f.n.groups {
		c := f.groups[g.name]
		if c == nil {
			c = &court{id: g.id, stream: g.stream}
			c.clear()
			f.groups[g.name] = c
		}
		if keyed := f.n.s.Dispatch == KeyOrdered && !g.stream; keyed != c.keyed {
			c.keyed, c.home = keyed, map[Key]*seat{}
			for _, fl := range c.flights {
				fl.loose = fl.loose || keyed && fl.stage != idle
			}
		}
		for o := range c.flights {
			if g.settled[o] || o < f.n.start {
				if fl := c.flights[o]; fl.stage == idle || fl.stage == dying || fl.stage == over {
					delete(c.flights, o)
				}
			}
		}
	}
}

func (c *court) clear() {
	c.flights, c.home, c.done = map[uint64]*flight{}, map[Key]*seat{}, map[uint64]cause{}
}

func (f *referee) seat(group string, id uint64) *seat {
	for _, s := range f.groups[group].seats {
		if s.id == id {
			return s
		}
	}
	return nil
}

// available tells whether a message may be delivered to the group now.
func (f *referee) available(g *naiveGroup, o uint64) bool {
	if o < f.n.start || g.settled[o] {
		return false
	}
	m := &f.n.messages[o]
	if fl := f.groups[g.name].flights[o]; fl != nil && fl.stage != idle && !(fl.stage == waiting && fl.due <= f.now) {
		return false
	}
	return g.wants(m) && (m.Expires == 0 || f.now < m.Expires) && m.NotBefore <= f.now
}

// taken tells whether something of a key is under way.
func (f *referee) taken(c *court, key Key) bool {
	for o, fl := range c.flights {
		if f.n.messages[o].Key != key || fl.loose {
			continue
		}
		switch fl.stage {
		case out, dying, buried, stalled:
			return true
		case waiting:
			if fl.due > f.now && fl.count > 0 {
				return true
			}
		}
	}
	return false
}

func (f *referee) Deliver(d *Delivery) Verdict {
	var s *seat
	var g *naiveGroup
	for _, h := range f.n.groups {
		if x := f.seat(h.name, d.Member); x != nil {
			s, g = x, h
		}
	}
	if s == nil {
		f.fault("delivery to %d, who is no member", d.Member)
		return Leased
	}
	c := f.groups[g.name]
	f.checkDelivery(d, g, c, s)
	verdict := f.decide()
	if verdict == NoRoom {
		s.blocked = true
		return verdict
	}
	fl := c.flights[d.Offset]
	if fl == nil {
		fl = &flight{group: g.name, offset: d.Offset}
		c.flights[d.Offset] = fl
	}
	f.used[d.Token] = true
	fl.token, fl.member, fl.count, fl.stage, fl.due, fl.loose = d.Token, s, d.Count, out, 0, false
	s.leased++
	if f.n.s.Lease > 0 && !g.stream {
		fl.due = f.now + f.n.s.Lease
	}
	f.outs[d.Token] = fl
	switch verdict {
	case Done:
		f.close(fl, causeSettled)
	case Unfit:
		fl.count--
		f.die(fl, TooLarge)
	}
	return verdict
}

func (f *referee) checkDelivery(d *Delivery, g *naiveGroup, c *court, s *seat) {
	count := uint32(1)
	if fl := c.flights[d.Offset]; fl != nil {
		count += fl.count
	}
	switch {
	case f.n.s.Paused:
		f.fault("delivery while paused")
	case !s.open():
		f.fault("delivery of %d to %d, who has no room", d.Offset, s.id)
	case d.Offset >= f.n.end() || !f.available(g, d.Offset):
		f.fault("%s gets %d, which is not available: %+v", g.name, d.Offset, c.flights[d.Offset])
	case d.Count != count:
		f.fault("%d is delivered for the %dth time, says it is the %dth", d.Offset, count, d.Count)
	case d.Token == 0 || d.Token >= 1<<48 || f.used[d.Token]:
		f.fault("token %d", d.Token)
	}
	if f.trouble != "" {
		return
	}
	m := &f.n.messages[d.Offset]
	f.same(m, &d.Message, d.Time)
	keyed := c.keyed && m.Key != 0
	if keyed && f.taken(c, m.Key) {
		f.fault("%s gets %d while another message of its key is out", g.name, d.Offset)
	}
	if home := c.home[m.Key]; keyed && home != nil && home != s {
		f.fault("key of %d moved from %d to %d", d.Offset, home.id, s.id)
	}
	if keyed {
		c.home[m.Key] = s
	}
	for o := f.n.start; o < d.Offset; o++ {
		earlier, fl := &f.n.messages[o], c.flights[o]
		if !f.available(g, o) || c.keyed && (!keyed || earlier.Key != m.Key || earlier.NotBefore != 0 || fl != nil && fl.loose) {
			continue
		}
		f.fault("%s gets %d before %d", g.name, d.Offset, o)
	}
}

func (f *referee) same(m *naiveMessage, got *Message, time int64) {
	if !bytes.Equal(m.Topic, got.Topic) || !bytes.Equal(m.Props, got.Props) || !bytes.Equal(m.Payload, got.Payload) ||
		m.Key != got.Key || m.Expires != got.Expires || m.QoS != got.QoS || m.Captured != got.Captured || m.Dedup != got.Dedup ||
		m.NotBefore != got.NotBefore || m.time != time {
		f.fault("message %+v came out as %+v at %d", m, got, time)
	}
}

// close settles a flight.
func (f *referee) close(fl *flight, why cause) {
	f.leave(fl)
	fl.stage = over
	f.groups[fl.group].done[fl.offset] = why
}

// leave frees the member's room.
func (f *referee) leave(fl *flight) {
	delete(f.outs, fl.token)
	if fl.stage == out {
		fl.member.leased--
	}
}

func (f *referee) die(fl *flight, why Reason) {
	switch {
	case f.groups[fl.group].stream:
		f.close(fl, causeSettled)
	case !f.n.s.DeadLetters:
		f.close(fl, causeBuried)
	default:
		f.leave(fl)
		fl.stage, fl.reason = dying, why
	}
}

// release ends a delivery without success.
func (f *referee) release(fl *flight) {
	if most := f.n.s.MaxDeliveries; most > 0 && int64(fl.count) >= most && !f.groups[fl.group].stream {
		f.die(fl, MaxDeliveries)
		return
	}
	f.leave(fl)
	fl.stage = idle
}

func (f *referee) nack(fl *flight) {
	switch most := f.n.s.MaxDeliveries; {
	case f.groups[fl.group].stream:
		f.close(fl, causeSettled)
	case most > 0 && int64(fl.count) >= most:
		f.die(fl, MaxDeliveries)
	default:
		f.leave(fl)
		pause := f.n.s.Backoff
		for i := uint32(1); i < fl.count && pause < f.n.s.BackoffMax; i++ {
			pause = min(2*pause, f.n.s.BackoffMax)
		}
		fl.stage, fl.due = waiting, f.now+pause
	}
}

func (f *referee) Bury(l *DeadLetter) {
	c := f.groups[l.Group]
	if c == nil || c.flights[l.Offset] == nil {
		f.fault("dead letter %d of %q", l.Offset, l.Group)
		return
	}
	fl := c.flights[l.Offset]
	again := fl.stage == stalled && fl.due <= f.now
	if fl.stage != dying && !again || fl.reason != l.Reason || fl.count != l.Count || fl.token != l.Token {
		f.fault("dead letter %+v of %+v", l, fl)
	}
	f.same(&f.n.messages[l.Offset], &l.Message, l.Time)
	fl.stage = buried
}

// before is the beginning of a Pump.
func (f *referee) before(now int64) {
	f.now = now
	f.sync()
	for _, fl := range f.outs {
		if fl.stage == out && fl.due != 0 && fl.due <= now {
			f.release(fl)
		}
	}
	for _, c := range f.groups {
		for o, fl := range c.flights {
			switch {
			case fl.due > now:
			case fl.stage == waiting:
				fl.stage = idle
			case fl.stage == stalled && (o < f.n.start || f.n.group(fl.group).settled[o]):
				delete(c.flights, o)
			}
		}
	}
}

// after is the end of a Pump that left nothing undone. parked tells how many messages of a group wait for their keys: at the
// limit nothing more is looked at.
func (f *referee) after(parked func(group string) int) {
	for _, g := range f.n.groups {
		c := f.groups[g.name]
		for o, fl := range c.flights {
			gone := o < f.n.start || g.settled[o]
			if (fl.stage == dying || fl.stage == stalled && fl.due <= f.now) && !gone {
				f.fault("dead letter %d of %s was not given out", o, g.name)
			}
		}
		open := 0
		for _, s := range c.seats {
			if s.open() {
				open++
			}
		}
		if f.n.s.Paused || open == 0 || c.keyed && open < len(c.seats) {
			continue
		}
		if c.keyed && parked(g.name) >= f.ahead {
			continue
		}
		for o := f.n.start; o < f.n.end(); o++ {
			if m := &f.n.messages[o]; f.available(g, o) && !(c.keyed && m.Key != 0 && f.taken(c, m.Key)) {
				f.fault("%s has room and %d was not delivered", g.name, o)
			}
		}
	}
}

// proposed checks a settle command, section by section.
func (f *referee) proposed(id uint64, why cause, offsets []uint64) {
	for _, g := range f.n.groups {
		if g.id != id {
			continue
		}
		c := f.groups[g.name]
		for _, o := range offsets {
			expected, some := c.done[o]
			delete(c.done, o)
			m := &f.n.messages[o]
			switch {
			case o < f.n.start || g.settled[o]:
			case some && expected == why:
			case !some && why == causeSettled && !g.wants(m):
			case !some && why == causeExpired && m.Expires != 0 && f.now >= m.Expires:
				c.flights[o] = &flight{stage: over}
			default:
				f.fault("%s settles %d (%d), which it should not", g.name, o, why)
			}
			if !g.wants(m) {
				c.flights[o] = &flight{stage: over}
			}
		}
	}
}

// complete checks that nothing was left out of the proposals.
func (f *referee) complete() {
	for _, g := range f.n.groups {
		for o := range f.groups[g.name].done {
			if o >= f.n.start && !g.settled[o] {
				f.fault("%s was done with %d, and it was not proposed", g.name, o)
			}
		}
		clear(f.groups[g.name].done)
	}
}

// earliest is the time of the first thing that waits; 0 for none.
func (f *referee) earliest() (due int64) {
	for _, c := range f.groups {
		for _, fl := range c.flights {
			if t := fl.due; (fl.stage == out || fl.stage == waiting || fl.stage == stalled) && t != 0 && (due == 0 || t < due) {
				due = t
			}
		}
	}
	return due
}
