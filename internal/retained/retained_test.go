package retained_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/retained"
	"github.com/millrace-mq/millrace/topic"
	"pgregory.net/rapid"
)

func msg(name, payload string, expires int64) *message.Message {
	return &message.Message{Topic: []byte(name), Payload: []byte(payload), Expires: expires, Retain: true}
}

// walk collects topic=payload of a walk in steps of limit.
func walk(s *retained.Store, filter string, now int64, limit int) []string {
	var all []string
	c := s.Walk(filter)
	for !c.Next(now, limit, func(m *message.Message) bool {
		all = append(all, string(m.Topic)+"="+string(m.Payload))
		return true
	}) {
	}
	slices.Sort(all)
	return all
}

type model map[string]*message.Message

func (m model) walk(filter string, now int64) []string {
	var all []string
	for name, msg := range m {
		if !msg.Expired(now) && topic.Match([]byte(filter), []byte(name)) {
			all = append(all, name+"="+string(msg.Payload))
		}
	}
	slices.Sort(all)
	return all
}

func (m model) bytes() (n int64) {
	for _, msg := range m {
		n += int64(msg.Size())
	}
	return n
}

var (
	level  = rapid.SampledFrom([]string{"", "a", "b", "ab", "a!", "$x", "\x01"})
	names  = rapid.Map(rapid.SliceOfN(level, 1, 5), func(l []string) string { return strings.Join(l, "/") }).Filter(func(s string) bool { return s != "" })
	filter = rapid.Custom(func(t *rapid.T) string {
		l := rapid.SliceOfN(rapid.OneOf(level, rapid.Just("+")), 0, 5).Draw(t, "levels")
		if len(l) == 0 || rapid.Bool().Draw(t, "multi") {
			l = append(l, "#")
		}
		return strings.Join(l, "/")
	}).Filter(func(s string) bool { return s != "" })
)

// TestStoreAgainstModel does the same to a store and to a map, and compares what they have.
func TestStoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := rapid.SampledFrom([]retained.Limits{{}, {MaxMessages: 5}, {MaxBytes: 60}}).Draw(t, "limits")
		s, m, now := retained.New(limits), model{}, int64(1)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name := names.Draw(t, "name")
				payload := rapid.SampledFrom([]string{"", "1", "two", "a longer payload"}).Draw(t, "payload")
				expires := rapid.SampledFrom([]int64{0, now, now + 1, now + 10}).Draw(t, "expires")
				next := maps.Clone(m)
				next[name] = msg(name, payload, expires)
				if payload == "" {
					delete(next, name)
				}
				grown := limits.MaxMessages > 0 && len(next) > len(m) && int64(len(next)) > limits.MaxMessages ||
					limits.MaxBytes > 0 && next.bytes() > m.bytes() && next.bytes() > limits.MaxBytes
				if err := s.Set(msg(name, payload, expires)); errors.Is(err, retained.ErrFull) != grown {
					t.Fatalf("Set(%q): %v", name, err)
				}
				if !grown {
					m = next
				}
			},
			"time":  func(t *rapid.T) { now++ },
			"sweep": func(t *rapid.T) { s.Sweep(now, rapid.IntRange(1, 5).Draw(t, "limit")) },
			"sweep all": func(t *rapid.T) {
				s.Sweep(now, 1_000_000)
				maps.DeleteFunc(m, func(_ string, msg *message.Message) bool { return msg.Expired(now) })
				if s.Len() != int64(len(m)) || s.Bytes() != m.bytes() {
					t.Fatalf("%d messages of %d bytes, want %d of %d", s.Len(), s.Bytes(), len(m), m.bytes())
				}
			},
			"": func(t *rapid.T) {
				f := filter.Draw(t, "filter")
				if got, want := walk(s, f, now, rapid.IntRange(1, 40).Draw(t, "limit")), m.walk(f, now); !slices.Equal(got, want) {
					t.Fatalf("%q: %q, want %q", f, got, want)
				}
				name := names.Draw(t, "name")
				want, got := m[name], s.Get([]byte(name), now)
				if (got != nil) != (want != nil && !want.Expired(now)) {
					t.Fatalf("Get(%q) = %v", name, got)
				}
				if got != nil {
					if string(got.Topic) != name || string(got.Payload) != string(want.Payload) || !got.Kept() || !got.Retain {
						t.Fatalf("Get(%q) = %+v", name, got)
					}
					got.Release()
				}
				// What a partial sweep removed the model still has; so only the other direction is sure.
				if s.Len() > int64(len(m)) || s.Bytes() > m.bytes() {
					t.Fatalf("%d messages of %d bytes, want %d of %d", s.Len(), s.Bytes(), len(m), m.bytes())
				}
				// From here on both have the same again.
				s.Sweep(now, 1_000_000)
				maps.DeleteFunc(m, func(_ string, msg *message.Message) bool { return msg.Expired(now) })
			},
		})
	})
}

// TestWalkExhaustively tries every filter of some levels on a store of every topic of some levels, all in one shard, with levels that sort
// right before and after '/' and '+'.
func TestWalkExhaustively(t *testing.T) {
	levels := []string{"", "a", "ab", "a!", "\x01", "!", "0"}
	s, m := retained.New(retained.Limits{}), model{}
	store := func(name string) {
		m[name] = msg(name, "x", 0)
		s.Set(m[name])
	}
	store("s/s")
	for _, one := range levels {
		store("s/s/" + one)
		for _, two := range levels {
			store("s/s/" + one + "/" + two)
			if one != "a" { // not every topic has all below it
				store("s/s/" + one + "/" + two + "/a")
			}
		}
	}
	for _, one := range append(levels, "+", "b") {
		for _, two := range append(levels, "+", "b", "#") {
			for _, end := range []string{"", "/#", "/a", "/+"} {
				if two == "#" && end != "" {
					continue
				}
				f := "s/s/" + one + "/" + two + end
				for _, limit := range []int{1, 1000} {
					if got, want := walk(s, f, 0, limit), m.walk(f, 0); !slices.Equal(got, want) {
						t.Errorf("%q in steps of %d: %q, want %q", f, limit, got, want)
					}
				}
			}
		}
	}
}

func TestGetExpired(t *testing.T) {
	s := retained.New(retained.Limits{})
	s.Set(msg("a", "x", 1000))
	if m := s.Get([]byte("a"), 999); m == nil || m.Expires != 1000 {
		t.Errorf("before its time: %+v", m)
	}
	if m := s.Get([]byte("a"), 1000); m != nil {
		t.Errorf("after its time: %+v", m)
	}
}

// fill stores n messages on topics of three levels, in random order.
func fill(s *retained.Store, n int) {
	for _, i := range rand.Perm(n) {
		if err := s.Set(msg(fmt.Sprintf("site/%d/sensor/%d", i%50, i), "value", 0)); err != nil {
			panic(err)
		}
	}
}

// TestWalkBigStore compares walks over many leaves with the naive answer.
func TestWalkBigStore(t *testing.T) {
	const n = 20_000
	s := retained.New(retained.Limits{})
	fill(s, n)
	m := model{}
	for i := range n {
		name := fmt.Sprintf("site/%d/sensor/%d", i%50, i)
		m[name] = msg(name, "value", 0)
	}
	for _, f := range []string{"#", "site/#", "+/+/sensor/+", "site/7/#", "site/+/sensor/123", "site/7/sensor/+", "+/7/#", "site/7/sensor/1007",
		"site/7", "none/#", "site/+/none", "+/+/+/+/+", "site/+/#", "site/49/sensor/#", "$SYS/#"} {
		got, want := walk(s, f, 0, 100), m.walk(f, 0)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %d messages, want %d", f, len(got), len(want))
		}
	}
}

// TestWalkIsPaced: no call looks at more than it was allowed, a filter that matches little is not expensive, and a message that is
// refused comes again.
func TestWalkIsPaced(t *testing.T) {
	const n = 20_000
	s := retained.New(retained.Limits{})
	fill(s, n)
	for _, c := range []struct {
		filter         string
		matches, steps int // steps: of 100 records
	}{
		{"#", n, n/100 + 1},
		{"site/7/sensor/+", n / 50, n/50/100 + 1},
		{"site/7/sensor/1007", 1, 1},
		{"site/+/sensor/1007", 1, 2}, // some looks per site, not per message
		{"+/+/none/+", 0, 2},
	} {
		visited, steps := 0, 0
		cursor := s.Walk(c.filter)
		for done := false; !done; steps++ {
			before := visited
			done = cursor.Next(0, 100, func(*message.Message) bool { visited++; return true })
			if visited-before > 100 {
				t.Fatalf("%q: %d messages in one step of 100", c.filter, visited-before)
			}
		}
		if visited != c.matches || steps > c.steps {
			t.Errorf("%q: %d messages in %d steps, want %d in %d", c.filter, visited, steps, c.matches, c.steps)
		}
		if !cursor.Next(0, 100, func(*message.Message) bool { t.Errorf("%q: a message after the end", c.filter); return true }) {
			t.Errorf("%q: not over any more", c.filter)
		}
	}
	seen, calls := map[string]bool{}, 0
	cursor := s.Walk("#")
	for !cursor.Next(0, 1000, func(m *message.Message) bool {
		if calls++; calls%3 == 0 {
			return false
		}
		if seen[string(m.Topic)] {
			t.Fatalf("%q came twice", m.Topic)
		}
		seen[string(m.Topic)] = true
		return true
	}) {
	}
	if len(seen) != n {
		t.Errorf("%d messages of %d after refusals", len(seen), n)
	}
}

// TestLentMessageIsBorrowed: what a visitor keeps stays, however the store goes on.
func TestLentMessageIsBorrowed(t *testing.T) {
	s := retained.New(retained.Limits{})
	for i := range 100 {
		s.Set(&message.Message{Topic: fmt.Appendf(nil, "a/%d", i), Props: []byte("props"), Payload: fmt.Append(nil, i), QoS: 1, Sender: 7, Retain: true})
	}
	var kept []*message.Message
	s.Walk("a/+").Next(0, 1000, func(m *message.Message) bool {
		if m.Kept() {
			t.Fatal("a lent message says that it is kept")
		}
		kept = append(kept, m.Keep())
		return true
	})
	for i := range 100 {
		s.Set(msg(fmt.Sprintf("a/%d", i), "another", 0))
	}
	for _, m := range kept {
		if string(m.Topic) != "a/"+string(m.Payload) || string(m.Props) != "props" || m.QoS != 1 || m.Sender != 7 || !m.Retain {
			t.Errorf("kept %+v", m)
		}
		m.Release()
	}
	if len(kept) != 100 {
		t.Errorf("%d messages", len(kept))
	}
}

// TestWalkWhileChanging: messages that stay are visited exactly once by every walk, whatever comes and goes around them, and a walk
// by a visitor that changes the store itself does not lock up.
func TestWalkWhileChanging(t *testing.T) {
	const stay = 2000
	s := retained.New(retained.Limits{})
	for i := range stay {
		s.Set(msg(fmt.Sprintf("a/%d/stay/%d", i%5, i), "0", 0))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() { // ends when stop is set, below
			rnd := rand.New(rand.NewPCG(uint64(n), 3))
			for !stop.Load() {
				i := rnd.IntN(stay)
				s.Set(msg(fmt.Sprintf("a/%d/stay/%d", i%5, i), fmt.Sprint(rnd.Int()), 0))
				name := fmt.Sprintf("a/%d/stay/%d-%d", rnd.IntN(6), rnd.IntN(stay), n)
				payload := "x"
				if rnd.IntN(2) == 0 {
					payload = ""
				}
				s.Set(msg(name, payload, rnd.Int64N(3)))
				s.Sweep(1, 10)
			}
		})
	}
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		for _, f := range []string{"#", "a/+/stay/+", "a/3/#"} {
			seen := map[string]int{}
			c := s.Walk(f)
			for !c.Next(0, 1+round%90, func(m *message.Message) bool {
				seen[string(m.Topic)]++
				s.Set(m)
				return true
			}) {
			}
			want := 0
			for i := range stay {
				name := fmt.Sprintf("a/%d/stay/%d", i%5, i)
				if topic.Match([]byte(f), []byte(name)) {
					want++
					if seen[name] != 1 {
						t.Errorf("%q: %q visited %d times", f, name, seen[name])
					}
				}
			}
			if want == 0 {
				t.Fatalf("%q matches nothing", f)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	for _, m := range walk(s, "#", 0, 1000) {
		name, _, _ := strings.Cut(m, "=")
		s.Set(msg(name, "", 0))
	}
	s.Sweep(1<<60, 1_000_000)
	if s.Len() != 0 || s.Bytes() != 0 {
		t.Errorf("%d messages of %d bytes remain", s.Len(), s.Bytes())
	}
}

// TestLimitsHold: however many store at once, no limit is passed, and removing makes room.
func TestLimitsHold(t *testing.T) {
	for _, limits := range []retained.Limits{{MaxMessages: 100}, {MaxBytes: 1000}} {
		s := retained.New(limits)
		var wg sync.WaitGroup
		var stored atomic.Int64
		for n := range 8 {
			wg.Go(func() {
				for i := range 500 {
					if s.Set(msg(fmt.Sprintf("%d/%03d", n, i), "12345", 0)) == nil {
						stored.Add(1)
					}
					if limits.MaxMessages > 0 && s.Len() > limits.MaxMessages+8 { // others may be counted and not yet refused
						t.Errorf("%d messages", s.Len())
					}
				}
			})
		}
		wg.Wait()
		if s.Len() != 100 || s.Bytes() != 1000 || stored.Load() != 100 {
			t.Errorf("%+v: %d messages of %d bytes, %d stored", limits, s.Len(), s.Bytes(), stored.Load())
		}
		first, _, _ := strings.Cut(walk(s, "#", 0, 1000)[0], "=")
		if err := s.Set(msg(first, "54321", 0)); err != nil {
			t.Errorf("replacing with the same size: %v", err)
		}
		if err := s.Set(msg("x/new", "12345", 0)); !errors.Is(err, retained.ErrFull) {
			t.Errorf("one more: %v", err)
		}
		if err := s.Set(msg(first, "1234567", 0)); (limits.MaxBytes > 0) != errors.Is(err, retained.ErrFull) {
			t.Errorf("replacing with a bigger one: %v", err)
		}
		if limits.MaxBytes > 0 {
			if m := s.Get([]byte(first), 0); m == nil || string(m.Payload) != "54321" {
				t.Error("the message that could not be replaced is gone")
			}
		}
		s.Set(msg(first, "", 0))
		if err := s.Set(msg("x/new", "12345", 0)); err != nil {
			t.Errorf("after removing one: %v", err)
		}
	}
}

// TestSweepIsBoundedAndComplete: a call removes no more than it may look at, and enough calls remove everything that has expired.
func TestSweepIsBoundedAndComplete(t *testing.T) {
	s := retained.New(retained.Limits{})
	for i := range 10_000 {
		s.Set(msg(fmt.Sprintf("a/%d/%d", i%100, i), "x", int64(i%2)*1000))
	}
	if s.Sweep(999, 1_000_000) != 0 {
		t.Fatal("removed before the time")
	}
	if got := walk(s, "#", 1000, 1000); len(got) != 5000 {
		t.Fatalf("%d messages are seen, of 5000 that have not expired", len(got))
	}
	calls := 0
	for s.Len() > 5000 && calls < 1000 {
		if n := s.Sweep(1000, 100); n > 100 {
			t.Fatalf("removed %d in a step of 100", n)
		}
		calls++
	}
	if s.Len() != 5000 || calls > 2*10_000/100 {
		t.Fatalf("%d messages after %d calls", s.Len(), calls)
	}
	if s.Sweep(1<<60, 1_000_000) != 0 {
		t.Error("removed what never expires")
	}
}

func TestDeepTopic(t *testing.T) {
	s := retained.New(retained.Limits{})
	deep := strings.Repeat("a/", 32767) + "a"
	s.Set(msg(deep, "x", 0))
	for _, f := range []string{"#", deep, strings.Repeat("+/", 32767) + "+", strings.Repeat("a/+/", 16383) + "#"} {
		if n := len(walk(s, f, 0, 10)); n != 1 {
			t.Errorf("%.9q: %d messages", f, n)
		}
	}
}

// TestMemory: a message of 64 bytes on a topic of 20.
func TestMemory(t *testing.T) {
	const n, limit = 100_000, 200
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, order := range []string{"in order", "at random"} {
		indexes := make([]int, n)
		for i := range indexes {
			indexes[i] = i
		}
		if order == "at random" {
			rand.Shuffle(n, func(i, j int) { indexes[i], indexes[j] = indexes[j], indexes[i] })
		}
		payload := strings.Repeat("x", 64)
		before := heap()
		s := retained.New(retained.Limits{})
		for _, i := range indexes {
			s.Set(msg(fmt.Sprintf("devices/%07d/temp", i), payload, 0))
		}
		each := float64(heap()-before) / n
		t.Logf("%s: %.1f bytes each", order, each)
		if each > limit {
			t.Errorf("%s: %.1f bytes each, more than %d", order, each, limit)
		}
		runtime.KeepAlive(s)
	}
}
