package spec

import (
	"fmt"
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.10 to 3.12: UNSUBSCRIBE, UNSUBACK, PINGREQ.
var unsubscribeStatements = []statement{
	{v3: "3.10.1-1", v5: "3.10.1-1", says: "The flags of UNSUBSCRIBE are 0010; others close the connection.", test: unsubscribeFlags},
	{v3: "3.10.3-1", v5: "3.10.3-1", says: "Topic filters are UTF-8 strings.", test: illFormedIn("unsubscribe-filter")},
	{v3: "3.10.3-2", v5: "3.10.3-2", says: "UNSUBSCRIBE has at least one filter.", test: unsubscribeEmpty},
	{v3: "3.10.4-1", v5: "3.10.4-1", says: "Filters are compared character by character; a subscription that is equal is deleted.", test: unsubscribeExact},
	{v3: "3.10.4-2", v5: "3.10.4-2", says: "No new messages are added for the deleted subscription.", test: unsubscribeExact},
	{v3: "3.10.4-3", v5: "3.10.4-3", says: "Deliveries at QoS 1 and 2 that have begun are completed.", test: unsubscribeInflight},
	{v3: "3.10.4-4", v5: "3.10.4-4 3.10.4-5", says: "UNSUBSCRIBE is answered with an UNSUBACK of the same identifier.", test: subackIDs},
	{v3: "3.10.4-5", says: "UNSUBACK comes even when no subscription was deleted.", test: unsubscribeNothing},
	{v3: "3.10.4-6", v5: "3.10.4-6", says: "Several filters in one packet are like several packets, with one UNSUBACK.", test: unsubscribeSeveral},
	{v5: "3.11.2-1", says: "No reason string makes UNSUBACK larger than the client's maximum packet size.", test: smallAcks},
	{v5: "3.11.2-2", says: "No user property makes UNSUBACK larger than the client's maximum packet size.", test: smallAcks},
	{v5: "3.11.3-1", says: "The codes in UNSUBACK are in the order of the filters.", test: unsubscribeSeveral},
	{v5: "3.11.3-2", says: "The codes in UNSUBACK are those that the specification lists.", test: unsubackCodes},
	{v3: "3.12.4-1", v5: "3.12.4-1", says: "PINGREQ is answered with PINGRESP.", test: ping},
}

func unsubscribeFlags(e *env) {
	for flags := range byte(16) {
		if flags == 2 {
			continue
		}
		c := e.join("c")
		packet := wire.Unsubscribe(e.version, 1, []string{"a"})
		packet[0] = wire.UNSUBSCRIBE<<4 | flags
		c.Write(packet)
		c.Refused(0x81)
	}
}

func unsubscribeEmpty(e *env) {
	c := e.join("c")
	c.Write(wire.Unsubscribe(e.version, 1, nil))
	c.Refused(0x82, 0x81)
}

func unsubscribeExact(e *env) {
	s, p := e.join("s"), e.join("p")
	filter, topic := e.topic("a/+"), e.topic("a/b")
	s.Subscribe(filter, 1)
	for _, near := range []string{e.topic("a/#"), topic, e.topic("A/+"), e.topic("a/+/"), e.topic("a/+/#"), e.topic("+/+"), "$share/g/" + filter} {
		s.Unsubscribe(near)
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
		s.Deliver(topic, "x")
	}
	s.Subscribe(e.topic("a/#"), 1)
	s.Unsubscribe(filter)
	p.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 1})
	s.Deliver(topic, "y") // through the other one, once
	e.absent(p, s)
	s.Unsubscribe(e.topic("a/#"))
	p.Publish(wire.Publish{Topic: topic, Payload: "z", QoS: 1})
	e.absent(p, s)
}

func unsubscribeInflight(e *env) {
	s, _ := e.resume("s")
	p := e.join("p")
	topic := e.topic("a")
	s.Subscribe(topic, 2)
	p.Publish(wire.Publish{Topic: topic, Payload: "one", QoS: 1})
	p.Publish(wire.Publish{Topic: topic, Payload: "two", QoS: 2})
	one, two := s.Expect(wire.PUBLISH), s.Expect(wire.PUBLISH)
	s.Unsubscribe(topic)
	s.Write(wire.Ack(wire.PUBREC, two.ID))
	if rel := s.Expect(wire.PUBREL); rel.ID != two.ID || rel.Code != 0 {
		e.Errorf("PUBREC was answered with %v", rel)
	}
	s.Close()
	s, _ = e.resume("s") // what was not acknowledged comes again
	seen := map[byte]uint16{}
	for range 2 {
		m := s.Read()
		seen[m.Type] = m.ID
	}
	if seen[wire.PUBLISH] != one.ID || seen[wire.PUBREL] != two.ID {
		e.Errorf("after the connection came back came %v, want PUBLISH %d and PUBREL %d", seen, one.ID, two.ID)
	}
	s.Write(wire.Ack(wire.PUBACK, one.ID), wire.Ack(wire.PUBCOMP, two.ID))
	e.absent(p, s)
}

func unsubscribeNothing(e *env) {
	c := e.join("c")
	for id := uint16(1); id < 4; id++ {
		c.Write(wire.Unsubscribe(e.version, id, []string{e.topic("never"), e.topic("#")}))
		if p := c.Expect(wire.UNSUBACK); p.ID != id {
			e.Errorf("UNSUBSCRIBE %d was answered with %v", id, p)
		}
	}
}

func unsubscribeSeveral(e *env) {
	s, p := e.join("s"), e.join("p")
	for i := range 4 {
		s.Subscribe(e.topic(fmt.Sprint(i)), 1)
	}
	s.Write(wire.Unsubscribe(e.version, 9, []string{e.topic("0"), e.topic("none"), e.topic("2"), e.topic("0"), e.topic("3")}))
	got := s.Expect(wire.UNSUBACK)
	if got.ID != 9 || e.v5() && string(got.Codes) != "\x00\x11\x00\x11\x00" {
		e.Errorf("UNSUBACK is %v", got)
	}
	for i := range 4 {
		p.Publish(wire.Publish{Topic: e.topic(fmt.Sprint(i)), Payload: "x", QoS: 1})
	}
	s.Deliver(e.topic("1"), "x")
	e.absent(p, s)
}

func unsubackCodes(e *env) {
	for _, filter := range []string{"a", "#", "a#", "", "$share/g/a", "$share//a", "$share/g"} {
		c := e.join("c")
		c.Write(wire.Unsubscribe(e.version, 1, []string{filter}))
		p, err := c.Answer()
		if err != nil || p.Type == wire.DISCONNECT {
			continue
		}
		if p.Type != wire.UNSUBACK || len(p.Codes) != 1 || !strings.Contains("\x00\x11\x80\x83\x87\x8F\x91", string(p.Codes)) {
			e.Errorf("UNSUBSCRIBE %q was answered with %v", filter, p)
		}
	}
}

func ping(e *env) {
	c := e.join("c")
	for range 5 {
		c.Quiet()
	}
	c.Write(wire.Pingreq(), wire.Pingreq(), wire.Pingreq())
	for range 3 {
		c.Expect(wire.PINGRESP)
	}
	c.Quiet()
}
