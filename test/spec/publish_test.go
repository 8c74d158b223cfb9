package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.3: PUBLISH, beside retained messages, properties and aliases.
var publishStatements = []statement{
	{v3: "3.3.1-1", v5: "3.3.1-1", says: "DUP is 1 when a PUBLISH is sent again.", test: dupOnResend},
	{v3: "3.3.1-2", v5: "3.3.1-2", says: "DUP is 0 at QoS 0.", test: dupAtQoS0},
	{v3: "3.3.1-3", v5: "3.3.1-3", says: "DUP of the outgoing PUBLISH does not depend on the incoming one.", test: dupIndependent},
	{v3: "3.3.1-4", v5: "3.3.1-4", says: "A PUBLISH does not have both QoS bits set; the connection is closed.", test: qosThree},
	{v3: "3.3.2-1", v5: "3.3.2-1", says: "The topic name is first in the PUBLISH, a UTF-8 string.", test: topicNameFirst},
	{v3: "3.3.2-2", v5: "3.3.2-2", says: "The topic name has no wildcards.", test: wildcardTopic},
	{v3: "3.3.2-3", v5: "3.3.2-3", says: "The topic name of a PUBLISH from the server matches the subscription.", test: topicMatches},
	{v3: "3.3.4-1", v5: "3.3.4-1", says: "A PUBLISH is answered as its QoS asks: nothing, PUBACK, PUBREC.", test: answers},
	{v3: "3.3.5-1", v5: "3.3.4-2", says: "A message for overlapping subscriptions is delivered at the highest of their QoS.", test: overlap},
	{v3: "3.3.5-2", says: "A PUBLISH that is not authorized is acknowledged or the connection is closed.", test: notAuthorized},
	{v5: "3.3.4-3", says: "The subscription identifiers of overlapping subscriptions are sent.", test: overlapIDs},
	{v5: "3.3.4-4", says: "A single copy has the identifiers of all matching subscriptions.", test: overlapIDs},
	{v5: "3.3.4-5", says: "Each of several copies has the identifier of its subscription.", test: overlapIDs},
	{v5: "3.3.4-6", says: "A PUBLISH from a client has no subscription identifier.", test: clientSubscriptionID},
}

func dupOnResend(e *env) {
	topic := e.topic("a")
	c, _ := e.resume("c")
	c.Subscribe(topic, 2)
	p := e.join("p")
	for qos := byte(1); qos < 3; qos++ {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos})
		first := c.Expect(wire.PUBLISH)
		if first.Dup() {
			e.Errorf("DUP is set the first time: %v", first)
		}
		for range 2 {
			c.Close()
			c, _ = e.resume("c")
			again := c.Expect(wire.PUBLISH)
			if !again.Dup() || again.ID != first.ID || string(again.Payload) != "x" || again.QoS() != qos {
				e.Errorf("%v was sent again as %v", first, again)
			}
		}
		c.Acknowledge(wire.Packet{Flags: qos << 1, ID: first.ID})
	}
}

func dupAtQoS0(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "x"})
	p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1, Dup: true})
	zero := e.join("zero")
	zero.Subscribe(topic, 0)
	p.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 2, Dup: true})
	if got := s.Deliver(topic, "x"); got.Dup() {
		e.Errorf("DUP is set: %v", got)
	}
	if got := zero.Deliver(topic, "y"); got.Dup() || got.QoS() != 0 {
		e.Errorf("DUP is set, or the QoS is not 0: %v", got)
	}
	p.Write(wire.Publish{Topic: topic, Payload: "z", Dup: true}.Bytes(e.version)) // from a client it is malformed
	p.Refused(0x81, 0x82)
}

func dupIndependent(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	for _, dup := range []bool{false, true} {
		for qos := byte(1); qos < 3; qos++ {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos, Dup: dup})
			if got := s.Deliver(topic, "x"); got.Dup() {
				e.Errorf("DUP is set on a new message: %v", got)
			}
		}
	}
	late := e.watch("late", topic)
	p.Publish(wire.Publish{Topic: topic, Payload: "kept", QoS: 1, Dup: true, Retain: true})
	late.Deliver(topic, "kept")
	if got := e.watch("later", topic).Deliver(topic, "kept"); got.Dup() {
		e.Errorf("DUP is set on a retained message: %v", got)
	}
	p.Publish(wire.Publish{Topic: topic, Retain: true})
}

func qosThree(e *env) {
	for _, flags := range []byte{0x06, 0x07, 0x0e, 0x0f} {
		packet := wire.Publish{Topic: e.topic("a"), QoS: 1, ID: 1}.Bytes(e.version)
		packet[0] = wire.PUBLISH<<4 | flags
		c := e.join("c")
		c.Write(packet)
		c.Refused(0x81)
	}
}

func topicNameFirst(e *env) {
	for _, body := range []string{"", "\x00", "\x00\x05abc", "\x00\x01"} {
		c := e.join("c")
		c.Write(wire.Frame(wire.PUBLISH<<4, []byte(body)))
		c.Refused(0x81)
	}
	illFormedIn("topic-name")(e)
	topic := e.topic("ü/漢字/🦀")
	s := e.watch("s", topic)
	e.join("p").Publish(wire.Publish{Topic: topic, Payload: "x"})
	s.Deliver(topic, "x")
}

func wildcardTopic(e *env) {
	for _, topic := range []string{"#", "+", "a/#", "a/+/b", "a+", "a#b", "+/a"} {
		for qos := range byte(3) {
			c := e.join("c")
			c.Write(wire.Publish{Topic: topic, QoS: qos, ID: 1}.Bytes(e.version))
			c.Refused(0x90, 0x81, 0x82)
		}
	}
}

func topicMatches(e *env) {
	p := e.join("p")
	for _, filter := range []string{"a/b", "a/+", "a/#", "+/b", "#", "+/+"} {
		s := e.watch("s", e.topic(filter))
		for _, topic := range []string{"a/b", "a/c", "x/b", "a", "a/b/c"} {
			p.Publish(wire.Publish{Topic: e.topic(topic), Payload: "x"})
			if matches(filter, topic) {
				s.Deliver(e.topic(topic), "x")
			}
		}
		e.absent(p, s)
		s.Leave()
	}
}

// matches is section 4.7 in the shortest form.
func matches(filter, topic string) bool {
	fs, ts := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, f := range fs {
		if f == "#" {
			return true
		}
		if i >= len(ts) || f != "+" && f != ts[i] {
			return false
		}
	}
	return len(fs) == len(ts)
}

func answers(e *env) {
	topic := e.topic("a")
	c := e.join("c")
	for _, sub := range []bool{false, true} { // with and without a subscriber
		if sub {
			e.watch("s", topic)
		}
		c.Write(wire.Publish{Topic: topic, Payload: "x"}.Bytes(e.version))
		c.Quiet()
		c.Write(wire.Publish{Topic: topic, Payload: "x", QoS: 1, ID: 10}.Bytes(e.version))
		if p := c.Expect(wire.PUBACK); p.ID != 10 || p.Code != 0 && p.Code != 0x10 {
			e.Errorf("QoS 1 was answered with %v", p)
		}
		c.Write(wire.Publish{Topic: topic, Payload: "x", QoS: 2, ID: 11}.Bytes(e.version))
		if p := c.Expect(wire.PUBREC); p.ID != 11 || p.Code != 0 && p.Code != 0x10 {
			e.Errorf("QoS 2 was answered with %v", p)
		}
		c.Write(wire.Ack(wire.PUBREL, 11))
		if p := c.Expect(wire.PUBCOMP); p.ID != 11 || p.Code != 0 {
			e.Errorf("PUBREL was answered with %v", p)
		}
		c.Quiet()
	}
}

// The server may send one copy or one for each subscription; either way a copy
// at the highest QoS is there, and none is above it.
func overlap(e *env) {
	topic := e.topic("a/b")
	p := e.join("p")
	for _, order := range [][]byte{{0, 1, 2}, {2, 1, 0}, {1, 0, 1}, {0, 0, 1}} {
		s := e.join("s")
		var top byte
		for i, filter := range []string{e.topic("a/b"), e.topic("a/+"), e.topic("#")} {
			s.Subscribe(filter, order[i])
			top = max(top, order[i])
		}
		for qos := range byte(3) {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos})
			p.Ping()
			if got := copies(e, p, s); max3(got) != min(qos, top) {
				e.Errorf("subscriptions at %v, published at %d: copies at %v", order, qos, got)
			}
		}
		s.Leave()
	}
}

// copies reads the copies of one message and gives their QoS.
func copies(e *env, from, to *wire.Conn) []byte {
	e.Helper()
	var all []byte
	for _, p := range drain(e, from, to) {
		all = append(all, p.QoS())
	}
	return all
}

// drain reads what from had on its way to to.
func drain(e *env, from, to *wire.Conn) []wire.Packet {
	e.Helper()
	marker := e.topic("drained")
	to.Subscribe("marker/"+marker, 1)
	from.Publish(wire.Publish{Topic: "marker/" + marker, Payload: "end", QoS: 1}) // queues behind what is queued
	var all []wire.Packet
	for {
		p := to.Message()
		if p.Topic == "marker/"+marker {
			to.Unsubscribe("marker/" + marker)
			return all
		}
		all = append(all, p)
	}
}

func max3(b []byte) byte {
	var top byte
	for _, v := range b {
		top = max(top, v)
	}
	if len(b) == 0 {
		return 0xff
	}
	return top
}

// $SYS belongs to the server, so that publishing to it is not authorized.
func notAuthorized(e *env) {
	s := e.watch("s", "$SYS/spec/#")
	for qos := range byte(3) {
		c := e.join("c")
		c.Write(wire.Publish{Topic: "$SYS/spec/" + e.id("c"), Payload: "x", QoS: qos, ID: 5}.Bytes(e.version), wire.Pingreq())
		for {
			p, err := c.Answer()
			if err != nil || p.Type == wire.PINGRESP {
				break
			}
			if p.ID != 5 || p.Type != wire.PUBACK+qos-1 {
				e.Errorf("at QoS %d the answer is %v", qos, p)
			}
		}
	}
	e.absent(e.join("p"), s)
}

func overlapIDs(e *env) {
	topic := e.topic("a/b")
	s, p := e.join("s"), e.join("p")
	s.Subscribe(topic, 0, wire.Num(wire.SubscriptionID, 1))
	s.Subscribe(e.topic("a/+"), 1, wire.Num(wire.SubscriptionID, 268435455))
	s.Subscribe(e.topic("#"), 2) // none
	s.Subscribe(e.topic("+/b"), 2, wire.Num(wire.SubscriptionID, 1))
	s.Subscribe(e.topic("x"), 2, wire.Num(wire.SubscriptionID, 9))
	for range 3 {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 2})
		got := drain(e, p, s)
		seen := map[uint32]int{}
		for _, m := range got {
			for _, id := range m.Props.All(wire.SubscriptionID) {
				seen[id.Int]++
			}
			if len(got) > 1 && len(m.Props.All(wire.SubscriptionID)) > 1 {
				e.Errorf("one of %d copies has several identifiers: %v", len(got), m)
			}
		}
		if seen[1] == 0 || seen[268435455] != 1 || len(seen) != 2 {
			e.Errorf("the identifiers are %v in %d copies, want 1 and 268435455", seen, len(got))
		}
		if len(got) > 1 && len(got) != 4 {
			e.Errorf("%d copies for 4 subscriptions", len(got))
		}
	}
}

func clientSubscriptionID(e *env) {
	c := e.join("c")
	c.Write(wire.Publish{Topic: e.topic("a"), QoS: 1, ID: 1, Props: []wire.Prop{wire.Num(wire.SubscriptionID, 1)}}.Bytes(e.version))
	c.Refused(0x82)
}
