package mqtt

import (
	"encoding/binary"
	"math/bits"
)

// Properties holds the properties of any packet (2.2.2). A field is valid only when Has contains its identifier; the others
// hold what an earlier packet left there. Byte slices alias the decoded body.
//
// To send a property, set the field and add the identifier:
//
//	p.ReceiveMaximum = 100
//	p.Has = p.Has.With(mqtt.PropReceiveMaximum)
type Properties struct {
	Has PropertySet

	PayloadFormat           byte   // 0: unspecified bytes, 1: UTF-8 text
	MaximumQoS              byte   // 0 or 1
	RequestProblemInfo      bool   // absent means true
	RequestResponseInfo     bool   // absent means false
	RetainAvailable         bool   // absent means true
	WildcardAvailable       bool   // absent means true
	SubscriptionIDAvailable bool   // absent means true
	SharedAvailable         bool   // absent means true
	ServerKeepAlive         uint16 // seconds
	ReceiveMaximum          uint16 // never 0; absent means 65,535
	TopicAliasMaximum       uint16 // absent means 0: no aliases
	TopicAlias              uint16 // never 0
	MessageExpiry           uint32 // seconds
	SessionExpiry           uint32 // seconds; 0xFFFFFFFF: never
	WillDelay               uint32 // seconds
	MaximumPacketSize       uint32 // bytes, never 0; absent means no limit

	ContentType      []byte
	ResponseTopic    []byte
	CorrelationData  []byte
	AssignedClientID []byte
	AuthMethod       []byte
	AuthData         []byte
	ResponseInfo     []byte
	ServerReference  []byte
	ReasonString     []byte

	SubscriptionIDs []uint32       // 1 to 268,435,455 each; one in SUBSCRIBE, any number in PUBLISH; capacity is reused
	User            UserProperties // in order

	joined []byte // holds User when the user properties did not stand side by side
}

// Reset empties the set. The fields keep their old values, which no longer mean anything.
func (p *Properties) Reset() {
	if p.Has != 0 {
		p.Has = 0
		p.SubscriptionIDs = p.SubscriptionIDs[:0]
		p.User = nil
	}
}

// AddUser appends a user property.
func (p *Properties) AddUser(key, value string) {
	if !p.Has.Contains(PropUser) {
		p.Has, p.User = p.Has.With(PropUser), nil
	}
	p.User = p.User.Append(key, value)
}

// take decodes the properties at the front of b, length included, and returns what follows them.
//
//	| property length, varint | identifier | value | identifier | value | ... |
//
// An identifier is a varint too, but all of them fit one byte.
func (p *Properties) take(b []byte, allowed PropertySet) (rest []byte, err error) {
	if len(b) > 0 && b[0] == 0 { // nothing, as mostly
		p.Reset()
		return b[1:], nil
	}
	length, rest, err := takeVarint(b)
	if err != nil {
		return nil, err
	}
	if uint64(length) > uint64(len(rest)) {
		return nil, errPropertyLength
	}
	p.Reset()
	return rest[length:], p.decode(rest[:length:length], allowed)
}

// decode reads all, the properties without their length.
func (p *Properties) decode(all []byte, allowed PropertySet) error {
	repeatable := PropertySet(0).With(PropUser)
	if allowed == publishProperties { // it may match several subscriptions (3.3.2.3.8); SUBSCRIBE has one identifier
		repeatable = repeatable.With(PropSubscriptionID)
	}
	var users userRun
	for at := 0; at < len(all); {
		id := Property(all[at])
		if id >= propertyLimit || !allowed.Contains(id) {
			// An identifier that is unknown or not for this packet type is malformed (2.2.2.2).
			return malformed(id.String() + " is not allowed in this packet")
		}
		if p.Has.Contains(id) && !repeatable.Contains(id) {
			return protocolError(id.String() + " is there more than once")
		}
		p.Has = p.Has.With(id)
		rest, err := p.takeValue(id, all[at+1:])
		if err != nil {
			return err
		}
		end := len(all) - len(rest)
		if id == PropUser {
			p.addEncodedUser(&users, all, at, end)
		}
		at = end
	}
	return nil
}

// takeValue decodes the value of a property and checks its range.
func (p *Properties) takeValue(id Property, b []byte) (rest []byte, err error) {
	var number uint32 // of properties that are numbers
	ok := true
	switch propertyTable[id].kind {
	case kindByte, kindBool:
		var value byte
		if value, rest, ok = takeByte(b); value > 1 {
			return nil, protocolError(id.String() + " is neither 0 nor 1")
		}
		if propertyTable[id].kind == kindByte {
			*p.byteField(id) = value
		} else {
			*p.boolField(id) = value == 1
		}
	case kindUint16:
		field := p.uint16Field(id)
		*field, rest, ok = takeUint16(b)
		number = uint32(*field)
	case kindUint32:
		field := p.uint32Field(id)
		*field, rest, ok = takeUint32(b)
		number = *field
	case kindVarint:
		if number, rest, err = takeVarint(b); err != nil {
			return nil, err
		}
		p.SubscriptionIDs = append(p.SubscriptionIDs, number)
	case kindString:
		field := p.bytesField(id)
		if *field, rest, err = takeString(b); err == nil && id == PropResponseTopic {
			err = checkResponseTopic(*field)
		}
		return rest, err
	case kindBinary:
		*p.bytesField(id), rest, ok = takeBinary(b)
	case kindPair:
		_, rest, err = takeString(b)
		if err == nil {
			_, rest, err = takeString(rest)
		}
		return rest, err
	}
	if !ok {
		return nil, errTruncated
	}
	if number == 0 && propertyTable[id].zeroForbidden {
		return nil, zeroValue(id)
	}
	return rest, nil
}

// zeroValue is the error for a number that must not be zero.
func zeroValue(id Property) error {
	if id == PropTopicAlias { // the one that has a reason code of its own [MQTT-3.3.2-8]
		return &Error{TopicAliasInvalid, "Topic Alias is zero"}
	}
	return protocolError(id.String() + " is zero")
}

// checkResponseTopic refuses what is not a topic name. [MQTT-3.3.2-13] [MQTT-3.3.2-14]
func checkResponseTopic(topic []byte) error {
	if len(topic) == 0 || !plainName(topic) && checkTopicName(topic) != nil {
		return protocolError("Response Topic is not a topic name")
	}
	return nil
}

// userRun is where the user properties that were found so far stand in the input.
type userRun struct {
	from, to int
	found    bool
	joined   bool // they did not stand side by side and were copied to Properties.joined
}

// addEncodedUser adds the user property all[at:end] to User, which grows over the input while one stands behind the other.
func (p *Properties) addEncodedUser(run *userRun, all []byte, at, end int) {
	switch {
	case !run.found:
		*run = userRun{from: at, to: end, found: true}
		p.User = all[at:end:end]
		return
	case !run.joined && run.to == at:
		run.to = end
		p.User = all[run.from:end:end]
		return
	case !run.joined:
		run.joined = true
		p.joined = append(emptied(p.joined, len(all)), p.User...)
	}
	p.joined = append(p.joined, all[at:end]...)
	p.User = p.joined[:len(p.joined):len(p.joined)]
}

// AppendForward writes the properties that a server passes on unchanged with a message, without their length: payload
// format, content type, response topic, correlation data [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-20] and
// user properties in order [MQTT-3.3.2-17] [MQTT-3.3.2-18]. It is what AppendPublish takes as props.
func (p *Properties) AppendForward(dst []byte) []byte {
	return p.appendSet(dst, p.Has&forwardProperties)
}

// append writes the length and those properties that the packet may carry.
func (p *Properties) append(dst []byte, allowed PropertySet, size int) []byte {
	return p.appendSet(appendVarint(dst, uint32(size)), p.Has&allowed)
}

// size returns the length of the encoded properties in bytes, without the length itself.
func (p *Properties) size(allowed PropertySet) int {
	total := 0
	for set := p.Has & allowed; set != 0; set &= set - 1 {
		id := Property(bits.TrailingZeros64(uint64(set)))
		switch propertyTable[id].kind {
		case kindByte, kindBool:
			total += 1 + 1
		case kindUint16:
			total += 1 + 2
		case kindUint32:
			total += 1 + 4
		case kindVarint:
			total += subscriptionIDsSize(p.SubscriptionIDs)
		case kindString, kindBinary:
			total += 1 + 2 + len(*p.bytesField(id))
		case kindPair:
			total += len(p.User)
		}
	}
	return total
}

// appendSet writes the properties of the set in ascending order of identifier.
func (p *Properties) appendSet(dst []byte, set PropertySet) []byte {
	for ; set != 0; set &= set - 1 {
		id := Property(bits.TrailingZeros64(uint64(set)))
		switch propertyTable[id].kind {
		case kindByte:
			dst = append(dst, byte(id), *p.byteField(id))
		case kindBool:
			dst = append(dst, byte(id), bit(*p.boolField(id), 0))
		case kindUint16:
			dst = binary.BigEndian.AppendUint16(append(dst, byte(id)), *p.uint16Field(id))
		case kindUint32:
			dst = binary.BigEndian.AppendUint32(append(dst, byte(id)), *p.uint32Field(id))
		case kindVarint:
			dst = appendSubscriptionIDs(dst, p.SubscriptionIDs)
		case kindString, kindBinary:
			dst = appendBytes(append(dst, byte(id)), *p.bytesField(id))
		case kindPair:
			dst = append(dst, p.User...)
		}
	}
	return dst
}

func subscriptionIDsSize(ids []uint32) int {
	total := 0
	for _, id := range ids {
		total += 1 + varintSize(int(id))
	}
	return total
}

func appendSubscriptionIDs(dst []byte, ids []uint32) []byte {
	for _, id := range ids {
		dst = appendVarint(append(dst, byte(PropSubscriptionID)), id)
	}
	return dst
}

// The fields by identifier and data type.

func (p *Properties) byteField(id Property) *byte {
	switch id {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropMaximumQoS:
		return &p.MaximumQoS
	}
	return nil
}

func (p *Properties) boolField(id Property) *bool {
	switch id {
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardAvailable:
		return &p.WildcardAvailable
	case PropSubscriptionIDAvailable:
		return &p.SubscriptionIDAvailable
	case PropSharedAvailable:
		return &p.SharedAvailable
	}
	return nil
}

func (p *Properties) uint16Field(id Property) *uint16 {
	switch id {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	case PropTopicAlias:
		return &p.TopicAlias
	}
	return nil
}

func (p *Properties) uint32Field(id Property) *uint32 {
	switch id {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	case PropMaximumPacketSize:
		return &p.MaximumPacketSize
	}
	return nil
}

func (p *Properties) bytesField(id Property) *[]byte {
	switch id {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropAuthData:
		return &p.AuthData
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	case PropReasonString:
		return &p.ReasonString
	}
	return nil
}
