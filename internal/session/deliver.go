package session

import (
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// Verdict is what becomes of a message for the client.
type Verdict uint8

// The verdicts.
const (
	Dropped    Verdict = iota // nothing is sent; Reason tells why
	Send                      // the owner must send a PUBLISH, in the order of the deliveries
	SendPubrel                // the owner must send a PUBREL for PacketID; only from Next
	Held                      // in flight, but sent when the owner says so (Release); only with a Journal
	Queued                    // it waits; Next gives it when its turn has come
)

// Reason is why a message was dropped.
type Reason uint8

// The reasons. All but the first two are losses that deserve to be counted.
const (
	NotDropped Reason = iota
	OwnMessage        // of the client itself, and the subscription is no-local
	NotHere           // QoS 0, and the client is not connected
	NotReady          // QoS 0, and the connection takes nothing at the moment
	QueueFull         // no room among the messages that wait
	Expired           // its message expiry interval is over
	TooLarge          // longer than the client's Maximum Packet Size
	NoRoom            // Lease only: it could not be sent at once
)

var reasonNames = [...]string{
	NotDropped: "not dropped", OwnMessage: "no local", NotHere: "offline", NotReady: "slow consumer", QueueFull: "queue full",
	Expired: "expired", TooLarge: "too large", NoRoom: "no room",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown reason"
}

// Delivery tells the owner what to do with one message for the client.
type Delivery struct {
	Verdict Verdict
	Reason  Reason // of Dropped

	// What the PUBLISH says. The message itself gives topic, properties and payload.
	QoS       byte
	Dup       bool
	Retain    bool
	OmitTopic bool   // Alias says it: the topic is sent with length zero
	PacketID  uint16 // of QoS 1 and 2
	Number    uint64 // of Held, for Release
	Alias     uint16 // topic alias, 0 for none
	// Evicted is the number of older messages that were dropped to make room for this one.
	Evicted uint32
	// Expiry is the message expiry interval in seconds that the client is told, -1 for none.
	Expiry int64
	// SubscriptionIDs belong to the session, until the next call of one of its methods.
	SubscriptionIDs []uint32
}

// Plain tells whether the PUBLISH is the same bytes for every client of the same version that gets the same message with
// the same retain flag at the same time.
func (d *Delivery) Plain() bool { return d.QoS == 0 && d.Alias == 0 && len(d.SubscriptionIDs) == 0 }

// Head is the part of a PUBLISH that this client's delivery decides.
func (d *Delivery) Head() mqtt.PublishHead {
	return mqtt.PublishHead{
		Dup: d.Dup, QoS: d.QoS, Retain: d.Retain, PacketID: d.PacketID, Alias: d.Alias, Expiry: d.Expiry,
		SubscriptionIDs: d.SubscriptionIDs,
	}
}

// Deliver takes a message for the client. m may be borrowed; the session keeps it (message.Message.Keep) if it is in
// flight or waits, and releases it when it is done. ready says that the connection takes bytes: when not, QoS 0 is
// dropped and the rest waits. A message that expires while it waits is dropped when its turn comes.
func (s *Session) Deliver(now int64, m *message.Message, o *SubOptions, ready bool) (d Delivery) {
	switch {
	case o.NoLocal && m.Sender == s.Number:
		d.Reason = OwnMessage // [MQTT-3.8.3-3]
	case m.Expires != 0 && m.Expired(now):
		d.Reason = Expired // [MQTT-3.3.2-5]
	case m.QoS == 0 || o.QoS == 0:
		switch {
		case s.state != online:
			d.Reason = NotHere
		case !ready:
			d.Reason = NotReady
		default:
			s.once(now, m, o, &d)
		}
	case ready && s.open():
		s.launch(now, m, o, 0, &d)
	default:
		s.enqueue(m, o, &d)
	}
	return d
}

// Lease is Deliver for a message that somebody else keeps until it is settled: it is sent at once or not at all (NoRoom),
// and token comes back with the client's acknowledgement or with TakeShared. At QoS 0 there is no acknowledgement, and
// it is settled when it was sent.
func (s *Session) Lease(now int64, m *message.Message, o *SubOptions, token uint64) (d Delivery) {
	switch {
	case m.Expires != 0 && m.Expired(now):
		d.Reason = Expired
	case !s.open():
		d.Reason = NoRoom
	case m.QoS == 0 || o.QoS == 0:
		s.once(now, m, o, &d)
	default:
		s.launch(now, m, o, token, &d)
	}
	return d
}

// retain is the retain flag of a delivery ([MQTT-3.3.1-8], [MQTT-3.3.1-12], [MQTT-3.3.1-13]).
func (s *Session) retain(m *message.Message, o *SubOptions) bool {
	return o.Retained || o.RetainAsPublished && m.Retain && s.version == mqtt.V5
}

// open tells whether a message of QoS 1 or 2 may be sent at once: there is room, and nothing earlier waits ([MQTT-4.6.0-6],
// [MQTT-3.3.4-9]).
func (s *Session) open() bool {
	if s.state != online {
		return false
	}
	o := s.out
	return o == nil && s.window > 0 || o != nil && o.used < s.window && o.queue.n == 0 && o.resend == 0
}

// once sends a message at QoS 0.
func (s *Session) once(now int64, m *message.Message, o *SubOptions, d *Delivery) {
	d.Verdict, d.Retain, d.Expiry = Send, s.retain(m, o), -1
	if s.version == mqtt.V5 {
		s.complete(now, m, o.ID, o.More, d)
	}
}

// launch puts a message in flight.
func (s *Session) launch(now int64, m *message.Message, o *SubOptions, token uint64, d *Delivery) {
	e := s.entry(m, o)
	if s.holds(&e) {
		e.m = m.Keep()
		s.hold(&e, token, d)
		return
	}
	if s.publish(now, &e, 1, d) {
		e.m = m.Keep()
		d.PacketID = s.fly(&e, token)
	}
}

// entry makes a message ready to be kept, at the lower of the two qualities of service ([MQTT-3.8.4-8]).
func (s *Session) entry(m *message.Message, o *SubOptions) entry {
	return entry{m: m, more: o.More, id: o.ID, qos: min(m.QoS, o.QoS), retain: s.retain(m, o)}
}

// fly gives a kept message its place in flight.
func (s *Session) fly(e *entry, token uint64) uint16 {
	if s.out == nil {
		s.out = new(outflow)
	}
	id := s.out.push(*e, token)
	s.note(&s.out.slots[id-1].entry, id, token)
	s.weigh()
	return id
}

// publish makes the delivery of a PUBLISH that is sent now, with the packet identifier id or, as this needs only to know how
// long the packet is, any other. It gives false when the message is dropped.
func (s *Session) publish(now int64, e *entry, id uint16, d *Delivery) bool {
	d.Verdict, d.QoS, d.Retain, d.PacketID, d.Expiry = Send, e.qos, e.retain, id, -1
	if s.version == mqtt.V5 {
		s.complete(now, e.m, e.id, e.more, d)
	}
	return d.Verdict == Send
}

// complete adds what 5.0 has. A message that is too large for the client counts as delivered and is not sent
// ([MQTT-3.1.2-25]).
func (s *Session) complete(now int64, m *message.Message, subscription uint32, more *More, d *Delivery) {
	if m.Expires != 0 {
		d.Expiry = m.Remaining(now) // [MQTT-3.3.2-6]
	}
	switch {
	case more != nil && len(more.IDs) > 0:
		d.SubscriptionIDs = more.IDs
	case subscription != 0:
		s.one[0] = subscription
		d.SubscriptionIDs = s.one[:]
	}
	grown := 0
	if s.maxPacket != 0 {
		size := mqtt.PublishSize(mqtt.V5, d.Head(), len(m.Topic), len(m.Props), len(m.Payload))
		if size > int(s.maxPacket) {
			*d = Delivery{Reason: TooLarge, QoS: d.QoS}
			return
		}
		grown = size + aliasGrowth
	}
	if s.aliases != nil && grown <= int(s.maxPacket) {
		d.Alias, d.OmitTopic = s.aliases.assign(m.Topic)
	}
}

// enqueue lets a message wait.
func (s *Session) enqueue(m *message.Message, o *SubOptions, d *Delivery) {
	if s.state != online && s.state != offline {
		d.Reason = NotHere
		return
	}
	l, size := s.limits, m.Size()
	if l.MaxQueued <= 0 || l.MaxQueuedBytes > 0 && size > l.MaxQueuedBytes {
		d.Reason = QueueFull
		return
	}
	if s.out == nil {
		s.out = new(outflow)
	}
	q := &s.out.queue
	for q.n >= l.MaxQueued || l.MaxQueuedBytes > 0 && q.bytes+size > l.MaxQueuedBytes {
		if l.Overflow == DropNewest {
			d.Reason = QueueFull
			return
		}
		old := q.pop()
		s.forgo(&old, 0)
		old.m.Release()
		d.Evicted++
	}
	e := s.entry(m, o)
	e.m = m.Keep()
	s.note(&e, 0, 0)
	q.push(e)
	s.weigh()
	d.Verdict, d.QoS = Queued, e.qos
}
