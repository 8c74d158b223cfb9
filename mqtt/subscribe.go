package mqtt

import "encoding/binary"

// Subscribe asks for messages (3.8).
//
//	| 1000 0010 | remaining length |
//	| packet identifier, two bytes |
//	| property length | properties: V5 |
//	| filter length, two bytes | filter | options |   once or more
type Subscribe struct {
	PacketID      uint16
	Properties    Properties     // Subscription Identifier and User Property
	Subscriptions []Subscription // one at least
}

// Subscription is one topic filter with its options (3.8.3.1).
//
//	  7 6      5 4              3                     2         1 0
//	| 0 0 | retain handling | retain as published | no local | QoS |    V311 has the QoS only
type Subscription struct {
	Filter            []byte // well-formed UTF-8, not empty; the caller checks its syntax and answers in SUBACK
	QoS               byte   // the greatest the client wants: 0, 1 or 2
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte // 0: send retained messages; 1: only if the subscription is new; 2: do not
}

// Options returns the options byte.
func (s *Subscription) Options() byte {
	return s.QoS | bit(s.NoLocal, 2) | bit(s.RetainAsPublished, 3) | s.RetainHandling<<4
}

var errNoFilters = &Error{ProtocolError, "no topic filter"}

// Decode reads the packet behind its fixed header. Filters alias body. [MQTT-3.8.1-1] [MQTT-3.8.3-1] [MQTT-3.8.3-2]
func (s *Subscribe) Decode(v Version, flags byte, body []byte) error {
	s.Subscriptions = s.Subscriptions[:0]
	s.Properties.Reset()
	if err := checkFlags(SUBSCRIBE, flags); err != nil {
		return err
	}
	id, rest, err := takePacketID(body)
	if err != nil {
		return err
	}
	s.PacketID = id
	if v == V5 {
		if rest, err = s.Properties.take(rest, subscribeProperties); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return errNoFilters
	}
	s.Subscriptions = emptied(s.Subscriptions, countFilters(rest, 1))
	for len(rest) > 0 {
		var subscription Subscription
		if rest, err = subscription.take(v, rest); err != nil {
			return err
		}
		s.Subscriptions = append(s.Subscriptions, subscription)
	}
	return nil
}

func (s *Subscription) take(v Version, b []byte) (rest []byte, err error) {
	if s.Filter, rest, err = takeFilter(b); err != nil {
		return nil, err
	}
	options, rest, ok := takeByte(rest)
	if !ok {
		return nil, errTruncated
	}
	s.QoS = options & 3
	s.NoLocal = options&(1<<2) != 0
	s.RetainAsPublished = options&(1<<3) != 0
	s.RetainHandling = options >> 4 & 3
	switch {
	case v == V311 && options > 2: // 3.1.1: [MQTT-3.8.3-4]
		return nil, malformed("reserved subscription option is set or QoS is 3")
	case options>>6 != 0: // [MQTT-3.8.3-5]
		return nil, malformed("reserved subscription option is set")
	case s.QoS == 3:
		return nil, protocolError("subscription QoS is 3")
	case s.RetainHandling == 3:
		return nil, protocolError("retain handling is 3")
	}
	return rest, nil
}

// takeFilter cuts off a topic filter, which has at least one character. [MQTT-4.7.3-1]
func takeFilter(b []byte) (filter, rest []byte, err error) {
	if filter, rest, err = takeString(b); err == nil && len(filter) == 0 {
		return nil, nil, errTopicEmpty
	}
	return filter, rest, err
}

// countFilters returns how many filters stand in b, each with so many bytes of options behind it, up to where b is malformed.
func countFilters(b []byte, options int) int {
	count := 0
	for {
		filter, rest, ok := takeBinary(b)
		if !ok || len(filter) == 0 || len(rest) < options {
			return count
		}
		b = rest[options:]
		count++
	}
}

// emptied returns the slice without elements but with room for so many. Making it once, as long as it will be, keeps a packet
// of 64 KiB from allocating a megabyte of slices that were outgrown.
func emptied[T any](slice []T, room int) []T {
	if cap(slice) < room {
		return make([]T, 0, room)
	}
	return slice[:0]
}

// Append writes the packet.
func (s *Subscribe) Append(dst []byte, v Version) []byte {
	remaining := 2
	propertySize := 0
	if v == V5 {
		propertySize = s.Properties.size(subscribeProperties)
		remaining += varintSize(propertySize) + propertySize
	}
	for i := range s.Subscriptions {
		remaining += 2 + len(s.Subscriptions[i].Filter) + 1
	}
	dst = appendHeader(dst, SUBSCRIBE, SUBSCRIBE.reservedFlags(), remaining)
	dst = binary.BigEndian.AppendUint16(dst, s.PacketID)
	if v == V5 {
		dst = s.Properties.append(dst, subscribeProperties, propertySize)
	}
	for i := range s.Subscriptions {
		options := s.Subscriptions[i].Options()
		if v == V311 {
			options &= 3
		}
		dst = append(appendBytes(dst, s.Subscriptions[i].Filter), options)
	}
	return dst
}
