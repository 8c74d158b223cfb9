package broker

import (
	"errors"
	"strconv"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
)

// result is what became of one message. The zero value: it was stored, and there is nothing to say of it.
type result struct {
	answer session.Answer
	// lost: the outcome is unknown. Nothing may be said of it, so the connection ends; the client sends the message again.
	lost bool
}

// A note of an answer (session.Answer) is, of a message that was stored, its partition plus one above 48 bits of offset; of a
// refusal, the place of its reason in reasons.
const offsetBits = 48

func storedAt(p *depot.Partition, offset uint64) result {
	return result{answer: session.Answer{Note: uint64(p.Number+1)<<offsetBits | offset&(1<<offsetBits-1)}}
}

// refusal is an error with what the client is told.
type reasoned struct {
	err    error
	code   mqtt.ReasonCode
	reason string
}

// reasons are the refusals of a PUBLISH. The first stands for none.
var reasons = [...]reasoned{
	{},
	{depot.ErrNotFound, mqtt.TopicNameInvalid, "no such queue"},
	{depot.ErrName, mqtt.TopicNameInvalid, "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -"},
	{depot.ErrTooMany, mqtt.QuotaExceeded, "too many queues"},
	{queue.ErrFull, mqtt.QuotaExceeded, "the queue is full"},
	{queue.ErrTooLarge, mqtt.QuotaExceeded, "the message is larger than the queue's max_message_size"},
	{errNotUTF8, mqtt.PayloadFormatInvalid, "the payload is not UTF-8, which it is declared to be"},
	{errDelay, mqtt.ImplementationSpecificError, "delay is not a duration such as 5s or 2h"},
	{errDenied, mqtt.NotAuthorized, "not authorized"},
	{replog.ErrFull, mqtt.QuotaExceeded, "the disk is full"},
	{replog.ErrBusy, mqtt.QuotaExceeded, "too much is being stored at once"},
	{replog.ErrTooFewInSync, mqtt.ImplementationSpecificError, "too few replicas in sync"},
	{replog.ErrNotLeader, mqtt.ImplementationSpecificError, "the partition has no leader here"},
	{replog.ErrStopped, mqtt.ImplementationSpecificError, "the queue is being stopped"},
	{state.ErrFull, mqtt.QuotaExceeded, "the disk is full"},
	{state.ErrRefused, mqtt.ImplementationSpecificError, "the message could not be stored"},
}

var (
	errNotUTF8 = errors.New("broker: the payload is declared to be UTF-8 and is not")
	errDelay   = errors.New("broker: delay is no duration")
	errDenied  = errors.New("broker: not authorized")
)

// refusedWith is the result of an error that says that nothing was stored.
func refusedWith(err error) result {
	if e, ok := errors.AsType[*mqtt.Error](err); ok && e.Code != mqtt.NotAuthorized {
		return result{answer: session.Answer{Code: e.Code}}
	} else if ok {
		err = errDenied
	}
	for i := 1; i < len(reasons); i++ {
		if errors.Is(err, reasons[i].err) {
			return result{answer: session.Answer{Code: reasons[i].code, Note: uint64(i)}}
		}
	}
	return result{answer: session.Answer{Code: mqtt.UnspecifiedError}}
}

// reasonOf gives the reason string of a refusal.
func reasonOf(v session.Answer) string {
	if v.Code.IsError() && v.Note < uint64(len(reasons)) {
		return reasons[v.Note].reason
	}
	return ""
}

// Proposed implements replog.Proposer.
func (t *batch) Proposed(o replog.Outcome) {
	t.outcome = o
	t.loop.Post(t)
}

// Mail tells whoever published what became of it.
func (t *batch) Mail(turn *netpoll.Turn) { t.complete(t.b.worker(turn)) }

func (t *batch) complete(w *worker) {
	w.q.outstanding -= t.size
	stored := 0
	var r queue.Result
	if t.outcome.Err == nil {
		r = depot.ResultOf(&t.outcome)
	}
	var held *client // whose mutex is held, since receipts of one publisher stand together
	for i := range t.receipts {
		rc := &t.receipts[i]
		res := t.result(&r, i)
		if !res.lost && !res.answer.Code.IsError() {
			stored++
		}
		if rc.c == nil {
			continue
		}
		if rc.joint != nil {
			if !rc.joint.add(res) {
				continue
			}
			res = result{rc.joint.answer, rc.joint.lost}
		}
		if held != rc.c {
			if held != nil {
				held.mu.Unlock()
			}
			held = rc.c
			held.mu.Lock()
		}
		if err := w.tell(held, rc.ticket, res); err != nil {
			l := held.link
			held.mu.Unlock()
			held = nil
			w.endLink(l, err)
		}
	}
	if held != nil {
		held.mu.Unlock()
	}
	w.count(QueueStored, stored)
	w.keepBatch(t)
	w.relax()
}

// result is what became of the i-th message.
func (t *batch) result(r *queue.Result, i int) result {
	switch err := t.outcome.Err; {
	case errors.Is(err, replog.ErrUnknown):
		return result{lost: true}
	case err != nil:
		return refusedWith(err)
	case r.Err != nil:
		return refusedWith(r.Err)
	}
	o := r.Outcome(i)
	if o.Status == queue.Full {
		return refusedWith(queue.ErrFull)
	}
	return storedAt(t.p, o.Offset)
}

// add notes one of the results, and gives true when it was the last.
func (j *joint) add(r result) bool {
	j.left--
	j.lost = j.lost || r.lost
	if j.answer.Note == 0 || r.answer.Code > j.answer.Code {
		j.answer = r.answer
	}
	return j.left == 0
}

// conclude tells a publisher of one message. The caller holds no client's mutex.
func (w *worker) conclude(r receipt, res result) {
	if r.c == nil || r.joint != nil && !r.joint.add(res) {
		return
	}
	if r.joint != nil {
		res = result{r.joint.answer, r.joint.lost}
	}
	r.c.mu.Lock()
	l := r.c.link
	err := w.tell(r.c, r.ticket, res)
	r.c.mu.Unlock()
	if err != nil {
		w.endLink(l, err)
	}
}

// tell acknowledges a PUBLISH. The caller holds the client's mutex. An error ends the client's connection.
func (w *worker) tell(c *client, t session.Ticket, r result) error {
	if r.answer.Code.IsError() {
		w.count(PublishRefused, 1)
	}
	if t == 0 {
		return nil
	}
	if r.lost {
		if c.link == nil {
			return nil
		}
		return &mqtt.Error{Code: mqtt.ImplementationSpecificError, Reason: "it is unknown whether a message was stored"}
	}
	w.emitTo, w.emitFor = c.link, c // not the link that it came by: a duplicate of it may have come by another
	return c.sess.Acknowledge(t, r.answer, w.emit)
}

// endLink ends a connection because of what became of a message.
func (w *worker) endLink(l *link, err error) {
	switch {
	case l == nil:
	case l.conn.Loop() == w.turn.Loop():
		l.fail(w, err)
	default:
		l.conn.Loop().Post(&failure{l, err})
	}
}

// failure has a link ended on its own loop.
type failure struct {
	l   *link
	err error
}

func (f *failure) Mail(t *netpoll.Turn) {
	if f.l.state == linkLive {
		f.l.fail(f.l.b.worker(t), f.err)
	}
}

// answerPublish sends a PUBACK or PUBREC to w.emitFor, whose mutex the caller holds, with what its note says where the client wants to know (3.1.2.11.7).
func (l *link) answerPublish(w *worker, kind mqtt.Type, id uint16, v session.Answer) {
	s := w.emitFor.sess
	if v.Note == 0 || l.version != mqtt.V5 || !s.ProblemInformation() {
		l.sendAck(w, kind, id, v.Code)
		return
	}
	a := &w.noted
	a.Type, a.PacketID, a.Code = kind, id, v.Code
	a.Properties.Reset()
	if v.Code.IsError() {
		a.Properties.ReasonString = []byte(reasonOf(v))
		a.Properties.Has = a.Properties.Has.With(mqtt.PropReasonString)
	} else {
		u := appendNumber(w.q.user[:0], "partition", v.Note>>offsetBits-1)
		u = appendNumber(u, "offset", v.Note&(1<<offsetBits-1))
		w.q.user = u
		a.Properties.User = mqtt.UserProperties(u)
		a.Properties.Has = a.Properties.Has.With(mqtt.PropUser)
	}
	b := w.turn.End(a.Append(w.turn.Begin(smallPacket), l.version))
	if !s.Fits(b.Len()) {
		l.sendAck(w, kind, id, v.Code)
		return
	}
	l.put(w, b)
	w.count(PacketsSent, 1)
}

// appendNumber appends an encoded user property whose value is a number.
func appendNumber(dst []byte, key string, n uint64) []byte {
	var text [20]byte
	return appendUser(dst, key, strconv.AppendUint(text[:0], n, 10))
}

// appendUser appends an encoded user property. Both must be short.
func appendUser(dst []byte, key string, value []byte) []byte {
	dst = append(dst, byte(mqtt.PropUser), byte(len(key)>>8), byte(len(key)))
	dst = append(dst, key...)
	dst = append(dst, byte(len(value)>>8), byte(len(value)))
	return append(dst, value...)
}
