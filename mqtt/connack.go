package mqtt

// Connack answers CONNECT (3.2).
//
//	| 0010 0000 | remaining length |
//	| 0000000 session-present | reason code (V5) or return code (V311) |
//	| property length | properties: V5 |
type Connack struct {
	SessionPresent bool
	Code           ReasonCode // in V311 one of the six that have a return code; see ConnackV311
	Properties     Properties
}

// connackCodes are what a CONNACK may carry. [MQTT-3.2.2-8]
var connackCodes = newCodeSet(Success, UnspecifiedError, MalformedPacket, ProtocolError, ImplementationSpecificError,
	UnsupportedProtocolVersion, ClientIdentifierNotValid, BadUserNameOrPassword, NotAuthorized, ServerUnavailable, ServerBusy,
	Banned, BadAuthenticationMethod, TopicNameInvalid, PacketTooLarge, QuotaExceeded, PayloadFormatInvalid,
	RetainNotSupported, QoSNotSupported, UseAnotherServer, ServerMoved, ConnectionRateExceeded)

// Decode reads the packet behind its fixed header. The return code of V311 becomes the reason code that means the same.
func (c *Connack) Decode(v Version, flags byte, body []byte) error {
	c.Properties.Reset()
	if err := checkFlags(CONNACK, flags); err != nil {
		return err
	}
	if len(body) < 2 {
		return errTruncated
	}
	if body[0] > 1 { // [MQTT-3.2.2-1]
		return malformed("reserved acknowledge flag is set")
	}
	c.SessionPresent, c.Code = body[0] == 1, ReasonCode(body[1])
	rest := body[2:]
	if v == V311 {
		if int(c.Code) >= len(connackFromV311) {
			return errReasonCode
		}
		c.Code = connackFromV311[c.Code]
	} else {
		if !connackCodes.contains(c.Code) {
			return errReasonCode
		}
		var err error
		if rest, err = c.Properties.take(rest, connackProperties); err != nil {
			return err
		}
		if err := c.Properties.checkAuth(); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return errTrailing
	}
	if c.SessionPresent && c.Code != Success { // [MQTT-3.2.2-6]
		return protocolError("session present on a refused connection")
	}
	return nil
}

// Append writes the packet. Session present goes out with Success only [MQTT-3.2.2-6]; V311 writes Code.ConnackV311.
func (c *Connack) Append(dst []byte, v Version) []byte {
	present := bit(c.SessionPresent && c.Code == Success, 0)
	if v == V311 {
		return append(dst, byte(CONNACK)<<4, 2, present, c.Code.ConnackV311())
	}
	propertySize := c.Properties.size(connackProperties)
	dst = appendHeader(dst, CONNACK, 0, 2+varintSize(propertySize)+propertySize)
	dst = append(dst, present, byte(c.Code))
	return c.Properties.append(dst, connackProperties, propertySize)
}
