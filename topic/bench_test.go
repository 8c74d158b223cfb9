package topic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/topic"
)

// shapes are filters of a fleet of devices, and a name that the i-th of them matches.
var shapes = []struct {
	name            string
	filter, publish func(i int) string
}{
	{"exact",
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/state", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/state", i%1000, i) }},
	{"plus",
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/+", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/state", i%1000, i) }},
	{"plus-first",
		func(i int) string { return fmt.Sprintf("+/%d/device/%d/state", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/state", i%1000, i) }},
	{"hash",
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/#", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/device/%d/a/b", i%1000, i) }},
}

var sizes = []int{100, 1_000, 10_000, 1_000_000}

// BenchmarkMatch matches names with one subscriber each in turn, so at a million filters every look is a cache miss.
func BenchmarkMatch(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				r := topic.NewRouter[sub]()
				subs := make([]sub, n)
				for i := range subs {
					r.Subscribe(shape.filter(i), &subs[i])
				}
				names := make([][]byte, min(n, 100_000))
				for i := range names {
					names[i] = []byte(shape.publish(i * 7919 % n))
				}
				var m topic.Matches[sub]
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					r.Match(names[i], &m)
					if len(m.Sets) != 1 {
						b.Fatalf("%d sets", len(m.Sets))
					}
					if i++; i == len(names) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkMatchNobody publishes where nobody listens, beside a million filters.
func BenchmarkMatchNobody(b *testing.B) {
	r := topic.NewRouter[sub]()
	subs := make([]sub, 1_000_000)
	for i := range subs {
		shape := shapes[i%len(shapes)]
		r.Subscribe(shape.filter(i), &subs[i])
	}
	name := []byte("fleet/5/device/none/state")
	var m topic.Matches[sub]
	b.ReportAllocs()
	for b.Loop() {
		r.Match(name, &m)
	}
}

// BenchmarkMatchDeep walks a trie in which half the levels are wildcards.
func BenchmarkMatchDeep(b *testing.B) {
	for _, depth := range []int{8, 32, 128} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			r := topic.NewRouter[sub]()
			r.Subscribe(strings.Repeat("a/+/", depth/2)+"#", &sub{})
			r.Subscribe(strings.Repeat("+/", depth)+"#", &sub{})
			name := []byte(strings.Repeat("a/", depth-1) + "a")
			var m topic.Matches[sub]
			b.ReportAllocs()
			for b.Loop() {
				r.Match(name, &m)
			}
		})
	}
}

// BenchmarkFanout visits the subscribers of one filter; the figure is for each subscriber.
func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := topic.NewRouter[sub]()
			for i := range n {
				r.Subscribe("a/b", &sub{i})
			}
			name := []byte("a/b")
			var m topic.Matches[sub]
			b.ReportAllocs()
			total := 0
			for b.Loop() {
				r.Match(name, &m)
				for s := range m.Sets[0].Each {
					total += s.id
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/subscriber")
		})
	}
}

// BenchmarkSubscribe subscribes and unsubscribes beside a million others, and on one filter that has 100,000 subscribers already.
func BenchmarkSubscribe(b *testing.B) {
	for _, shape := range shapes {
		b.Run(shape.name+"/1000000", func(b *testing.B) {
			const n = 1_000_000
			r := topic.NewRouter[sub]()
			subs := make([]sub, n)
			for i := range subs {
				r.Subscribe(shape.filter(i), &subs[i])
			}
			filters := make([]string, 100_000)
			for i := range filters {
				filters[i] = shape.filter(n + i*7919)
			}
			s := &sub{}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Subscribe(filters[i], s)
				if !r.Unsubscribe(filters[i], s) {
					b.Fatal("not there")
				}
				if i++; i == len(filters) {
					i = 0
				}
			}
		})
	}
	b.Run("one-filter/100000", func(b *testing.B) {
		r := topic.NewRouter[sub]()
		for i := range 100_000 {
			r.Subscribe("a/b", &sub{i})
		}
		s := &sub{}
		b.ReportAllocs()
		for b.Loop() {
			r.Subscribe("a/b", s)
			r.Unsubscribe("a/b", s)
		}
	})
}

// BenchmarkMatchParallel matches on all processors while one of them keeps subscribing.
func BenchmarkMatchParallel(b *testing.B) {
	for _, churn := range []bool{false, true} {
		b.Run(fmt.Sprintf("churn=%v", churn), func(b *testing.B) {
			const n = 10_000
			r := topic.NewRouter[sub]()
			subs := make([]sub, n)
			for i := range subs {
				r.Subscribe(shapes[i%len(shapes)].filter(i), &subs[i])
			}
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() { // ends when stop is closed, below
				defer close(stopped)
				for i := 0; churn; i++ {
					select {
					case <-stop:
						return
					default:
						r.Subscribe(shapes[i%len(shapes)].filter(i%n+n), &subs[0])
						r.Unsubscribe(shapes[i%len(shapes)].filter(i%n+n), &subs[0])
					}
				}
			}()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var m topic.Matches[sub]
				for i := 0; pb.Next(); i++ {
					r.Match([]byte("fleet/5/device/5/state"), &m)
				}
			})
			close(stop)
			<-stopped
		})
	}
}

func BenchmarkValidateName(b *testing.B) {
	name := []byte("fleet/5/device/123456/state")
	b.ReportAllocs()
	for b.Loop() {
		if topic.ValidateName(name, 128) != nil {
			b.Fatal("invalid")
		}
	}
}

// TestNoAllocation: matching, walking a set and validating cost no garbage.
func TestNoAllocation(t *testing.T) {
	r := topic.NewRouter[sub]()
	for i := range 2000 {
		r.Subscribe("a/b/c", &sub{i})
		r.Subscribe("a/+/c", &sub{i})
		r.SubscribeShared("g", "a/#", &sub{i})
	}
	name := []byte("a/b/c")
	var m topic.Matches[sub]
	total := 0
	match := func() {
		if topic.ValidateName(name, 10) != nil || topic.ValidateFilter(name, 10) != nil || !topic.Match(name, name) {
			t.Error("not valid")
		}
		r.Match(name, &m)
		for _, set := range m.Sets {
			for s := range set.Each {
				total += s.id
			}
		}
		for _, g := range m.Groups {
			picked := g.Members.Pick(g.State.Add(1), func(s *sub) bool { return s.id >= total%1000 })
			total += picked.id
		}
	}
	match()
	if len(m.Sets) != 2 || len(m.Groups) != 1 {
		t.Fatalf("%d sets, %d groups", len(m.Sets), len(m.Groups))
	}
	if n := testing.AllocsPerRun(100, match); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
