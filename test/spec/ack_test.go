package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.
var ackStatements = []statement{
	{v5: "3.4.2-1", says: "The reason code of PUBACK is one of its list.", test: ackCodes},
	{v5: "3.4.2-2", says: "No reason string makes PUBACK larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.4.2-3", says: "No user property makes PUBACK larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.5.2-1", says: "The reason code of PUBREC is one of its list.", test: ackCodes},
	{v5: "3.5.2-2", says: "No reason string makes PUBREC larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.5.2-3", says: "No user property makes PUBREC larger than the receiver's maximum packet size.", test: smallAcks},
	{v3: "3.6.1-1", v5: "3.6.1-1", says: "The flags of PUBREL are 0010; others close the connection.", test: pubrelFlags},
	{v5: "3.6.2-1", says: "The reason code of PUBREL is one of its list.", test: ackCodes},
	{v5: "3.6.2-2", says: "No reason string makes PUBREL larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.6.2-3", says: "No user property makes PUBREL larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.7.2-1", says: "The reason code of PUBCOMP is one of its list.", test: ackCodes},
	{v5: "3.7.2-2", says: "No reason string makes PUBCOMP larger than the receiver's maximum packet size.", test: smallAcks},
	{v5: "3.7.2-3", says: "No user property makes PUBCOMP larger than the receiver's maximum packet size.", test: smallAcks},
}

// ackReasons are the tables of sections 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1.
var ackReasons = map[byte]string{
	wire.PUBACK:  "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
	wire.PUBREC:  "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
	wire.PUBREL:  "\x00\x92",
	wire.PUBCOMP: "\x00\x92",
}

// everyAck makes the server send each kind of acknowledgement, in the usual
// case and in each that calls for another code.
func everyAck(e *env, c *wire.Conn, see func(p wire.Packet)) {
	next := func(kind byte, send ...[]byte) {
		e.Helper()
		c.Write(send...)
		p := c.Await(kind)
		if !strings.Contains(ackReasons[kind], string([]byte{p.Code})) {
			e.Errorf("%v has a reason code that its type does not have", p)
		}
		see(p)
	}
	user := wire.User("key", strings.Repeat("v", 40))
	for _, topic := range []string{e.topic("nobody"), e.topic("a")} {
		next(wire.PUBACK, wire.Publish{Topic: topic, QoS: 1, ID: 1, Props: []wire.Prop{user}}.Bytes(e.version))
		next(wire.PUBREC, wire.Publish{Topic: topic, QoS: 2, ID: 2, Props: []wire.Prop{user}}.Bytes(e.version))
		next(wire.PUBREC, wire.Publish{Topic: topic, QoS: 2, ID: 2, Dup: true}.Bytes(e.version))
		next(wire.PUBCOMP, wire.AckCode(wire.PUBREL, 2, 0, user))
	}
	next(wire.PUBCOMP, wire.AckCode(wire.PUBREL, 99, 0, user)) // no such identifier
	next(wire.PUBREL, wire.AckCode(wire.PUBREC, 98, 0, user))  // no such identifier
}

func ackCodes(e *env) {
	c := e.join("c")
	e.watch("s", e.topic("a"))
	var unknown []byte
	everyAck(e, c, func(p wire.Packet) {
		if p.ID > 90 {
			unknown = append(unknown, p.Code)
		}
	})
	if string(unknown) != "\x92\x92" {
		e.Errorf("for identifiers that are not in use the codes are %#02x, want 0x92", unknown)
	}
	// A message that a subscriber acknowledges is released with success.
	s := e.watch("s2", e.topic("a"))
	c.Publish(wire.Publish{Topic: e.topic("a"), Payload: "x", QoS: 2})
	m := s.Expect(wire.PUBLISH)
	s.Write(wire.AckCode(wire.PUBREC, m.ID, 0x10, wire.Text(wire.ReasonString, "why"), wire.User("k", "v")))
	if p := s.Expect(wire.PUBREL); p.ID != m.ID || p.Code != 0 {
		e.Errorf("PUBREC was answered with %v", p)
	}
	s.Write(wire.AckCode(wire.PUBCOMP, m.ID, 0))
	s.Quiet()
}

func smallAcks(e *env) {
	for _, limit := range []uint32{5, 8, 16, 32} {
		c := e.dial("c")
		c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Props: []wire.Prop{wire.Num(wire.MaximumPacketSize, limit)}}.Bytes())
		p, err := c.Answer()
		if err != nil && limit < 32 {
			continue // CONNACK itself does not fit
		}
		if p.Code != 0 {
			e.Fatalf("CONNECT was answered with %v (%v)", p, err)
		}
		c.Limit = int(limit)
		everyAck(e, c, func(wire.Packet) {})
		c.Write(wire.Subscribe(e.version, 5, []wire.Sub{{Filter: e.topic("x")}}, wire.User("k", "v")))
		c.Await(wire.SUBACK)
		c.Write(wire.Unsubscribe(e.version, 6, []string{e.topic("y")}, wire.User("k", "v")))
		c.Await(wire.UNSUBACK)
		c.Write([]byte{wire.PINGREQ<<4 | 1, 0})
		c.Closed()
	}
}

func pubrelFlags(e *env) {
	for flags := range byte(16) {
		if flags == 2 {
			continue
		}
		c := e.join("c")
		c.Write(wire.Publish{Topic: e.topic("a"), QoS: 2, ID: 1}.Bytes(e.version))
		c.Expect(wire.PUBREC)
		c.Write([]byte{wire.PUBREL<<4 | flags, 2, 0, 1})
		c.Refused(0x81)
	}
}
