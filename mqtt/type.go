package mqtt

import "strconv"

// Version is the protocol level, as CONNECT carries it.
type Version byte

// The versions this package speaks.
const (
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5.0
)

// String returns the version as people write it: "3.1.1" or "5.0".
func (v Version) String() string {
	switch v {
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "level " + strconv.Itoa(int(v))
}

// Type is the kind of a control packet, the high four bits of its first byte (2.1.2).
type Type byte

// The control packet types. AUTH exists in V5 only.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
	AUTH        Type = 15
)

var typeNames = [16]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the name of the type in the capitals of the specification.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "TYPE " + strconv.Itoa(int(t))
}

// reservedFlags returns the only value that the low four bits of the first byte may have. PUBLISH, which keeps DUP, QoS and
// RETAIN there, has none.
func (t Type) reservedFlags() byte {
	switch t {
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		return 0b0010
	}
	return 0
}

// checkFlags refuses reserved bits that are not as the specification has them. [MQTT-2.1.3-1], 3.1.1: [MQTT-2.2.2-2]
func checkFlags(t Type, flags byte) error {
	if flags != t.reservedFlags() && t != PUBLISH {
		return errReservedFlags
	}
	return nil
}
