// Package message holds the one message of the broker: what a publisher sent,
// as every layer below the codec sees it. It decides who owns the bytes.
//
// A message is immutable once it was made. It exists in two states:
//
//   - borrowed: Topic, Props and Payload lie in somebody's read buffer and are
//     valid until that turn of the loop ends. Delivering it to connected
//     subscribers at QoS 0 needs nothing more.
//   - kept: the bytes are the message's own, in a buffer of a size class, and
//     are counted by references. Whatever outlives the turn (an in-flight window,
//     an offline queue, the retained store, mail for another loop) keeps it.
//
// Keep turns the first into the second, once, however many keep it. Each Keep
// is matched by one Release; the last gives the buffer back to its pool. A
// forgotten Release costs the pool a buffer and nothing else, since the garbage
// collector takes it; one Release too many panics, as the bytes may by then be
// another message's.
package message

import (
	"sync/atomic"
)

// Message is one application message. All fields are read-only after the message
// was handed to anybody.
type Message struct {
	// Topic is the topic name; a message with a topic alias carries the name that
	// it stands for.
	Topic []byte
	// Props are the MQTT 5.0 properties that a server passes on unchanged, encoded
	// as on the wire, without their length (mqtt.Properties.AppendForward).
	Props []byte
	// Payload is the application's.
	Payload []byte
	// Expires is the time in Unix milliseconds after which nobody gets the message
	// any more; 0 for never.
	Expires int64
	// Sender is the number of the client that published it, for no-local
	// subscriptions; 0 for the broker itself.
	Sender uint64
	// QoS is the quality of service that the publisher chose.
	QoS uint8
	// Retain is the retain flag as the publisher set it.
	Retain bool

	// kept is, of a borrowed message, the copy that Keep made of it. Only the turn
	// that borrowed the bytes touches it.
	kept *Message
	// refs counts the keepers of a kept message; 0 marks a borrowed one.
	refs atomic.Int32
	// class is the size class of buf, noClass for one too big for a pool.
	class int8
	buf   []byte
}

// Keep gives a message that stays valid until it is released, with one more
// reference for the caller. Of a borrowed message only its own turn may call it,
// and several calls share one copy; of a kept one, anybody who has a reference.
func (m *Message) Keep() *Message {
	if m.refs.Load() > 0 {
		m.refs.Add(1)
		return m
	}
	if k := m.kept; k != nil {
		k.refs.Add(1)
		return k
	}
	k := acquire(len(m.Topic) + len(m.Props) + len(m.Payload))
	k.fill(m)
	// One reference is the borrowed message's own, until Return.
	k.refs.Store(2)
	m.kept = k
	return k
}

// Return ends a borrowed message's turn: the copy that Keep may have made is left
// to those who kept it, and m may be filled anew. Every other message ignores it.
func (m *Message) Return() {
	if k := m.kept; k != nil {
		m.kept = nil
		k.Release()
	}
}

// Release gives a reference back. The last one returns the bytes to their pool, so
// nothing of the message may be touched afterwards.
func (m *Message) Release() {
	switch n := m.refs.Add(-1); {
	case n > 0:
	case n == 0:
		recycle(m)
	default:
		panic("message: released more often than kept")
	}
}

// Kept tells whether the bytes are the message's own.
func (m *Message) Kept() bool { return m.refs.Load() > 0 }

// Size is the number of bytes that the message holds: topic, properties, payload.
func (m *Message) Size() int { return len(m.Topic) + len(m.Props) + len(m.Payload) }

// Expired tells whether nobody should get the message any more at the time now, in
// Unix milliseconds.
func (m *Message) Expired(now int64) bool { return m.Expires != 0 && now >= m.Expires }

// Remaining is what a receiver is told of the message's expiry at the time now: whole
// seconds, rounded up, or -1 when it never expires ([MQTT-3.3.2-6]).
func (m *Message) Remaining(now int64) int64 {
	if m.Expires == 0 {
		return -1
	}
	return max(0, (m.Expires-now+999)/1000)
}

// fill copies what m says into the kept message k, whose buffer is large enough.
func (k *Message) fill(m *Message) {
	b := append(k.buf[:0], m.Topic...)
	t := len(b)
	b = append(b, m.Props...)
	p := len(b)
	b = append(b, m.Payload...)
	k.buf = b
	// The capacities end where the slices do: appending to one never writes into the next.
	k.Topic, k.Props, k.Payload = b[:t:t], b[t:p:p], b[p:len(b):len(b)]
	k.Expires, k.Sender, k.QoS, k.Retain = m.Expires, m.Sender, m.QoS, m.Retain
}
