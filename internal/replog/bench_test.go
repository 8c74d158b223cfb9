//go:build unix

package replog

import (
	"fmt"
	"path/filepath"
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

// BenchmarkPropose measures 1 KiB commands through a lone replica, and through
// three in one process, on the real disk.
func BenchmarkPropose(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		for _, groups := range []int{1, 100} {
			for _, waiters := range []int{1, 4000} {
				if waiters < groups {
					continue
				}
				b.Run(fmt.Sprintf("nodes=%d/groups=%d/waiters=%d", nodes, groups, waiters), func(b *testing.B) {
					benchmarkPropose(b, nodes, groups, waiters)
				})
			}
		}
	}
}

func benchmarkPropose(b *testing.B, nodes, groups, waiters int) {
	dir := filepath.ToSlash(b.TempDir())
	l := newLive(b, nodes, groups, func(i int) (vfs.FS, string) { return vfs.OS{}, fmt.Sprintf("%s/%d", dir, i) })
	defer l.stop()
	leaders := make([]*Group, groups)
	for g := range leaders {
		leaders[g] = l.leader(b, uint64(g))
	}
	payload := make([]byte, 1024)
	var left atomic.Int64
	left.Store(int64(b.N))
	before := l.logs[0].Stats()
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var wg sync.WaitGroup
	for i := range waiters {
		wg.Go(func() {
			g := leaders[i%groups]
			w := make(told, 1)
			for n := 0; left.Add(-1) >= 0; n++ {
				p := Proposal{Data: payload, Proposer: w}
				if n%64 == 63 && i < groups {
					p.Data = dropAll
				}
				if err := g.Propose(p); err != nil {
					b.Error(err)
					return
				}
				if o := <-w; o.Err != nil {
					b.Error(o.Err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/command")
	s := l.logs[0].Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	b.ReportMetric(float64(b.N)/float64(max(1, s.Syncs-before.Syncs)), "commands/sync")
	b.ReportMetric(float64(s.Written-before.Written)/float64(b.N*len(payload)), "written/payload")
}
