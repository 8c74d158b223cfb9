package session

import (
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// Journal hears of every change to what a session owes its client, in the order of the changes, so that its owner can make
// the session outlive the process. A session without one costs nothing more. The methods are called within methods of
// the session, so under the owner's lock; they must not call the session, nor wait.
//
// The owner itself knows of the rest, since it asks for it: subscriptions, packet identifiers that the client released, the end.
type Journal interface {
	// Keep tells that a message waits (o.PacketID is 0) or is in flight, and gives it a number, not 0, which stands for it
	// from now on. o is valid during the call; its Message is one that the session keeps.
	Keep(o *Outbound) (number uint64)
	// Assign tells that a message of QoS 2 that waited is in flight.
	Assign(number uint64, id uint16)
	// Received tells that the client has a message of QoS 2: from now on only PUBREL is sent, and the message is gone.
	Received(number uint64, id uint16)
	// Drop tells that a message is done: acknowledged, expired, evicted or given back. id is the packet identifier of one
	// of QoS 2 in flight, 0 of any other; received: Received was called.
	Drop(number uint64, id uint16, received bool)
}

// SetJournal has j told of every change from now on, nil nobody. The owner calls it after Connect made the session, while it
// holds no messages, or after Restore.
//
// With a journal, a message of QoS 2 is not sent at once: Deliver, Lease and Next answer Held, and the owner calls Release when
// what the journal was told is where it must be, in the order of the deliveries. So are those of QoS 1 that would overtake one. If the packet identifier could be forgotten, another message might get it, which
// a client that has it would take for a duplicate.
func (s *Session) SetJournal(j Journal) {
	s.journal = nil
	if j != nil {
		s.journal = &journal{j}
	}
}

// Journal is what SetJournal set, nil for none.
func (s *Session) Journal() Journal {
	if s.journal == nil {
		return nil
	}
	return s.journal.Journal
}

// journal stands behind one pointer, since most sessions have none.
type journal struct{ Journal }

// Release gives a message that was Held for sending: its packet identifier, and the number that Delivery told. It gives false when
// there is nothing to send any more on this connection; Next sends it on the next one.
func (s *Session) Release(now int64, id uint16, number uint64) (Delivery, *message.Message, bool) {
	sl := s.out.at(id)
	if sl == nil || sl.number != number || sl.state != sent || !sl.held || s.state != online {
		return Delivery{}, nil, false
	}
	sl.held = false
	s.out.held--
	var d Delivery
	if !s.publish(now, &sl.entry, id, &d) {
		s.discard(id, sl)
		return d, nil, true
	}
	return d, sl.m, true
}

// Forsake drops a message that was Held, as Release names it, because the journal has refused it.
func (s *Session) Forsake(id uint16, number uint64) {
	if sl := s.out.at(id); sl != nil && sl.number == number && sl.state == sent {
		s.discard(id, sl)
	}
}

// discard ends a delivery that cannot be made.
func (s *Session) discard(id uint16, sl *slot) {
	s.forgo(&sl.entry, id)
	s.out.remove(id)
	s.weigh()
}

// hold puts a message in flight that the owner sends later.
func (s *Session) hold(e *entry, token uint64, d *Delivery) {
	d.PacketID = s.fly(e, token)
	d.Verdict, d.QoS, d.Expiry = Held, e.qos, -1
	sl := &s.out.slots[d.PacketID-1]
	sl.held = true
	s.out.held++
	d.Number = sl.number
}

// holds tells whether a message must not be sent before the journal is safe, or would overtake one that must not.
func (s *Session) holds(e *entry) bool {
	return s.journal != nil && (e.qos == 2 || s.out != nil && s.out.held > 0)
}

// note tells the journal of a message that begins to wait, or is in flight with an identifier. What somebody else keeps until it
// is settled (a token) is none of the journal's, but at QoS 2, where the identifier must not be forgotten.
func (s *Session) note(e *entry, id uint16, token uint64) {
	j := s.journal
	switch {
	case j == nil || token != 0 && e.qos != 2:
	case e.number == 0:
		o := outbound(e)
		o.PacketID = id
		e.number = j.Keep(&o)
	case e.qos == 2:
		j.Assign(e.number, id)
	}
}

// forgo tells the journal that a message is done.
func (s *Session) forgo(e *entry, id uint16) {
	if s.journal == nil || e.number == 0 {
		return
	}
	if e.qos != 2 {
		id = 0
	}
	s.journal.Drop(e.number, id, e.m == nil)
}

// Head is the session without its lists: no subscriptions, messages or received identifiers.
func (s *Session) Head() Snapshot {
	n := Snapshot{ClientID: s.id, Version: s.version, Expiry: s.expiry, Will: s.will}
	if s.state != online {
		n.EndsAt = s.endsAt
		if s.will != nil {
			n.WillAt = s.will.at
		}
	}
	return n
}

// ExpiryOf is the session expiry interval in seconds that a CONNECT is granted.
func (l *Limits) ExpiryOf(c *mqtt.Connect) uint32 {
	switch {
	case c.Version != mqtt.V5 && c.CleanStart:
		return 0
	case c.Version != mqtt.V5:
		return l.MaxSessionExpiry
	case c.Properties.Has.Contains(mqtt.PropSessionExpiry):
		return min(c.Properties.SessionExpiry, l.MaxSessionExpiry)
	}
	return 0
}
