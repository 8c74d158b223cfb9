package mqtt

import (
	"encoding/binary"
	"math"
)

// Publish carries a message (3.3).
//
//	| 0011 DUP QoS QoS RETAIN | remaining length |
//	| topic length, two bytes | topic |
//	| packet identifier, two bytes: QoS 1 and 2 only |
//	| property length | properties: V5 only |
//	| payload, up to the end |
type Publish struct {
	Dup        bool
	QoS        byte // 0, 1 or 2
	Retain     bool
	Topic      []byte // empty in V5 when the topic alias stands for it
	PacketID   uint16 // 0 for QoS 0
	Properties Properties
	Payload    []byte
}

var (
	errQoS3           = &Error{MalformedPacket, "QoS is 3"}
	errDupQoS0        = &Error{MalformedPacket, "DUP is set on QoS 0"}
	errTopicOrAlias   = &Error{ProtocolError, "neither a topic nor a topic alias"}
	errTopicEmptyV311 = &Error{MalformedPacket, "topic is empty"}
)

// Decode reads the packet behind its fixed header. Topic and Payload alias body. The topic is well-formed and holds no
// wildcard; it is empty only with a topic alias. [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.3.2-1] [MQTT-3.3.2-2]
func (p *Publish) Decode(v Version, flags byte, body []byte) error {
	p.Dup, p.QoS, p.Retain, p.PacketID = flags&0b1000 != 0, flags>>1&3, flags&1 != 0, 0
	if p.QoS == 3 {
		return errQoS3
	}
	if p.QoS == 0 && p.Dup {
		return errDupQoS0
	}
	topic, rest, ok := takeBinary(body)
	if !ok {
		return errTruncated
	}
	if !plainName(topic) {
		if err := checkTopicName(topic); err != nil {
			return err
		}
	}
	p.Topic = topic
	var err error
	if p.QoS > 0 {
		if p.PacketID, rest, err = takePacketID(rest); err != nil {
			return err
		}
	}
	if v == V311 {
		p.Properties.Reset()
		p.Payload = rest
		if len(topic) == 0 { // 3.1.1: [MQTT-4.7.3-1]
			return errTopicEmptyV311
		}
		return nil
	}
	if rest, err = p.Properties.take(rest, publishProperties); err != nil {
		return err
	}
	if len(topic) == 0 && !p.Properties.Has.Contains(PropTopicAlias) {
		return errTopicOrAlias
	}
	p.Payload = rest
	return nil
}

// Append writes the packet.
func (p *Publish) Append(dst []byte, v Version) []byte {
	remaining := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		remaining += 2
	}
	propertySize := 0
	if v == V5 {
		propertySize = p.Properties.size(publishProperties)
		remaining += varintSize(propertySize) + propertySize
	}
	dst = appendHeader(dst, PUBLISH, publishFlags(p.Dup, p.QoS, p.Retain), remaining)
	dst = appendBytes(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if v == V5 {
		dst = p.Properties.append(dst, publishProperties, propertySize)
	}
	return append(dst, p.Payload...)
}

// PublishHead is what differs between the receivers of one message.
type PublishHead struct {
	Dup             bool
	QoS             byte
	Retain          bool
	PacketID        uint16   // written when QoS is 1 or 2
	Alias           uint16   // topic alias; 0: none
	Expiry          int64    // message expiry interval in seconds; -1: none
	SubscriptionIDs []uint32 // 1 to 268,435,455 each
}

// AppendPublish writes a whole PUBLISH for a server that holds the properties in encoded form: props are V5 properties
// without their length, as Properties.AppendForward makes them; expiry, alias and subscription identifiers of the head are
// added. V311 ignores all of these. The topic may be empty when there is an alias. It panics when the topic is longer than
// 65,535 bytes or the packet longer than PublishSize can say.
func AppendPublish(dst []byte, v Version, h PublishHead, topic, props, payload []byte) []byte {
	remaining := 2 + len(topic) + len(payload)
	if h.QoS > 0 {
		remaining += 2
	}
	propertySize := 0
	if v == V5 {
		propertySize = len(props) + h.propertySize()
		remaining += varintSize(propertySize) + propertySize
	}
	dst = appendHeader(dst, PUBLISH, publishFlags(h.Dup, h.QoS, h.Retain), remaining)
	dst = appendBytes(dst, topic)
	if h.QoS > 0 {
		dst = append(dst, byte(h.PacketID>>8), byte(h.PacketID))
	}
	if v == V5 {
		dst = appendVarint(dst, uint32(propertySize))
		dst = h.appendProperties(dst)
		dst = append(dst, props...)
	}
	return append(dst, payload...)
}

// PublishSize returns how many bytes AppendPublish writes for parts of these lengths, the number that Maximum Packet Size
// limits. A packet that cannot be encoded has the size math.MaxInt, which no limit allows.
func PublishSize(v Version, h PublishHead, topic, props, payload int) int {
	remaining := 2 + uint64(topic) + uint64(payload)
	if h.QoS > 0 {
		remaining += 2
	}
	if v == V5 {
		propertySize := uint64(props) + uint64(h.propertySize())
		if propertySize > MaxRemaining {
			return math.MaxInt
		}
		remaining += uint64(varintSize(int(propertySize))) + propertySize
	}
	if topic > 0xFFFF || remaining > MaxRemaining {
		return math.MaxInt
	}
	return 1 + varintSize(int(remaining)) + int(remaining)
}

func (h *PublishHead) propertySize() int {
	size := subscriptionIDsSize(h.SubscriptionIDs)
	if h.Expiry >= 0 {
		size += 1 + 4
	}
	if h.Alias > 0 {
		size += 1 + 2
	}
	return size
}

func (h *PublishHead) appendProperties(dst []byte) []byte {
	if h.Expiry >= 0 {
		dst = append(dst, byte(PropMessageExpiry))
		dst = binary.BigEndian.AppendUint32(dst, uint32(min(h.Expiry, math.MaxUint32)))
	}
	dst = appendSubscriptionIDs(dst, h.SubscriptionIDs)
	if h.Alias > 0 {
		dst = append(dst, byte(PropTopicAlias), byte(h.Alias>>8), byte(h.Alias))
	}
	return dst
}

func publishFlags(dup bool, qos byte, retain bool) byte {
	return bit(dup, 3) | qos<<1 | bit(retain, 0)
}
