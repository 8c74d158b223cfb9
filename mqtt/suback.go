package mqtt

import "encoding/binary"

// Suback answers SUBSCRIBE with one code for each filter, in the order of the filters (3.9).
//
//	| 1001 0000 | remaining length |
//	| packet identifier, two bytes |
//	| property length | properties: V5 |
//	| code | code | ...
type Suback struct {
	PacketID   uint16
	Properties Properties   // Reason String and User Property
	Codes      []ReasonCode // granted QoS 0 to 2 or a failure, of which V311 knows only 0x80
}

var (
	subackCodes = newCodeSet(GrantedQoS0, GrantedQoS1, GrantedQoS2, UnspecifiedError, ImplementationSpecificError,
		NotAuthorized, TopicFilterInvalid, PacketIdentifierInUse, QuotaExceeded, SharedSubscriptionsNotSupported,
		SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported) // [MQTT-3.9.3-2]
	subackCodesV311 = newCodeSet(GrantedQoS0, GrantedQoS1, GrantedQoS2, UnspecifiedError) // 3.1.1: [MQTT-3.9.3-2]

	errNoCodes = &Error{ProtocolError, "no reason code"}
)

// Decode reads the packet behind its fixed header.
func (s *Suback) Decode(v Version, flags byte, body []byte) error {
	s.Codes = s.Codes[:0]
	s.Properties.Reset()
	if err := checkFlags(SUBACK, flags); err != nil {
		return err
	}
	id, rest, err := takePacketID(body)
	if err != nil {
		return err
	}
	s.PacketID = id
	allowed := &subackCodesV311
	if v == V5 {
		allowed = &subackCodes
		if rest, err = s.Properties.take(rest, answerProperties); err != nil {
			return err
		}
	}
	s.Codes, err = takeCodes(s.Codes, rest, allowed)
	return err
}

// takeCodes reads reason codes up to the end of b.
func takeCodes(codes []ReasonCode, b []byte, allowed *codeSet) ([]ReasonCode, error) {
	if len(b) == 0 {
		return codes, errNoCodes
	}
	codes = emptied(codes, len(b))
	for _, code := range b {
		if !allowed.contains(ReasonCode(code)) {
			return codes, errReasonCode
		}
		codes = append(codes, ReasonCode(code))
	}
	return codes, nil
}

// Append writes the packet. In V311 every failure is 0x80.
func (s *Suback) Append(dst []byte, v Version) []byte {
	remaining := 2 + len(s.Codes)
	propertySize := 0
	if v == V5 {
		propertySize = s.Properties.size(answerProperties)
		remaining += varintSize(propertySize) + propertySize
	}
	dst = appendHeader(dst, SUBACK, 0, remaining)
	dst = binary.BigEndian.AppendUint16(dst, s.PacketID)
	if v == V5 {
		dst = s.Properties.append(dst, answerProperties, propertySize)
	}
	for _, code := range s.Codes {
		if v == V311 && code.IsError() {
			code = UnspecifiedError
		}
		dst = append(dst, byte(code))
	}
	return dst
}
