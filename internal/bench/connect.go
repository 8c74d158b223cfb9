package bench

import (
	"net/netip"
	"strconv"

	"github.com/millrace-mq/millrace/mqtt"
)

// open starts the connection of c, which was due at the given time.
func (e *engine) open(c *client, due int64) {
	c.since, c.flags = due, 0
	var local netip.Addr
	if len(e.locals) > 0 {
		local = e.locals[(int(e.number(c))+e.plan.Worker)%len(e.locals)]
	}
	fd, no := dial(local, e.remote)
	c.fd, c.state = fd, stateDialling
	switch no {
	case 0:
		if no := e.poll.add(fd, e.number(c), readable); no != 0 {
			e.fail(c, "epoll: "+no.Error())
			return
		}
		e.pending = append(e.pending, e.number(c))
		e.established(c)
	case inProgress:
		e.poll.add(fd, e.number(c), writable)
		e.pending = append(e.pending, e.number(c))
	default:
		e.errors["connect: "+no.Error()]++
		e.counters.Failed++
		c.state = stateClosed
		e.driver.changed(c, false)
	}
}

// established begins what comes above TCP.
func (e *engine) established(c *client) {
	switch e.plan.Target.Transport {
	case "tls", "wss":
		c.state = stateSecuring
		e.dialer.secure(e, c)
	case "ws":
		e.upgrade(c)
	default:
		e.sayConnect(c)
	}
}

// sayConnect sends CONNECT.
func (e *engine) sayConnect(c *client) {
	c.state = stateConnecting
	e.out = e.appendConnect(e.out[:0], c)
	e.write(c, e.out)
}

// clientID of c, the same every time it connects.
func (e *engine) clientID(c *client) string {
	g := &e.groups[c.group]
	return "bench-" + e.plan.Run + "-" + g.Name + "-" + strconv.Itoa(g.First+int(c.index))
}

// connected handles CONNACK.
func (e *engine) connected(c *client, first byte, body []byte) {
	p := &e.packet.connack
	if err := p.Decode(e.plan.Target.Version, first&15, body); err != nil || c.state != stateConnecting {
		e.fail(c, "protocol: bad or unexpected CONNACK")
		return
	}
	if p.Code != mqtt.Success {
		e.fail(c, "CONNACK: "+p.Code.String())
		return
	}
	if g := &e.groups[c.group]; g.pubs != nil && p.Properties.Has.Contains(mqtt.PropReceiveMaximum) {
		g.pubs[c.index].maximum = uint32(p.Properties.ReceiveMaximum)
	}
	e.out = e.appendSubscribe(e.out[:0], c)
	if len(e.out) == 0 {
		e.isUp(c)
		return
	}
	c.state = stateSubscribing
	e.write(c, e.out)
}

// subscribed handles SUBACK.
func (e *engine) subscribed(c *client, first byte, body []byte) {
	p := &e.packet.suback
	if err := p.Decode(e.plan.Target.Version, first&15, body); err != nil || c.state != stateSubscribing {
		e.fail(c, "protocol: bad or unexpected SUBACK")
		return
	}
	for _, code := range p.Codes {
		if code.IsError() {
			e.fail(c, "SUBACK: "+code.String())
			return
		}
		if code != mqtt.ReasonCode(e.groups[c.group].QoS) {
			e.errors["SUBACK: less than the QoS asked for: "+code.String()]++
		}
	}
	e.isUp(c)
}

func (e *engine) isUp(c *client) {
	c.state = stateUp
	e.lastLife = e.now
	e.up++
	e.counters.Opened++
	e.timed.Connect.record(e.now - c.since)
	if e.driver != nil {
		e.driver.changed(c, true)
	}
}

// expire gives up connections that take too long.
func (e *engine) expire(now int64) {
	keep := e.pending[:0]
	for _, i := range e.pending {
		c := &e.clients[i]
		switch {
		case c.fd < 0 || c.state == stateUp:
		case now-c.since > int64(e.plan.Target.Timeout) && c.state != stateSecuring:
			e.fail(c, "connect: no answer in "+e.plan.Target.Timeout.String())
		default:
			keep = append(keep, i)
		}
	}
	e.pending = keep
}

// appendConnect appends the CONNECT of c.
func (e *engine) appendConnect(dst []byte, c *client) []byte {
	t, g := &e.plan.Target, &e.groups[c.group]
	p := &e.packet.connect
	p.CleanStart, p.KeepAlive = g.Clean || e.stage.Purge, t.KeepAlive
	p.ClientID = []byte(e.clientID(c))
	p.HasUsername, p.Username = t.Username != "", []byte(t.Username)
	p.HasPassword, p.Password = t.Password != "", []byte(t.Password)
	p.Properties.Has = 0
	if g.Expiry > 0 && !e.stage.Purge {
		p.Properties.SessionExpiry = g.Expiry
		p.Properties.Has = p.Properties.Has.With(mqtt.PropSessionExpiry)
	}
	return p.Append(dst, t.Version)
}

// appendSubscribe appends the SUBSCRIBE of c, if it has one.
func (e *engine) appendSubscribe(dst []byte, c *client) []byte {
	g, p := &e.groups[c.group], &e.packet.subscribe
	p.PacketID, p.Subscriptions = 1, p.Subscriptions[:0]
	if e.stage.Purge {
		return dst
	}
	for _, f := range e.filters(g, int(c.index)) {
		p.Subscriptions = append(p.Subscriptions, mqtt.Subscription{Filter: []byte(f), QoS: g.QoS})
	}
	if len(p.Subscriptions) == 0 {
		return dst
	}
	return p.Append(dst, e.plan.Target.Version)
}

// filters of the group's client n.
func (e *engine) filters(g *group, n int) []string {
	n += g.First
	share, owner := "", n
	if g.Members > 0 {
		owner = n / g.Members
		share = "$share/" + g.Share + strconv.Itoa(owner) + "/"
	}
	switch {
	case g.Filter != "":
		return []string{share + g.Filter}
	case g.Subscribe == "own":
		return []string{share + e.topic(g.Base, owner)}
	case g.Subscribe == "all":
		return []string{share + g.Base + "/#"}
	case g.Subscribe == "self":
		return []string{g.Base + "/" + strconv.Itoa(n)}
	case g.Subscribe == "each":
		var all []string
		for t := range e.plan.Topics {
			all = append(all, share+e.topic(g.Base, t))
		}
		return all
	}
	return nil
}

// topic n (modulo the number of topics).
func (e *engine) topic(base string, n int) string {
	return base + "/" + strconv.Itoa(n%max(1, e.plan.Topics))
}
