package session

import "github.com/millrace-mq/millrace/mqtt"

// Accept is what a CONNECT led to: the terms of the connection, which CONNACK must tell the client.
type Accept struct {
	SessionPresent bool
	// KeepAlive is the time in seconds within which the client sends something; after one and a half times that it
	// counts as gone (3.1.2.10). 0: it never does.
	KeepAlive uint16
	// SessionExpiry is the session expiry interval in force, in seconds.
	SessionExpiry uint32
	// ResponseInformation tells that the client asked for Response Information; an owner that has some adds it to the
	// CONNACK ([MQTT-3.1.2-28]).
	ResponseInformation bool

	version       mqtt.Version
	limits        *Limits
	assigned      string
	tellKeepAlive bool
	tellExpiry    bool
}

var (
	errConnected = refuse(mqtt.ImplementationSpecificError, "the session has a connection already")
	errWillQoS   = refuse(mqtt.QoSNotSupported, "the quality of service of the will is not supported")
	errRetain    = refuse(mqtt.RetainNotSupported, "retained messages are not available")
)

// Connect begins a connection. now is Unix milliseconds. resumed says that the client goes on with this session: it is
// what the owner decided from Clean Start and from whether the session still stands (Ended). Without it whatever the
// session holds is discarded as End does; an owner that wants the will of the old session, or its subscriptions, calls
// End itself. A session that has a connection must be closed first, with the cause TakenOver. A 5.0 client that sent no
// identifier is told that of the session.
//
// After an error, a *mqtt.Error whose code is for the CONNACK, the session is as it was.
func (s *Session) Connect(now int64, c *mqtt.Connect, resumed bool) (Accept, error) {
	if s.state == online {
		return Accept{}, errConnected
	}
	if w := &c.Will; c.HasWill {
		if w.QoS > s.limits.MaximumQoS {
			return Accept{}, errWillQoS // [MQTT-3.2.2-12]
		}
		if w.Retain && !s.limits.RetainAvailable {
			return Accept{}, errRetain // [MQTT-3.2.2-13]
		}
	}
	resumed = resumed && !c.CleanStart && !s.Ended(now) // [MQTT-3.1.2-4], [MQTT-3.1.2-5]
	if !resumed {
		s.End()
	}
	s.state, s.version, s.flags = online, c.Version, 0
	s.will = nil // the delayed will of the last connection is off ([MQTT-3.1.3-9])
	if c.HasWill {
		s.will = newWill(&c.Will)
	}
	a := Accept{SessionPresent: resumed, version: c.Version, limits: s.limits}
	s.negotiate(c, &a)
	s.resume()
	return a, nil
}

// negotiate settles the terms of the connection.
func (s *Session) negotiate(c *mqtt.Connect, a *Accept) {
	l, p := s.limits, &c.Properties
	a.KeepAlive = c.KeepAlive
	if c.Version != mqtt.V5 {
		s.window, s.maxPacket, s.aliases = l.window(maxPacketID), 0, nil
		s.expiry = 0
		if !c.CleanStart {
			s.expiry = l.MaxSessionExpiry
		}
		a.SessionExpiry = s.expiry
		return
	}
	if l.KeepAliveMax != 0 && (c.KeepAlive == 0 || c.KeepAlive > l.KeepAliveMax) {
		a.KeepAlive, a.tellKeepAlive = l.KeepAliveMax, true // [MQTT-3.2.2-21]
	}
	if l.KeepAliveServer != 0 {
		a.KeepAlive, a.tellKeepAlive = l.KeepAliveServer, true // [MQTT-3.2.2-22]
	}
	var expiry uint32
	if p.Has.Contains(mqtt.PropSessionExpiry) {
		expiry = p.SessionExpiry
	}
	if expiry == 0 {
		s.flags |= expiryAskedZero
	}
	s.expiry = min(expiry, l.MaxSessionExpiry)
	a.SessionExpiry, a.tellExpiry = s.expiry, s.expiry != expiry
	receive := uint16(maxPacketID)
	if p.Has.Contains(mqtt.PropReceiveMaximum) {
		receive = p.ReceiveMaximum
	}
	s.window = l.window(receive)
	s.maxPacket = 0
	if p.Has.Contains(mqtt.PropMaximumPacketSize) {
		s.maxPacket = p.MaximumPacketSize
	}
	s.aliases = nil
	if p.Has.Contains(mqtt.PropTopicAliasMaximum) {
		if n := min(p.TopicAliasMaximum, l.TopicAliasMaximumOut); n > 0 {
			s.aliases = &aliases{outMax: n}
		}
	}
	if p.Has.Contains(mqtt.PropRequestProblemInfo) && !p.RequestProblemInfo {
		s.flags |= noProblemInformation
	}
	a.ResponseInformation = p.Has.Contains(mqtt.PropRequestResponseInfo) && p.RequestResponseInfo
	if len(c.ClientID) == 0 {
		a.assigned = s.id // [MQTT-3.1.3-7], [MQTT-3.2.2-16]
	}
}

// resume makes what was in flight due for retransmission, and what was received count for this connection only.
func (s *Session) resume() {
	if o := s.out; o != nil {
		o.resend = o.first
	}
	if i := s.in; i != nil {
		i.reconnect()
	}
}

// Connack is the packet that accepts the connection. A property that only says what its absence says too is left out.
func (a *Accept) Connack() *mqtt.Connack {
	ack := new(mqtt.Connack)
	a.Fill(ack)
	return ack
}

// Fill is Connack for a packet that is used again and again.
func (a *Accept) Fill(ack *mqtt.Connack) {
	ack.SessionPresent, ack.Code = a.SessionPresent, mqtt.Success
	ack.Properties.Reset()
	if a.version != mqtt.V5 {
		return
	}
	p, l := &ack.Properties, a.limits
	tell := func(id mqtt.Property, condition bool) {
		if condition {
			p.Has = p.Has.With(id)
		}
	}
	p.SessionExpiry, p.ServerKeepAlive = a.SessionExpiry, a.KeepAlive
	tell(mqtt.PropSessionExpiry, a.tellExpiry)
	tell(mqtt.PropServerKeepAlive, a.tellKeepAlive)
	p.ReceiveMaximum = uint16(l.receiveMaximum())
	tell(mqtt.PropReceiveMaximum, p.ReceiveMaximum != maxPacketID)
	p.MaximumQoS = min(l.MaximumQoS, 1)
	tell(mqtt.PropMaximumQoS, l.MaximumQoS < 2)
	p.MaximumPacketSize = l.MaxPacketSize
	tell(mqtt.PropMaximumPacketSize, l.MaxPacketSize != 0)
	p.TopicAliasMaximum = l.TopicAliasMaximum
	tell(mqtt.PropTopicAliasMaximum, l.TopicAliasMaximum != 0)
	p.RetainAvailable, p.WildcardAvailable = l.RetainAvailable, l.WildcardAvailable
	tell(mqtt.PropRetainAvailable, !l.RetainAvailable)
	tell(mqtt.PropWildcardAvailable, !l.WildcardAvailable)
	p.SubscriptionIDAvailable, p.SharedAvailable = l.SubscriptionIDAvailable, l.SharedAvailable
	tell(mqtt.PropSubscriptionIDAvailable, !l.SubscriptionIDAvailable)
	tell(mqtt.PropSharedAvailable, !l.SharedAvailable)
	if a.assigned != "" {
		p.AssignedClientID = []byte(a.assigned)
		tell(mqtt.PropAssignedClientID, true)
	}
}
