package spec

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.1: CONNECT, beside wills and sessions.
var connectStatements = []statement{
	{v3: "3.1.0-1", v5: "3.1.0-1", says: "The first packet of a connection is a CONNECT.", test: firstPacket},
	{v3: "3.1.0-2", v5: "3.1.0-2", says: "A second CONNECT closes the connection.", test: secondConnect},
	{v3: "3.1.2-1", v5: "3.1.2-1", says: "The protocol name is MQTT; another one is not processed and the connection is closed.", test: protocolName},
	{v3: "3.1.2-2", v5: "3.1.2-2", says: "An unsupported protocol level is answered so and closes the connection.", test: protocolLevel},
	{v3: "3.1.2-3", v5: "3.1.2-3", says: "The reserved flag of CONNECT is zero, else the connection is closed.", test: reservedConnectFlag},
	{v3: "3.1.2-18", v5: "3.1.2-16", says: "User name flag 0: the payload has no user name.", test: extraUserName},
	{v3: "3.1.2-19", v5: "3.1.2-17", says: "User name flag 1: the payload has a user name.", test: missingUserName},
	{v3: "3.1.2-20", v5: "3.1.2-18", says: "Password flag 0: the payload has no password.", test: extraPassword},
	{v3: "3.1.2-21", v5: "3.1.2-19", says: "Password flag 1: the payload has a password.", test: missingPassword},
	{v3: "3.1.2-22", says: "Without a user name there is no password.", test: passwordAlone},
	{v3: "3.1.2-23", v5: "3.1.2-20", says: "A client with a keep alive sends something within it.", why: client},
	{v5: "3.1.2-21", says: "A client uses the keep alive that the server returns.", why: client + "; 3.2.2-21 shows that the server enforces its own value"},
	{v3: "3.1.2-24", v5: "3.1.2-22", says: "A client that is silent for one and a half times its keep alive is disconnected.", test: keepAlive},
	{v5: "3.1.2-24", says: "The server sends no packet that is larger than the client's maximum packet size.", test: maximumPacketSize},
	{v5: "3.1.2-25", says: "A message that is too large for a client is dropped as if it had been delivered.", test: tooLargeIsDone},
	{v5: "3.1.2-28", says: "With request response information 0 the server returns no response information.", test: responseInformation},
	{v5: "3.1.2-29", says: "With request problem information 0 only PUBLISH, CONNACK and DISCONNECT carry a reason string or user properties.", test: problemInformation},
	{v5: "3.1.2-30", says: "A client that named an authentication method sends AUTH and DISCONNECT only, until CONNACK.", test: authWrongCode},
	{v3: "3.1.3-1", v5: "3.1.3-1", says: "The payload of CONNECT has its fields in order.", test: payloadOrder},
	{v3: "3.1.3-3", v5: "3.1.3-3", says: "The client identifier is there, first in the payload.", test: identifierMissing},
	{v3: "3.1.3-4", v5: "3.1.3-4", says: "The client identifier is a UTF-8 string.", test: illFormedIn("client-id")},
	{v3: "3.1.3-5", v5: "3.1.3-5", says: "Identifiers of 1 to 23 letters and digits are allowed.", test: plainIdentifiers},
	{v3: "3.1.3-6", v5: "3.1.3-6", says: "A client with an empty identifier is given one of its own.", test: emptyIdentifiers},
	{v3: "3.1.3-7", says: "An empty identifier goes with clean session 1.", test: emptyNotClean},
	{v5: "3.1.3-7", says: "The assigned identifier is returned and is the client's from then on.", test: assignedIdentifier},
	{v3: "3.1.3-8", says: "An empty identifier with clean session 0 is rejected with code 2.", test: emptyNotClean},
	{v3: "3.1.3-9", says: "A rejected identifier is answered with code 2 and the connection is closed.", test: emptyNotClean},
	{v5: "3.1.3-8", says: "A rejected identifier is answered with 0x85 and the connection is closed.", test: longIdentifier},
	{v3: "3.1.3-10", v5: "3.1.3-11", says: "The will topic is a UTF-8 string.", test: illFormedIn("will-topic")},
	{v3: "3.1.3-11", v5: "3.1.3-12", says: "The user name is a UTF-8 string.", test: illFormedIn("user-name")},
	{v3: "3.1.4-1", v5: "3.1.4-1", says: "A CONNECT that does not conform closes the connection (3.1.1: without CONNACK).", test: malformedConnect},
	{v5: "3.1.4-2", says: "A CONNECT that fails a further check closes the connection.", test: furtherChecks},
	{v3: "3.1.4-4", v5: "3.1.4-5", says: "A valid CONNECT is acknowledged with CONNACK 0.", test: accepted},
	{v3: "3.1.4-5", v5: "3.1.4-6", says: "Nothing that follows a rejected CONNECT is processed.", test: nothingAfterReject},
}

func firstPacket(e *env) {
	for _, packet := range [][]byte{
		wire.Publish{Topic: e.topic("a"), Payload: "x"}.Bytes(e.version),
		wire.Publish{Topic: e.topic("a"), Payload: "x", QoS: 1, ID: 1}.Bytes(e.version),
		wire.Ack(wire.PUBACK, 1), wire.Ack(wire.PUBREC, 1), wire.Ack(wire.PUBREL, 1), wire.Ack(wire.PUBCOMP, 1),
		wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}}),
		wire.Unsubscribe(e.version, 1, []string{"a"}),
		wire.Pingreq(), wire.Disconnect(e.version, 0),
		wire.Auth(0x18, wire.Text(wire.AuthMethod, "x")),
		{wire.CONNACK << 4, 2, 0, 0}, {wire.PINGRESP << 4, 0}, {0, 0},
	} {
		c := e.dial("c")
		c.Write(packet)
		if before := c.Closed(); len(before) > 0 {
			e.Errorf("%s before CONNECT was answered with %v", wire.TypeName(packet[0]>>4), before)
		}
	}
}

func secondConnect(e *env) {
	c := e.join("c")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes())
	c.Refused(0x82)
	// In one write with the first one.
	c = e.dial("d")
	one := wire.Connect{Version: e.version, ClientID: e.id("d"), Clean: true}.Bytes()
	c.Write(one, one)
	c.Expect(wire.CONNACK)
	c.Refused(0x82)
}

func protocolName(e *env) {
	for _, name := range []string{"MQTX", "mqtt", "MQTTT", "MQT", "HTTP", "MQTT\x00"} {
		c := e.dial(name)
		c.Version = wire.V311
		c.Write(wire.Connect{Version: e.version, Protocol: name, ClientID: e.id("x"), Clean: true}.Bytes(), wire.Pingreq())
		c.Version = e.version
		rejectedLevel(e, c, false)
	}
}

// A server cannot know how the sender of an unknown level reads CONNACK, so
// both forms are right, except below 3.1.1, where only its own form existed.
func protocolLevel(e *env) {
	for _, level := range []byte{0, 1, 3, 6, 7, 0x7f, 0x84, 0x85, 0xff} {
		c := e.dial("level")
		packet := wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true}.Bytes()
		packet[8] = level
		c.Write(packet, wire.Pingreq())
		rejectedLevel(e, c, !e.v5())
	}
}

// rejectedLevel reads the raw answer: nothing, CONNACK 0x01 of 3.1.1 or CONNACK
// 0x84 of 5.0, and then the end.
func rejectedLevel(e *env, c *wire.Conn, must bool) {
	e.Helper()
	var got []byte
	buf := make([]byte, 64)
	c.Net().SetReadDeadline(time.Now().Add(wire.Patience))
	for {
		n, err := c.Net().Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				e.Fatalf("%s: the connection stays open after %x", c.Name, got)
			}
			break
		}
	}
	answers := []string{"\x20\x02\x00\x01", "\x20\x03\x00\x84\x00"}
	if len(got) == 0 && must || len(got) > 0 && !slices.Contains(answers, string(got)) && !strings.HasPrefix(string(got[min(2, len(got)):]), "\x00\x84") {
		e.Errorf("%s: the answer is %x", c.Name, got)
	}
}

func reservedConnectFlag(e *env) {
	c := e.dial("c")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Flags: 1}.Bytes())
	e.refusedConnect(c, 0x81)
}

// A flag that does not fit the payload leaves bytes over, or lacks some.
func extraUserName(e *env) {
	c := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes()
	sendBad(e, "extra", true, resize(append(c, "\x00\x04user"...)))
}

func missingUserName(e *env) {
	sendBad(e, "missing", true, wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Flags: 0x80}.Bytes())
}

func extraPassword(e *env) {
	user := "user"
	c := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Username: &user}.Bytes()
	sendBad(e, "extra", true, resize(append(c, "\x00\x04pass"...)))
}

func missingPassword(e *env) {
	user := "user"
	sendBad(e, "missing", true, wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Username: &user, Flags: 0x40}.Bytes())
}

func passwordAlone(e *env) {
	password := "secret"
	sendBad(e, "alone", true, wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Password: &password}.Bytes())
}

// resize writes the remaining length of a short packet again.
func resize(packet []byte) []byte {
	return wire.Frame(packet[0], packet[2:])
}

// Any packet counts, not only PINGREQ; without one the end comes after one and
// a half times the keep alive and not before.
func keepAlive(e *env) {
	c := e.dial("c")
	c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, KeepAlive: 2})
	var last time.Time
	for i := range 4 {
		sleep(1.2)
		last = time.Now()
		if i%2 == 0 {
			c.Ping()
		} else {
			c.Publish(wire.Publish{Topic: e.topic("a"), QoS: 1})
		}
	}
	for _, p := range c.Closed() {
		if p.Type != wire.DISCONNECT || p.Code != 0x8D {
			e.Errorf("before the end came %v", p)
		}
	}
	if silent := time.Since(last); silent < 3*time.Second {
		e.Errorf("disconnected after %v of silence, with a keep alive of 2 s", silent)
	}
	forever := e.join("zero") // keep alive 0: never
	sleep(2)
	forever.Ping()
}

func maximumPacketSize(e *env) {
	topic := e.topic("a")
	const limit = 100
	s := e.join("s", wire.Num(wire.MaximumPacketSize, limit))
	other := e.watch("other", topic)
	s.Limit = limit
	s.Subscribe(topic, 2)
	p := e.join("p")
	overhead := len(wire.Publish{Topic: topic, QoS: 1}.Bytes(e.version))
	for _, n := range []int{1, limit - overhead - 1, limit - overhead, limit - overhead + 1, 200, 5000, 1} {
		payload := strings.Repeat("x", n)
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 1})
		other.Deliver(topic, payload)
		if overhead+n <= limit {
			s.Deliver(topic, payload)
		}
	}
	e.absent(p, s)
}

func tooLargeIsDone(e *env) {
	topic := e.topic("a")
	s := e.join("s", wire.Num(wire.MaximumPacketSize, 100), wire.Num(wire.ReceiveMaximum, 1))
	s.Subscribe(topic, 2)
	p := e.join("p")
	large := strings.Repeat("x", 300)
	for range 5 {
		p.Publish(wire.Publish{Topic: topic, Payload: large, QoS: 1})
		p.Publish(wire.Publish{Topic: topic, Payload: large, QoS: 2})
		p.Publish(wire.Publish{Topic: topic, Payload: "small", QoS: 2})
		s.Deliver(topic, "small") // the window of one is not taken by what was dropped
	}
	e.absent(p, s)
	// The same for a session that is resumed: what waited is dropped too.
	c, _ := e.resume("r")
	c.Subscribe(topic, 1)
	c.Leave()
	p.Publish(wire.Publish{Topic: topic, Payload: large, QoS: 1})
	p.Publish(wire.Publish{Topic: topic, Payload: "small", QoS: 1})
	c, _ = e.resume("r", wire.Num(wire.MaximumPacketSize, 100))
	c.Deliver(topic, "small")
	c.Quiet()
}

func responseInformation(e *env) {
	for _, props := range [][]wire.Prop{nil, {wire.Num(wire.RequestResponseInfo, 0)}} {
		c := e.dial("c")
		if p := c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, Props: props}); p.Props.Has(wire.ResponseInfo) {
			e.Errorf("not asked for, but CONNACK has response information: %v", p)
		}
	}
}

// Each answer that could explain itself is asked for, by a client that wants no
// explanations.
func problemInformation(e *env) {
	c := e.join("c", wire.Num(wire.RequestProblemInfo, 0))
	bare := func(p wire.Packet) {
		e.Helper()
		if p.Props.Has(wire.ReasonString) || p.Props.Has(wire.UserProperty) {
			e.Errorf("%v explains itself", p)
		}
	}
	user := wire.User("k", "v")
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: e.topic("a")}, {Filter: "$share//x"}, {Filter: e.topic("#")}}, user))
	if p := c.Read(); p.Type != wire.DISCONNECT {
		bare(p)
	}
	c = e.join("d", wire.Num(wire.RequestProblemInfo, 0))
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: e.topic("a")}}, user))
	bare(c.Expect(wire.SUBACK))
	c.Write(wire.Unsubscribe(e.version, 2, []string{e.topic("none")}, user))
	bare(c.Expect(wire.UNSUBACK))
	bare(c.Publish(wire.Publish{Topic: e.topic("none"), QoS: 1, Props: []wire.Prop{user}}))
	c.Write(wire.AckCode(wire.PUBREL, 77, 0x92, user))
	bare(c.Expect(wire.PUBCOMP))
	c.Write(wire.AckCode(wire.PUBREC, 78, 0, user))
	bare(c.Expect(wire.PUBREL))
}

func furtherChecks(e *env) {
	c := e.dial("c")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Props: []wire.Prop{wire.Text(wire.AuthMethod, "no-such-method")}}.Bytes(), wire.Pingreq())
	e.refusedConnect(c, 0x8C, 0x87)
}

func payloadOrder(e *env) {
	user, password := "user", "password"
	topic := e.topic("will")
	s := e.watch("s", topic)
	c := e.dial("c")
	c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, Username: &user, Password: &password, Will: &wire.Will{Topic: topic, Payload: "last words"}})
	c.Close()
	s.Deliver(topic, "last words")
	// The identifier came first: its session is the one that was named.
	d, _ := e.resume("d")
	d.Leave()
	if _, p := e.resume("d"); p.Present != 1 {
		e.Errorf("the session of %q is not found again", e.id("d"))
	}
}

func identifierMissing(e *env) {
	c := wire.Connect{Version: e.version, Clean: true}.Bytes()
	sendBad(e, "none", true, resize(c[:len(c)-2]))
	sendBad(e, "half", true, resize(c[:len(c)-1]))
	sendBad(e, "short", true, resize(append(c[:len(c)-2:len(c)-2], "\x00\x05abc"...)))
}

// illFormedIn sends ill-formed UTF-8 at one place.
func illFormedIn(name string) func(e *env) {
	return func(e *env) {
		for _, spot := range textSpots {
			if spot.name != name {
				continue
			}
			for _, s := range append([]string{"\x00"}, illFormed...) {
				sendBad(e, name, spot.connect, spot.packet(e, s))
			}
		}
	}
}

func plainIdentifiers(e *env) {
	const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, id := range []string{"0", "z", all[:23], all[23:46], all[39:]} {
		c := e.dial(id)
		c.Join(wire.Connect{ClientID: id, Clean: true})
		c.TryWrite(wire.Pingreq()) // another run may take the identifier over
	}
}

func emptyIdentifiers(e *env) {
	var all []*wire.Conn
	for range 4 {
		c := e.dial("empty")
		c.Join(wire.Connect{Clean: true})
		c.Subscribe(e.topic("a"), 0)
		all = append(all, c)
	}
	all[0].Publish(wire.Publish{Topic: e.topic("a"), Payload: "x"})
	for _, c := range all { // each is alive, with a subscription of its own
		c.Deliver(e.topic("a"), "x")
	}
}

func emptyNotClean(e *env) {
	c := e.dial("c")
	c.Write(wire.Connect{Version: e.version}.Bytes())
	c.Rejected(0x02)
}

func assignedIdentifier(e *env) {
	stay := wire.Num(wire.SessionExpiry, 60)
	c := e.dial("c")
	id := c.Join(wire.Connect{Props: []wire.Prop{stay}}).Props.Text(wire.AssignedClientID)
	if id == "" {
		e.Fatal("CONNACK has no assigned client identifier")
	}
	c.Subscribe(e.topic("a"), 1)
	c.Close()
	c = e.dial("again")
	if p := c.Join(wire.Connect{ClientID: id, Props: []wire.Prop{stay}}); p.Present != 1 || p.Props.Has(wire.AssignedClientID) {
		e.Fatalf("the session of %q is not found again, or another identifier assigned: %v", id, p)
	}
	c.Publish(wire.Publish{Topic: e.topic("a"), Payload: "x"})
	c.Deliver(e.topic("a"), "x")
}

// Whether the longest identifier is accepted is the server's choice; how it
// says no is not.
func longIdentifier(e *env) {
	id := e.id(strings.Repeat("x", 65000))
	c := e.dial("c")
	c.Write(wire.Connect{Version: e.version, ClientID: id, Clean: true}.Bytes())
	if p := c.Expect(wire.CONNACK); p.Code == 0 {
		c.Quiet()
		return
	} else if p.Code != 0x85 || p.Present != 0 {
		e.Errorf("a long identifier was answered with %v", p)
	}
	if after := c.Closed(); len(after) > 0 {
		e.Errorf("after the CONNACK came %v", after)
	}
}

func malformedConnect(e *env) {
	good := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Will: &wire.Will{Topic: e.topic("w"), Payload: "x"}}.Bytes()
	for cut := 2; cut < len(good); cut++ { // cut short, with a remaining length that says so
		c := e.dial("cut")
		c.Write(wire.Frame(good[0], good[2:cut]))
		e.refusedConnect(c, 0x81, 0x82, 0x84, 0x85, 0x90)
	}
	c := e.dial("long")
	c.Write(wire.Frame(good[0], good[2:], []byte{0}))
	e.refusedConnect(c, 0x81)
	for _, topic := range []string{"", "a/+", "#"} {
		c := e.dial("will")
		c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Will: &wire.Will{Topic: topic}}.Bytes())
		e.refusedConnect(c, 0x81, 0x82, 0x90)
	}
	if !e.v5() {
		return
	}
	for _, props := range [][]wire.Prop{
		{wire.Num(wire.SessionExpiry, 1), wire.Num(wire.SessionExpiry, 1)},
		{wire.Num(wire.ReceiveMaximum, 0)}, {wire.Num(wire.MaximumPacketSize, 0)},
		{wire.Num(wire.RequestProblemInfo, 2)}, {wire.Num(wire.RequestResponseInfo, 2)},
		{wire.Num(wire.TopicAlias, 1)}, {wire.Text(wire.AuthData, "x")},
	} {
		c := e.dial("props")
		c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Props: props}.Bytes())
		e.refusedConnect(c, 0x81, 0x82)
	}
}

func accepted(e *env) {
	c := e.dial("c")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes())
	if p := c.Expect(wire.CONNACK); p.Code != 0 || p.Present != 0 {
		e.Errorf("CONNACK is %v", p)
	}
	c.Quiet()
}

func nothingAfterReject(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	after := wire.Publish{Topic: topic, Payload: "x", Retain: true}.Bytes(e.version)
	c := e.dial("flag")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Flags: 1}.Bytes(), after)
	e.refusedConnect(c, 0x81)
	c = e.dial("level")
	c.Write(wire.Connect{Version: 7, ClientID: e.id("c"), Clean: true}.Bytes(), after)
	rejectedLevel(e, c, false)
	if !e.v5() {
		c = e.dial("id")
		c.Write(wire.Connect{Version: e.version}.Bytes(), after)
		c.Rejected(0x02)
	}
	p := e.join("p")
	e.absent(p, s)
	late := e.watch("late", topic)
	e.absent(p, late)
}
