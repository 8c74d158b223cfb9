package spec

import (
	"github.com/millrace-mq/millrace/test/wire"
)

// Sessions: sections 3.1.2.4, 3.1.2.11.2, 3.1.4 and 4.1.
var sessionStatements = []statement{
	{v3: "3.1.2-4", v5: "3.1.2-5 3.1.2-6", says: "Without clean start the session is resumed, or made when there is none.", test: sessionResumed},
	{v3: "3.1.2-5", v5: "4.5.0-1", says: "Messages at QoS 1 and 2 for the subscriptions of a disconnected session are stored.", test: offlineMessages},
	{v3: "4.5.0-1", says: "A message is added to the session of every client with a matching subscription.", test: offlineMessages},
	{v3: "4.5.0-2", v5: "4.5.0-2", says: "A client acknowledges every PUBLISH that it receives.", why: client},
	{v3: "3.1.2-6", v5: "3.1.2-4", says: "Clean start discards the session that was there.", test: cleanStart},
	{v3: "3.1.2-7", says: "Retained messages stay when the session ends.", test: retainedOutlives},
	{v5: "3.1.2-23", says: "The session is stored after the connection is closed when its expiry is above 0.", test: sessionStored},
	{v3: "3.1.3-2", v5: "3.1.3-2", says: "The client identifier is what identifies the session.", test: sessionByIdentifier},
	{v3: "3.1.4-2", v5: "3.1.4-3", says: "A client that connects again takes over: the old connection is closed (5.0: with DISCONNECT 0x8E).", test: takeover},
	{v3: "3.1.4-3", v5: "3.1.4-4", says: "Clean start is processed.", test: cleanStart},
	{v3: "4.1.0-1", v5: "4.1.0-1", says: "The session is kept while the connection is open.", test: sessionWhileOpen},
	{v3: "4.1.0-2", says: "A session lasts at least as long as its connection.", test: sessionWhileOpen},
	{v5: "4.1.0-2", says: "The session is discarded when its expiry has passed after the connection was closed.", test: sessionExpiry},
}

func sessionResumed(e *env) {
	topic := e.topic("a")
	c, p := e.resume("c")
	if p.Present != 0 {
		e.Errorf("a new session is said to be present: %v", p)
	}
	c.Subscribe(topic, 1)
	c.Leave()
	for i := range 3 {
		c, p = e.resume("c")
		if p.Present != 1 {
			e.Fatalf("connection %d does not find the session: %v", i+2, p)
		}
		c.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
		c.Deliver(topic, "x")
		c.Ping() // the acknowledgement has arrived
		if i == 1 {
			c.Close()
		} else {
			c.Leave()
		}
	}
}

func offlineMessages(e *env) {
	topic := e.topic("a")
	var gone []*wire.Conn
	for _, name := range []string{"b", "c", "d"} {
		c, _ := e.resume(name)
		c.Subscribe(topic, 2)
		gone = append(gone, c)
	}
	gone[0].Leave()
	gone[1].Close()
	p := e.join("p")
	want := payloads(20)
	for i, payload := range want {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: byte(1 + i%2)})
	}
	for _, name := range []string{"b", "c"} {
		c, p := e.resume(name)
		if p.Present != 1 {
			e.Fatalf("the session of %s is gone", name)
		}
		seen := map[string]byte{}
		for range want {
			m := c.Message()
			seen[string(m.Payload)] = m.QoS()
		}
		for i, payload := range want {
			if seen[payload] != byte(1+i%2) {
				e.Errorf("%s: message %s came at QoS %d, want %d", name, payload, seen[payload], 1+i%2)
			}
		}
		c.Quiet()
	}
	for _, payload := range want { // the one that stayed
		gone[2].Deliver(topic, payload)
	}
}

func cleanStart(e *env) {
	topic := e.topic("a")
	p := e.join("p")
	c, _ := e.resume("c")
	c.Subscribe(topic, 1)
	p.Publish(wire.Publish{Topic: topic, Payload: "unacknowledged", QoS: 1})
	c.Expect(wire.PUBLISH)
	c.Leave()
	p.Publish(wire.Publish{Topic: topic, Payload: "waiting", QoS: 1})
	c = e.dial("c")
	clean := e.stay("c")
	clean.Clean = true
	if a := c.Join(clean); a.Present != 0 {
		e.Errorf("clean start finds a session: %v", a)
	}
	e.absent(p, c)
	p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1}) // not subscribed any more
	e.absent(p, c)
	c.Leave()
	c, a := e.resume("c")
	if want := byte(e.version - wire.V311); a.Present != want { // 3.1.1: a clean session ends with its connection
		e.Errorf("after clean start and another connection, session present is %d, want %d", a.Present, want)
	}
	e.absent(p, c)
}

func retainedOutlives(e *env) {
	topic := e.topic("a")
	c := e.join("c")
	c.Publish(wire.Publish{Topic: topic, Payload: "kept", QoS: 1, Retain: true})
	c.Leave()
	e.join("c")
	s := e.watch("s", topic)
	s.Deliver(topic, "kept")
	s.Publish(wire.Publish{Topic: topic, Retain: true})
}

func sessionStored(e *env) {
	topic := e.topic("a")
	c := e.dial("zero")
	c.Join(wire.Connect{ClientID: e.id("zero")}) // absent: 0
	c.Subscribe(topic, 1)
	c.Leave()
	if _, p := e.resume("zero"); p.Present != 0 {
		e.Errorf("a session without an expiry is still there: %v", p)
	}
	c, _ = e.resume("kept")
	c.Subscribe(topic, 1)
	c.Close()
	if _, p := e.resume("kept"); p.Present != 1 {
		e.Errorf("a session with an expiry is gone: %v", p)
	}
	// DISCONNECT may change the expiry, but not from 0.
	c, _ = e.resume("kept")
	c.Leave(wire.Num(wire.SessionExpiry, 0))
	if _, p := e.resume("kept"); p.Present != 0 {
		e.Errorf("a session that DISCONNECT ended is still there: %v", p)
	}
	c = e.join("zero")
	c.Write(wire.Disconnect(e.version, 0, wire.Num(wire.SessionExpiry, 5)))
	c.Refused(0x82)
	forever := e.dial("forever")
	forever.Join(wire.Connect{ClientID: e.id("forever"), Props: []wire.Prop{wire.Num(wire.SessionExpiry, 0xffffffff)}})
	forever.Close()
	if _, p := e.resume("forever"); p.Present != 1 {
		e.Errorf("a session that does not expire is gone: %v", p)
	}
}

func sessionByIdentifier(e *env) {
	topic := e.topic("a")
	ids := []string{"c", "C", "c ", "c/+", "c#", "ç"}
	for _, name := range ids {
		c, _ := e.resume(name)
		c.Subscribe(topic, 1)
		c.Leave()
	}
	for _, name := range ids {
		c, p := e.resume(name)
		if p.Present != 1 {
			e.Errorf("the session of %q is not found", name)
		}
		c.Leave()
	}
	if _, p := e.resume("other"); p.Present != 0 {
		e.Errorf("a new identifier finds a session")
	}
}

func takeover(e *env) {
	topic := e.topic("a")
	first, _ := e.resume("c")
	first.Subscribe(topic, 1)
	second, p := e.resume("c")
	if p.Present != 1 {
		e.Errorf("the taken over session is not present: %v", p)
	}
	first.Refused(0x8E)
	pub := e.join("p")
	pub.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
	second.Deliver(topic, "x")
	second.Ping()  // the acknowledgement has arrived
	for range 20 { // many times, one is left
		next, _ := e.resume("c")
		second.Refused(0x8E)
		second = next
	}
	pub.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 1})
	second.Deliver(topic, "y")
	second.Quiet()
}

func sessionWhileOpen(e *env) {
	topic := e.topic("a")
	c := e.join("c") // clean; 5.0: expiry 0
	c.Subscribe(topic, 2)
	p := e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "first", QoS: 2})
	first := c.Expect(wire.PUBLISH)
	sleep(2)
	c.Write(wire.Ack(wire.PUBREC, first.ID)) // the delivery goes on
	if rel := c.Expect(wire.PUBREL); rel.ID != first.ID || rel.Code != 0 {
		e.Errorf("PUBREC was answered with %v", rel)
	}
	p.Publish(wire.Publish{Topic: topic, Payload: "second", QoS: 1})
	c.Deliver(topic, "second")
	c.Write(wire.Ack(wire.PUBCOMP, first.ID))
	c.Quiet()
}

func sessionExpiry(e *env) {
	topic := e.topic("a")
	short := wire.Num(wire.SessionExpiry, 3)
	c := e.dial("c")
	c.Join(wire.Connect{ClientID: e.id("c"), Props: []wire.Prop{short}})
	c.Subscribe(topic, 1)
	sleep(3.5) // the time counts from the end of the connection only
	c.Quiet()
	c.Close()
	c = e.dial("c")
	if p := c.Join(wire.Connect{ClientID: e.id("c"), Props: []wire.Prop{short}}); p.Present != 1 {
		e.Errorf("the session expired while the connection was open: %v", p)
	}
	c.Leave()
	d := e.dial("d")
	d.Join(wire.Connect{ClientID: e.id("d"), Props: []wire.Prop{wire.Num(wire.SessionExpiry, 1000)}})
	d.Leave(short) // DISCONNECT shortens it
	sleep(5)
	for _, name := range []string{"c", "d"} {
		if _, p := e.resume(name); p.Present != 0 {
			e.Errorf("the session of %s is there after its expiry: %v", name, p)
		}
	}
}
