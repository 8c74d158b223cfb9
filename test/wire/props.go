package wire

import (
	"fmt"
	"strconv"
)

// The property identifiers of 5.0, section 2.2.2.2.
const (
	PayloadFormat        = 0x01
	MessageExpiry        = 0x02
	ContentType          = 0x03
	ResponseTopic        = 0x08
	CorrelationData      = 0x09
	SubscriptionID       = 0x0B
	SessionExpiry        = 0x11
	AssignedClientID     = 0x12
	ServerKeepAlive      = 0x13
	AuthMethod           = 0x15
	AuthData             = 0x16
	RequestProblemInfo   = 0x17
	WillDelay            = 0x18
	RequestResponseInfo  = 0x19
	ResponseInfo         = 0x1A
	ServerReference      = 0x1C
	ReasonString         = 0x1F
	ReceiveMaximum       = 0x21
	TopicAliasMaximum    = 0x22
	TopicAlias           = 0x23
	MaximumQoS           = 0x24
	RetainAvailable      = 0x25
	UserProperty         = 0x26
	MaximumPacketSize    = 0x27
	WildcardAvailable    = 0x28
	SubscriptionIDsAvail = 0x29
	SharedAvailable      = 0x2A
)

// kind of a property's value: b byte, w two bytes, d four bytes, v variable
// byte integer, s string or binary data, p string pair.
var kind = map[byte]byte{
	PayloadFormat: 'b', MessageExpiry: 'd', ContentType: 's', ResponseTopic: 's', CorrelationData: 's',
	SubscriptionID: 'v', SessionExpiry: 'd', AssignedClientID: 's', ServerKeepAlive: 'w', AuthMethod: 's',
	AuthData: 's', RequestProblemInfo: 'b', WillDelay: 'd', RequestResponseInfo: 'b', ResponseInfo: 's',
	ServerReference: 's', ReasonString: 's', ReceiveMaximum: 'w', TopicAliasMaximum: 'w', TopicAlias: 'w',
	MaximumQoS: 'b', RetainAvailable: 'b', UserProperty: 'p', MaximumPacketSize: 'd', WildcardAvailable: 'b',
	SubscriptionIDsAvail: 'b', SharedAvailable: 'b',
}

// Prop is one property. Int holds numbers, Text strings and binary data, Key
// the first half of a user property.
type Prop struct {
	ID   byte
	Int  uint32
	Text string
	Key  string
}

// Num makes a property whose value is a number of any width.
func Num(id byte, n uint32) Prop { return Prop{ID: id, Int: n} }

// Text makes a property whose value is a string or binary data.
func Text(id byte, s string) Prop { return Prop{ID: id, Text: s} }

// User makes a user property.
func User(key, value string) Prop { return Prop{ID: UserProperty, Key: key, Text: value} }

func (p Prop) String() string {
	switch kind[p.ID] {
	case 's':
		return fmt.Sprintf("%#02x:%.60q", p.ID, p.Text)
	case 'p':
		return fmt.Sprintf("%#02x:%.60q=%.60q", p.ID, p.Key, p.Text)
	}
	return fmt.Sprintf("%#02x:", p.ID) + strconv.FormatUint(uint64(p.Int), 10)
}

// Props are properties in the order of the wire.
type Props []Prop

// Has tells whether a property is there.
func (ps Props) Has(id byte) bool { return len(ps.All(id)) > 0 }

// Int gives a number, or none when the property is missing.
func (ps Props) Int(id byte, none uint32) uint32 {
	for _, p := range ps.All(id) {
		return p.Int
	}
	return none
}

// Text gives a string or binary data, empty when the property is missing.
func (ps Props) Text(id byte) string {
	for _, p := range ps.All(id) {
		return p.Text
	}
	return ""
}

// All gives every property with this identifier, in order.
func (ps Props) All(id byte) Props {
	var all Props
	for _, p := range ps {
		if p.ID == id {
			all = append(all, p)
		}
	}
	return all
}

func (r *reader) prop() Prop {
	p := Prop{ID: r.byte()}
	switch kind[p.ID] {
	case 'b':
		p.Int = uint32(r.byte())
	case 'w':
		p.Int = uint32(r.uint16())
	case 'd':
		p.Int = r.uint32()
	case 'v':
		p.Int = uint32(r.varint())
	case 's':
		p.Text = r.text()
	case 'p':
		p.Key, p.Text = r.text(), r.text()
	default:
		panic(fmt.Sprintf("no property has identifier %#02x", p.ID))
	}
	return p
}

// AppendProps appends a property length and the properties.
func AppendProps(dst []byte, props []Prop) []byte {
	var b []byte
	for _, p := range props {
		b = append(b, p.ID)
		switch kind[p.ID] {
		case 'b':
			b = append(b, byte(p.Int))
		case 'w':
			b = appendUint16(b, uint16(p.Int))
		case 'd':
			b = append(b, byte(p.Int>>24), byte(p.Int>>16), byte(p.Int>>8), byte(p.Int))
		case 'v':
			b = AppendVarint(b, int(p.Int))
		case 's':
			b = AppendText(b, p.Text)
		case 'p':
			b = AppendText(AppendText(b, p.Key), p.Text)
		}
	}
	return append(AppendVarint(dst, len(b)), b...)
}
