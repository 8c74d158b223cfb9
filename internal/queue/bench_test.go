package queue

import (
	"fmt"
	"runtime"
	"testing"
)

// yard is a number of partitions whose logs hold the same batch in every entry: what is measured is the state machine and
// the dispatch, not the memory of a log.
type yard struct {
	batch []byte
	size  int
	parts []*lane
}

type lane struct {
	y     *yard
	m     *Machine
	d     *Dispatcher
	index uint64
	sent  []Token
	buf   []byte
}

func (l *lane) Command(uint64, int) ([]byte, error) { return l.y.batch, nil }

func (l *lane) Deliver(d *Delivery) Verdict {
	l.sent = append(l.sent, d.Token)
	return Leased
}

func (l *lane) Bury(*DeadLetter) {}

func newYard(b testing.TB, partitions, size int, s Settings, groups int, keys bool) *yard {
	y := &yard{size: size}
	var batch Batch
	batch.Begin(nil, &s, 1000)
	payload := make([]byte, 1024)
	for i := range size {
		m := Message{Topic: []byte("eu/orders"), Payload: payload, QoS: 1}
		if keys {
			m.Key = KeyOf([]byte{byte(i)})
		}
		if _, err := batch.Add(&m); err != nil {
			b.Fatal(err)
		}
	}
	y.batch = batch.Command()
	for range partitions {
		l := &lane{y: y, m: New()}
		l.apply(AppendConfigure(nil, &s))
		for g := range groups {
			l.apply(AppendCreateGroup(nil, &NewGroup{Name: fmt.Sprint("group", g)}))
		}
		l.d = NewDispatcher(l.m, l, l)
		for g := range groups {
			for c := range 4 {
				if _, err := l.d.Join(fmt.Sprint("group", g), uint64(c), 256); err != nil {
					b.Fatal(err)
				}
			}
		}
		y.parts = append(y.parts, l)
	}
	return y
}

func (l *lane) apply(data []byte) {
	l.index++
	if r := l.m.Apply(l.index, 0, data); r.Err != nil {
		panic(r.Err)
	}
}

// perMessage reports what one message cost.
func perMessage(b *testing.B, messages int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(messages), "ns/msg")
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	var batch Batch
	var s Settings
	m := Message{Topic: []byte("eu/orders"), Payload: make([]byte, 1024), QoS: 1}
	buf := make([]byte, 0, 128<<10)
	for b.Loop() {
		batch.Begin(buf, &s, 1000)
		for range 64 {
			_, _ = batch.Add(&m)
		}
		batch.Command()
	}
	perMessage(b, 64*b.N)
}

func BenchmarkEnqueue(b *testing.B) {
	for _, partitions := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			y := newYard(b, partitions, 64, Settings{MaxDepth: 1 << 40}, 0, false)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				y.parts[n%partitions].apply(y.batch)
				n++
			}
			perMessage(b, 64*b.N)
		})
	}
	b.Run("one by one", func(b *testing.B) {
		y := newYard(b, 1, 1, Settings{}, 0, false)
		b.ReportAllocs()
		for b.Loop() {
			y.parts[0].apply(y.batch)
		}
		perMessage(b, b.N)
	})
	b.Run("dedup", func(b *testing.B) {
		s := Settings{DedupWindow: 1000, DedupLimit: 1 << 30}
		y := newYard(b, 1, 1, s, 0, false)
		var batch Batch
		buf := make([]byte, 0, 128<<10)
		n, now := uint32(0), int64(1000)
		b.ReportAllocs()
		for b.Loop() {
			now++
			batch.Begin(buf, &s, now)
			for range 64 {
				n++
				m := Message{QoS: 1, Dedup: DedupOf([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})}
				_, _ = batch.Add(&m)
			}
			y.parts[0].apply(batch.Command())
		}
		perMessage(b, 64*b.N)
	})
}

// dequeue delivers and settles everything of a batch for every group, the settles of one turn as one command.
func (l *lane) dequeue() (settled int) {
	for {
		l.sent = l.sent[:0]
		if _, err := l.d.Pump(1000); err != nil {
			panic(err)
		}
		if len(l.sent) == 0 {
			return settled
		}
		for _, t := range l.sent {
			l.d.Ack(t)
		}
		settled += len(l.sent)
		command, _ := l.d.Proposal(l.buf[:0], 1000)
		l.buf = command
		l.apply(command)
	}
}

func benchmarkDequeue(b *testing.B, partitions, groups int, s Settings, keys bool) {
	y := newYard(b, partitions, 64, s, groups, keys)
	b.ReportAllocs()
	n, settled := 0, 0
	for b.Loop() {
		l := y.parts[n%partitions]
		n++
		l.apply(y.batch)
		settled += l.dequeue()
	}
	if settled != 64*groups*b.N {
		b.Fatalf("settled %d messages, want %d", settled, 64*groups*b.N)
	}
	perMessage(b, settled)
}

func BenchmarkDequeue(b *testing.B) {
	s := Settings{Lease: 30_000, MaxDeliveries: 5, Backoff: 1000, DeadLetters: true}
	for _, groups := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) { benchmarkDequeue(b, 1, groups, s, false) })
	}
	for _, partitions := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) { benchmarkDequeue(b, partitions, 1, s, false) })
	}
	s.Dispatch = KeyOrdered
	b.Run("key ordered", func(b *testing.B) { benchmarkDequeue(b, 1, 1, s, true) })
}

// The backlog of 10 million messages: heap per message, with every message in a batch of its own and in batches of 16.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			const messages = 10_000_000
			for b.Loop() {
				before := heap()
				y := newYard(b, 1, size, Settings{}, 1, false)
				l := y.parts[0]
				for range messages / size {
					l.apply(y.batch)
				}
				used := heap() - before
				b.ReportMetric(float64(used)/messages, "B/msg")
				b.ReportMetric(float64(used)/1e6, "MB")
				b.ReportMetric(float64(len(l.m.Snapshot(nil)))/1e6, "MB-snapshot")
				runtime.KeepAlive(y)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
