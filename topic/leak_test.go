package topic

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// remains describes what a router without subscribers still holds beside its fixed size.
func remains[S any](r *Router[S]) string {
	b := r.root.branch.Load()
	if b.kids.Load() != 0 || b.plus.Load() != nil || b.hash.Load() != nil || b.groups.Load() != nil {
		return "the root has children"
	}
	for i := range r.table.shards {
		s := &r.table.shards[i]
		if slots := s.slots.Load(); s.live != 0 || s.used != 0 || slots != nil && len(*slots) > slotsMin {
			return fmt.Sprintf("shard %d: %d live, %d used", i, s.live, s.used)
		}
	}
	if c := r.Counts(); c != (Counts{}) {
		return fmt.Sprintf("counts %+v", c)
	}
	return ""
}

// TestNothingRemains: when the last subscriber goes, nodes, groups and slots go with it.
func TestNothingRemains(t *testing.T) {
	r := NewRouter[member]()
	type one struct {
		group, filter string
		m             *member
	}
	var all []one
	for i := range 300 {
		n := strconv.Itoa(i)
		for _, f := range []string{"a", "a/b/" + n, "a/+/" + n, n + "/#", n, "+/" + n + "/+", "#", "+", n + "/x/y/z/+/" + n, "/", "+//#"} {
			all = append(all, one{"", f, &member{i}}, one{"g" + strconv.Itoa(i%40), f, &member{i}})
		}
	}
	for round := range 2 {
		for _, o := range all {
			if o.group == "" {
				r.Subscribe(o.filter, o.m)
			} else {
				r.SubscribeShared(o.group, o.filter, o.m)
			}
		}
		for i := range all {
			o := all[i]
			if round == 1 {
				o = all[len(all)-1-i]
			}
			if o.group == "" && !r.Unsubscribe(o.filter, o.m) || o.group != "" && !r.UnsubscribeShared(o.group, o.filter, o.m) {
				t.Fatalf("%q %q is not there", o.group, o.filter)
			}
		}
		if what := remains(r); what != "" {
			t.Fatalf("round %d: %s", round, what)
		}
	}
}

// TestGroupsComeAndGo: with few and with many groups on a filter, one that ended is made anew when somebody joins it.
func TestGroupsComeAndGo(t *testing.T) {
	for _, n := range []int{1, 5, 2 * indexFrom} {
		r := NewRouter[member]()
		m := &member{}
		for i := range n {
			r.SubscribeShared(strconv.Itoa(i), "a/+", m)
		}
		for i := range n {
			name := strconv.Itoa(i)
			if !r.UnsubscribeShared(name, "a/+", m) || r.UnsubscribeShared(name, "a/+", m) {
				t.Fatalf("%d groups: leaving %s", n, name)
			}
			g := r.SubscribeShared(name, "a/+", m)
			if again := r.SubscribeShared(name, "a/+", &member{}); again != g {
				t.Fatalf("%d groups: two groups of one name", n)
			}
			var found Matches[member]
			r.Match([]byte("a/b"), &found)
			seen := 0
			for _, other := range found.Groups {
				if other == g && g.Members.Len() == 2 {
					seen++
				}
			}
			if len(found.Groups) != n || seen != 1 {
				t.Fatalf("%d groups: found %d, the new one %d times", n, len(found.Groups), seen)
			}
		}
	}
}

// TestUnsubscribeFromNothing leaves no trace either.
func TestUnsubscribeFromNothing(t *testing.T) {
	r := NewRouter[member]()
	m := &member{}
	for _, f := range []string{"a", "a/+", "#", "a/b/c/+/d"} {
		if r.Unsubscribe(f, m) || r.UnsubscribeShared("g", f, m) {
			t.Errorf("%q: found", f)
		}
	}
	r.Subscribe("a/b/+", m)
	if r.Unsubscribe("a/+", m) || r.Unsubscribe("a/b/#", m) || r.Unsubscribe("a/b/+", &member{}) || r.UnsubscribeShared("g", "a/b/+", m) {
		t.Error("found what was not subscribed")
	}
	r.Unsubscribe("a/b/+", m)
	if what := remains(r); what != "" {
		t.Error(what)
	}
}

// TestDepthBomb: filters and names of as many levels as a packet can carry.
func TestDepthBomb(t *testing.T) {
	r := NewRouter[member]()
	for _, levels := range []int{1000, MaxLength/2 + 1} {
		literal := strings.Repeat("a/", levels-1) + "a"
		plus := strings.Repeat("+/", levels-1) + "+"
		mixed := strings.Repeat("a/+/", levels/2-1) + "a/#"
		m := &member{}
		for _, f := range []string{literal, plus, mixed} {
			r.Subscribe(f, m)
			if !Match([]byte(f), []byte(literal)) {
				t.Errorf("%d levels: %.9q does not match", levels, f)
			}
		}
		var found Matches[member]
		r.Match([]byte(literal), &found)
		if len(found.Sets) != 3 {
			t.Errorf("%d levels: found by %d of 3 filters", levels, len(found.Sets))
		}
		for _, f := range []string{literal, plus, mixed} {
			r.Unsubscribe(f, m)
		}
		if what := remains(r); what != "" {
			t.Error(what)
		}
	}
}

// heap is the number of bytes in use on the heap.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMillionFilters: a million exact filters, a subscriber each, and what they cost beside the filters' own bytes.
func TestMillionFilters(t *testing.T) {
	const limit = 110 // bytes for each
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	filters := make([]string, n)
	subs := make([]member, n)
	for i := range filters {
		filters[i] = fmt.Sprintf("devices/%07d/state", i)
		subs[i].n = i
	}
	before := heap()
	r := NewRouter[member]()
	for i, f := range filters {
		r.Subscribe(f, &subs[i])
	}
	each := float64(heap()-before) / float64(n)
	t.Logf("%d filters with a subscriber each: %.1f bytes each beside the filters", n, each)
	if each > limit {
		t.Errorf("%.1f bytes each, more than %d", each, limit)
	}
	var m Matches[member]
	for i, f := range filters {
		r.Match([]byte(f), &m)
		if len(m.Sets) != 1 || m.Sets[0].first.Load() != &subs[i] || m.Sets[0].Len() != 1 {
			t.Fatalf("%q: %d sets", f, len(m.Sets))
		}
	}
	for i, f := range filters {
		if !r.Unsubscribe(f, &subs[i]) {
			t.Fatalf("%q is not there", f)
		}
	}
	if what := remains(r); what != "" {
		t.Error(what)
	}
}

// TestMillionWildcards is the same with a wildcard in each filter.
func TestMillionWildcards(t *testing.T) {
	const limit = 400 // bytes for each: two nodes of its own, and their levels
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	subs := make([]member, n)
	before := heap()
	r := NewRouter[member]()
	for i := range subs {
		r.Subscribe(fmt.Sprintf("devices/%07d/+", i), &subs[i])
	}
	each := float64(heap()-before) / float64(n)
	t.Logf("%d filters devices/N/+ with a subscriber each: %.1f bytes each", n, each)
	if each > limit {
		t.Errorf("%.1f bytes each, more than %d", each, limit)
	}
	var m Matches[member]
	for i := range subs {
		r.Match(fmt.Appendf(nil, "devices/%07d/x", i), &m)
		if len(m.Sets) != 1 || m.Sets[0].first.Load() != &subs[i] {
			t.Fatalf("%d: %d sets", i, len(m.Sets))
		}
	}
	for i := range subs {
		if !r.Unsubscribe(fmt.Sprintf("devices/%07d/+", i), &subs[i]) {
			t.Fatalf("%d is not there", i)
		}
	}
	if what := remains(r); what != "" {
		t.Error(what)
	}
}
