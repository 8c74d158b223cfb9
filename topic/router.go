package topic

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
)

// Router finds the subscribers of a name. S is one subscription, the caller's own type.
//
// Matching takes no lock and allocates nothing. It costs one look in a hash table for the exact filters, and for those with
// wildcards one per node of the trie that agrees with the name so far, however many others there are. Subscribing and
// unsubscribing cost one look per level of the filter; they wait only for others that change the same shard of the exact filters,
// or a wildcard filter with the same first level.
//
// Exact filters and the nodes of the trie stand in one [table]. A node leads to its literal children by the table, to "+" and
// "#" by pointers. Nodes and groups go when their last subscriber goes.
//
// Locks: trie[hash of the first level], then the shard of the table. An exact entry is guarded by its shard, a node by its trie lock.
//
// Filters must be valid (see [ValidateFilter]), which also bounds their depth: a level costs about 150 bytes when no other filter has it.
type Router[S any] struct {
	seed  maphash.Seed
	root  entry[S]
	table table[S]
	trie  [trieLocks]trieLock

	filters       atomic.Int64
	subscriptions atomic.Int64
	groups        atomic.Int64
}

const trieLocks = 64

type trieLock struct {
	sync.Mutex
	_ [56]byte
}

// Counts says how much a router holds.
type Counts struct {
	Filters       int // different filters; a group counts as one
	Subscriptions int // members of groups included
	Groups        int
}

// NewRouter returns an empty router.
func NewRouter[S any]() *Router[S] {
	r := &Router[S]{seed: maphash.MakeSeed()}
	r.root.grown(0)
	return r
}

// Counts returns the sizes, each for itself right.
func (r *Router[S]) Counts() Counts {
	return Counts{
		Filters:       int(r.filters.Load()),
		Subscriptions: int(r.subscriptions.Load()),
		Groups:        int(r.groups.Load()),
	}
}

// Subscribe adds s to the subscribers of filter; once it has returned, every match finds s. Adding it twice changes nothing. The
// router keeps filter, without a copy, if it has no wildcard.
func (r *Router[S]) Subscribe(filter string, s *S) {
	r.with(filter, true, func(e *entry[S], _ uint64) {
		fresh := e.set.empty()
		if e.set.add(s) {
			r.subscriptions.Add(1)
			if fresh {
				r.filters.Add(1)
			}
		}
	})
}

// Unsubscribe removes s from the subscribers of filter and tells whether it was there. A match that began before may still find s.
func (r *Router[S]) Unsubscribe(filter string, s *S) (found bool) {
	r.with(filter, false, func(e *entry[S], _ uint64) {
		if found = e.set.remove(s); found {
			r.subscriptions.Add(-1)
			if e.set.empty() {
				r.filters.Add(-1)
			}
		}
	})
	return found
}

// SubscribeShared adds s to the members of a group on filter (without its prefix) and returns the group.
func (r *Router[S]) SubscribeShared(group, filter string, s *S) (g *Group[S]) {
	r.with(filter, true, func(e *entry[S], path uint64) {
		var created, added bool
		g, created, added = e.join(group, filter, path, s)
		if added {
			r.subscriptions.Add(1)
		}
		if created {
			r.groups.Add(1)
			r.filters.Add(1)
		}
	})
	return g
}

// UnsubscribeShared removes s from the members of a group on filter and tells whether it was there.
func (r *Router[S]) UnsubscribeShared(group, filter string, s *S) (found bool) {
	r.with(filter, false, func(e *entry[S], _ uint64) {
		var ended bool
		found, ended = e.leave(group, s)
		if found {
			r.subscriptions.Add(-1)
		}
		if ended {
			r.groups.Add(-1)
			r.filters.Add(-1)
		}
	})
	return found
}

// Match finds the sets and groups whose filters match name, in place of what into held before. name must be valid and is not kept.
func (r *Router[S]) Match(name []byte, into *Matches[S]) {
	into.Reset()
	hash := maphash.Bytes(r.seed, name)
	if e := find(r.table.shard(hash), hash, nil, name); e != nil {
		into.add(e)
	}
	b := r.root.branch.Load()
	if b.kids.Load() == 0 && b.plus.Load() == nil && b.hash.Load() == nil {
		return
	}
	stack := append(into.stack[:0], step[S]{node: &r.root})
	for len(stack) > 0 {
		last := len(stack) - 1
		here := stack[last]
		stack[last].node = nil // a node that goes must not be held by what the stack once was
		stack = r.descend(name, here, stack[:last], into)
	}
	into.stack = stack
}

// descend collects what matches at one node and pushes the children that may.
func (r *Router[S]) descend(name []byte, here step[S], stack []step[S], into *Matches[S]) []step[S] {
	b := here.node.branch.Load()
	wild := here.at > 0 || len(name) == 0 || name[0] != '$' // [MQTT-4.7.2-1]
	if b != nil && wild {
		if e := b.hash.Load(); e != nil {
			into.add(e)
		}
	}
	if here.at > len(name) { // all levels are used up
		into.add(here.node)
		return stack
	}
	if b == nil {
		return stack
	}
	level, next := name[here.at:], len(name)+1
	if i := bytes.IndexByte(level, '/'); i >= 0 {
		level, next = level[:i], here.at+i+1
	}
	if wild {
		if e := b.plus.Load(); e != nil {
			stack = append(stack, step[S]{e, next})
		}
	}
	if b.kids.Load() > 0 {
		hash := extend(b.path, maphash.Bytes(r.seed, level))
		if e := find(r.table.shard(hash), hash, here.node, level); e != nil {
			stack = append(stack, step[S]{e, next})
		}
	}
	return stack
}

// with calls change on the entry of filter, under its lock, and removes what is idle afterwards. When there is no entry it is
// made, or, without create, change is not called.
func (r *Router[S]) with(filter string, create bool, change func(e *entry[S], path uint64)) {
	if hasWildcard(filter) {
		r.withNode(filter, create, change)
		return
	}
	hash := maphash.String(r.seed, filter)
	s := r.table.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(s, hash, nil, filter)
	fresh := e == nil
	if fresh {
		if !create {
			return
		}
		e = &entry[S]{key: filter}
	}
	change(e, hash)
	switch {
	case fresh:
		s.insert(hash, e)
	case e.idle():
		s.remove(hash, e)
	}
}

// withNode is with for a filter that ends in the trie.
func (r *Router[S]) withNode(filter string, create bool, change func(e *entry[S], path uint64)) {
	first, _, _ := strings.Cut(filter, "/")
	lock := &r.trie[maphash.String(r.seed, first)%trieLocks]
	lock.Lock()
	defer lock.Unlock()
	node, path := &r.root, uint64(0)
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		child, childPath := r.child(node, path, level)
		if child == nil {
			if !create {
				return
			}
			child = r.addChild(node, path, childPath, level)
		}
		node, path = child, childPath
	}
	change(node, path)
	r.prune(node)
}

// child finds the child of a node, and the hash of the path to it. The caller holds the trie lock.
func (r *Router[S]) child(node *entry[S], path uint64, level string) (*entry[S], uint64) {
	hash := extend(path, maphash.String(r.seed, level))
	b := node.branch.Load()
	switch {
	case b == nil:
		return nil, hash
	case level == "+":
		return b.plus.Load(), hash
	case level == "#":
		return b.hash.Load(), hash
	}
	return find(r.table.shard(hash), hash, node, level), hash
}

// addChild makes the child of a node. The caller holds the trie lock.
func (r *Router[S]) addChild(node *entry[S], path, childPath uint64, level string) *entry[S] {
	b := node.grown(path)
	// A copy of the level: the node may outlive the filter that made it.
	child := &entry[S]{key: strings.Clone(level), parent: node}
	switch level {
	case "+":
		b.plus.Store(child)
	case "#":
		b.hash.Store(child)
	default:
		s := r.table.shard(childPath)
		s.mu.Lock()
		s.insert(childPath, child)
		s.mu.Unlock()
		b.kids.Add(1)
	}
	return child
}

// prune removes node, and those above it, as far as they are idle. The caller holds the trie lock.
func (r *Router[S]) prune(node *entry[S]) {
	for node != &r.root && node.idle() {
		parent := node.parent
		b := parent.branch.Load()
		switch node.key {
		case "+":
			b.plus.Store(nil)
		case "#":
			b.hash.Store(nil)
		default:
			hash := extend(b.path, maphash.String(r.seed, node.key))
			b.kids.Add(-1)
			s := r.table.shard(hash)
			s.mu.Lock()
			s.remove(hash, node)
			s.mu.Unlock()
		}
		node = parent
	}
}

// extend is the hash of a path with one more level. The parts are hashes under a secret seed, so nobody can choose what collides.
func extend(path, level uint64) uint64 {
	hi, lo := bits.Mul64(path^0x9e3779b97f4a7c15, level^0xd1b54a32d192ed03)
	return hi ^ lo
}
