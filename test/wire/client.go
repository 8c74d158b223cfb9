package wire

import "testing"

// Join sends a CONNECT that must be accepted, and gives the CONNACK.
func (c *Conn) Join(connect Connect) Packet {
	c.tb.Helper()
	connect.Version = c.Version
	c.Write(connect.Bytes())
	p := c.Expect(CONNACK)
	if p.Code != 0 {
		c.fatal("want CONNACK 0, got %v", p)
	}
	return p
}

// Subscribe subscribes to one filter, which must be granted, and gives the
// granted QoS. Retained messages are left for later reads.
func (c *Conn) Subscribe(filter string, options byte, props ...Prop) byte {
	c.tb.Helper()
	id := c.ID()
	c.Write(Subscribe(c.Version, id, []Sub{{filter, options}}, props...))
	p := c.Await(SUBACK)
	if p.ID != id || len(p.Codes) != 1 || p.Codes[0] > 2 {
		c.fatal("subscription to %.60q with id %d was not granted: %v", filter, id, p)
	}
	return p.Codes[0]
}

// Unsubscribe takes one filter away.
func (c *Conn) Unsubscribe(filter string) {
	c.tb.Helper()
	id := c.ID()
	c.Write(Unsubscribe(c.Version, id, []string{filter}))
	if p := c.Await(UNSUBACK); p.ID != id {
		c.fatal("UNSUBACK for %d, want %d", p.ID, id)
	}
}

// Publish sends a message and goes through the handshake of its QoS. A missing
// packet identifier is filled in. It gives the PUBACK or PUBREC.
func (c *Conn) Publish(p Publish) Packet {
	c.tb.Helper()
	if p.QoS > 0 && p.ID == 0 {
		p.ID = c.ID()
	}
	c.Write(p.Bytes(c.Version))
	switch p.QoS {
	case 1:
		return c.acked(PUBACK, p.ID)
	case 2:
		rec := c.acked(PUBREC, p.ID)
		c.Write(Ack(PUBREL, p.ID))
		c.acked(PUBCOMP, p.ID)
		return rec
	}
	return Packet{}
}

func (c *Conn) acked(kind byte, id uint16) Packet {
	c.tb.Helper()
	p := c.Await(kind)
	if p.ID != id || p.Code >= 0x80 {
		c.fatal("want %s for %d, got %v", TypeName(kind), id, p)
	}
	return p
}

// Message reads the next PUBLISH and acknowledges it as its QoS asks.
func (c *Conn) Message() Packet {
	c.tb.Helper()
	p := c.Expect(PUBLISH)
	c.Acknowledge(p)
	return p
}

// Acknowledge goes through the receiver's side of a delivery.
func (c *Conn) Acknowledge(p Packet) {
	c.tb.Helper()
	switch p.QoS() {
	case 1:
		c.Write(Ack(PUBACK, p.ID))
	case 2:
		c.Write(Ack(PUBREC, p.ID))
		if rel := c.Await(PUBREL); rel.ID != p.ID {
			c.fatal("want PUBREL for %d, got %v", p.ID, rel)
		}
		c.Write(Ack(PUBCOMP, p.ID))
	}
}

// Deliver reads the next message, which must be this one.
func (c *Conn) Deliver(topic, payload string) Packet {
	c.tb.Helper()
	p := c.Message()
	if p.Topic != topic || string(p.Payload) != payload {
		c.fatal("want message %.60q on %.60q, got %v", payload, topic, p)
	}
	return p
}

// Leave disconnects normally and waits for the end.
func (c *Conn) Leave(props ...Prop) {
	c.tb.Helper()
	c.Write(Disconnect(c.Version, 0, props...))
	if after := c.Closed(); len(after) > 0 {
		c.fatal("packets after DISCONNECT: %v", after)
	}
}

// TB is the test that this connection belongs to.
func (c *Conn) TB() testing.TB { return c.tb }
