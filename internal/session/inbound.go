package session

import "github.com/millrace-mq/millrace/mqtt"

// Inbound is what to do with a PUBLISH of the client.
type Inbound struct {
	// Ticket is for Acknowledge, once for each PUBLISH of QoS 1 and 2.
	Ticket Ticket
	// Duplicate: the message has been taken before (QoS 2). Acknowledge it with Success, and do not deliver it.
	Duplicate bool
	// Refuse, when it is not Success, is the code to acknowledge the message with, which is not delivered.
	Refuse mqtt.ReasonCode
}

var (
	errQoS            = refuse(mqtt.QoSNotSupported, "the quality of service is not supported")
	errReceiveMaximum = refuse(mqtt.ReceiveMaximumExceeded, "more messages without acknowledgement than Receive Maximum")
	errClientSubID    = refuse(mqtt.ProtocolError, "subscription identifier in a PUBLISH of a client")
)

// Publish takes a PUBLISH of the client, checks it against the limits and resolves its topic alias: afterwards p.Topic is the
// topic, which may belong to the session and is valid for the turn. An error ends the connection.
func (s *Session) Publish(p *mqtt.Publish) (Inbound, error) {
	l := s.limits
	switch {
	case p.QoS > l.MaximumQoS:
		return Inbound{}, errQoS // [MQTT-3.2.2-11]
	case p.Retain && !l.RetainAvailable:
		return Inbound{}, errRetain // [MQTT-3.2.2-14]
	case s.version == mqtt.V5 && p.Properties.Has.Contains(mqtt.PropSubscriptionID):
		return Inbound{}, errClientSubID // [MQTT-3.3.4-6]
	}
	if err := s.resolve(p); err != nil {
		return Inbound{}, err
	}
	if p.QoS == 0 {
		return Inbound{}, nil
	}
	if s.in == nil {
		s.in = &inflow{first: s.arrivals, birth: s.arrivals}
	}
	return s.arrive(p)
}

// arrive takes a PUBLISH of QoS 1 or 2.
func (s *Session) arrive(p *mqtt.Publish) (Inbound, error) {
	i := s.in
	f, known := i.ids.get(p.PacketID)
	if s.version == mqtt.V5 {
		unacknowledged := i.n + i.held
		if f&idLive != 0 && p.QoS == 2 {
			unacknowledged-- // it is among them
		}
		if unacknowledged >= s.limits.receiveMaximum() {
			return Inbound{}, errReceiveMaximum // [MQTT-3.3.4-7], 3.3.4
		}
	} else if i.n >= maxPacketID {
		return Inbound{}, errReceiveMaximum
	}
	a := arrival{id: p.PacketID, qos2: p.QoS == 2}
	switch {
	case !a.qos2 && known:
		return Inbound{Ticket: i.push(a), Refuse: mqtt.PacketIdentifierInUse}, nil
	case a.qos2 && known: // [MQTT-4.3.3-10], whatever DUP says
		a.repeats, a.waiting = true, f&idPending != 0
		return Inbound{Ticket: i.push(a), Duplicate: true}, nil
	case a.qos2:
		i.ids.set(p.PacketID, idPending)
	}
	return Inbound{Ticket: i.push(a)}, nil
}

// Answer is what a PUBLISH is acknowledged with.
type Answer struct {
	Code mqtt.ReasonCode
	// Note is the owner's: it comes back when the acknowledgement leaves, which may be much later than Acknowledge. A
	// duplicate of a message of QoS 2 that was acknowledged before has none.
	Note uint64
}

// Emit sends a PUBACK or PUBREC.
type Emit func(t mqtt.Type, id uint16, v Answer)

// Acknowledge tells that what a PUBLISH asked for has been done, or has failed with v.Code. emit is called for each PUBACK and
// PUBREC that may leave now: they leave in the order in which the messages came, also when they are done in another
// ([MQTT-4.6.0-2], [MQTT-4.6.0-3]). With a ticket of an earlier connection nothing leaves, as the client sends the message
// again; but a QoS 2 message that has been stored stays known as such.
//
// An error ends the connection: 3.1.1 has no acknowledgement that says no, so that none is sent, nor any after it.
func (s *Session) Acknowledge(t Ticket, v Answer, emit Emit) error {
	i := s.in
	if i == nil || t.number() < i.birth {
		return nil
	}
	a := i.find(t)
	switch {
	case t.repeats():
		if a != nil && !a.waiting {
			a.done, a.answer = true, v
		}
	default:
		answers := a != nil
		if answers {
			a.done, a.answer = true, v
		}
		if t.qos2() && i.stored(t.id(), v) {
			answers = true
		}
		if answers && v.Code.IsError() && s.version != mqtt.V5 {
			return refuse(v.Code, "the message was refused, which MQTT 3.1.1 cannot say")
		}
	}
	s.leave(emit)
	return nil
}

// stored ends the wait for a message of QoS 2, and that of its duplicates; it tells whether there were any.
func (i *inflow) stored(id uint16, v Answer) (duplicates bool) {
	f, known := i.ids.get(id)
	switch {
	case !known || f&idPending == 0:
		return false
	case v.Code.IsError():
		i.ids.remove(id) // the identifier is free again (4.3.3)
	default:
		i.ids.set(id, f&^idPending)
	}
	for n := i.first; n < i.next(); n++ {
		if a := i.at(n); a.waiting && a.id == id {
			a.done, a.waiting, a.answer = true, false, v
			duplicates = true
		}
	}
	return duplicates
}

// leave lets the acknowledgements go whose turn has come.
func (s *Session) leave(emit Emit) {
	i := s.in
	for i.n > 0 {
		a := *i.at(i.first)
		if !a.done || a.answer.Code.IsError() && s.version != mqtt.V5 {
			return
		}
		i.first++
		i.n--
		if !a.qos2 {
			emit(mqtt.PUBACK, a.id, a.answer)
			continue
		}
		if f, known := i.ids.get(a.id); known && !a.answer.Code.IsError() && f&idLive == 0 {
			i.ids.set(a.id, f|idLive)
			i.held++
		}
		emit(mqtt.PUBREC, a.id, a.answer)
	}
}

// Pubrel takes the PUBREL of the client, which may use the identifier for another message from now on, and gives the code for
// the PUBCOMP ([MQTT-4.3.3-11], [MQTT-4.3.3-12]).
func (s *Session) Pubrel(id uint16) mqtt.ReasonCode {
	i := s.in
	if i == nil {
		return mqtt.PacketIdentifierNotFound
	}
	f, known := i.ids.get(id)
	if !known || f&idPending != 0 {
		return mqtt.PacketIdentifierNotFound
	}
	if f&idLive != 0 {
		i.held--
	}
	i.ids.remove(id)
	return mqtt.Success
}

// forgetInflow drops what came in. Tickets that are still out find nothing.
func (s *Session) forgetInflow() {
	s.arrivals = s.in.next()
	s.in = nil
}
