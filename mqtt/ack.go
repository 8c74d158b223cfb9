package mqtt

import "encoding/binary"

// Ack is PUBACK (3.4), PUBREC (3.5), PUBREL (3.6) or PUBCOMP (3.7): four packets of one form.
//
//	| type | reserved flags | remaining length |
//	| packet identifier, two bytes |
//	| reason code: V5; absent when it is Success and there are no properties |
//	| property length | properties: V5; absent when there are none |
type Ack struct {
	Type       Type // set it before Decode and Append
	PacketID   uint16
	Code       ReasonCode // Success in V311
	Properties Properties // Reason String and User Property
}

// NewPuback answers a PUBLISH of QoS 1.
func NewPuback(id uint16, code ReasonCode) Ack { return Ack{Type: PUBACK, PacketID: id, Code: code} }

// NewPubrec answers a PUBLISH of QoS 2.
func NewPubrec(id uint16, code ReasonCode) Ack { return Ack{Type: PUBREC, PacketID: id, Code: code} }

// NewPubrel answers a PUBREC.
func NewPubrel(id uint16, code ReasonCode) Ack { return Ack{Type: PUBREL, PacketID: id, Code: code} }

// NewPubcomp answers a PUBREL.
func NewPubcomp(id uint16, code ReasonCode) Ack { return Ack{Type: PUBCOMP, PacketID: id, Code: code} }

var (
	receivedCodes = newCodeSet(Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
		TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded, PayloadFormatInvalid) // [MQTT-3.4.2-1] [MQTT-3.5.2-1]
	releasedCodes = newCodeSet(Success, PacketIdentifierNotFound) // [MQTT-3.6.2-1] [MQTT-3.7.2-1]
)

// allows tells whether the packet may carry the code.
func (a *Ack) allows(code ReasonCode) bool {
	if a.Type == PUBACK || a.Type == PUBREC {
		return receivedCodes.contains(code)
	}
	return releasedCodes.contains(code)
}

// Decode reads the packet behind its fixed header. Type says which of the four it is.
func (a *Ack) Decode(v Version, flags byte, body []byte) error {
	a.Code = Success
	a.Properties.Reset()
	if err := checkFlags(a.Type, flags); err != nil {
		return err
	}
	id, rest, err := takePacketID(body)
	if err != nil {
		return err
	}
	a.PacketID = id
	if len(rest) == 0 {
		return nil
	}
	if v == V311 {
		return errTrailing
	}
	a.Code, rest = ReasonCode(rest[0]), rest[1:]
	if !a.allows(a.Code) {
		return errReasonCode
	}
	if len(rest) == 0 {
		return nil
	}
	if rest, err = a.Properties.take(rest, answerProperties); err != nil {
		return err
	}
	if len(rest) > 0 {
		return errTrailing
	}
	return nil
}

// Append writes the packet in its shortest form.
func (a *Ack) Append(dst []byte, v Version) []byte {
	if v == V311 || a.Properties.Has&answerProperties == 0 {
		return AppendAck(dst, v, a.Type, a.PacketID, a.Code)
	}
	propertySize := a.Properties.size(answerProperties)
	dst = appendHeader(dst, a.Type, a.Type.reservedFlags(), 2+1+varintSize(propertySize)+propertySize)
	dst = binary.BigEndian.AppendUint16(dst, a.PacketID)
	dst = append(dst, byte(a.Code))
	return a.Properties.append(dst, answerProperties, propertySize)
}

// AppendAck writes a PUBACK, PUBREC, PUBREL or PUBCOMP without properties: 4 bytes, or 5 in V5 with a code that is not
// Success.
func AppendAck(dst []byte, v Version, t Type, id uint16, code ReasonCode) []byte {
	first := byte(t)<<4 | t.reservedFlags()
	if v == V311 || code == Success {
		return append(dst, first, 2, byte(id>>8), byte(id))
	}
	return append(dst, first, 3, byte(id>>8), byte(id), byte(code))
}
