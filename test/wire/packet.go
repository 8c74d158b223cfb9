package wire

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The control packet types of both versions.
const (
	CONNECT     = 1
	CONNACK     = 2
	PUBLISH     = 3
	PUBACK      = 4
	PUBREC      = 5
	PUBREL      = 6
	PUBCOMP     = 7
	SUBSCRIBE   = 8
	SUBACK      = 9
	UNSUBSCRIBE = 10
	UNSUBACK    = 11
	PINGREQ     = 12
	PINGRESP    = 13
	DISCONNECT  = 14
	AUTH        = 15
)

// The protocol levels: 3.1.1 and 5.0.
const (
	V311 = 4
	V5   = 5
)

var typeNames = [16]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// TypeName gives the name of a packet type, as the specifications write it.
func TypeName(t byte) string { return typeNames[t&0x0f] }

// Packet is a packet that came from the server. Fields that its type does not
// have are zero. Raw is the whole packet as it came.
type Packet struct {
	Type    byte
	Flags   byte // the low four bits of the first byte
	Raw     []byte
	ID      uint16 // packet identifier
	Code    byte   // return or reason code; 0 when a 5.0 packet leaves it out
	HasCode bool   // the reason code is on the wire
	Present byte   // CONNACK: the acknowledge flags byte
	Topic   string
	Payload []byte
	Codes   []byte // SUBACK, UNSUBACK
	Props   Props
	HasProp bool // a property length is on the wire
}

// QoS of a PUBLISH.
func (p Packet) QoS() byte { return p.Flags >> 1 & 3 }

// Dup tells the DUP flag of a PUBLISH.
func (p Packet) Dup() bool { return p.Flags&8 != 0 }

// Retain tells the RETAIN flag of a PUBLISH.
func (p Packet) Retain() bool { return p.Flags&1 != 0 }

// String is one line of a transcript.
func (p Packet) String() string {
	var b strings.Builder
	b.WriteString(TypeName(p.Type))
	switch p.Type {
	case CONNACK:
		fmt.Fprintf(&b, " flags=%#02x code=%#02x", p.Present, p.Code)
	case PUBLISH:
		fmt.Fprintf(&b, " qos=%d dup=%t retain=%t id=%d topic=%.60q payload=%.60q", p.QoS(), p.Dup(), p.Retain(), p.ID, p.Topic, p.Payload)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		fmt.Fprintf(&b, " id=%d code=%#02x", p.ID, p.Code)
	case SUBACK, UNSUBACK:
		fmt.Fprintf(&b, " id=%d codes=%#02x", p.ID, p.Codes)
	case DISCONNECT, AUTH:
		fmt.Fprintf(&b, " code=%#02x", p.Code)
	}
	if len(p.Props) > 0 {
		fmt.Fprintf(&b, " %v", p.Props)
	}
	return b.String()
}

// Parse reads one whole packet that a server may send. It is strict: a packet
// whose parts do not fill it exactly is an error.
func Parse(version byte, raw []byte) (p Packet, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s packet does not parse (%v): %s", TypeName(raw[0]>>4), r, hex.EncodeToString(raw))
		}
	}()
	p = Packet{Type: raw[0] >> 4, Flags: raw[0] & 0x0f, Raw: raw}
	if wrong := p.Type != PUBLISH && p.Flags != 0; wrong && p.Type != PUBREL || p.Type == PUBREL && p.Flags != 2 {
		return p, fmt.Errorf("%s with reserved flags %#x", TypeName(p.Type), p.Flags)
	}
	r := reader{b: raw[1:]}
	if n := r.varint(); n != len(r.b) {
		return p, fmt.Errorf("remaining length %d, but %d bytes follow", n, len(r.b))
	}
	p.body(&r, version)
	if len(r.b) != 0 {
		return p, fmt.Errorf("%d bytes behind the end of %s: %s", len(r.b), TypeName(p.Type), hex.EncodeToString(raw))
	}
	return p, nil
}

func (p *Packet) body(r *reader, version byte) {
	v5 := version == V5
	switch p.Type {
	case CONNACK:
		p.Present, p.Code, p.HasCode = r.byte(), r.byte(), true
		if v5 {
			p.props(r)
		}
	case PUBLISH:
		p.Topic = r.text()
		if p.QoS() > 0 {
			p.ID = r.uint16()
		}
		if v5 {
			p.props(r)
		}
		p.Payload = r.rest()
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		p.ID = r.uint16()
		p.tail(r, v5)
	case SUBACK:
		p.ID = r.uint16()
		if v5 {
			p.props(r)
		}
		p.Codes = r.rest()
	case UNSUBACK:
		p.ID = r.uint16()
		if v5 {
			p.props(r)
			p.Codes = r.rest()
		}
	case PINGRESP:
	case DISCONNECT, AUTH:
		if !v5 {
			panic("a 3.1.1 server does not send it")
		}
		p.tail(r, v5)
	default:
		panic("a server does not send it")
	}
}

// tail reads what 5.0 lets a sender leave out: the reason code, the properties.
func (p *Packet) tail(r *reader, v5 bool) {
	if v5 && len(r.b) > 0 {
		p.Code, p.HasCode = r.byte(), true
		if len(r.b) > 0 {
			p.props(r)
		}
	}
}

func (p *Packet) props(r *reader) {
	p.HasProp = true
	n := r.varint()
	in := reader{b: r.bytes(n)}
	for len(in.b) > 0 {
		p.Props = append(p.Props, in.prop())
	}
}

// reader takes values off the front of b and panics when b is too short.
type reader struct{ b []byte }

func (r *reader) bytes(n int) []byte {
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
func (r *reader) rest() []byte   { return r.bytes(len(r.b)) }
func (r *reader) byte() byte     { return r.bytes(1)[0] }
func (r *reader) uint16() uint16 { return uint16(r.byte())<<8 | uint16(r.byte()) }
func (r *reader) uint32() uint32 { return uint32(r.uint16())<<16 | uint32(r.uint16()) }
func (r *reader) text() string   { return string(r.bytes(int(r.uint16()))) }
func (r *reader) varint() int {
	var n int
	for shift := 0; shift <= 21; shift += 7 {
		c := r.byte()
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				panic("variable byte integer is longer than it needs to be")
			}
			return n
		}
	}
	panic("variable byte integer of five bytes")
}
