package spec

import (
	"fmt"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.3.1.3: retained messages.
var retainStatements = []statement{
	{v3: "3.3.1-5", v5: "3.3.1-5", says: "A message with RETAIN 1 is stored with its QoS in place of the one before.", test: retainStored},
	{v3: "3.3.1-6", says: "A new subscription is sent the last retained message of each matching topic.", test: retainStored},
	{v3: "3.3.1-7", says: "RETAIN 1 at QoS 0 discards what was retained before.", test: retainAtQoS0},
	{v3: "3.3.1-8", says: "RETAIN is 1 on messages sent for a new subscription.", test: retainFlag},
	{v3: "3.3.1-9", says: "RETAIN is 0 on messages sent for a subscription that was there.", test: retainFlag},
	{v3: "3.3.1-10", v5: "3.3.1-6", says: "An empty message with RETAIN 1 is delivered as usual and removes the retained message.", test: retainRemoved},
	{v3: "3.3.1-11", v5: "3.3.1-7", says: "An empty message is not stored as a retained message.", test: retainRemoved},
	{v3: "3.3.1-12", v5: "3.3.1-8", says: "A message with RETAIN 0 neither stores, removes nor replaces a retained one.", test: retainUntouched},
	{v5: "3.3.1-9", says: "Retain handling 0: retained messages are sent at each subscribe.", test: retainHandling0},
	{v5: "3.3.1-10", says: "Retain handling 1: retained messages are sent when the subscription is new.", test: retainHandling1},
	{v5: "3.3.1-11", says: "Retain handling 2: no retained messages are sent.", test: retainHandling2},
	{v5: "3.3.1-12", says: "Retain as published 0: RETAIN is 0 on forwarded messages.", test: retainAsPublished},
	{v5: "3.3.1-13", says: "Retain as published 1: RETAIN is as it was published.", test: retainAsPublished},
}

// retain stores a message.
func (e *env) retain(p *wire.Conn, topic, payload string, qos byte) {
	e.Helper()
	p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: qos, Retain: true})
	p.Ping() // QoS 0 is not acknowledged
}

func retainStored(e *env) {
	p := e.join("p")
	for qos := range byte(3) {
		e.retain(p, e.topic("a/1"), "old", 2-qos)
		e.retain(p, e.topic("a/1"), "one", qos)
		e.retain(p, e.topic("a/2"), "two", 1)
		e.retain(p, e.topic("b"), "three", 1)
		s := e.join(fmt.Sprintf("s%d", qos))
		s.Subscribe(e.topic("a/+"), 2)
		got := map[string]wire.Packet{}
		for range 2 {
			m := s.Message()
			got[m.Topic] = m
		}
		one, two := got[e.topic("a/1")], got[e.topic("a/2")]
		if string(one.Payload) != "one" || one.QoS() != qos || !one.Retain() || string(two.Payload) != "two" || two.QoS() != 1 {
			e.Errorf("retained at QoS %d and 1, came %v and %v", qos, one, two)
		}
		e.absent(p, s)
		low := e.join("low")
		low.Subscribe(e.topic("a/2"), 0)
		if m := low.Deliver(e.topic("a/2"), "two"); m.QoS() != 0 {
			e.Errorf("for a subscription at QoS 0 came %v", m)
		}
	}
}

func retainAtQoS0(e *env) {
	p := e.join("p")
	topic := e.topic("a")
	e.retain(p, topic, "old", 1)
	e.retain(p, topic, "new", 0)
	s := e.join("s")
	s.Subscribe(topic, 1)
	// The server should keep the new one, and may drop it; the old one is gone.
	for _, m := range drain(e, p, s) {
		if string(m.Payload) != "new" || m.QoS() != 0 {
			e.Errorf("after QoS 0 replaced it, the retained message is %v", m)
		}
	}
}

func retainFlag(e *env) {
	p, topic := e.join("p"), e.topic("a")
	before := e.watch("before", topic)
	for qos := range byte(3) {
		e.retain(p, topic, "x", qos)
		if m := before.Deliver(topic, "x"); m.Retain() {
			e.Errorf("RETAIN is 1 for a subscription that was there: %v", m)
		}
		if m := e.watch("after", topic).Deliver(topic, "x"); !m.Retain() {
			e.Errorf("RETAIN is 0 for a new subscription: %v", m)
		}
	}
}

func retainRemoved(e *env) {
	p, topic := e.join("p"), e.topic("a")
	for qos := range byte(3) {
		e.retain(p, topic, "x", qos)
		s := e.watch("s", topic)
		s.Deliver(topic, "x")
		e.retain(p, topic, "", qos)
		if m := s.Deliver(topic, ""); m.Retain() {
			e.Errorf("RETAIN is 1 on the empty message: %v", m)
		}
		e.absent(p, e.watch("late", topic))
		e.retain(p, topic, "", qos) // again, where there is none
		e.absent(p, e.watch("later", topic))
	}
}

func retainUntouched(e *env) {
	p, topic := e.join("p"), e.topic("a")
	for qos := range byte(3) {
		p.Publish(wire.Publish{Topic: topic, Payload: "passing", QoS: qos})
		p.Ping()
		e.absent(p, e.watch("none", topic))
	}
	e.retain(p, topic, "kept", 1)
	for qos := range byte(3) {
		for _, payload := range []string{"passing", ""} {
			p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: qos})
			p.Ping()
			s := e.watch("s", topic)
			s.Deliver(topic, "kept")
			e.absent(p, s)
		}
	}
}

func retainHandling0(e *env) {
	p := e.join("p")
	for i := range 5 {
		e.retain(p, e.topic(fmt.Sprint("a/", i)), "x", 1)
	}
	s := e.join("s")
	for range 3 {
		s.Subscribe(e.topic("a/#"), 1)
		seen := map[string]bool{}
		for _, m := range drain(e, p, s) {
			if !m.Retain() || seen[m.Topic] {
				e.Errorf("not retained, or twice: %v", m)
			}
			seen[m.Topic] = true
		}
		if len(seen) != 5 {
			e.Errorf("%d of 5 retained messages came", len(seen))
		}
	}
}

func retainHandling1(e *env) {
	p, topic := e.join("p"), e.topic("a")
	e.retain(p, topic, "x", 1)
	s := e.join("s")
	for range 2 {
		s.Subscribe(topic, 1|wire.RetainIfNew)
		s.Deliver(topic, "x")
		s.Subscribe(topic, 2|wire.RetainIfNew)
		e.absent(p, s)
		s.Unsubscribe(topic)
	}
}

func retainHandling2(e *env) {
	p, topic := e.join("p"), e.topic("a")
	e.retain(p, topic, "x", 1)
	s := e.join("s")
	s.Subscribe(topic, 1|wire.RetainNever)
	s.Subscribe(e.topic("#"), 1|wire.RetainNever)
	e.absent(p, s)
	e.retain(p, topic, "y", 1) // a new one comes as any message does
	s.Deliver(topic, "y")
}

func retainAsPublished(e *env) {
	p, topic := e.join("p"), e.topic("a")
	as, plain := e.join("as"), e.join("plain")
	as.Subscribe(topic, 1|wire.RetainAsPublished)
	plain.Subscribe(topic, 1)
	for _, retain := range []bool{true, false, true} {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1, Retain: retain})
		if m := as.Deliver(topic, "x"); m.Retain() != retain {
			e.Errorf("published with RETAIN %t, came %v", retain, m)
		}
		if m := plain.Deliver(topic, "x"); m.Retain() {
			e.Errorf("retain as published is 0, came %v", m)
		}
	}
	if m := e.watch("new", topic).Deliver(topic, "x"); !m.Retain() {
		e.Errorf("the retained message came as %v", m)
	}
}
