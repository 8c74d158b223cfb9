package mqtt

import (
	"bytes"
	"encoding/binary"
)

// Connect opens a session (3.1). It is the first packet of a client and the only one that says which version follows.
//
//	| 0001 0000 | remaining length |
//	| 0 | 4 | M | Q | T | T | protocol level |
//	| username password will-retain will-QoS will-QoS will clean-start 0 | keep alive, two bytes |
//	| property length | properties: V5 |
//	| client identifier |
//	| will properties: V5 | will topic | will payload |   when the will flag is set
//	| username |                                            when its flag is set
//	| password |                                            when its flag is set
type Connect struct {
	Version    Version // of the packet, or, after an Error, of the CONNACK that may answer it; 0: nobody can tell
	CleanStart bool    // Clean Session in V311
	KeepAlive  uint16  // seconds; 0: none
	Properties Properties
	ClientID   []byte // empty: the server assigns one

	HasWill bool
	Will    Will // valid when HasWill

	HasUsername bool
	Username    []byte // valid when HasUsername
	HasPassword bool
	Password    []byte // valid when HasPassword; binary
}

// The bits of the connect flags (3.1.2.3).
const (
	flagReserved   = 1 << 0
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	shiftWillQoS   = 3
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
)

var (
	protocolName    = []byte{0, 4, 'M', 'Q', 'T', 'T'} // with its length
	protocolName310 = []byte{0, 6, 'M', 'Q', 'I', 's', 'd', 'p'}

	errProtocolName  = &Error{UnsupportedProtocolVersion, "protocol name is not MQTT"}
	errProtocolLevel = &Error{UnsupportedProtocolVersion, "protocol level is neither 4 (3.1.1) nor 5 (5.0)"}
	errClientIDV311  = &Error{ClientIdentifierNotValid, "client identifier is empty and Clean Session is 0"}
)

// Decode reads the packet behind its fixed header, whose flags ParseHeader has checked, and finds the version by itself.
//
// A protocol that it does not speak gives the code UnsupportedProtocolVersion; Version is then the one whose CONNACK the
// client is most likely to understand: V311 for a level below 5, V5 above. [MQTT-3.1.2-1] [MQTT-3.1.2-2]
func (c *Connect) Decode(body []byte) error {
	c.reset()
	rest, err := c.takeProtocol(body)
	if err != nil {
		return err
	}
	flags, rest, ok := takeByte(rest)
	if !ok {
		return errTruncated
	}
	if err := c.applyFlags(flags); err != nil {
		return err
	}
	if c.KeepAlive, rest, ok = takeUint16(rest); !ok {
		return errTruncated
	}
	if c.Version == V5 {
		if rest, err = c.Properties.take(rest, connectProperties); err != nil {
			return err
		}
		if err := c.Properties.checkAuth(); err != nil {
			return err
		}
	}
	return c.decodePayload(rest)
}

func (c *Connect) reset() {
	c.Version, c.CleanStart, c.KeepAlive = 0, false, 0
	c.HasWill, c.HasUsername, c.HasPassword = false, false, false
	c.ClientID, c.Username, c.Password = nil, nil, nil
	c.Will.reset()
	c.Properties.Reset()
}

// takeProtocol reads protocol name and level.
func (c *Connect) takeProtocol(body []byte) (rest []byte, err error) {
	c.Version = V5
	if !bytes.HasPrefix(body, protocolName) {
		name, _, ok := takeBinary(body)
		if !ok {
			c.Version = 0
			return nil, errTruncated
		}
		if string(name) == string(protocolName310[2:]) {
			c.Version = V311
		}
		return nil, errProtocolName
	}
	level, rest, ok := takeByte(body[len(protocolName):])
	if !ok {
		c.Version = 0
		return nil, errTruncated
	}
	switch Version(level) {
	case V5:
	case V311:
		c.Version = V311
	default:
		if level < byte(V5) {
			c.Version = V311
		}
		return nil, errProtocolLevel
	}
	return rest, nil
}

// applyFlags reads the connect flags. [MQTT-3.1.2-3] [MQTT-3.1.2-11] to [MQTT-3.1.2-13]; 3.1.1: [MQTT-3.1.2-22]
func (c *Connect) applyFlags(flags byte) error {
	if flags&flagReserved != 0 {
		return malformed("reserved connect flag is set")
	}
	c.CleanStart = flags&flagCleanStart != 0
	c.HasWill = flags&flagWill != 0
	c.HasUsername = flags&flagUsername != 0
	c.HasPassword = flags&flagPassword != 0
	c.Will.QoS = flags >> shiftWillQoS & 3
	c.Will.Retain = flags&flagWillRetain != 0
	switch {
	case c.Will.QoS == 3:
		return malformed("will QoS is 3")
	case !c.HasWill && (c.Will.QoS != 0 || c.Will.Retain):
		return malformed("will QoS or will retain is set without a will")
	case c.HasPassword && !c.HasUsername && c.Version == V311:
		return malformed("password without a username")
	}
	return nil
}

// decodePayload reads the fields that the flags have announced, in their order. [MQTT-3.1.3-1]
func (c *Connect) decodePayload(rest []byte) (err error) {
	if c.ClientID, rest, err = takeString(rest); err != nil { // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
		return err
	}
	if c.HasWill {
		if rest, err = c.Will.take(c.Version, rest); err != nil {
			return err
		}
	}
	if c.HasUsername {
		if c.Username, rest, err = takeString(rest); err != nil { // [MQTT-3.1.3-12]
			return err
		}
	}
	if c.HasPassword {
		var ok bool
		if c.Password, rest, ok = takeBinary(rest); !ok {
			return errTruncated
		}
	}
	if len(rest) > 0 {
		return errTrailing
	}
	if c.Version == V311 && len(c.ClientID) == 0 && !c.CleanStart { // 3.1.1: [MQTT-3.1.3-7] [MQTT-3.1.3-8]
		return errClientIDV311
	}
	return nil
}

// Append writes the packet for the version v; Version is not looked at.
func (c *Connect) Append(dst []byte, v Version) []byte {
	remaining := len(protocolName) + 1 + 1 + 2 + 2 + len(c.ClientID)
	propertySize := 0
	if v == V5 {
		propertySize = c.Properties.size(connectProperties)
		remaining += varintSize(propertySize) + propertySize
	}
	if c.HasWill {
		remaining += c.Will.size(v)
	}
	if c.HasUsername {
		remaining += 2 + len(c.Username)
	}
	if c.HasPassword {
		remaining += 2 + len(c.Password)
	}
	dst = appendHeader(dst, CONNECT, 0, remaining)
	dst = append(dst, protocolName...)
	dst = append(dst, byte(v), c.flags())
	dst = binary.BigEndian.AppendUint16(dst, c.KeepAlive)
	if v == V5 {
		dst = c.Properties.append(dst, connectProperties, propertySize)
	}
	dst = appendBytes(dst, c.ClientID)
	if c.HasWill {
		dst = c.Will.append(dst, v)
	}
	if c.HasUsername {
		dst = appendBytes(dst, c.Username)
	}
	if c.HasPassword {
		dst = appendBytes(dst, c.Password)
	}
	return dst
}

func (c *Connect) flags() byte {
	var flags byte
	if c.CleanStart {
		flags |= flagCleanStart
	}
	if c.HasWill {
		flags |= flagWill | c.Will.QoS<<shiftWillQoS
		if c.Will.Retain {
			flags |= flagWillRetain
		}
	}
	if c.HasUsername {
		flags |= flagUsername
	}
	if c.HasPassword {
		flags |= flagPassword
	}
	return flags
}

// checkAuth refuses authentication data without a method (3.1.2.11.10).
func (p *Properties) checkAuth() error {
	if p.Has.Contains(PropAuthData) && !p.Has.Contains(PropAuthMethod) {
		return protocolError("Authentication Data without an Authentication Method")
	}
	return nil
}
