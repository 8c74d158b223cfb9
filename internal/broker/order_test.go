package broker

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// A message for many is mailed to the other loops, one for few is written by the publisher's own.
// Whoever gets both from one publisher gets them in the order of publishing ([MQTT-4.6.0-5]).
func TestOrderAcrossWideAndNarrowFanOut(t *testing.T) {
	const receivers, rounds = 2 * spreadFrom, 400
	r := newRig(t, nil)
	peers := make([]*peer, receivers)
	for i := range peers {
		peers[i] = r.dial(t, mqtt.V311, fmt.Sprint("receiver-", i), nil)
		peers[i].subscribe("wide", 0)
		peers[i].subscribe(fmt.Sprintf("narrow/%d", i), 0)
	}
	publisher := r.dial(t, mqtt.V311, "publisher", nil)
	var sent [receivers][]uint32 // what each is to get
	var out []byte
	for n := range uint32(rounds) {
		payload := binary.BigEndian.AppendUint32(nil, n)
		// Two wide ones and then a narrow one at once, while the wide ones may still be in the mail.
		if n%3 < 2 {
			for i := range sent {
				sent[i] = append(sent[i], n)
			}
			p := mqtt.Publish{Topic: []byte("wide"), Payload: payload}
			out = p.Append(out, mqtt.V311)
			continue
		}
		to := int(n*7) % receivers
		sent[to] = append(sent[to], n)
		p := mqtt.Publish{Topic: fmt.Appendf(nil, "narrow/%d", to), Payload: payload}
		out = p.Append(out, mqtt.V311)
	}
	publisher.write(out)
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			for _, want := range sent[i] {
				var m mqtt.Publish
				h, body, err := mqtt.ReadPacket(p.r, 1<<20)
				if err == nil {
					err = m.Decode(p.v, h.Flags, body)
				}
				if err != nil {
					t.Errorf("receiver %d: %v", i, err)
					return
				}
				if got := binary.BigEndian.Uint32(m.Payload); got != want {
					t.Errorf("receiver %d got message %d where %d was due", i, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What a client publishes last before it leaves arrives, though it comes back at once and so takes
// its own session over while the message is still unread.
func TestTakeoverReadsWhatWasSent(t *testing.T) {
	r := newRig(t, nil)
	sub := r.dial(t, mqtt.V311, "subscriber", nil)
	sub.subscribe("last/words", 0)
	for n := range 100 {
		old := r.dial(t, mqtt.V5, "mover", nil)
		m := mqtt.Publish{Topic: []byte("last/words"), Payload: fmt.Append(nil, n)}
		old.write(m.Append(nil, mqtt.V5))
		r.dial(t, mqtt.V5, "mover", nil)
		if got := sub.next(); string(got.Payload) != fmt.Sprint(n) {
			t.Fatalf("round %d: got %s", n, got.Payload)
		}
		old.c.Close()
	}
}

// Many connections that fight for one client identifier: one of them has it in the end, and the
// client exists once.
func TestTakeoverStorm(t *testing.T) {
	r := newRig(t, nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				p := r.dial(t, mqtt.V5, "contested", nil)
				p.c.Close()
			}
		})
	}
	wg.Wait()
	last := r.dial(t, mqtt.V5, "contested", nil)
	last.quiet()
	if n := r.clients.count(); n != 1 {
		t.Fatalf("%d clients in the registry, want 1", n)
	}
	if n := r.connected.Load(); n != 1 {
		t.Fatalf("%d clients count as connected, want 1", n)
	}
}
