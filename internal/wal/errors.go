package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("wal: closed")
	// ErrFailed wraps the error of the write or sync that stopped the log for
	// good. Nothing more is accepted: the node has to stop.
	ErrFailed = errors.New("wal: stopped by a disk error")
	// ErrCompacted: the entry was dropped by a Base.
	ErrCompacted = errors.New("wal: entry was compacted")
	// ErrUnavailable: the entry is beyond the last one that is on disk.
	ErrUnavailable = errors.New("wal: no such entry yet")
	// ErrNoSnapshot: the group has no snapshot.
	ErrNoSnapshot = errors.New("wal: no snapshot")
	// ErrNoGroup: nothing was ever appended for this group, or it was removed.
	ErrNoGroup = errors.New("wal: no such group")
	// ErrGap: an append does not continue its group's log. The caller erred.
	ErrGap = errors.New("wal: append leaves a gap")
	// ErrTooLarge: an entry exceeds Options.MaxEntry.
	ErrTooLarge = errors.New("wal: entry too large")
	// ErrFormat: the files are of a format that this program does not know.
	ErrFormat = errors.New("wal: unknown format")
	// ErrCorrupt is what every CorruptError is, for errors.Is.
	ErrCorrupt = errors.New("wal: corrupt")
)

// CorruptError names the place where the disk gave back something else than
// what was written.
type CorruptError struct {
	File   string
	Offset int64
	What   string
}

func (e *CorruptError) Error() string {
	if e.File == "" {
		return "wal: corrupt: " + e.What
	}
	return fmt.Sprintf("wal: corrupt: %s at offset %d: %s", e.File, e.Offset, e.What)
}

// Is makes it an ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
