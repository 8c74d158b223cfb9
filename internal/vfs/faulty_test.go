package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// fill writes n bytes of value v without a sync.
func fill(t *testing.T, f File, off int64, n int, v byte) {
	t.Helper()
	must[int](t)(f.WriteAt(bytes.Repeat([]byte{v}, n), off))
}

func TestSyncedBytesSurviveAndOthersMayNot(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(100) {
		fs := NewFaulty(seed)
		f := must[File](t)(fs.Create("a"))
		fill(t, f, 0, 2*sector, 1)
		check(t, f.Sync())
		check(t, fs.SyncDir("/"))
		fill(t, f, 2*sector, 4*sector, 2)
		got := read(t, fs.Crash(), "a")
		if !bytes.Equal(got[:2*sector], bytes.Repeat([]byte{1}, 2*sector)) {
			t.Fatalf("seed %d: synced bytes are gone", seed)
		}
		rest := got[2*sector:]
		lost, kept := bytes.IndexByte(rest, 0) >= 0 || len(rest) < 4*sector, bytes.IndexByte(rest, 2) >= 0
		torn := false
		for ; len(rest) > 0; rest = rest[min(sector, len(rest)):] {
			s := rest[:min(sector, len(rest))]
			torn = torn || bytes.IndexByte(s, 2) >= 0 && (len(s) < sector || bytes.IndexByte(s, 0) >= 0)
		}
		seen[fmt.Sprintf("lost %t kept %t", lost, kept)] = true
		seen[fmt.Sprintf("torn %t", torn)] = true
	}
	for _, want := range []string{"lost true kept true", "lost true kept false", "torn true", "torn false"} {
		if !seen[want] {
			t.Errorf("100 seeds never gave: %s", want)
		}
	}
}

func TestNamesNeedTheirDirectorySynced(t *testing.T) {
	there := map[bool]int{}
	for seed := range uint64(50) {
		fs := NewFaulty(seed)
		check(t, fs.MkdirAll("d"))
		check(t, fs.SyncDir("/"))
		write(t, fs, "d/kept", []byte("k"))
		check(t, fs.SyncDir("d"))
		write(t, fs, "d/maybe", []byte("m")) // content synced, name not
		found := fs.Crash()
		if got := read(t, found, "d/kept"); string(got) != "k" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		_, err := found.Open("d/maybe")
		there[err == nil]++
	}
	if there[true] == 0 || there[false] == 0 {
		t.Errorf("an unsynced name was there %d times and missing %d times", there[true], there[false])
	}
}

func TestRenameIsAllOrNothing(t *testing.T) {
	for seed := range uint64(50) {
		fs := NewFaulty(seed)
		write(t, fs, "old", []byte("x"))
		check(t, fs.SyncDir("/"))
		check(t, fs.Rename("old", "new"))
		found := fs.Crash()
		_, oldErr := found.Open("old")
		_, newErr := found.Open("new")
		if (oldErr == nil) == (newErr == nil) {
			t.Fatalf("seed %d: old %v, new %v", seed, oldErr, newErr)
		}
	}
}

func TestPowerCut(t *testing.T) {
	fs := NewFaulty(7)
	f := must[File](t)(fs.Create("a"))
	check(t, fs.SyncDir("/"))
	before := fs.Ops()
	fs.CutPower(2)
	fill(t, f, 0, 10, 1)
	if _, err := f.WriteAt([]byte("x"), 10); !errors.Is(err, ErrPowerOff) {
		t.Fatalf("second write: %v", err)
	}
	if got := fs.Ops() - before; got != 2 {
		t.Errorf("Ops counted %d", got)
	}
	for name, err := range map[string]error{
		"Sync":    f.Sync(),
		"SyncDir": fs.SyncDir("/"),
		"ReadAt":  func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err }(),
		"List":    func() error { _, err := fs.List("/"); return err }(),
		"Lock":    func() error { _, err := fs.Lock("LOCK"); return err }(),
	} {
		if !errors.Is(err, ErrPowerOff) {
			t.Errorf("%s without power: %v", name, err)
		}
	}
	must[File](t)(fs.Crash().Open("a"))
}

func TestFailedSyncNeverWrites(t *testing.T) {
	fs := NewFaulty(3)
	f := must[File](t)(fs.Create("a"))
	check(t, fs.SyncDir("/"))
	fs.FailSync(2)
	fill(t, f, 0, sector, 1)
	check(t, f.Sync())
	fill(t, f, sector, sector, 2)
	if err := f.Sync(); !errors.Is(err, ErrSyncFailed) {
		t.Fatalf("Sync = %v", err)
	}
	check(t, f.Sync()) // succeeds, and proves nothing
	got := read(t, fs.Crash(), "a")
	if bytes.IndexByte(got, 2) >= 0 {
		t.Error("bytes of the failed sync are on the disk")
	}
	if len(got) < sector || bytes.IndexByte(got[:sector], 0) >= 0 {
		t.Error("bytes of the sync before are gone")
	}
}

func TestFullDisk(t *testing.T) {
	fs := NewFaulty(1)
	fs.SetCapacity(1000)
	f := must[File](t)(fs.Create("a"))
	fill(t, f, 0, 900, 1)
	if _, err := f.WriteAt(make([]byte, 200), 900); !errors.Is(err, ErrNoSpace) {
		t.Errorf("WriteAt = %v", err)
	}
	if err := f.Allocate(2000); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Allocate = %v", err)
	}
	if n := must[int64](t)(f.Size()); n != 900 {
		t.Errorf("a refused Allocate left %d bytes", n)
	}
	fill(t, f, 0, 900, 2) // overwriting needs no room
	if s := must[Space](t)(fs.Space("/")); s.Free != 100 {
		t.Errorf("Space = %+v", s)
	}
	check(t, fs.Remove("a"))
	write(t, fs, "b", make([]byte, 1000))
}

func TestFlip(t *testing.T) {
	fs := NewFaulty(1)
	write(t, fs, "a", []byte{0, 0, 0})
	check(t, fs.SyncDir("/"))
	check(t, fs.Flip("a", 1, 3))
	for _, disk := range []FS{fs, fs.Crash()} {
		if got := read(t, disk, "a"); !bytes.Equal(got, []byte{0, 8, 0}) {
			t.Errorf("after Flip: %v", got)
		}
	}
	if err := fs.Flip("a", 3, 0); !errors.Is(err, io.EOF) {
		t.Errorf("Flip past the end: %v", err)
	}
}

func TestLies(t *testing.T) {
	lostBytes, lostName := false, false
	for seed := range uint64(20) {
		fs := NewFaulty(seed)
		fs.LieAboutSync()
		write(t, fs, "a", bytes.Repeat([]byte{1}, 5*sector))
		check(t, fs.SyncDir("/"))
		lostBytes = lostBytes || len(read(t, fs.Crash(), "a")) < 5*sector

		fs = NewFaulty(seed)
		fs.LieAboutSyncDir()
		write(t, fs, "a", nil)
		check(t, fs.SyncDir("/"))
		_, err := fs.Crash().Open("a")
		lostName = lostName || err != nil
	}
	if !lostBytes || !lostName {
		t.Errorf("lies had no consequence: bytes lost %t, name lost %t", lostBytes, lostName)
	}
}

// TestSameSeedSameFaults is what makes a failing seed worth reporting.
func TestSameSeedSameFaults(t *testing.T) {
	run := func() []byte {
		fs := NewFaulty(42)
		var all []byte
		for i := range 5 {
			name := fmt.Sprintf("f%d", i)
			f := must[File](t)(fs.Create(name))
			fill(t, f, 0, 3000, byte(i+1))
			if i%2 == 0 {
				check(t, fs.SyncDir("/"))
			}
			for range 3 {
				found := fs.Crash()
				for _, n := range must[[]string](t)(found.List("/")) {
					all = append(append(all, n...), read(t, found, n)...)
				}
			}
		}
		return all
	}
	if !bytes.Equal(run(), run()) {
		t.Error("the same seed gave different disks")
	}
}
