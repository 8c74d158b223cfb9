package spec

import (
	"fmt"
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 4.3 to 4.6: delivery at QoS 0, 1 and 2, resending, order.
var qosStatements = []statement{
	{v3: "4.3.1-1", v5: "4.3.1-1", says: "QoS 0: the sender sends PUBLISH with QoS 0 and DUP 0.", test: dupAtQoS0},
	{v3: "4.3.2-1", v5: "4.3.2-1 4.3.2-2 4.3.2-3", says: "QoS 1, sender: an unused identifier, DUP 0, unacknowledged until PUBACK.", test: senderQoS1},
	{v3: "4.3.2-2", v5: "4.3.2-4 4.3.2-5", says: "QoS 1, receiver: PUBACK with the identifier; after it the identifier is new.", test: receiverQoS1},
	{v3: "4.3.3-1", v5: "4.3.3-1 4.3.3-2 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6", says: "QoS 2, sender: PUBLISH until PUBREC, then PUBREL until PUBCOMP, never PUBLISH again.", test: senderQoS2},
	{v5: "4.3.3-7", says: "QoS 2, sender: a message that was sent does not expire.", test: sentNotExpired},
	{v3: "4.3.3-2", v5: "4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12", says: "QoS 2, receiver: PUBREC, no duplicates until PUBREL, PUBCOMP; then the identifier is new.", test: receiverQoS2},
	{v5: "4.3.3-9", says: "QoS 2, receiver: after PUBREC with an error the identifier is new.", test: refusedQoS2},
	{v5: "4.3.3-13", says: "QoS 2, receiver: the exchange goes on when the message expired.", test: expiredGoesOn},
	{v3: "4.4.0-1", v5: "4.4.0-1", says: "On reconnect, unacknowledged PUBLISH and PUBREL are sent again with their identifiers (5.0: and never else).", test: resent},
	{v5: "4.4.0-2", says: "A PUBLISH that was refused with PUBACK or PUBREC 0x80 or above is not sent again.", test: refusedNotResent},
	{v3: "4.6.0-1", v5: "4.6.0-1", says: "PUBLISH packets are sent again in their order.", test: resentInOrder},
	{v3: "4.6.0-2", v5: "4.6.0-2", says: "PUBACK packets are sent in the order of the PUBLISH packets.", test: ackOrder},
	{v3: "4.6.0-3", v5: "4.6.0-3", says: "PUBREC packets are sent in the order of the PUBLISH packets.", test: ackOrder},
	{v3: "4.6.0-4", v5: "4.6.0-4", says: "PUBREL packets are sent in the order of the PUBREC packets.", test: pubrelOrder},
	{v3: "4.6.0-5", v5: "4.6.0-6", says: "Every topic is an ordered topic (5.0: on subscriptions that are not shared).", test: messageOrder},
	{v3: "4.6.0-6", v5: "4.6.0-5", says: "Messages of one client on one topic and QoS are delivered in their order.", test: messageOrder},
}

func senderQoS1(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 1)
	p := e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "one", QoS: 1})
	p.Publish(wire.Publish{Topic: topic, Payload: "two", QoS: 1})
	one, two := s.Expect(wire.PUBLISH), s.Expect(wire.PUBLISH)
	if one.ID == 0 || two.ID == 0 || one.ID == two.ID || one.Dup() || two.Dup() || one.QoS() != 1 {
		e.Errorf("the messages are %v and %v", one, two)
	}
	s.Write(wire.Ack(wire.PUBACK, two.ID))
	s.Quiet() // nothing is sent again while the connection lives
	s.Close()
	s, _ = e.resume("s")
	if again := s.Expect(wire.PUBLISH); again.ID != one.ID || string(again.Payload) != "one" || !again.Dup() {
		e.Errorf("not acknowledged was %v, sent again was %v", one, again)
	}
	s.Write(wire.Ack(wire.PUBACK, one.ID))
	s.Quiet()
	s.Close()
	s, _ = e.resume("s")
	s.Quiet()
}

func receiverQoS1(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	for _, dup := range []bool{false, true, true, false} { // the same identifier: a new message each time
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1, ID: 7, Dup: dup})
		s.Deliver(topic, "x")
	}
	e.absent(p, s)
}

func senderQoS2(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 2)
	p := e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "one", QoS: 2})
	p.Publish(wire.Publish{Topic: topic, Payload: "two", QoS: 2})
	one, two := s.Expect(wire.PUBLISH), s.Expect(wire.PUBLISH)
	if one.ID == 0 || one.ID == two.ID || one.Dup() || two.Dup() || one.QoS() != 2 {
		e.Errorf("the messages are %v and %v", one, two)
	}
	release := func(id uint16) {
		e.Helper()
		if rel := s.Expect(wire.PUBREL); rel.ID != id || rel.Code != 0 {
			e.Errorf("want PUBREL for %d, got %v", id, rel)
		}
	}
	s.Write(wire.Ack(wire.PUBREC, one.ID))
	release(one.ID)
	s.Quiet()
	s.Close()
	s, _ = e.resume("s") // one is released already, two is not
	var got []byte
	for range 2 {
		m := s.Read()
		got = append(got, m.Type)
		if m.Type == wire.PUBLISH && (m.ID != two.ID || !m.Dup()) || m.Type == wire.PUBREL && m.ID != one.ID {
			e.Errorf("after the connection came back came %v", m)
		}
	}
	if got[0]+got[1] != wire.PUBLISH+wire.PUBREL {
		e.Errorf("after the connection came back came %v", got)
	}
	s.Write(wire.Ack(wire.PUBREC, two.ID))
	release(two.ID)
	s.Write(wire.Ack(wire.PUBREC, two.ID)) // again: PUBREL again, nothing else
	release(two.ID)
	s.Close()
	s, _ = e.resume("s")
	release(one.ID)
	release(two.ID)
	s.Write(wire.Ack(wire.PUBCOMP, one.ID), wire.Ack(wire.PUBCOMP, two.ID))
	s.Quiet()
	s.Close()
	s, _ = e.resume("s")
	s.Quiet()
}

func sentNotExpired(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 2)
	p := e.join("p")
	second := []wire.Prop{wire.Num(wire.MessageExpiry, 1)}
	p.Publish(wire.Publish{Topic: topic, Payload: "sent", QoS: 2, Props: second})
	p.Publish(wire.Publish{Topic: topic, Payload: "received", QoS: 2, Props: second})
	first, other := s.Expect(wire.PUBLISH), s.Expect(wire.PUBLISH)
	s.Write(wire.Ack(wire.PUBREC, other.ID))
	s.Expect(wire.PUBREL)
	s.Close()
	sleep(2.2)
	s, _ = e.resume("s")
	seen := map[byte]uint16{}
	for range 2 {
		m := s.Read()
		seen[m.Type] = m.ID
	}
	if seen[wire.PUBLISH] != first.ID || seen[wire.PUBREL] != other.ID {
		e.Errorf("after the expiry came %v, want PUBLISH %d and PUBREL %d", seen, first.ID, other.ID)
	}
}

func receiverQoS2(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	p, _ := e.resume("p")
	send := func(payload string, dup bool) {
		e.Helper()
		p.Write(wire.Publish{Topic: topic, Payload: payload, QoS: 2, ID: 5, Dup: dup}.Bytes(e.version))
		if rec := p.Expect(wire.PUBREC); rec.ID != 5 || rec.Code >= 0x80 {
			e.Errorf("PUBLISH was answered with %v", rec)
		}
	}
	for range 3 {
		send("x", false)
		send("x", true)
		send("y", false) // the identifier decides, not DUP and not the payload
		p.Close()
		p, _ = e.resume("p") // nor the connection
		send("x", true)
		p.Write(wire.Ack(wire.PUBREL, 5))
		if comp := p.Expect(wire.PUBCOMP); comp.ID != 5 || comp.Code != 0 {
			e.Errorf("PUBREL was answered with %v", comp)
		}
		s.Deliver(topic, "x")
		e.absent(p, s)
		p.Write(wire.Ack(wire.PUBREL, 5)) // again, as after a lost PUBCOMP
		if comp := p.Expect(wire.PUBCOMP); comp.ID != 5 || comp.Code != 0 && comp.Code != 0x92 {
			e.Errorf("the second PUBREL was answered with %v", comp)
		}
	}
}

// A topic that may not be published to makes the server refuse; the identifier
// is free after that, for a message that may.
func refusedQoS2(e *env) {
	topic := e.topic("a")
	s, c := e.watch("s", topic), e.join("c")
	c.Write(wire.Publish{Topic: "$SYS/spec", Payload: "x", QoS: 2, ID: 5}.Bytes(e.version))
	p := c.Expect(wire.PUBREC)
	if p.Code < 0x80 {
		e.Fatalf("a PUBLISH to $SYS was answered with %v", p)
	}
	c.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 2, ID: 5})
	s.Deliver(topic, "y")
	e.absent(c, s)
}

func expiredGoesOn(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	p, _ := e.resume("p")
	publish := wire.Publish{Topic: topic, Payload: "x", QoS: 2, ID: 5, Props: []wire.Prop{wire.Num(wire.MessageExpiry, 1)}}
	p.Write(publish.Bytes(e.version))
	p.Expect(wire.PUBREC)
	sleep(2.2)
	publish.Dup = true
	p.Write(publish.Bytes(e.version))
	if rec := p.Expect(wire.PUBREC); rec.ID != 5 || rec.Code >= 0x80 {
		e.Errorf("the second PUBLISH was answered with %v", rec)
	}
	p.Write(wire.Ack(wire.PUBREL, 5))
	if comp := p.Expect(wire.PUBCOMP); comp.ID != 5 || comp.Code != 0 {
		e.Errorf("PUBREL was answered with %v", comp)
	}
	if n := len(drain(e, p, s)); n > 1 { // delivered before it expired, or not at all
		e.Errorf("%d copies came", n)
	}
}

func resent(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 2)
	p := e.join("p")
	want := map[uint16]wire.Packet{}
	for i, payload := range payloads(6) {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: byte(1 + i%2)})
		m := s.Expect(wire.PUBLISH)
		want[m.ID] = m
	}
	var released uint16
	for id, m := range want {
		if m.QoS() == 2 && released == 0 {
			released = id
			s.Write(wire.Ack(wire.PUBREC, id))
			s.Expect(wire.PUBREL)
		}
	}
	sleep(1) // no timer may send anything again
	s.Quiet()
	s.Close()
	s, _ = e.resume("s")
	for range len(want) {
		m := s.Read()
		first, ok := want[m.ID]
		delete(want, m.ID)
		switch {
		case !ok:
			e.Errorf("sent again with another identifier: %v", m)
		case m.ID == released && m.Type != wire.PUBREL:
			e.Errorf("released, and sent again as %v", m)
		case m.ID != released && (m.Type != wire.PUBLISH || string(m.Payload) != string(first.Payload) || m.Topic != topic || m.QoS() != first.QoS()):
			e.Errorf("%v was sent again as %v", first, m)
		}
	}
	s.Quiet()
}

func refusedNotResent(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 2)
	p := e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "one", QoS: 1})
	p.Publish(wire.Publish{Topic: topic, Payload: "two", QoS: 2})
	one, two := s.Expect(wire.PUBLISH), s.Expect(wire.PUBLISH)
	s.Write(wire.AckCode(wire.PUBACK, one.ID, 0x80), wire.AckCode(wire.PUBREC, two.ID, 0x97, wire.Text(wire.ReasonString, "full")))
	s.Quiet() // no PUBREL
	s.Close()
	s, _ = e.resume("s")
	s.Quiet()
}

func resentInOrder(e *env) {
	topic := e.topic("a")
	s, _ := e.resume("s")
	s.Subscribe(topic, 2)
	p := e.join("p")
	want := payloads(16)
	for qos := byte(1); qos < 3; qos++ {
		for _, payload := range want {
			p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: qos})
		}
		for _, payload := range want {
			if m := s.Expect(wire.PUBLISH); string(m.Payload) != payload {
				e.Fatalf("want %s first, got %v", payload, m)
			}
		}
		s.Close()
		p.Publish(wire.Publish{Topic: topic, Payload: "new", QoS: qos})
		s, _ = e.resume("s")
		for _, payload := range append(want[:len(want):len(want)], "new") {
			// The last one may have gone to the old connection, whose end takes its time.
			if m := s.Message(); string(m.Payload) != payload || !m.Dup() && payload != "new" {
				e.Fatalf("want %s again, got %v", payload, m)
			}
		}
		s.Quiet()
	}
	if e.v5() {
		resentThroughSmallWindow(e, p)
	}
}

// resentThroughSmallWindow comes back with a receive maximum that is smaller
// than what is in flight: still in order, and a new message comes last.
func resentThroughSmallWindow(e *env, p *wire.Conn) {
	topic := e.topic("small")
	s, _ := e.resume("small")
	s.Subscribe(topic, 1)
	want := payloads(10)
	for _, payload := range want {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 1})
		s.Expect(wire.PUBLISH)
	}
	s.Close()
	s, _ = e.resume("small", wire.Num(wire.ReceiveMaximum, 2))
	first := s.Expect(wire.PUBLISH)
	second := s.Expect(wire.PUBLISH)
	s.Quiet() // the window is full
	p.Publish(wire.Publish{Topic: topic, Payload: "new", QoS: 1})
	s.Quiet()
	got := []string{string(first.Payload), string(second.Payload)}
	s.Acknowledge(first)
	s.Acknowledge(second)
	for len(got) < len(want)+1 {
		got = append(got, string(s.Message().Payload))
	}
	if strings.Join(got, " ") != strings.Join(want, " ")+" new" {
		e.Errorf("through a window of 2 came %v", got)
	}
	s.Quiet()
}

// All are sent at once, with other packets between, and their answers read.
func ackOrder(e *env) {
	p := e.join("p")
	for kind, qos := range map[byte]byte{wire.PUBACK: 1, wire.PUBREC: 2} {
		var all []byte
		for i := range uint16(15) {
			id := (i*7919 + 13) | 1
			all = append(all, wire.Publish{Topic: e.topic("a"), Payload: "x", QoS: qos, ID: id}.Bytes(e.version)...)
			all = append(all, wire.Publish{Topic: e.topic("b"), Payload: "x"}.Bytes(e.version)...)
		}
		p.Write(all)
		for i := range uint16(15) {
			id := (i*7919 + 13) | 1
			if got := p.Expect(kind); got.ID != id {
				e.Fatalf("want %s for %d next, got %v", wire.TypeName(kind), id, got)
			}
		}
		for i := range uint16(15) {
			if id := (i*7919 + 13) | 1; qos == 2 {
				p.Write(wire.Ack(wire.PUBREL, id))
				p.Expect(wire.PUBCOMP)
			}
		}
	}
}

func pubrelOrder(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	var ids []uint16
	for range 10 {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 2})
		ids = append(ids, s.Expect(wire.PUBLISH).ID)
	}
	order := []int{0, 1, 2, 9, 8, 3, 7, 4, 6, 5}
	var all []byte
	for _, i := range order {
		all = append(all, wire.Ack(wire.PUBREC, ids[i])...)
	}
	s.Write(all)
	for _, i := range order {
		if rel := s.Expect(wire.PUBREL); rel.ID != ids[i] {
			e.Fatalf("want PUBREL for %d next, got %v", ids[i], rel)
		}
	}
}

// Two clients publish to several topics at all QoS; each stream arrives in its
// own order, at subscribers that are there, slow, and offline for a while.
func messageOrder(e *env) {
	a, b := e.join("a"), e.join("b")
	s := e.watch("s", e.topic("#"))
	away, _ := e.resume("away")
	away.Subscribe(e.topic("+"), 2)
	away.Close()
	const n = 40
	zero := 0
	for i, payload := range payloads(n) {
		topic, qos := e.topic(string("xyz"[i%3])), byte(i/3%3)
		if qos == 0 {
			zero++
		}
		a.Publish(wire.Publish{Topic: topic, Payload: "a" + payload, QoS: qos})
		b.Publish(wire.Publish{Topic: topic, Payload: "b" + payload, QoS: qos})
	}
	away, _ = e.resume("away")
	inOrder(e, s, 2*n, 0)
	inOrder(e, away, 2*(n-zero), 1) // those at QoS 0 may be gone
	wideOrder(e)
}

// wideOrder does the same with so many subscribers that a server shares out the
// work: first one filter each, then some with two that overlap.
func wideOrder(e *env) {
	const subscribers, n = 160, 30
	for _, two := range []bool{false, true} {
		topic := e.topic(fmt.Sprint("wide", two))
		var all []*wire.Conn
		for i := range subscribers {
			s := e.join(fmt.Sprint("w", i))
			s.Subscribe(topic, 1)
			if two && i%2 == 0 {
				s.Subscribe(topic+"/#", 1)
			}
			all = append(all, s)
		}
		a, b := e.join("a"), e.join("b")
		for i, payload := range payloads(n) {
			a.Write(wire.Publish{Topic: topic, Payload: "a" + payload, QoS: byte(i % 2), ID: uint16(i + 1)}.Bytes(e.version))
			b.Write(wire.Publish{Topic: topic, Payload: "b" + payload, QoS: byte(i % 2), ID: uint16(i + 1)}.Bytes(e.version))
		}
		for _, s := range all {
			inOrder(e, s, 2*n, 0)
		}
	}
}

// inOrder reads until count messages at the least QoS came, each stream in order.
func inOrder(e *env, c *wire.Conn, count int, least byte) {
	e.Helper()
	last := map[string]string{}
	for count > 0 {
		m := c.Message()
		stream := string(m.Payload[0]) + m.Topic + string('0'+m.QoS())
		if string(m.Payload) <= last[stream] {
			e.Errorf("%s: %v came after %s", c.Name, m, last[stream])
		}
		last[stream] = string(m.Payload)
		if m.QoS() >= least {
			count--
		}
	}
	c.Quiet()
}
