package mqtt

// Error is what every decoder returns: why a packet is refused, and the reason code that says so to the peer. The connection
// must be closed in every case (4.13).
type Error struct {
	Code   ReasonCode
	Reason string // for logs and the Reason String property; names the field, never quotes the peer's bytes
}

// Error returns the name of the code and the reason.
func (e *Error) Error() string { return "mqtt: " + e.Code.String() + ": " + e.Reason }

// Errors without a detail are made once, so that refusing a packet costs nothing.
var (
	errReservedType     = &Error{MalformedPacket, "packet type 0 is reserved"}
	errReservedFlags    = &Error{MalformedPacket, "reserved bits of the fixed header are not as required"}
	errLengthTooLong    = &Error{MalformedPacket, "remaining length of more than four bytes"}
	errLengthNotMinimal = &Error{MalformedPacket, "remaining length is not encoded in the fewest bytes"}
	errTruncated        = &Error{MalformedPacket, "packet ends inside a field"}
	errTrailing         = &Error{MalformedPacket, "bytes behind the last field"}
	errString           = &Error{MalformedPacket, "string is not well-formed UTF-8 or holds U+0000"}
	errVarint           = &Error{MalformedPacket, "variable byte integer of more than four bytes or not in the fewest bytes"}
	errPropertyLength   = &Error{MalformedPacket, "property length is beyond the end of the packet"}
	errPacketIDZero     = &Error{ProtocolError, "packet identifier is zero"}
	errReasonCode       = &Error{ProtocolError, "reason code is not one that this packet may carry"}
	errNotInV311        = &Error{ProtocolError, "packet type does not exist in MQTT 3.1.1"}
	errTopicEmpty       = &Error{ProtocolError, "topic is empty"}
	errTopicWildcard    = &Error{TopicNameInvalid, "topic name holds a wildcard character"}
	errTooLarge         = &Error{PacketTooLarge, "packet is larger than the limit"}
)

func malformed(reason string) error { return &Error{MalformedPacket, reason} }

func protocolError(reason string) error { return &Error{ProtocolError, reason} }
