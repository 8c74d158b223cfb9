package wal

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/vfs"
)

const segmentSuffix = ".seg"

// segment is one file. Its name is a number without meaning: what it holds is
// said by its header, which changes at each use.
type segment struct {
	// constant while it is in use
	header
	file vfs.File
	name string // without directory
	num  uint64

	// copies says that it was made for copies, not as a part of the log.
	copies bool
	// slot is where the header stands.
	slot int64
	// stamped says that a stamp was found at start.
	stamped bool

	// refs counts the readers. A segment leaves the free list only without any.
	refs atomic.Int32
	// end is the number of bytes up to which its records are on disk.
	end atomic.Int64

	// off is where the next record goes, batch the number of the current write;
	// guarded by Log.mu, or owned by the reclaimer in a cold one.
	off   int64
	batch uint16
	// stale says that the segment holds an entry that a later one replaced, so
	// that it cannot become a cold one as it is; guarded by Log.mu.
	stale bool
}

// place is where a record stands.
type place struct {
	seg *segment
	off int64
	len int // payload bytes
}

func segmentName(num uint64) string { return fmt.Sprintf("%08d%s", num, segmentSuffix) }

// segmentNumber is the inverse of segmentName; ok is false for other names.
func segmentNumber(name string) (num uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	num, err := strconv.ParseUint(digits, 10, 64)
	return num, err == nil && segmentName(num) == name
}

// createSegment makes a file for a segment and reserves its blocks; the
// directory is synced, so that records in it can be relied on. With zero it is
// also written once: the first write to a reserved block costs a journal
// commit, which the fdatasync of a batch then need not wait for.
func createSegment(fs vfs.FS, dir string, num uint64, size int64, zero bool) (s *segment, err error) {
	name := segmentName(num)
	f, err := fs.Create(path.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), fs.Remove(path.Join(dir, name)))
		}
	}()
	if err = f.Allocate(size); err != nil {
		return nil, err
	}
	if zero {
		if err = zeroFile(f, size); err != nil {
			return nil, err
		}
	}
	if err = f.Sync(); err != nil {
		return nil, err
	}
	if err = fs.SyncDir(dir); err != nil {
		return nil, err
	}
	s = &segment{file: f, name: name, num: num, slot: 1}
	s.size = size
	return s, nil
}

func zeroFile(f vfs.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// begin gives the segment a new use: it writes the header and syncs it, so that
// the first batch finds it in place.
func (s *segment) begin(h header) error {
	h.size = s.size
	s.header = h
	s.copies = h.class == classCold
	s.off = headerPage
	s.batch = 0
	s.stale = false
	s.end.Store(headerPage)
	s.slot = 1 - s.slot
	return s.overwrite(h.append(make([]byte, 0, headerLen)), s.slot*slotSize)
}

// stamp makes a hot segment a cold one where it stands.
func (s *segment) stamp() error {
	return s.overwrite(appendStamp(make([]byte, 0, stampLen), s.epoch), s.slot*slotSize+stampAt)
}

// unstamp takes the mark back: the step after it was interrupted, and the next
// attempt may decide otherwise.
func (s *segment) unstamp() error {
	s.stamped = false
	return s.overwrite(make([]byte, stampLen), s.slot*slotSize+stampAt)
}

func (s *segment) overwrite(b []byte, off int64) error {
	if _, err := s.file.WriteAt(b, off); err != nil {
		return err
	}
	return s.file.Sync()
}

// readHeader reads what a segment is used for; ok is false when it is free.
func (s *segment) readHeader() (ok bool, err error) {
	var b [2 * slotSize]byte
	if n, err := s.file.ReadAt(b[:], 0); err != nil {
		if !errors.Is(err, io.EOF) {
			return false, err
		}
		clear(b[n:]) // cut short while it was made
	}
	s.slot = 1
	for slot := range int64(2) {
		at := b[slot*slotSize:][:slotSize]
		h, sound, err := decodeHeader(at)
		if err != nil {
			return false, err
		}
		if !sound || h.epoch <= s.epoch {
			continue
		}
		s.header, s.slot, ok = h, slot, true
		s.copies = h.class == classCold
		s.stamped = isStamped(at[stampAt:], h.epoch)
	}
	if s.stamped {
		s.class = classCold
	}
	return ok, nil
}

func (s *segment) epoch32() uint32 { return uint32(s.epoch) }

func (s *segment) corrupt(off int64, what string) *CorruptError {
	return &CorruptError{File: s.name, Offset: off, What: what}
}
