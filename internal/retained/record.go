package retained

import (
	"encoding/binary"
	"math/bits"

	"github.com/millrace-mq/millrace/internal/message"
)

// record is one retained message in one allocation without pointers, never changed after it was made:
//
//	topic length  uvarint
//	topic
//	flags         1 byte: QoS in bits 0 and 1, hasRetain, hasExpiry
//	expires       8 bytes, little endian, Unix milliseconds; only with hasExpiry
//	sender        uvarint
//	props length  uvarint
//	props
//	payload       the rest
//
// A message of 64 bytes with a topic of 20 takes 90 bytes. The topic stands first because the tree compares it all the time.
type record []byte

const (
	qosBits   = 0x03
	hasRetain = 0x04
	hasExpiry = 0x08
)

func newRecord(m *message.Message) record {
	size := uvarintLen(uint64(len(m.Topic))) + len(m.Topic) + 1 +
		uvarintLen(m.Sender) + uvarintLen(uint64(len(m.Props))) + len(m.Props) + len(m.Payload)
	flags := m.QoS & qosBits
	if m.Retain {
		flags |= hasRetain
	}
	if m.Expires != 0 {
		flags |= hasExpiry
		size += 8
	}
	r := make(record, 0, size)
	r = binary.AppendUvarint(r, uint64(len(m.Topic)))
	r = append(r, m.Topic...)
	r = append(r, flags)
	if m.Expires != 0 {
		r = binary.LittleEndian.AppendUint64(r, uint64(m.Expires))
	}
	r = binary.AppendUvarint(r, m.Sender)
	r = binary.AppendUvarint(r, uint64(len(m.Props)))
	r = append(r, m.Props...)
	return append(r, m.Payload...)
}

func uvarintLen(n uint64) int {
	return max(1, (bits.Len64(n)+6)/7)
}

// topic returns the topic, which lies in the record.
func (r record) topic() []byte {
	n, w := binary.Uvarint(r)
	end := w + int(n)
	return r[w:end:end]
}

// rest returns the record from its flags on.
func (r record) rest() []byte {
	n, w := binary.Uvarint(r)
	return r[w+int(n):]
}

// expires returns the time after which the message is gone, in Unix milliseconds; 0 for never.
func (r record) expires() int64 {
	rest := r.rest()
	if rest[0]&hasExpiry == 0 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(rest[1:]))
}

func (r record) expired(now int64) bool {
	at := r.expires()
	return at != 0 && now >= at
}

// size is what the limits count: topic, properties and payload.
func (r record) size() int64 {
	var m message.Message
	r.lend(&m)
	return int64(m.Size())
}

// lend fills a borrowed message with the record's bytes, which stay as they are for as long as anybody looks at them.
func (r record) lend(m *message.Message) {
	m.Topic = r.topic()
	rest := r.rest()
	flags := rest[0]
	rest = rest[1:]
	m.QoS, m.Retain, m.Expires = flags&qosBits, flags&hasRetain != 0, 0
	if flags&hasExpiry != 0 {
		m.Expires = int64(binary.LittleEndian.Uint64(rest))
		rest = rest[8:]
	}
	sender, w := binary.Uvarint(rest)
	rest = rest[w:]
	n, w := binary.Uvarint(rest)
	end := w + int(n)
	m.Sender, m.Props, m.Payload = sender, rest[w:end:end], rest[end:]
}
