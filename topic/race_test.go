package topic_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/topic"
)

// TestMatchWhileChanging matches while others subscribe and unsubscribe all around: on the same filters, on filters that share
// nodes, and on so many that the tables grow and shrink. Whoever stays is found exactly once by every match, and nobody is found by a
// filter that does not match.
func TestMatchWhileChanging(t *testing.T) {
	const matchers, changers = 4, 4
	rounds := 100_000
	if testing.Short() {
		rounds = 10_000
	}
	patterns := []string{"a/b/c", "a/+/c", "a/#", "#", "+/b/+", "a/b/#", "+/+/+", "a/b/d", "$a/b/c", "b/+/c", "a/+", "a/b"}
	names := []string{"a/b/c", "a/x/c", "a", "b/b/b", "$a/b/c", "a/b"}

	type client struct {
		filter string
		stays  bool
		seen   [matchers]int // by matcher: the number of its last match that found this client
	}
	r := topic.NewRouter[client]()
	// Those who stay stand between those who will go, so that gaps open before and after them.
	var staying []*client
	var leaving [changers][]*client
	for _, p := range patterns {
		for range 50 {
			for n := range leaving {
				c := &client{filter: p}
				r.Subscribe(p, c)
				leaving[n] = append(leaving[n], c)
			}
			c := &client{filter: p, stays: true}
			r.Subscribe(p, c)
			staying = append(staying, c)
		}
	}

	var stop atomic.Bool
	var changing, matching sync.WaitGroup
	for n := range changers {
		changing.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			mine := leaving[n]
			for round := range rounds {
				if len(mine) > 0 && (rnd.IntN(2) == 0 || len(mine) > 1000) {
					i := rnd.IntN(len(mine))
					c := mine[i]
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
					if !r.Unsubscribe(c.filter, c) {
						t.Errorf("%q: a subscriber is gone", c.filter)
					}
					continue
				}
				c := &client{filter: patterns[rnd.IntN(len(patterns))]}
				if rnd.IntN(3) == 0 {
					c.filter = fmt.Sprintf("%s/%d-%d", "a/b", n, round)
				}
				if rnd.IntN(5) == 0 {
					c.filter = fmt.Sprintf("a/%d-%d/+", n, round)
				}
				r.Subscribe(c.filter, c)
				mine = append(mine, c)
			}
			for _, c := range mine {
				r.Unsubscribe(c.filter, c)
			}
		})
	}
	for n := range matchers {
		matching.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 2))
			var m topic.Matches[client]
			for match := 1; !stop.Load(); match++ {
				name := []byte(names[rnd.IntN(len(names))])
				r.Match(name, &m)
				for _, set := range m.Sets {
					for c := range set.Each {
						if !topic.Match([]byte(c.filter), name) {
							t.Errorf("%q found by %q", c.filter, name)
						}
						if c.stays && c.seen[n] == match {
							t.Errorf("%q found twice by %q", c.filter, name)
						}
						if c.stays {
							c.seen[n] = match
						}
					}
				}
				for _, c := range staying {
					if topic.Match([]byte(c.filter), name) != (c.seen[n] == match) {
						t.Errorf("%q not found by %q", c.filter, name)
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	changing.Wait()
	stop.Store(true)
	matching.Wait()
	if got, want := r.Counts(), (topic.Counts{Filters: len(patterns), Subscriptions: len(staying)}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestMembersWhileChanging picks members of a group that others join and leave. A member that stays is found whenever it is the only
// one that will do.
func TestMembersWhileChanging(t *testing.T) {
	r := topic.NewRouter[sub]()
	stays := &sub{-1}
	filler := make([]*sub, 3000)
	for i := range filler {
		filler[i] = &sub{i}
		r.SubscribeShared("g", "a", filler[i])
		if i == len(filler)/2 {
			r.SubscribeShared("g", "a", stays)
		}
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 5 {
			for _, s := range filler {
				r.UnsubscribeShared("g", "a", s)
			}
			for _, s := range filler {
				r.SubscribeShared("g", "a", s)
			}
		}
		stop.Store(true)
	})
	var m topic.Matches[sub]
	for n := uint64(0); !stop.Load(); n++ {
		r.Match([]byte("a"), &m)
		if len(m.Groups) != 1 {
			t.Fatalf("%d groups", len(m.Groups))
		}
		if got := m.Groups[0].Members.Pick(n, func(s *sub) bool { return s == stays }); got != stays {
			t.Fatalf("Pick(%d) does not find the one that stays", n)
		}
	}
	wg.Wait()
}
