package session

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// [MQTT-3.8.4-8], 4.3
func TestDeliveryHasTheLowerQoS(t *testing.T) {
	for message := range byte(3) {
		for granted := range byte(3) {
			r := newRig(t)
			r.connect(connect5(true))
			d := r.Deliver(r.now, r.message("x", message), &SubOptions{QoS: granted}, true)
			if d.Verdict != Send || d.QoS != min(message, granted) || (d.PacketID != 0) != (d.QoS > 0) || d.Dup {
				t.Errorf("published at %d, granted %d: %+v", message, granted, d)
			}
		}
	}
}

// [MQTT-3.3.1-8], [MQTT-3.3.1-12], [MQTT-3.3.1-13]; 3.1.1: [MQTT-3.3.1-9]
func TestRetainFlagOfDeliveries(t *testing.T) {
	for _, c := range []struct {
		kind                                   string
		published, asPublished, stored, retain bool
	}{
		{"5.0", true, false, false, false},
		{"5.0", true, true, false, true},
		{"5.0", false, true, false, false},
		{"5.0", true, false, true, true},
		{"5.0", true, true, true, true},
		{"3.1.1", true, false, false, false},
		{"3.1.1", true, false, true, true},
		{"3.1.1", true, true, false, false}, // a subscription that was made with 5.0
	} {
		for _, qos := range []byte{0, 1} {
			r := newRig(t)
			r.connect(kinds[c.kind]())
			m := &message.Message{Topic: []byte("t"), Retain: c.published, QoS: qos}
			d := r.Deliver(r.now, m, &SubOptions{QoS: 2, RetainAsPublished: c.asPublished, Retained: c.stored}, true)
			m.Return()
			if d.Verdict != Send || d.Retain != c.retain {
				t.Errorf("%+v: retain is %v", c, d.Retain)
			}
		}
	}
}

// [MQTT-3.8.3-3]
func TestNoLocal(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	own, other := &message.Message{Sender: r.Number}, &message.Message{Sender: r.Number + 1}
	o := &SubOptions{NoLocal: true}
	want(t, "own message", r.Deliver(r.now, own, o, true).Reason, OwnMessage)
	want(t, "own message, no local off", r.Deliver(r.now, own, &SubOptions{}, true).Verdict, Send)
	want(t, "message of another client", r.Deliver(r.now, other, o, true).Verdict, Send)
}

// [MQTT-3.3.4-3], [MQTT-3.3.4-4]
func TestSubscriptionIdentifiers(t *testing.T) {
	several := &More{IDs: []uint32{3, 4, 3}}
	for _, c := range []struct {
		kind string
		o    SubOptions
		want []uint32
	}{
		{"5.0", SubOptions{}, nil},
		{"5.0", SubOptions{ID: 9}, []uint32{9}},
		{"5.0", SubOptions{ID: 9, More: several}, []uint32{3, 4, 3}},
		{"5.0", SubOptions{ID: 9, More: &More{Source: "x"}}, []uint32{9}},
		{"3.1.1", SubOptions{ID: 9, More: several}, nil}, // subscribed with 5.0
	} {
		r := newRig(t)
		r.connect(kinds[c.kind]())
		c.o.QoS = 1
		d := r.Deliver(r.now, r.message("now", 1), &c.o, true)
		want(t, "sent at once", d.SubscriptionIDs, c.want)
		r.Deliver(r.now, r.message("later", 1), &c.o, false)
		r.reconnect(kinds[c.kind]())
		d, _, _ = r.Next(r.now)
		want(t, "sent again", fmt.Sprint(d.Dup, d.SubscriptionIDs), fmt.Sprint(true, c.want))
		d, _, _ = r.Next(r.now)
		want(t, "waited", fmt.Sprint(d.Dup, d.SubscriptionIDs), fmt.Sprint(false, c.want))
	}
}

func TestPlainDeliveriesAreTheSameForAll(t *testing.T) {
	r := newRig(t)
	r.limits.TopicAliasMaximumOut = 5
	r.connect(connect5(true))
	d := r.Deliver(r.now, r.message("x", 2), &SubOptions{}, true)
	want(t, "QoS 0", d.Plain(), true)
	d = r.Deliver(r.now, r.message("x", 2), &SubOptions{ID: 1}, true)
	want(t, "identifier", d.Plain(), false)
	d = r.Deliver(r.now, r.message("x", 1), &SubOptions{QoS: 1}, true)
	want(t, "QoS 1", d.Plain(), false)
	r.reconnect(connect5(true, topicAliasMaximum(5)))
	d = r.Deliver(r.now, r.message("x", 2), &SubOptions{}, true)
	want(t, "alias", d.Plain(), false)
}

// [MQTT-3.1.2-24], [MQTT-3.1.2-25]
func TestMaximumPacketSizeOfTheClient(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		r := newRig(t)
		m := r.message("payload", qos)
		m.Props = []byte{1, 1}
		o := &SubOptions{QoS: 2, ID: 200}
		head := mqtt.PublishHead{QoS: qos, PacketID: 1, Expiry: -1, SubscriptionIDs: []uint32{200}}
		size := uint32(len(mqtt.AppendPublish(nil, mqtt.V5, head, m.Topic, m.Props, m.Payload)))

		r.connect(connect5(false, sessionExpiry(9), maximumPacketSize(size)))
		want(t, "just fits", r.Deliver(r.now, m, o, true).Verdict, Send)
		want(t, "waits", r.Deliver(r.now, m, o, false).Verdict, map[byte]Verdict{0: Dropped, 1: Queued, 2: Queued}[qos])
		if qos == 0 {
			want(t, "as it could not be sent", r.Load(), 0)
		}
		// A smaller client takes the session over: what it cannot take counts as delivered.
		r.reconnect(connect5(false, sessionExpiry(9), maximumPacketSize(size-1)))
		want(t, "too large", r.Deliver(r.now, m, o, true).Reason, map[byte]Reason{0: TooLarge, 1: NotDropped, 2: NotDropped}[qos])
		if qos > 0 {
			want(t, "given up", r.drain(), []string{"dropped too large", "dropped too large", "dropped too large"})
			want(t, "sent at once", r.Deliver(r.now, m, o, true).Reason, TooLarge)
		}
		want(t, "load", r.Load(), 0)
	}
}

// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
func TestMessageExpiry(t *testing.T) {
	r := newRig(t)
	c := connect5(false, sessionExpiry(Never))
	r.connect(c)
	expiring := func(payload string, ms int64) *message.Message {
		m := r.message(payload, 1)
		m.Expires = r.now + ms
		return m
	}
	o := &SubOptions{QoS: 1}
	want(t, "none", r.Deliver(r.now, r.message("a", 1), o, true).Expiry, -1)
	want(t, "rounded up", r.Deliver(r.now, expiring("b", 9_001), o, true).Expiry, 10)
	want(t, "over", r.Deliver(r.now, expiring("c", 0), o, true).Reason, Expired)
	r.Close(r.now, Lost)
	for i, ms := range []int64{5_000, 20_000, 7_000, 30_000} {
		r.Deliver(r.now, expiring(fmt.Sprint("late", i), ms), o, true)
	}
	r.now += 10_000
	r.connect(c)
	// "b" was sent once, so that its delivery has started: it is sent again though it expired.
	want(t, "after ten seconds", r.drain(), []string{
		"publish a q1 id1 dup", "publish b q1 id2 dup", "dropped expired", "publish late1 q1 id3", "dropped expired", "publish late3 q1 id4",
	})
	r.reconnect(c)
	d, _, _ := r.Next(r.now)
	want(t, "remaining", d.Expiry, -1)
	d, _, _ = r.Next(r.now)
	want(t, "remaining of one that is over", d.Expiry, 0)
	d, _, _ = r.Next(r.now)
	want(t, "remaining", d.Expiry, 10)
}

func TestPurgeDropsWhatExpired(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["3.1.1"]())
	r.Close(r.now, Lost)
	for i := range 300 {
		m := r.message(fmt.Sprint(i), 1)
		if i%3 > 0 {
			m.Expires = r.now + 1000*int64(i%3)
		}
		r.Deliver(r.now, m, &SubOptions{QoS: 1}, true)
	}
	bytes := r.QueuedBytes()
	want(t, "too early", r.Purge(r.now+999), 0)
	want(t, "a third", r.Purge(r.now+1000), 100)
	want(t, "another", r.Purge(r.now+9000), 100)
	want(t, "load", r.Load(), 100)
	if got := r.QueuedBytes(); got >= bytes/2 || got <= 0 {
		t.Errorf("%d bytes wait, before they were %d", got, bytes)
	}
	held := 0
	for _, e := range r.out.queue.ring {
		if e.m != nil {
			held++
		}
	}
	want(t, "messages that the ring refers to", held, 100)
	r.connect(kinds["3.1.1"]())
	for i := range 100 {
		_, m, _ := r.Next(r.now)
		if string(m.Payload) != fmt.Sprint(3*i) {
			t.Fatalf("message %q in place %d", m.Payload, i)
		}
	}
}

func TestWhoIsNotThereOrNotReady(t *testing.T) {
	r := newRig(t)
	want(t, "before CONNECT", r.deliver("x", 1).Reason, NotHere)
	r.connect(kinds["5.0"]())
	o := &SubOptions{QoS: 2}
	want(t, "QoS 0, slow", r.Deliver(r.now, r.message("x", 0), o, false).Reason, NotReady)
	want(t, "QoS 1, slow", r.Deliver(r.now, r.message("x", 1), o, false).Verdict, Queued)
	want(t, "QoS 1 behind", r.deliver("y", 1).Verdict, Queued) // order
	want(t, "QoS 0 does not wait", r.deliver("z", 0).Verdict, Send)
	want(t, "when it is ready", r.drain(), []string{"publish x q1 id1", "publish y q1 id2"})
	r.Close(r.now, Lost)
	want(t, "QoS 0, offline", r.deliver("x", 0).Reason, NotHere)
	want(t, "QoS 1, offline", r.deliver("x", 1).Verdict, Queued)
}

func TestQueueIsBounded(t *testing.T) {
	for _, c := range []struct {
		name     string
		messages int
		bytes    int
		overflow Overflow
		want     []string // verdicts of a, bb, ccc, dddd (with a topic of ten bytes)
		left     []string
	}{
		{"nothing waits", 0, 0, DropOldest, []string{"drop", "drop", "drop", "drop"}, nil},
		{"newest", 2, 0, DropNewest, []string{"queued", "queued", "drop", "drop"}, []string{"a", "bb"}},
		{"oldest", 2, 0, DropOldest, []string{"queued", "queued", "queued 1", "queued 1"}, []string{"ccc", "dddd"}},
		{"newest by bytes", 9, 23, DropNewest, []string{"queued", "queued", "drop", "drop"}, []string{"a", "bb"}},
		{"oldest by bytes", 9, 24, DropOldest, []string{"queued", "queued", "queued 2", "queued 1"}, []string{"dddd"}},
		{"too large for the queue", 9, 13, DropOldest, []string{"queued", "queued 1", "queued 1", "drop"}, []string{"ccc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.limits.MaxQueued, r.limits.MaxQueuedBytes, r.limits.Overflow = c.messages, c.bytes, c.overflow
			r.connect(kinds["5.0"]())
			r.Close(r.now, Lost)
			var got []string
			for _, payload := range []string{"a", "bb", "ccc", "dddd"} {
				switch d := r.deliver(payload, 1); {
				case d.Verdict == Dropped && d.Reason == QueueFull:
					got = append(got, "drop")
				case d.Evicted > 0:
					got = append(got, fmt.Sprint("queued ", d.Evicted))
				default:
					got = append(got, "queued")
				}
			}
			want(t, "verdicts", got, c.want)
			r.connect(kinds["5.0"]())
			var left []string
			for {
				_, m, ok := r.Next(r.now)
				if !ok {
					break
				}
				left = append(left, string(m.Payload))
			}
			want(t, "left", left, c.left)
		})
	}
}

// An online client whose window is full has the same queue.
func TestQueueBoundHoldsBehindAFullWindow(t *testing.T) {
	r := newRig(t)
	r.limits.MaxInflight, r.limits.MaxQueued, r.limits.Overflow = 1, 2, DropNewest
	r.connect(kinds["5.0"]())
	var got []Verdict
	for range 5 {
		got = append(got, r.deliver("x", 1).Verdict)
	}
	want(t, "verdicts", got, []Verdict{Send, Queued, Queued, Dropped, Dropped})
}

func TestDeliveryCostsNoAllocation(t *testing.T) {
	for name, kind := range kinds {
		for qos := range byte(3) {
			r := newRig(t)
			r.connect(kind(receiveMaximum(10)))
			m, o := r.message("x", qos), &SubOptions{QoS: 2, ID: 3}
			if n := testing.AllocsPerRun(1000, func() {
				d := r.Deliver(r.now, m, o, true)
				switch qos {
				case 1:
					r.Puback(d.PacketID, mqtt.Success)
				case 2:
					r.Pubrec(d.PacketID, mqtt.Success)
					r.Pubcomp(d.PacketID, mqtt.Success)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations per delivery of QoS %d", name, n, qos)
			}
		}
	}
}

// A window that is always full, with a queue behind it.
func TestQueueCostsNoAllocation(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true, receiveMaximum(1)))
	m, o := r.message("x", 1), &SubOptions{QoS: 1}
	id := r.Deliver(r.now, m, o, true).PacketID
	for range 20 {
		r.Deliver(r.now, m, o, true)
	}
	if n := testing.AllocsPerRun(1000, func() {
		r.Deliver(r.now, m, o, true)
		r.Puback(id, mqtt.Success)
		d, _, _ := r.Next(r.now)
		id = d.PacketID
	}); n != 0 {
		t.Errorf("%v allocations per message through the queue", n)
	}
}

func BenchmarkDeliverQoS0(b *testing.B) {
	for _, version := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		b.Run(fmt.Sprint(version), func(b *testing.B) {
			l := DefaultLimits()
			s := New(&l, "c")
			s.Connect(0, &mqtt.Connect{Version: version, CleanStart: true}, false)
			m, o := &message.Message{Topic: []byte("some/topic"), Payload: make([]byte, 64)}, &SubOptions{}
			for b.Loop() {
				d := s.Deliver(1, m, o, true)
				if d.Verdict != Send {
					b.Fatal(d)
				}
			}
		})
	}
}

func BenchmarkDeliverAndAcknowledge(b *testing.B) {
	for _, qos := range []byte{1, 2} {
		b.Run(fmt.Sprint("QoS", qos), func(b *testing.B) {
			l := DefaultLimits()
			s := New(&l, "c")
			s.Connect(0, &mqtt.Connect{Version: mqtt.V311, CleanStart: true}, false)
			m := (&message.Message{Topic: []byte("some/topic"), Payload: make([]byte, 64), QoS: qos}).Keep()
			o := &SubOptions{QoS: 2}
			b.ReportAllocs()
			for b.Loop() {
				d := s.Deliver(1, m, o, true)
				if qos == 1 {
					s.Puback(d.PacketID, mqtt.Success)
				} else {
					s.Pubrec(d.PacketID, mqtt.Success)
					s.Pubcomp(d.PacketID, mqtt.Success)
				}
			}
		})
	}
}

func BenchmarkPublishAndAcknowledge(b *testing.B) {
	for _, qos := range []byte{1, 2} {
		b.Run(fmt.Sprint("QoS", qos), func(b *testing.B) {
			l := DefaultLimits()
			s := New(&l, "c")
			s.Connect(0, &mqtt.Connect{Version: mqtt.V5, CleanStart: true}, false)
			p := &mqtt.Publish{QoS: qos, PacketID: 4711, Topic: []byte("some/topic")}
			emit := func(mqtt.Type, uint16, Answer) {}
			b.ReportAllocs()
			for b.Loop() {
				in, _ := s.Publish(p)
				s.Acknowledge(in.Ticket, Answer{}, emit)
				if qos == 2 {
					s.Pubrel(4711)
				}
			}
		})
	}
}
