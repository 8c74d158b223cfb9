package spec

import (
	"fmt"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 2: fixed header and packet identifiers.
var packetStatements = []statement{
	{v3: "2.2.2-1", v5: "2.1.3-1", says: "Reserved flag bits have the value that the specification lists.", test: reservedFlags},
	{v3: "2.2.2-2", says: "Invalid flags close the connection.", test: invalidFlags},
	{v3: "2.3.1-1", says: "SUBSCRIBE, UNSUBSCRIBE and PUBLISH at QoS 1 and 2 have a packet identifier that is not zero.", test: zeroID},
	{v5: "2.2.1-3", says: "A client gives new SUBSCRIBE, UNSUBSCRIBE and PUBLISH packets an unused identifier that is not zero.", test: zeroID},
	{v3: "2.3.1-2", says: "A client gives each new packet an unused identifier.", why: client},
	{v3: "2.3.1-3", says: "A client that sends a packet again uses the same identifier.", why: client},
	{v3: "2.3.1-4", v5: "2.2.1-4", says: "The server gives each new PUBLISH at QoS 1 and 2 an unused identifier that is not zero.", test: freshIDs},
	{v3: "2.3.1-5", v5: "2.2.1-2", says: "A PUBLISH at QoS 0 has no packet identifier.", test: noIDAtQoS0},
	{v3: "2.3.1-6", v5: "2.2.1-5", says: "PUBACK, PUBREC, PUBREL and PUBCOMP have the identifier of their PUBLISH.", test: ackIDs},
	{v3: "2.3.1-7", v5: "2.2.1-6", says: "SUBACK and UNSUBACK have the identifier of the packet they answer.", test: subackIDs},
	{v5: "2.2.2-1", says: "A packet without properties says so with a property length of zero.", test: noProperties},
}

// The client checks the flags of every packet it reads; here it reads one of
// each type that a server sends, and sends each type with wrong ones.
func reservedFlags(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	for qos := range byte(3) {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos})
		if got := s.Deliver(topic, "x"); got.QoS() != qos || got.Dup() || got.Retain() {
			e.Fatalf("published at QoS %d, got %v", qos, got)
		}
	}
	s.Unsubscribe(topic)
	s.Quiet()
	invalidFlags(e)
}

func invalidFlags(e *env) {
	packets := map[string][]byte{
		"PUBACK": wire.Ack(wire.PUBACK, 1), "PUBREC": wire.Ack(wire.PUBREC, 1), "PUBREL": wire.Ack(wire.PUBREL, 1), "PUBCOMP": wire.Ack(wire.PUBCOMP, 1),
		"SUBSCRIBE":   wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}}),
		"UNSUBSCRIBE": wire.Unsubscribe(e.version, 1, []string{"a"}),
		"PINGREQ":     wire.Pingreq(),
		"DISCONNECT":  wire.Disconnect(e.version, 0),
	}
	if e.v5() {
		packets["AUTH"] = wire.Auth(0x19, wire.Text(wire.AuthMethod, "x"))
	}
	for name, packet := range packets {
		for flip := byte(1); flip < 16; flip++ {
			if flip > 2 && flip != 8 && flip != 15 {
				continue
			}
			c := e.join(name)
			bad := append([]byte{packet[0] ^ flip}, packet[1:]...)
			c.Write(bad)
			c.Refused(0x81)
		}
	}
	for flags := byte(1); flags < 16; flags <<= 1 {
		c := e.dial("CONNECT")
		bad := wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true}.Bytes()
		bad[0] |= flags
		c.Write(bad)
		e.refusedConnect(c, 0x81)
	}
}

func zeroID(e *env) {
	for name, packet := range map[string][]byte{
		"SUBSCRIBE":     wire.Subscribe(e.version, 0, []wire.Sub{{Filter: "a"}}),
		"UNSUBSCRIBE":   wire.Unsubscribe(e.version, 0, []string{"a"}),
		"PUBLISH QoS 1": wire.Publish{Topic: "a", QoS: 1}.Bytes(e.version),
		"PUBLISH QoS 2": wire.Publish{Topic: "a", QoS: 2}.Bytes(e.version),
	} {
		c := e.join(name)
		c.Write(packet)
		c.Refused(0x81, 0x82)
	}
}

// Messages stay unacknowledged, some are acknowledged out of order, more come:
// no identifier is used while it is in use.
func freshIDs(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	open := map[uint16]wire.Packet{}
	take := func(n int) {
		for i := range n {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: byte(1 + i%2)})
		}
		for range n {
			got := s.Expect(wire.PUBLISH)
			if _, used := open[got.ID]; got.ID == 0 || used {
				e.Fatalf("identifier %d is zero or in use already", got.ID)
			}
			open[got.ID] = got
		}
	}
	take(8)
	n := 0
	for id, got := range open {
		if n++; n%2 == 0 {
			s.Acknowledge(got)
			delete(open, id)
		}
	}
	take(8)
}

// An identifier would be read as the first two bytes of the properties or of
// the payload.
func noIDAtQoS0(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "payload", QoS: 0})
	got := s.Deliver(topic, "payload")
	want := wire.Publish{Topic: topic, Payload: "payload"}.Bytes(e.version)
	if string(got.Raw) != string(want) {
		e.Fatalf("the PUBLISH is %x, want %x", got.Raw, want)
	}
}

func ackIDs(e *env) {
	topic := e.topic("a")
	s, p := e.watch("s", topic), e.join("p")
	for _, id := range []uint16{1, 2, 255, 256, 0x1234, 65535} {
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1, ID: id}) // checks PUBACK
		s.Deliver(topic, "x")
		p.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 2, ID: id}) // checks PUBREC and PUBCOMP
		s.Deliver(topic, "y")                                               // checks PUBREL
	}
}

func subackIDs(e *env) {
	c := e.join("c")
	for _, id := range []uint16{1, 2, 255, 256, 0x1234, 65535} {
		topic := e.topic(fmt.Sprint(id))
		c.Write(wire.Subscribe(e.version, id, []wire.Sub{{Filter: topic}}))
		if p := c.Expect(wire.SUBACK); p.ID != id {
			e.Fatalf("SUBSCRIBE %d was answered with %v", id, p)
		}
		c.Write(wire.Unsubscribe(e.version, id, []string{topic}))
		if p := c.Expect(wire.UNSUBACK); p.ID != id {
			e.Fatalf("UNSUBSCRIBE %d was answered with %v", id, p)
		}
	}
}

func noProperties(e *env) {
	topic := e.topic("a")
	c := e.dial("c")
	check := func(p wire.Packet) {
		e.Helper()
		if !p.HasProp {
			e.Errorf("%v has no property length: %x", p, p.Raw)
		}
	}
	check(c.Join(wire.Connect{ClientID: e.id("c"), Clean: true}))
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: topic}}))
	check(c.Expect(wire.SUBACK))
	c.Publish(wire.Publish{Topic: topic, Payload: "x"})
	got := c.Deliver(topic, "x")
	check(got)
	if len(got.Props) > 0 {
		e.Errorf("sent without properties, came with %v", got.Props)
	}
	c.Write(wire.Unsubscribe(e.version, 2, []string{topic}))
	check(c.Expect(wire.UNSUBACK))
}
