package broker

import (
	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// Deliver implements depot.Out: it offers a message to the session of a consumer. It is called under the lock of the
// partition, within Pump.
func (w *worker) Deliver(p *depot.Partition, dc *depot.Consumer, d *queue.Delivery) queue.Verdict {
	cs := dc.Owner.(*consumer)
	m := &w.q.leased
	qm := &d.Message
	c := cs.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready(w.b.o.MaxOutboundBuffer) {
		return c.block(cs, p)
	}
	m.Topic, m.Payload, m.QoS, m.Expires = cs.topicOf(w, qm), qm.Payload, qm.QoS, qm.Expires
	m.Props = nil
	if c.link.version == mqtt.V5 {
		w.q.user = describe(w.q.user[:0], p, d)
		w.q.user = append(w.q.user, qm.Props...)
		m.Props = w.q.user
	}
	s := c.sess.Lease(w.turn.Now(), m, &cs.sub.SubOptions, depot.Pack(p, d.Token))
	w.carryOut(c, m, &s)
	m.Return()
	switch {
	case s.Verdict != session.Dropped:
		w.count(QueueDelivered, 1)
		if s.QoS == 0 {
			return queue.Done
		}
		return queue.Leased
	case s.Reason == session.NoRoom:
		return c.block(cs, p)
	case s.Reason == session.TooLarge:
		return queue.Unfit
	}
	return depot.Lapsed
}

// topicOf is the topic that a message is delivered on.
func (cs *consumer) topicOf(w *worker, m *queue.Message) []byte {
	t := append(w.q.topic[:0], cs.prefix...)
	if len(m.Topic) > 0 {
		t = append(append(t, '/'), m.Topic...)
	}
	w.q.topic = t
	return t
}

// describe appends what a delivery says of itself, as encoded user properties.
func describe(dst []byte, p *depot.Partition, d *queue.Delivery) []byte {
	dst = appendNumber(dst, "partition", uint64(p.Number))
	dst = appendNumber(dst, "offset", d.Offset)
	dst = appendNumber(dst, "timestamp", uint64(d.Time))
	if d.Count > 1 {
		dst = appendNumber(dst, "delivery-count", uint64(d.Count))
	}
	if d.Message.Captured {
		dst = appendUser(dst, "source-topic", d.Message.Topic)
	}
	return dst
}

// settleLease tells the partition what a client said of a delivery.
func (w *worker) settleLease(cs *consumer, s *session.Settled) {
	p, token := cs.partition(s.Token)
	if p == nil {
		return
	}
	how := depot.Done
	switch {
	case s.Code == mqtt.PayloadFormatInvalid || s.Code == mqtt.TopicNameInvalid:
		how = depot.Rejected
	case s.Code.IsError():
		how = depot.Again
	}
	w.count(QueueSettled, 1)
	p.Settle(token, how, w.turn.Now())
	w.pumpLater(p)
}

// pumpLater has a partition pumped when the turn ends.
func (w *worker) pumpLater(p *depot.Partition) {
	q := w.q
	if n := len(q.pump); n > 0 && q.pump[n-1] == p {
		return
	}
	for _, o := range q.pump {
		if o == p {
			return
		}
	}
	q.pump = append(q.pump, p)
	w.endTurn()
}

// consuming is what a client has that consumes from queues. Guarded by the client's mutex.
type consuming struct {
	list []*consumer
	// blocked are the partitions that had something when the client had no room, in the order in which they are served when it
	// has.
	blocked []blockedAt
	hungry  bool // some worker will look
}

type blockedAt struct {
	cs *consumer
	p  *depot.Partition
}

// block notes that a partition had something for a consumer, which had no room. The caller holds c.mu.
func (c *client) block(cs *consumer, p *depot.Partition) queue.Verdict {
	if c.consuming != nil {
		c.consuming.blocked = append(c.consuming.blocked, blockedAt{cs, p})
	}
	return queue.NoRoom
}

// roomAgain arranges that blocked partitions are served when the turn ends. The caller holds c.mu.
func (w *worker) roomAgain(c *client) {
	if g := c.consuming; g != nil && len(g.blocked) > 0 && !g.hungry && c.link != nil {
		g.hungry = true
		w.q.hungry = append(w.q.hungry, c)
		w.endTurn()
	}
}

// feed serves the partitions that wait for a client's room, one after the other, as far as the room goes.
func (w *worker) feed(c *client) {
	c.mu.Lock()
	g := c.consuming
	if g == nil {
		c.mu.Unlock()
		return
	}
	g.hungry = false
	for n := len(g.blocked); n > 0 && len(g.blocked) > 0; n-- {
		if !c.ready(w.b.o.MaxOutboundBuffer) || c.sess.Room() == 0 {
			break // the next acknowledgement goes on, or Drained
		}
		b := g.blocked[0]
		g.blocked = g.blocked[1:]
		c.mu.Unlock()
		b.cs.depot.Room(b.p)
		w.pumpPartition(b.p)
		c.mu.Lock()
	}
	c.mu.Unlock()
}
