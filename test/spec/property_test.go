package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.3.2.3 of 5.0: the properties of PUBLISH, beside topic aliases.
var propertyStatements = []statement{
	{v5: "3.3.2-4", says: "The payload format indicator reaches all subscribers as it was.", test: unaltered(wire.Num(wire.PayloadFormat, 1), wire.Num(wire.PayloadFormat, 0))},
	{v5: "3.3.2-5", says: "A message whose expiry has passed before its delivery began is dropped.", test: messageExpired},
	{v5: "3.3.2-6", says: "The message expiry that is sent is the one received less the time in the server.", test: messageExpiryLeft},
	{v5: "3.3.2-13", says: "The response topic is a UTF-8 string.", test: badProperty(wire.ResponseTopic, illFormed...)},
	{v5: "3.3.2-14", says: "The response topic has no wildcards.", test: badProperty(wire.ResponseTopic, "#", "a/+", "+/b", "")},
	{v5: "3.3.2-15", says: "The response topic reaches all subscribers as it was.", test: unaltered(wire.Text(wire.ResponseTopic, "re/ply"), wire.Text(wire.ResponseTopic, strings.Repeat("t", 65535)))},
	{v5: "3.3.2-16", says: "The correlation data reaches all subscribers as it was.", test: unaltered(wire.Text(wire.CorrelationData, "\x00\xff\xfe"), wire.Text(wire.CorrelationData, ""))},
	{v5: "3.3.2-17", says: "All user properties reach the subscribers as they were.", test: userProperties},
	{v5: "3.3.2-18", says: "User properties keep their order.", test: userProperties},
	{v5: "3.3.2-19", says: "The content type is a UTF-8 string.", test: badProperty(wire.ContentType, illFormed...)},
	{v5: "3.3.2-20", says: "The content type reaches all subscribers as it was.", test: unaltered(wire.Text(wire.ContentType, "text/plain"), wire.Text(wire.ContentType, ""))},
}

// unaltered publishes a message with a property in every way that a message
// can reach a subscriber: at once, retained, after a time offline.
func unaltered(props ...wire.Prop) func(e *env) {
	return func(e *env) {
		p := e.join("p")
		for _, prop := range props {
			topic := e.topic("a")
			check := func(m wire.Packet) {
				e.Helper()
				if all := m.Props.All(prop.ID); len(all) != 1 || all[0] != prop {
					e.Errorf("property %v came as %v", prop, all)
				}
			}
			now, shared := e.watch("now", topic), e.watch("shared", "$share/g/"+topic)
			offline, _ := e.resume("offline")
			offline.Subscribe(topic, 2)
			offline.Leave()
			for qos := range byte(3) {
				p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos, Retain: true, Props: []wire.Prop{prop}})
				check(now.Deliver(topic, "x"))
				check(shared.Deliver(topic, "x"))
				check(e.watch("retained", topic).Deliver(topic, "x"))
			}
			offline, _ = e.resume("offline")
			waited := drain(e, p, offline)
			for _, m := range waited {
				check(m)
			}
			if len(waited) < 2 {
				e.Errorf("%d messages waited, want those at QoS 1 and 2", len(waited))
			}
			offline.Leave(wire.Num(wire.SessionExpiry, 0))
			p.Publish(wire.Publish{Topic: topic, Payload: "none", QoS: 1, Retain: true})
			if m := now.Deliver(topic, "none"); len(m.Props) > 0 {
				e.Errorf("published without properties, came %v", m)
			}
			p.Publish(wire.Publish{Topic: topic, QoS: 1, Retain: true})
		}
	}
}

func badProperty(id byte, values ...string) func(e *env) {
	return func(e *env) {
		for _, v := range values {
			c := e.join("c")
			c.Write(wire.Publish{Topic: e.topic("a"), Payload: "x", Props: []wire.Prop{wire.Text(id, v)}}.Bytes(e.version))
			c.Refused(0x81, 0x82, 0x90)
		}
	}
}

func userProperties(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	props := wire.Props{wire.User("z", "1"), wire.User("a", "2"), wire.User("z", "1"), wire.User("", ""), wire.User("k", strings.Repeat("v", 3000)), wire.User("a", "1")}
	// With other properties between, they are no longer one run of bytes.
	between := []wire.Prop{props[0], wire.Text(wire.ContentType, "c"), props[1], props[2], wire.Num(wire.MessageExpiry, 900), props[3], wire.Text(wire.ResponseTopic, "r"), props[4], wire.Num(wire.TopicAlias, 1), props[5]}
	for _, sent := range [][]wire.Prop{props, between} {
		for qos := range byte(3) {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos, Retain: true, Props: sent})
			sameUser(e, s.Deliver(topic, "x"), props)
			sameUser(e, e.watch("late", topic).Deliver(topic, "x"), props)
		}
	}
}

func messageExpired(e *env) {
	topic := e.topic("a")
	p := e.join("p")
	offline, _ := e.resume("offline")
	offline.Subscribe(topic, 2)
	offline.Subscribe(e.topic("b"), 2)
	offline.Leave()
	// A subscriber whose window is full: its second message has to wait too.
	busy := e.join("busy", wire.Num(wire.ReceiveMaximum, 1))
	busy.Subscribe(topic, 1)
	p.Publish(wire.Publish{Topic: topic, Payload: "first", QoS: 1})
	first := busy.Expect(wire.PUBLISH)
	second := []wire.Prop{wire.Num(wire.MessageExpiry, 1)}
	p.Publish(wire.Publish{Topic: topic, Payload: "expires", QoS: 1, Props: second})
	p.Publish(wire.Publish{Topic: topic, Payload: "expires", QoS: 2, Props: second})
	p.Publish(wire.Publish{Topic: e.topic("kept"), Payload: "expires", QoS: 1, Retain: true, Props: second})
	p.Publish(wire.Publish{Topic: e.topic("b"), Payload: "stays", QoS: 1, Props: []wire.Prop{wire.Num(wire.MessageExpiry, 1000)}})
	sleep(2.2)
	busy.Acknowledge(first)
	e.absent(p, busy)
	e.absent(p, e.watch("late", e.topic("kept")))
	offline, _ = e.resume("offline")
	offline.Deliver(topic, "first")
	offline.Deliver(e.topic("b"), "stays")
	offline.Quiet()
}

func messageExpiryLeft(e *env) {
	topic := e.topic("a")
	p, s := e.join("p"), e.watch("s", topic)
	offline, _ := e.resume("offline")
	offline.Subscribe(topic, 2)
	offline.Leave()
	p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1, Retain: true, Props: []wire.Prop{wire.Num(wire.MessageExpiry, 100)}})
	left := func(m wire.Packet, low, high uint32) {
		e.Helper()
		if n := m.Props.Int(wire.MessageExpiry, 0); n < low || n > high {
			e.Errorf("of 100 s, %d are left; want %d to %d", n, low, high)
		}
	}
	left(s.Deliver(topic, "x"), 80, 100)
	sleep(2.2)
	offline, _ = e.resume("offline")
	left(offline.Deliver(topic, "x"), 60, 98)
	left(e.watch("late", topic).Deliver(topic, "x"), 60, 98)
	p.Publish(wire.Publish{Topic: topic, Payload: "none", QoS: 1})
	if m := s.Deliver(topic, "none"); m.Props.Has(wire.MessageExpiry) {
		e.Errorf("published without an expiry, came %v", m)
	}
}
