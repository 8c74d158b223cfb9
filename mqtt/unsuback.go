package mqtt

import "encoding/binary"

// Unsuback answers UNSUBSCRIBE, in V5 with one code for each filter (3.11).
//
//	| 1011 0000 | remaining length |
//	| packet identifier, two bytes |
//	| property length | properties | code | code | ...   V5 only
type Unsuback struct {
	PacketID   uint16
	Properties Properties   // Reason String and User Property
	Codes      []ReasonCode // in the order of the filters; none in V311
}

// unsubackCodes are what an UNSUBACK may carry. [MQTT-3.11.3-2]
var unsubackCodes = newCodeSet(Success, NoSubscriptionExisted, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
	TopicFilterInvalid, PacketIdentifierInUse)

// Decode reads the packet behind its fixed header.
func (u *Unsuback) Decode(v Version, flags byte, body []byte) error {
	u.Codes = u.Codes[:0]
	u.Properties.Reset()
	if err := checkFlags(UNSUBACK, flags); err != nil {
		return err
	}
	id, rest, err := takePacketID(body)
	if err != nil {
		return err
	}
	u.PacketID = id
	if v == V311 {
		if len(rest) > 0 {
			return errTrailing
		}
		return nil
	}
	if rest, err = u.Properties.take(rest, answerProperties); err != nil {
		return err
	}
	u.Codes, err = takeCodes(u.Codes, rest, &unsubackCodes)
	return err
}

// Append writes the packet.
func (u *Unsuback) Append(dst []byte, v Version) []byte {
	if v == V311 {
		return append(dst, byte(UNSUBACK)<<4, 2, byte(u.PacketID>>8), byte(u.PacketID))
	}
	propertySize := u.Properties.size(answerProperties)
	dst = appendHeader(dst, UNSUBACK, 0, 2+varintSize(propertySize)+propertySize+len(u.Codes))
	dst = binary.BigEndian.AppendUint16(dst, u.PacketID)
	dst = u.Properties.append(dst, answerProperties, propertySize)
	for _, code := range u.Codes {
		dst = append(dst, byte(code))
	}
	return dst
}
