package depot

import (
	"strconv"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/mqtt"
)

// The user properties of a dead letter, before those of the message.
const (
	PropReason    = "dlq-reason"
	PropQueue     = "source-queue"
	PropPartition = "source-partition"
	PropOffset    = "source-offset"
)

// letter is a message on its way to the dead-letter queue, with its own bytes.
type letter struct {
	p       *Partition
	token   queue.Token
	message queue.Message
}

// newLetter copies what a dispatcher gave out.
func newLetter(p *Partition, l *queue.DeadLetter) *letter {
	var props mqtt.UserProperties
	props = props.Append(PropReason, l.Reason.String())
	props = props.Append(PropQueue, p.queue.Name)
	props = props.Append(PropPartition, strconv.Itoa(p.Number))
	props = props.Append(PropOffset, strconv.FormatUint(l.Offset, 10))
	m := l.Message
	m.Topic = append([]byte(nil), m.Topic...)
	m.Props = append(props, m.Props...)
	m.Payload = append([]byte(nil), m.Payload...)
	m.Expires, m.NotBefore = 0, 0
	// A letter is stored once, however often it is tried.
	id := append([]byte(nil), p.queue.Name...)
	id = append(id, 0)
	id = strconv.AppendInt(id, int64(p.Number), 10)
	id = append(id, 0)
	id = strconv.AppendUint(id, l.Offset, 10)
	id = append(append(id, 0), l.Group...)
	m.Dedup = queue.DedupOf(id)
	return &letter{p: p, token: l.Token, message: m}
}

// bury stores a letter, making the dead-letter queue if there is none yet, and tells the partition that it came from.
func (d *Depot) bury(l *letter) {
	name := l.p.queue.Name + DeadLetterSuffix
	store := func(q *Queue, err error) {
		if err != nil {
			l.ended(err)
			return
		}
		q.Partition(l.message.Key).Store(&l.message, d.clock.now(), func(o queue.Outcome, err error) {
			if err == nil && o.Status == queue.Full {
				err = queue.ErrFull
			}
			l.ended(err)
		})
	}
	if q := d.Find([]byte(name)); q != nil {
		store(q, nil)
		return
	}
	s := l.p.queue.Settings().deadLetters()
	d.create(name, s, true, store)
}

// ended tells the partition how it went.
func (l *letter) ended(err error) {
	p := l.p
	p.mu.Lock()
	if d := p.mu.dispatcher; d != nil {
		if err == nil {
			d.Buried(l.token)
		} else {
			d.Unburied(l.token, p.depot.clock.now())
		}
	}
	p.mu.Unlock()
	if err != nil {
		p.depot.log.Warn("dead letter not stored, it is tried again", "queue", p.queue.Name, "partition", p.Number, "error", err)
	}
	p.Wake()
}

// Store stores one message and tells done, at once or later, on any goroutine. The message must not change meanwhile.
func (p *Partition) Store(m *queue.Message, now int64, done func(queue.Outcome, error)) {
	var b queue.Batch
	p.Begin(&b, nil, now)
	if _, err := b.Add(m); err != nil {
		done(queue.Outcome{}, err)
		return
	}
	if err := p.Propose(b.Command(), storing(done)); err != nil {
		done(queue.Outcome{}, err)
	}
}

type storing func(queue.Outcome, error)

// Proposed implements replog.Proposer.
func (s storing) Proposed(o replog.Outcome) {
	if o.Err != nil {
		s(queue.Outcome{}, o.Err)
		return
	}
	r := ResultOf(&o)
	if r.Err != nil {
		s(queue.Outcome{}, r.Err)
		return
	}
	s(r.Outcome(0), nil)
}
