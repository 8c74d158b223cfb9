package spec

import (
	"fmt"

	"github.com/millrace-mq/millrace/test/wire"
)

// Section 4.8.2 of 5.0: shared subscriptions.
var sharedStatements = []statement{
	{v5: "4.8.2-1", says: "A shared filter begins with $share/ and a name of at least one character.", test: shareNames},
	{v5: "4.8.2-2", says: "The name has no /, + or #, and is followed by / and a filter.", test: shareNames},
	{v5: "4.8.2-3", says: "The granted QoS of each client is respected.", test: sharedQoS},
	{v5: "4.8.2-4", says: "A message at QoS 2 whose delivery began is completed when that client is back.", test: sharedReturn},
	{v5: "4.8.2-5", says: "If the client's session ends instead, a message at QoS 2 goes to nobody else.", test: sharedEnds},
	{v5: "4.8.2-6", says: "A message that a client refuses with PUBACK or PUBREC 0x80 or above goes to nobody else.", test: sharedRefused},
}

func shareNames(e *env) {
	for _, filter := range []string{"$share//a", "$share/g", "$share/g/", "$share/", "$share/g+/a", "$share/#/a", "$share/+/a", "$share/g#/a", "$share/g/a#", "$share/g/#/a"} {
		c := e.join("c")
		c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: filter, Options: 1}}))
		p, err := c.Answer()
		if err == nil && (p.Type == wire.SUBACK && p.Codes[0] < 0x80 || p.Type == wire.DISCONNECT && p.Code < 0x80) {
			e.Errorf("SUBSCRIBE %q was answered with %v", filter, p)
		}
	}
	// Good ones share: every message goes to one member, and to the others once.
	topic := e.topic("a/b")
	p := e.join("p")
	plain := e.watch("plain", topic)
	var members []*wire.Conn
	for i, filter := range []string{"$share/g/" + topic, "$share/g/" + topic, "$share/g é/" + topic} {
		c := e.join(fmt.Sprint("m", i))
		c.Subscribe(filter, 1)
		members = append(members, c)
	}
	for _, payload := range payloads(20) {
		p.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 1})
		plain.Deliver(topic, payload)
	}
	one, two, other := len(drain(e, p, members[0])), len(drain(e, p, members[1])), len(drain(e, p, members[2]))
	if one+two != 20 || other != 20 {
		e.Errorf("of 20 messages %d and %d came to the members of one group, %d to the other group", one, two, other)
	}
	members[1].Unsubscribe("$share/g/" + topic)
	p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
	members[0].Deliver(topic, "x")
	e.absent(p, members[1])
}

func sharedQoS(e *env) {
	p := e.join("p")
	for granted := range byte(3) {
		topic := e.topic(fmt.Sprint(granted))
		a, b := e.join("a"), e.join("b")
		a.Subscribe("$share/g/"+topic, granted)
		b.Subscribe("$share/g/"+topic, granted)
		for qos := range byte(3) {
			for range 4 {
				p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos})
			}
			got := append(drain(e, p, a), drain(e, p, b)...)
			if len(got) != 4 {
				e.Errorf("%d of 4 messages came", len(got))
			}
			for _, m := range got {
				if m.QoS() != min(qos, granted) {
					e.Errorf("published at %d, granted %d, came %v", qos, granted, m)
				}
			}
		}
	}
}

// sharedOne gives two members of a group, of which the first has an open
// delivery at this QoS.
func sharedOne(e *env, qos byte) (holder, other *wire.Conn, name string, m wire.Packet) {
	e.Helper()
	topic := e.topic("a")
	members := map[string]*wire.Conn{}
	for _, name := range []string{"one", "two"} {
		members[name], _ = e.resume(name)
		members[name].Subscribe("$share/g/"+topic, qos)
	}
	p := e.join("p")
	p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: qos})
	marker := e.topic("m")
	for name, c := range members {
		c.Subscribe(marker, 0)
		p.Publish(wire.Publish{Topic: marker})
		if m := c.Expect(wire.PUBLISH); m.Topic == topic {
			if again := c.Expect(wire.PUBLISH); again.Topic != marker {
				e.Fatalf("after the message came %v", again)
			}
			c.Unsubscribe(marker)
			return c, members[map[string]string{"one": "two", "two": "one"}[name]], name, m
		}
		c.Unsubscribe(marker)
	}
	e.Fatal("no member was sent the message")
	return
}

func sharedReturn(e *env) {
	for _, released := range []bool{false, true} {
		holder, other, name, m := sharedOne(e, 2)
		if released {
			holder.Write(wire.Ack(wire.PUBREC, m.ID))
			holder.Expect(wire.PUBREL)
		}
		holder.Close()
		back, p := e.resume(name)
		if p.Present != 1 {
			e.Fatalf("the session is gone: %v", p)
		}
		got := back.Read()
		want := byte(wire.PUBLISH)
		if released {
			want = wire.PUBREL
		}
		if got.Type != want || got.ID != m.ID {
			e.Errorf("the delivery of %v goes on with %v", m, got)
		}
		if !released {
			back.Write(wire.Ack(wire.PUBREC, m.ID))
			back.Expect(wire.PUBREL)
		}
		back.Write(wire.Ack(wire.PUBCOMP, m.ID))
		back.Quiet()
		e.absent(back, other)
		back.Leave(wire.Num(wire.SessionExpiry, 0))
		other.Leave(wire.Num(wire.SessionExpiry, 0))
	}
}

func sharedEnds(e *env) {
	for _, clean := range []bool{false, true} {
		holder, other, name, _ := sharedOne(e, 2)
		if clean { // ended by a clean start
			holder.Close()
			again := e.dial(name)
			again.Join(wire.Connect{ClientID: e.id(name), Clean: true})
			e.absent(again, again)
		} else {
			holder.Leave(wire.Num(wire.SessionExpiry, 0))
		}
		e.absent(e.join("after"), other)
		other.Leave(wire.Num(wire.SessionExpiry, 0))
	}
}

func sharedRefused(e *env) {
	for qos := byte(1); qos < 3; qos++ {
		holder, other, _, m := sharedOne(e, qos)
		kind := byte(wire.PUBACK)
		if qos == 2 {
			kind = wire.PUBREC
		}
		holder.Write(wire.AckCode(kind, m.ID, 0x97))
		holder.Quiet()
		e.absent(holder, other)
		e.absent(holder, holder)
		holder.Leave(wire.Num(wire.SessionExpiry, 0))
		other.Leave(wire.Num(wire.SessionExpiry, 0))
	}
}
