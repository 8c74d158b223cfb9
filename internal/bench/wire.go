package bench

import (
	"encoding/binary"

	"github.com/millrace-mq/millrace/mqtt"
)

// What every message begins with: publisher, number, and when it was due. The rest of the payload is the same in all of them.
const stampSize = 16

func putStamp(b []byte, publisher, seq uint32, due int64) {
	binary.BigEndian.PutUint32(b, publisher)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint64(b[8:], uint64(due))
}

func stamp(b []byte) (publisher, seq uint32, due int64) {
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), int64(binary.BigEndian.Uint64(b[8:]))
}

// filler is the part of a payload behind the stamp: bytes that compress badly and tell a shift.
func filler(payload int) []byte {
	b := make([]byte, max(0, payload-stampSize))
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// header reads a fixed header: size 0 says that it is incomplete, size < 0 that it is malformed. The short form, which most have, is
// read here; the rest by the codec.
func header(b []byte) (size, remaining int) {
	if len(b) < 2 {
		return 0, 0
	}
	if b[1] < 0x80 {
		return 2, int(b[1])
	}
	h, ok, err := mqtt.ParseHeader(b)
	switch {
	case err != nil:
		return -1, 0
	case !ok:
		return 0, 0
	}
	return h.Size, int(h.Remaining)
}

// publishParts finds the packet identifier and the payload of a PUBLISH without looking at its topic, which a full decoder would
// check letter by letter: in the tool that would be a third of its work. ok is false when the lengths do not fit.
func publishParts(version mqtt.Version, flags byte, body []byte) (id uint16, payload []byte, ok bool) {
	if len(body) < 2 {
		return 0, nil, false
	}
	at := 2 + int(binary.BigEndian.Uint16(body))
	if flags&6 != 0 {
		if len(body) < at+2 {
			return 0, nil, false
		}
		id = binary.BigEndian.Uint16(body[at:])
		at += 2
	}
	if version == mqtt.V5 {
		if len(body) < at+1 {
			return 0, nil, false
		}
		size, n := binary.Uvarint(body[at:]) // the same as MQTT's variable byte integer, up to four bytes
		if n <= 0 || n > 4 {
			return 0, nil, false
		}
		at += n + int(size)
	}
	if len(body) < at {
		return 0, nil, false
	}
	return id, body[at:], true
}
