package session

import (
	"slices"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// Snapshot is a session as data: all that a client finds again when it comes back (4.1), and when the session ends if it does
// not. What belongs to the connection, such as aliases, is not in it.
type Snapshot struct {
	ClientID string
	Version  mqtt.Version // of the last connection
	Expiry   uint32       // session expiry interval in seconds; Never for none
	// EndsAt is when the session ends, in Unix milliseconds; math.MaxInt64 for never; 0 when it had a connection, so that
	// the time begins when it is restored.
	EndsAt int64
	Will   *Will
	WillAt int64 // when the will is published, in Unix milliseconds; as EndsAt

	Subscriptions []*Subscription
	Inflight      []Outbound // sent and not acknowledged, in the order of sending
	Waiting       []Outbound // not sent, oldest first
	// Received are the packet identifiers of QoS 2 messages that were taken from the client and that it has not released,
	// ascending. Messages that are still being stored are not among them: the client sends them again.
	Received []uint16
}

// Outbound is one message for the client in a snapshot.
type Outbound struct {
	PacketID uint16           // 0: waiting
	Message  *message.Message // nil when Released
	QoS      byte
	Retain   bool
	Released bool // QoS 2: the client has it, PUBREL was sent
	ID       uint32
	More     *More
	Token    uint64
	Number   uint64 // of the journal
}

// Snapshot gives the state of the session. It refers to the session's subscriptions, will and messages without keeping them:
// it must be used up, or kept, before anything else happens to the session.
func (s *Session) Snapshot() *Snapshot {
	head := s.Head()
	n := &head
	n.Subscriptions = slices.Collect(s.All())
	if o := s.out; o != nil {
		for id := o.first; id != 0; id = o.slots[id-1].next {
			sl := &o.slots[id-1]
			f := outbound(&sl.entry)
			f.PacketID, f.Released, f.Token = id, sl.state == received, sl.token
			n.Inflight = append(n.Inflight, f)
		}
		for i := range o.queue.n {
			n.Waiting = append(n.Waiting, outbound(o.queue.at(i)))
		}
	}
	if s.in != nil {
		s.in.ids.each(func(id uint16, f idFlags) {
			if f&idPending == 0 {
				n.Received = append(n.Received, id)
			}
		})
		slices.Sort(n.Received)
	}
	return n
}

func outbound(e *entry) Outbound {
	return Outbound{Message: e.m, QoS: e.qos, Retain: e.retain, ID: e.id, More: e.more, Number: e.number}
}

func (f *Outbound) entry() entry {
	e := entry{m: f.Message, more: f.More, number: f.Number, id: f.ID, qos: f.QoS, retain: f.Retain}
	if e.m != nil {
		e.m = e.m.Keep()
	}
	return e
}

// Restore makes a session of a snapshot, without a connection. It keeps the messages; subscriptions and will become its own.
// Bounds that have been lowered since are not enforced on what is there. The owner looks at Due, as after Close.
func Restore(now int64, l *Limits, n *Snapshot) *Session {
	s := New(l, n.ClientID)
	s.version, s.state, s.expiry, s.endsAt, s.will = n.Version, offline, n.Expiry, n.EndsAt, n.Will
	if n.EndsAt == 0 {
		s.beginEnd(now)
	} else if s.will != nil {
		s.will.at = n.WillAt
	}
	for _, sub := range n.Subscriptions {
		s.add(sub)
	}
	if len(n.Inflight)+len(n.Waiting) > 0 {
		s.out = new(outflow)
		s.out.restore(n)
		s.weigh()
	}
	if len(n.Received) > 0 {
		s.in = new(inflow)
		for _, id := range n.Received {
			s.in.ids.set(id, 0)
		}
	}
	return s
}

// restore fills an empty outflow.
func (o *outflow) restore(n *Snapshot) {
	var last uint16
	for i := range n.Inflight {
		last = max(last, n.Inflight[i].PacketID)
	}
	o.slots = make([]slot, last)
	for i := range n.Inflight {
		f := &n.Inflight[i]
		sl := &o.slots[f.PacketID-1]
		*sl = slot{entry: f.entry(), token: f.Token, state: sent}
		if f.Released {
			sl.state = received
		}
		o.append(f.PacketID, sl)
	}
	for i := range o.slots {
		if o.slots[i].state == free {
			o.recycle(uint16(i + 1))
		}
	}
	for i := range n.Waiting {
		o.queue.push(n.Waiting[i].entry())
	}
}
