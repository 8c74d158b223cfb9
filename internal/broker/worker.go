package broker

import (
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// worker is what one turn needs beside the turn: decoded packets, matches and lists that
// are used again and again, so that the hot path makes no garbage. It belongs to a loop (or
// is borrowed from a pool for a turn outside the loops), and nobody else touches it but
// to read stats.
type worker struct {
	b     *Broker
	turn  *netpoll.Turn
	index int // of the loop; outside when the turn belongs to none
	stats stats

	// packets as decoded, one of each kind
	connect     mqtt.Connect
	pending     pendingConnect
	connack     mqtt.Connack
	publish     mqtt.Publish
	ack         mqtt.Ack
	subscribe   mqtt.Subscribe
	unsubscribe mqtt.Unsubscribe
	disconnect  mqtt.Disconnect
	auth        mqtt.Auth
	suback      mqtt.Suback
	unsuback    mqtt.Unsuback

	// m is the message on its way, and inbound the struct for one just received
	m       *message.Message
	inbound message.Message
	props   []byte
	matches topic.Matches[subscription]
	merged  merger
	avoid   *client // the member of a group that just went
	plain   plainCache
	buckets [][]*subscription // receivers of a large fan-out, by loop

	// functions bound once, since a closure made per message would be garbage
	deliver func(*subscription) bool
	bucket  func(*subscription) bool
	merge   func(*subscription) bool

	isOnline, isOther func(*subscription) bool
	emit              session.Emit
	emitTo            *link   // whom emit sends to
	emitFor           *client // whose link that is

	q *queueing

	// of sessions that are kept; see durable.go
	waits   bool            // the publisher of the message on its way waits for the disk
	saving  *saving         // who waits; nil until something has to be waited for
	place   *state.Place    // of the message on its way in an outbox, nil for most
	arrived *arrivals       // set while the node starts
	from    uint64          // the first generation of the state's commands that this was
	storing bool            // the SUBSCRIBE or UNSUBSCRIBE at hand changed the state
	fresh   []*subscription // that the SUBSCRIBE at hand has made
	slow    []*link         // not read until less is on its way to the disk
	leave   *leave          // of the client that is leaving
	reached bool
	isKept  func(*subscription) bool

	noted mqtt.Ack
}

// outside is the index of a worker whose turn belongs to no loop.
const outside = -1

func (b *Broker) newWorker(index int) *worker {
	w := &worker{b: b, index: index, buckets: make([][]*subscription, len(b.lanes)), q: newQueueing()}
	w.merged.index = make(map[*client]int)
	w.deliver = w.deliverTo
	w.bucket = w.bucketOf
	w.merge = w.merged.add
	w.isOnline, w.isOther = w.acceptsOnline, w.acceptsOther
	w.isKept = w.keptBy
	w.emit = func(kind mqtt.Type, id uint16, v session.Answer) { w.emitTo.answerPublish(w, kind, id, v) }
	b.keepWorker(w)
	return w
}

// worker finds the worker of a turn.
func (b *Broker) worker(t *netpoll.Turn) *worker {
	if w, ok := t.Scratch.(*worker); ok {
		return w
	}
	index := outside
	if l := t.Loop(); l != nil {
		index = l.Index()
	}
	w := b.newWorker(index)
	w.turn, t.Scratch = t, w
	return w
}

func (w *worker) count(c Counter, n int) { w.stats.add(c, uint64(n)) }
