package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// small is a manual log with tiny segments on a disk in memory.
func small(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "data/wal", SegmentSize: 32 << 10, HotSegments: 3, SpareSegments: 1, Reserve: 1, Manual: true, Salt: 99}
}

func mustOpen(t testing.TB, opt Options) *Log {
	t.Helper()
	l, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// data is a payload that can be recognized.
func data(group, index, term uint64, n int) []byte {
	b := fmt.Appendf(nil, "g%d i%d t%d ", group, index, term)
	for len(b) < n {
		b = append(b, byte(len(b)))
	}
	return b
}

func entries(group, first, last, term uint64, size int) []Entry {
	var es []Entry
	for i := first; i <= last; i++ {
		es = append(es, Entry{Index: i, Term: term, Tag: byte(i % 3), Data: data(group, i, term, size)})
	}
	return es
}

// put appends and flushes.
func put(t testing.TB, l *Log, u Update) {
	t.Helper()
	w := make(chanWaiter, 1)
	check(t, l.Append(&u, w))
	if l.opt.Manual {
		check(t, l.Flush())
	}
	check(t, <-w)
}

// want reads the entries from..to and checks that they have these terms.
func wantEntries(t testing.TB, l *Log, group, from, to, term uint64, size int) {
	t.Helper()
	var r Reader
	for i := from; i <= to; {
		es, err := l.Read(&r, group, i, to+1, 4<<10)
		if err != nil {
			t.Fatalf("group %d: reading %d of %d to %d: %v", group, i, from, to, err)
		}
		for _, e := range es {
			if e.Index != i || e.Term != term || e.Tag != byte(i%3) || !bytes.Equal(e.Data, data(group, i, term, size)) {
				t.Fatalf("group %d: entry %d is (%d, %d) %.40q", group, i, e.Index, e.Term, e.Data)
			}
			if got, err := l.Term(group, i); err != nil || got != term {
				t.Fatalf("Term(%d, %d) = %d, %v", group, i, got, err)
			}
			i++
		}
	}
}

func reopen(t testing.TB, l *Log) *Log {
	t.Helper()
	check(t, l.Close())
	return mustOpen(t, l.opt)
}

func TestAppendReadReopen(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	st := HardState{Term: 2, Vote: 7, Commit: 15}
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 10, 1, 100)})
	put(t, l, Update{Group: 2, Entries: entries(2, 1, 5, 1, 3000)})
	put(t, l, Update{Group: 1, Entries: entries(1, 11, 20, 2, 100), State: &st})
	for range 3 {
		wantEntries(t, l, 1, 1, 10, 1, 100)
		wantEntries(t, l, 1, 11, 20, 2, 100)
		wantEntries(t, l, 2, 1, 5, 1, 3000)
		info, err := l.Info(1)
		if want := (GroupInfo{State: st, Last: 20}); err != nil || info != want {
			t.Fatalf("Info = %+v, %v; want %+v", info, err, want)
		}
		if got := fmt.Sprint(l.Groups()); got != "[1 2]" {
			t.Fatalf("Groups = %s", got)
		}
		l = reopen(t, l)
	}
	var r Reader
	for want, err := range map[error]error{
		ErrUnavailable: func() error { _, err := l.Read(&r, 1, 21, 22, 1); return err }(),
		ErrNoGroup:     func() error { _, err := l.Read(&r, 3, 1, 2, 1); return err }(),
		ErrNoSnapshot:  func() error { _, err := l.Snapshot(1); return err }(),
		ErrGap:         l.Append(&Update{Group: 1, Entries: entries(1, 22, 22, 2, 1)}, nil),
		ErrTooLarge:    l.Append(&Update{Group: 1, Entries: entries(1, 21, 21, 2, 32<<10)}, nil),
		vfs.ErrLocked:  func() error { _, err := Open(l.opt); return err }(),
	} {
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	check(t, l.Close())
	if err := l.Append(&Update{Group: 1}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
}

func TestSuffixIsReplaced(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 100, 1, 500)}) // over two segments
	put(t, l, Update{Group: 1, Entries: entries(1, 20, 22, 2, 10)})
	for range 2 {
		wantEntries(t, l, 1, 1, 19, 1, 500)
		wantEntries(t, l, 1, 20, 22, 2, 10)
		if info, _ := l.Info(1); info.Last != 22 {
			t.Fatalf("last = %d", info.Last)
		}
		if _, err := l.Term(1, 23); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("Term of a replaced entry: %v", err)
		}
		l = reopen(t, l)
	}
}

func TestBaseDropsPrefix(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 50, 1, 100), State: &HardState{Term: 1, Commit: 50}})
	check(t, l.Append(&Update{Group: 1, Base: &Base{Index: 30, Term: 1}}, nil)) // goes along with the next
	put(t, l, Update{Group: 1, Entries: entries(1, 51, 51, 1, 100)})
	for range 2 {
		wantEntries(t, l, 1, 31, 51, 1, 100)
		if _, err := l.Term(1, 29); !errors.Is(err, ErrCompacted) {
			t.Fatalf("Term below the base: %v", err)
		}
		if term, err := l.Term(1, 30); err != nil || term != 1 {
			t.Fatalf("Term of the base = %d, %v", term, err)
		}
		l = reopen(t, l)
	}
	// Everything: the log goes on from the base.
	put(t, l, Update{Group: 1, Base: &Base{Index: 51, Term: 1}})
	l = reopen(t, l)
	put(t, l, Update{Group: 1, Entries: entries(1, 52, 53, 4, 10)})
	l = reopen(t, l)
	wantEntries(t, l, 1, 52, 53, 4, 10)
}

func TestSnapshotAndReset(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 5, 1, 10)})
	state := bytes.Repeat([]byte("state"), 4000) // several parts
	put(t, l, Update{
		Group: 1, Snapshot: &Snapshot{Index: 90, Data: state}, Base: &Base{Index: 80, Term: 3, Reset: true},
		State: &HardState{Term: 3, Vote: 2, Commit: 80},
	})
	for range 2 {
		s, err := l.Snapshot(1)
		if err != nil || s.Index != 90 || !bytes.Equal(s.Data, state) {
			t.Fatalf("Snapshot: index %d, %d bytes, %v", s.Index, len(s.Data), err)
		}
		if _, err := l.Term(1, 5); !errors.Is(err, ErrCompacted) {
			t.Fatalf("an entry from before the reset: %v", err)
		}
		info, err := l.Info(1)
		if want := (GroupInfo{State: HardState{3, 2, 80}, Base: Base{Index: 80, Term: 3}, Last: 80, Snapshot: 90}); err != nil || info != want {
			t.Fatalf("Info = %+v, %v", info, err)
		}
		l = reopen(t, l)
	}
	put(t, l, Update{Group: 1, Entries: entries(1, 81, 82, 3, 10), Snapshot: &Snapshot{Index: 91}})
	l = reopen(t, l)
	wantEntries(t, l, 1, 81, 82, 3, 10)
	if s, err := l.Snapshot(1); err != nil || s.Index != 91 || len(s.Data) != 0 {
		t.Fatalf("an empty snapshot: %+v, %v", s, err)
	}
}

func TestRemoveAndUseAgain(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 9, 1, 10), State: &HardState{Term: 1, Vote: 1, Commit: 9}, Snapshot: &Snapshot{Index: 9}})
	check(t, l.Remove(1, nil))
	check(t, l.Sync())
	l = reopen(t, l)
	if _, err := l.Info(1); !errors.Is(err, ErrNoGroup) {
		t.Fatalf("Info of a removed group: %v", err)
	}
	if err := l.Remove(1, nil); !errors.Is(err, ErrNoGroup) {
		t.Fatalf("second Remove: %v", err)
	}
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 2, 5, 10)})
	l = reopen(t, l)
	wantEntries(t, l, 1, 1, 2, 5, 10)
	if info, _ := l.Info(1); info.State != (HardState{}) || info.Last != 2 || info.Snapshot != 0 {
		t.Fatalf("something survived the removal: %+v", info)
	}
}

func TestDeadSegmentsAreUsedAgain(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 9, Entries: entries(9, 1, 1, 1, 10), State: &HardState{Term: 1, Vote: 3, Commit: 1}, Snapshot: &Snapshot{Index: 1, Data: []byte("s9")}})
	for i := uint64(1); i <= 2000; i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 500), State: &HardState{Term: 1, Vote: 1, Commit: i}})
		check(t, l.Append(&Update{Group: 1, Base: &Base{Index: i, Term: 1}}, nil))
	}
	s := l.Stats()
	if s.Recycled < 20 {
		t.Errorf("only %d segments were used again", s.Recycled)
	}
	if total := s.HotSegments + s.ColdSegments + s.FreeSegments; total > 8 {
		t.Errorf("1 MB of dead records holds %d segments: %+v", total, s)
	}
	// What the idle group has was carried along.
	l = reopen(t, l)
	wantEntries(t, l, 9, 1, 1, 1, 10)
	if info, _ := l.Info(9); info.State != (HardState{1, 3, 1}) {
		t.Errorf("the idle group's state: %+v", info)
	}
	if s, err := l.Snapshot(9); err != nil || string(s.Data) != "s9" {
		t.Errorf("the idle group's snapshot: %v", err)
	}
	if info, _ := l.Info(1); info.Last != 2000 || info.State.Commit != 2000 {
		t.Errorf("the busy group: %+v", info)
	}
}

// TestSlowGroupPinsNothing keeps one entry in 20 and drops the others.
func TestSlowGroupPinsNothing(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	slow := uint64(0)
	for i := uint64(1); i <= 3000; i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 500), State: &HardState{Term: 1, Commit: i}})
		check(t, l.Append(&Update{Group: 1, Base: &Base{Index: i, Term: 1}}, nil))
		if i%20 == 0 {
			slow++
			put(t, l, Update{Group: 2, Entries: entries(2, slow, slow, 1, 500), State: &HardState{Term: 1, Commit: slow}})
		}
	}
	s := l.Stats()
	if s.Copied == 0 {
		t.Error("nothing was copied to cold segments")
	}
	// 150 entries of 500 bytes fill three segments.
	if total := s.HotSegments + s.ColdSegments + s.FreeSegments; total > 12 {
		t.Errorf("the slow group pins the disk: %+v", s)
	}
	for range 2 {
		wantEntries(t, l, 2, 1, slow, 1, 500)
		l = reopen(t, l)
	}
	// It catches up, and the cold segments are given back.
	put(t, l, Update{Group: 2, Base: &Base{Index: slow, Term: 1}})
	check(t, l.Flush())
	if s := l.Stats(); s.ColdSegments != 0 {
		t.Errorf("cold segments are left: %+v", s)
	}
	l = reopen(t, l)
	if info, _ := l.Info(2); info.Last != slow || info.Base.Index != slow {
		t.Errorf("the slow group: %+v", info)
	}
}

// TestBacklogStaysInPlace: segments that are mostly needed are not copied.
func TestBacklogStaysInPlace(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	for i := uint64(1); i <= 1000; i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 500), State: &HardState{Term: 1, Commit: i}})
	}
	s := l.Stats()
	if s.ColdSegments < 5 || s.Copied > 0 {
		t.Errorf("want segments to become cold where they are: %+v", s)
	}
	for range 2 {
		wantEntries(t, l, 1, 1, 1000, 1, 500)
		l = reopen(t, l)
	}
}

// TestUncommittedEntriesAreCarried: a group without a quorum pins nothing either.
func TestUncommittedEntriesAreCarried(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 2, Entries: entries(2, 1, 10, 1, 100), State: &HardState{Term: 1, Commit: 4}})
	for i := uint64(1); i <= 1500; i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 500), State: &HardState{Term: 1, Commit: i}})
		check(t, l.Append(&Update{Group: 1, Base: &Base{Index: i, Term: 1}}, nil))
	}
	if s := l.Stats(); s.HotSegments > 4 {
		t.Errorf("the chain is long: %+v", s)
	}
	for range 2 {
		wantEntries(t, l, 2, 1, 10, 1, 100)
		l = reopen(t, l)
	}
	put(t, l, Update{Group: 2, Entries: entries(2, 5, 6, 2, 100)}) // the conflict comes at last
	l = reopen(t, l)
	wantEntries(t, l, 2, 1, 4, 1, 100)
	wantEntries(t, l, 2, 5, 6, 2, 100)
	if info, _ := l.Info(2); info.Last != 6 {
		t.Errorf("replaced entries came back: last is %d", info.Last)
	}
}

// fixHeader makes the checksum of an altered header right.
func fixHeader(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b[:headerLen-4], crc32.Checksum(b[:headerLen-4], castagnoli))
}

// TestIndexIsSmall: ten million messages of backlog, one to an entry, cost less
// than 100 MB.
func TestIndexIsSmall(t *testing.T) {
	const n = 400_000
	opt := Options{FS: vfs.OS{}, Dir: t.TempDir(), SegmentSize: 4 << 20, SpareSegments: 1, Reserve: 1, Manual: true}
	l := mustOpen(t, opt)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := uint64(0); i < n; i++ {
		check(t, l.Append(&Update{Group: i % 10, Entries: []Entry{{Index: i/10 + 1, Term: 1, Data: []byte("x")}}}, nil))
		if i%5000 == 4999 {
			check(t, l.Flush())
		}
	}
	const limit = 10 // bytes per entry
	if grown := heap() - before; grown > limit*n+4<<20 {
		t.Errorf("the index of %d entries takes %d bytes", n, grown)
	}
	check(t, l.Close())
}

// TestInterruptedStampIsTakenBack: a segment was stamped, and the power went
// before the chain was shortened. It is still part of the chain, and what is in
// it may lose its meaning; it must not come back as a cold one after that.
func TestInterruptedStampIsTakenBack(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 60, 1, 500), State: &HardState{Term: 1, Commit: 60}})
	check(t, l.mu.hot[0].stamp())
	l = reopen(t, l)
	old := l.mu.hot[0]
	old.refs.Add(1) // a reader: the segment is not used again
	defer old.refs.Add(-1)
	next := uint64(1)
	filler := func() { // the chain moves on by some segments
		for range 400 {
			put(t, l, Update{Group: 2, Entries: entries(2, next, next, 1, 500), State: &HardState{Term: 1, Commit: next}})
			check(t, l.Append(&Update{Group: 2, Base: &Base{Index: next, Term: 1}}, nil))
			next++
		}
	}
	check(t, l.Remove(1, nil))
	filler()
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 2, 5, 500), State: &HardState{Term: 5, Commit: 2}})
	filler()
	l = reopen(t, l)
	if info, err := l.Info(1); err != nil || info.Last != 2 {
		t.Fatalf("group 1 is %+v, %v", info, err)
	}
	wantEntries(t, l, 1, 1, 2, 5, 500)
}

// TestReadOfUnequalEntries: lengths that the index does not know.
func TestReadOfUnequalEntries(t *testing.T) {
	l := mustOpen(t, small(vfs.NewMemory()))
	rng := rand.New(rand.NewPCG(1, 1))
	var sizes []int
	for i := uint64(1); i <= 200; i++ {
		n := rng.IntN(20)
		if rng.IntN(5) == 0 {
			n = rng.IntN(8000)
		}
		sizes = append(sizes, n)
		put(t, l, Update{Group: 1, Entries: []Entry{{Index: i, Term: 1, Data: data(1, i, 1, n)}}})
		put(t, l, Update{Group: 2, Entries: entries(2, i, i, 1, rng.IntN(50))})
	}
	var r Reader
	for _, most := range []int{1, 100, 3000, 1 << 20} {
		for next := uint64(1); next <= 200; {
			es, err := l.Read(&r, 1, next, 201, most)
			check(t, err)
			total := 0
			for _, e := range es {
				if e.Index != next || !bytes.Equal(e.Data, data(1, next, 1, sizes[next-1])) {
					t.Fatalf("entry %d is %d, %.30q", next, e.Index, e.Data)
				}
				total += len(e.Data)
				next++
			}
			if len(es) > 1 && total > most {
				t.Fatalf("%d bytes were read with a limit of %d", total, most)
			}
		}
	}
}

// TestReadingAllocatesNothing: once a reader's buffers have grown.
func TestReadingAllocatesNothing(t *testing.T) {
	for _, size := range []int{100, 5000} {
		l := mustOpen(t, small(vfs.NewMemory()))
		put(t, l, Update{Group: 1, Entries: entries(1, 1, 20, 1, size)})
		var r Reader
		n := testing.AllocsPerRun(100, func() {
			for next := uint64(1); next <= 20; {
				es, err := l.Read(&r, 1, next, 21, 16<<10)
				check(t, err)
				next += uint64(len(es))
			}
		})
		if n > 0 {
			t.Errorf("reading 20 entries of %d bytes allocates %v times", size, n)
		}
	}
}
