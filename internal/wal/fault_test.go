package wal

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// TestSyncFailureIsForGood: no retry, no acknowledgement, reads go on.
func TestSyncFailureIsForGood(t *testing.T) {
	for _, manual := range []bool{true, false} {
		fs := vfs.NewFaulty(1)
		opt := small(fs)
		opt.Manual = manual
		l := mustOpen(t, opt)
		put(t, l, Update{Group: 1, Entries: entries(1, 1, 3, 1, 100)})
		fs.FailSync(1)
		w := make(chanWaiter, 1)
		check(t, l.Append(&Update{Group: 1, Entries: entries(1, 4, 6, 1, 100)}, w))
		if manual {
			_ = l.Flush()
		}
		for name, err := range map[string]error{
			"waiter": <-w,
			"Append": l.Append(&Update{Group: 1, Entries: entries(1, 7, 7, 1, 100)}, nil),
			"Sync":   l.Sync(),
			"Err":    l.Err(),
		} {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, vfs.ErrSyncFailed) {
				t.Errorf("manual %t: %s after a failed sync: %v", manual, name, err)
			}
		}
		select {
		case <-l.Failed():
		default:
			t.Error("Failed is not closed")
		}
		wantEntries(t, l, 1, 1, 3, 1, 100)
		if _, err := l.Term(1, 4); !errors.Is(err, ErrUnavailable) {
			t.Errorf("an entry whose sync failed is there: %v", err)
		}
		if err := l.Close(); !errors.Is(err, ErrFailed) {
			t.Errorf("Close = %v", err)
		}
		opt.FS = fs.Crash()
		l = mustOpen(t, opt)
		wantEntries(t, l, 1, 1, 3, 1, 100)
		check(t, l.Close())
	}
}

// filled makes a log of several segments and closes it, or crashes it.
func filled(t *testing.T, clean bool) (*vfs.Faulty, Options) {
	t.Helper()
	fs := vfs.NewFaulty(1)
	opt := small(fs)
	opt.HotSegments = 10
	l := mustOpen(t, opt)
	for i := uint64(1); i <= 100; i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 1000), State: &HardState{Term: 1, Commit: i}})
	}
	if clean {
		check(t, l.Close())
		return fs, opt
	}
	fs = fs.Crash()
	opt.FS = fs
	return fs, opt
}

// find gives the place of the record of entry i of group 1.
func find(t *testing.T, opt Options, i uint64) (name string, off int64) {
	t.Helper()
	r := &recovery{fs: opt.FS, dir: opt.Dir, groups: make(map[uint64]*group), problem: func(err error) error { return err }}
	check(t, r.run())
	defer r.closeAll()
	d := &r.groups[1].mu.onDisk
	run := d.runs[d.find(i)]
	return run.seg.name, run.offset(i)
}

// TestFlippedBitIsNamed flips a bit in every part of a record, in an old
// segment and in the newest, of a log that was closed and of one that was not.
func TestFlippedBitIsNamed(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for _, entry := range []uint64{5, 95} {
			for _, at := range []int64{0, 4, 8, 12, 14, 15, 16, 24, 32, 40, 1000} {
				fs, opt := filled(t, clean)
				name, off := find(t, opt, entry)
				check(t, fs.Flip(path.Join(opt.Dir, name), off+at, 3))
				_, err := Open(opt)
				var c *CorruptError
				if !errors.As(err, &c) || c.File != name || c.Offset != off {
					t.Errorf("closed %t, entry %d, byte %d at %s %d: Open = %v", clean, entry, at, name, off, err)
				}
				rep, err := Check(fs, opt.Dir)
				if err != nil || len(rep.Problems) == 0 || !errors.As(rep.Problems[0], &c) || c.File != name || c.Offset != off {
					t.Errorf("closed %t, entry %d, byte %d: Check = %+v, %v", clean, entry, at, rep, err)
				}
			}
		}
	}
}

func TestFlippedHeaderIsNoticed(t *testing.T) {
	for _, clean := range []bool{true, false} {
		_, opt := filled(t, clean)
		var names []string
		r := &recovery{fs: opt.FS, dir: opt.Dir, groups: make(map[uint64]*group), problem: func(err error) error { return err }}
		check(t, r.run())
		for _, s := range r.hot {
			names = append(names, s.name)
		}
		check(t, r.closeAll())
		for _, name := range names {
			fs, opt := filled(t, clean)
			for slot := range int64(2) {
				check(t, fs.Flip(path.Join(opt.Dir, name), slot*slotSize+20, 0))
			}
			if _, err := Open(opt); !errors.Is(err, ErrCorrupt) {
				t.Errorf("closed %t: Open with a damaged header of %s: %v", clean, name, err)
			}
		}
	}
}

// TestBitFlippedWhileOpen: what is read is verified each time.
func TestBitFlippedWhileOpen(t *testing.T) {
	fs := vfs.NewFaulty(1)
	l := mustOpen(t, small(fs))
	put(t, l, Update{Group: 1, Entries: entries(1, 1, 3, 1, 100), Snapshot: &Snapshot{Index: 3, Data: []byte("abc")}})
	name := path.Join(l.opt.Dir, l.mu.active.name)
	run := l.lookup(1).mu.runs[0]
	check(t, fs.Flip(name, run.offset(2)+recordHeader+5, 1))
	part := l.lookup(1).mu.snap.parts[0]
	check(t, fs.Flip(name, part.off+recordHeader, 1))
	var r Reader
	if _, err := l.Read(&r, 1, 2, 3, 1); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), run.seg.name) {
		t.Errorf("Read of a damaged entry: %v", err)
	}
	if es, err := l.Read(&r, 1, 1, 2, 1); err != nil || len(es) != 1 {
		t.Errorf("Read of the entry before: %v", err)
	}
	if _, err := l.Snapshot(1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Snapshot: %v", err)
	}
}

func TestMissingSegmentIsNoticed(t *testing.T) {
	fs, opt := filled(t, true)
	name, _ := find(t, opt, 40)
	check(t, fs.Remove(path.Join(opt.Dir, name)))
	if _, err := Open(opt); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open without %s: %v", name, err)
	}
}

func TestCheckOfASoundLog(t *testing.T) {
	fs, opt := filled(t, true)
	before := fs.Ops()
	rep, err := Check(fs, opt.Dir)
	if err != nil || len(rep.Problems) > 0 || rep.TornTail || rep.Records < 200 {
		t.Errorf("Check = %+v, %v", rep, err)
	}
	want := GroupReport{ID: 1, First: 1, Last: 100, State: HardState{Term: 1, Commit: 100}}
	if len(rep.Groups) != 1 || rep.Groups[0] != want {
		t.Errorf("groups: %+v", rep.Groups)
	}
	if fs.Ops() != before {
		t.Error("Check changed the disk")
	}
	l := mustOpen(t, opt)
	if _, err := Check(fs, opt.Dir); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("Check of an open log: %v", err)
	}
	check(t, l.Close())
	fs, opt = filled(t, false)
	if rep, err := Check(fs, opt.Dir); err != nil || len(rep.Problems) > 0 || !rep.TornTail {
		t.Errorf("Check after a crash = %+v, %v", rep, err)
	}
}

func TestUnknownFormatIsRefused(t *testing.T) {
	fs, opt := filled(t, true)
	name, _ := find(t, opt, 1)
	f, err := fs.OpenWrite(path.Join(opt.Dir, name))
	check(t, err)
	h := header{epoch: 100, size: opt.SegmentSize}
	b := h.append(nil)
	b[8] = formatVersion + 1
	b = fixHeader(b)
	_, err = f.WriteAt(b, 0)
	check(t, err)
	if _, err := Open(opt); !errors.Is(err, ErrFormat) {
		t.Errorf("Open of a newer format: %v", err)
	}
}

// TestFullDisk fills the disk up: the log says so before it is full, still takes
// what makes room, and goes on by itself.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewFaulty(1)
	opt := small(fs)
	opt.Reserve = 2 * opt.SegmentSize
	fs.SetCapacity(10 * opt.SegmentSize)
	l := mustOpen(t, opt)
	told := 0
	l.OnRoom(func() { told++ })
	i := uint64(0)
	for !l.Full() {
		i++
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 1000), State: &HardState{Term: 1, Commit: i}})
		if i > 1000 {
			t.Fatal("never full")
		}
	}
	if s, _ := fs.Space("/"); s.Free > opt.Reserve {
		t.Errorf("full with %d bytes free", s.Free)
	}
	wantEntries(t, l, 1, 1, i, 1, 1000)
	// More than the reserve: bulk is refused in the end, by an error here
	// because a manual log cannot wait.
	var err error
	for err == nil && i < 1000 {
		u := Update{Group: 1, Entries: entries(1, i+1, i+1, 1, 1000), State: &HardState{Term: 1, Commit: i + 1}}
		if err = l.Append(&u, nil); err == nil {
			i++
			check(t, l.Flush())
		}
	}
	if !errors.Is(err, errNoRoom) {
		t.Fatalf("appending to a full disk: %v", err)
	}
	wantEntries(t, l, 1, 1, i, 1, 1000)
	// The machine drops what it has: that fits, and makes room.
	put(t, l, Update{Group: 1, Base: &Base{Index: i, Term: 1}})
	check(t, l.Flush())
	if l.Full() || told != 1 {
		t.Errorf("after dropping everything: full %t, told %d times", l.Full(), told)
	}
	for range 200 {
		i++
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 1000), State: &HardState{Term: 1, Commit: i}})
		check(t, l.Append(&Update{Group: 1, Base: &Base{Index: i, Term: 1}}, nil))
	}
	l = reopen(t, l)
	if info, _ := l.Info(1); info.Last != i {
		t.Errorf("last is %d, want %d", info.Last, i)
	}
}

func TestQuota(t *testing.T) {
	opt := small(vfs.NewMemory())
	opt.MaxBytes = 6 * opt.SegmentSize
	l := mustOpen(t, opt)
	for i := uint64(1); !l.Full(); i++ {
		put(t, l, Update{Group: 1, Entries: entries(1, i, i, 1, 1000), State: &HardState{Term: 1, Commit: i}})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if used := l.usedBytes(); used > opt.MaxBytes {
		t.Errorf("the segments take %d bytes of %d", used, opt.MaxBytes)
	}
}

// TestInterruptedReuseKeepsTheEpoch: while a segment is given a new use, the
// power goes. Either use may be found, but one of them is: if the epoch were
// forgotten, it could be given to the same segment again, and its old records
// would count.
func TestInterruptedReuseKeepsTheEpoch(t *testing.T) {
	found := make(map[uint64]int)
	for seed := range uint64(200) {
		fs := vfs.NewFaulty(seed)
		check(t, fs.MkdirAll("wal"))
		check(t, fs.SyncDir("/"))
		s, err := createSegment(fs, "wal", 1, 16<<10, false)
		check(t, err)
		for epoch := uint64(1); epoch < 4; epoch++ {
			check(t, s.begin(header{epoch: epoch}))
		}
		fs.CutPower(1 + int(seed%2)) // in the write, or in the sync
		if err := s.begin(header{epoch: 4}); !errors.Is(err, vfs.ErrPowerOff) {
			t.Fatal(err)
		}
		disk := fs.Crash()
		f, err := disk.Open("wal/" + s.name)
		check(t, err)
		again := &segment{file: f, name: s.name}
		if ok, err := again.readHeader(); err != nil || !ok {
			t.Fatalf("seed %d: no header is found: %v", seed, err)
		}
		found[again.epoch]++
	}
	if len(found) != 2 || found[3] == 0 || found[4] == 0 {
		t.Errorf("epochs found, and how often: %v", found)
	}
}
