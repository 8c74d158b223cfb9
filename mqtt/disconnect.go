package mqtt

// Disconnect is the last packet of a connection: from the client, and in V5 also from the server (3.14).
//
//	| 1110 0000 | remaining length |
//	| reason code: V5; absent when it is NormalDisconnection and there are no properties |
//	| property length | properties: V5; absent when there are none |
type Disconnect struct {
	Code       ReasonCode // NormalDisconnection in V311
	Properties Properties // Session Expiry (client only), Server Reference (server only), Reason String, User Property
}

// disconnectCodes are what a DISCONNECT may carry. [MQTT-3.14.2-1]
var disconnectCodes = newCodeSet(NormalDisconnection, DisconnectWithWill, UnspecifiedError, MalformedPacket, ProtocolError,
	ImplementationSpecificError, NotAuthorized, ServerBusy, ServerShuttingDown, KeepAliveTimeout, SessionTakenOver,
	TopicFilterInvalid, TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid, PacketTooLarge, MessageRateTooHigh,
	QuotaExceeded, AdministrativeAction, PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer,
	ServerMoved, SharedSubscriptionsNotSupported, ConnectionRateExceeded, MaximumConnectTime,
	SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported)

// Decode reads the packet behind its fixed header. [MQTT-3.14.1-1]
func (d *Disconnect) Decode(v Version, flags byte, body []byte) (err error) {
	d.Code = NormalDisconnection
	d.Properties.Reset()
	if err := checkFlags(DISCONNECT, flags); err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	if v == V311 {
		return errTrailing
	}
	d.Code = ReasonCode(body[0])
	if !disconnectCodes.contains(d.Code) {
		return errReasonCode
	}
	rest := body[1:]
	if len(rest) > 0 {
		if rest, err = d.Properties.take(rest, disconnectProperties); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return errTrailing
	}
	return nil
}

// Append writes the packet in its shortest form.
func (d *Disconnect) Append(dst []byte, v Version) []byte {
	switch {
	case v == V311 || d.Code == NormalDisconnection && d.Properties.Has&disconnectProperties == 0:
		return append(dst, byte(DISCONNECT)<<4, 0)
	case d.Properties.Has&disconnectProperties == 0:
		return append(dst, byte(DISCONNECT)<<4, 1, byte(d.Code))
	}
	propertySize := d.Properties.size(disconnectProperties)
	dst = appendHeader(dst, DISCONNECT, 0, 1+varintSize(propertySize)+propertySize)
	return d.Properties.append(append(dst, byte(d.Code)), disconnectProperties, propertySize)
}
