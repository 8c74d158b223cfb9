package broker

import (
	"io"
	"log/slog"

	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// onDisconnect takes the client's goodbye. It gives io.EOF: the client closes its side, or waits
// for us to ([MQTT-3.14.4-1], [MQTT-3.14.4-2]), so nothing is left to linger for.
func (l *link) onDisconnect(w *worker, h mqtt.Header, body []byte) error {
	p := &w.disconnect
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	if c := l.client; c != nil {
		c.mu.Lock()
		err := c.sess.Disconnect(p)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		l.end = session.Goodbye
	}
	l.state = linkEnding
	l.detach(w)
	return io.EOF
}

// detach takes the link from its client: the session goes on without a connection or ends,
// the will is published or not. Calling it again does nothing.
func (l *link) detach(w *worker) {
	c := l.client
	if c == nil {
		return
	}
	l.client, l.replay = nil, nil
	now := w.turn.Now()
	c.mu.Lock()
	c.link = nil
	c.online.Store(false)
	end := c.sess.Close(now, l.end)
	var moved []session.Taken
	if end.Ends {
		_, moved = w.endSession(c)
	} else {
		w.departing(c, false)
		moved = c.depart(c.sess.TakeShared(false), true)
	}
	c.mu.Unlock()
	w.b.connected.Add(-1)
	w.count(Disconnects, 1)
	if l.end != session.Goodbye {
		w.count(DisconnectsAbnormal, 1)
	}
	if l.debugs() {
		l.log(slog.LevelDebug, "disconnected", "client", c.id(), "cause", l.end.String())
	}
	w.windUp(c, end.Will, moved)
	if end.Ends {
		w.expire(c, now)
		return
	}
	w.b.expect(c)
}

// endSession makes the router forget the client's subscriptions and discards the session. It
// gives the will that was still to come, and the messages that other members of shared groups
// may have. The caller holds c.mu.
func (w *worker) endSession(c *client) (*session.Will, []session.Taken) {
	for s := range c.sess.All() {
		w.b.unhook(s)
	}
	w.departing(c, true)
	moved := c.depart(c.sess.TakeShared(true), false)
	return c.sess.End(), moved
}
