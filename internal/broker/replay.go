package broker

import (
	"slices"
	"strings"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/retained"
	"github.com/millrace-mq/millrace/internal/session"
)

// replayStep is how many retained messages are looked at for a link before its loop turns to others.
const replayStep = 256

// replayBacklog is the number of unwritten bytes from which a replay waits for the client
// to read.
const replayBacklog = 256 << 10

// replay is the retained messages that new subscriptions of a link are still to get. It goes on
// in steps, each on the link's own loop, for as long as the client takes what it is sent:
// nothing is dropped however large the store, and nobody else waits for it.
type replay struct {
	walks []walk
	// posted is set while mail to go on is under way.
	posted bool
}

type walk struct {
	cursor *retained.Cursor
	filter string
	opts   session.SubOptions
}

// replayRetained notes that a new subscription is to get the retained messages.
func (l *link) replayRetained(s *subscription) {
	if !l.b.mayBeRetained(s.Filter) {
		return
	}
	if l.replay == nil {
		l.replay = new(replay)
	}
	wk := walk{cursor: l.b.retained.Walk(s.Filter), filter: s.Filter, opts: s.SubOptions}
	wk.opts.Retained = true
	l.replay.walks = append(l.replay.walks, wk)
}

// mayBeRetained tells, without the cost of a walk, when nothing retained can match a filter.
func (b *Broker) mayBeRetained(filter string) bool {
	if b.retained.Len() == 0 {
		return false
	}
	if strings.ContainsAny(filter, "+#") {
		return true
	}
	m := b.retained.Get([]byte(filter), 0)
	if m == nil {
		return false
	}
	m.Release()
	return true
}

// stopReplay takes back what is still to come for a subscription that is gone.
func (l *link) stopReplay(filter string) {
	r := l.replay
	if r == nil {
		return
	}
	r.walks = slices.DeleteFunc(r.walks, func(wk walk) bool { return wk.filter == filter })
}

// goOn sends the next step, and arranges the one after.
func (r *replay) goOn(w *worker, l *link) {
	if r.posted {
		return
	}
	room := true
	if len(r.walks) > 0 {
		wk := &r.walks[0]
		step := l.replayRoom(&wk.opts)
		if step == 0 {
			return // Drained or an acknowledgement goes on
		}
		done := wk.cursor.Next(w.turn.Now(), step, func(m *message.Message) bool {
			room = w.deliverRetained(l, m, &wk.opts)
			return room
		})
		if done {
			r.walks = r.walks[1:]
		}
	}
	if !room {
		return
	}
	if len(r.walks) == 0 {
		l.replay = nil
		return
	}
	r.posted = true
	l.conn.Loop().Post((*replayMail)(l))
}

// replayRoom is how many retained messages to look at now. With acknowledgements to wait for it is
// none until half of the client's window is free, since a step has costs of its own.
func (l *link) replayRoom(opts *session.SubOptions) int {
	if opts.QoS == 0 {
		return replayStep
	}
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.sess.Room()
	if room < c.sess.Inflight() {
		return 0
	}
	return min(room, replayStep)
}

// replayMail lets a replay go on in a later turn.
type replayMail link

func (m *replayMail) Mail(t *netpoll.Turn) {
	l := (*link)(m)
	if l.state != linkLive || l.replay == nil {
		return
	}
	l.replay.posted = false
	l.replay.goOn(l.b.worker(t), l)
}

// deliverRetained gives a retained message to one new subscription, with the retain flag set
// ([MQTT-3.3.1-8]). It gives false, and does nothing, when the client does not keep up: it has not
// read what was written, or messages wait in its session for acknowledgements.
func (w *worker) deliverRetained(l *link, m *message.Message, opts *session.SubOptions) bool {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.conn.Backlog() > replayBacklog || c.sess.Queued() > 0 {
		return false
	}
	d := c.sess.Deliver(w.turn.Now(), m, opts, true)
	w.carryOut(c, m, &d)
	if c.durable != nil {
		w.touch()
	}
	w.count(RetainedSent, 1)
	return true
}
