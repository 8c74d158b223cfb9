package topic

import (
	"sync"
	"sync/atomic"
)

// table is a hash table of entries that is read without locks: open addressing with linear probing, in shards that grow one by
// one, so that no subscribe pays for more than a shard.
//
// A key is (parent, key): exact filters have no parent and their whole text as the key; a node of the trie has the node above it
// and its level. So a node with 100,000 children is no different from one with two, and nothing is copied when a child comes.
//
// A reader loads the slots of a shard once and probes from the place its hash says until it meets a slot that was never used. The
// writer holds the shard's mutex. It stores an entry before its hash, so that whoever sees the hash finds the entry. When an
// entry is removed its hash stays as a tombstone for the probes that pass it, unless the next slot was never used. A tombstone may
// be given to another entry: a reader that sees the old hash and the new entry, or the reverse, compares keys and goes on. A shard
// that is too full, or too empty, is copied to new slots; the old ones are left as they are to those who still read them.
type table[S any] struct {
	shards [shardCount]shard[S]
}

const (
	shardBits  = 8
	shardCount = 1 << shardBits // at a million entries a shard copies 4,000 slots when it grows
	slotsMin   = 8
)

type shard[S any] struct {
	slots atomic.Pointer[[]cell[S]]

	mu   sync.Mutex // guards all below, the writes to slots, and the subscribers of exact entries
	live int        // entries
	used int        // entries and tombstones

	_ [64 - 8 - 8 - 16]byte // one cache line each
}

// cell is one slot: hash 0 was never used, an entry of nil is a tombstone.
type cell[S any] struct {
	hash  atomic.Uint64
	entry atomic.Pointer[entry[S]]
}

// shard finds the shard by the top bits of a hash; the place in it is found by the bottom bits.
func (t *table[S]) shard(hash uint64) *shard[S] {
	return &t.shards[hash>>(64-shardBits)]
}

// find returns the entry of a key, or nil. It is safe with and without the lock.
func find[S any, K []byte | string](s *shard[S], hash uint64, parent *entry[S], key K) *entry[S] {
	slots := s.slots.Load()
	if slots == nil {
		return nil
	}
	hash = nonZero(hash)
	mask := uint64(len(*slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		c := &(*slots)[i]
		switch h := c.hash.Load(); h {
		case 0:
			return nil
		case hash:
			if e := c.entry.Load(); e != nil && e.parent == parent && e.key == string(key) {
				return e
			}
		}
	}
}

// insert adds an entry whose key is not there. The caller holds the lock.
func (s *shard[S]) insert(hash uint64, e *entry[S]) {
	if slots := s.slots.Load(); slots == nil || (s.used+1)*4 > len(*slots)*3 {
		s.resize(s.live + 1)
	}
	hash = nonZero(hash)
	slots := *s.slots.Load()
	if put(slots, hash, e) {
		s.used++
	}
	s.live++
}

// put places an entry in the first slot that is free, and tells whether it was never used before.
func put[S any](slots []cell[S], hash uint64, e *entry[S]) bool {
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if c := &slots[i]; c.entry.Load() == nil {
			fresh := c.hash.Load() == 0
			c.entry.Store(e)
			c.hash.Store(hash)
			return fresh
		}
	}
}

// remove takes an entry out, if it is there. The caller holds the lock.
func (s *shard[S]) remove(hash uint64, e *entry[S]) {
	loaded := s.slots.Load()
	if loaded == nil {
		return
	}
	slots, mask := *loaded, uint64(len(*loaded)-1)
	i := nonZero(hash) & mask
	for slots[i].entry.Load() != e {
		if slots[i].hash.Load() == 0 {
			return
		}
		i = (i + 1) & mask
	}
	slots[i].entry.Store(nil)
	s.live--
	if slots[(i+1)&mask].hash.Load() == 0 {
		// No probe goes beyond, so this tombstone, and those right before it, serve nobody.
		for slots[i].hash.Load() != 0 && slots[i].entry.Load() == nil {
			slots[i].hash.Store(0)
			s.used--
			i = (i - 1) & mask
		}
	}
	if len(slots) > slotsMin && s.live*8 < len(slots) {
		s.resize(s.live)
	}
}

// resize copies the entries to new slots of which at most half are taken, and forgets the tombstones.
func (s *shard[S]) resize(entries int) {
	if entries == 0 {
		s.slots.Store(nil)
		s.used = 0
		return
	}
	size := slotsMin
	for size < entries*2 {
		size *= 2
	}
	fresh := make([]cell[S], size)
	if old := s.slots.Load(); old != nil {
		for i := range *old {
			if e := (*old)[i].entry.Load(); e != nil {
				put(fresh, (*old)[i].hash.Load(), e)
			}
		}
	}
	s.used = s.live
	s.slots.Store(&fresh)
}

// nonZero keeps the hash that marks an unused slot out of use.
func nonZero(hash uint64) uint64 {
	if hash == 0 {
		return 1
	}
	return hash
}
