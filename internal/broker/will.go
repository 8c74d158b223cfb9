package broker

import (
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
)

// publishWill publishes the will of a client whose connection or session has ended.
func (w *worker) publishWill(c *client, will *session.Will) {
	w.count(WillsPublished, 1)
	m := will.Message(w.turn.Now(), c.sess.Number)
	if _, err := w.publishMessage(m); err != nil {
		w.b.o.Log.Warn("will not retained", "client", c.id(), "error", err)
	}
	w.captureOwn(m)
}

// expect arranges that what is due for a client without a connection is done: to publish its
// delayed will, to end its session. One errand serves a client however often it comes
// and goes.
func (b *Broker) expect(c *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.link != nil {
		return
	}
	due, ok := c.sess.Due()
	if !ok || c.errand != 0 && c.errand <= due {
		return
	}
	c.errand = due
	b.janitor.at(due, func() { b.visit(c, due) })
}

// visit does what is due for a client, unless it has connected again.
func (b *Broker) visit(c *client, due int64) {
	now := time.Now().UnixMilli()
	c.mu.Lock()
	if c.errand == due {
		c.errand = 0
	}
	if c.dead || c.link != nil {
		c.mu.Unlock()
		return
	}
	will, ends := c.sess.Expire(now)
	c.mu.Unlock()
	if will != nil || ends {
		b.poller.Turn(func(t *netpoll.Turn) {
			w := b.worker(t)
			if will != nil {
				c.mu.Lock()
				w.departing(c, false)
				c.mu.Unlock()
				w.windUp(c, will, nil)
			}
			if ends && w.expire(c, now) {
				w.count(SessionsExpired, 1)
			}
		})
	}
	b.expect(c)
}

// expire forgets a client whose session has ended, unless it has connected again.
func (w *worker) expire(c *client, now int64) bool {
	gone := func(c *client) bool { return c.link == nil && c.sess.Ended(now) }
	if !w.b.clients.remove(c, gone) {
		return false
	}
	c.mu.Lock()
	will, moved := w.endSession(c)
	c.mu.Unlock()
	w.windUp(c, will, moved)
	return true
}

// windUp publishes and gives away what an ended session left.
func (w *worker) windUp(c *client, will *session.Will, moved []session.Taken) {
	lv := w.beginLeave()
	if will != nil {
		w.publishWill(c, will)
	}
	w.moveShared(c, moved)
	w.endLeave(lv)
}
