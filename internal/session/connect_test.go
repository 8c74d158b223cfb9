package session

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.2.2-2], [MQTT-3.2.2-3]
func TestSessionPresentWhenStateIsKept(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second *mqtt.Connect
		after         int64 // milliseconds between the connections
		present       bool
	}{
		{"5.0, expiry kept", connect5(false, sessionExpiry(10)), connect5(false), 9_999, true},
		{"5.0, expired", connect5(false, sessionExpiry(10)), connect5(false), 10_000, false},
		{"5.0, no expiry asked for", connect5(false), connect5(false), 0, false},
		{"5.0, clean start throws away", connect5(false, sessionExpiry(10)), connect5(true), 0, false},
		{"5.0, clean start then kept", connect5(true, sessionExpiry(10)), connect5(false), 0, true},
		{"5.0, for ever", connect5(false, sessionExpiry(Never)), connect5(false), 1 << 50, true},
		{"3.1.1, kept", connect4(false), connect4(false), 1 << 50, true},
		{"3.1.1, clean session was set", connect4(true), connect4(false), 0, false},
		{"3.1.1, clean session throws away", connect4(false), connect4(true), 0, false},
		{"3.1.1 then 5.0", connect4(false), connect5(false), 0, true},
		{"5.0 then 3.1.1", connect5(false, sessionExpiry(10)), connect4(false), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if a := r.connect(c.first); a.SessionPresent {
				t.Error("the first connection found a session")
			}
			r.Subscribe(&Subscription{Filter: "a"})
			r.Close(r.now, Lost)
			r.now += c.after
			a := r.connect(c.second)
			if a.SessionPresent != c.present || a.Connack().SessionPresent != c.present {
				t.Errorf("session present is %v, want %v", a.SessionPresent, c.present)
			}
			if got := r.Subscriptions() == 1; got != c.present {
				t.Errorf("subscriptions kept: %v, want %v", got, c.present)
			}
		})
	}
}

func TestAResumedFlagDoesNotOutlastTheSession(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false, sessionExpiry(1)))
	r.Close(r.now, Lost)
	r.now += 1000
	if a, _ := r.Connect(r.now, connect5(false), true); a.SessionPresent {
		t.Error("a session that had ended was resumed")
	}
}

func TestCleanStartIsNeverResumed(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false, sessionExpiry(Never)))
	r.Close(r.now, Lost)
	if a, _ := r.Connect(r.now, connect5(true), true); a.SessionPresent {
		t.Error("Clean Start was set and a session resumed")
	}
}

func TestTermsOfTheLastConnectionAreOver(t *testing.T) {
	r := newRig(t)
	r.limits.TopicAliasMaximumOut = 10
	r.connect(connect5(false, sessionExpiry(Never), maximumPacketSize(5), receiveMaximum(1), topicAliasMaximum(10)))
	want(t, "with a limit", r.deliver("x", 0).Reason, TooLarge)
	r.Close(r.now, Lost)
	if r.aliases != nil {
		t.Error("a session without a connection has aliases")
	}
	r.connect(connect5(false, sessionExpiry(Never)))
	d := r.deliver("x", 0)
	want(t, "without", fmt.Sprint(d.Verdict == Send, d.Alias, r.Room() > 1), "true 0 true")
}

func TestConnectNeedsTheOldConnectionClosed(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false))
	_, err := r.Connect(r.now, connect5(false), true)
	wantCode(t, err, mqtt.ImplementationSpecificError)
}

func TestWillBeyondLimitsIsRefused(t *testing.T) {
	for _, c := range []struct {
		will  mqtt.Will
		limit func(*Limits)
		code  mqtt.ReasonCode
	}{
		{mqtt.Will{QoS: 2}, func(l *Limits) { l.MaximumQoS = 1 }, mqtt.QoSNotSupported},                   // [MQTT-3.2.2-12]
		{mqtt.Will{Retain: true}, func(l *Limits) { l.RetainAvailable = false }, mqtt.RetainNotSupported}, // [MQTT-3.2.2-13]
	} {
		r := newRig(t)
		packet := connect5(true)
		packet.HasWill, packet.Will = true, c.will
		r.connect(connect5(false, sessionExpiry(5)))
		r.Close(r.now, Lost)
		c.limit(&r.limits)
		_, err := r.Connect(r.now, packet, false)
		wantCode(t, err, c.code)
		if r.Ended(r.now) || r.Online() {
			t.Error("a refused CONNECT changed the session")
		}
	}
}

func TestConnackTellsWhatDiffersFromTheDefault(t *testing.T) {
	l := DefaultLimits()
	l.ReceiveMaximum, l.MaxPacketSize, l.TopicAliasMaximum = 0, 0, 0
	s := New(&l, "assigned")
	packet := connect5(true, sessionExpiry(100))
	a, err := s.Connect(0, packet, false)
	if err != nil {
		t.Fatal(err)
	}
	if ack := a.Connack(); ack.Properties.Has != 0 {
		t.Errorf("a server without limits announces %b", ack.Properties.Has)
	}

	l = Limits{ReceiveMaximum: 5, MaxPacketSize: 1000, TopicAliasMaximum: 3, MaximumQoS: 1, MaxSessionExpiry: 50, KeepAliveMax: 60}
	s = New(&l, "assigned")
	packet.ClientID, packet.KeepAlive = nil, 61
	if a, err = s.Connect(0, packet, false); err != nil {
		t.Fatal(err)
	}
	p := &a.Connack().Properties
	for _, c := range []struct {
		id        mqtt.Property
		got, want any
	}{
		{mqtt.PropReceiveMaximum, p.ReceiveMaximum, 5},
		{mqtt.PropMaximumPacketSize, p.MaximumPacketSize, 1000},
		{mqtt.PropTopicAliasMaximum, p.TopicAliasMaximum, 3},
		{mqtt.PropMaximumQoS, p.MaximumQoS, 1}, // [MQTT-3.2.2-9]
		{mqtt.PropRetainAvailable, p.RetainAvailable, false},
		{mqtt.PropWildcardAvailable, p.WildcardAvailable, false},
		{mqtt.PropSubscriptionIDAvailable, p.SubscriptionIDAvailable, false},
		{mqtt.PropSharedAvailable, p.SharedAvailable, false},
		{mqtt.PropSessionExpiry, p.SessionExpiry, 50},
		{mqtt.PropServerKeepAlive, p.ServerKeepAlive, 60},
		{mqtt.PropAssignedClientID, string(p.AssignedClientID), "assigned"}, // [MQTT-3.2.2-16]
	} {
		if !p.Has.Contains(c.id) {
			t.Errorf("CONNACK does not tell %v", c.id)
		}
		want(t, c.id.String(), c.got, c.want)
	}
	a, _ = New(&l, "x").Connect(0, connect4(true), false)
	if ack := a.Connack(); ack.Properties.Has != 0 {
		t.Error("the CONNACK of 3.1.1 has properties")
	}
}

// [MQTT-3.1.2-21], [MQTT-3.2.2-21], [MQTT-3.2.2-22]
func TestServerKeepAliveOverrides(t *testing.T) {
	for _, c := range []struct {
		version        mqtt.Version
		client, server uint16
		effective      uint16
		told           bool
	}{
		{mqtt.V5, 30, 0, 30, false},
		{mqtt.V5, 0, 0, 0, false},
		{mqtt.V5, 30, 60, 30, false},
		{mqtt.V5, 60, 60, 60, false},
		{mqtt.V5, 61, 60, 60, true},
		{mqtt.V5, 0, 60, 60, true},
		{mqtt.V311, 61, 60, 61, false}, // cannot be told
		{mqtt.V311, 0, 60, 0, false},
	} {
		r := newRig(t)
		r.limits.KeepAliveMax = c.server
		packet := &mqtt.Connect{Version: c.version, CleanStart: true, KeepAlive: c.client, ClientID: []byte("c")}
		a := r.connect(packet)
		told := a.Connack().Properties.Has.Contains(mqtt.PropServerKeepAlive)
		if a.KeepAlive != c.effective || told != c.told {
			t.Errorf("client %d, server %d: %d seconds, told %v; want %d, %v", c.client, c.server, a.KeepAlive, told, c.effective, c.told)
		}
	}
}

// [MQTT-3.1.2-24]
func TestFits(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	want(t, "no maximum", r.Fits(1<<30), true)
	r.reconnect(connect5(true, maximumPacketSize(50)))
	want(t, "a maximum of 50", fmt.Sprint(r.Fits(50), r.Fits(51)), "true false")
	r.reconnect(connect4(true))
	want(t, "3.1.1", r.Fits(51), true)
}

// [MQTT-3.1.2-28], [MQTT-3.1.2-29]
func TestRequestedInformation(t *testing.T) {
	r := newRig(t)
	if a := r.connect(connect5(true)); a.ResponseInformation || !r.ProblemInformation() {
		t.Error("defaults: response information not wanted, problem information wanted")
	}
	response := with(mqtt.PropRequestResponseInfo, func(p *mqtt.Properties) *bool { return &p.RequestResponseInfo }, true)
	problem := with(mqtt.PropRequestProblemInfo, func(p *mqtt.Properties) *bool { return &p.RequestProblemInfo }, false)
	if a := r.reconnect(connect5(true, response, problem)); !a.ResponseInformation || r.ProblemInformation() {
		t.Error("response information wanted and problem information not: not understood")
	}
	if r.reconnect(connect5(true)); !r.ProblemInformation() {
		t.Error("what one connection asked for holds for the next")
	}
}
