//go:build unix

package wal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend is the log alone: n goroutines, each with one record of
// 1 KiB of its own group on its way. It reports records per second, records per
// sync, and bytes written per byte of payload.
func BenchmarkAppend(b *testing.B) {
	for _, waiters := range []int{1, 64, 4000} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			l := mustOpen(b, Options{FS: vfs.OS{}, Dir: b.TempDir(), HotSegments: 8, SpareSegments: 6})
			defer l.Close()
			payload := make([]byte, 1024)
			var left atomic.Int64
			var wg sync.WaitGroup
			before := l.Stats()
			left.Store(int64(b.N))
			b.ResetTimer()
			cpu := cpuTime()
			for g := range waiters {
				wg.Go(func() {
					w := make(chanWaiter, 1)
					es := []Entry{{Term: 1, Data: payload}}
					u := Update{Group: uint64(g), Entries: es}
					for left.Add(-1) >= 0 {
						es[0].Index++
						if err := l.Append(&u, w); err != nil {
							b.Error(err)
							return
						}
						if err := <-w; err != nil {
							b.Error(err)
							return
						}
						if es[0].Index%8 == 0 {
							_ = l.Append(&Update{Group: u.Group, State: &HardState{Term: 1, Commit: es[0].Index}, Base: &Base{Index: es[0].Index, Term: 1}}, nil)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/record")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(b.N)/float64(max(1, s.Syncs-before.Syncs)), "records/sync")
			b.ReportMetric(float64(s.Written-before.Written-s.Copied)/float64(s.Payload-before.Payload), "written/payload")
			b.SetBytes(1024)
		})
	}
}

// BenchmarkRecovery measures Open over a log of 256 MiB in the page cache.
func BenchmarkRecovery(b *testing.B) {
	opt := Options{FS: vfs.OS{}, Dir: b.TempDir()}
	l := mustOpen(b, opt)
	payload := make([]byte, 1024)
	for i := uint64(1); i <= 256<<10; i++ {
		u := Update{Group: i % 10, Entries: []Entry{{Index: (i + 9) / 10, Term: 1, Data: payload}}}
		if i%10 == 0 {
			u.Group = 10
		}
		if err := l.Append(&u, nil); err != nil {
			b.Fatal(err)
		}
	}
	check(b, l.Close())
	b.SetBytes(256 << 20)
	for b.Loop() {
		l = mustOpen(b, opt)
		b.StopTimer()
		check(b, l.Close())
		b.StartTimer()
	}
}

// BenchmarkRead reads a group that shares the log with nine others.
func BenchmarkRead(b *testing.B) {
	l := mustOpen(b, Options{FS: vfs.OS{}, Dir: b.TempDir()})
	defer l.Close()
	payload := make([]byte, 1024)
	const each = 4000
	for i := uint64(1); i <= each; i++ {
		for g := range uint64(10) {
			if err := l.Append(&Update{Group: g, Entries: []Entry{{Index: i, Term: 1, Data: payload}}}, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	check(b, l.Sync())
	var r Reader
	b.SetBytes(1024)
	b.ReportAllocs()
	b.ResetTimer()
	next, start := uint64(1), time.Now()
	for n := 0; n < b.N; {
		es, err := l.Read(&r, 3, next, each+1, 64<<10)
		if err != nil {
			b.Fatal(err)
		}
		n += len(es)
		if next += uint64(len(es)); next > each {
			next = 1
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "entries/s")
}

// slot is a proposal on its way, for BenchmarkAppendCallback.
type slot struct {
	update Update
	entry  [1]Entry
	ready  chan<- *slot
}

func (s *slot) Durable(err error) {
	if err != nil {
		panic(err)
	}
	s.ready <- s
}

// BenchmarkAppendCallback is the same with 4,000 records on their way and no
// goroutine for each, as the groups of a node use the log.
func BenchmarkAppendCallback(b *testing.B) {
	const inFlight = 4000
	l := mustOpen(b, Options{FS: vfs.OS{}, Dir: b.TempDir(), HotSegments: 8, SpareSegments: 6})
	defer l.Close()
	payload := make([]byte, 1024)
	ready := make(chan *slot, inFlight)
	for g := range uint64(inFlight) {
		s := &slot{ready: ready, entry: [1]Entry{{Term: 1, Data: payload}}}
		s.update = Update{Group: g, Entries: s.entry[:]}
		ready <- s
	}
	before := l.Stats()
	b.SetBytes(1024)
	b.ResetTimer()
	cpu := cpuTime()
	for range b.N {
		s := <-ready
		s.entry[0].Index++
		if err := l.Append(&s.update, s); err != nil {
			b.Fatal(err)
		}
		if i := s.entry[0].Index; i%8 == 0 {
			_ = l.Append(&Update{Group: s.update.Group, State: &HardState{Term: 1, Commit: i}, Base: &Base{Index: i, Term: 1}}, nil)
		}
	}
	check(b, l.Sync())
	b.StopTimer()
	s := l.Stats()
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/record")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(max(1, s.Syncs-before.Syncs)), "records/sync")
	b.ReportMetric(float64(s.Written-before.Written-s.Copied)/float64(s.Payload-before.Payload), "written/payload")
}
