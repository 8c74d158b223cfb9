package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 1.5: how data is represented.
var dataStatements = []statement{
	{v3: "1.5.3-1", v5: "1.5.4-1", says: "Strings are well-formed UTF-8; a packet with an ill-formed one closes the connection.", test: illFormedText},
	{v3: "1.5.3-2", v5: "1.5.4-2", says: "Strings do not hold U+0000; a packet with one closes the connection.", test: nulText},
	{v3: "1.5.3-3", v5: "1.5.4-3", says: "U+FEFF is a character like others, and is neither skipped nor stripped.", test: byteOrderMark},
	{v5: "1.5.5-1", says: "A variable byte integer has as few bytes as its value needs.", test: shortVarints},
	{v5: "1.5.7-1", says: "Both strings of a string pair obey the rules for strings.", test: pairText},
}

// illFormed are byte sequences that no UTF-8 decoder may accept.
var illFormed = []string{"\xff", "a\x80b", "\xc0\x80", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xe2\x82", "\xf0\x9f\x98"}

// textSpots are the places of packets where a string stands. Each sends one
// packet that holds s there.
var textSpots = []struct {
	name    string
	connect bool // the packet is a CONNECT
	v5      bool // 5.0 has it only
	packet  func(e *env, s string) []byte
}{
	{"client-id", true, false, func(e *env, s string) []byte {
		return wire.Connect{Version: e.version, ClientID: s, Clean: true}.Bytes()
	}},
	{"will-topic", true, false, func(e *env, s string) []byte {
		return wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Will: &wire.Will{Topic: "a/" + s}}.Bytes()
	}},
	{"user-name", true, false, func(e *env, s string) []byte {
		return wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Username: &s}.Bytes()
	}},
	{"connect-user-property", true, true, func(e *env, s string) []byte {
		return wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Props: []wire.Prop{wire.User("k", s)}}.Bytes()
	}},
	{"will-content-type", true, true, func(e *env, s string) []byte {
		w := &wire.Will{Topic: "w", Props: []wire.Prop{wire.Text(wire.ContentType, s)}}
		return wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Will: w}.Bytes()
	}},
	{"topic-name", false, false, func(e *env, s string) []byte {
		return wire.Publish{Topic: "a/" + s, Payload: "x"}.Bytes(e.version)
	}},
	{"filter", false, false, func(e *env, s string) []byte {
		return wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a/" + s}})
	}},
	{"unsubscribe-filter", false, false, func(e *env, s string) []byte {
		return wire.Unsubscribe(e.version, 1, []string{"a/" + s})
	}},
	{"response-topic", false, true, func(e *env, s string) []byte {
		return wire.Publish{Topic: "a", Props: []wire.Prop{wire.Text(wire.ResponseTopic, "a/"+s)}}.Bytes(e.version)
	}},
	{"content-type", false, true, func(e *env, s string) []byte {
		return wire.Publish{Topic: "a", Props: []wire.Prop{wire.Text(wire.ContentType, s)}}.Bytes(e.version)
	}},
	{"disconnect-reason", false, true, func(e *env, s string) []byte {
		return wire.Disconnect(e.version, 4, wire.Text(wire.ReasonString, s))
	}},
}

// badText sends every string at every place where a string stands.
func badText(e *env, bad []string) {
	for _, spot := range textSpots {
		if spot.v5 && !e.v5() {
			continue
		}
		for _, s := range bad {
			sendBad(e, spot.name, spot.connect, spot.packet(e, s))
		}
	}
}

// sendBad sends one packet that must close the connection.
func sendBad(e *env, name string, isConnect bool, packet []byte) {
	e.Helper()
	if isConnect {
		c := e.dial(name)
		c.Write(packet)
		e.refusedConnect(c, 0x81, 0x82, 0x85, 0x90)
		return
	}
	c := e.join(name)
	c.Write(packet)
	c.Refused(0x81, 0x82, 0x90, 0x8F)
}

func illFormedText(e *env) { badText(e, illFormed) }

func nulText(e *env) { badText(e, []string{"\x00", "a\x00", "\x00b"}) }

func byteOrderMark(e *env) {
	const bom = "\xef\xbb\xbf"
	for _, topic := range []string{e.topic("a") + bom + "b", bom + e.topic("c"), e.topic("d/" + bom)} {
		with, without := e.watch("with", topic), e.watch("without", strings.ReplaceAll(topic, bom, "")+"x")
		without.Subscribe(strings.TrimSuffix(strings.ReplaceAll(topic, bom, ""), "/")+"/", 0)
		p := e.join("p")
		p.Publish(wire.Publish{Topic: topic, Payload: "x"})
		with.Deliver(topic, "x")
		e.absent(p, without)
	}
}

// The client reads strictly: an integer that is longer than it need be fails
// the test. Here packets pass every border of one, two and three bytes.
func shortVarints(e *env) {
	s := e.watch("s", e.topic("#"))
	p := e.join("p")
	for _, n := range []int{0, 1, 90, 126, 127, 128, 129, 16200, 16382, 16383, 16384, 16385} {
		topic, payload := e.topic("v"), strings.Repeat("x", n)
		p.Publish(wire.Publish{Topic: topic, Payload: payload})
		s.Deliver(topic, payload)
		p.Publish(wire.Publish{Topic: topic, Payload: "x", Props: []wire.Prop{wire.User("k", payload)}})
		if got := s.Deliver(topic, "x"); got.Props.Text(wire.UserProperty) != payload {
			e.Fatalf("user property of %d bytes came as %d bytes", n, len(got.Props.Text(wire.UserProperty)))
		}
	}
	for _, id := range []uint32{1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455} {
		topic := e.topic("id")
		s.Subscribe(topic, 0, wire.Num(wire.SubscriptionID, id))
		p.Publish(wire.Publish{Topic: topic, Payload: "y"})
		if got := s.Deliver(topic, "y"); got.Props.Int(wire.SubscriptionID, 0) != id {
			e.Fatalf("subscription identifier %d came as %v", id, got.Props)
		}
	}
}

func pairText(e *env) {
	for _, bad := range append([]string{"\x00"}, illFormed...) {
		for _, pair := range []wire.Prop{wire.User(bad, "v"), wire.User("k", bad)} {
			c := e.join("publish")
			c.Write(wire.Publish{Topic: e.topic("a"), Props: []wire.Prop{pair}}.Bytes(e.version))
			c.Refused(0x81)
			c = e.join("subscribe")
			c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}}, pair))
			c.Refused(0x81)
		}
	}
}
