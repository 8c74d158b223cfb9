package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// OS is the operating system's file system. Its zero value is ready to use.
type OS struct{}

var _ FS = OS{}

type osFile struct {
	f *os.File
}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return openFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR)
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return openFile(name, os.O_RDONLY) }

// OpenWrite implements FS.
func (OS) OpenWrite(name string) (File, error) { return openFile(name, os.O_RDWR) }

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, wrapSpace(err)
	}
	return &osFile{f: f}, nil
}

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Rename implements FS.
func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error { return wrapSpace(os.MkdirAll(dir, 0o700)) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some file systems refuse fsync of a directory; they have nothing to sync.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s: %w", ErrLocked, name, err)
	}
	return f, nil
}

// Space implements FS.
func (OS) Space(dir string) (Space, error) { return diskSpace(dir) }

func (o *osFile) ReadAt(b []byte, off int64) (int, error) { return o.f.ReadAt(b, off) }

func (o *osFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(b, off)
	return n, wrapSpace(err)
}

func (o *osFile) Close() error { return o.f.Close() }

func (o *osFile) Sync() error { return wrapSpace(syncData(o.f)) }

func (o *osFile) Size() (int64, error) {
	st, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (o *osFile) Truncate(size int64) error { return wrapSpace(o.f.Truncate(size)) }

func (o *osFile) Allocate(size int64) error {
	have, err := o.Size()
	if err != nil || have >= size {
		return err
	}
	err = reserve(o.f, size)
	if errors.Is(err, errors.ErrUnsupported) {
		err = fillZeros(o.f, have, size)
	}
	if err != nil {
		// A partial reservation must not outlive the refusal.
		return errors.Join(wrapSpace(err), o.f.Truncate(have))
	}
	return nil
}

// fillZeros reserves blocks by writing them, where the system has no call for it.
func fillZeros(f *os.File, from, to int64) error {
	zeros := make([]byte, 256<<10)
	for from < to {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// wrapSpace makes the system's ways to say "full" comparable to ErrNoSpace.
func wrapSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
