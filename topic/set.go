package topic

import (
	"slices"
	"sync/atomic"
)

// Set holds the subscribers of one filter, or the members of one group.
//
// Reading takes no lock and may go on while the set changes: a subscriber that is there during the whole of a reading is visited
// exactly once, one that comes or goes meanwhile may or may not be, and one that goes and comes back may be visited twice.
// Changes are the router's alone, under the lock of the filter.
//
// The first subscriber stands in the set itself, so that a lone one costs nothing more. The others stand in a [crowd]. A subscriber
// never moves between the two, nor from slot to slot within a crowd: a reader that has gone past the new place and not yet
// come to the old one would miss it. Slots that fall free stay empty until the next subscriber takes them, and when too many
// are empty a new crowd takes the place of the old one, which readers may finish in peace.
type Set[S any] struct {
	first atomic.Pointer[S]
	rest  atomic.Pointer[crowd[S]]
}

// Len is the number of subscribers.
func (s *Set[S]) Len() int {
	n := 0
	if s.first.Load() != nil {
		n++
	}
	if c := s.rest.Load(); c != nil {
		n += int(c.count.Load())
	}
	return n
}

// Each calls visit for every subscriber until it returns false. The order is roughly that of subscribing. Each fits a range statement.
func (s *Set[S]) Each(visit func(*S) bool) {
	if p := s.first.Load(); p != nil && !visit(p) {
		return
	}
	c := s.rest.Load()
	if c == nil {
		return
	}
	for _, slots := range *c.chunks.Load() {
		for i := range slots {
			if p := slots[i].Load(); p != nil && !visit(p) {
				return
			}
		}
	}
}

// Pick returns the first subscriber at or after place n, counted round and round, that accept is content with; nil when there is
// none. With n going up by one each time, the subscribers take turns. It does not walk the ones before n. accept may be asked
// twice about the same subscriber.
func (s *Set[S]) Pick(n uint64, accept func(*S) bool) *S {
	first, c := s.first.Load(), s.rest.Load()
	if c == nil {
		if first != nil && accept(first) {
			return first
		}
		return nil
	}
	// The first subscriber has place 0, if there is one, and the slots of the crowd follow.
	places := uint64(c.used.Load())
	if first != nil {
		places++
	}
	pos := int(n % places)
	if first != nil {
		if pos == 0 && accept(first) {
			return first
		}
		pos = max(pos-1, 0)
	}
	if p := c.pick(pos, accept); p != nil {
		return p
	}
	if first != nil && accept(first) {
		return first
	}
	return c.pick(0, accept)
}

// empty tells, without counting, that there is no subscriber.
func (s *Set[S]) empty() bool {
	return s.first.Load() == nil && s.rest.Load() == nil
}

// add puts p into the set and tells whether it was not there before.
func (s *Set[S]) add(p *S) bool {
	first, c := s.first.Load(), s.rest.Load()
	if first == p || (c != nil && c.find(p) != nil) {
		return false
	}
	if first == nil {
		s.first.Store(p)
		return true
	}
	if c == nil {
		c = newCrowd[S]()
		c.add(p)
		s.rest.Store(c)
		return true
	}
	c.add(p)
	return true
}

// remove takes p out of the set and tells whether it was there.
func (s *Set[S]) remove(p *S) bool {
	if s.first.Load() == p {
		s.first.Store(nil)
		return true
	}
	c := s.rest.Load()
	if c == nil || !c.remove(p) {
		return false
	}
	if c.count.Load() == 0 {
		s.rest.Store(nil)
	} else if c.sparse() {
		s.rest.Store(c.rebuilt())
	}
	return true
}

// slot is a subscriber's place; nil while it is free.
type slot[S any] = atomic.Pointer[S]

// crowd holds the subscribers of a set beyond the first, in chunks of slots: adding one never copies the others.
type crowd[S any] struct {
	chunks atomic.Pointer[[][]slot[S]] // sizes by chunkSize; replaced as a whole when one is added
	count  atomic.Uint32               // subscribers
	used   atomic.Uint32               // slots that are or were in use; the free ones among them are in free

	// For the writer alone, under the lock of the filter.
	free  []*slot[S]
	index map[*S]*slot[S] // from indexFrom subscribers on; a Go map grows a table of 1024 at a time
}

const (
	chunkMin   = 4    // slots of the first two chunks; then each is as big as all before it,
	chunkMax   = 1024 // up to this
	indexFrom  = 32   // subscribers from which on a search uses the index
	compactTo  = 32   // slots up to which each removal closes the gap, so that small groups take turns evenly
	sparseness = 8    // a bigger crowd is rebuilt when one slot in this many is taken
)

func newCrowd[S any]() *crowd[S] {
	c := new(crowd[S])
	chunks := [][]slot[S]{make([]slot[S], chunkMin)}
	c.chunks.Store(&chunks)
	return c
}

// chunkSize is the number of slots of chunk i: 4, 4, 8, 16 ... 512, 1024, 1024 ...
func chunkSize(i int) int {
	if i == 0 {
		return chunkMin
	}
	return min(chunkMin<<min(i-1, 16), chunkMax)
}

// locate turns the number of a slot into its chunk and its place there.
func locate(pos int) (chunk, offset int) {
	if pos >= 2*chunkMax {
		// The chunks before the first that starts at a multiple of chunkMax and has chunkMax slots hold 2*chunkMax.
		return doubling + (pos-2*chunkMax)/chunkMax, pos % chunkMax
	}
	for i := 0; ; i++ {
		if n := chunkSize(i); pos < n {
			return i, pos
		} else {
			pos -= n
		}
	}
}

// doubling is the number of chunks that hold the first 2*chunkMax slots.
const doubling = 10

// pick returns the first subscriber at or after slot pos that accept is content with.
func (c *crowd[S]) pick(pos int, accept func(*S) bool) *S {
	at, offset := locate(pos)
	chunks := *c.chunks.Load()
	for ; at < len(chunks); at++ {
		for i := offset; i < len(chunks[at]); i++ {
			if p := chunks[at][i].Load(); p != nil && accept(p) {
				return p
			}
		}
		offset = 0
	}
	return nil
}

func (c *crowd[S]) find(p *S) *slot[S] {
	if c.index != nil {
		return c.index[p]
	}
	for _, slots := range *c.chunks.Load() {
		for i := range slots {
			if slots[i].Load() == p {
				return &slots[i]
			}
		}
	}
	return nil
}

// add takes the free slot or the next one. p must not be there.
func (c *crowd[S]) add(p *S) {
	at := c.take()
	at.Store(p)
	n := c.count.Add(1)
	switch {
	case c.index != nil:
		c.index[p] = at
	case n >= indexFrom:
		c.index = make(map[*S]*slot[S], 2*indexFrom)
		for _, slots := range *c.chunks.Load() {
			for i := range slots {
				if q := slots[i].Load(); q != nil {
					c.index[q] = &slots[i]
				}
			}
		}
	}
}

func (c *crowd[S]) take() *slot[S] {
	if n := len(c.free); n > 0 {
		at := c.free[n-1]
		c.free = c.free[:n-1]
		return at
	}
	used := c.used.Load()
	chunks := *c.chunks.Load()
	i, offset := locate(int(used))
	if i == len(chunks) {
		grown := append(slices.Clip(chunks), make([]slot[S], chunkSize(i)))
		c.chunks.Store(&grown)
		chunks = grown
	}
	c.used.Store(used + 1)
	return &chunks[i][offset]
}

func (c *crowd[S]) remove(p *S) bool {
	at := c.find(p)
	if at == nil {
		return false
	}
	at.Store(nil)
	c.count.Add(^uint32(0))
	c.free = append(c.free, at)
	if c.index != nil {
		delete(c.index, p)
	}
	return true
}

// sparse tells whether a walk over the crowd meets too many free slots.
func (c *crowd[S]) sparse() bool {
	used := c.used.Load()
	return used <= compactTo || c.count.Load() < used/sparseness
}

// rebuilt is a crowd of the same subscribers without gaps. Its cost is paid by the removals that made the gaps, or is that
// of compactTo slots.
func (c *crowd[S]) rebuilt() *crowd[S] {
	fresh := newCrowd[S]()
	for _, slots := range *c.chunks.Load() {
		for i := range slots {
			if p := slots[i].Load(); p != nil {
				fresh.add(p)
			}
		}
	}
	return fresh
}
