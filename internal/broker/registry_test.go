package broker

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/internal/session"
	"pgregory.net/rapid"
)

// The table against a map, with hashes that collide all the time.
func TestClientTableAgainstMap(t *testing.T) {
	limits := session.DefaultLimits()
	rapid.Check(t, func(t *rapid.T) {
		spread := rapid.Uint64Range(1, 1000).Draw(t, "spread")
		hash := func(id string) uint64 {
			var n uint64
			for _, b := range []byte(id) {
				n = n*31 + uint64(b)
			}
			return n % spread * 0x9E3779B97F4A7C15
		}
		hashOf := func(c *client) uint64 { return hash(c.id()) }
		var table clientTable
		model := map[string]*client{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			id := fmt.Sprint(rapid.IntRange(0, 200).Draw(t, "id"))
			switch c := model[id]; {
			case c == nil:
				c = &client{sess: session.New(&limits, id)}
				model[id] = c
				table.add(c, hash(id), hashOf)
			case rapid.Bool().Draw(t, "remove"):
				delete(model, id)
				table.remove(c, hash(id), hashOf)
			}
		}
		if table.count != len(model) {
			t.Fatalf("%d clients, want %d", table.count, len(model))
		}
		for id := range 201 {
			name := fmt.Sprint(id)
			if got, want := table.find(name, hash(name)), model[name]; got != want {
				t.Fatalf("client %s: %p, want %p", name, got, want)
			}
		}
	})
}

func TestRegistryRemovesOnlyWhatIsStillUnwanted(t *testing.T) {
	limits := session.DefaultLimits()
	r := newRegistry()
	make := func(id string) func() *client {
		return func() *client { return &client{sess: session.New(&limits, id)} }
	}
	a, existed := r.claim("a", make("a"))
	if again, ok := r.claim("a", make("a")); existed || !ok || again != a {
		t.Fatal("claiming twice did not give the same client")
	}
	if r.remove(a, func(*client) bool { return false }) || r.find("a") != a || a.dead {
		t.Fatal("a client that is wanted again was removed")
	}
	if !r.remove(a, func(*client) bool { return true }) || r.find("a") != nil || !a.dead {
		t.Fatal("the client was not removed")
	}
	if r.remove(a, func(*client) bool { return true }) {
		t.Fatal("a dead client was removed again")
	}
	if r.count() != 0 {
		t.Fatal("something is left")
	}
}
