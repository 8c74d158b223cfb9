// Package mqtt is the wire codec of MQTT 3.1.1 and MQTT 5.0: bytes to packets and packets to bytes, for servers and for
// clients, without I/O, goroutines or clocks (ReadPacket, a convenience for blocking clients, is the one exception).
//
// There is one struct per packet and one file per struct, and each has two methods:
//
//	func (p *X) Decode(v Version, flags byte, body []byte) error
//	func (p *X) Append(dst []byte, v Version) []byte
//
// Decode takes the low four bits of the first byte and the bytes behind the fixed header, which ParseHeader has found. It is
// strict: what the specification calls a Malformed Packet or a Protocol Error comes back as an *Error that carries the
// reason code for the DISCONNECT or CONNACK. After an error the packet's fields mean nothing, except Connect.Version.
//
// # Who owns the bytes
//
// Decoded strings, payloads and user properties alias the body. They are good for as long as the caller leaves the body
// alone and does not decode into the same struct again. A struct may be used for any number of packets, one after the
// other: Decode resets it and keeps its capacity, so that decoding PUBLISH and the four acknowledgements allocates nothing.
//
// # What Append writes
//
// Append writes a whole packet, fixed header included, and leaves out what the version does not have: properties and
// reason codes for V311. It writes properties in ascending order of identifier and only those which the packet may carry.
// A packet that cannot be written at all, because a string is longer than 65,535 bytes or the packet is longer than
// MaxRemaining, makes Append panic: both are errors in the caller, which must bound what it sends.
//
// # What is not checked here
//
// The codec knows one packet at a time and neither the direction nor the connection. Sessions check the rest: negotiated
// limits (Receive Maximum, Topic Alias Maximum, Maximum Packet Size), packets that only one side may send, the syntax of
// topic filters (package topic), No Local on shared subscriptions, and subscription identifiers in a client's PUBLISH.
//
// Clauses are cited as [MQTT-x.y.z-n], the numbers of the MQTT 5.0 statements unless they say 3.1.1.
package mqtt
