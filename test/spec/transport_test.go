package spec

import (
	"net"
	"strings"

	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 4.2, 6 and 7: what is below and around the protocol.
var transportStatements = []statement{
	{v5: "4.2-1", says: "The server supports a transport that is an ordered, lossless stream of bytes.", test: streamOfBytes},
	{v3: "7.1.1-1", says: "The server supports a transport that is an ordered, lossless stream of bytes.", test: streamOfBytes},
	{v3: "7.1.2-1", says: "A client supports a transport that is an ordered, lossless stream of bytes.", why: client},
	{v3: "7.0.0-1", says: "A server that connects to other servers conforms as a client too.", why: "the server opens no MQTT connections to other servers"},
	{v3: "7.0.0-2", says: "No extension is required in order to interoperate.", test: plainClient},
	{v3: "6.0.0-1", v5: "6.0.0-1", says: "MQTT travels in binary frames; another data frame closes the connection.", test: binaryFrames, only: wire.WS},
	{v3: "6.0.0-2", v5: "6.0.0-2", says: "Packets need not be aligned on frames.", test: unaligned, only: wire.WS},
	{v3: "6.0.0-3", v5: "6.0.0-3", says: "A client offers the subprotocol mqtt.", test: subprotocol, only: wire.WS},
	{v3: "6.0.0-4", v5: "6.0.0-4", says: "The server selects the subprotocol mqtt.", test: subprotocol, only: wire.WS},
}

// A session byte by byte, and a large message in both directions.
func streamOfBytes(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	c := e.dial("c")
	all := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes()
	all = append(all, wire.Publish{Topic: topic, Payload: "slow", QoS: 1, ID: 1}.Bytes(e.version)...)
	all = append(all, wire.Pingreq()...)
	for _, b := range all {
		if _, err := c.Net().Write([]byte{b}); err != nil {
			e.Fatal(err)
		}
	}
	c.Expect(wire.CONNACK)
	c.Expect(wire.PUBACK)
	c.Expect(wire.PINGRESP)
	s.Deliver(topic, "slow")
	var want []string
	for i := range 20 {
		want = append(want, strings.Repeat(string(rune('a'+i)), 30000+i))
		c.Write(wire.Publish{Topic: topic, Payload: want[i]}.Bytes(e.version))
	}
	for _, payload := range want {
		s.Deliver(topic, payload)
	}
}

// A client that uses nothing beyond the specification: no user name, no
// properties, no server-specific topic.
func plainClient(e *env) {
	c := e.dial("c")
	c.Join(wire.Connect{ClientID: e.id("c"), Clean: true, KeepAlive: 60})
	c.Subscribe("plain/"+e.id("c"), 2)
	for qos := range byte(3) {
		c.Publish(wire.Publish{Topic: "plain/" + e.id("c"), Payload: "x", QoS: qos})
		c.Deliver("plain/"+e.id("c"), "x")
	}
	c.Leave()
}

// socket is the WebSocket below a connection.
func socket(c *wire.Conn) *wire.WebSocket { return c.Net().(*wire.WebSocket) }

func binaryFrames(e *env) {
	for _, first := range []byte{0x80 | wire.OpText, wire.OpText} {
		c := e.join("c")
		if err := socket(c).WriteRaw(socket(c).Frame(first, true, wire.Pingreq())); err != nil {
			e.Fatal(err)
		}
		for _, p := range c.Closed() {
			if p.Type != wire.DISCONNECT {
				e.Errorf("a text frame was answered with %v", p)
			}
		}
	}
	c := e.dial("first")
	socket(c).WriteRaw(socket(c).Frame(0x80|wire.OpText, true, wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes()))
	if before := c.Closed(); len(before) > 0 {
		e.Errorf("CONNECT in a text frame was answered with %v", before)
	}
	c = e.join("own") // the client reads binary frames only
	c.Subscribe(e.topic("a"), 0)
	c.Publish(wire.Publish{Topic: e.topic("a"), Payload: "x"})
	c.Deliver(e.topic("a"), "x")
}

// Packets are cut in every way: many in a frame, one over many frames and over
// continuation frames, with control frames and empty frames between.
func unaligned(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	c := e.dial("c")
	ws := socket(c)
	raw := func(frames ...[]byte) {
		e.Helper()
		for _, f := range frames {
			if err := ws.WriteRaw(f); err != nil {
				e.Fatal(err)
			}
		}
	}
	connect := wire.Connect{Version: e.version, ClientID: e.id("c"), Clean: true}.Bytes()
	message := wire.Publish{Topic: topic, Payload: "x", QoS: 1, ID: 1}.Bytes(e.version)
	raw(ws.Frame(0x80|wire.OpBinary, true, append(append(connect[:len(connect):len(connect)], message...), message[:3]...)))
	c.Expect(wire.CONNACK)
	c.Expect(wire.PUBACK)
	raw(ws.Frame(0x80|wire.OpBinary, true, nil), ws.Frame(0x80|wire.OpPing, true, []byte("between")), ws.Frame(0x80|wire.OpBinary, true, message[3:]))
	c.Expect(wire.PUBACK)
	raw(ws.Frame(wire.OpBinary, true, message[:2]), ws.Frame(wire.OpContinue, true, message[2:5]), ws.Frame(0x80|wire.OpPong, true, nil),
		ws.Frame(wire.OpContinue, true, nil), ws.Frame(0x80|wire.OpContinue, true, append(message[5:len(message):len(message)], wire.Pingreq()...)))
	c.Expect(wire.PUBACK)
	c.Expect(wire.PINGRESP)
	for range 3 {
		s.Deliver(topic, "x")
	}
	many := make([]byte, 0, 500*len(message))
	for range 100 {
		many = append(many, wire.Publish{Topic: topic, Payload: "many"}.Bytes(e.version)...)
	}
	raw(ws.Frame(0x80|wire.OpBinary, true, many))
	for range 100 {
		s.Deliver(topic, "many")
	}
}

func subprotocol(e *env) {
	dial := func(offer ...string) (*wire.WebSocket, error) {
		c, err := net.DialTimeout("tcp", e.node.WS, wire.Patience)
		if err != nil {
			e.Fatal(err)
		}
		e.Cleanup(func() { c.Close() })
		return wire.Upgrade(c, e.node.WS, wire.Path, offer, nil)
	}
	for _, offer := range [][]string{{"mqtt"}, {"mqttv3.1, mqtt"}, {"chat", "mqtt"}, {"chat,mqtt , superchat"}} {
		ws, err := dial(offer...)
		if err != nil {
			e.Errorf("offer %q: %v", offer, err)
			continue
		}
		if got := ws.Response.Header["Sec-Websocket-Protocol"]; len(got) != 1 || got[0] != "mqtt" {
			e.Errorf("offer %q: the server selected %q", offer, got)
		}
	}
	for _, offer := range [][]string{nil, {"chat"}, {"mqttx"}} { // without mqtt, mqtt is never selected
		ws, err := dial(offer...)
		if ws == nil || ws.Response == nil {
			continue
		}
		if got := ws.Response.Header["Sec-Websocket-Protocol"]; err == nil && len(got) > 0 {
			e.Errorf("offer %q: the server selected %q", offer, got)
		}
	}
}
