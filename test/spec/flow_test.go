package spec

import (
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.3.4 and 4.9 of 5.0: flow control.
var flowStatements = []statement{
	{v5: "3.3.4-7", says: "A client sends no more than receive maximum unacknowledged PUBLISH packets.", test: receiveMaximumIn},
	{v5: "3.3.4-8", says: "A client does not delay other packets for that.", why: client},
	{v5: "3.3.4-9", says: "The server sends no more than receive maximum unacknowledged PUBLISH packets.", test: receiveMaximumOut},
	{v5: "3.3.4-10", says: "The server does not delay other packets for that.", test: othersFlow},
	{v5: "4.9.0-1", says: "The send quota begins above zero and not above receive maximum.", test: receiveMaximumOut},
	{v5: "4.9.0-2", says: "At a quota of zero no PUBLISH at QoS 1 or 2 is sent.", test: receiveMaximumOut},
	{v5: "4.9.0-3", says: "At a quota of zero all other packets are processed and answered.", test: othersFlow},
}

// PUBREL is held back, so that every PUBLISH at QoS 2 stays open.
func receiveMaximumIn(e *env) {
	c := e.dial("c")
	limit := c.Join(wire.Connect{ClientID: e.id("c"), Clean: true}).Props.Int(wire.ReceiveMaximum, 65535)
	if limit == 65535 {
		e.Skip("the server has no receive maximum")
	}
	for i := range uint16(limit) {
		c.Write(wire.Publish{Topic: e.topic("a"), QoS: 2, ID: i + 1}.Bytes(e.version))
		c.Expect(wire.PUBREC)
	}
	c.Write(wire.Publish{Topic: e.topic("a"), QoS: 2, ID: 1, Dup: true}.Bytes(e.version)) // the same again is no other
	c.Expect(wire.PUBREC)
	c.Write(wire.Publish{Topic: e.topic("a"), QoS: 0}.Bytes(e.version)) // QoS 0 does not count
	c.Quiet()
	c.Write(wire.Ack(wire.PUBREL, 1)) // makes room for one
	c.Expect(wire.PUBCOMP)
	c.Write(wire.Publish{Topic: e.topic("a"), QoS: 2, ID: 60001}.Bytes(e.version))
	c.Expect(wire.PUBREC)
	c.Write(wire.Publish{Topic: e.topic("a"), QoS: 2, ID: 60002}.Bytes(e.version))
	c.Refused(0x93)
}

func receiveMaximumOut(e *env) {
	topic := e.topic("a")
	for _, limit := range []int{1, 2, 5} {
		for qos := byte(1); qos < 3; qos++ {
			s := e.join("s", wire.Num(wire.ReceiveMaximum, uint32(limit)))
			s.Subscribe(topic, 2)
			p := e.join("p")
			for _, payload := range payloads(12) {
				p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: qos})
			}
			var open []wire.Packet
			for done := 0; done < 12; done++ {
				for len(open) < min(limit, 12-done) {
					m := s.Expect(wire.PUBLISH)
					if want := payloads(12)[done+len(open)]; string(m.Payload) != want {
						e.Fatalf("want %s next, got %v", want, m)
					}
					open = append(open, m)
				}
				s.Quiet() // the window is full
				m := open[0]
				open = open[1:]
				switch {
				case qos == 2 && done%3 == 2:
					s.Write(wire.AckCode(wire.PUBREC, m.ID, 0x83)) // an error makes room too
				case qos == 2:
					s.Write(wire.Ack(wire.PUBREC, m.ID))
					s.Expect(wire.PUBREL)
					s.Quiet() // PUBREC alone makes no room
					s.Write(wire.Ack(wire.PUBCOMP, m.ID))
				default:
					s.Write(wire.Ack(wire.PUBACK, m.ID))
				}
			}
			s.Quiet()
			s.Leave()
		}
	}
	c := e.dial("zero")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("zero"), Clean: true, Props: []wire.Prop{wire.Num(wire.ReceiveMaximum, 0)}}.Bytes())
	e.refusedConnect(c, 0x82, 0x81)
}

func othersFlow(e *env) {
	topic := e.topic("a")
	s := e.join("s", wire.Num(wire.ReceiveMaximum, 1))
	s.Subscribe(topic, 2)
	p := e.join("p")
	for _, payload := range payloads(5) {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 2})
	}
	m := s.Expect(wire.PUBLISH)
	s.Quiet()
	s.Write(wire.Subscribe(e.version, 70, []wire.Sub{{Filter: e.topic("b")}}))
	s.Expect(wire.SUBACK)
	s.Write(wire.Publish{Topic: e.topic("c"), QoS: 1, ID: 71}.Bytes(e.version))
	s.Expect(wire.PUBACK)
	s.Write(wire.Publish{Topic: e.topic("c"), QoS: 2, ID: 72}.Bytes(e.version))
	s.Expect(wire.PUBREC)
	s.Write(wire.Ack(wire.PUBREL, 72))
	s.Expect(wire.PUBCOMP)
	p.Publish(wire.Publish{Topic: e.topic("b"), Payload: "zero"}) // QoS 0 has no quota
	s.Deliver(e.topic("b"), "zero")
	s.Write(wire.Unsubscribe(e.version, 73, []string{e.topic("b")}))
	s.Expect(wire.UNSUBACK)
	s.Write(wire.Ack(wire.PUBREC, m.ID))
	s.Expect(wire.PUBREL)
	s.Write(wire.Ack(wire.PUBCOMP, m.ID))
	for _, payload := range payloads(5)[1:] {
		s.Deliver(topic, payload)
	}
}
