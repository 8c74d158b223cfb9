package mqtt

import "strconv"

// Property is the identifier of an MQTT 5.0 property (2.2.2.2, table 2-4).
type Property byte

// The properties, by the names of the specification.
const (
	PropPayloadFormat           Property = 0x01
	PropMessageExpiry           Property = 0x02
	PropContentType             Property = 0x03
	PropResponseTopic           Property = 0x08
	PropCorrelationData         Property = 0x09
	PropSubscriptionID          Property = 0x0B
	PropSessionExpiry           Property = 0x11
	PropAssignedClientID        Property = 0x12
	PropServerKeepAlive         Property = 0x13
	PropAuthMethod              Property = 0x15
	PropAuthData                Property = 0x16
	PropRequestProblemInfo      Property = 0x17
	PropWillDelay               Property = 0x18
	PropRequestResponseInfo     Property = 0x19
	PropResponseInfo            Property = 0x1A
	PropServerReference         Property = 0x1C
	PropReasonString            Property = 0x1F
	PropReceiveMaximum          Property = 0x21
	PropTopicAliasMaximum       Property = 0x22
	PropTopicAlias              Property = 0x23
	PropMaximumQoS              Property = 0x24
	PropRetainAvailable         Property = 0x25
	PropUser                    Property = 0x26
	PropMaximumPacketSize       Property = 0x27
	PropWildcardAvailable       Property = 0x28
	PropSubscriptionIDAvailable Property = 0x29
	PropSharedAvailable         Property = 0x2A

	propertyLimit = 0x2B // one more than the last identifier
)

// String returns the name that the specification gives the property.
func (p Property) String() string {
	if p < propertyLimit && propertyTable[p].name != "" {
		return propertyTable[p].name
	}
	return "Property " + strconv.Itoa(int(p))
}

// PropertySet is a set of properties: the bit with the number of the identifier is set.
type PropertySet uint64

// With returns the set with p added.
func (s PropertySet) With(p Property) PropertySet { return s | 1<<p }

// Without returns the set with p taken out.
func (s PropertySet) Without(p Property) PropertySet { return s &^ (1 << p) }

// Contains tells whether p is in the set.
func (s PropertySet) Contains(p Property) bool { return s>>p&1 != 0 }

func setOf(properties ...Property) PropertySet {
	var set PropertySet
	for _, p := range properties {
		set = set.With(p)
	}
	return set
}

// kind is the data type of a property's value.
type kind byte

const (
	kindUnknown kind = iota // not an identifier
	kindByte                // one byte that is 0 or 1, kept as a number
	kindBool                // one byte that is 0 or 1, kept as a bool
	kindUint16
	kindUint32
	kindVarint // subscription identifiers only
	kindString
	kindBinary
	kindPair // user properties only
)

// propertyTable describes each property. zeroForbidden marks numbers for which the value zero is a Protocol Error.
var propertyTable = [propertyLimit]struct {
	name          string
	kind          kind
	zeroForbidden bool
}{
	PropPayloadFormat:           {name: "Payload Format Indicator", kind: kindByte},
	PropMessageExpiry:           {name: "Message Expiry Interval", kind: kindUint32},
	PropContentType:             {name: "Content Type", kind: kindString},
	PropResponseTopic:           {name: "Response Topic", kind: kindString},
	PropCorrelationData:         {name: "Correlation Data", kind: kindBinary},
	PropSubscriptionID:          {name: "Subscription Identifier", kind: kindVarint, zeroForbidden: true},
	PropSessionExpiry:           {name: "Session Expiry Interval", kind: kindUint32},
	PropAssignedClientID:        {name: "Assigned Client Identifier", kind: kindString},
	PropServerKeepAlive:         {name: "Server Keep Alive", kind: kindUint16},
	PropAuthMethod:              {name: "Authentication Method", kind: kindString},
	PropAuthData:                {name: "Authentication Data", kind: kindBinary},
	PropRequestProblemInfo:      {name: "Request Problem Information", kind: kindBool},
	PropWillDelay:               {name: "Will Delay Interval", kind: kindUint32},
	PropRequestResponseInfo:     {name: "Request Response Information", kind: kindBool},
	PropResponseInfo:            {name: "Response Information", kind: kindString},
	PropServerReference:         {name: "Server Reference", kind: kindString},
	PropReasonString:            {name: "Reason String", kind: kindString},
	PropReceiveMaximum:          {name: "Receive Maximum", kind: kindUint16, zeroForbidden: true},
	PropTopicAliasMaximum:       {name: "Topic Alias Maximum", kind: kindUint16},
	PropTopicAlias:              {name: "Topic Alias", kind: kindUint16, zeroForbidden: true},
	PropMaximumQoS:              {name: "Maximum QoS", kind: kindByte},
	PropRetainAvailable:         {name: "Retain Available", kind: kindBool},
	PropUser:                    {name: "User Property", kind: kindPair},
	PropMaximumPacketSize:       {name: "Maximum Packet Size", kind: kindUint32, zeroForbidden: true},
	PropWildcardAvailable:       {name: "Wildcard Subscription Available", kind: kindBool},
	PropSubscriptionIDAvailable: {name: "Subscription Identifier Available", kind: kindBool},
	PropSharedAvailable:         {name: "Shared Subscription Available", kind: kindBool},
}

// Which properties a packet may carry (table 2-4). Each packet refuses the others.
var (
	forwardProperties = setOf(PropPayloadFormat, PropContentType, PropResponseTopic, PropCorrelationData, PropUser)

	publishProperties = forwardProperties | setOf(PropMessageExpiry, PropSubscriptionID, PropTopicAlias)
	willProperties    = forwardProperties | setOf(PropMessageExpiry, PropWillDelay)
	connectProperties = setOf(PropSessionExpiry, PropReceiveMaximum, PropMaximumPacketSize, PropTopicAliasMaximum,
		PropRequestResponseInfo, PropRequestProblemInfo, PropUser, PropAuthMethod, PropAuthData)
	connackProperties = setOf(PropSessionExpiry, PropReceiveMaximum, PropMaximumQoS, PropRetainAvailable,
		PropMaximumPacketSize, PropAssignedClientID, PropTopicAliasMaximum, PropReasonString, PropUser,
		PropWildcardAvailable, PropSubscriptionIDAvailable, PropSharedAvailable, PropServerKeepAlive, PropResponseInfo,
		PropServerReference, PropAuthMethod, PropAuthData)
	answerProperties      = setOf(PropReasonString, PropUser) // PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK
	subscribeProperties   = setOf(PropSubscriptionID, PropUser)
	unsubscribeProperties = setOf(PropUser)
	disconnectProperties  = setOf(PropSessionExpiry, PropReasonString, PropUser, PropServerReference)
	authProperties        = setOf(PropAuthMethod, PropAuthData, PropReasonString, PropUser)
)
