package retained_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/retained"
)

// messages makes n messages of 64 bytes on topics of 20, in order or not.
func messages(n int, shuffled bool) []*message.Message {
	all := make([]*message.Message, n)
	payload := strings.Repeat("x", 64)
	for i := range all {
		all[i] = msg(fmt.Sprintf("devices/%07d/temp", i), payload, 0)
	}
	if shuffled {
		rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// BenchmarkSet stores messages on new topics, then replaces them.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, shuffled := range []bool{false, true} {
			all := messages(n, shuffled)
			order := map[bool]string{false: "in-order", true: "random"}[shuffled]
			b.Run(fmt.Sprintf("new/%s/%d", order, n), func(b *testing.B) {
				b.ReportAllocs()
				var s *retained.Store
				i := n
				for b.Loop() {
					if i == n {
						s, i = retained.New(retained.Limits{MaxMessages: 1 << 40}), 0
					}
					s.Set(all[i])
					i++
				}
			})
			b.Run(fmt.Sprintf("replace/%s/%d", order, n), func(b *testing.B) {
				s := retained.New(retained.Limits{MaxMessages: 1 << 40})
				for _, m := range all {
					s.Set(m)
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					s.Set(all[i])
					if i++; i == n {
						i = 0
					}
				}
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	all := messages(100_000, true)
	s := retained.New(retained.Limits{})
	for _, m := range all {
		s.Set(m)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Get(all[i].Topic, 0).Release()
		if i++; i == len(all) {
			i = 0
		}
	}
}

// BenchmarkReplay walks a store of 100,000 from end to end; the figure is for each message.
func BenchmarkReplay(b *testing.B) {
	for _, filter := range []string{"#", "devices/+/temp"} {
		b.Run(strings.ReplaceAll(filter, "/", "|"), func(b *testing.B) {
			const n = 100_000
			s := retained.New(retained.Limits{})
			for _, m := range messages(n, true) {
				s.Set(m)
			}
			b.ReportAllocs()
			total := 0
			for b.Loop() {
				c := s.Walk(filter)
				for !c.Next(0, 256, func(m *message.Message) bool { total += len(m.Payload); return true }) {
				}
			}
			if total != b.N*n*64 {
				b.Fatalf("%d bytes", total)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
		})
	}
}

// BenchmarkWalkOne is what a subscribe pays for the store: filters of a device among a million messages, and of one level.
func BenchmarkWalkOne(b *testing.B) {
	s := retained.New(retained.Limits{})
	for _, m := range messages(1_000_000, true) {
		s.Set(m)
	}
	for _, filter := range []string{"devices/0123456/temp", "devices/0123456/#", "devices/none/+", "+/0123456/#", "other/#"} {
		b.Run(strings.ReplaceAll(filter, "/", "|"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := s.Walk(filter)
				for !c.Next(0, 256, func(*message.Message) bool { return true }) {
				}
			}
		})
	}
}
