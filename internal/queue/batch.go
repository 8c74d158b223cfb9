package queue

import (
	"encoding/binary"
	"errors"
)

// Message is one message of a batch: what goes into Batch.Add, and what comes
// out at delivery, where the slices lie in the bytes of the log.
type Message struct {
	// Topic is what follows the name of the queue: the key levels, or the whole
	// topic of the publish when Captured is set. It may be empty.
	Topic []byte
	// Props are the MQTT 5.0 properties that are passed on, encoded, without
	// their length (mqtt.Properties.AppendForward).
	Props   []byte
	Payload []byte
	// Expires is when nobody gets the message any more, NotBefore the earliest
	// time to deliver it: Unix milliseconds, 0 for none.
	Expires   int64
	NotBefore int64
	// Key is the partition key. When it is that of the topic, it costs no room.
	Key Key
	// Dedup keeps another message with the same one out.
	Dedup DedupID
	// QoS is the quality of service of the publish.
	QoS uint8
	// Captured: stored because of the queue's capture filters.
	Captured bool
}

// Size is what MaxMessageSize bounds.
func (m *Message) Size() int { return len(m.Topic) + len(m.Props) + len(m.Payload) }

// The header of a batch: version, kind, flags, 0, count (4), time (8).
const batchHeader = 16

const batchDedup = 1 // flag: some message has a DedupID

// Flags of a message. The two lowest bits are the QoS.
const (
	messageCaptured  = 1 << 2
	messageKey       = 1 << 3 // eight bytes of key follow
	messageTopicKey  = 1 << 4 // the key is that of the topic
	messageNotBefore = 1 << 5
	messageExpires   = 1 << 6
	messageDedup     = 1 << 7
)

// MaxBatch is the most messages that a batch may hold.
const MaxBatch = 1 << 12

// ErrTooLarge: the message exceeds the queue's MaxMessageSize.
var ErrTooLarge = errors.New("queue: message larger than max_message_size")

// Batch encodes messages, each once, into the command that appends them. It is
// used again after Begin. The zero value needs Begin too.
type Batch struct {
	b       []byte
	n       uint32
	time    int64
	largest int64
}

// Begin starts a batch in the memory of buf, which may be nil, at the time now.
// The log's time never goes back: should it be earlier than that of the batch
// before, the machine takes that one's.
func (b *Batch) Begin(buf []byte, s *Settings, now int64) {
	b.b = append(buf[:0], commandVersion, kindAppend, 0, 0, 0, 0, 0, 0)
	b.b = binary.LittleEndian.AppendUint64(b.b, uint64(now))
	b.n, b.time, b.largest = 0, now, s.MaxMessageSize
}

// Add appends a message and gives its position in the batch. The error is
// ErrTooLarge. A batch has at most MaxBatch messages; the caller sees to it.
func (b *Batch) Add(m *Message) (int, error) {
	if b.largest > 0 && int64(m.Size()) > b.largest {
		return 0, ErrTooLarge
	}
	if b.n == MaxBatch {
		panic("queue: batch of more than MaxBatch messages")
	}
	flags := m.QoS & 3
	var head [48]byte
	h := head[:0]
	if m.Captured {
		flags |= messageCaptured
	}
	switch {
	case m.Key == 0:
	case m.Key == KeyOf(m.Topic):
		flags |= messageTopicKey
	default:
		flags |= messageKey
		h = binary.LittleEndian.AppendUint64(h, uint64(m.Key))
	}
	if m.NotBefore > b.time {
		flags |= messageNotBefore
		h = appendUvarint(h, uint64(m.NotBefore-b.time))
	}
	if m.Expires != 0 {
		flags |= messageExpires
		h = appendUvarint(h, uint64(max(0, m.Expires-b.time)))
	}
	if m.Dedup != (DedupID{}) {
		flags |= messageDedup
		b.b[2] |= batchDedup
		h = append(h, m.Dedup[:]...)
	}
	var lengths [20]byte
	l := appendUvarint(appendUvarint(lengths[:0], uint64(len(m.Topic))), uint64(len(m.Props)))
	b.b = append(b.b, flags)
	b.b = appendUvarint(b.b, uint64(len(h)+len(l)+m.Size()))
	b.b = append(append(b.b, h...), l...)
	b.b = append(append(append(b.b, m.Topic...), m.Props...), m.Payload...)
	b.n++
	return int(b.n) - 1, nil
}

// Len is the number of messages, Size the length of the command.
func (b *Batch) Len() int  { return int(b.n) }
func (b *Batch) Size() int { return len(b.b) }

// Command gives the finished command. It is the caller's; the batch begins anew
// with Begin.
func (b *Batch) Command() []byte {
	binary.LittleEndian.PutUint32(b.b[4:], b.n)
	return b.b
}

// batchInfo is the decoded header of a batch.
type batchInfo struct {
	flags byte
	count uint32
	time  int64
}

// parseBatch reads the header. Messages begin at batchHeader.
func parseBatch(b []byte) (i batchInfo, ok bool) {
	if len(b) < batchHeader || b[0] != commandVersion || b[1] != kindAppend || b[2]&^batchDedup != 0 || b[3] != 0 {
		return i, false
	}
	i.flags, i.count = b[2], binary.LittleEndian.Uint32(b[4:])
	i.time = int64(binary.LittleEndian.Uint64(b[8:]))
	// A message takes at least four bytes.
	return i, i.count > 0 && i.count <= MaxBatch && int(i.count) <= (len(b)-batchHeader)/4 && i.time >= 0 && i.time < maxTime
}

// maxTime keeps sums with settings from overflowing.
const maxTime = 1 << 61

// frame splits the message at the front of b from what follows.
func frame(b []byte) (flags byte, body []byte, n int, ok bool) {
	if len(b) < 2 {
		return 0, nil, 0, false
	}
	size, k := uvarint(b[1:])
	if k == 0 || size > uint64(len(b)-1-k) {
		return 0, nil, 0, false
	}
	n = 1 + k + int(size)
	return b[0], b[1+k : n : n], n, true
}

// decode fills m from the message at the front of b and gives its length.
func (m *Message) decode(b []byte, time int64) (int, bool) {
	flags, d, n, ok := frame(b)
	if !ok || flags&3 == 3 || flags&(messageKey|messageTopicKey) == messageKey|messageTopicKey {
		return 0, false
	}
	*m = Message{QoS: flags & 3, Captured: flags&messageCaptured != 0}
	if flags&messageKey != 0 {
		if len(d) < 8 {
			return 0, false
		}
		m.Key, d = Key(binary.LittleEndian.Uint64(d)), d[8:]
	}
	if flags&messageNotBefore != 0 {
		if m.NotBefore, d, ok = later(d, time); !ok || m.NotBefore == time {
			return 0, false
		}
	}
	if flags&messageExpires != 0 {
		if m.Expires, d, ok = later(d, time); !ok {
			return 0, false
		}
	}
	if flags&messageDedup != 0 {
		if len(d) < 16 {
			return 0, false
		}
		m.Dedup, d = DedupID(d[:16]), d[16:]
	}
	t, k := uvarint(d)
	if k == 0 {
		return 0, false
	}
	d = d[k:]
	p, k := uvarint(d)
	if k == 0 {
		return 0, false
	}
	d = d[k:]
	if t > uint64(len(d)) || p > uint64(len(d))-t {
		return 0, false
	}
	m.Topic, m.Props, m.Payload = d[:t:t], d[t:t+p:t+p], d[t+p:]
	if flags&messageTopicKey != 0 {
		m.Key = KeyOf(m.Topic)
	}
	return n, m.Key != 0 || flags&(messageKey|messageTopicKey) == 0
}

// MessageAt decodes the message at a position of a batch, as Locate gives it. Its
// slices lie in command. The error is ErrMalformed.
func MessageAt(command []byte, position int, m *Message) error {
	info, ok := parseBatch(command)
	if !ok || position < 0 || position >= int(info.count) {
		return ErrMalformed
	}
	b := command[batchHeader:]
	for range position {
		_, _, n, ok := frame(b)
		if !ok {
			return ErrMalformed
		}
		b = b[n:]
	}
	if _, ok := m.decode(b, info.time); !ok {
		return ErrMalformed
	}
	return nil
}

// later reads a time that is given as milliseconds after the batch's.
func later(d []byte, time int64) (int64, []byte, bool) {
	v, n := uvarint(d)
	if n == 0 || v > maxTime {
		return 0, nil, false
	}
	return max(1, time+int64(v)), d[n:], true
}

// dedupOf reads the identifier of a message that has one.
func dedupOf(flags byte, body []byte) (id DedupID, ok bool) {
	if flags&messageKey != 0 {
		if len(body) < 8 {
			return id, false
		}
		body = body[8:]
	}
	for _, f := range [...]byte{messageNotBefore, messageExpires} {
		if flags&f != 0 {
			_, n := uvarint(body)
			if n == 0 {
				return id, false
			}
			body = body[n:]
		}
	}
	if len(body) < 16 {
		return id, false
	}
	return DedupID(body[:16]), true
}
