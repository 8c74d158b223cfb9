package broker

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/topic"
)

// Strategy says which member of a shared group gets the next message.
type Strategy uint8

// The strategies of shared subscriptions.
const (
	// LeastInflight gives to the member with the fewest messages not yet
	// acknowledged or written; members that are equal take turns.
	LeastInflight Strategy = iota
	// RoundRobin gives to one after the other.
	RoundRobin
	// Sticky stays with one member until that one goes.
	Sticky
	// HashClient gives all messages of one publisher to one member.
	HashClient
	// HashTopic gives all messages of one topic to one member.
	HashTopic
	// Random gives to any member.
	Random
)

var strategies = map[string]Strategy{
	"least_inflight": LeastInflight, "round_robin": RoundRobin, "sticky": Sticky,
	"hash_client": HashClient, "hash_topic": HashTopic, "random": Random,
}

// ParseStrategy reads the name of a strategy as the configuration has it.
func ParseStrategy(name string) (Strategy, error) {
	s, ok := strategies[name]
	if !ok {
		return 0, fmt.Errorf("shared strategy %q is not one of least_inflight, round_robin, sticky, hash_client, hash_topic, random", name)
	}
	return s, nil
}

type group = topic.Group[subscription]

// sampled is how many members of a group are looked at for the one with the least to do: the best
// of a few is nearly the best of all, and a group of thousands must not be walked for each message.
const sampled = 8

// pick chooses the member that gets the message w.m; nil when the group is empty or holds
// nobody but w.avoid, the member that just went. Members that are connected come first
// ([MQTT-4.8.2-4] leaves the choice to the server).
func (w *worker) pick(g *group) *subscription {
	for _, accept := range [2]func(*subscription) bool{w.isOnline, w.isOther} {
		if s := w.pickFrom(g, accept); s != nil {
			return s
		}
	}
	return nil
}

func (w *worker) pickFrom(g *group, accept func(*subscription) bool) *subscription {
	switch w.b.o.SharedStrategy {
	case RoundRobin:
		return g.Members.Pick(g.State.Add(1), accept)
	case Random:
		return g.Members.Pick(rand.Uint64(), accept)
	case HashClient:
		return g.Members.Pick(mix(w.m.Sender), accept)
	case HashTopic:
		return g.Members.Pick(maphash.Bytes(w.b.seed, w.m.Topic), accept)
	case Sticky:
		return w.pickSticky(g, accept)
	default:
		return leastLoaded(g, accept)
	}
}

// accepts tells whether a member may be given a message although it is not connected.
func (w *worker) acceptsOther(s *subscription) bool { return owner(s) != w.avoid }

func (w *worker) acceptsOnline(s *subscription) bool {
	return owner(s).online.Load() && owner(s) != w.avoid
}

// pickSticky stays with the place in the group that had the message before.
func (w *worker) pickSticky(g *group, accept func(*subscription) bool) *subscription {
	had := g.State.Load()
	if had == 0 {
		g.State.CompareAndSwap(0, rand.Uint64()|1)
		had = g.State.Load()
	}
	return g.Members.Pick(had, accept)
}

// leastLoaded begins with another member each time, so that equals take turns.
func leastLoaded(g *group, accept func(*subscription) bool) *subscription {
	start := g.State.Add(1)
	best := g.Members.Pick(start, accept)
	if best == nil {
		return nil
	}
	least := owner(best).load()
	for i := uint64(1); i < min(sampled, uint64(g.Members.Len())) && least > 0; i++ {
		if s := g.Members.Pick(start+i, accept); s != nil && owner(s).load() < least {
			best, least = s, owner(s).load()
		}
	}
	return best
}

// sharedFrom is the source of messages of a shared subscription (session.More.Source).
type sharedFrom struct{ group, filter, whole string }

// moveShared gives messages of shared subscriptions that a client leaves behind to other members
// of their groups, and takes over their references.
func (w *worker) moveShared(from *client, left []session.Taken) {
	for _, t := range left {
		if w.returned(&t) || t.Message == nil {
			release(t.Message)
			continue
		}
		if source, ok := t.Source.(*sharedFrom); ok {
			w.move(from, t.Message, source)
		}
		t.Message.Release()
	}
}

func (w *worker) move(from *client, m *message.Message, source *sharedFrom) {
	w.begin(m)
	w.avoid = from
	w.matches.Reset()
	w.b.router.Match(m.Topic, &w.matches)
	for _, g := range w.matches.Groups {
		if g.Name != source.group || g.Filter != source.filter {
			continue
		}
		if s := w.pick(g); s != nil {
			w.deliverTo(s)
			w.count(SharedMoved, 1)
		}
	}
	w.avoid = nil
	w.end()
}

// mix spreads consecutive client numbers (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
