package session

import (
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

func disconnect(code mqtt.ReasonCode, properties ...property) *mqtt.Disconnect {
	d := &mqtt.Disconnect{Code: code}
	apply(&d.Properties, properties)
	return d
}

// 3.1.2.11.2, 3.14.2.2.2, [MQTT-3.14.2-2]
func TestSessionExpiryFromConnectAndDisconnect(t *testing.T) {
	const none = ^uint32(0) - 1
	for _, c := range []struct {
		name              string
		connect           *mqtt.Connect
		disconnect        uint32 // none: not said
		maximum           uint32
		refused           bool
		lasts             int64 // milliseconds; endless
		endsWithItsClient bool
	}{
		{"as CONNECT said", connect5(false, sessionExpiry(10)), none, Never, false, 10_000, false},
		{"longer in DISCONNECT", connect5(false, sessionExpiry(10)), 20, Never, false, 20_000, false},
		{"shorter in DISCONNECT", connect5(false, sessionExpiry(10)), 5, Never, false, 5_000, false},
		{"ended by DISCONNECT", connect5(false, sessionExpiry(10)), 0, Never, false, 0, true},
		{"never", connect5(false, sessionExpiry(10)), Never, Never, false, endless, false},
		{"zero stays zero", connect5(false, sessionExpiry(0)), 0, Never, false, 0, true},
		{"zero cannot become more", connect5(false, sessionExpiry(0)), 1, Never, true, 0, true},
		{"absent is zero", connect5(false), 1, Never, true, 0, true},
		{"capped", connect5(false, sessionExpiry(Never)), none, 30, false, 30_000, false},
		{"capped in DISCONNECT", connect5(false, sessionExpiry(10)), 100, 30, false, 30_000, false},
		{"capped to zero is no error", connect5(false, sessionExpiry(10)), 100, 0, false, 0, true},
		{"3.1.1 clean", connect4(true), none, Never, false, 0, true},
		{"3.1.1 kept", connect4(false), none, Never, false, endless, false},
		{"3.1.1 capped", connect4(false), none, 30, false, 30_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.limits.MaxSessionExpiry = c.maximum
			r.connect(c.connect)
			d := disconnect(mqtt.NormalDisconnection)
			if c.disconnect != none {
				d = disconnect(mqtt.NormalDisconnection, sessionExpiry(c.disconnect))
			}
			err := r.Disconnect(d)
			if c.refused {
				wantCode(t, err, mqtt.ProtocolError)
			} else if err != nil {
				t.Errorf("DISCONNECT refused: %v", err)
			}
			if end := r.Close(r.now, Goodbye); end.Ends != c.endsWithItsClient {
				t.Errorf("ends with its connection: %v", end.Ends)
			}
			at, ok := r.Due()
			switch {
			case c.lasts == endless:
				if ok || r.Ended(1<<60) {
					t.Errorf("a session without end is due at %d", at)
				}
			case !ok || at != r.now+c.lasts:
				t.Errorf("due after %d ms (%v), want %d", at-r.now, ok, c.lasts)
			default:
				if _, ends := r.Expire(at - 1); ends || c.lasts > 0 && r.Ended(at-1) {
					t.Error("ended before its time")
				}
				if _, ends := r.Expire(at); !ends || !r.Ended(at) {
					t.Error("not ended at its time")
				}
			}
		})
	}
}

func willOf(version mqtt.Version, expiry, delay uint32) *mqtt.Connect {
	c := connect4(expiry == 0)
	if version == mqtt.V5 {
		c = connect5(false, sessionExpiry(expiry))
		apply(&c.Will.Properties, []property{willDelayOf(delay)})
	}
	c.HasWill = true
	c.Will.Topic, c.Will.Payload, c.Will.QoS, c.Will.Retain = []byte("will/topic"), []byte("gone"), 1, true
	return c
}

// 3.1.2.5, 3.1.3.2.2, [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.3-9], [MQTT-3.14.4-3]
func TestWhenTheWillIsPublished(t *testing.T) {
	const never, now = -1, 0
	for _, c := range []struct {
		name          string
		version       mqtt.Version
		expiry, delay uint32
		leave         *mqtt.Disconnect
		cause         Cause
		at            int64 // milliseconds after the connection is gone
	}{
		{"connection lost", mqtt.V5, 0, 0, nil, Lost, now},
		{"connection lost, 3.1.1", mqtt.V311, 0, 0, nil, Lost, now},
		{"connection lost, 3.1.1, session kept", mqtt.V311, 1, 0, nil, Lost, now},
		{"keep alive", mqtt.V5, 100, 0, nil, KeepAliveExpired, now},
		{"protocol error", mqtt.V311, 0, 0, nil, Misbehaved, now},
		{"taken over", mqtt.V5, 100, 0, nil, TakenOver, now},
		{"server stops", mqtt.V5, 100, 0, nil, ShuttingDown, now},
		{"normal disconnection", mqtt.V5, 100, 0, disconnect(mqtt.NormalDisconnection), Goodbye, never},
		{"DISCONNECT of 3.1.1", mqtt.V311, 0, 0, disconnect(mqtt.Success), Goodbye, never},
		{"normal disconnection, delayed", mqtt.V5, 100, 10, disconnect(mqtt.NormalDisconnection), Goodbye, never},
		{"disconnect with will", mqtt.V5, 100, 0, disconnect(mqtt.DisconnectWithWill), Goodbye, now},
		{"client says error", mqtt.V5, 100, 0, disconnect(mqtt.UnspecifiedError), Goodbye, now},
		{"delayed", mqtt.V5, 100, 10, nil, Lost, 10_000},
		{"delay beyond the session", mqtt.V5, 10, 100, nil, Lost, 10_000},
		{"delay as long as the session", mqtt.V5, 10, 10, nil, Lost, 10_000},
		{"delay of a session without expiry", mqtt.V5, 0, 100, nil, Lost, now},
		{"delay of a session without end", mqtt.V5, Never, 7, nil, Lost, 7_000},
		{"the longest delay", mqtt.V5, Never, 1<<32 - 1, nil, Lost, (1<<32 - 1) * 1000},
		{"session removed", mqtt.V5, 100, 50, nil, Removed, now},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.connect(willOf(c.version, c.expiry, c.delay))
			if c.leave != nil {
				if err := r.Disconnect(c.leave); err != nil {
					t.Fatal(err)
				}
			}
			w := r.Close(r.now, c.cause).Will
			if c.at == now {
				if w == nil || string(w.Topic) != "will/topic" || string(w.Payload) != "gone" || w.QoS != 1 || !w.Retain {
					t.Fatalf("will published at once: %+v", w)
				}
			} else if w != nil {
				t.Fatal("a will was published at once")
			}
			if c.at > 0 {
				at, ok := r.Due()
				if !ok || at != r.now+c.at {
					t.Fatalf("due after %d ms, want %d", at-r.now, c.at)
				}
				if w, _ := r.Expire(at - 1); w != nil {
					t.Error("the will came too early")
				}
				if w, _ = r.Expire(at); w == nil {
					t.Error("no will at its time")
				}
			}
			if w, _ := r.Expire(1 << 60); w != nil || r.End() != nil {
				t.Error("a will was published twice, or though the client took it back")
			}
		})
	}
}

// [MQTT-3.1.3-9]
func TestReconnectStopsADelayedWill(t *testing.T) {
	r := newRig(t)
	r.connect(willOf(mqtt.V5, 100, 10))
	r.Close(r.now, Lost)
	r.now += 9_999
	r.connect(connect5(false, sessionExpiry(100)))
	r.Close(r.now, Lost)
	if w, _ := r.Expire(r.now + 50_000); w != nil {
		t.Error("the will of an earlier connection was published")
	}
}

func TestEndOfTheSessionGivesTheDelayedWill(t *testing.T) {
	r := newRig(t)
	r.connect(willOf(mqtt.V5, 100, 50))
	r.Close(r.now, TakenOver)
	if w := r.End(); w == nil || string(w.Payload) != "gone" {
		t.Error("a clean start lost the delayed will of the session that it ended")
	}
}

// After a protocol error in DISCONNECT the client is not one that said goodbye.
func TestRefusedDisconnectLeavesTheWill(t *testing.T) {
	r := newRig(t)
	r.connect(willOf(mqtt.V5, 0, 0))
	wantCode(t, r.Disconnect(disconnect(mqtt.NormalDisconnection, sessionExpiry(5))), mqtt.ProtocolError)
	if r.Close(r.now, Misbehaved).Will == nil {
		t.Error("the will is gone")
	}
}

func TestWillIsCopiedAndExpiresFromItsPublishing(t *testing.T) {
	r := newRig(t)
	c := willOf(mqtt.V5, 100, 10)
	c.Will.Properties.AddUser("k", "v")
	expiry := with(mqtt.PropMessageExpiry, func(p *mqtt.Properties) *uint32 { return &p.MessageExpiry }, 5)
	apply(&c.Will.Properties, []property{expiry})
	r.connect(c)
	copy(c.Will.Topic, "XXXXXXXXXX")
	copy(c.Will.Payload, "XXXX")
	r.Close(r.now, Lost)
	w, _ := r.Expire(r.now + 10_000)
	m := w.Message(r.now+10_000, 9)
	want(t, "will", string(m.Topic)+" "+string(m.Payload), "will/topic gone")
	want(t, "expires", m.Expires, r.now+15_000)
	if m.Sender != 9 || m.QoS != 1 || !m.Retain || len(m.Props) == 0 {
		t.Errorf("will message: %+v", m)
	}
}

func TestAnEndedSessionDoesNothing(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["5.0"]())
	r.deliver("a", 1)
	r.Close(r.now, Removed)
	r.deliver("b", 1)
	if r.End(); r.Load() != 0 {
		t.Error("messages are left behind")
	}
	want(t, "delivery", r.deliver("c", 1).Reason, NotHere)
	want(t, "delivery", r.deliver("d", 0).Reason, NotHere)
	if _, ok := r.Due(); ok {
		t.Error("something is due")
	}
	if end := r.Close(r.now, Lost); end.Ends || end.Will != nil {
		t.Error("it ended again")
	}
}

func TestCausesHaveCodes(t *testing.T) {
	for c, code := range map[Cause]mqtt.ReasonCode{
		Lost: 0, Goodbye: 0, TakenOver: 0x8E, KeepAliveExpired: 0x8D, Misbehaved: 0x82, ShuttingDown: 0x8B, Kicked: 0x98,
		Removed: 0x98, Redirected: 0x9C,
	} {
		if c.Code() != code {
			t.Errorf("%v has the code %v", c, c.Code())
		}
	}
}
