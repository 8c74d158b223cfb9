package session

import "github.com/millrace-mq/millrace/internal/message"

// Taken is a message that a session gives back.
type Taken struct {
	// Message comes with the reference that the session had. It is nil when the client has the message for certain
	// (PUBREC came) and only the end of the lease is to be told.
	Message *message.Message
	Source  any
	Token   uint64 // of Lease
	QoS     byte
	Sent    bool // the client was sent it, and may have seen it
}

// TakeShared takes out, in their order, the messages with a Source that somebody else may get now that this client is gone.
// ended says that the session is over, else it may come back.
//
//   - What waits and was never sent is taken in any case.
//   - QoS 1 in flight is taken when the session is over ([MQTT-4.8.2-3]); of a Lease in any case.
//   - QoS 2 in flight is this client's, to be finished when it comes back and never to be given to another subscriber of a
//     shared subscription ([MQTT-4.8.2-4], [MQTT-4.8.2-5]); a Lease goes back when the session is over. Before that it cannot:
//     the client may have stored the packet identifier, and would take another message under it for a duplicate.
func (s *Session) TakeShared(ended bool) []Taken {
	o := s.out
	if o == nil {
		return nil
	}
	var taken []Taken
	for id := o.first; id != 0; {
		sl := &o.slots[id-1]
		next := sl.next
		if source := sl.more.source(); source != nil && goesBack(sl, ended) {
			taken = append(taken, Taken{Message: sl.m, Source: source, Token: sl.token, QoS: sl.qos, Sent: true})
			s.forgo(&sl.entry, id)
			sl.m = nil
			o.remove(id)
		}
		id = next
	}
	o.queue.filter(func(e *entry) bool {
		source := e.more.source()
		if source == nil {
			return true
		}
		taken = append(taken, Taken{Message: e.m, Source: source, QoS: e.qos})
		s.forgo(e, 0)
		return false
	})
	s.weigh()
	return taken
}

// goesBack tells whether a message in flight is for somebody else to deliver or to settle.
func goesBack(sl *slot, ended bool) bool {
	leased := sl.token != 0
	if sl.qos == 1 {
		return ended || leased
	}
	return ended && leased
}
