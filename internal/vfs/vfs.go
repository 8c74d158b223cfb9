// Package vfs is the port to the disk, and its three implementations.
//
// Everything durable in Millrace reaches the disk through FS and File, so that
// a test can put a disk underneath that misbehaves as real ones do:
//
//   - OS is the real one. Sync is fdatasync where that exists, files are 0600
//     and directories 0700.
//   - Memory keeps files in memory and never fails.
//   - Faulty is a memory disk that can lose power. What was not synced is then
//     lost, whole or by sector, or torn in the middle of a sector; a name is
//     lost unless its directory was synced. It also fails fsyncs, fills up,
//     flips bits, and, to prove that a test would notice, lies about having
//     synced. All of it follows from one seed.
//
// One conformance suite (vfs_test.go) runs on all three.
//
// What a caller may rely on after a power loss, and nothing more:
//
//   - bytes that a successful Sync of their file covered are there;
//   - a file created, renamed or removed before a successful SyncDir of its
//     directory is there, is renamed, or is gone;
//   - a rename is all or nothing;
//   - everything else may have happened or not, in any order, in part.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

var (
	// ErrLocked means that another process, or another holder in this one, has
	// the lock file.
	ErrLocked = errors.New("vfs: locked by another process")
	// ErrNoSpace means that the disk, or the quota, is full. An
	// implementation wraps it, so compare with errors.Is.
	ErrNoSpace = errors.New("vfs: no space left on device")
	// ErrNotExist and ErrExist are those of io/fs, for errors.Is.
	ErrNotExist = fs.ErrNotExist
	ErrExist    = fs.ErrExist
)

// File is an open file. ReadAt and WriteAt may be called by any number of
// goroutines at once; overlapping concurrent writes leave either's bytes.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Sync returns after every byte written so far, and the size, would
	// survive a power loss. After an error nothing is known of any write since
	// the last success, and a later success proves nothing about them: the
	// caller must stop using the file for durable data.
	Sync() error
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the file's length; what is added reads as zeros.
	Truncate(size int64) error
	// Allocate makes the file at least size bytes long and reserves the
	// blocks, so that writes below size do not meet a full disk. What is added
	// reads as zeros. Error: ErrNoSpace, and then the length is unchanged.
	Allocate(size int64) error
}

// FS is a file system. Names are slash-separated paths. Methods may be called
// by any number of goroutines at once.
type FS interface {
	// Create makes a new file, readable and writable by the owner only (0600).
	// Error: ErrExist.
	Create(name string) (File, error)
	// Open opens a file for reading only; OpenWrite for reading and writing.
	// Error: ErrNotExist.
	Open(name string) (File, error)
	OpenWrite(name string) (File, error)
	// Remove removes a file. Error: ErrNotExist.
	Remove(name string) error
	// Rename replaces newName by oldName atomically.
	Rename(oldName, newName string) error
	// List gives the names (not paths) in a directory, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory and its parents, 0700. Each directory it made
	// needs a SyncDir of its parent to be durable.
	MkdirAll(dir string) error
	// SyncDir makes the creations, renames and removals in a directory durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, made if needed, that ends with
	// Close or with the process. Error: ErrLocked, at once.
	Lock(name string) (io.Closer, error)
	// Space tells how much room the file system of dir has.
	Space(dir string) (Space, error)
}

// Space is the room of a file system, in bytes. Free is what this process may
// still use.
type Space struct {
	Free, Total int64
}
