package broker

import (
	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/topic"
)

// This file and its neighbours join durable queues (package depot) to clients:
//
//	queues.go    what a worker keeps for them, and the end of a turn
//	enqueue.go   PUBLISH to $queue/..., and captured topics: from the session into batches
//	stored.go    what became of a batch: acknowledgements
//	consume.go   SUBSCRIBE and UNSUBSCRIBE of $queue/..., $stream/...; members come and go
//	dequeue.go   deliveries and how they are settled
//
// Everything that a turn has for a partition is handed over once, at its end: the messages as one batch, and after all
// acknowledgements one Pump. The end is a mail that the worker sends its own loop, since mail is handled last.

// UseQueues gives the broker its queues, before Start. The broker is their depot.Runner.
func (b *Broker) UseQueues(d *depot.Depot) { b.queues = d }

// queueing is what a worker keeps for durable queues. It belongs to the worker.
type queueing struct {
	posted bool // the mail of the turn's end is on its way

	// of publishes
	open        map[*depot.Partition]*batch // not proposed yet
	last        *batch                      // the one of them that was used last
	order       []*batch                    // of opening
	spare       []*batch                    // for reuse
	outstanding int                         // bytes that were proposed and have no outcome
	throttled   []*link                     // not read until there are fewer
	message     queue.Message
	props       []byte
	matches     topic.Matches[depot.Queue]
	captures    []*depot.Queue

	// of deliveries
	pump   []*depot.Partition // to be pumped when the turn ends
	hungry []*client          // have room again, and partitions with something for them
	leased message.Message
	topic  []byte
	user   []byte
}

func newQueueing() *queueing { return &queueing{open: map[*depot.Partition]*batch{}} }

// endTurn arranges that settleTurn is called when the turn ends.
func (w *worker) endTurn() {
	if w.q.posted {
		return
	}
	w.q.posted = true
	if l := w.turn.Loop(); l != nil {
		l.Post((*turnEnd)(w))
	}
}

// turnEnd is the mail of a worker to itself.
type turnEnd worker

func (m *turnEnd) Mail(*netpoll.Turn) { (*worker)(m).settleTurn() }

// settleTurn hands over what the turn gathered for the queues. In a turn outside the loops the one who gathered calls it.
func (w *worker) settleTurn() {
	q := w.q
	q.posted = false
	if w.b.kept != nil {
		w.b.kept.FlushDirty()
	}
	for _, t := range q.order {
		w.propose(t)
	}
	clear(q.order)
	q.order, q.last = q.order[:0], nil
	for i := 0; i < len(q.pump); i++ {
		w.pumpPartition(q.pump[i])
	}
	clear(q.pump)
	q.pump = q.pump[:0]
	for i := 0; i < len(q.hungry); i++ {
		w.feed(q.hungry[i])
	}
	clear(q.hungry)
	q.hungry = q.hungry[:0]
}

// Wake implements depot.Runner: the partition is pumped on a loop of its own.
func (b *Broker) Wake(p *depot.Partition) {
	b.loops[p.Serial%len(b.loops)].Post(&pumpMail{b, p})
}

type pumpMail struct {
	b *Broker
	p *depot.Partition
}

func (m *pumpMail) Mail(t *netpoll.Turn) { m.b.worker(t).pumpPartition(m.p) }

func (w *worker) pumpPartition(p *depot.Partition) {
	if p.Pump(w.turn.Now(), w) {
		p.Wake()
	}
	w.turn.Cycle()
}

// Reasons not to read a link, bits of link.stops.
const (
	stopAnswer   = 1 << iota // what it sent last must be answered before anything else
	stopThrottle             // the loop has too much under way
	stopStored               // too much is on its way to the disk
)

// halt stops to read the link; proceed goes on, on its loop.
func (l *link) halt(why uint8) {
	if l.stops == 0 {
		l.conn.Pause()
	}
	l.stops |= why
}

func (l *link) proceed(why uint8) {
	if l.stops&why == 0 {
		return
	}
	l.stops &^= why
	if l.stops == 0 {
		l.conn.Resume()
	}
}

// returned takes back what a session gives back of a durable queue: a delivery, or the consumer itself.
func (w *worker) returned(t *session.Taken) bool {
	switch source := t.Source.(type) {
	case *consumer:
		if p, token := source.partition(t.Token); p != nil {
			p.Settle(token, depot.Released, w.turn.Now())
			p.Wake()
		}
	case *departure:
		source.carryOut()
	default:
		return false
	}
	return true
}

func release(m *message.Message) {
	if m != nil {
		m.Release()
	}
}
