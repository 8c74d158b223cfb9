package broker

import (
	"bytes"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// User properties that a publisher sets.
const (
	propKey   = "partition-key"
	propDedup = "dedup-id"
	propDelay = "delay"
)

// maxBatch is the size in bytes beyond which a batch is proposed before the turn ends.
const maxBatch = 256 << 10

// batch is what a turn publishes to a partition: one command, and whom to tell.
type batch struct {
	b        *Broker
	loop     *netpoll.Loop
	p        *depot.Partition
	queue    queue.Batch
	buf      []byte // of the batch before
	receipts []receipt
	size     int
	outcome  replog.Outcome
}

// receipt says what is to be told of one message. The zero value: nobody.
type receipt struct {
	c      *client
	ticket session.Ticket
	joint  *joint // the message went to several queues
}

// joint is one PUBLISH that several queues store. It belongs to the loop of the publisher.
type joint struct {
	left   int
	answer session.Answer // the worst
	lost   bool           // of one the outcome is unknown
}

// enqueue takes a PUBLISH that is for queues: of a topic below $queue/, or one that a queue captures. It gives false when it is
// none; else the acknowledgement follows.
func (l *link) enqueue(w *worker, p *mqtt.Publish, t session.Ticket) (bool, error) {
	if bytes.HasPrefix(p.Topic, queuePrefix) {
		return true, l.enqueueTo(w, p, t)
	}
	q := w.q
	q.captures = w.b.queues.Captures(p.Topic, &q.matches, q.captures[:0])
	if len(q.captures) == 0 || p.Topic[0] == '$' {
		return false, nil
	}
	if l.mayPublish(p.Topic, p.QoS, p.Retain) != nil {
		return false, nil // accept refuses it
	}
	w.beginWait()
	code, err := l.accept(w, p)
	s := w.endWait()
	if err != nil {
		return true, err
	}
	m, bad := l.fill(w, p)
	if bad == nil && code.IsError() {
		bad = &mqtt.Error{Code: code}
	}
	if bad != nil {
		return true, l.decline(w, p, t, bad)
	}
	m.Topic, m.Captured = p.Topic, true
	r := receipt{c: l.client, ticket: t}
	if s != nil { // sessions that are kept have it as well
		r.joint = &joint{left: len(w.q.captures) + 1}
	}
	w.captured(m, r)
	l.answerLater(w, s, r, code)
	l.throttle(w)
	return true, nil
}

var queuePrefix = []byte(depot.Prefix)

// captured stores m in the queues of w.q.captures.
func (w *worker) captured(m *queue.Message, r receipt) {
	if n := len(w.q.captures); n > 1 && r.joint == nil {
		r.joint = &joint{left: n}
	}
	for _, q := range w.q.captures {
		w.store(q, m, r)
	}
}

// captureOwn stores a message that no client waits for, such as a will, where its topic is captured.
func (w *worker) captureOwn(m *message.Message) {
	if w.b.queues == nil {
		return
	}
	q := w.q
	q.captures = w.b.queues.Captures(m.Topic, &q.matches, q.captures[:0])
	if len(q.captures) == 0 || m.Topic[0] == '$' {
		return
	}
	w.captured(&queue.Message{
		Topic: m.Topic, Props: m.Props, Payload: m.Payload, Expires: m.Expires, QoS: m.QoS, Key: queue.KeyOf(m.Topic), Captured: true,
	}, receipt{})
	if w.index == outside {
		w.settleTurn()
	}
}

// enqueueTo takes a PUBLISH to $queue/<name>/...
func (l *link) enqueueTo(w *worker, p *mqtt.Publish, t session.Ticket) error {
	if err := topic.ValidateName(p.Topic, w.b.o.MaxTopicLevels); err != nil {
		return &mqtt.Error{Code: mqtt.TopicNameInvalid, Reason: err.Error()}
	}
	if a := w.b.o.Access; a != nil {
		if err := a.Publish(l.peer(), p.Topic, p.QoS, p.Retain); err != nil {
			return l.decline(w, p, t, err)
		}
	}
	m, err := l.fill(w, p)
	if err != nil {
		return l.decline(w, p, t, err)
	}
	name, levels := depot.Split(p.Topic[len(queuePrefix):])
	m.Topic = levels
	if m.Key == 0 {
		m.Key = queue.KeyOf(levels)
	}
	q := w.b.queues.Find(name)
	if q == nil {
		l.enqueueLater(w, string(name), m, t)
		return nil
	}
	if most := q.Settings().MaxMessageSize; most > 0 && int64(m.Size()) > most {
		return l.decline(w, p, t, queue.ErrTooLarge)
	}
	w.store(q, m, receipt{c: l.client, ticket: t})
	l.throttle(w)
	return nil
}

// fill makes the message for a queue of a PUBLISH, but for its topic. Its bytes are good for the turn.
func (l *link) fill(w *worker, p *mqtt.Publish) (*queue.Message, error) {
	m := &w.q.message
	*m = queue.Message{Payload: p.Payload, QoS: p.QoS}
	if l.version != mqtt.V5 || p.Properties.Has == 0 {
		return m, nil
	}
	props := &p.Properties
	w.q.props = props.AppendForward(w.q.props[:0])
	m.Props = w.q.props
	now := w.turn.Now()
	if props.Has.Contains(mqtt.PropMessageExpiry) {
		m.Expires = expires(now, props.MessageExpiry)
	}
	if props.Has.Contains(mqtt.PropPayloadFormat) && props.PayloadFormat == 1 && !utf8.Valid(p.Payload) {
		return m, errNotUTF8
	}
	if !props.Has.Contains(mqtt.PropUser) {
		return m, nil
	}
	for key, value := range props.User.All() {
		switch string(key) {
		case propKey:
			m.Key = queue.KeyOf(value)
		case propDedup:
			m.Dedup = queue.DedupOf(value)
		case propDelay:
			d, err := time.ParseDuration(string(value))
			if err != nil || d < 0 {
				return m, errDelay
			}
			m.NotBefore = now + d.Milliseconds()
		}
	}
	return m, nil
}

// store adds a message to the batch of its partition.
func (w *worker) store(q *depot.Queue, m *queue.Message, r receipt) {
	key := m.Key
	if m.Captured && key == 0 {
		key = queue.KeyOf(m.Topic)
		m.Key = key
	}
	if key == 0 && m.Dedup != (queue.DedupID{}) {
		key = queue.KeyOf(m.Dedup[:]) // a repeat must come to the same partition
	}
	t := w.batch(q.Partition(key))
	had := t.queue.Size()
	if _, err := t.queue.Add(m); err != nil {
		w.conclude(r, refusedWith(err))
		return
	}
	t.receipts = append(t.receipts, r)
	n := t.queue.Size() - had
	if w.index != outside {
		t.size += n
		w.q.outstanding += n
	}
	w.endTurn()
	if t.queue.Size() >= maxBatch {
		w.propose(t)
	}
}

// batch gives the open batch of a partition.
func (w *worker) batch(p *depot.Partition) *batch {
	q := w.q
	if q.last != nil && q.last.p == p {
		return q.last
	}
	t := q.open[p]
	if t == nil {
		t = w.spareBatch()
		t.p = p
		if t.loop = w.turn.Loop(); t.loop == nil {
			t.loop = w.b.loops[0]
		}
		p.Begin(&t.queue, t.buf, w.turn.Now())
		q.open[p] = t
		q.order = append(q.order, t)
	}
	q.last = t
	return t
}

// spareBatches and maxReceipts bound what is kept for reuse.
const (
	spareBatches = 64
	maxReceipts  = 4096
)

// spareBatch gives an empty batch.
func (w *worker) spareBatch() *batch {
	if n := len(w.q.spare); n > 0 {
		t := w.q.spare[n-1]
		w.q.spare = w.q.spare[:n-1]
		return t
	}
	return &batch{b: w.b}
}

// keepBatch keeps a batch that is done for reuse.
func (w *worker) keepBatch(t *batch) {
	if len(w.q.spare) >= spareBatches || cap(t.buf) > 2*maxBatch || cap(t.receipts) > maxReceipts {
		return
	}
	clear(t.receipts)
	*t = batch{b: t.b, buf: t.buf, receipts: t.receipts[:0]}
	w.q.spare = append(w.q.spare, t)
}

// propose hands a batch to the log, once.
func (w *worker) propose(t *batch) {
	q := w.q
	if q.open[t.p] != t {
		return
	}
	delete(q.open, t.p)
	if q.last == t {
		q.last = nil
	}
	if len(t.receipts) == 0 {
		w.keepBatch(t)
		return
	}
	t.buf = t.queue.Command()
	if err := t.p.Propose(t.buf, t); err != nil {
		t.outcome.Err = err
		t.complete(w)
	}
}

// throttle stops to read a publisher while the loop has too much under way.
func (l *link) throttle(w *worker) {
	if w.q.outstanding > w.b.o.MaxQueueing/len(w.b.loops) && l.stops&stopThrottle == 0 {
		l.halt(stopThrottle)
		w.q.throttled = append(w.q.throttled, l)
	}
}

// relax goes on reading.
func (w *worker) relax() {
	q := w.q
	if len(q.throttled) == 0 || q.outstanding > w.b.o.MaxQueueing/len(w.b.loops)/2 {
		return
	}
	for _, l := range q.throttled {
		l.proceed(stopThrottle)
	}
	clear(q.throttled)
	q.throttled = q.throttled[:0]
}

// enqueueLater stores a message in a queue that does not exist yet. The link is not read meanwhile, so that order is kept.
func (l *link) enqueueLater(w *worker, name string, m *queue.Message, t session.Ticket) {
	a := &afterwards{l: l, r: receipt{c: l.client, ticket: t}, m: *m, name: name}
	a.m.Topic, a.m.Props, a.m.Payload = slices.Clone(m.Topic), slices.Clone(m.Props), slices.Clone(m.Payload)
	l.halt(stopAnswer)
	w.b.queues.Use(name, func(q *depot.Queue, err error) {
		a.q, a.err = q, err
		l.conn.Loop().Post(a)
	})
}

// afterwards is a message whose queue is being made.
type afterwards struct {
	l    *link
	r    receipt
	m    queue.Message
	name string
	q    *depot.Queue
	err  error
}

func (a *afterwards) Mail(t *netpoll.Turn) {
	w := a.l.b.worker(t)
	if a.err != nil {
		a.l.log(slog.LevelInfo, "publish refused", "queue", a.name, "error", a.err)
		w.conclude(a.r, refusedWith(a.err))
	} else {
		w.store(a.q, &a.m, a.r)
	}
	if a.l.state == linkLive {
		a.l.proceed(stopAnswer)
	}
}

// decline refuses a PUBLISH that was not stored.
func (l *link) decline(w *worker, p *mqtt.Publish, t session.Ticket, err error) error {
	o := refusedWith(err)
	w.count(PublishRefused, 1)
	l.log(slog.LevelInfo, "publish refused", "topic", string(p.Topic), "reason", o.answer.Code.String(), "detail", reasonOf(o.answer))
	if p.QoS == 0 {
		return nil
	}
	return l.acknowledge(w, t, o.answer)
}
