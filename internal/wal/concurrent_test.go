package wal

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// TestManyGroupsAtOnce runs appenders, readers and the reclaimer together on a
// real disk with small segments, then opens the log again. It is for the race
// detector, too.
func TestManyGroupsAtOnce(t *testing.T) {
	const groups, each = 8, 600
	opt := Options{FS: vfs.OS{}, Dir: filepath.ToSlash(t.TempDir()), SegmentSize: 64 << 10, HotSegments: 3, SpareSegments: 2, Reserve: 1}
	l := mustOpen(t, opt)
	var wg sync.WaitGroup
	var bases [groups]uint64
	for g := range uint64(groups) {
		last := new(atomic.Uint64)
		wg.Go(func() {
			w := make(chanWaiter, 1)
			for i := uint64(1); i <= each; i += 3 {
				u := Update{Group: g, Entries: entries(g, i, i+2, 1, 300), State: &HardState{Term: 1, Vote: g, Commit: i + 2}}
				if i%30 == 1 {
					u.Snapshot = &Snapshot{Index: i + 2, Data: data(g, i+2, 0, 2000)}
				}
				if err := errors.Join(l.Append(&u, w), <-w); err != nil {
					t.Error(err)
					return
				}
				last.Store(i + 2)
				// Even groups keep everything, odd ones drop what is old.
				if g%2 == 1 && i > 20 && i%10 == 1 {
					bases[g] = i - 20
					if err := l.Append(&Update{Group: g, Base: &Base{Index: i - 20, Term: 1}}, nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
		wg.Go(func() {
			var r Reader
			rng := rand.New(rand.NewPCG(g, 0))
			for last.Load() < each && !t.Failed() {
				hi := last.Load()
				if hi == 0 {
					continue
				}
				lo := 1 + rng.Uint64N(hi)
				es, err := l.Read(&r, g, lo, hi+1, 3000)
				if errors.Is(err, ErrCompacted) {
					continue
				}
				if err != nil {
					t.Errorf("group %d: reading %d to %d: %v", g, lo, hi, err)
					return
				}
				for _, e := range es {
					if string(e.Data) != string(data(g, e.Index, 1, 300)) {
						t.Errorf("group %d: entry %d is %.30q", g, e.Index, e.Data)
						return
					}
				}
				if s, err := l.Snapshot(g); err != nil || string(s.Data) != string(data(g, s.Index, 0, 2000)) {
					t.Errorf("group %d: snapshot %d: %v", g, s.Index, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		for g := range uint64(groups) {
			info, err := l.Info(g)
			if err != nil || info.Last != each || info.State.Vote != g || info.Base.Index != bases[g] {
				t.Errorf("group %d: %+v, %v", g, info, err)
			}
			wantEntries(t, l, g, info.Base.Index+1, each, 1, 300)
		}
		t.Logf("%+v", l.Stats())
		check(t, l.Close())
		l = mustOpen(t, opt)
	}
	check(t, l.Close())
}

// TestCloseTellsEveryone: an append is either told or refused, never forgotten.
func TestCloseTellsEveryone(t *testing.T) {
	opt := small(vfs.NewMemory())
	opt.Manual = false
	l := mustOpen(t, opt)
	var wg sync.WaitGroup
	for g := range uint64(20) {
		wg.Go(func() {
			w := make(chanWaiter, 1)
			for i := uint64(1); ; i++ {
				if err := l.Append(&Update{Group: g, Entries: entries(g, i, i, 1, 50)}, w); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				if err := <-w; err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for l.Stats().Records < 100 {
	}
	check(t, l.Close())
	wg.Wait()
}
