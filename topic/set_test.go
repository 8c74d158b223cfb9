package topic

import (
	"math/rand/v2"
	"testing"
)

type member struct{ n int }

func content(s *Set[member]) map[*member]int {
	seen := map[*member]int{}
	for m := range s.Each {
		seen[m]++
	}
	return seen
}

// TestSetGrowsAndShrinks fills a set to sizes around every change of its layout, takes members out in random order, and compares with a map.
func TestSetGrowsAndShrinks(t *testing.T) {
	for _, size := range []int{1, 2, 3, 5, 6, 31, 32, 33, 34, 100, 1024, 1025, 1026, 2049, 2050, 5000} {
		var s Set[member]
		rnd := rand.New(rand.NewPCG(uint64(size), 0))
		all := make([]*member, size)
		for i := range all {
			all[i] = &member{i}
			if !s.add(all[i]) || s.add(all[i]) {
				t.Fatalf("size %d: adding %d", size, i)
			}
		}
		check := func(left []*member) {
			t.Helper()
			seen := content(&s)
			if len(seen) != len(left) || s.Len() != len(left) || s.empty() != (len(left) == 0) {
				t.Fatalf("size %d: %d seen, Len %d, want %d", size, len(seen), s.Len(), len(left))
			}
			for _, m := range left {
				if seen[m] != 1 {
					t.Fatalf("size %d, %d left: seen %d times", size, len(left), seen[m])
				}
			}
		}
		check(all)
		rnd.Shuffle(size, func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i, m := range all {
			if !s.remove(m) || s.remove(m) {
				t.Fatalf("size %d: removing", size)
			}
			if i%max(size/20, 1) == 0 {
				check(all[i+1:])
				// One comes back and goes again, into a slot that fell free.
				s.add(m)
				check(all[i:])
				s.remove(m)
			}
		}
		check(nil)
	}
}

// TestSetStaysDense: after most have gone, a walk does not go on paying for them.
func TestSetStaysDense(t *testing.T) {
	var s Set[member]
	all := make([]*member, 10_000)
	for i := range all {
		all[i] = &member{i}
		s.add(all[i])
	}
	for _, m := range all[:9_990] {
		s.remove(m)
	}
	slots := 0
	for _, chunk := range *s.rest.Load().chunks.Load() {
		slots += len(chunk)
	}
	if slots > 10*sparseness {
		t.Errorf("%d slots for %d members", slots, s.Len())
	}
}

// TestSetReusesPlaces: with as many coming as going, a set takes no more room.
func TestSetReusesPlaces(t *testing.T) {
	var s Set[member]
	old := make([]*member, 1000)
	for i := range old {
		old[i] = &member{i}
		s.add(old[i])
	}
	before := s.rest.Load().used.Load()
	for i := range 100 * len(old) {
		m := &old[i%len(old)]
		s.remove(*m)
		*m = &member{i}
		s.add(*m)
	}
	if after := s.rest.Load().used.Load(); after != before {
		t.Errorf("%d slots, %d before", after, before)
	}
}

// TestSetNeverCopies: adding one to a big set leaves every slot where it is.
func TestSetNeverCopies(t *testing.T) {
	var s Set[member]
	places := map[*slot[member]]*member{}
	for i := range 20_000 {
		m := &member{i}
		s.add(m)
		if i > 0 {
			places[s.rest.Load().find(m)] = m
		}
	}
	for at, m := range places {
		if at.Load() != m || s.rest.Load().find(m) != at {
			t.Fatalf("member %d has moved", m.n)
		}
	}
}

func TestLocate(t *testing.T) {
	pos := 0
	for chunk := range 20 {
		for offset := range chunkSize(chunk) {
			if c, o := locate(pos); c != chunk || o != offset {
				t.Fatalf("locate(%d) = %d, %d, want %d, %d", pos, c, o, chunk, offset)
			}
			pos++
		}
	}
}

// TestPickTakesTurns: counting up visits every member equally often, whoever has left before.
func TestPickTakesTurns(t *testing.T) {
	for size := 1; size <= 20; size++ {
		for gone := range size {
			var s Set[member]
			var out *member
			for i := range size + 1 {
				m := &member{i}
				s.add(m)
				if i == gone {
					out = m
				}
			}
			s.remove(out)
			turns := map[*member]int{}
			for n := range uint64(3 * size) {
				turns[s.Pick(n, func(*member) bool { return true })]++
			}
			for m := range s.Each {
				if turns[m] != 3 {
					t.Errorf("size %d without %d: member %d had %d turns of 3", size, gone, m.n, turns[m])
				}
			}
		}
	}
}

// TestPickAsksEverybody: from whatever place, the only one that will do is found, and nobody when none will.
func TestPickAsksEverybody(t *testing.T) {
	for _, size := range []int{1, 2, 5, 6, 40, 1100, 2100} {
		var s Set[member]
		for i := range size {
			s.add(&member{i})
		}
		for _, want := range []int{0, 1, size / 2, size - 1} {
			for n := uint64(0); n <= uint64(size); n += uint64(1 + size/40) {
				got := s.Pick(n, func(m *member) bool { return m.n == want })
				if want < size && (got == nil || got.n != want) {
					t.Fatalf("size %d: Pick(%d) did not find %d", size, n, want)
				}
			}
		}
		if got := s.Pick(1, func(*member) bool { return false }); got != nil {
			t.Fatalf("size %d: found %d", size, got.n)
		}
	}
	var none Set[member]
	if none.Pick(7, func(*member) bool { return true }) != nil {
		t.Fatal("found a member of an empty set")
	}
}
