package queue

import (
	"testing"

	"pgregory.net/rapid"
)

// A machine finds among many pages what was put there, while old pages go and the place of a reader stays good.
func TestIndexAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New()
		var list []run
		where := run{}
		reader := place{}
		seen := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			for range rapid.IntRange(0, 200).Draw(t, "runs") {
				r := run{first: m.end, count: 1, index: where.index + 1, time: where.time, bytes: 100}
				switch rapid.IntRange(0, 9).Draw(t, "kind") {
				case 0:
					r.count = rapid.Uint32Range(1, MaxBatch).Draw(t, "count")
				case 1:
					r.index, r.command = where.index, where.command+1
				case 2:
					r.index += rapid.Uint64Range(1, 1<<40).Draw(t, "gap")
					r.command = rapid.Uint32().Draw(t, "command") >> 1
				case 3:
					r.pos = rapid.Uint32Range(0, MaxBatch).Draw(t, "position")
				case 4:
					r.time += rapid.Int64Range(0, 1<<30).Draw(t, "pause")
					r.bytes = rapid.Uint64Range(0, 1<<40).Draw(t, "bytes")
				}
				where = r
				list = append(list, r)
				m.store(&r)
			}
			if m.start < m.end {
				m.advance(m.start + rapid.Uint64Range(0, m.end-m.start).Draw(t, "advance")>>rapid.IntRange(0, 12).Draw(t, "by how much"))
			}
			for len(list) > 0 && list[0].end() <= m.start {
				list = list[1:]
			}
			sum := uint64(0)
			for _, r := range list {
				sum += r.bytes
			}
			if m.bytes != sum {
				t.Fatalf("%d bytes, want %d", m.bytes, sum)
			}
			if m.start == m.end {
				continue
			}
			for range 5 {
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				offset := max(m.start, list[i].first)
				if c := m.index.find(offset); c.run != list[i] {
					t.Fatalf("offset %d: %+v, want %+v", offset, c.run, list[i])
				}
				offset = max(m.start, list[i].end()-1)
				if p, ok := m.Locate(offset); !ok || p.Index != list[i].index || p.Message != int(list[i].pos)+int(offset-list[i].first) {
					t.Fatalf("offset %d is at %+v, want %+v", offset, p, list[i])
				}
				at := m.Resolve(From{AtTime, uint64(list[i].time)})
				if first := firstAt(list, list[i].time); at != max(m.start, first) {
					t.Fatalf("time %d begins at %d, want %d", list[i].time, at, first)
				}
			}
			// A reader that goes on from where it was.
			for _, r := range list {
				if r.end() > seen && rapid.IntRange(0, 3).Draw(t, "read") > 0 {
					seen = max(r.first, m.start)
					if got := m.locate(&reader, seen); *got != r {
						t.Fatalf("read %d from %+v, want %+v", seen, *got, r)
					}
					seen++
				}
			}
		}
	})
}

func firstAt(list []run, time int64) uint64 {
	for _, r := range list {
		if r.time >= time {
			return r.first
		}
	}
	return list[len(list)-1].end()
}

// Settled offsets in blocks are what they are in a map, across blocks that are empty, full and in between.
func TestSettledAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 20 * blockBits
		base := rapid.SampledFrom([]uint64{0, 5, 1 << 40, blockBits}).Draw(t, "base")
		s, p := settled{floor: base}, pool{}
		var model [limit]bool
		floor := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			lo := rapid.Uint64Range(0, limit-1).Draw(t, "lo")
			size := rapid.SampledFrom([]uint64{1, 2, 63, 64, 65, blockBits - 1, blockBits, 3 * blockBits}).Draw(t, "size")
			if rapid.IntRange(0, 3).Draw(t, "near the floor") == 0 {
				lo = min(limit-1, floor+rapid.Uint64Range(0, 3).Draw(t, "above it"))
			}
			hi := min(limit, lo+size)
			if rapid.IntRange(0, 9).Draw(t, "raise") == 0 {
				s.raise(base+lo, &p)
				for o := range lo {
					model[o] = true
				}
			} else {
				fresh := uint64(0)
				for o := lo; o < hi; o++ {
					if !model[o] {
						fresh++
					}
					model[o] = true
				}
				if got := s.set(span{base + lo, base + hi}, &p); got != fresh {
					t.Fatalf("%d to %d: %d were new, want %d", lo, hi, got, fresh)
				}
			}
			for floor < limit && model[floor] {
				floor++
			}
			checkSettled(t, &s, base, floor, model[:])
		}
	})
}

func checkSettled(t *rapid.T, s *settled, base, floor uint64, model []bool) {
	limit := uint64(len(model))
	above, left := uint64(0), []uint64{}
	for o := range limit {
		if s.has(base+o) != model[o] {
			t.Fatalf("%d: settled %v", o, !model[o])
		}
		if o >= floor && model[o] {
			above++
		}
		if !model[o] {
			left = append(left, o)
		}
	}
	if s.floor != base+floor || s.n != above {
		t.Fatalf("floor %d with %d above, want %d with %d", s.floor-base, s.n, floor, above)
	}
	if above == 0 && len(s.blocks) != 0 {
		t.Fatalf("%d blocks for nothing", len(s.blocks))
	}
	for o := uint64(0); o < limit; o += 97 {
		for _, want := range []bool{true, false} {
			next := o
			for next < limit && model[next] != want {
				next++
			}
			if got := s.next(base+o, base+limit, want); got != base+next {
				t.Fatalf("after %d comes %d, want %d (%v)", o, got-base, next, want)
			}
		}
	}
	for n := 1; n <= len(left); n += 1 + len(left)/7 {
		if got := s.nth(uint64(n), base+limit); got != base+left[n-1]+1 {
			t.Fatalf("after %d unsettled ones: %d, want %d", n, got-base, left[n-1]+1)
		}
	}
}

func TestTokensAreNotUsedAgainSoon(t *testing.T) {
	var l leases
	seen := map[Token]bool{}
	for range 1000 {
		n := l.take()
		token := l.token(n)
		if seen[token] || token == 0 || token>>48 != 0 {
			t.Fatalf("token %x", token)
		}
		seen[token] = true
		l.at(n).state = leaseOut
		if l.lookup(token, leaseOut) != n || l.lookup(token, leaseDying) != 0 || l.lookup(token+1<<slotBits, leaseOut) != 0 {
			t.Fatalf("lookup of %x", token)
		}
		l.put(n)
		if l.lookup(token, leaseOut) != 0 || l.lookup(token, leaseFree) != 0 {
			t.Fatalf("token %x is good after its end", token)
		}
	}
	l.at(1).gen = 1<<genBits - 1
	n := l.take()
	l.put(n)
	if g := l.at(1).gen; g != 1 {
		t.Errorf("generation %d after the last", g)
	}
}

func TestLeasesRunOutInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l leases
		open := map[uint32]int64{}
		for range rapid.IntRange(1, 100).Draw(t, "rounds") {
			if len(open) > 0 && rapid.Bool().Draw(t, "end") {
				n := uint32(rapid.IntRange(1, len(l.slots)).Draw(t, "which"))
				if _, ok := open[n]; ok {
					l.unlimit(n)
					l.put(n)
					delete(open, n)
				}
			} else {
				n := l.take()
				open[n] = rapid.Int64Range(1, 20).Draw(t, "deadline")
				l.limit(n, open[n])
			}
			last, count := int64(0), 0
			for n := l.first; n != 0; n = l.at(n).next {
				if l.at(n).deadline < last || l.at(n).deadline != open[n] {
					t.Fatal("out of order")
				}
				last = l.at(n).deadline
				count++
			}
			if count != len(open) {
				t.Fatalf("%d in the list, want %d", count, len(open))
			}
		}
	})
}

func TestKeySlots(t *testing.T) {
	var members []*Member
	k := newKeys()
	check := func() {
		t.Helper()
		most, least, sum := 0, keySlots, 0
		held := map[*Member]int{}
		for _, o := range k.owner {
			if o != nil {
				held[o]++
			}
		}
		for _, m := range members {
			if held[m] != m.slots {
				t.Fatalf("a member with %d slots thinks it has %d", held[m], m.slots)
			}
			most, least, sum = max(most, m.slots), min(least, m.slots), sum+m.slots
		}
		if len(members) > 0 && (sum != keySlots || most > 2*least+2) {
			t.Fatalf("%d members: %d slots, from %d to %d", len(members), sum, least, most)
		}
	}
	for range 40 {
		before := k.owner
		m := &Member{}
		members = append(members, m)
		k.join(m, members)
		check()
		for i := range before {
			if k.owner[i] != before[i] && k.owner[i] != m {
				t.Fatal("a key moved between members who were there before")
			}
		}
	}
	for len(members) > 0 {
		before := k.owner
		i := len(members) * 2 / 3
		m := members[i]
		members = append(members[:i], members[i+1:]...)
		k.leave(m, members)
		check()
		for i := range before {
			if k.owner[i] != before[i] && before[i] != m {
				t.Fatal("a key moved from a member who stayed")
			}
		}
	}
}
