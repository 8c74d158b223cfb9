package durable

import (
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

const slow = "queues.defaults.lease=1h"

func TestSettlingIsForGood(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		both(t, func(e *env) {
			c, s := e.client(), e.client()
			s.Subscribe(e.topic("#"), qos)
			for _, n := range numbers(0, 3) {
				c.Publish(wire.Publish{Topic: e.topic("k"), Payload: n, QoS: qos})
			}
			var got []wire.Packet
			for range 3 {
				got = append(got, s.Expect(wire.PUBLISH))
			}
			s.Acknowledge(got[1]) // settling the second leaves the others alone
			s.Ping()
			s.Close()
			other := e.client()
			other.Subscribe(e.topic("#"), qos)
			same(e, "not settled", take(other, 2), []string{"m0", "m2"}, false)
			quiet(other, 50*time.Millisecond)
		})
	}
}

func TestNackBringsItBackAfterTheBackoff(t *testing.T) {
	only5(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m")
		p := s.Expect(wire.PUBLISH)
		begin := time.Now()
		s.Write(wire.AckCode(wire.PUBACK, p.ID, 0x80))
		p = s.Expect(wire.PUBLISH)
		if took := time.Since(begin); took < 199*time.Millisecond { // the broker's clock has whole milliseconds
			e.Errorf("a backoff of 200ms took %v", took)
		}
		if user(p, "delivery-count") != "2" || p.Flags&8 != 0 {
			e.Errorf("the second delivery: %v", p)
		}
		s.Acknowledge(p)
		quiet(s, 300*time.Millisecond)
	}, slow, "queues.defaults.backoff=200ms")
}

func TestPubrecWithAnErrorIsANack(t *testing.T) {
	only5(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 2)
		c.Publish(wire.Publish{Topic: e.topic("k"), Payload: "m", QoS: 2})
		p := s.Expect(wire.PUBLISH)
		if p.QoS() != 2 {
			e.Fatalf("delivered %v", p)
		}
		s.Write(wire.AckCode(wire.PUBREC, p.ID, 0x83))
		s.Acknowledge(s.Expect(wire.PUBLISH))
		quiet(s, 100*time.Millisecond)
	}, slow, "queues.defaults.backoff=10ms")
}

func TestRejectedMessagesBecomeDeadLetters(t *testing.T) {
	for _, code := range []byte{0x99, 0x90} {
		only5(t, func(e *env) {
			c, s := e.client(), e.client()
			s.Subscribe(e.topic("#"), 1)
			put(c, e.topic("k"), "m0")
			_, offset := place(e, put(c, e.topic("k"), "m1", wire.User("color", "red")))
			s.Acknowledge(s.Expect(wire.PUBLISH))
			p := s.Expect(wire.PUBLISH)
			s.Write(wire.AckCode(wire.PUBACK, p.ID, code))
			d := e.client()
			d.Subscribe("$queue/"+e.queue+".dlq/#", 1)
			l := d.Deliver("$queue/"+e.queue+".dlq/k", "m1")
			if user(l, "dlq-reason") != "rejected" || user(l, "source-queue") != e.queue || user(l, "source-partition") != "0" ||
				user(l, "source-offset") != "1" || offset != 1 || user(l, "color") != "red" {
				e.Errorf("dead letter %v", l)
			}
			quiet(s, 50*time.Millisecond)
		}, slow)
	}
}

func TestMaxDeliveries(t *testing.T) {
	only5(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m")
		for range 3 {
			p := s.Expect(wire.PUBLISH)
			s.Write(wire.AckCode(wire.PUBACK, p.ID, 0x80))
		}
		d := e.client()
		d.Subscribe("$queue/"+e.queue+".dlq", 1)
		if l := d.Message(); user(l, "dlq-reason") != "max_deliveries" {
			e.Errorf("dead letter %v", l)
		}
		quiet(s, 50*time.Millisecond)
	}, slow, "queues.defaults.max_deliveries=3", "queues.defaults.backoff=1ms")
}

// Clients of 3.1.1 cannot refuse; what they leave behind counts as a delivery too.
func TestDisconnectsUseUpDeliveries(t *testing.T) {
	both(t, func(e *env) {
		put(e.client(), e.topic("k"), "m")
		for range 2 {
			s := e.client()
			s.Subscribe(e.topic("#"), 1)
			s.Expect(wire.PUBLISH)
			s.Close()
		}
		d := e.join(wire.V5)
		d.Subscribe("$queue/"+e.queue+".dlq", 1)
		if l := d.Message(); user(l, "dlq-reason") != "max_deliveries" || string(l.Payload) != "m" {
			e.Errorf("dead letter %v", l)
		}
	}, slow, "queues.defaults.max_deliveries=2")
}

func TestDisconnectReleasesAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		e.fill(c, e.topic("k"), 0, 5)
		for range 5 {
			s.Expect(wire.PUBLISH)
		}
		other := e.join(wire.V5)
		other.Subscribe(e.topic("#"), 1)
		quiet(other, 30*time.Millisecond)
		s.Close()
		for _, n := range numbers(0, 5) {
			if p := other.Message(); string(p.Payload) != n || user(p, "delivery-count") != "2" {
				e.Errorf("got %v, want %s as the second delivery", p, n)
			}
		}
	}, slow)
}

// A session that outlives its connection keeps no lease at QoS 1 either, and takes part again when it is back.
func TestPersistentConsumerComesBack(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		s, _ := e.stay("worker")
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m1")
		s.Expect(wire.PUBLISH)
		s.Close()
		other := e.client()
		other.Subscribe(e.topic("#"), 1)
		same(e, "released", take(other, 1), []string{"m1"}, false)
		other.Leave()
		s, ack := e.stay("worker")
		if ack.Present != 1 {
			e.Fatalf("the session is gone: %v", ack)
		}
		put(c, e.topic("k"), "m2")
		same(e, "without subscribing again", take(s, 1), []string{"m2"}, false)
	}, slow)
}

// A message of QoS 2 in flight stays with a session that may come back: under its packet identifier the client would take
// another message for a duplicate.
func TestQoS2InFlightWaitsForItsSession(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		s, _ := e.stay("worker")
		s.Subscribe(e.topic("#"), 2)
		c.Publish(wire.Publish{Topic: e.topic("k"), Payload: "m", QoS: 2})
		p := s.Expect(wire.PUBLISH)
		s.Write(wire.Ack(wire.PUBREC, p.ID))
		s.Expect(wire.PUBREL)
		s.Close()
		other := e.client()
		other.Subscribe(e.topic("#"), 2)
		quiet(other, 50*time.Millisecond)
		s, _ = e.stay("worker")
		s.Expect(wire.PUBREL)
		s.Write(wire.Ack(wire.PUBCOMP, p.ID))
		s.Ping()
		s.Leave()
		quiet(other, 50*time.Millisecond)
	}, slow)
}

func TestLeaseEndsAlsoForTheOnlyMember(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m")
		first := s.Expect(wire.PUBLISH)
		second := s.Expect(wire.PUBLISH)
		if second.ID == first.ID || string(second.Payload) != "m" || second.Flags&8 != 0 {
			e.Errorf("the second delivery %v, the first %v", second, first)
		}
		s.Acknowledge(first) // no longer its own
		third := s.Expect(wire.PUBLISH)
		s.Acknowledge(third)
		quiet(s, 300*time.Millisecond)
	}, "queues.defaults.lease=100ms", "queues.defaults.max_deliveries=0")
}

func TestPausedQueueDeliversNothing(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m")
		quiet(s, 50*time.Millisecond)
	}, "queues.defaults.paused=true")
}
