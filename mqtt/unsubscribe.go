package mqtt

import "encoding/binary"

// Unsubscribe ends subscriptions (3.10).
//
//	| 1010 0010 | remaining length |
//	| packet identifier, two bytes |
//	| property length | properties: V5 |
//	| filter length, two bytes | filter |   once or more
type Unsubscribe struct {
	PacketID   uint16
	Properties Properties // User Property
	Filters    [][]byte   // one at least; well-formed UTF-8, not empty
}

// Decode reads the packet behind its fixed header. Filters alias body. [MQTT-3.10.1-1] [MQTT-3.10.3-1] [MQTT-3.10.3-2]
func (u *Unsubscribe) Decode(v Version, flags byte, body []byte) error {
	u.Filters = u.Filters[:0]
	u.Properties.Reset()
	if err := checkFlags(UNSUBSCRIBE, flags); err != nil {
		return err
	}
	id, rest, err := takePacketID(body)
	if err != nil {
		return err
	}
	u.PacketID = id
	if v == V5 {
		if rest, err = u.Properties.take(rest, unsubscribeProperties); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return errNoFilters
	}
	u.Filters = emptied(u.Filters, countFilters(rest, 0))
	for len(rest) > 0 {
		var filter []byte
		if filter, rest, err = takeFilter(rest); err != nil {
			return err
		}
		u.Filters = append(u.Filters, filter)
	}
	return nil
}

// Append writes the packet.
func (u *Unsubscribe) Append(dst []byte, v Version) []byte {
	remaining := 2
	propertySize := 0
	if v == V5 {
		propertySize = u.Properties.size(unsubscribeProperties)
		remaining += varintSize(propertySize) + propertySize
	}
	for _, filter := range u.Filters {
		remaining += 2 + len(filter)
	}
	dst = appendHeader(dst, UNSUBSCRIBE, UNSUBSCRIBE.reservedFlags(), remaining)
	dst = binary.BigEndian.AppendUint16(dst, u.PacketID)
	if v == V5 {
		dst = u.Properties.append(dst, unsubscribeProperties, propertySize)
	}
	for _, filter := range u.Filters {
		dst = appendBytes(dst, filter)
	}
	return dst
}
