package broker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/topic"
)

// UseState gives the broker the state that it keeps sessions and retained messages in, and restores what is there. It is called
// once, before Start, and after UseQueues. It returns early when ctx is done, and the broker is then of no use.
func (b *Broker) UseState(ctx context.Context, kept *state.Set) error {
	b.kept = kept
	r := &restorer{b: b, now: time.Now().UnixMilli(), began: time.Now(), log: b.o.Log}
	if err := r.load(ctx); err != nil {
		return fmt.Errorf("restoring sessions: %w", err)
	}
	b.retained.OnSweep(func(topic []byte) {
		kept.Shard(state.ShardOf(topic)).Clear(topic, func() bool {
			m := b.retained.Get(topic, 0)
			if m != nil {
				m.Release()
			}
			return m == nil
		})
	})
	r.resume()
	kept.FlushDirty()
	r.report("sessions restored")
	return nil
}

// restorer loads the state when a node starts.
type restorer struct {
	b     *Broker
	now   int64
	began time.Time
	log   *slog.Logger

	sessions, subscriptions, messages, retained atomic.Int64
	shards                                      atomic.Int64

	mu struct {
		sync.Mutex
		posted []posted
	}
	arrived arrivals // each by the one who loads the shard
}

// posted is a message of an outbox that was on its way.
type posted struct {
	m     *message.Message
	place state.Place
}

// reportEvery is the time between two lines of progress.
const reportEvery = 2 * time.Second

// load loads all shards, several at a time.
func (r *restorer) load(ctx context.Context) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, state.Shards)
	for range max(1, min(8, runtime.GOMAXPROCS(0))) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= state.Shards {
					return
				}
				if err := r.b.kept.Shard(i).Load(&shardRestorer{r, i, map[string]uint64{}}); err != nil {
					errs <- err
					return
				}
				r.shards.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { // ends with the loaders
		wg.Wait()
		close(done)
	}()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.report("restoring sessions")
			continue
		case <-done:
		}
		break
	}
	select {
	case err := <-errs:
		return err
	default:
		return context.Cause(ctx)
	}
}

func (r *restorer) report(what string) {
	if r.sessions.Load()+r.retained.Load() == 0 {
		return
	}
	r.log.Info(what, "sessions", r.sessions.Load(), "subscriptions", r.subscriptions.Load(), "messages", r.messages.Load(),
		"retained", r.retained.Load(), "shards", fmt.Sprintf("%d/%d", r.shards.Load(), state.Shards),
		"took", time.Since(r.began).Round(time.Millisecond).String())
}

// resume does what was due while the node was away, and routes what had been on its way.
func (r *restorer) resume() {
	b := r.b
	slices.SortFunc(r.mu.posted, func(x, y posted) int {
		if x.place.Lane != y.place.Lane {
			return int(x.place.Lane) - int(y.place.Lane)
		}
		if x.place.Shard != y.place.Shard {
			return x.place.Shard - y.place.Shard
		}
		if x.place.Seq < y.place.Seq {
			return -1
		}
		return 1
	})
	b.poller.Turn(func(t *netpoll.Turn) {
		w := b.worker(t)
		w.arrived = &r.arrived
		for i := range r.mu.posted {
			p := &r.mu.posted[i]
			w.routeOnce(p.m, &p.place)
			p.m.Release()
		}
		w.arrived = nil
	})
	b.clients.each(b.expect)
}

// shardRestorer is the state.Visitor of one shard.
type shardRestorer struct {
	*restorer
	shard int
	seen  map[string]uint64 // client identifier -> number of the session
}

// Session implements state.Visitor.
func (r *shardRestorer) Session(sid uint64, n *session.Snapshot) error {
	b := r.b
	shard := b.kept.Shard(r.shard)
	if n.Expiry == 0 {
		shard.End(state.Waiters{}, sid, owed(n)) // it ended with its connection
		return nil
	}
	// Two sessions of one client: the older one had ended, which the disk has not heard.
	if old, ok := r.seen[n.ClientID]; ok {
		c := b.clients.find(n.ClientID)
		if old > sid {
			shard.End(state.Waiters{}, sid, owed(n))
			return nil
		}
		shard.End(state.Waiters{}, old, c.numbers())
		for s := range c.sess.All() {
			b.unhook(s)
		}
		c.sess.End()
		b.clients.remove(c, func(*client) bool { return true })
	}
	r.seen[n.ClientID] = sid
	c := &client{}
	r.adopt(c, n)
	c.sess = session.Restore(r.now, &b.o.Session, n)
	c.sess.Number = b.numbers.Add(1)
	d := c.keep(b, shard, sid)
	for _, list := range [][]session.Outbound{n.Inflight, n.Waiting} {
		r.messages.Add(int64(len(list)))
		for i := range list {
			d.last = max(d.last, list[i].Number)
		}
	}
	c.loop.Store(int32(sid % uint64(len(b.loops))))
	if _, existed := b.clients.claim(n.ClientID, func() *client { return c }); existed {
		return fmt.Errorf("client %q is there already", n.ClientID)
	}
	for s := range c.sess.All() {
		b.hook(s)
	}
	if n.EndsAt == 0 { // it was connected: its time begins now
		head := c.sess.Head()
		shard.Head(state.Waiters{}, sid, &head)
	}
	r.sessions.Add(1)
	r.subscriptions.Add(int64(len(n.Subscriptions)))
	return nil
}

// owed are the numbers of messages that a session has not handed over.
func owed(n *session.Snapshot) (list []uint64) {
	for _, part := range [][]session.Outbound{n.Inflight, n.Waiting} {
		for i := range part {
			if !part[i].Released {
				list = append(list, part[i].Number)
			}
		}
	}
	return list
}

// adopt makes subscriptions and messages refer to what they come from: the client, shared groups and queues.
func (r *shardRestorer) adopt(c *client, n *session.Snapshot) {
	sources := map[string]*session.More{}
	subs := n.Subscriptions[:0]
	for _, s := range n.Subscriptions {
		s.Owner = c
		if group, ok := sourceName(s.More); ok {
			if r.consumeAgain(c, s, group) {
				subs = append(subs, s)
			}
			continue
		}
		if s.Shared() {
			s.More = shareOf(s.Filter)
			sources[s.Filter] = s.More
		}
		subs = append(subs, s)
	}
	n.Subscriptions = subs
	for _, list := range [][]session.Outbound{n.Inflight, n.Waiting} {
		for i := range list {
			o := &list[i]
			name, ok := sourceName(o.More)
			if !ok {
				continue
			}
			if sources[name] == nil {
				sources[name] = shareOf(name)
			}
			o.More = &session.More{IDs: o.More.IDs, Source: sources[name].Source}
		}
	}
}

func sourceName(m *session.More) (string, bool) {
	if m == nil {
		return "", false
	}
	name, ok := m.Source.(string)
	return name, ok
}

// shareOf is what subscriptions to a shared filter have.
func shareOf(filter string) *session.More {
	group, rest, _, _ := topic.ParseShared(filter)
	return &session.More{Source: &sharedFrom{group, rest, filter}}
}

// consumeAgain makes a subscription to a queue one again; false when the queue is gone. Messages come when the client does.
func (r *shardRestorer) consumeAgain(c *client, s *subscription, group string) bool {
	f, ok := parseQueueFilter(s.Filter)
	if !ok || r.b.queues == nil {
		return false
	}
	q := r.b.queues.Find([]byte(f.name))
	if q == nil {
		r.log.Warn("a session consumes from a queue that is gone", "client", c.id(), "queue", f.name)
		return false
	}
	cs := &consumer{client: c, sub: s, prefix: f.prefix, stream: f.stream}
	cs.depot = &depot.Consumer{Queue: q, Group: group, Owner: cs}
	s.More = &session.More{Source: cs}
	if c.consuming == nil {
		c.consuming = new(consuming)
	}
	c.consuming.list = append(c.consuming.list, cs)
	return true
}

// Retained implements state.Visitor.
func (r *shardRestorer) Retained(m *message.Message) error {
	if m.Expired(r.now) {
		r.b.kept.Shard(r.shard).Clear(m.Topic, func() bool { return true })
		return nil
	}
	r.retained.Add(1)
	if err := r.b.retained.Set(m); err != nil {
		return fmt.Errorf("limits.max_retained_messages and limits.max_retained_bytes are below what is stored: %w", err)
	}
	return nil
}

// Posted implements state.Visitor.
func (r *shardRestorer) Posted(p state.Place, m *message.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.posted = append(r.mu.posted, posted{m, p})
}

// Arrived implements state.Visitor.
func (r *shardRestorer) Arrived(p state.Place) {
	if r.arrived[r.shard] == nil {
		r.arrived[r.shard] = map[lane]uint64{}
	}
	r.arrived[r.shard][lane{p.Shard, p.Lane}] = p.Seq
}
