package spec

import (
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 4.8 of 3.1.1 and 4.13 of 5.0: errors.
var errorStatements = []statement{
	{v3: "4.8.0-1", v5: "4.13.1-1", says: "A malformed packet or a protocol error closes the connection.", test: protocolErrors},
	{v3: "4.8.0-2", says: "A transient error while a packet is processed closes the connection.", why: "no transient error can be caused from outside while the node runs; 4.13.2-1 of 5.0 shows what an error ends with"},
	{v5: "4.13.2-1", says: "CONNACK and DISCONNECT of 0x80 and above are followed by the end of the connection.", test: errorsEnd},
}

func protocolErrors(e *env) {
	for _, packet := range [][]byte{
		{0x00, 0x00},
		{wire.CONNACK << 4, 2, 0, 0}, {wire.SUBACK << 4, 3, 0, 1, 0}, {wire.UNSUBACK << 4, 2, 0, 1}, {wire.PINGRESP << 4, 0},
		{wire.PINGREQ << 4, 1, 0},
		{wire.PUBLISH << 4, 0x80, 0x80, 0x80, 0x80, 0x01},
		{wire.PUBLISH << 4, 0},
		{wire.PUBLISH<<4 | 2, 3, 0, 1, 'a'}, // QoS 1 without an identifier
		{wire.PUBACK << 4, 1, 0}, {wire.PUBREC << 4, 0}, {wire.PUBREL<<4 | 2, 1, 0}, {wire.PUBCOMP << 4, 0},
		{wire.SUBSCRIBE<<4 | 2, 0}, {wire.SUBSCRIBE<<4 | 2, 2, 0, 1}, {wire.SUBSCRIBE<<4 | 2, 5, 0, 1, 0, 5, 'a'},
		{wire.UNSUBSCRIBE<<4 | 2, 0}, {wire.UNSUBSCRIBE<<4 | 2, 2, 0, 1},
		wire.Connect{Version: e.version, ClientID: e.id("x")}.Bytes(),
	} {
		c := e.join("c")
		c.Write(packet)
		c.Refused(0x81, 0x82)
	}
	if !e.v5() {
		c := e.join("auth") // 3.1.1 has no type 15
		c.Write([]byte{0xf0, 0})
		c.Refused()
		c = e.join("qos") // nor a QoS above 2 or other bits in a subscription
		c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a", Options: 3}}))
		c.Refused()
		c = e.join("bits")
		c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a", Options: 4}}))
		c.Refused()
		c = e.join("ack") // acknowledgements have an identifier and nothing else
		c.Write([]byte{wire.PUBACK << 4, 3, 0, 1, 0})
		c.Refused()
		return
	}
	for _, props := range [][]wire.Prop{
		{wire.Num(wire.ReceiveMaximum, 1)}, // of another packet
		{wire.Num(wire.PayloadFormat, 1), wire.Num(wire.PayloadFormat, 1)},
	} {
		c := e.join("props")
		c.Write(wire.Publish{Topic: e.topic("a"), QoS: 1, ID: 1, Props: props}.Bytes(e.version))
		c.Refused(0x81, 0x82)
	}
	c := e.join("subscribe")
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}}, wire.Num(wire.SubscriptionID, 0)))
	c.Refused(0x82, 0x81)
}

func errorsEnd(e *env) {
	for _, c := range provoke(e) {
		before := c.Closed() // waits for the end
		for _, p := range before {
			if p.Code < 0x80 {
				e.Errorf("%s: before the end came %v", c.Name, p)
			}
		}
	}
	c := e.dial("connack")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Props: []wire.Prop{wire.Text(wire.AuthMethod, "no-such-method")}}.Bytes())
	c.Rejected(0x8C, 0x87)
	// A client's DISCONNECT ends the connection too, whatever its code.
	for _, code := range []byte{0x00, 0x04, 0x80, 0x81, 0x99} {
		c := e.join("c")
		c.Write(wire.Disconnect(e.version, code, wire.Text(wire.ReasonString, "enough")))
		if after := c.Closed(); len(after) > 0 {
			e.Errorf("DISCONNECT %#02x was answered with %v", code, after)
		}
	}
}
