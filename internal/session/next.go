package session

import "github.com/millrace-mq/millrace/internal/message"

// Next gives what is to be sent next, until it gives false: after a reconnect what was in flight, in the order of the
// first sending, each PUBLISH with DUP and each PUBREL again ([MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]); then the
// messages that wait, as far as the client's window allows. The owner calls it after Connect, after an
// acknowledgement that made room, and when a connection that was not ready is ready again.
//
// A message that expired while it waited, or is too large for the client, comes as Dropped, without the message, so that it
// can be counted. The message of a Send belongs to the session and stays valid until the client acknowledges it.
func (s *Session) Next(now int64) (Delivery, *message.Message, bool) {
	o := s.out
	if o == nil || s.state != online {
		return Delivery{}, nil, false
	}
	if o.resend != 0 {
		return s.retransmit(now)
	}
	if o.queue.n == 0 || o.used >= s.window {
		return Delivery{}, nil, false
	}
	e := o.queue.pop()
	if e.m.Expired(now) {
		s.forgo(&e, 0)
		e.m.Release()
		s.weigh()
		return Delivery{Reason: Expired, QoS: e.qos}, nil, true
	}
	var d Delivery
	if s.holds(&e) {
		s.hold(&e, 0, &d)
		return d, e.m, true
	}
	if !s.publish(now, &e, 1, &d) {
		s.forgo(&e, 0)
		e.m.Release()
		s.weigh()
		return d, nil, true
	}
	d.PacketID = s.fly(&e, 0)
	return d, e.m, true
}

// retransmit gives the next of what was in flight when the connection began. A message that was sent once is sent again
// however long ago that was: its expiry concerns the start of delivery ([MQTT-3.3.2-5]).
func (s *Session) retransmit(now int64) (Delivery, *message.Message, bool) {
	o := s.out
	id := o.resend
	sl := &o.slots[id-1]
	if sl.state == received {
		o.goLive(id, sl)
		return Delivery{Verdict: SendPubrel, PacketID: id, QoS: 2}, nil, true
	}
	if o.used >= s.window {
		return Delivery{}, nil, false
	}
	var d Delivery
	if !s.publish(now, &sl.entry, id, &d) {
		s.discard(id, sl)
		return d, nil, true
	}
	o.goLive(id, sl)
	d.Dup = true
	return d, sl.m, true
}

// Purge drops the messages that expired while they waited, and gives their number. Next would drop them too; an owner
// calls this for sessions that nobody comes back to.
func (s *Session) Purge(now int64) int {
	if s.out == nil {
		return 0
	}
	n := 0
	s.out.queue.filter(func(e *entry) bool {
		if !e.m.Expired(now) {
			return true
		}
		s.forgo(e, 0)
		e.m.Release()
		n++
		return false
	})
	s.weigh()
	return n
}
