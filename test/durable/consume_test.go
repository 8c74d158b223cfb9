package durable

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

func TestMessagesWaitForTheFirstGroup(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 20)
		s := e.client()
		s.Subscribe(e.topic(""), 1)
		for _, n := range numbers(0, 20) {
			s.Deliver(e.topic("k"), n)
		}
	})
}

func TestEveryGroupGetsEveryMessage(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 10)
		var members []*wire.Conn
		for _, filter := range []string{e.topic(""), "$share/a/" + e.topic("#"), "$share/b/" + e.topic("")} {
			s := e.client()
			s.Subscribe(filter, 1) // what no group is left to settle is gone, so nobody takes anything yet
			members = append(members, s)
		}
		for _, s := range members {
			same(e, s.Name, take(s, 10), numbers(0, 10), false)
		}
	})
}

func TestMembersOfAGroupShare(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		var members []*wire.Conn
		for range 3 {
			s := e.client()
			s.Subscribe("$share/g/"+e.topic("#"), 1)
			members = append(members, s)
		}
		const n = 60
		e.fill(c, e.topic("k"), 0, n)
		var all []string
		for i, s := range members {
			s.Ping()
			mine := 0
			for {
				p, err := s.Take(50 * time.Millisecond)
				if err != nil {
					break
				}
				s.Acknowledge(p)
				all = append(all, string(p.Payload))
				mine++
			}
			if mine == 0 {
				e.Errorf("member %d got nothing of %d messages", i, n)
			}
		}
		same(e, "all members", all, numbers(0, n), true)
	})
}

func TestConsumerGroupProperty(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		put(c, e.topic("k"), "m")
		a, b := e.client(), e.client()
		a.Subscribe(e.topic("#"), 1, wire.User("consumer-group", "a"))
		b.Subscribe(e.topic("#"), 1, wire.User("consumer-group", "b"))
		a.Deliver(e.topic("k"), "m")
		b.Deliver(e.topic("k"), "m")
		s := e.client()
		s.Subscribe("$share/a/"+e.topic("#"), 1) // the same group by another way
		quiet(s, 50*time.Millisecond)
		e.denied(e.client(), e.topic("#"), 0x83, wire.User("consumer-group", "a/b"))
	})
}

// denied expects that a subscription is refused in the SUBACK.
func (e *env) denied(c *wire.Conn, filter string, code byte, props ...wire.Prop) {
	e.Helper()
	id := c.ID()
	c.Write(wire.Subscribe(c.Version, id, []wire.Sub{{Filter: filter, Options: 1}}, props...))
	a := c.Await(wire.SUBACK)
	if c.Version != wire.V5 {
		code = 0x80
	} else if a.Props.Text(wire.ReasonString) == "" {
		e.Errorf("no reason in %v", a)
	}
	if a.ID != id || len(a.Codes) != 1 || a.Codes[0] != code {
		e.Errorf("subscription to %s: got %v, want code %#02x", filter, a, code)
	}
}

func TestAGroupHasOneFilter(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		s := e.client()
		s.Subscribe("$share/eu/"+e.topic("eu/#"), 1)
		put(c, e.topic("us/1"), "not for eu")
		put(c, e.topic("eu/1"), "m1")
		s.Deliver(e.topic("eu/1"), "m1")
		quiet(s, 50*time.Millisecond)
		e.denied(e.client(), "$share/eu/"+e.topic("us/#"), 0x8F)
		e.denied(e.client(), "$share/eu/"+e.topic(""), 0x8F)
		other := e.client()
		other.Subscribe("$share/eu/"+e.topic("eu/#"), 1)
	})
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	both(t, func(e *env) {
		for _, filter := range []string{e.topic(""), "$share/g/" + e.topic("#"), "$stream/" + e.queue, "$queue/+", "$queue/#", "$queue/a b", "$queue/"} {
			e.denied(e.client(), filter, 0x8F)
		}
	}, "queues.auto_create=false")
}

// One SUBSCRIBE may have filters of both kinds; each has its own code, in order.
func TestMixedSubscribe(t *testing.T) {
	both(t, func(e *env) {
		s, c := e.client(), e.client()
		s.Write(wire.Subscribe(e.version, 9, []wire.Sub{{Filter: "plain", Options: 0}, {Filter: e.topic("#"), Options: 1}, {Filter: "$queue/+", Options: 2}, {Filter: "plain/2", Options: 2}}))
		a := s.Expect(wire.SUBACK)
		refused := byte(0x8F)
		if !e.v5() {
			refused = 0x80
		}
		if got, want := fmt.Sprint(a.Codes), fmt.Sprint([]byte{0, 1, refused, 2}); got != want {
			e.Errorf("codes %v, want %v", got, want)
		}
		put(c, "plain/2", "m1")
		put(c, e.topic("k"), "m2")
		same(e, "both", take(s, 2), []string{"m1", "m2"}, true)
	})
}

func TestStartOfANewGroup(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 3)
		time.Sleep(20 * time.Millisecond)
		middle := time.Now()
		time.Sleep(20 * time.Millisecond)
		e.fill(c, e.topic("k"), 3, 6)
		for start, first := range map[string]int{
			"earliest": 0, "latest": 6, "offset:2": 2, "time:" + middle.Format(time.RFC3339Nano): 3, fmt.Sprint("time:", middle.UnixMilli()): 3,
		} {
			s := e.client()
			s.Subscribe("$share/g"+fmt.Sprint(first, len(start))+"/"+e.topic("#"), 1, wire.User("start", start))
			same(e, start, take(s, 6-first), numbers(first, 6), false)
			quiet(s, 20*time.Millisecond)
		}
		for _, start := range []string{"", "now", "offset:x", "offset:-1", "time:yesterday"} {
			e.denied(e.client(), e.topic("#"), 0x83, wire.User("start", start))
		}
	}, "queues.defaults.retention=log")
}

func TestStreamsReadEverything(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 5)
		for range 2 {
			s := e.client()
			s.Subscribe("$stream/"+e.queue+"/#", 1)
			for _, n := range numbers(0, 5) {
				s.Deliver("$stream/"+e.queue+"/k", n)
			}
		}
	}, "queues.defaults.retention=log")
}

func TestStreamOffsets(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 3)
		time.Sleep(20 * time.Millisecond)
		middle := time.Now()
		time.Sleep(20 * time.Millisecond)
		e.fill(c, e.topic("k"), 3, 6)
		s := e.client()
		for _, o := range []struct {
			offset string
			first  int
		}{{"earliest", 0}, {"latest", 6}, {"4", 4}, {middle.Format(time.RFC3339Nano), 3}, {"earliest", 0}} {
			s.Subscribe("$stream/"+e.queue, 1, wire.User("stream-offset", o.offset)) // the cursor moves
			same(e, o.offset, take(s, 6-o.first), numbers(o.first, 6), false)
			quiet(s, 20*time.Millisecond)
		}
		e.denied(s, "$stream/"+e.queue, 0x83, wire.User("stream-offset", "somewhere"))
	}, "queues.defaults.retention=log")
}

// The cursor of a stream belongs to the session: it goes on where it was, and ends with it.
func TestStreamCursorIsOfTheSession(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic("k"), 0, 4)
		s, _ := e.stay("reader")
		s.Subscribe("$stream/"+e.queue, 1)
		same(e, "first", take(s, 4), numbers(0, 4), false)
		s.Ping()
		s.Close()
		e.fill(c, e.topic("k"), 4, 6)
		s, ack := e.stay("reader")
		if ack.Present != 1 {
			e.Fatalf("the session is gone: %v", ack)
		}
		same(e, "resumed", take(s, 2), numbers(4, 6), false)
	}, "queues.defaults.retention=log")
}

func TestPrefetchIsReceiveMaximum(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		e.fill(c, e.topic(""), 0, 30)
		s := e.client(wire.Num(wire.ReceiveMaximum, 3))
		s.Subscribe(e.topic("#"), 1)
		var held []wire.Packet
		for range 3 {
			held = append(held, s.Expect(wire.PUBLISH))
		}
		quiet(s, 50*time.Millisecond)
		var got []string
		for len(held) > 0 {
			got = append(got, string(held[0].Payload))
			s.Acknowledge(held[0])
			held = held[1:]
			if len(got) <= 27 {
				held = append(held, s.Expect(wire.PUBLISH))
			}
		}
		same(e, "all", got, numbers(0, 30), true)
	}, ten)
}

func TestDeliveryTellsItsPlace(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		before := time.Now().UnixMilli()
		a := put(c, e.topic("eu/1"), "m", wire.User("color", "red"), wire.Text(wire.ContentType, "text/plain"))
		s := e.client()
		s.Subscribe(e.topic("#"), 1)
		m := s.Message()
		p1, o1 := place(e, a)
		p2, o2 := place(e, m)
		if p1 != p2 || o1 != o2 {
			e.Errorf("delivered from %d of partition %d, stored at %d of %d", o2, p2, o1, p1)
		}
		var at int64
		if _, err := fmt.Sscan(user(m, "timestamp"), &at); err != nil || at < before || at > time.Now().UnixMilli() {
			e.Errorf("timestamp of %v", m)
		}
		if user(m, "color") != "red" || m.Props.Text(wire.ContentType) != "text/plain" || m.Topic != e.topic("eu/1") {
			e.Errorf("the publisher's own are not all in %v", m)
		}
		if user(m, "delivery-count") != "" || user(m, "source-topic") != "" {
			e.Errorf("what the first delivery has not: %v", m)
		}
	}, ten)
}

func TestQoS0SubscriberSettlesByBeingWrittenTo(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 0)
		e.fill(c, e.topic("k"), 0, 5)
		for _, n := range numbers(0, 5) {
			p := s.Expect(wire.PUBLISH)
			if p.QoS() != 0 || string(p.Payload) != n {
				e.Fatalf("got %v, want %s at QoS 0", p, n)
			}
		}
		s.Close()
		other := e.client()
		other.Subscribe(e.topic("#"), 1)
		quiet(other, 50*time.Millisecond)
	})
}

func TestKeyOrderKeepsAKeyWithOneMember(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		var members []*wire.Conn
		for range 2 {
			s := e.client()
			s.Subscribe(e.topic("#"), 1)
			members = append(members, s)
		}
		for round := range 3 {
			for k := range 8 {
				put(c, e.topic(fmt.Sprint("k", k)), fmt.Sprint(round))
			}
		}
		where, round := map[string]int{}, map[string]int{}
		for left := 24; left > 0; {
			for i, s := range members {
				p, err := s.Take(20 * time.Millisecond)
				if err != nil || p.Type != wire.PUBLISH {
					continue
				}
				if had, known := where[p.Topic]; known && had != i {
					e.Errorf("%s at members %d and %d", p.Topic, had, i)
				}
				if want := fmt.Sprint(round[p.Topic]); string(p.Payload) != want {
					e.Fatalf("%s: message %s, want %s", p.Topic, p.Payload, want)
				}
				where[p.Topic] = i
				round[p.Topic]++
				// While this one is out, the next of its key is not.
				s.Acknowledge(p)
				left--
			}
		}
		seen := map[int]bool{}
		for _, i := range where {
			seen[i] = true
		}
		if len(seen) != 2 {
			e.Errorf("all keys at one member: %v", where)
		}
	}, "queues.defaults.dispatch=key_ordered")
}

func TestUnsubscribeEndsIt(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m1")
		first := s.Expect(wire.PUBLISH) // not settled
		s.Unsubscribe(e.topic("#"))
		put(c, e.topic("k"), "m2")
		quiet(s, 50*time.Millisecond)
		other := e.client()
		other.Subscribe(e.topic("#"), 1)
		same(e, "released at once", take(other, 2), []string{"m1", "m2"}, false)
		s.Acknowledge(first) // too late: it does nothing
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m3")
	})
}

// Subscribing again with the same filter changes the options and keeps what is out.
func TestSubscribeAgain(t *testing.T) {
	both(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		put(c, e.topic("k"), "m1")
		first := s.Expect(wire.PUBLISH)
		s.Subscribe(e.topic("#"), 0)
		quiet(s, 30*time.Millisecond)
		s.Acknowledge(first)
		put(c, e.topic("k"), "m2")
		if p := s.Expect(wire.PUBLISH); p.QoS() != 0 || string(p.Payload) != "m2" {
			e.Errorf("after the change: %v", p)
		}
	})
}
