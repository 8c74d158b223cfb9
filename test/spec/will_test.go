package spec

import (
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.1.2.5 to 3.1.2.7 and 3.1.3.2: wills.
var willStatements = []statement{
	{v3: "3.1.2-8", v5: "3.1.2-8", says: "The will is published when the connection is closed (5.0: after its delay or when the session ends), unless it was deleted.", test: willPublished},
	{v5: "3.1.2-7", says: "The will is stored with the session.", test: willPublished},
	{v3: "3.1.2-9", v5: "3.1.2-9", says: "With the will flag, will QoS and will retain are used, and topic and message are present.", test: willFields},
	{v3: "3.1.2-10", v5: "3.1.2-10", says: "The will is gone once it is published or a normal DISCONNECT came.", test: willOnce},
	{v3: "3.1.2-11", says: "Without the will flag, will QoS and will retain are 0, and topic and message are absent.", test: willFlagsAlone},
	{v3: "3.1.2-12", says: "Without the will flag no will is published.", test: noWill},
	{v3: "3.1.2-13", v5: "3.1.2-11", says: "Without the will flag, will QoS is 0.", test: willFlagsAlone},
	{v3: "3.1.2-14", v5: "3.1.2-12", says: "With the will flag, will QoS is 0, 1 or 2, never 3.", test: willQoS},
	{v3: "3.1.2-15", v5: "3.1.2-13", says: "Without the will flag, will retain is 0.", test: willFlagsAlone},
	{v3: "3.1.2-16", v5: "3.1.2-14", says: "Will retain 0: the will is published as a message that is not retained.", test: willRetain(false)},
	{v3: "3.1.2-17", v5: "3.1.2-15", says: "Will retain 1: the will is published as a retained message.", test: willRetain(true)},
	{v5: "3.1.3-9", says: "A new connection to the session within the will delay prevents the will.", test: willDelay},
	{v5: "3.1.3-10", says: "The order of the will's user properties is kept.", test: willProperties},
	{v3: "3.14.4-3", v5: "3.14.4-3", says: "A normal DISCONNECT discards the will.", test: willDiscarded},
}

// withWill connects a client that has a will.
func (e *env) withWill(name string, w wire.Will, keepAlive uint16, props ...wire.Prop) *wire.Conn {
	e.Helper()
	c := e.dial(name)
	c.Join(wire.Connect{ClientID: e.id(name), Clean: true, KeepAlive: keepAlive, Will: &w, Props: props})
	return c
}

func willPublished(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	ends := map[string]func(c *wire.Conn){
		"cut":       func(c *wire.Conn) { c.Close() },
		"malformed": func(c *wire.Conn) { c.Write([]byte{0, 0}); c.Closed() },
		"protocol":  func(c *wire.Conn) { c.Write([]byte{wire.SUBSCRIBE<<4 | 2, 2, 0, 1}); c.Closed() },
		"takeover":  func(c *wire.Conn) { e.join("takeover"); c.Closed() },
		"silent":    func(c *wire.Conn) { c.Closed() },
	}
	if e.v5() {
		ends["with-will"] = func(c *wire.Conn) { c.Write(wire.Disconnect(e.version, 0x04)); c.Closed() }
		ends["error"] = func(c *wire.Conn) { c.Write(wire.Disconnect(e.version, 0x80)); c.Closed() }
	}
	for name, end := range ends {
		keepAlive := uint16(0)
		if name == "silent" {
			keepAlive = 1
		}
		c := e.withWill(name, wire.Will{Topic: topic, Payload: name, QoS: 1}, keepAlive)
		if keepAlive == 0 {
			c.Quiet()
			s.Quiet() // not before the end
		}
		end(c)
		if got := s.Deliver(topic, name); got.QoS() != 1 || got.Retain() {
			e.Errorf("the will at QoS 1 came as %v", got)
		}
	}
	if !e.v5() {
		return
	}
	// After its delay, or when the session ends, whichever is first.
	start := time.Now()
	e.withWill("delay", wire.Will{Topic: topic, Payload: "delayed", Props: []wire.Prop{wire.Num(wire.WillDelay, 1)}}, 0, wire.Num(wire.SessionExpiry, 100)).Close()
	s.Deliver(topic, "delayed")
	if d := time.Since(start); d < 900*time.Millisecond {
		e.Errorf("a will with a delay of 1 s was published after %v", d)
	}
	e.withWill("session", wire.Will{Topic: topic, Payload: "session", Props: []wire.Prop{wire.Num(wire.WillDelay, 1000)}}, 0, wire.Num(wire.SessionExpiry, 1)).Close()
	s.Deliver(topic, "session")
	e.withWill("at-once", wire.Will{Topic: topic, Payload: "at once", Props: []wire.Prop{wire.Num(wire.WillDelay, 1000)}}, 0).Close()
	s.Deliver(topic, "at once")
}

func willFields(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	for qos := range byte(3) {
		e.withWill("c", wire.Will{Topic: topic, Payload: "x", QoS: qos}, 0).Close()
		if got := s.Deliver(topic, "x"); got.QoS() != qos {
			e.Errorf("the will at QoS %d came as %v", qos, got)
		}
	}
	// An empty message is a message; a missing one is not.
	e.withWill("c", wire.Will{Topic: topic}, 0).Close()
	s.Deliver(topic, "")
	none := wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Flags: 0x04}.Bytes()
	sendBad(e, "no topic", true, none)
	if e.v5() {
		none = append(none, 0) // will properties
	}
	sendBad(e, "no message", true, resize(append(none, "\x00\x04will"...)))
}

func willOnce(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	// Published, and not again when the same session is closed again.
	stay := e.stay("c")
	stay.Will = &wire.Will{Topic: topic, Payload: "x", QoS: 1}
	c := e.dial("c")
	c.Join(stay)
	c.Close()
	s.Deliver(topic, "x")
	c, p := e.resume("c")
	if p.Present != 1 {
		e.Errorf("CONNACK of the resumed session is %v", p)
	}
	c.Close()
	c, _ = e.resume("c")
	e.absent(c, s)
	c.Leave()
	// Deleted by DISCONNECT, and not published by a later end either.
	c = e.dial("c")
	c.Join(stay)
	c.Leave()
	c, _ = e.resume("c")
	c.Close()
	c, _ = e.resume("c")
	e.absent(c, s)
}

func willFlagsAlone(e *env) {
	for _, flags := range []byte{0x08, 0x10, 0x18, 0x20, 0x28} {
		sendBad(e, "flags", true, wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Flags: flags}.Bytes())
	}
	c := wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true}.Bytes()
	sendBad(e, "fields", true, resize(append(c, "\x00\x01w\x00\x01m"...)))
}

// On a node of its own, since nothing tells on which topic it would be.
func noWill(e *env) {
	n := target.Start(e, e.backend)
	s := e.dialTo(n, "s")
	s.Join(wire.Connect{ClientID: "s", Clean: true})
	s.Subscribe("#", 2)
	c := e.dialTo(n, "c")
	c.Join(wire.Connect{ClientID: "c", Clean: true})
	c.Close()
	c = e.dialTo(n, "c")
	c.Join(wire.Connect{ClientID: "c", Clean: true})
	e.absent(c, s)
}

func willQoS(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	c := e.dial("three")
	c.Write(wire.Connect{Version: e.version, ClientID: e.id("x"), Clean: true, Will: &wire.Will{Topic: topic, QoS: 3}}.Bytes())
	e.refusedConnect(c, 0x81)
	for qos := range byte(3) {
		e.withWill("c", wire.Will{Topic: topic, Payload: "x", QoS: qos}, 0).Close()
		s.Deliver(topic, "x")
	}
}

func willRetain(retain bool) func(e *env) {
	return func(e *env) {
		topic := e.topic("will")
		s := e.watch("s", topic)
		e.withWill("c", wire.Will{Topic: topic, Payload: "x", QoS: 1, Retain: retain}, 0).Close()
		if got := s.Deliver(topic, "x"); got.Retain() {
			e.Errorf("RETAIN is set for a subscription that was there before: %v", got)
		}
		late := e.watch("late", topic)
		if retain {
			if got := late.Deliver(topic, "x"); !got.Retain() {
				e.Errorf("the retained will came as %v", got)
			}
		}
		e.absent(s, late)
		s.Publish(wire.Publish{Topic: topic, Retain: true})
	}
}

func willDelay(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	stay := e.stay("c")
	stay.Will = &wire.Will{Topic: topic, Payload: "early", Props: []wire.Prop{wire.Num(wire.WillDelay, 4)}}
	c := e.dial("c")
	c.Join(stay)
	c.Close()
	c, p := e.resume("c")
	if p.Present != 1 {
		e.Fatalf("the session is not there: %v", p)
	}
	sleep(5) // longer than the delay
	e.absent(c, s)
	// A delayed will goes out when a new session ends the old one.
	stay.Will.Payload = "ended"
	stay.Will.Props = []wire.Prop{wire.Num(wire.WillDelay, 1000)}
	c.Leave()
	c = e.dial("c")
	c.Join(stay)
	c.Close()
	e.join("c")
	s.Deliver(topic, "ended")
}

func willProperties(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	props := wire.Props{
		wire.User("b", "2"), wire.User("a", "1"), wire.User("b", "1"), wire.User("", ""), wire.User("a", "1"),
	}
	more := []wire.Prop{
		wire.Text(wire.ContentType, "text/plain"), wire.Text(wire.ResponseTopic, "re/ply"), wire.Num(wire.PayloadFormat, 1),
		wire.Text(wire.CorrelationData, "\x00\xff"), wire.Num(wire.MessageExpiry, 1000),
	}
	e.withWill("c", wire.Will{Topic: topic, Payload: "x", Props: append(more, props...)}, 0).Close()
	got := s.Deliver(topic, "x")
	sameUser(e, got, props)
	for _, p := range more[:4] {
		if all := got.Props.All(p.ID); len(all) != 1 || all[0] != p {
			e.Errorf("will property %v came as %v", p, all)
		}
	}
	if n := got.Props.Int(wire.MessageExpiry, 0); n == 0 || n > 1000 {
		e.Errorf("message expiry of 1000 s came as %d", n)
	}
	if got.Props.Has(wire.WillDelay) {
		e.Errorf("a PUBLISH has a will delay: %v", got)
	}
}

// sameUser compares the user properties of a PUBLISH.
func sameUser(e *env, got wire.Packet, want wire.Props) {
	e.Helper()
	all := got.Props.All(wire.UserProperty)
	if len(all) != len(want) {
		e.Fatalf("%d user properties came, want %d: %v", len(all), len(want), all)
	}
	for i := range want {
		if all[i] != want[i] {
			e.Errorf("user property %d is %v, want %v", i, all[i], want[i])
		}
	}
}

func willDiscarded(e *env) {
	topic := e.topic("will")
	s := e.watch("s", topic)
	c := e.withWill("c", wire.Will{Topic: topic, Payload: "x", QoS: 1, Retain: true}, 0)
	c.Leave()
	c = e.join("c")
	e.absent(c, s)
	e.absent(c, e.watch("late", topic))
	if e.v5() { // the long form says the same
		c = e.withWill("d", wire.Will{Topic: topic, Payload: "x"}, 0)
		c.Write([]byte{wire.DISCONNECT << 4, 2, 0, 0})
		c.Closed()
		e.absent(e.join("d"), s)
	}
}
