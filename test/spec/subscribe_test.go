package spec

import (
	"fmt"
	"strings"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.8 and 3.9: SUBSCRIBE and SUBACK.
var subscribeStatements = []statement{
	{v3: "3.8.1-1", v5: "3.8.1-1", says: "The flags of SUBSCRIBE are 0010; others close the connection.", test: subscribeFlags},
	{v3: "3.8.3-1", v5: "3.8.3-1", says: "Topic filters are UTF-8 strings.", test: illFormedIn("filter")},
	{v3: "3.8.3-2", says: "A server without wildcards rejects filters that have them.", test: wildcardsUnavailable},
	{v3: "3.8.3-3", v5: "3.8.3-2", says: "SUBSCRIBE has at least one filter.", test: subscribeEmpty},
	{v5: "3.8.3-3", says: "No local: a client is not sent what it published itself.", test: noLocal},
	{v5: "3.8.3-4", says: "No local on a shared subscription is a protocol error.", test: noLocalShared},
	{v5: "3.8.3-5", says: "Reserved bits in the subscription options make the packet malformed.", test: subscribeReserved},
	{v3: "3.8.4-1", v5: "3.8.4-1", says: "SUBSCRIBE is answered with SUBACK.", test: suback},
	{v3: "3.8.4-2", v5: "3.8.4-2", says: "SUBACK has the identifier of its SUBSCRIBE.", test: subackIDs},
	{v3: "3.8.4-3", v5: "3.8.4-3", says: "A subscription to the same filter replaces the one before.", test: resubscribe},
	{v5: "3.8.4-4", says: "Replacing sends retained messages again (retain handling 0) and loses no message.", test: resubscribe},
	{v3: "3.8.4-4", v5: "3.8.4-5", says: "Several filters in one packet are like several packets, with one SUBACK.", test: severalFilters},
	{v3: "3.8.4-5", v5: "3.8.4-6", says: "SUBACK has a code for each filter.", test: severalFilters},
	{v5: "3.8.4-7", says: "The code is the granted QoS or tells that the subscription failed.", test: severalFilters},
	{v3: "3.8.4-6", v5: "3.8.4-8", says: "Messages come at the lower of the published and the granted QoS.", test: lowerQoS},
	{v5: "3.9.2-1", says: "No reason string makes SUBACK larger than the client's maximum packet size.", test: smallAcks},
	{v5: "3.9.2-2", says: "No user property makes SUBACK larger than the client's maximum packet size.", test: smallAcks},
	{v3: "3.9.3-1", v5: "3.9.3-1", says: "The codes in SUBACK are in the order of the filters.", test: severalFilters},
	{v3: "3.9.3-2", v5: "3.9.3-2", says: "The codes in SUBACK are those that the specification lists.", test: subackCodes},
}

func subscribeFlags(e *env) {
	for flags := range byte(16) {
		if flags == 2 {
			continue
		}
		c := e.join("c")
		packet := wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}})
		packet[0] = wire.SUBSCRIBE<<4 | flags
		c.Write(packet)
		c.Refused(0x81)
	}
}

func subscribeEmpty(e *env) {
	c := e.join("c")
	c.Write(wire.Subscribe(e.version, 1, nil))
	c.Refused(0x82, 0x81)
}

func wildcardsUnavailable(e *env) {
	n := target.Start(e, e.backend, "mqtt.wildcard_subscriptions=false")
	c := e.dialTo(n, "c")
	c.Join(wire.Connect{ClientID: "c", Clean: true})
	for _, filter := range []string{"#", "a/+", "+/b", "a/#"} {
		c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: filter, Options: 1}, {Filter: "plain", Options: 1}}))
		if p := c.Expect(wire.SUBACK); string(p.Codes) != "\x80\x01" {
			e.Errorf("SUBSCRIBE %q was answered with %v", filter, p)
		}
	}
	c.Publish(wire.Publish{Topic: "a/b", Payload: "x", QoS: 1})
	e.absent(c, c)
}

func noLocal(e *env) {
	topic := e.topic("a")
	c, other := e.join("c"), e.join("other")
	c.Subscribe(topic, 1|wire.NoLocal)
	c.Subscribe(e.topic("local"), 1)
	other.Subscribe(topic, 1)
	for qos := range byte(3) {
		c.Publish(wire.Publish{Topic: topic, Payload: "own", QoS: qos})
		other.Deliver(topic, "own")
		e.absent(c, c)
		other.Publish(wire.Publish{Topic: topic, Payload: "other", QoS: qos})
		c.Deliver(topic, "other")
		other.Deliver(topic, "other")
		c.Publish(wire.Publish{Topic: e.topic("local"), Payload: "own", QoS: qos})
		c.Deliver(e.topic("local"), "own")
	}
	// It is the client identifier that counts, not the connection.
	d, _ := e.resume("d")
	d.Subscribe(topic, 1|wire.NoLocal)
	d.Close()
	d, _ = e.resume("d")
	d.Publish(wire.Publish{Topic: topic, Payload: "own", QoS: 1})
	e.absent(d, d)
}

func noLocalShared(e *env) {
	c := e.join("c")
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "$share/g/" + e.topic("a"), Options: 1 | wire.NoLocal}}))
	c.Refused(0x82)
}

func subscribeReserved(e *env) {
	for _, options := range []byte{0x40, 0x80, 0xc0, 0x03, 0x30} { // the last two: QoS 3, retain handling 3
		c := e.join("c")
		c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}, {Filter: "b", Options: options}}))
		c.Refused(0x81, 0x82)
	}
}

func suback(e *env) {
	c := e.join("c")
	for qos := range byte(3) {
		c.Write(wire.Subscribe(e.version, 7, []wire.Sub{{Filter: e.topic("a/#"), Options: qos}}))
		if p := c.Expect(wire.SUBACK); p.ID != 7 || len(p.Codes) != 1 || p.Codes[0] != qos {
			e.Errorf("SUBSCRIBE at QoS %d was answered with %v", qos, p)
		}
	}
}

// Messages flow all the time while the subscription is replaced: none is lost,
// none comes twice, and the new QoS holds afterwards.
func resubscribe(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	want := payloads(60)
	var got []string
	for i, payload := range want {
		p.Write(wire.Publish{Topic: topic, Payload: payload, QoS: 0}.Bytes(e.version))
		if i%6 == 5 {
			s.Subscribe(topic, byte(i/6%3))
			for len(got) <= i {
				got = append(got, string(s.Message().Payload))
			}
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		e.Errorf("published %v, came %v", want, got)
	}
	for _, qos := range []byte{0, 2, 1} {
		s.Subscribe(topic, qos)
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 2})
		if m := s.Deliver(topic, "x"); m.QoS() != qos {
			e.Errorf("replaced at QoS %d, came %v", qos, m)
		}
		e.absent(p, s) // one subscription, one copy
	}
	p.Publish(wire.Publish{Topic: topic, Payload: "kept", QoS: 1, Retain: true})
	s.Deliver(topic, "kept")
	for range 2 {
		s.Subscribe(topic, 1)
		if m := s.Deliver(topic, "kept"); !m.Retain() {
			e.Errorf("the retained message came as %v", m)
		}
	}
}

func severalFilters(e *env) {
	c, p := e.join("c"), e.join("p")
	subs := []wire.Sub{{Filter: e.topic("a"), Options: 0}, {Filter: e.topic("b/#"), Options: 2}, {Filter: e.topic("+/c"), Options: 1}, {Filter: e.topic("a"), Options: 2}, {Filter: e.topic("d"), Options: 0}}
	c.Write(wire.Subscribe(e.version, 3, subs))
	if got := c.Expect(wire.SUBACK); string(got.Codes) != "\x00\x02\x01\x02\x00" {
		e.Errorf("SUBACK is %v", got)
	}
	for _, topic := range []string{"a", "b/x", "x/c", "d"} {
		p.Publish(wire.Publish{Topic: e.topic(topic), Payload: "x", QoS: 2})
		c.Deliver(e.topic(topic), "x")
	}
	many := make([]wire.Sub, 500)
	for i := range many {
		many[i] = wire.Sub{Filter: e.topic(fmt.Sprint("m/", i)), Options: byte(i % 3)}
	}
	c.Write(wire.Subscribe(e.version, 4, many))
	got := c.Expect(wire.SUBACK)
	if len(got.Codes) != len(many) {
		e.Fatalf("%d codes for %d filters", len(got.Codes), len(many))
	}
	for i, code := range got.Codes {
		if code != byte(i%3) {
			e.Errorf("code %d is %#02x, want %d", i, code, i%3)
		}
	}
	c.Quiet()
}

func lowerQoS(e *env) {
	p := e.join("p")
	for granted := range byte(3) {
		topic := e.topic(fmt.Sprint(granted))
		s := e.join("s")
		granted = s.Subscribe(topic, granted)
		for qos := range byte(3) {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos, Retain: true})
			if m := s.Deliver(topic, "x"); m.QoS() != min(qos, granted) {
				e.Errorf("published at %d, granted %d, came %v", qos, granted, m)
			}
			late := e.join("late")
			late.Subscribe(topic, granted)
			if m := late.Deliver(topic, "x"); m.QoS() != min(qos, granted) {
				e.Errorf("retained at %d, granted %d, came %v", qos, granted, m)
			}
			e.absent(p, s)
		}
	}
}

// subackReasons are the codes of a SUBACK, by version.
var subackReasons = map[byte]string{
	wire.V311: "\x00\x01\x02\x80",
	wire.V5:   "\x00\x01\x02\x80\x83\x87\x8F\x91\x97\x9E\xA1\xA2",
}

func subackCodes(e *env) {
	for _, filter := range []string{"a", "a/#", "+", "#/a", "a#", "a+/b", "", "$SYS/#", "$share/g/a", "$share/g", "$share//a", "$share/g+/a", "$unknown/a"} {
		for options := range byte(3) {
			c := e.join("c")
			c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: filter, Options: options}}))
			p, err := c.Answer()
			if err != nil || p.Type == wire.DISCONNECT {
				continue // refused as malformed, which other tests are about
			}
			for p.Type == wire.PUBLISH {
				p = c.Read()
			}
			if p.Type != wire.SUBACK || len(p.Codes) != 1 || !strings.Contains(subackReasons[e.version], string(p.Codes)) {
				e.Errorf("SUBSCRIBE %q was answered with %v", filter, p)
			}
		}
	}
}
