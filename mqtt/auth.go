package mqtt

// Auth is a step of an enhanced authentication exchange (3.15). V311 does not have it.
//
//	| 1111 0000 | remaining length |
//	| reason code | property length | properties |   all absent when it is Success and there are no properties
type Auth struct {
	Code       ReasonCode // Success, ContinueAuthentication or ReAuthenticate
	Properties Properties // Authentication Method and Data, Reason String, User Property
}

// authCodes are what an AUTH may carry. [MQTT-3.15.2-1]
var authCodes = newCodeSet(Success, ContinueAuthentication, ReAuthenticate)

// Decode reads the packet behind its fixed header. [MQTT-3.15.1-1] An Authentication Method is there whenever there are
// properties; only the form without any, which the specification allows for Success, lacks it (3.15.2.1, 3.15.2.2.2).
func (a *Auth) Decode(v Version, flags byte, body []byte) (err error) {
	a.Code = Success
	a.Properties.Reset()
	if v == V311 {
		return errNotInV311
	}
	if err := checkFlags(AUTH, flags); err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	a.Code = ReasonCode(body[0])
	if !authCodes.contains(a.Code) {
		return errReasonCode
	}
	rest, err := a.Properties.take(body[1:], authProperties)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errTrailing
	}
	if !a.Properties.Has.Contains(PropAuthMethod) {
		return protocolError("Authentication Method is missing")
	}
	return nil
}

// Append writes the packet in its shortest form. In V311, which has no AUTH, it writes nothing.
func (a *Auth) Append(dst []byte, v Version) []byte {
	if v == V311 {
		return dst
	}
	if a.Code == Success && a.Properties.Has&authProperties == 0 {
		return append(dst, byte(AUTH)<<4, 0)
	}
	propertySize := a.Properties.size(authProperties)
	dst = appendHeader(dst, AUTH, 0, 1+varintSize(propertySize)+propertySize)
	return a.Properties.append(append(dst, byte(a.Code)), authProperties, propertySize)
}
