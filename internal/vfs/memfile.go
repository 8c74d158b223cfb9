package vfs

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

var errReadOnly = errors.New("vfs: file is open for reading only")

// ReadAt implements io.ReaderAt, with the bits that Flip turned over.
func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.d.rules.alive(); err != nil {
		return 0, err
	}
	f.node.mu.RLock()
	defer f.node.mu.RUnlock()
	if off >= int64(len(f.node.mu.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.mu.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if f.readOnly {
		return 0, fmt.Errorf("write %s: %w", f.name, errReadOnly)
	}
	if len(b) == 0 {
		return 0, nil
	}
	if err := f.d.rules.step(opWrite); err != nil {
		f.tear(b, off, err)
		return 0, fmt.Errorf("write %s: %w", f.name, err)
	}
	n := &f.node.mu
	n.Lock()
	defer n.Unlock()
	end := off + int64(len(b))
	if grow := end - int64(len(n.data)); grow > 0 {
		if err := f.d.rules.take(grow); err != nil {
			return 0, fmt.Errorf("write %s: %w", f.name, err)
		}
		f.node.resize(end)
	}
	copy(n.data[off:], b)
	f.d.rules.remember(f.node, extent{off: off, data: b, size: int64(len(n.data))})
	return len(b), nil
}

// tear leaves a write that the power cut interrupted among the pending ones,
// so that Crash may keep any part of it.
func (f *memFile) tear(b []byte, off int64, err error) {
	if !errors.Is(err, errCut) {
		return
	}
	n := &f.node.mu
	n.Lock()
	defer n.Unlock()
	size := max(int64(len(n.data)), off+int64(len(b)))
	f.d.rules.remember(f.node, extent{off: off, data: b, size: size})
}

// Sync implements File.
func (f *memFile) Sync() error {
	err := f.d.rules.step(opSync)
	n := &f.node.mu
	n.Lock()
	defer n.Unlock()
	switch {
	case errors.Is(err, ErrSyncFailed):
		// As in real kernels: the pages are marked clean, and no later Sync
		// will write them.
		n.pending = nil
		return fmt.Errorf("sync %s: %w", f.name, err)
	case err != nil:
		return fmt.Errorf("sync %s: %w", f.name, err)
	}
	if f.d.rules != nil && !f.d.rules.lieSync {
		for _, e := range n.pending {
			n.synced = e.apply(n.synced)
		}
		n.pending = nil
	}
	return nil
}

// Size implements File.
func (f *memFile) Size() (int64, error) {
	if err := f.d.rules.alive(); err != nil {
		return 0, err
	}
	return f.node.size(), nil
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	if f.readOnly {
		return fmt.Errorf("truncate %s: %w", f.name, errReadOnly)
	}
	if err := f.d.rules.step(opWrite); err != nil {
		return fmt.Errorf("truncate %s: %w", f.name, err)
	}
	n := &f.node.mu
	n.Lock()
	defer n.Unlock()
	if err := f.d.rules.take(size - int64(len(n.data))); err != nil {
		return fmt.Errorf("truncate %s: %w", f.name, err)
	}
	f.node.resize(size)
	f.d.rules.remember(f.node, extent{size: size})
	return nil
}

// Allocate implements File.
func (f *memFile) Allocate(size int64) error {
	if have, err := f.Size(); err != nil || have >= size {
		return err
	}
	return f.Truncate(size)
}

// Close implements File.
func (f *memFile) Close() error { return nil }

// resize sets the length; n.mu is held.
func (n *inode) resize(size int64) { n.mu.data = resize(n.mu.data, size) }

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		clear(b[size:])
		return b[:size]
	}
	return slices.Grow(b, int(size)-len(b))[:size]
}

// apply does the write to b and gives the result.
func (e extent) apply(b []byte) []byte {
	if e.data == nil {
		return resize(b, e.size)
	}
	if end := e.off + int64(len(e.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[e.off:], e.data)
	return b
}
