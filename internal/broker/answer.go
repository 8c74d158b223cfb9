package broker

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
)

// saving waits until everything that a message led to is on disk, and then tells the publisher, or does something else. It
// is a state.Waiter; its mail goes to the loop that took the message.
type saving struct {
	b       *Broker
	loop    *netpoll.Loop // nil when only then is to be done
	receipt receipt
	answer  session.Answer
	// then is called instead of telling anybody, by a goroutine of the log or of a loop; it must not block.
	then func(err error)

	left atomic.Int32 // what is not decided, and one until the message has been routed
	err  atomic.Pointer[error]
}

// Expect implements state.Waiter.
func (s *saving) Expect() { s.left.Add(1) }

// Done implements state.Waiter.
func (s *saving) Done(_ uint64, err error) bool {
	if err != nil {
		s.err.CompareAndSwap(nil, &err)
	}
	if s.left.Add(-1) > 0 {
		return false
	}
	if s.then != nil {
		s.then(s.reason())
	} else {
		s.loop.Post(s)
	}
	return false
}

func (s *saving) reason() error {
	if p := s.err.Load(); p != nil {
		return *p
	}
	return nil
}

// Mail tells the publisher.
func (s *saving) Mail(t *netpoll.Turn) { s.tell(s.b.worker(t)) }

func (s *saving) tell(w *worker) {
	r := result{answer: s.answer}
	if err := s.reason(); err != nil {
		r = refusedWith(err)
	}
	w.conclude(s.receipt, r)
	w.resumeStored()
}

// waiting gives the waiter of the message that is being routed, nil when nobody waits.
func (w *worker) waiting() state.Waiter {
	if !w.waits {
		return nil
	}
	if w.saving == nil {
		w.saving = &saving{b: w.b, loop: w.turn.Loop()}
		w.saving.left.Store(1)
	}
	return w.saving
}

// waitingFor is waiting for a message that may be of QoS 0, for which nobody waits.
func (w *worker) waitingFor(m *message.Message) state.Waiter {
	if m.QoS == 0 {
		return nil
	}
	return w.waiting()
}

// beginWait has what is routed from now on waited for.
func (w *worker) beginWait() { w.waits, w.saving = true, nil }

// endWait gives what is to be waited for, nil for nothing. The caller calls Done of it when it has filled it in.
func (w *worker) endWait() *saving {
	s := w.saving
	w.waits, w.saving = false, nil
	if s != nil && s.left.Load() == 1 && s.reason() == nil {
		return nil // everything is on disk already, or nothing came of it
	}
	return s
}

// answerLater answers a PUBLISH when s is on disk; false when there is nothing to wait for.
func (l *link) answerLater(w *worker, s *saving, r receipt, code mqtt.ReasonCode) bool {
	if s == nil {
		return false
	}
	s.receipt, s.answer = r, session.Answer{Code: code}
	w.throttleStored(l)
	if s.left.Add(-1) == 0 {
		s.tell(w) // it is on disk meanwhile
	}
	return true
}

// maxPending is the number of bytes on their way to the disk from which publishers are not read.
const maxPending = 32 << 20

// throttleStored stops to read a publisher while too much is on its way to the disk.
func (w *worker) throttleStored(l *link) {
	if w.b.kept.Pending() < maxPending || l.stops&stopStored != 0 {
		return
	}
	l.halt(stopStored)
	w.slow = append(w.slow, l)
}

// resumeStored goes on reading. Something of each link that was stopped is still to be told on this loop, so that this is
// called again.
func (w *worker) resumeStored() {
	if len(w.slow) == 0 || w.b.kept.Pending() > maxPending/2 {
		return
	}
	for _, l := range w.slow {
		l.proceed(stopStored)
	}
	clear(w.slow)
	w.slow = w.slow[:0]
}

// full tells whether a message must be refused because the disk is full: it would have to be stored.
func (w *worker) full(topic []byte, qos byte, retain bool) bool {
	if w.b.kept == nil || qos == 0 || !w.b.kept.Full(w.turn.Now()) {
		return false
	}
	return retain || w.reaches(topic)
}

// reaches tells whether a session that is kept subscribes to a topic at QoS 1 or 2.
func (w *worker) reaches(topic []byte) bool {
	w.matches.Reset()
	w.b.router.Match(topic, &w.matches)
	w.reached = false
	for _, set := range w.matches.Sets {
		if set.Each(w.isKept); w.reached {
			return true
		}
	}
	for _, g := range w.matches.Groups {
		if g.Members.Each(w.isKept); w.reached {
			return true
		}
	}
	return false
}

// keptBy looks for a session that is kept, until it has found one.
func (w *worker) keptBy(s *subscription) bool {
	w.reached = s.QoS > 0 && owner(s).kept.Load()
	return !w.reached
}

// subscribed is a SUBSCRIBE whose SUBACK waits for the disk.
type subscribed struct {
	ack   mqtt.Suback
	subs  []*subscription // that are new, by place in codes; nil otherwise
	after func(w *worker) // what goes on then; nil for nothing
}

// subscribing notes a subscription that was made. The caller holds c.mu.
func (d *durable) subscribing(w *worker, s *subscription, fresh bool, place int, group string) {
	if d.ending {
		return
	}
	d.gen = d.shard.Subscribe(state.Waiters{First: d}, d.sid, s.Filter, &s.SubOptions, group)
	if !w.storing {
		w.storing, w.from = true, d.gen
	}
	if fresh {
		for len(w.fresh) <= place {
			w.fresh = append(w.fresh, nil)
		}
		w.fresh[place] = s
	}
}

// unsubscribing notes that a subscription was taken back. The caller holds c.mu.
func (d *durable) unsubscribing(w *worker, filter string) {
	if !d.ending {
		d.gen = d.shard.Unsubscribe(state.Waiters{First: d}, d.sid, filter)
		w.storing = true
	}
}

// subackLater sends SUBACK when the subscriptions of a SUBSCRIBE are on disk; false when there is nothing to wait for.
func (l *link) subackLater(w *worker, ack *mqtt.Suback, after func(*worker)) bool {
	if !w.storing {
		return false
	}
	w.storing = false
	s := &subscribed{ack: *ack, subs: slices.Clone(w.fresh), after: after}
	s.ack.Codes = slices.Clone(ack.Codes)
	clear(w.fresh)
	w.fresh = w.fresh[:0]
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	w.touch()
	if c.durable == nil {
		return false
	}
	c.durable.later(action{kind: actSubscribe, from: w.from, of: s})
	return true
}

// answer sends SUBACK. Subscriptions that could not be stored are taken back.
func (s *subscribed) answer(w *worker, l *link, err error) {
	if err != nil {
		l.log(slog.LevelInfo, "subscribe refused", "error", err)
		code := refusedWith(err).answer.Code
		if l.version != mqtt.V5 {
			code = mqtt.UnspecifiedError
		}
		for i := range s.ack.Codes {
			if !s.ack.Codes[i].IsError() {
				s.ack.Codes[i] = code
			}
			if i < len(s.subs) && s.subs[i] != nil {
				l.unsubscribe(w, s.subs[i].Filter)
			}
		}
		w.storing = false
	}
	l.sendPacket(w, &s.ack)
	if s.after != nil {
		s.after(w)
	}
	l.pump(w)
}

// unsubackLater sends UNSUBACK when it is on disk that the subscriptions are gone; false when there is nothing to wait for.
func (l *link) unsubackLater(w *worker, ack *mqtt.Unsuback) bool {
	if !w.storing {
		return false
	}
	w.storing = false
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	w.touch()
	if c.durable == nil {
		return false
	}
	a := *ack
	a.Codes = slices.Clone(ack.Codes)
	c.durable.later(action{kind: actAnswer, of: &a})
	return true
}
