package vfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// each runs a conformance test on every implementation; root exists in fs.
func each(t *testing.T, test func(t *testing.T, fs FS, root string)) {
	t.Run("os", func(t *testing.T) { test(t, OS{}, filepath.ToSlash(t.TempDir())) })
	t.Run("memory", func(t *testing.T) { test(t, NewMemory(), "/") })
	t.Run("faulty", func(t *testing.T) { test(t, NewFaulty(1), "/") })
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func read(t *testing.T, fs FS, name string) []byte {
	t.Helper()
	f := must[File](t)(fs.Open(name))
	defer f.Close()
	b := make([]byte, must[int64](t)(f.Size()))
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, fs FS, name string, b []byte) {
	t.Helper()
	f := must[File](t)(fs.Create(name))
	must[int](t)(f.WriteAt(b, 0))
	check(t, f.Sync())
	check(t, f.Close())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadBackWhatWasWritten(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		f := must[File](t)(fs.Create(path.Join(root, "a")))
		must[int](t)(f.WriteAt([]byte("world"), 6))
		must[int](t)(f.WriteAt([]byte("hello"), 0))
		check(t, f.Sync())
		b := make([]byte, 11)
		if n, err := f.ReadAt(b, 0); n != 11 || (err != nil && err != io.EOF) {
			t.Fatalf("ReadAt = %d, %v", n, err)
		}
		if want := "hello\x00world"; string(b) != want {
			t.Errorf("read %q, want %q", b, want)
		}
		if n, err := f.ReadAt(b, 8); n != 3 || err != io.EOF {
			t.Errorf("ReadAt over the end = %d, %v; want 3, EOF", n, err)
		}
		if n, err := f.ReadAt(b, 11); n != 0 || err != io.EOF {
			t.Errorf("ReadAt at the end = %d, %v; want 0, EOF", n, err)
		}
		check(t, f.Close())
		if got := read(t, fs, path.Join(root, "a")); string(got) != "hello\x00world" {
			t.Errorf("read again: %q", got)
		}
	})
}

func TestTruncateAndAllocate(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		f := must[File](t)(fs.Create(path.Join(root, "a")))
		defer f.Close()
		must[int](t)(f.WriteAt(bytes.Repeat([]byte{1}, 100), 0))
		check(t, f.Truncate(10))
		check(t, f.Truncate(20))
		check(t, f.Allocate(1000))
		check(t, f.Allocate(5)) // never shrinks
		want := append(bytes.Repeat([]byte{1}, 10), make([]byte, 990)...)
		if got := read(t, fs, path.Join(root, "a")); !bytes.Equal(got, want) {
			t.Errorf("content after Truncate and Allocate is wrong: %d bytes", len(got))
		}
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		dir := path.Join(root, "x/y")
		check(t, fs.MkdirAll(dir))
		check(t, fs.MkdirAll(dir)) // again is fine
		for _, n := range []string{"b", "a", "c"} {
			write(t, fs, path.Join(dir, n), []byte(n))
		}
		if _, err := fs.Create(path.Join(dir, "a")); !errors.Is(err, ErrExist) {
			t.Errorf("Create of an existing file: %v", err)
		}
		check(t, fs.Rename(path.Join(dir, "a"), path.Join(dir, "c")))
		check(t, fs.SyncDir(dir))
		if got := must[[]string](t)(fs.List(dir)); !slices.Equal(got, []string{"b", "c"}) {
			t.Errorf("List = %q", got)
		}
		if got := read(t, fs, path.Join(dir, "c")); string(got) != "a" {
			t.Errorf("renamed file has %q", got)
		}
		check(t, fs.Remove(path.Join(dir, "b")))
		for name, err := range map[string]error{
			"Remove": fs.Remove(path.Join(dir, "b")),
			"Rename": fs.Rename(path.Join(dir, "b"), path.Join(dir, "z")),
			"Open":   func() error { _, err := fs.Open(path.Join(dir, "b")); return err }(),
			"Write":  func() error { _, err := fs.OpenWrite(path.Join(dir, "b")); return err }(),
			"Create": func() error { _, err := fs.Create(path.Join(dir, "no/b")); return err }(),
			"List":   func() error { _, err := fs.List(path.Join(dir, "no")); return err }(),
		} {
			if !errors.Is(err, ErrNotExist) {
				t.Errorf("%s of what is not there: %v", name, err)
			}
		}
	})
}

func TestRemovedFileStaysReadable(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		if runtime.GOOS == "windows" {
			t.Skip("Windows does not remove open files")
		}
		write(t, fs, path.Join(root, "a"), []byte("abc"))
		f := must[File](t)(fs.Open(path.Join(root, "a")))
		defer f.Close()
		check(t, fs.Remove(path.Join(root, "a")))
		b := make([]byte, 3)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "abc" {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

func TestReadOnly(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		write(t, fs, path.Join(root, "a"), []byte("abc"))
		f := must[File](t)(fs.Open(path.Join(root, "a")))
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			t.Error("WriteAt on a file opened for reading succeeded")
		}
	})
}

func TestLockIsExclusive(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		name := path.Join(root, "LOCK")
		l := must[io.Closer](t)(fs.Lock(name))
		if _, err := fs.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("second Lock: %v", err)
		}
		check(t, l.Close())
		l = must[io.Closer](t)(fs.Lock(name))
		check(t, l.Close())
	})
}

func TestSpace(t *testing.T) {
	each(t, func(t *testing.T, fs FS, root string) {
		if s := must[Space](t)(fs.Space(root)); s.Free <= 0 || s.Total < s.Free {
			t.Errorf("Space = %+v", s)
		}
	})
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	root := t.TempDir()
	check(t, OS{}.MkdirAll(filepath.Join(root, "d")))
	write(t, OS{}, filepath.Join(root, "d", "f"), nil)
	l := must[io.Closer](t)(OS{}.Lock(filepath.Join(root, "d", "LOCK")))
	defer l.Close()
	for name, want := range map[string]os.FileMode{"d": 0o700, "d/f": 0o600, "d/LOCK": 0o600} {
		st := must[os.FileInfo](t)(os.Stat(filepath.Join(root, name)))
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}
