package broker

import (
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
)

// taken is a message of QoS 2 whose packet identifier is being stored.
type taken struct {
	m     *message.Message // kept, to be routed; nil when that has been done
	place state.Place      // in the outbox, with m
	id    uint16
	s     *saving // whom to tell
}

// publishOnce publishes a message of the client. One of QoS 2 from a session that is kept is stored before anything that is kept
// comes of it; then receivers is -1 if it is routed later.
func (l *link) publishOnce(w *worker, m *message.Message, id uint16) (receivers int, err error) {
	c := l.client
	if m.QoS < 2 || !c.kept.Load() {
		return w.publishMessage(m)
	}
	c.mu.Lock()
	d := c.durable
	if d == nil || d.ending {
		c.mu.Unlock()
		return w.publishMessage(m)
	}
	t := &taken{id: id}
	if m.Retain || w.reaches(m.Topic) {
		t.m, receivers = m.Keep(), -1
		t.place.Shard, t.place.Lane = d.shard.Index(), uint16(w.index)
		t.place.Seq, d.gen = d.shard.Post(state.Waiters{First: d}, d.sid, id, t.place.Lane, t.m)
		m.Return()
	} else {
		d.gen = d.shard.Take(state.Waiters{First: d}, d.sid, id)
	}
	w.waiting()
	t.s = w.saving
	t.s.Expect()
	d.later(action{kind: actTaken, id: id, of: t})
	c.mu.Unlock()
	w.touch()
	if receivers == 0 {
		w.waits = false // nobody else waits for the disk
		receivers, err = w.publishMessage(m)
	}
	return receivers, err
}

// routeTaken goes on with a message of QoS 2 that is on disk, or was refused.
func (w *worker) routeTaken(d *durable, t *taken, err error) {
	if t.m != nil {
		if err == nil {
			n := w.routeOnce(t.m, &t.place)
			t.s.answer.Code = mqtt.Success
			if n == 0 {
				t.s.answer.Code = mqtt.NoMatchingSubscribers
			}
		}
		t.m.Release()
	}
	if err != nil {
		t.s.err.CompareAndSwap(nil, &err)
	}
	if t.s.left.Add(-1) == 0 {
		t.s.tell(w)
	}
}

// routeOnce routes a message of the outbox, and has it taken out when it is on disk wherever it belongs. It is delivered by this
// loop alone, whatever the number of receivers, so that it is at once in all the shards.
func (w *worker) routeOnce(m *message.Message, place *state.Place) int {
	w.place = place
	n, err := w.publishMessage(m)
	w.place = nil
	if err != nil {
		w.b.o.Log.Warn("message not retained", "topic", string(m.Topic), "error", err)
	}
	s := &saving{b: w.b, then: func(error) { w.b.kept.Shard(place.Shard).Sent(place) }}
	s.left.Store(1)
	w.b.kept.Arrive(place, s)
	s.Done(0, nil)
	w.touch()
	return n
}

// wasHere tells whether a message of the outbox has been in a shard before the node was started.
func (w *worker) wasHere(shard int) bool {
	return w.arrived != nil && w.place != nil && w.arrived[shard][lane{w.place.Shard, w.place.Lane}] >= w.place.Seq
}

// lane names a lane of a shard's outbox.
type lane struct {
	shard int
	lane  uint16
}

// arrivals are, for each shard, the last places of lanes that were there.
type arrivals [state.Shards]map[lane]uint64

// deliverKept is Deliver for a session that is kept. The caller holds c.mu.
func (w *worker) deliverKept(d *durable, s *subscription, ready bool) session.Delivery {
	if w.m.QoS > 0 && s.QoS > 0 {
		d.waiter, d.place = w.waiting(), w.place
	}
	del := d.c.sess.Deliver(w.turn.Now(), w.m, &s.SubOptions, ready)
	d.waiter, d.place = nil, nil
	w.touch()
	return del
}
