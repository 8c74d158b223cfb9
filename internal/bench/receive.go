package bench

import (
	"bytes"
	"encoding/binary"

	"github.com/millrace-mq/millrace/mqtt"
)

// receive reads once and handles every whole packet.
func (e *engine) receive(c *client) {
	kept := 0
	plain := c.wait == nil || c.wait.codec == nil
	if plain && c.wait != nil {
		kept = copy(e.in, c.wait.in)
		if kept == len(e.in) { // a packet bigger than the buffer
			e.in = append(e.in, make([]byte, len(e.in))...)
		}
	}
	n, no := sysRead(c.fd, e.in[kept:])
	e.now = e.clock.now()
	switch {
	case no == again || no == interrupted:
		return
	case no != 0:
		e.fail(c, "read: "+no.Error())
		return
	case n == 0:
		e.fail(c, "closed by the broker")
		return
	}
	e.counters.BytesIn += uint64(n)
	if plain {
		e.feed(c, e.in[:kept+n])
		return
	}
	b, replies, err := c.wait.codec.unwrap(e.in[:n])
	if len(replies) > 0 {
		e.writeRaw(c, replies)
	}
	if c.fd >= 0 && len(b) > 0 {
		if len(c.wait.in) > 0 {
			c.wait.in = append(c.wait.in, b...)
			b = c.wait.in
		}
		e.feed(c, b)
	}
	if err != nil && c.fd >= 0 {
		e.fail(c, "transport: "+err.Error())
	}
}

// feed handles the packets in b, which begins with what was kept, and keeps what is incomplete.
func (e *engine) feed(c *client, b []byte) {
	if c.state == stateUpgrading {
		if !e.upgraded(c, b) {
			c.keep(b)
		}
		return
	}
	e.acks = e.acks[:0]
	rest := e.packets(c, b)
	if c.fd < 0 {
		return
	}
	if len(e.acks) > 0 {
		e.write(c, e.acks)
	}
	if c.fd < 0 {
		return
	}
	if len(rest) > 0 {
		c.keep(rest)
	} else if c.wait != nil {
		c.wait.in = c.wait.in[:0]
		if len(c.wait.out) == 0 && c.wait.codec == nil {
			c.wait = nil
		}
	}
}

// keep stores the beginning of something.
func (c *client) keep(b []byte) {
	if c.wait == nil {
		c.wait = &wait{}
	}
	c.wait.in = append(c.wait.in[:0], b...)
}

// packets handles whole packets and returns what is left. The client may be gone when it returns.
func (e *engine) packets(c *client, b []byte) []byte {
	g := &e.groups[c.group]
	for {
		size, remaining := header(b)
		if size < 0 {
			e.fail(c, "protocol: malformed header")
			return nil
		}
		if size == 0 || size+remaining > len(b) {
			return b
		}
		first, body := b[0], b[size:size+remaining]
		b = b[size+remaining:]
		if first>>4 == 3 {
			e.delivered(c, g, first, body)
		} else {
			e.answer(c, first, body)
		}
		if c.fd < 0 {
			return nil
		}
	}
}

// delivered handles a PUBLISH.
func (e *engine) delivered(c *client, g *group, first byte, body []byte) {
	id, payload, ok := publishParts(e.plan.Target.Version, first, body)
	if !ok {
		e.fail(c, "protocol: malformed PUBLISH")
		return
	}
	e.counters.Received++
	e.lastLife = e.now
	switch first & 6 {
	case 2:
		e.acks = mqtt.AppendAck(e.acks, e.plan.Target.Version, mqtt.PUBACK, id, mqtt.Success)
	case 4:
		e.acks = mqtt.AppendAck(e.acks, e.plan.Target.Version, mqtt.PUBREC, id, mqtt.Success)
	}
	if first&8 != 0 {
		e.counters.Redeliver++
	}
	if g.checker == nil {
		return
	}
	if first>>1&3 != g.QoS {
		e.errors[qosNames[first>>1&3]+" received, not that of publisher and subscription"]++
	}
	if len(payload) < stampSize || !bytes.Equal(payload[stampSize:], g.filler) {
		g.checker.Corrupt++
		return
	}
	publisher, seq, due := stamp(payload)
	from, n := e.publisherHere(publisher)
	if from != nil && seq >= from.pubs[n].seq {
		g.checker.Corrupt++ // nobody sent that yet
		return
	}
	if !g.checker.see(int(c.index), publisher, seq) {
		return
	}
	if due >= e.from && due < e.to {
		e.timed.Delivery.record(e.now - due)
	}
	if from != nil {
		if p := &from.pubs[n]; p.limit > 0 && p.confirm > p.acks {
			e.confirmed(from, n, seq)
		}
	}
}

// publisherHere finds a publisher among those of this worker; nil: it is another worker's.
func (e *engine) publisherHere(publisher uint32) (*group, int) {
	for i := range e.groups {
		g := &e.groups[i]
		if n := int(publisher) - g.First; g.pubs != nil && n >= 0 && n < len(g.pubs) {
			return g, n
		}
	}
	return nil, 0
}

var qosNames = [4]string{"QoS 0", "QoS 1", "QoS 2", "QoS 3"}

// answer handles every other packet.
func (e *engine) answer(c *client, first byte, body []byte) {
	switch mqtt.Type(first >> 4) {
	case mqtt.CONNACK:
		e.connected(c, first, body)
	case mqtt.SUBACK:
		e.subscribed(c, first, body)
	case mqtt.PINGRESP:
		if c.flags&flagPinged != 0 {
			c.flags &^= flagPinged
			e.counters.Pings++
			e.timed.Ping.record(e.now - c.since)
		}
	case mqtt.DISCONNECT:
		var d mqtt.Disconnect
		_ = d.Decode(e.plan.Target.Version, first&15, body) // the connection ends either way
		e.fail(c, "DISCONNECT: "+d.Code.String())
	default:
		e.exchange(c, first, body)
	}
}

// exchange handles the acknowledgements of QoS 1 and 2.
func (e *engine) exchange(c *client, first byte, body []byte) {
	t := mqtt.Type(first >> 4)
	if len(body) < 2 || t < mqtt.PUBACK || t > mqtt.PUBCOMP {
		e.fail(c, "protocol: unexpected "+t.String())
		return
	}
	id, code := binary.BigEndian.Uint16(body), mqtt.Success
	if len(body) > 2 {
		code = mqtt.ReasonCode(body[2])
	}
	if qos := e.groups[c.group].QoS; (t == mqtt.PUBACK) == (qos == 2) {
		e.errors["protocol: "+t.String()+" of a message of "+qosNames[qos]]++
	}
	switch {
	case t == mqtt.PUBACK, t == mqtt.PUBCOMP, t == mqtt.PUBREC && code.IsError():
		e.acknowledged(c, id, code)
	case t == mqtt.PUBREC:
		e.acks = mqtt.AppendAck(e.acks, e.plan.Target.Version, mqtt.PUBREL, id, mqtt.Success)
	default:
		e.acks = mqtt.AppendAck(e.acks, e.plan.Target.Version, mqtt.PUBCOMP, id, mqtt.Success)
	}
}
