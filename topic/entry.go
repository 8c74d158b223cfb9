package topic

import "sync/atomic"

// entry is an exact filter, or a node of the trie: the subscribers of the filter that ends here.
//
// It has no room for what few entries have; that is in branch. An entry with one subscriber takes 48 bytes.
type entry[S any] struct {
	key    string    // the filter, or the level
	parent *entry[S] // nil: an exact filter
	set    Set[S]
	branch atomic.Pointer[branch[S]] // never taken away once it is there
}

// branch is what hangs on an entry beside its own subscribers.
type branch[S any] struct {
	plus   atomic.Pointer[entry[S]] // the child "+"
	hash   atomic.Pointer[entry[S]] // the child "#"
	kids   atomic.Int32             // literal children; they are in the table
	path   uint64                   // the hash of the levels from the root to here: what the hashes of the children start from
	groups atomic.Pointer[groups[S]]
}

// grown returns the branch of e, made when there is none. The caller holds the lock of e.
func (e *entry[S]) grown(path uint64) *branch[S] {
	b := e.branch.Load()
	if b == nil {
		b = &branch[S]{path: path}
		e.branch.Store(b)
	}
	return b
}

// idle tells whether nothing holds e in place: no subscriber, no group, no child.
func (e *entry[S]) idle() bool {
	if !e.set.empty() {
		return false
	}
	b := e.branch.Load()
	return b == nil || (b.plus.Load() == nil && b.hash.Load() == nil && b.kids.Load() == 0 && b.groups.Load() == nil)
}

// Group is the members that share the messages of one filter: each message goes to one of them [MQTT-4.8.2-4].
//
// A group lives from its first member to its last; one that comes later gets a new group.
type Group[S any] struct {
	Name    string
	Filter  string // without the prefix $share/<group>/
	Members Set[S]
	// State is the caller's: a cursor for taking turns, or whatever its strategy wants to remember.
	State atomic.Uint64
}

// groups are the groups on one filter: a set for those who deliver, an index by name, once there are many, for those who join.
type groups[S any] struct {
	set    Set[Group[S]]
	byName map[string]*Group[S] // from indexFrom groups on; under the lock of the entry
}

// find returns the group of that name, or nil. The caller holds the lock of the entry.
func (g *groups[S]) find(name string) *Group[S] {
	if g.byName != nil {
		return g.byName[name]
	}
	for group := range g.set.Each {
		if group.Name == name {
			return group
		}
	}
	return nil
}

func (g *groups[S]) add(group *Group[S]) {
	g.set.add(group)
	switch {
	case g.byName != nil:
		g.byName[group.Name] = group
	case g.set.Len() >= indexFrom:
		g.byName = make(map[string]*Group[S], 2*indexFrom)
		for other := range g.set.Each {
			g.byName[other.Name] = other
		}
	}
}

func (g *groups[S]) remove(group *Group[S]) {
	g.set.remove(group)
	delete(g.byName, group.Name)
}

// join adds a member to the group of that name on e. The caller holds the lock of e; path is its hash.
func (e *entry[S]) join(name, filter string, path uint64, s *S) (group *Group[S], created, added bool) {
	b := e.grown(path)
	g := b.groups.Load()
	if g == nil {
		g = new(groups[S])
	} else {
		group = g.find(name)
	}
	if group != nil {
		return group, false, group.Members.add(s)
	}
	group = &Group[S]{Name: name, Filter: filter}
	group.Members.add(s)
	g.add(group)
	b.groups.Store(g)
	return group, true, true
}

// leave takes a member out of the group of that name on e. The caller holds the lock of e.
func (e *entry[S]) leave(name string, s *S) (removed, ended bool) {
	b := e.branch.Load()
	if b == nil {
		return false, false
	}
	g := b.groups.Load()
	if g == nil {
		return false, false
	}
	group := g.find(name)
	if group == nil || !group.Members.remove(s) {
		return false, false
	}
	if !group.Members.empty() {
		return true, false
	}
	g.remove(group)
	if g.set.empty() {
		b.groups.Store(nil)
	}
	return true, true
}
