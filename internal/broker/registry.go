package broker

import (
	"hash/maphash"
	"sync"
)

// registryShards spreads the clients over so many tables that a storm of connects
// does not meet on one lock (REQUIREMENTS B5). A power of two.
const registryShards = 256

// registry finds the client of a client identifier: everyone who is connected or
// whose session has not ended.
type registry struct {
	seed   maphash.Seed
	shards [registryShards]registryShard
}

type registryShard struct {
	mu struct {
		sync.Mutex
		// clients holds every client that is not dead; client.dead is set in the same
		// critical section that takes it out.
		clients clientTable
	}
	_ [16]byte // a cache line of its own
}

func newRegistry() *registry {
	return &registry{seed: maphash.MakeSeed()}
}

// shard gives the table that a client is in, and the client's hash.
func (r *registry) shard(id string) (*registryShard, uint64) {
	h := maphash.String(r.seed, id)
	return &r.shards[h%registryShards], h / registryShards
}

// hash is the hash by which a shard's table knows a client.
func (r *registry) hash(c *client) uint64 { return maphash.String(r.seed, c.id()) / registryShards }

// claim gives the client of an identifier, made with create when there is none.
func (r *registry) claim(id string, create func() *client) (c *client, existed bool) {
	s, h := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.mu.clients.find(id, h); c != nil {
		return c, true
	}
	c = create()
	s.mu.clients.add(c, h, r.hash)
	return c, false
}

// find gives the client of an identifier, nil when there is none.
func (r *registry) find(id string) *client {
	s, h := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.clients.find(id, h)
}

// remove takes a client out, if still(c) holds under both locks.
func (r *registry) remove(c *client, still func(*client) bool) bool {
	s, h := r.shard(c.id())
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || !still(c) {
		return false
	}
	c.dead = true
	s.mu.clients.remove(c, h, r.hash)
	return true
}

// each visits every client, one shard's list at a time, so that nobody waits for
// the whole walk. Clients that come or go meanwhile may be missed.
func (r *registry) each(visit func(*client)) {
	var batch []*client
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		batch = batch[:0]
		for _, c := range s.mu.clients.slots {
			if c != nil {
				batch = append(batch, c)
			}
		}
		s.mu.Unlock()
		for _, c := range batch {
			visit(c)
		}
	}
}

// count is the number of clients, connected or not.
func (r *registry) count() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += s.mu.clients.count
		s.mu.Unlock()
	}
	return n
}
