package bench

// Check is what came of the rule that every subscriber gets every message once, in order, with the right bytes.
type Check struct {
	Expected   uint64 `json:"expected"`   // deliveries that the published messages should have made
	Received   uint64 `json:"received"`   // distinct ones that arrived
	Lost       uint64 `json:"lost"`       // never arrived
	Duplicates uint64 `json:"duplicates"` // arrived again
	Reordered  uint64 `json:"reordered"`  // arrived after a later one of the same publisher
	Corrupt    uint64 `json:"corrupt"`    // wrong bytes or length, or from nobody of this run
}

// Clean says that nothing was wrong.
func (c Check) Clean() bool { return c.Lost+c.Duplicates+c.Reordered+c.Corrupt == 0 }

func (c *Check) add(o Check) {
	c.Expected += o.Expected
	c.Received += o.Received
	c.Lost += o.Lost
	c.Duplicates += o.Duplicates
	c.Reordered += o.Reordered
	c.Corrupt += o.Corrupt
}

// checker follows the numbers that the subscribers of one group receive. A stream is what one subscriber (or one shared group)
// receives of one publisher.
type checker struct {
	Check
	sharedOrUnordered bool
	members           int // subscribers that share one stream; 1: none
	publishers        int // of all workers
	stride            int // a subscriber hears the publishers whose number is its own modulo stride; 1: all
	heard             int // publishers that a stream's owner hears, at most
	first             int // number of the first subscriber
	next              []uint32
	missing           map[int]*missing
	sets              []bitset // per stream, where order does not tell
	last              []uint32 // per member and publisher: number after the last one
}

func newChecker(g *Group, publishers, topics int) *checker {
	k := &checker{
		members: max(1, g.Members), publishers: publishers, stride: 1, first: g.First,
		sharedOrUnordered: g.Members > 0 || g.Unordered, missing: map[int]*missing{},
	}
	if g.Subscribe == "own" {
		k.stride = max(1, topics)
	}
	k.heard = (publishers + k.stride - 1) / k.stride
	if !k.sharedOrUnordered {
		k.next = make([]uint32, g.Count*k.heard)
		return k
	}
	k.sets = make([]bitset, (g.Count+k.members-1)/k.members*k.heard)
	if !g.Unordered {
		k.last = make([]uint32, g.Count*k.heard)
	}
	return k
}

// see takes note of a message that local subscriber sub received; fresh is false when it should not have come (again).
func (k *checker) see(sub int, publisher, seq uint32) (fresh bool) {
	owner := sub / k.members
	if int(publisher) >= k.publishers || (k.stride > 1 && (int(publisher)-k.first/k.members-owner)%k.stride != 0) {
		k.Corrupt++
		return false
	}
	which := int(publisher) / k.stride
	if k.sharedOrUnordered {
		return k.seeSet(owner*k.heard+which, sub*k.heard+which, seq)
	}
	stream := owner*k.heard + which
	next := k.next[stream]
	if seq == next {
		k.next[stream] = next + 1
		k.Received++
		return true
	}
	return k.seeOdd(stream, next, seq)
}

// seeOdd handles a number that is not the next one.
func (k *checker) seeOdd(stream int, next, seq uint32) bool {
	m := k.missing[stream]
	if seq > next {
		if m == nil {
			m = &missing{}
			k.missing[stream] = m
		}
		m.add(next, seq)
		k.next[stream] = seq + 1
		k.Received++
		return true
	}
	if m == nil || !m.remove(seq) {
		k.Duplicates++
		return false
	}
	k.Reordered++
	k.Received++
	return true
}

func (k *checker) seeSet(stream, member int, seq uint32) bool {
	if seq > k.sets[stream].base+setSpan {
		k.Corrupt++
		return false
	}
	if !k.sets[stream].add(seq) {
		k.Duplicates++
		return false
	}
	k.Received++
	if k.last != nil {
		if seq < k.last[member] {
			k.Reordered++
		} else {
			k.last[member] = seq + 1
		}
	}
	return true
}

// settle compares what arrived with what all publishers sent.
func (k *checker) settle(sent []uint32) Check {
	c := k.Check
	streams := len(k.next)
	if k.sharedOrUnordered {
		streams = len(k.sets)
	}
	for s := range streams {
		owner, which := s/max(1, k.heard), s%max(1, k.heard)
		p := which*k.stride + (owner+k.first/k.members)%k.stride
		if p < len(sent) {
			c.Expected += uint64(sent[p])
		}
	}
	if c.Expected > c.Received {
		c.Lost = c.Expected - c.Received
	}
	return c
}

// missing is a sorted list of ranges [from, to) of numbers that did not arrive.
type missing struct{ ranges []span }

type span struct{ from, to uint32 }

func (m *missing) add(from, to uint32) { m.ranges = append(m.ranges, span{from, to}) }

// remove takes one number out and says whether it was there.
func (m *missing) remove(n uint32) bool {
	for i := len(m.ranges) - 1; i >= 0; i-- { // late ones are mostly from the last gap
		r := &m.ranges[i]
		if n < r.from || n >= r.to {
			continue
		}
		switch {
		case r.to-r.from == 1:
			m.ranges = append(m.ranges[:i], m.ranges[i+1:]...)
		case n == r.from:
			r.from++
		case n == r.to-1:
			r.to--
		default:
			tail := span{n + 1, r.to}
			r.to = n
			m.ranges = append(m.ranges[:i+1], append([]span{tail}, m.ranges[i+1:]...)...)
		}
		return true
	}
	return false
}

// setSpan is how far ahead of the first missing number another one may be: 16 MiB of set.
const setSpan = 1 << 27

// bitset is a set of numbers that are mostly added in ascending order: what lies wholly below base is in it.
type bitset struct {
	base  uint32 // multiple of 64
	words []uint64
}

// add says whether n is new.
func (s *bitset) add(n uint32) bool {
	if n < s.base {
		return false
	}
	i := int(n-s.base) / 64
	for len(s.words) <= i {
		s.words = append(s.words, 0)
	}
	bit := uint64(1) << (n & 63)
	if s.words[i]&bit != 0 {
		return false
	}
	s.words[i] |= bit
	if len(s.words) > 64 && s.words[31] == ^uint64(0) {
		s.compact()
	}
	return true
}

// compact forgets full words at the beginning.
func (s *bitset) compact() {
	n := 0
	for n < len(s.words) && s.words[n] == ^uint64(0) {
		n++
	}
	s.words = s.words[:copy(s.words, s.words[n:])]
	s.base += uint32(n) * 64
}
