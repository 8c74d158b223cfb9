package queue

import "math/bits"

const (
	blockBits  = 1024
	blockWords = blockBits / 64
)

// block is the settled offsets of blockBits consecutive ones, a bit each.
type block struct {
	words [blockWords]uint64
	n     int // of bits that are set
}

// full stands for every block without a gap.
var full = func() *block {
	b := &block{n: blockBits}
	for i := range b.words {
		b.words[i] = ^uint64(0)
	}
	return b
}()

// settled is the offsets that a group is done with: all below a floor, and those
// above it in blocks, of which there are none while a group settles in order.
// A block without any settled offset is nil, one full of them is shared, so that
// a message that stays behind costs a word per block of those after it.
type settled struct {
	floor  uint64
	n      uint64 // settled at floor or above
	blocks []*block
	head   int
	front  uint64 // number of blocks[head]: its offsets divided by blockBits
}

// pool keeps a few blocks for the next ones.
type pool struct{ free []*block }

func (p *pool) get() *block {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return new(block)
}

func (p *pool) put(b *block) {
	if b == nil || b == full || len(p.free) == 64 {
		return
	}
	*b = block{}
	p.free = append(p.free, b)
}

// slot gives the place of a block, which must not be before the front.
func (s *settled) slot(number uint64) **block {
	if s.head == len(s.blocks) {
		s.blocks, s.head, s.front = s.blocks[:0], 0, s.floor/blockBits
	}
	for number-s.front >= uint64(len(s.blocks)-s.head) {
		s.blocks = append(s.blocks, nil)
	}
	return &s.blocks[s.head+int(number-s.front)]
}

// at gives a block, nil when nothing of it is settled above the floor.
func (s *settled) at(number uint64) *block {
	if number < s.front || number-s.front >= uint64(len(s.blocks)-s.head) {
		return nil
	}
	return s.blocks[s.head+int(number-s.front)]
}

// mask has the bits of lo <= n < hi, which lie in one word.
func mask(lo, hi uint64) uint64 {
	return ^uint64(0) << (lo % 64) & (^uint64(0) >> (63 - (hi-1)%64))
}

// set settles a span and tells how many of it were not settled yet.
func (s *settled) set(sp span, p *pool) (fresh uint64) {
	lo, hi := max(sp.lo, s.floor), sp.hi
	if lo >= hi {
		return 0
	}
	if lo == s.floor && s.n == 0 {
		s.floor = hi
		s.forget(p)
		return hi - lo
	}
	for from := lo; from < hi; {
		number := from / blockBits
		to := min(hi, (number+1)*blockBits)
		fresh += s.setBlock(s.slot(number), from, to, p)
		from = to
	}
	s.n += fresh
	s.advance(p)
	return fresh
}

func (s *settled) setBlock(slot **block, lo, hi uint64, p *pool) (fresh uint64) {
	b := *slot
	switch {
	case b == full:
		return 0
	case hi-lo == blockBits:
		fresh = blockBits
		if b != nil {
			fresh -= uint64(b.n)
		}
		p.put(b)
		*slot = full
		return fresh
	case b == nil:
		b = p.get()
		*slot = b
	}
	for lo < hi {
		to := min(hi, (lo/64+1)*64)
		w := &b.words[lo%blockBits/64]
		m := mask(lo, to)
		fresh += uint64(bits.OnesCount64(m &^ *w))
		*w |= m
		lo = to
	}
	b.n += int(fresh)
	if b.n == blockBits {
		p.put(b)
		*slot = full
	}
	return fresh
}

// advance moves the floor up to the first offset that is not settled.
func (s *settled) advance(p *pool) {
	for s.n > 0 {
		b := s.at(s.floor / blockBits)
		if b == nil {
			break
		}
		i := s.floor % blockBits
		if b == full {
			s.floor += blockBits - i
			s.n -= blockBits - i
		} else {
			ones := uint64(bits.TrailingZeros64(^(b.words[i/64] >> (i % 64))))
			s.floor += ones
			s.n -= ones
			if ones < 64-i%64 {
				break
			}
		}
	}
	s.forget(p)
}

// forget drops the blocks below the floor, and all when nothing is settled above
// it.
func (s *settled) forget(p *pool) {
	front := s.floor / blockBits
	for s.head < len(s.blocks) && (s.front < front || s.n == 0) {
		p.put(s.blocks[s.head])
		s.blocks[s.head] = nil
		s.head++
		s.front++
	}
	if s.head == len(s.blocks) {
		s.blocks, s.head = s.blocks[:0], 0
	} else if s.head > 64 && s.head > len(s.blocks)/2 {
		n := copy(s.blocks, s.blocks[s.head:])
		clear(s.blocks[n:])
		s.blocks, s.head = s.blocks[:n], 0
	}
}

// raise settles everything below an offset, without counting it.
func (s *settled) raise(to uint64, p *pool) {
	if to <= s.floor {
		return
	}
	if s.n > 0 {
		s.n -= s.count(s.floor, to)
	}
	s.floor = to
	s.advance(p)
}

// count gives the number of settled offsets of lo <= n < hi; lo is the floor or
// above.
func (s *settled) count(lo, hi uint64) (n uint64) {
	for lo < hi {
		number := lo / blockBits
		to := min(hi, (number+1)*blockBits)
		switch b := s.at(number); b {
		case nil:
			if number >= s.front && number-s.front >= uint64(len(s.blocks)-s.head) {
				return n
			}
		case full:
			n += to - lo
		default:
			for at := lo; at < to; {
				end := min(to, (at/64+1)*64)
				n += uint64(bits.OnesCount64(b.words[at%blockBits/64] & mask(at, end)))
				at = end
			}
		}
		lo = to
	}
	return n
}

// has tells whether an offset is settled.
func (s *settled) has(offset uint64) bool {
	if offset < s.floor {
		return true
	}
	if s.n == 0 {
		return false
	}
	b := s.at(offset / blockBits)
	return b != nil && b.words[offset%blockBits/64]>>(offset%64)&1 != 0
}

// next gives the first offset from there on that is settled, or is not, as want
// says; limit if there is none before it.
func (s *settled) next(offset, limit uint64, want bool) uint64 {
	if offset < s.floor {
		if want {
			return offset
		}
		offset = s.floor
	}
	for offset < limit {
		var w uint64
		b := s.at(offset / blockBits)
		if b != nil {
			w = b.words[offset%blockBits/64]
		}
		if !want {
			w = ^w
		}
		if w >>= offset % 64; w != 0 {
			return min(limit, offset+uint64(bits.TrailingZeros64(w)))
		}
		if b == nil || b == full {
			offset = (offset/blockBits + 1) * blockBits
		} else {
			offset = (offset/64 + 1) * 64
		}
	}
	return limit
}

// nth gives the offset after the n-th one from the floor on that is not settled.
func (s *settled) nth(n, limit uint64) uint64 {
	offset := s.floor
	for n > 0 && offset < limit {
		offset = s.next(offset, limit, false)
		if offset == limit {
			break
		}
		gap := s.next(offset, limit, true) - offset
		step := min(gap, n)
		offset += step
		n -= step
	}
	return offset
}
