package broker

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// A subscriber that does not read costs the buffer that it may have and nobody else anything:
// messages at QoS 0 beyond it are dropped and counted.
func TestSlowReaderLosesQoS0AndNobodyElseDoes(t *testing.T) {
	const limit = 256 << 10
	r := newRig(t, func(o *Options) { o.MaxOutboundBuffer = limit })
	slow := r.dial(t, mqtt.V311, "slow", nil)
	slow.subscribe("flood", 0)
	other := r.dial(t, mqtt.V311, "other", nil)
	other.subscribe("flood", 0)
	payload := make([]byte, 32<<10)
	sent := 0
	for r.Count(DroppedSlow) == 0 {
		if sent++; sent > 4096 {
			t.Fatal("128 MiB were taken for a client that does not read")
		}
		if _, err := r.Publish(&message.Message{Topic: []byte("flood"), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		if m := other.next(); len(m.Payload) != len(payload) {
			t.Fatal("the other subscriber got something else")
		}
	}
	backlog := r.find("slow").link.conn.Backlog()
	if backlog < limit || backlog > limit+2*len(payload) {
		t.Errorf("%d bytes wait for the slow client, want about %d", backlog, limit)
	}
	got := 0
	for got < sent-int(r.Count(DroppedSlow)) { // what was not dropped is still delivered
		slow.next()
		got++
	}
	slow.quiet()
	if _, err := r.Publish(&message.Message{Topic: []byte("flood"), Payload: []byte("again")}); err != nil {
		t.Fatal(err)
	}
	if m := slow.next(); string(m.Payload) != "again" {
		t.Errorf("after it has read, the slow client got %d bytes", len(m.Payload))
	}
}

// At QoS 1 nothing is lost: what the connection does not take waits in the session.
func TestSlowReaderKeepsQoS1(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxOutboundBuffer = 64 << 10 })
	slow := r.dial(t, mqtt.V5, "slow", nil)
	slow.subscribe("flood", 1)
	const messages = 400
	for n := range messages {
		m := &message.Message{Topic: []byte("flood"), Payload: append(make([]byte, 32<<10), fmt.Append(nil, n)...), QoS: 1}
		if _, err := r.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for n := range messages {
		if m := slow.next(); string(m.Payload[32<<10:]) != fmt.Sprint(n) {
			t.Fatalf("message %s came in the place of %d", m.Payload[32<<10:], n)
		}
	}
}

// A big store is replayed whole, at the client's pace, to both qualities of service.
func TestRetainedReplayIsWhole(t *testing.T) {
	const stored = 5000
	r := newRig(t, nil)
	for n := range stored {
		m := &message.Message{Topic: fmt.Appendf(nil, "house/%d/temp", n), Payload: fmt.Append(nil, n), QoS: 1, Retain: true}
		if _, err := r.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	for qos := range byte(2) {
		p := r.dial(t, mqtt.V5, "reader", func(c *mqtt.Connect) {
			c.Properties.ReceiveMaximum = 7 // a small window
			c.Properties.Has = c.Properties.Has.With(mqtt.PropReceiveMaximum)
		})
		p.subscribe("house/+/temp", qos)
		seen := map[string]bool{}
		for range stored {
			m := p.next()
			if !m.Retain || m.QoS != qos || seen[string(m.Topic)] {
				t.Fatalf("QoS %d: %s, retain %v, seen before: %v", m.QoS, m.Topic, m.Retain, seen[string(m.Topic)])
			}
			seen[string(m.Topic)] = true
		}
		p.quiet()
	}
}

// Who unsubscribes in the middle of a replay gets no more of it.
func TestUnsubscribeEndsReplay(t *testing.T) {
	r := newRig(t, nil)
	for n := range 5000 {
		m := &message.Message{Topic: fmt.Appendf(nil, "house/%d", n), Payload: make([]byte, 1000), QoS: 1, Retain: true}
		if _, err := r.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	p := r.dial(t, mqtt.V5, "reader", func(c *mqtt.Connect) {
		c.Properties.ReceiveMaximum = 10
		c.Properties.Has = c.Properties.Has.With(mqtt.PropReceiveMaximum)
	})
	p.subscribe("house/+", 1)
	u := mqtt.Unsubscribe{PacketID: 2, Filters: [][]byte{[]byte("house/+")}}
	p.write(u.Append(nil, p.v))
	got := 0
	for {
		h, body, err := mqtt.ReadPacket(p.r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == mqtt.UNSUBACK {
			break
		}
		var m mqtt.Publish
		if err := m.Decode(p.v, h.Flags, body); err != nil {
			t.Fatal(err)
		}
		p.write(mqtt.AppendAck(nil, p.v, mqtt.PUBACK, m.PacketID, mqtt.Success))
		got++
	}
	for range 20 { // what was in flight or waited may still come
		p.quietOr(func(m *mqtt.Publish) { got++ })
	}
	if got > 50 {
		t.Errorf("%d of 5000 retained messages came although the subscription was taken back at once", got)
	}
}

// quietOr waits for the answer to a ping; messages before it go to visit and are acknowledged.
func (p *peer) quietOr(visit func(*mqtt.Publish)) {
	p.tb.Helper()
	p.write((*mqtt.Pingreq)(nil).Append(nil, p.v))
	for {
		h, body, err := mqtt.ReadPacket(p.r, 1<<20)
		if err != nil {
			p.tb.Fatal(err)
		}
		if h.Type == mqtt.PINGRESP {
			return
		}
		var m mqtt.Publish
		if err := m.Decode(p.v, h.Flags, body); err != nil {
			p.tb.Fatal(err)
		}
		p.write(mqtt.AppendAck(nil, p.v, mqtt.PUBACK, m.PacketID, mqtt.Success))
		visit(&m)
	}
}
