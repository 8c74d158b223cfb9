package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.14: DISCONNECT.
var disconnectStatements = []statement{
	{v5: "3.14.0-1", says: "The server sends no DISCONNECT before a CONNACK with a code below 0x80.", test: noDisconnectFirst},
	{v3: "3.14.1-1", v5: "3.14.1-1", says: "Reserved bits of DISCONNECT are 0; others are malformed.", test: disconnectFlags},
	{v5: "3.14.2-1", says: "The reason code of DISCONNECT is one of its list.", test: disconnectCodes},
	{v5: "3.14.2-2", says: "The server sends no session expiry in DISCONNECT.", test: disconnectCodes},
	{v5: "3.14.2-3", says: "No reason string makes DISCONNECT larger than the receiver's maximum packet size.", test: smallDisconnect},
	{v5: "3.14.2-4", says: "No user property makes DISCONNECT larger than the receiver's maximum packet size.", test: smallDisconnect},
	{v3: "3.14.4-2", v5: "3.14.4-1", says: "Nothing is sent after DISCONNECT.", test: nothingAfterDisconnect},
	{v3: "3.14.4-1", says: "A client closes the connection after DISCONNECT.", why: client},
	{v5: "3.14.4-2", says: "The sender of DISCONNECT closes the connection.", test: nothingAfterDisconnect},
}

// Whatever is wrong before CONNACK, a DISCONNECT is not the answer.
func noDisconnectFirst(e *env) {
	good := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}
	bad, method := good, good
	bad.Flags = 1
	method.Props = []wire.Prop{wire.Text(wire.AuthMethod, "no-such-method")}
	for _, packet := range [][]byte{
		bad.Bytes(), method.Bytes(), wire.Pingreq(), {0, 0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.Disconnect(e.version, 0x80),
		wire.Frame(wire.CONNECT<<4, nil), {wire.CONNECT << 4, 0xff, 0xff, 0xff, 0x7f},
	} {
		c := e.dial("c")
		c.Write(packet)
		if packet[0]>>4 == wire.CONNECT && len(packet) == 5 {
			c.TryWrite(make([]byte, 1024))
		}
		for _, p := range c.Closed() {
			if p.Type != wire.CONNACK || p.Code < 0x80 {
				e.Errorf("the answer to %x is %v", packet, p)
			}
		}
	}
}

func disconnectFlags(e *env) {
	for flags := byte(1); flags < 16; flags++ {
		topic := e.topic("will")
		s := e.watch("s", topic)
		c := e.withWill("c", wire.Will{Topic: topic, Payload: "x"}, 0)
		c.Write([]byte{wire.DISCONNECT<<4 | flags, 0})
		c.Refused(0x81)
		s.Deliver(topic, "x") // it was no DISCONNECT, so the will stands
	}
	c := e.join("body")
	if e.v5() {
		c.Write([]byte{wire.DISCONNECT << 4, 2, 0x04, 0x01}) // a property length with nothing behind it
	} else {
		c.Write([]byte{wire.DISCONNECT << 4, 1, 0}) // 3.1.1 has nothing behind the fixed header
	}
	c.Refused(0x81)
}

// disconnectReasons is table 3-10 of 5.0, the codes that a server may send.
const disconnectReasons = "\x00\x80\x81\x82\x83\x87\x89\x8B\x8D\x8E\x8F\x90\x93\x94\x95\x96\x97\x98\x99\x9A\x9B\x9C\x9D\x9E\x9F\xA0\xA1\xA2"

// provoke gives connections that the server ends, each for another reason.
func provoke(e *env, props ...wire.Prop) []*wire.Conn {
	var all []*wire.Conn
	for name, packet := range map[string][]byte{
		"malformed":   {wire.PINGREQ<<4 | 1, 0},
		"second":      wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true}.Bytes(),
		"wildcard":    wire.Publish{Topic: "a/#", QoS: 1, ID: 1}.Bytes(e.version),
		"alias":       aliased("", "x", 1).Bytes(e.version),
		"alias zero":  aliased("a", "x", 0).Bytes(e.version),
		"auth":        wire.Auth(0x19, wire.Text(wire.AuthMethod, "x")),
		"type 0":      {0, 0},
		"PINGRESP":    {wire.PINGRESP << 4, 0},
		"huge":        {wire.PUBLISH << 4, 0xff, 0xff, 0xff, 0x7f},
		"five bytes":  {wire.PUBLISH << 4, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"QoS 3":       {wire.PUBLISH<<4 | 6, 4, 0, 1, 'a', 0},
		"UTF-8":       wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "\xff"}}),
		"no filters":  wire.Subscribe(e.version, 1, nil),
		"expiry of 0": wire.Disconnect(e.version, 0, wire.Num(wire.SessionExpiry, 1)),
	} {
		c := e.join(name, props...)
		c.Write(packet)
		all = append(all, c)
	}
	old := e.join("old", props...)
	e.join("old", props...)
	return append(all, old)
}

func disconnectCodes(e *env) {
	for _, c := range provoke(e) {
		before := c.Closed()
		if len(before) != 1 || before[0].Type != wire.DISCONNECT {
			e.Errorf("%s: before the end came %v", c.Name, before)
			continue
		}
		p := before[0]
		if p.Code < 0x80 || !strings.Contains(disconnectReasons, string([]byte{p.Code})) {
			e.Errorf("%s: %v has a reason code that a server does not send", c.Name, p)
		}
		for _, prop := range p.Props {
			if prop.ID != wire.ReasonString && prop.ID != wire.UserProperty && prop.ID != wire.ServerReference {
				e.Errorf("%s: %v has property %v", c.Name, p, prop)
			}
		}
	}
}

func smallDisconnect(e *env) {
	for _, limit := range []uint32{24, 32} {
		for _, c := range provoke(e, wire.Num(wire.MaximumPacketSize, limit)) {
			c.Limit = int(limit)
			c.Closed()
		}
	}
}

// Messages flow to a client while it says DISCONNECT or the server does.
func nothingAfterDisconnect(e *env) {
	topic := e.topic("a")
	p := e.join("p")
	for _, how := range []string{"leaves", "is closed"} {
		s := e.join(how)
		s.Subscribe(topic, 0)
		for _, payload := range payloads(30) {
			p.Publish(wire.Publish{Topic: topic, Payload: payload})
		}
		if how == "leaves" {
			s.Write(wire.Disconnect(e.version, 0))
		} else {
			s.Write([]byte{0, 0})
		}
		for _, payload := range payloads(30) {
			p.Publish(wire.Publish{Topic: topic, Payload: payload})
		}
		ended := false
		for _, got := range s.Closed() {
			if ended || got.Type != wire.PUBLISH && (got.Type != wire.DISCONNECT || how == "leaves") {
				e.Errorf("a client that %s was sent %v", how, got)
			}
			ended = got.Type == wire.DISCONNECT
		}
		if e.v5() && how == "is closed" && !ended {
			e.Errorf("the server closed without DISCONNECT")
		}
	}
	// What a client sends behind its DISCONNECT is not processed.
	p.Ping()
	w := e.watch("w", topic)
	c := e.join("c")
	c.Write(wire.Disconnect(e.version, 0), wire.Publish{Topic: topic, Payload: "late"}.Bytes(e.version))
	c.Closed()
	e.absent(p, w)
}
