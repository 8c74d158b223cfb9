package session

import (
	"errors"
	"fmt"
	"testing"
	"unsafe"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// A million idle clients have a million sessions.
func TestIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 128 {
		t.Errorf("an idle session is %d bytes, more than 128", n)
	}
	if n := unsafe.Sizeof(Subscription{}); n > 64 {
		t.Errorf("a subscription is %d bytes, more than 64", n)
	}
	if n := unsafe.Sizeof(entry{}); n > 32 {
		t.Errorf("a message that waits takes %d bytes, more than 32", n)
	}
	if n := unsafe.Sizeof(slot{}); n > 48 {
		t.Errorf("a message in flight takes %d bytes, more than 48", n)
	}
}

// rig is a session under test, with limits that the test may change before it connects.
type rig struct {
	*testing.T
	*Session
	limits Limits
	now    int64
	kept   []*message.Message
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, limits: DefaultLimits(), now: 1_000_000}
	r.Session = New(&r.limits, "client")
	r.Number = 1
	// Every reference that the session took is given back when it ends, and no other.
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		r.End()
		for _, m := range r.kept {
			m.Release()
			if m.Kept() {
				t.Errorf("the session has not released %q", m.Payload)
			}
		}
	})
	return r
}

// property is one property of a packet in the making.
type property func(*mqtt.Properties)

func with[T any](id mqtt.Property, field func(*mqtt.Properties) *T, value T) property {
	return func(p *mqtt.Properties) {
		*field(p) = value
		p.Has = p.Has.With(id)
	}
}

func sessionExpiry(s uint32) property {
	return with(mqtt.PropSessionExpiry, func(p *mqtt.Properties) *uint32 { return &p.SessionExpiry }, s)
}

func receiveMaximum(n uint16) property {
	return with(mqtt.PropReceiveMaximum, func(p *mqtt.Properties) *uint16 { return &p.ReceiveMaximum }, n)
}

func maximumPacketSize(n uint32) property {
	return with(mqtt.PropMaximumPacketSize, func(p *mqtt.Properties) *uint32 { return &p.MaximumPacketSize }, n)
}

func topicAliasMaximum(n uint16) property {
	return with(mqtt.PropTopicAliasMaximum, func(p *mqtt.Properties) *uint16 { return &p.TopicAliasMaximum }, n)
}

func topicAlias(n uint16) property {
	return with(mqtt.PropTopicAlias, func(p *mqtt.Properties) *uint16 { return &p.TopicAlias }, n)
}

func willDelayOf(s uint32) property {
	return with(mqtt.PropWillDelay, func(p *mqtt.Properties) *uint32 { return &p.WillDelay }, s)
}

func apply(p *mqtt.Properties, properties []property) {
	for _, set := range properties {
		set(p)
	}
}

func connect5(clean bool, properties ...property) *mqtt.Connect {
	c := &mqtt.Connect{Version: mqtt.V5, CleanStart: clean, ClientID: []byte("client")}
	apply(&c.Properties, properties)
	return c
}

func connect4(clean bool) *mqtt.Connect {
	return &mqtt.Connect{Version: mqtt.V311, CleanStart: clean, ClientID: []byte("client")}
}

// kinds are CONNECTs of both versions that keep their session.
var kinds = map[string]func(...property) *mqtt.Connect{
	"3.1.1": func(...property) *mqtt.Connect { return connect4(false) },
	"5.0": func(p ...property) *mqtt.Connect {
		return connect5(false, append([]property{sessionExpiry(Never)}, p...)...)
	},
}

func (r *rig) connect(c *mqtt.Connect) Accept {
	r.Helper()
	a, err := r.Connect(r.now, c, !c.CleanStart)
	if err != nil {
		r.Fatalf("CONNECT refused: %v", err)
	}
	return a
}

// reconnect loses the connection and makes another one.
func (r *rig) reconnect(c *mqtt.Connect) Accept {
	r.Helper()
	r.Close(r.now, Lost)
	return r.connect(c)
}

// message makes a message of which the test has one reference.
func (r *rig) message(payload string, qos byte) *message.Message {
	b := &message.Message{Topic: []byte("some/topic"), Payload: []byte(payload), QoS: qos, Sender: 7}
	m := b.Keep()
	b.Return()
	r.kept = append(r.kept, m)
	return m
}

// deliver delivers a message with a payload to a subscription of QoS 2.
func (r *rig) deliver(payload string, qos byte) Delivery {
	return r.Deliver(r.now, r.message(payload, qos), &SubOptions{QoS: 2}, true)
}

// drain writes down what Next gives.
func (r *rig) drain() (log []string) {
	for {
		d, m, ok := r.Next(r.now)
		if !ok {
			return log
		}
		log = append(log, describe(&d, m))
	}
}

func describe(d *Delivery, m *message.Message) string {
	switch d.Verdict {
	case Send:
		dup := ""
		if d.Dup {
			dup = " dup"
		}
		return fmt.Sprintf("publish %s q%d id%d%s", m.Payload, d.QoS, d.PacketID, dup)
	case SendPubrel:
		return fmt.Sprintf("pubrel id%d", d.PacketID)
	case Dropped:
		return "dropped " + d.Reason.String()
	}
	return "queued"
}

// publish takes an inbound PUBLISH that must be accepted.
func (r *rig) publish(qos byte, id uint16) Inbound {
	r.Helper()
	in, err := r.Publish(inbound(qos, id))
	if err != nil {
		r.Fatalf("PUBLISH refused: %v", err)
	}
	return in
}

func inbound(qos byte, id uint16, properties ...property) *mqtt.Publish {
	p := &mqtt.Publish{QoS: qos, PacketID: id, Topic: []byte("some/topic"), Payload: []byte("x")}
	apply(&p.Properties, properties)
	return p
}

// emitted collects acknowledgements.
type emitted []string

func (e *emitted) emit(t mqtt.Type, id uint16, v Answer) {
	s := fmt.Sprintf("%v %d", t, id)
	if v.Code != mqtt.Success {
		s += " " + v.Code.String()
	}
	if v.Note != 0 {
		s += fmt.Sprintf(" note %d", v.Note)
	}
	*e = append(*e, s)
}

func (r *rig) acknowledge(t Ticket, code mqtt.ReasonCode) []string {
	r.Helper()
	var e emitted
	if err := r.Acknowledge(t, Answer{Code: code}, e.emit); err != nil {
		r.Fatalf("Acknowledge: %v", err)
	}
	return e
}

func wantCode(t *testing.T, err error, code mqtt.ReasonCode) {
	t.Helper()
	e, ok := errors.AsType[*mqtt.Error](err)
	if !ok || e.Code != code {
		t.Errorf("error is %v, want one with the code %v", err, code)
	}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
