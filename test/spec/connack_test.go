package spec

import (
	"strings"
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Section 3.2: CONNACK.
var connackStatements = []statement{
	{v3: "3.2.0-1", v5: "3.2.0-1", says: "The first packet from the server is the CONNACK (5.0: or AUTH).", test: connackFirst},
	{v5: "3.2.0-2", says: "The server sends one CONNACK in a connection.", test: connackFirst},
	{v5: "3.2.2-1", says: "Bits 7 to 1 of the acknowledge flags are 0.", test: sessionPresent},
	{v3: "3.2.2-1", v5: "3.2.2-2", says: "Clean start: session present is 0.", test: sessionPresent},
	{v3: "3.2.2-2 3.2.2-3", v5: "3.2.2-3", says: "Without clean start, session present tells whether there was a session.", test: sessionPresent},
	{v3: "3.2.2-4", v5: "3.2.2-6", says: "CONNACK with an error has session present 0.", test: connackError},
	{v3: "3.2.2-5", v5: "3.2.2-7", says: "CONNACK with an error is followed by the end of the connection.", test: connackError},
	{v3: "3.2.2-6", says: "When no return code fits, the connection is closed without CONNACK.", test: malformedConnect},
	{v5: "3.2.2-4", says: "A client without session state closes the connection on session present 1.", why: client},
	{v5: "3.2.2-5", says: "A client discards its session state on session present 0.", why: client},
	{v5: "3.2.2-8", says: "The reason code of CONNACK is one of the list.", test: connackCodes},
	{v5: "3.2.2-9", says: "A server without QoS 1 or 2 says so in CONNACK.", test: maximumQoS},
	{v5: "3.2.2-10", says: "A server without QoS 1 or 2 still accepts subscriptions at QoS 1 and 2.", test: maximumQoS},
	{v5: "3.2.2-11", says: "A client does not publish above the maximum QoS.", test: maximumQoS},
	{v5: "3.2.2-12", says: "A will above the maximum QoS is rejected.", test: maximumQoS},
	{v5: "3.2.2-13", says: "A retained will is rejected where retained messages are not available.", test: retainUnavailable},
	{v5: "3.2.2-14", says: "A client does not publish retained messages where they are not available.", test: retainUnavailable},
	{v5: "3.2.2-15", says: "A client does not send packets above the server's maximum packet size.", test: serverPacketSize},
	{v5: "3.2.2-16", says: "The assigned client identifier is in no other use.", test: assignedAnew},
	{v5: "3.2.2-17", says: "A client uses no topic alias above the server's maximum.", test: aliasAbove},
	{v5: "3.2.2-18", says: "A client uses no topic alias when the server gave no maximum.", test: aliasAbove},
	{v5: "3.2.2-19", says: "No reason string makes CONNACK larger than the client's maximum packet size.", test: smallConnack},
	{v5: "3.2.2-20", says: "No user property makes CONNACK larger than the client's maximum packet size.", test: smallConnack},
	{v5: "3.2.2-21", says: "A client uses the keep alive that the server returns; the server enforces it.", test: serverKeepAlive},
	{v5: "3.2.2-22", says: "Without a server keep alive the client's own is enforced.", test: clientKeepAlive},
}

// Everything is sent in one write, and a session with waiting messages is
// resumed: CONNACK still comes first, and once.
func connackFirst(e *env) {
	topic := e.topic("a")
	c, _ := e.resume("c")
	c.Subscribe(topic, 1)
	c.Leave()
	p := e.join("p")
	for _, payload := range payloads(5) {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 1})
	}
	again := e.stay("c")
	again.Version = e.version
	c = e.dial("again")
	c.Write(again.Bytes(), wire.Pingreq(), wire.Subscribe(e.version, 9, []wire.Sub{{Filter: e.topic("b")}}), wire.Pingreq())
	c.Expect(wire.CONNACK)
	var pings, messages int
	for pings < 2 || messages < 5 {
		switch got := c.Read(); got.Type {
		case wire.PINGRESP:
			pings++
		case wire.PUBLISH:
			messages++
		case wire.SUBACK:
		default:
			e.Fatalf("after CONNACK came %v", got)
		}
	}
}

func sessionPresent(e *env) {
	join := func(clean bool) byte {
		e.Helper()
		c := e.dial("c")
		connect := e.stay("c")
		connect.Clean = clean
		p := c.Join(connect)
		if p.Present > 1 {
			e.Errorf("acknowledge flags are %#02x", p.Present)
		}
		c.Leave()
		return p.Present
	}
	var got []byte
	for _, clean := range []bool{false, false, true, false, false, true} {
		got = append(got, join(clean))
	}
	want := "\x00\x01\x00\x00\x01\x00"
	if e.v5() { // clean start does not end the new session with its connection
		want = "\x00\x01\x00\x01\x01\x00"
	}
	if string(got) != want {
		e.Errorf("session present is %x, want %x", got, want)
	}
}

func connackError(e *env) {
	c, _ := e.resume("c") // there is a session, and the error still says there is none
	c.Leave()
	bad := e.stay("c")
	bad.Version = e.version
	if e.v5() {
		bad.Props = append(bad.Props, wire.Text(wire.AuthMethod, "no-such-method"))
		c = e.dial("bad")
		c.Write(bad.Bytes())
		c.Rejected(0x8C, 0x87)
		return
	}
	bad.ClientID = ""
	c = e.dial("bad")
	c.Write(bad.Bytes(), wire.Pingreq())
	c.Rejected(0x02)
}

// connackReasons is table 3-1 of 5.0.
var connackReasons = map[byte]bool{
	0x00: true, 0x80: true, 0x81: true, 0x82: true, 0x83: true, 0x84: true, 0x85: true, 0x86: true, 0x87: true, 0x88: true, 0x89: true,
	0x8A: true, 0x8C: true, 0x90: true, 0x95: true, 0x97: true, 0x99: true, 0x9A: true, 0x9B: true, 0x9C: true, 0x9D: true, 0x9F: true,
}

func connackCodes(e *env) {
	good := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}
	bad := good
	bad.Flags = 1
	method, twice, will := good, good, good
	method.Props = []wire.Prop{wire.Text(wire.AuthMethod, "none")}
	twice.Props = []wire.Prop{wire.Num(wire.ReceiveMaximum, 1), wire.Num(wire.ReceiveMaximum, 1)}
	will.Will = &wire.Will{Topic: "a/#"}
	for _, connect := range []wire.Connect{good, bad, method, twice, will} {
		c := e.dial("c")
		c.Write(connect.Bytes())
		p, err := c.Answer()
		if err == nil && (p.Type != wire.CONNACK || !connackReasons[p.Code]) {
			e.Errorf("CONNECT was answered with %v", p)
		}
	}
}

func maximumQoS(e *env) {
	n := target.Start(e, e.backend, "mqtt.max_qos=1")
	c := e.dialTo(n, "c")
	if p := c.Join(wire.Connect{ClientID: "c", Clean: true}); p.Props.Int(wire.MaximumQoS, 2) != 1 {
		e.Errorf("CONNACK does not say that the maximum QoS is 1: %v", p)
	}
	if got := c.Subscribe("a", 2); got > 1 {
		e.Errorf("granted QoS is %d", got)
	}
	c.Publish(wire.Publish{Topic: "a", Payload: "x", QoS: 1})
	c.Deliver("a", "x")
	c.Write(wire.Publish{Topic: "a", Payload: "y", QoS: 2, ID: 7}.Bytes(e.version))
	c.Refused(0x9B)
	c = e.dialTo(n, "will")
	c.Write(wire.Connect{Version: e.version, ClientID: "w", Clean: true, Will: &wire.Will{Topic: "a", QoS: 2}}.Bytes())
	c.Rejected(0x9B)
}

func retainUnavailable(e *env) {
	n := target.Start(e, e.backend, "mqtt.retain_available=false")
	c := e.dialTo(n, "c")
	if p := c.Join(wire.Connect{ClientID: "c", Clean: true}); p.Props.Int(wire.RetainAvailable, 1) != 0 {
		e.Errorf("CONNACK does not say that retained messages are not available: %v", p)
	}
	c.Write(wire.Publish{Topic: "a", Payload: "y", Retain: true}.Bytes(e.version))
	c.Refused(0x9A)
	c = e.dialTo(n, "will")
	c.Write(wire.Connect{Version: e.version, ClientID: "w", Clean: true, Will: &wire.Will{Topic: "a", Retain: true}}.Bytes())
	c.Rejected(0x9A)
}

// A packet above the maximum that CONNACK gave is refused when its length is
// read; nobody waits for its bytes.
func serverPacketSize(e *env) {
	c := e.dial("c")
	limit := c.Join(wire.Connect{ClientID: e.id("c"), Clean: true}).Props.Int(wire.MaximumPacketSize, 0)
	if limit == 0 {
		e.Fatal("CONNACK has no maximum packet size")
	}
	topic := e.topic("a")
	head := len(wire.Publish{Topic: topic, Payload: strings.Repeat("x", 1<<20)}.Bytes(e.version)) - 1<<20
	c.Subscribe(topic, 0)
	whole := strings.Repeat("x", int(limit)-head)
	c.Publish(wire.Publish{Topic: topic, Payload: whole})
	c.Deliver(topic, whole)
	c.Write(wire.AppendVarint([]byte{wire.PUBLISH << 4}, int(limit)))
	c.Refused(0x95)
}

func assignedAnew(e *env) {
	seen := map[string]bool{}
	for range 20 {
		c := e.dial("c")
		id := c.Join(wire.Connect{Clean: true, Props: []wire.Prop{wire.Num(wire.SessionExpiry, 30)}}).Props.Text(wire.AssignedClientID)
		if id == "" || seen[id] {
			e.Fatalf("assigned client identifier %q is empty or was given before", id)
		}
		seen[id] = true
		c.Close() // the session stays, and its identifier with it
	}
}

func smallConnack(e *env) {
	for _, limit := range []uint32{10, 16, 24, 32} {
		c := e.dial("c")
		c.Limit = int(limit)
		c.Write(wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true, Flags: 1, Props: []wire.Prop{wire.Num(wire.MaximumPacketSize, limit)}}.Bytes())
		e.refusedConnect(c, 0x81)
		c = e.dial("d")
		c.Limit = int(limit)
		c.Write(wire.Connect{Version: e.version, ClientID: e.id("d"), Clean: true,
			Props: []wire.Prop{wire.Num(wire.MaximumPacketSize, limit), wire.Text(wire.AuthMethod, "no-such-method")}}.Bytes())
		e.refusedConnect(c, 0x8C, 0x87)
	}
}

func serverKeepAlive(e *env) {
	n := target.Start(e, e.backend, "limits.server_keep_alive=1s")
	for _, asked := range []uint16{0, 600} {
		c, start := e.dialTo(n, "c"), time.Now()
		if p := c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, KeepAlive: asked}); p.Props.Int(wire.ServerKeepAlive, 0) != 1 {
			e.Fatalf("CONNACK does not say that the keep alive is 1 s: %v", p)
		}
		silentUntilClosed(e, c, start)
	}
}

// silentUntilClosed waits for the end of a client that is silent from start on,
// with a keep alive of 1 s.
func silentUntilClosed(e *env, c *wire.Conn, start time.Time) {
	e.Helper()
	if before := c.Closed(); len(before) > 1 || len(before) == 1 && before[0].Code != 0x8D {
		e.Errorf("before the end came %v", before)
	}
	if d := time.Since(start); d < 1500*time.Millisecond {
		e.Errorf("disconnected after %v, with a keep alive of 1 s", d)
	}
}

func clientKeepAlive(e *env) {
	c, start := e.dial("c"), time.Now()
	if p := c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, KeepAlive: 1}); p.Props.Has(wire.ServerKeepAlive) {
		e.Fatalf("the server wants another keep alive: %v", p)
	}
	silentUntilClosed(e, c, start)
}
