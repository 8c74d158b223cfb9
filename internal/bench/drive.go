package bench

import (
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

const far = int64(1) << 62

func (e *engine) newDriver(start int64) driver {
	s := e.stage
	switch s.Op {
	case opOpen:
		return &opening{e: e, dialler: newDialler(e, s.Groups, s.Rate, start)}
	case opClose:
		return &closing{e: e, list: e.listed(s.Groups)}
	case opFlow:
		return newFlow(e, start)
	case opCycle:
		return &cycling{e: e, cycle: newCycle(e, s.Groups, s.Rate, start)}
	default:
		return &holding{e: e}
	}
}

// listed returns the clients of some groups.
func (e *engine) listed(groups []int) []uint32 {
	var all []uint32
	for _, i := range groups {
		g := &e.groups[i]
		for n := range g.Count {
			all = append(all, g.first+uint32(n))
		}
	}
	return all
}

// dialler opens a list of clients at a rate, a bounded number at a time.
type dialler struct {
	e     *engine
	list  []uint32
	next  int
	start int64
	gap   float64 // nanoseconds between two connections
}

func newDialler(e *engine, groups []int, rate float64, start int64) dialler {
	d := dialler{e: e, list: e.listed(groups), start: start}
	if rate > 0 {
		d.gap = 1e9 / rate
	}
	return d
}

// step opens what is due and returns when the next one is.
func (d *dialler) step(now int64) int64 {
	for d.next < len(d.list) {
		if len(d.e.pending) >= d.e.plan.Target.MaxPending {
			d.e.expire(now)
			if len(d.e.pending) >= d.e.plan.Target.MaxPending {
				return now + int64(time.Millisecond)
			}
		}
		due := now
		if d.gap > 0 {
			due = d.start + int64(float64(d.next)*d.gap)
			if due > now {
				return due
			}
		}
		c := &d.e.clients[d.list[d.next]]
		d.next++
		if c.fd < 0 {
			d.e.open(c, due)
		}
	}
	return far
}

// opening ends when every client is up or has failed, and, where that is asked for, has received what was published before.
type opening struct {
	e *engine
	dialler
}

func (o *opening) step(now int64) (int64, bool) {
	next := o.dialler.step(now)
	if o.next < len(o.list) {
		return next, false
	}
	o.e.expire(now)
	if len(o.e.pending) > 0 || !o.e.stage.Deliver {
		return next, len(o.e.pending) == 0
	}
	quiet := o.e.up == 0 || now-o.e.lastLife > int64(o.e.stage.Drain)
	return now + int64(endCheck), quiet || o.e.got() >= o.e.expected()
}

func (o *opening) changed(*client, bool) {}

func (o *opening) interrupt() bool { return false }

func (o *opening) progress(int64) float64 {
	if o.e.stage.Deliver {
		return float64(o.e.got()) / float64(max(1, o.e.expected()))
	}
	if len(o.list) == 0 {
		return 1
	}
	return float64(o.next-len(o.e.pending)) / float64(len(o.list))
}

// closing disconnects a list of clients.
type closing struct {
	e    *engine
	list []uint32
}

func (c *closing) step(int64) (int64, bool) {
	for _, i := range c.list {
		c.e.depart(&c.e.clients[i], c.e.stage.Abrupt)
	}
	return far, true
}

func (c *closing) changed(*client, bool) {}

func (c *closing) interrupt() bool { return true }

func (c *closing) progress(int64) float64 { return 1 }

// depart ends a connection, politely or not.
func (e *engine) depart(c *client, abruptly bool) {
	if c.fd < 0 {
		return
	}
	if c.state == stateUp && !abruptly {
		e.out = (&mqtt.Disconnect{}).Append(e.out[:0], e.plan.Target.Version)
		e.write(c, e.out)
	}
	e.hangUp(c, abruptly)
}

// holding stays connected for the stage's duration.
type holding struct{ e *engine }

func (h *holding) step(now int64) (int64, bool) {
	if now >= h.e.to {
		return now, true
	}
	return h.e.to, false
}

func (h *holding) changed(*client, bool) {}

func (h *holding) interrupt() bool { return false }

func (h *holding) progress(now int64) float64 { return timeProgress(h.e, now) }

func timeProgress(e *engine, now int64) float64 {
	begin := e.from - int64(e.stage.WarmUp)
	return min(1, float64(now-begin)/float64(max(1, e.to-begin)))
}

// ping sends the PINGREQs that are due, spread evenly over three quarters of the keep-alive time, and says when the next one is.
func (e *engine) ping(now int64) int64 {
	if e.plan.Target.KeepAlive == 0 || len(e.clients) == 0 {
		return far
	}
	if e.pingFrom == 0 {
		e.pingFrom = now
	}
	gap := float64(e.plan.Target.KeepAlive) * 0.75e9 / float64(len(e.clients))
	for {
		due := e.pingFrom + int64(float64(e.pinged)*gap)
		if due > now {
			return due
		}
		c := &e.clients[e.pinged%len(e.clients)]
		e.pinged++
		if c.state == stateUp && c.flags&flagPinged == 0 {
			c.flags |= flagPinged
			c.since = due
			e.out = (&mqtt.Pingreq{}).Append(e.out[:0], e.plan.Target.Version)
			e.write(c, e.out)
		}
	}
}

// expected is how many deliveries the messages sent by all workers make for the subscribers of this one; the coordinator tells.
func (e *engine) expected() uint64 {
	var n uint64
	for i := range e.groups {
		if k := e.groups[i].checker; k != nil {
			n += k.settle(e.sent).Expected
		}
	}
	return n
}

// got is how many distinct deliveries arrived.
func (e *engine) got() uint64 {
	var n uint64
	for i := range e.groups {
		if k := e.groups[i].checker; k != nil {
			n += k.Received
		}
	}
	return n
}
