package broker

import (
	"sync"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// spreadFrom is the number of receivers from which a message is shared out over the
// loops, each writing to its own connections. Below, waking another loop costs more than
// the writes that it would do.
const spreadFrom = 128

// route delivers m to everybody who subscribed to its topic, and gives the number of
// subscriptions that matched. m may be borrowed.
//
// Order: messages of one publisher reach a subscriber in the order of publishing. A
// publisher's messages all pass through its loop, and a loop either writes to a client
// itself or mails to the client's loop; lanes see to it that it does not write past
// its own mail.
func (w *worker) route(m *message.Message) int {
	w.begin(m)
	w.matches.Reset()
	w.b.router.Match(m.Topic, &w.matches)
	n := len(w.matches.Groups)
	switch sets := w.matches.Sets; len(sets) {
	case 0:
	case 1:
		n += sets[0].Len()
		if sets[0].Len() < spreadFrom || len(w.b.lanes) < 2 || w.place != nil {
			sets[0].Each(w.deliver)
		} else {
			sets[0].Each(w.bucket)
			w.spread()
		}
	default:
		n += w.routeMerged()
	}
	for _, g := range w.matches.Groups {
		if s := w.pick(g); s != nil {
			w.deliverTo(s)
		}
	}
	w.end()
	return n
}

// begin makes m the message on its way; what was encoded of the one before is forgotten.
func (w *worker) begin(m *message.Message) {
	w.m = m
	w.plain.reset()
}

func (w *worker) end() { w.m = nil }

// deliverTo gives the message on its way to one receiver: now, or by the mail of the loop
// that has earlier mail for it.
func (w *worker) deliverTo(s *subscription) bool {
	if w.index != outside && w.place == nil {
		if to := int(owner(s).loop.Load()); to != w.index && w.b.lane(w.index, to).Load() > 0 {
			w.buckets[to] = append(w.buckets[to], s)
			w.mail(to)
			return true
		}
	}
	w.b.deliver(w, s)
	return true
}

func (w *worker) bucketOf(s *subscription) bool {
	to := int(owner(s).loop.Load())
	w.buckets[to] = append(w.buckets[to], s)
	return true
}

// spread mails the other loops their receivers and then serves its own.
func (w *worker) spread() {
	for to := range w.buckets {
		if to != w.index && len(w.buckets[to]) > 0 {
			w.mail(to)
		}
	}
	if w.index == outside {
		return
	}
	own := w.buckets[w.index]
	for _, s := range own {
		w.b.deliver(w, s)
	}
	clear(own)
	w.buckets[w.index] = own[:0]
}

// parcel is a message for several clients of one loop.
type parcel struct {
	b         *Broker
	m         *message.Message
	from, to  int
	receivers []*subscription
	saving    *saving // who waits for what is stored, nil for nobody
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// mail sends the message on its way, with the receivers of bucket to, to that loop.
func (w *worker) mail(to int) {
	p := parcels.Get().(*parcel)
	p.b, p.m, p.from, p.to = w.b, w.m.Keep(), w.index, to
	p.receivers, w.buckets[to] = w.buckets[to], p.receivers[:0]
	if w.waits && w.m.QoS > 0 && w.b.kept != nil {
		w.waiting().Expect()
		p.saving = w.saving
	}
	if w.index != outside {
		w.b.lane(w.index, to).Add(1)
	}
	w.b.loops[to].Post(p)
}

// Mail delivers a parcel on the loop that it was for.
func (p *parcel) Mail(t *netpoll.Turn) {
	w := p.b.worker(t)
	w.begin(p.m)
	w.waits, w.saving = p.saving != nil, p.saving
	for _, s := range p.receivers {
		p.b.deliver(w, s)
	}
	w.end()
	if p.saving != nil {
		w.waits, w.saving = false, nil
		p.saving.Done(0, nil)
	}
	p.m.Release()
	if p.from != outside {
		p.b.lane(p.from, p.to).Add(-1)
	}
	clear(p.receivers)
	p.m, p.b, p.saving, p.receivers = nil, nil, nil, p.receivers[:0]
	parcels.Put(p)
}

// deliver puts w.m into one client's session and, if it is to be sent now, onto its
// connection.
func (b *Broker) deliver(w *worker, s *subscription) {
	c := owner(s)
	c.mu.Lock()
	var d session.Delivery
	if ready := c.ready(b.o.MaxOutboundBuffer); c.durable == nil {
		d = c.sess.Deliver(w.turn.Now(), w.m, &s.SubOptions, ready)
	} else if !w.wasHere(c.durable.shard.Index()) {
		d = w.deliverKept(c.durable, s, ready)
	} else {
		c.mu.Unlock()
		return
	}
	w.carryOut(c, w.m, &d)
	c.mu.Unlock()
}

// carryOut does what a session decided about a message. The caller holds c.mu.
func (w *worker) carryOut(c *client, m *message.Message, d *session.Delivery) {
	switch d.Verdict {
	case session.Send:
		w.send(c.link, m, d)
	case session.SendPubrel:
		c.link.sendAck(w, mqtt.PUBREL, d.PacketID, mqtt.Success)
	case session.Held:
		c.durable.later(action{kind: actRelease, id: d.PacketID, number: d.Number})
		w.touch()
	case session.Dropped:
		w.count(dropCounters[d.Reason], 1)
	}
	if d.Evicted > 0 {
		w.count(DroppedQueueFull, int(d.Evicted))
	}
}

// dropCounters says what each reason to drop a message is counted as.
var dropCounters = [...]Counter{
	session.OwnMessage: NotDelivered,
	session.NotHere:    NotDelivered,
	session.NotReady:   DroppedSlow,
	session.QueueFull:  DroppedQueueFull,
	session.Expired:    DroppedExpired,
	session.TooLarge:   DroppedTooLarge,
	session.NoRoom:     NotDelivered,
}

// send encodes one delivery and hands it to the connection.
func (w *worker) send(l *link, m *message.Message, d *session.Delivery) {
	w.count(PublishSent0+Counter(d.QoS), 1)
	w.count(PublishBytesSent, len(m.Payload))
	w.count(PacketsSent, 1)
	if m == w.m && d.Plain() {
		l.put(w, w.plainSegment(l.version, m, d))
		return
	}
	l.put(w, w.encode(l.version, m, d))
}

func (w *worker) encode(v mqtt.Version, m *message.Message, d *session.Delivery) netpoll.Segment {
	h := d.Head()
	name := m.Topic
	if d.OmitTopic {
		name = nil
	}
	buf := w.turn.Begin(mqtt.PublishSize(v, h, len(name), len(m.Props), len(m.Payload)))
	return w.turn.End(mqtt.AppendPublish(buf, v, h, name, m.Props, m.Payload))
}

// plainCache holds the message on its way as encoded for receivers that all get the
// same bytes: QoS 0, no subscription identifier, no alias. One per version and retain flag.
type plainCache struct {
	set      [4]bool
	segments [4]netpoll.Segment
}

func (p *plainCache) reset() { p.set = [4]bool{} }

func (w *worker) plainSegment(v mqtt.Version, m *message.Message, d *session.Delivery) netpoll.Segment {
	i := 0
	if v == mqtt.V5 {
		i |= 1
	}
	if d.Retain {
		i |= 2
	}
	p := &w.plain
	if !p.set[i] {
		p.segments[i], p.set[i] = w.encode(v, m, d), true
	}
	return p.segments[i]
}
