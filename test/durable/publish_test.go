package durable

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

const ten = "queues.defaults.partitions=10"

func TestPublishIsAcknowledgedWithItsPlace(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		for i := range 3 {
			if p, o := place(e, put(c, e.topic("k"), "m")); p != 0 || o != i {
				e.Errorf("message %d is at %d of partition %d", i, o, p)
			}
		}
		// A client that does not want such properties gets none ([MQTT-3.1.2-29]).
		c = e.client(wire.Num(wire.RequestProblemInfo, 0))
		if a := put(c, e.topic("k"), "m"); len(a.Props) > 0 {
			e.Errorf("unwanted properties: %v", a)
		}
	})
}

func TestPartitionFollowsTheKey(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		byKey, seen := map[string]int{}, map[int]bool{}
		for i := range 60 {
			key := fmt.Sprint("key/", i%20)
			p, _ := place(e, put(c, e.topic(key), "m"))
			if had, again := byKey[key]; again && had != p {
				e.Errorf("key levels %s in partitions %d and %d", key, had, p)
			}
			byKey[key], seen[p] = p, true
			// The property counts above the levels.
			if other, _ := place(e, put(c, e.topic(fmt.Sprint(i)), "m", wire.User("partition-key", key))); other != p {
				e.Errorf("partition-key %s in partition %d, the same key as levels in %d", key, other, p)
			}
		}
		if len(seen) < 5 {
			e.Errorf("20 keys are in %d of 10 partitions", len(seen))
		}
	}, ten)
}

func TestWithoutAKeyMessagesAreSpread(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		count := map[int]int{}
		for range 50 {
			p, _ := place(e, put(c, e.topic(""), "m"))
			count[p]++
		}
		for p := range 10 {
			if count[p] != 5 {
				e.Fatalf("50 messages over 10 partitions: %v", count)
			}
		}
	}, ten)
}

func TestDedupIDIsStoredOnce(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		first := put(c, e.topic(""), "m1", wire.User("dedup-id", "a"))
		put(c, e.topic(""), "m2", wire.User("dedup-id", "b"))
		again := put(c, e.topic(""), "m3", wire.User("dedup-id", "a"))
		p1, o1 := place(e, first)
		if p2, o2 := place(e, again); p1 != p2 || o1 != o2 {
			e.Errorf("the repeat is told to be at %d of partition %d, the first is at %d of %d", o2, p2, o1, p1)
		}
		s := e.client()
		s.Subscribe(e.topic("#"), 1)
		same(e, "stored", take(s, 2), []string{"m1", "m2"}, true)
		quiet(s, 50*time.Millisecond)
	}, ten)
}

func TestDedupIDMayComeAgainAfterTheWindow(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		_, first := place(e, put(c, e.topic(""), "m", wire.User("dedup-id", "a")))
		time.Sleep(60 * time.Millisecond)
		if _, o := place(e, put(c, e.topic(""), "m", wire.User("dedup-id", "a"))); o == first {
			e.Error("the identifier still keeps others out")
		}
	}, "queues.defaults.dedup_window=50ms")
}

func TestDelayedMessagesComeLater(t *testing.T) {
	only5(t, func(e *env) {
		c, s := e.client(), e.client()
		s.Subscribe(e.topic("#"), 1)
		begin := time.Now()
		put(c, e.topic("k"), "later", wire.User("delay", "300ms"))
		put(c, e.topic("k"), "now")
		same(e, "order", take(s, 2), []string{"now", "later"}, false)
		if took := time.Since(begin); took < 299*time.Millisecond { // the broker's clock has whole milliseconds
			e.Errorf("a delay of 300ms took %v", took)
		}
		e.refuses(c, wire.Publish{Topic: e.topic("k"), Props: []wire.Prop{wire.User("delay", "soon")}}, 0x83)
	})
}

func TestExpiredMessagesAreNotDelivered(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		put(c, e.topic("k"), "gone", wire.Num(wire.MessageExpiry, 1))
		put(c, e.topic("k"), "here", wire.Num(wire.MessageExpiry, 100))
		time.Sleep(1100 * time.Millisecond)
		s := e.client()
		s.Subscribe(e.topic("#"), 1)
		m := s.Message()
		if string(m.Payload) != "here" {
			e.Fatalf("delivered %v", m)
		}
		if left := m.Props.Int(wire.MessageExpiry, 0); left == 0 || left > 99 {
			e.Errorf("%d s are told to be left of 100 after more than one", left)
		}
	})
}

func TestCaptureStoresAndDelivers(t *testing.T) {
	both(t, func(e *env) {
		reader, s, c := e.client(), e.join(wire.V5), e.client()
		reader.Subscribe("sensors/+/t", 1)
		put(c, "sensors/a/t", "m1")
		put(c, "sensors/a/humidity", "not captured")
		c.Publish(wire.Publish{Topic: "sensors/b/t", Payload: "m2", QoS: 2})
		reader.Deliver("sensors/a/t", "m1")
		reader.Deliver("sensors/b/t", "m2")
		s.Subscribe("$queue/log/#", 1)
		for _, want := range [][2]string{{"sensors/a/t", "m1"}, {"sensors/b/t", "m2"}} {
			if m := s.Deliver("$queue/log/"+want[0], want[1]); user(m, "source-topic") != want[0] {
				e.Errorf("source-topic in %v, want %s", m, want[0])
			}
		}
		quiet(s, 50*time.Millisecond)
	}, "queues.declared.log.capture=sensors/+/t")
}

// The acknowledgement of a captured message waits for the store, and one that the queue refuses is refused.
func TestCaptureIsPartOfTheAcknowledgement(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		if a := put(c, "s", "m1"); e.v5() {
			if p, o := place(e, a); p != 0 || o != 0 {
				e.Errorf("stored at %d of partition %d", o, p)
			}
		}
		e.refuses(c, wire.Publish{Topic: "s", Payload: "m2"}, 0x97)
	}, "queues.declared.log.capture=s", "queues.declared.log.max_depth=1")
}

func TestWillsAreCaptured(t *testing.T) {
	both(t, func(e *env) {
		c := wire.Dial(e, wire.TCP, e.node.TCP, e.version, "dies")
		c.Join(wire.Connect{ClientID: e.queue + "dies", Clean: true, Will: &wire.Will{Topic: "wills/x", Payload: "died"}})
		c.Close()
		s := e.client()
		s.Subscribe("$queue/log/#", 1)
		s.Deliver("$queue/log/wills/x", "died")
	}, "queues.declared.log.capture=wills/#")
}

func TestQoS2IsStoredOnce(t *testing.T) {
	both(t, func(e *env) {
		c, _ := e.stay("p")
		p := wire.Publish{Topic: e.topic("k"), Payload: "m", QoS: 2, ID: 7}
		c.Write(p.Bytes(e.version))
		c.Expect(wire.PUBREC)
		p.Dup = true
		c.Write(p.Bytes(e.version)) // again on the same connection
		c.Expect(wire.PUBREC)
		c.Close()
		c, _ = e.stay("p") // and on the next
		c.Write(p.Bytes(e.version))
		c.Expect(wire.PUBREC)
		taker, _ := e.stay("p") // and after a takeover
		taker.Write(p.Bytes(e.version))
		taker.Expect(wire.PUBREC)
		taker.Write(wire.Ack(wire.PUBREL, 7))
		taker.Expect(wire.PUBCOMP)
		p.Dup, p.Payload = false, "next" // the identifier is free
		taker.Publish(p)
		s := e.client()
		s.Subscribe(e.topic("#"), 1)
		same(e, "stored", take(s, 2), []string{"m", "next"}, false)
		quiet(s, 50*time.Millisecond)
	})
}

func TestQoS0IsStored(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		c.Publish(wire.Publish{Topic: e.topic("k"), Payload: "m0"})
		put(c, e.topic("k"), "m1")
		s := e.client()
		s.Subscribe(e.topic("#"), 1)
		same(e, "stored", []string{string(s.Message().Payload), string(s.Message().Payload)}, []string{"m0", "m1"}, false)
	})
}

// Messages of one publisher are acknowledged in order, whatever becomes of each and wherever they go.
func TestAcknowledgementsLeaveInOrder(t *testing.T) {
	only5(t, func(e *env) {
		c := e.client()
		var packets [][]byte
		for i := range 100 {
			topic := e.topic(fmt.Sprint("k", i))
			if i%3 == 0 {
				topic = "ordinary"
			}
			packets = append(packets, wire.Publish{Topic: topic, QoS: 1, ID: uint16(i + 1)}.Bytes(e.version))
			if len(packets) == 50 {
				c.Write(packets...)
				packets = nil
				for k := range 50 {
					if a := c.Expect(wire.PUBACK); int(a.ID) != i-49+k+1 {
						e.Fatalf("acknowledgement %v, want that of %d", a, i-49+k+1)
					}
				}
			}
		}
	}, ten)
}

func TestRefusals(t *testing.T) {
	t.Run("unknown queue", func(t *testing.T) {
		both(t, func(e *env) {
			for _, qos := range []byte{1, 2} {
				e.refuses(e.client(), wire.Publish{Topic: e.topic("k"), QoS: qos}, 0x90)
			}
			e.client().Publish(wire.Publish{Topic: e.topic("k")}) // nothing to answer
		}, "queues.auto_create=false")
	})
	t.Run("bad name", func(t *testing.T) {
		both(t, func(e *env) {
			long := make([]byte, 129)
			for i := range long {
				long[i] = 'a'
			}
			for _, name := range []string{"", "a b", "ä", "..\\x", string(long)} {
				e.refuses(e.client(), wire.Publish{Topic: "$queue/" + name + "/k"}, 0x90)
			}
		})
	})
	t.Run("full", func(t *testing.T) {
		both(t, func(e *env) {
			c := e.client()
			e.fill(c, e.topic("k"), 0, 3)
			e.refuses(c, wire.Publish{Topic: e.topic("k"), Payload: "refused"}, 0x97)
			s := e.client()
			s.Subscribe(e.topic("#"), 1)
			same(e, "stored", take(s, 3), numbers(0, 3), false)
			quiet(s, 50*time.Millisecond)
			// With room again, it goes on.
			put(e.client(), e.topic("k"), "after")
			same(e, "after", take(s, 1), []string{"after"}, false)
		}, "queues.defaults.max_depth=3")
	})
	t.Run("drop oldest", func(t *testing.T) {
		both(t, func(e *env) {
			c := e.client()
			e.fill(c, e.topic("k"), 0, 5)
			s := e.client()
			s.Subscribe(e.topic("#"), 1)
			same(e, "kept", take(s, 3), numbers(2, 5), false)
		}, "queues.defaults.max_depth=3", "queues.defaults.overflow=drop_oldest")
	})
	t.Run("too large", func(t *testing.T) {
		both(t, func(e *env) {
			c := e.client()
			put(c, e.topic("k"), "fits")
			e.refuses(c, wire.Publish{Topic: e.topic("k"), Payload: string(make([]byte, 200))}, 0x97)
		}, "queues.defaults.max_message_size=100")
	})
	t.Run("not UTF-8", func(t *testing.T) {
		only5(t, func(e *env) {
			c := e.client()
			put(c, e.topic("k"), "größer", wire.Num(wire.PayloadFormat, 1))
			e.refuses(c, wire.Publish{Topic: e.topic("k"), Payload: "\xff", Props: []wire.Prop{wire.Num(wire.PayloadFormat, 1)}}, 0x99)
		})
	})
	t.Run("too many queues", func(t *testing.T) {
		both(t, func(e *env) {
			c := e.client()
			put(c, "$queue/a", "m")
			put(c, "$queue/b", "m")
			e.refuses(c, wire.Publish{Topic: "$queue/c"}, 0x97)
		}, "queues.max_queues=2")
	})
	t.Run("too few replicas", func(t *testing.T) {
		both(t, func(e *env) {
			e.refuses(e.client(), wire.Publish{Topic: e.topic("k")}, 0x83)
		}, "queues.defaults.min_isr=2")
	})
}
