// Package broker is the core: the registry of clients, publish, subscribe, retained
// messages, wills and shared groups. It joins the pure parts (session, topic) to the
// network (netpoll): a link turns packets into calls on its client's session, and what
// the session decides into bytes on a connection.
//
// # A publish
//
// A loop reads bytes and calls link.Data; onPublish decodes in place, asks the session, then
// the rights, keeps a retained message, and routes: topic.Router gives the sets of subscriptions, and
// each receiver's session decides what the receiver gets. Receivers of the same bytes share one
// encoded copy in the turn's arena. The turn's end writes each connection once. Then
// the acknowledgement goes the same way to the publisher.
//
// # Locks
//
// In this order, none held while a later one's holder waits for an earlier one:
//
//	registryShard.mu > client.mu > (netpoll) connection's mutex
//	depot.Partition.mu > client.mu
//
// No code holds two clients' locks. A link belongs to its loop and needs none; what one loop
// wants from another's link it sends there by mail.
//
// # Memory
//
// An idle client is a link, a client and a session. Everything that only some need hangs on a
// pointer.
package broker

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/retained"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// Options are what a broker is told once.
type Options struct {
	Log     *slog.Logger
	Version string
	// Session are the limits of every session, and what CONNACK says of them.
	Session session.Limits
	// Retained are the limits of the store of retained messages.
	Retained retained.Limits
	// MaxConnectSize bounds the first packet of a connection, in bytes, since whoever sends it is
	// not known yet.
	MaxConnectSize uint32
	// MaxClientID bounds client identifiers, in bytes; 0: no bound.
	MaxClientID int
	// MaxTopicLevels bounds topic names and filters.
	MaxTopicLevels int
	// MaxOutboundBuffer is the number of bytes that may wait for a client that does not read.
	// Beyond, messages at QoS 0 are dropped, others wait in the session within its limits.
	MaxOutboundBuffer int
	SharedStrategy    Strategy
	// MaxQueueing is the number of bytes that may be on their way into durable queues. Beyond, publishers are not read.
	MaxQueueing int
	// SysInterval is how often $SYS is published; 0 for never.
	SysInterval time.Duration
	// ResponseInfo is told to clients that ask for response information; "" for none.
	ResponseInfo string
	// ServerReference is where clients are sent when the node stops; "" for nowhere.
	ServerReference string
	// Access decides who may do what; nil allows everything.
	Access Access
	// Mechanisms opens the methods of enhanced authentication; nil for none.
	Mechanisms session.Opener
}

// Broker is one node's core. Its methods may be called by any goroutine.
type Broker struct {
	o        Options
	poller   *netpoll.Poller
	loops    []*netpoll.Loop
	clients  *registry
	router   *topic.Router[subscription]
	retained *retained.Store
	janitor  *janitor
	seed     maphash.Seed
	queues   *depot.Depot // nil: there are none
	kept     *state.Set   // nil: sessions and retained messages end with the process

	numbers   atomic.Uint64
	links     atomic.Int64 // connections, accepted by CONNECT or not
	connected atomic.Int64
	closing   atomic.Bool

	// lanes[from][to] counts the parcels that loop from has mailed to loop to and that were not
	// delivered yet. While there are any, from delivers to clients of to by mail only.
	lanes [][]paddedCount

	workers struct {
		sync.Mutex
		all []*worker
	}
	stop    chan struct{}
	running sync.WaitGroup
}

type paddedCount struct {
	atomic.Int64
	_ [56]byte
}

// New makes a broker on the loops of a poller. Start lets it work.
func New(o Options, poller *netpoll.Poller) *Broker {
	b := &Broker{
		o: o, poller: poller, loops: poller.Loops(), clients: newRegistry(), router: topic.NewRouter[subscription](),
		retained: retained.New(o.Retained), janitor: newJanitor(), seed: maphash.MakeSeed(), stop: make(chan struct{}),
	}
	b.lanes = make([][]paddedCount, len(b.loops))
	for i := range b.lanes {
		b.lanes[i] = make([]paddedCount, len(b.loops))
	}
	return b
}

// Start begins the work that no client asks for. Stop ends it.
func (b *Broker) Start() {
	b.running.Go(func() { b.janitor.run(b.stop) })
	b.running.Go(func() { b.sweep(b.stop) })
	if b.o.SysInterval > 0 {
		b.running.Go(func() { newSysTree(b).run(b.o.SysInterval, b.stop) })
	}
}

// Listener is what the broker knows of where a connection came in.
type Listener struct {
	Name string
}

// Accept is the handler of a new connection.
func (b *Broker) Accept(c *netpoll.Conn, ln *Listener) netpoll.Handler {
	b.links.Add(1)
	return &link{b: b, conn: c, listener: ln, version: mqtt.V311}
}

// Stop says goodbye to every client, waits until their connections are closed or ctx is
// done, and ends the broker's own work. Sessions are not ended by it.
func (b *Broker) Stop(ctx context.Context) error {
	b.closing.Store(true)
	b.clients.each(b.dismiss)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for b.connected.Load() > 0 && err == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	close(b.stop)
	b.running.Wait()
	return errors.Join(err, b.settleKept(ctx))
}

func (b *Broker) dismiss(c *client) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.conn.Loop().Post((*dismissal)(l))
	}
}

// dismissal ends a link because the server goes.
type dismissal link

func (d *dismissal) Mail(t *netpoll.Turn) {
	l := (*link)(d)
	if l.state != linkLive {
		return
	}
	w := l.b.worker(t)
	end, code, server := session.ShuttingDown, mqtt.ServerShuttingDown, l.b.o.ServerReference
	if server != "" {
		end, code = session.Redirected, mqtt.UseAnotherServer
	}
	l.end = end
	l.quit(w, code, "", server)
	l.detach(w)
}

// sweepStep is how many retained messages are looked at each second for expired ones.
const sweepStep = 10_000

// sweep drops retained messages that have expired, some at a time.
func (b *Broker) sweep(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			b.retained.Sweep(time.Now().UnixMilli(), sweepStep)
			if b.kept != nil {
				b.kept.FlushDirty()
			}
		}
	}
}

// Publish publishes a message of the node itself, and gives the number of subscriptions that
// matched. The error tells that it could not be retained as well. Not to be called by a loop.
func (b *Broker) Publish(m *message.Message) (receivers int, err error) {
	b.poller.Turn(func(t *netpoll.Turn) { receivers, err = b.worker(t).publishMessage(m) })
	return receivers, err
}

func (b *Broker) newClient(id string) *client {
	c := &client{sess: session.New(&b.o.Session, id)}
	c.sess.Number = b.numbers.Add(1)
	return c
}

func (b *Broker) lane(from, to int) *paddedCount { return &b.lanes[from][to] }

func (b *Broker) keepWorker(w *worker) {
	b.workers.Lock()
	b.workers.all = append(b.workers.all, w)
	b.workers.Unlock()
}

// Count is the total of one count over all workers.
func (b *Broker) Count(c Counter) uint64 {
	b.workers.Lock()
	defer b.workers.Unlock()
	var n uint64
	for _, w := range b.workers.all {
		n += w.stats.counts[c].Load()
	}
	return n
}

func (b *Broker) dropped() uint64 {
	var n uint64
	for _, c := range []Counter{DroppedSlow, DroppedQueueFull, DroppedExpired, DroppedTooLarge} {
		n += b.Count(c)
	}
	return n
}
