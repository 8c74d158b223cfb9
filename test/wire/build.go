package wire

// AppendVarint appends a variable byte integer.
func AppendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// AppendText appends a string, or binary data, with its two bytes of length.
func AppendText(b []byte, s string) []byte { return append(appendUint16(b, uint16(len(s))), s...) }

func appendUint16(b []byte, n uint16) []byte { return append(b, byte(n>>8), byte(n)) }

// Frame makes a packet of a first byte and a body, whatever they are.
func Frame(first byte, body ...[]byte) []byte {
	var all []byte
	for _, b := range body {
		all = append(all, b...)
	}
	return append(AppendVarint([]byte{first}, len(all)), all...)
}

// Connect is a CONNECT to send. The zero value of Version means V311.
type Connect struct {
	Version   byte
	ClientID  string
	Clean     bool
	KeepAlive uint16
	Will      *Will
	Username  *string
	Password  *string
	Props     []Prop

	Protocol string // protocol name; "" means MQTT
	Flags    byte   // bits added to the connect flags, for malformed packets
}

// Will is the will of a CONNECT.
type Will struct {
	Topic   string
	Payload string
	QoS     byte
	Retain  bool
	Props   []Prop
}

// Bytes is the whole packet.
func (c Connect) Bytes() []byte {
	name, level := c.Protocol, c.Version
	if name == "" {
		name = "MQTT"
	}
	if level == 0 {
		level = V311
	}
	flags := c.Flags
	if c.Clean {
		flags |= 0x02
	}
	payload := AppendText(nil, c.ClientID)
	if w := c.Will; w != nil {
		flags |= 0x04 | w.QoS<<3
		if w.Retain {
			flags |= 0x20
		}
		if level == V5 {
			payload = AppendProps(payload, w.Props)
		}
		payload = AppendText(AppendText(payload, w.Topic), w.Payload)
	}
	if c.Username != nil {
		flags |= 0x80
		payload = AppendText(payload, *c.Username)
	}
	if c.Password != nil {
		flags |= 0x40
		payload = AppendText(payload, *c.Password)
	}
	head := append(AppendText(nil, name), level, flags, byte(c.KeepAlive>>8), byte(c.KeepAlive))
	if level == V5 {
		head = AppendProps(head, c.Props)
	}
	return Frame(CONNECT<<4, head, payload)
}

// Publish is a PUBLISH to send.
type Publish struct {
	Topic   string
	Payload string
	QoS     byte
	Dup     bool
	Retain  bool
	ID      uint16 // sent when QoS > 0
	Props   []Prop // 5.0
}

// Bytes is the whole packet.
func (p Publish) Bytes(version byte) []byte {
	first := byte(PUBLISH<<4) | p.QoS<<1
	if p.Dup {
		first |= 8
	}
	if p.Retain {
		first |= 1
	}
	head := AppendText(nil, p.Topic)
	if p.QoS > 0 {
		head = appendUint16(head, p.ID)
	}
	if version == V5 {
		head = AppendProps(head, p.Props)
	}
	return Frame(first, head, []byte(p.Payload))
}

// Sub is a topic filter with its options byte (the requested QoS in 3.1.1).
type Sub struct {
	Filter  string
	Options byte
}

// The subscription options of 5.0, section 3.8.3.1.
const (
	NoLocal           = 0x04
	RetainAsPublished = 0x08
	RetainIfNew       = 0x10
	RetainNever       = 0x20
)

// Subscribe makes a SUBSCRIBE.
func Subscribe(version byte, id uint16, subs []Sub, props ...Prop) []byte {
	b := appendUint16(nil, id)
	if version == V5 {
		b = AppendProps(b, props)
	}
	for _, s := range subs {
		b = append(AppendText(b, s.Filter), s.Options)
	}
	return Frame(SUBSCRIBE<<4|2, b)
}

// Unsubscribe makes an UNSUBSCRIBE.
func Unsubscribe(version byte, id uint16, filters []string, props ...Prop) []byte {
	b := appendUint16(nil, id)
	if version == V5 {
		b = AppendProps(b, props)
	}
	for _, f := range filters {
		b = AppendText(b, f)
	}
	return Frame(UNSUBSCRIBE<<4|2, b)
}

// Ack makes a PUBACK, PUBREC, PUBREL or PUBCOMP in its short form, which is the
// same in both versions.
func Ack(kind byte, id uint16) []byte {
	first := kind << 4
	if kind == PUBREL {
		first |= 2
	}
	return []byte{first, 2, byte(id >> 8), byte(id)}
}

// AckCode makes an acknowledgement of 5.0 with a reason code and properties.
func AckCode(kind byte, id uint16, code byte, props ...Prop) []byte {
	body := append(appendUint16(nil, id), code)
	return Frame(Ack(kind, id)[0], AppendProps(body, props))
}

// Pingreq is a PINGREQ.
func Pingreq() []byte { return []byte{PINGREQ << 4, 0} }

// Disconnect makes a DISCONNECT. A 3.1.1 one has no code; a 5.0 one with
// code 0 and no properties is sent in its short form.
func Disconnect(version, code byte, props ...Prop) []byte {
	if version != V5 || code == 0 && len(props) == 0 {
		return []byte{DISCONNECT << 4, 0}
	}
	return Frame(DISCONNECT<<4, AppendProps([]byte{code}, props))
}

// Auth makes an AUTH of 5.0.
func Auth(code byte, props ...Prop) []byte {
	return Frame(AUTH<<4, AppendProps([]byte{code}, props))
}
