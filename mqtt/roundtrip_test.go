package mqtt

import (
	"bytes"
	"testing"
)

// packet is what all packets can do; Connect and Ack are adapted to it.
type packet interface {
	Decode(v Version, flags byte, body []byte) error
	Append(dst []byte, v Version) []byte
}

type connectPacket struct{ Connect }

func (c *connectPacket) Decode(_ Version, _ byte, body []byte) error { return c.Connect.Decode(body) }

// newPacket returns an empty packet of the type.
func newPacket(t Type) packet {
	switch t {
	case CONNECT:
		return new(connectPacket)
	case CONNACK:
		return new(Connack)
	case PUBLISH:
		return new(Publish)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		return &Ack{Type: t}
	case SUBSCRIBE:
		return new(Subscribe)
	case SUBACK:
		return new(Suback)
	case UNSUBSCRIBE:
		return new(Unsubscribe)
	case UNSUBACK:
		return new(Unsuback)
	case PINGREQ:
		return new(Pingreq)
	case PINGRESP:
		return new(Pingresp)
	case DISCONNECT:
		return new(Disconnect)
	}
	return new(Auth)
}

// decodeWhole decodes a whole packet, fixed header included.
func decodeWhole(v Version, whole []byte) (packet, error) {
	h, ok, err := ParseHeader(whole)
	if err != nil {
		return nil, err
	}
	if !ok || len(whole) != int(h.Len()) {
		return nil, errTruncated
	}
	p := newPacket(h.Type)
	return p, p.Decode(v, h.Flags, whole[h.Size:])
}

// canonical are packets in the form in which Append writes them.
var canonical = []struct {
	name    string
	version Version
	bytes   string
}{
	{"connect 3.1.1", V311, "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"},
	{"connect 3.1.1 with all", V311, "\x10\x1e\x00\x04MQTT\x04\xee\x00\x3c\x00\x01a\x00\x01w\x00\x02hi\x00\x04user\x00\x02\x00p"},
	{"connect 5", V5, "\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03abc"},
	{"connect 5 with all", V5, "\x10\x6d\x00\x04MQTT\x05\xf6\x00\x0a" +
		"\x2a\x11\x00\x00\x00\x05\x15\x00\x01m\x16\x00\x02\x00\xff\x17\x00\x19\x01\x21\x00\x0a\x22\x00\x07\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x00\x27\x00\x00\x10\x00" +
		"\x00\x02id" +
		"\x22\x01\x01\x02\x00\x00\x00\x09\x03\x00\x04text\x08\x00\x01r\x09\x00\x01\x00\x18\x00\x00\x00\x1e\x26\x00\x01k\x00\x01v" +
		"\x00\x03w/l\x00\x04\x00\x01\x02\x03\x00\x01u\x00\x01p"},
	{"connack 3.1.1", V311, "\x20\x02\x01\x00"},
	{"connack 3.1.1 refused", V311, "\x20\x02\x00\x05"},
	{"connack 5", V5, "\x20\x03\x00\x00\x00"},
	{"connack 5 refused", V5, "\x20\x03\x00\x8a\x00"},
	{"connack 5 with all", V5, "\x20\x41\x01\x00\x3e\x11\xff\xff\xff\xff\x12\x00\x01c\x13\x00\x3c\x15\x00\x01m\x16\x00\x01d\x1a\x00\x02ri\x1c\x00\x01s" +
		"\x1f\x00\x02ok\x21\x01\x00\x22\x00\x10\x24\x01\x25\x00\x26\x00\x01k\x00\x01v\x27\x00\x01\x00\x00\x28\x01\x29\x00\x2a\x01"},
	{"publish 3.1.1", V311, "\x30\x05\x00\x01thi"},
	{"publish 3.1.1 qos 2", V311, "\x3d\x07\x00\x01t\x00\x0ahi"},
	{"publish 5", V5, "\x30\x06\x00\x01t\x00hi"},
	{"publish 5 alias", V5, "\x32\x0a\x00\x00\x00\x01\x03\x23\x00\x05hi"},
	{"publish 5 with all", V5, "\x3a\x2d\x00\x01t\x00\x0a\x27\x01\x01\x02\x00\x00\x00\x0a\x03\x00\x01c\x08\x00\x01r\x09\x00\x01\x00\x0b\x01\x0b\x80\x01\x23\x00\x05\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x00"},
	{"puback 3.1.1", V311, "\x40\x02\x00\x01"},
	{"puback 5", V5, "\x40\x02\x00\x01"},
	{"puback 5 code", V5, "\x40\x03\x00\x01\x10"},
	{"pubrec 5 properties", V5, "\x50\x0f\x00\x01\x80\x0b\x1f\x00\x01r\x26\x00\x01k\x00\x01v"},
	{"pubrel", V5, "\x62\x02\xff\xff"},
	{"pubrel 5 code", V5, "\x62\x03\x00\x01\x92"},
	{"pubcomp", V311, "\x70\x02\x00\x01"},
	{"pubcomp 5 success with properties", V5, "\x70\x08\x00\x01\x00\x04\x1f\x00\x01r"},
	{"subscribe 3.1.1", V311, "\x82\x0c\x00\x01\x00\x03a/b\x01\x00\x01#\x00"},
	{"subscribe 5", V5, "\x82\x11\x00\x01\x0a\x0b\x64\x26\x00\x01k\x00\x02vw\x00\x01+\x2e"},
	{"suback 3.1.1", V311, "\x90\x06\x00\x01\x00\x01\x02\x80"},
	{"suback 5", V5, "\x90\x09\x00\x01\x04\x1f\x00\x01r\x02\xa2"},
	{"unsubscribe 3.1.1", V311, "\xa2\x08\x00\x01\x00\x01a\x00\x01b"},
	{"unsubscribe 5", V5, "\xa2\x0d\x00\x01\x07\x26\x00\x01k\x00\x01v\x00\x01a"},
	{"unsuback 3.1.1", V311, "\xb0\x02\x00\x01"},
	{"unsuback 5", V5, "\xb0\x05\x00\x01\x00\x00\x11"},
	{"pingreq", V311, "\xc0\x00"},
	{"pingresp", V5, "\xd0\x00"},
	{"disconnect 3.1.1", V311, "\xe0\x00"},
	{"disconnect 5", V5, "\xe0\x00"},
	{"disconnect 5 code", V5, "\xe0\x01\x8e"},
	{"disconnect 5 properties", V5, "\xe0\x0b\x00\x09\x11\x00\x00\x00\x00\x1f\x00\x01r"},
	{"auth", V5, "\xf0\x00"},
	{"auth with all", V5, "\xf0\x10\x18\x0e\x15\x00\x01m\x16\x00\x03abc\x1f\x00\x01r"},
}

func TestDecodeThenAppendGivesTheSameBytes(t *testing.T) {
	for _, test := range canonical {
		t.Run(test.name, func(t *testing.T) {
			p, err := decodeWhole(test.version, []byte(test.bytes))
			if err != nil {
				t.Fatal(err)
			}
			prefix := []byte("before")
			got := p.Append(prefix, test.version)
			if want := append(prefix, test.bytes...); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}
