package spec

import (
	"fmt"

	"github.com/millrace-mq/millrace/test/wire"
)

// Topic aliases of 5.0: sections 3.1.2.11.5, 3.2.2.3.8 and 3.3.2.3.4.
var aliasStatements = []statement{
	{v5: "3.1.2-26", says: "The server sends no topic alias above the client's maximum.", test: aliasesOut},
	{v5: "3.1.2-27", says: "A client that gave no maximum, or 0, is sent no topic alias.", test: noAliasesOut},
	{v5: "3.3.2-7", says: "Topic aliases end with the connection.", test: aliasesEnd},
	{v5: "3.3.2-8", says: "No topic alias is 0.", test: aliasZero},
	{v5: "3.3.2-9", says: "A client sends no topic alias above the server's maximum.", test: aliasAbove},
	{v5: "3.3.2-10", says: "A client accepts topic aliases up to its maximum.", why: client},
	{v5: "3.3.2-11", says: "The server sends no topic alias above the client's maximum.", test: aliasesOut},
	{v5: "3.3.2-12", says: "The server accepts every topic alias from 1 to its maximum.", test: aliasesIn},
}

// A client that follows the aliases the server sets must end up with the topic
// that was published, whatever the server does with them.
func aliasesOut(e *env) {
	for _, limit := range []uint32{1, 3, 100} {
		s := e.join("s", wire.Num(wire.TopicAliasMaximum, limit))
		s.Subscribe(e.topic("#"), 1)
		p := e.join("p")
		known := map[uint32]string{}
		for i := range 60 {
			topic := e.topic(fmt.Sprintf("t%d", i*i%7))
			p.Publish(wire.Publish{Topic: topic, Payload: topic, QoS: byte(i % 2)})
			m := s.Message()
			if m.Props.Has(wire.TopicAlias) {
				alias := m.Props.Int(wire.TopicAlias, 0)
				if alias == 0 || alias > limit {
					e.Fatalf("alias %d, the maximum is %d", alias, limit)
				}
				if m.Topic != "" {
					known[alias] = m.Topic
				}
				m.Topic = known[alias]
			}
			if m.Topic != topic || string(m.Payload) != topic {
				e.Fatalf("published to %q, came %v", topic, m)
			}
		}
		// On the next connection the old aliases mean nothing.
		s.Leave()
	}
}

func noAliasesOut(e *env) {
	for _, props := range [][]wire.Prop{nil, {wire.Num(wire.TopicAliasMaximum, 0)}} {
		s := e.join("s", props...)
		s.Subscribe(e.topic("#"), 1)
		p := e.join("p")
		for i := range 20 {
			topic := e.topic(fmt.Sprint(i % 2))
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: byte(i % 2), Props: []wire.Prop{wire.Num(wire.TopicAlias, uint32(1+i%2))}})
			if m := s.Deliver(topic, "x"); m.Props.Has(wire.TopicAlias) {
				e.Errorf("no alias is allowed, came %v", m)
			}
		}
	}
}

func aliased(topic, payload string, alias uint32) wire.Publish {
	return wire.Publish{Topic: topic, Payload: payload, Props: []wire.Prop{wire.Num(wire.TopicAlias, alias)}}
}

func aliasesEnd(e *env) {
	topic := e.topic("a")
	s := e.watch("s", topic)
	c, _ := e.resume("c")
	c.Publish(aliased(topic, "1", 1))
	c.Publish(aliased("", "2", 1))
	s.Deliver(topic, "1")
	s.Deliver(topic, "2")
	c.Close()
	c, _ = e.resume("c")
	c.Write(aliased("", "3", 1).Bytes(e.version))
	c.Refused(0x82, 0x94)
	p := e.join("p")
	p.Publish(aliased(e.topic("other"), "x", 1)) // nor does another client share them
	e.absent(p, s)
	// The other way: with a resumed session the first message has its topic.
	sub, _ := e.resume("sub", wire.Num(wire.TopicAliasMaximum, 5))
	sub.Subscribe(topic, 1)
	for range 4 {
		for range 3 {
			p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
			sub.Message()
		}
		sub.Ping() // the acknowledgements have arrived
		sub.Close()
		sub, _ = e.resume("sub", wire.Num(wire.TopicAliasMaximum, 5))
		p.Publish(wire.Publish{Topic: topic, Payload: "y", QoS: 1})
		sub.Deliver(topic, "y")
	}
}

func aliasZero(e *env) {
	c := e.join("c")
	c.Write(aliased(e.topic("a"), "x", 0).Bytes(e.version))
	c.Refused(0x94, 0x82)
}

// aliasMaximum connects a client and gives the server's maximum.
func (e *env) aliasMaximum(name string) (*wire.Conn, uint32) {
	e.Helper()
	c := e.dial(name)
	p := c.Join(wire.Connect{ClientID: e.id(name), Clean: true})
	return c, p.Props.Int(wire.TopicAliasMaximum, 0)
}

func aliasAbove(e *env) {
	c, limit := e.aliasMaximum("c")
	if limit == 0xffff {
		e.Skip("every alias is allowed")
	}
	c.Write(aliased(e.topic("a"), "x", limit+1).Bytes(e.version))
	c.Refused(0x94)
}

func aliasesIn(e *env) {
	c, limit := e.aliasMaximum("c")
	if limit == 0 {
		e.Skip("no alias is allowed")
	}
	s := e.watch("s", e.topic("#"))
	step := max(1, limit/20)
	for alias := uint32(1); alias <= limit; alias += step {
		c.Publish(aliased(e.topic(fmt.Sprint(alias)), "set", alias))
		s.Deliver(e.topic(fmt.Sprint(alias)), "set")
	}
	c.Publish(aliased(e.topic("last"), "set", limit))
	s.Deliver(e.topic("last"), "set")
	for alias := uint32(1); alias < limit; alias += step {
		c.Publish(aliased("", "used", alias))
		s.Deliver(e.topic(fmt.Sprint(alias)), "used")
	}
	c.Publish(aliased(e.topic("changed"), "set", 1))
	s.Deliver(e.topic("changed"), "set")
	c.Publish(aliased("", "used", 1))
	s.Deliver(e.topic("changed"), "used")
	c.Write(wire.Publish{Payload: "x"}.Bytes(e.version)) // neither topic nor alias
	c.Refused(0x82, 0x90)
}
