package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/internal/vfs"
)

const (
	lockName = "LOCK"
	// markName is a file that exists once the log has been made: a directory
	// without it is new, one with it must have segments.
	markName = "FORMAT"
	markText = "millrace write-ahead log, format 1\n"
)

// Open opens the log in a directory, or makes one. It reads everything that is
// there and verifies every checksum. The end of a write that was interrupted is
// cut off; any other damage is a CorruptError. Error: vfs.ErrLocked if another
// process has it open, ErrFormat.
func Open(opt Options) (*Log, error) {
	opt.setDefaults()
	l := &Log{opt: opt}
	l.work = sync.NewCond(&l.mu.Mutex)
	l.room = sync.NewCond(&l.mu.Mutex)
	l.notify = make(chan *batch, 2)
	l.prepare = make(chan struct{}, 1)
	l.tidy = make(chan struct{}, 1)
	l.stop = make(chan struct{})
	l.failed = make(chan struct{})
	l.tab.groups = make(map[uint64]*group)
	l.mu.cur = &batch{}

	if err := makeDir(opt.FS, opt.Dir); err != nil {
		return nil, err
	}
	var err error
	if l.lock, err = opt.FS.Lock(path.Join(opt.Dir, lockName)); err != nil {
		return nil, err
	}
	start := time.Now()
	r := &recovery{
		fs: opt.FS, dir: opt.Dir, write: true, groups: l.tab.groups,
		sc:      scanner{anyEpoch: opt.plant.anyEpoch},
		problem: func(err error) error { return err },
	}
	if err = r.run(); err == nil {
		err = l.begin(r)
	}
	if err != nil {
		return nil, errors.Join(err, r.closeAll(), l.lock.Close())
	}
	if r.records > 0 {
		l.opt.Logger.Info("log recovered", "records", r.records, "bytes", r.bytes, "took", time.Since(start), "cut", !r.tail.sealed)
	}
	if !opt.Manual {
		l.done.Add(4)
		go l.runWriter()    // stopped by Close
		go l.runNotifier()  // stopped by the writer
		go l.runPreparer()  // stopped by Close
		go l.runReclaimer() // stopped by Close
	}
	return l, nil
}

// makeDir makes the directory and what leads to it, durably.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	for parent := path.Dir(dir); ; parent = path.Dir(parent) {
		if err := fs.SyncDir(parent); err != nil {
			return err
		}
		if parent == path.Dir(parent) || parent == "." {
			return nil
		}
	}
}

// begin starts a new segment after what was recovered. The last one is never
// appended to: what an interrupted write left beyond its end would become
// part of the log again, if a new record happened to end where it begins.
func (l *Log) begin(r *recovery) error {
	l.seed = r.seed
	marked, err := isMarked(l.opt.FS, l.opt.Dir)
	if err != nil {
		return err
	}
	if len(r.hot) == 0 {
		if marked || len(r.cold) > 0 {
			return errNoSegment(l.opt.Dir)
		}
		l.seed = l.opt.Salt
		if l.seed == 0 {
			l.seed = randomSalt()
		}
	}
	l.salt = saltOf(l.seed)
	l.mu.hot, l.mu.cold, l.mu.free = r.hot, r.cold, r.free
	l.mu.epoch, l.mu.oldest = r.epoch, r.oldest
	for _, s := range r.segs {
		l.mu.num = max(l.mu.num, s.num)
	}
	if err := l.dropOddSizes(); err != nil {
		return err
	}
	for _, s := range l.mu.hot {
		if s.stamped {
			if err := s.unstamp(); err != nil {
				return err
			}
		}
	}
	var prev *segment
	h := header{class: classHot, oldest: l.mu.oldest, salt: l.seed}
	if n := len(l.mu.hot); n > 0 {
		prev = l.mu.hot[n-1]
		h.prev = prev.epoch
	}
	if l.mu.active, err = l.takeSegment(h); err != nil {
		return err
	}
	if prev == nil {
		l.mu.oldest = l.mu.active.epoch
	} else if err := l.endOfPast(prev, r.tail); err != nil {
		return err
	}
	l.mu.hot = append(l.mu.hot, l.mu.active)
	for _, s := range l.mu.cold {
		if !r.coldEnd[s].sealed {
			if err := l.seal(s, 0); err != nil {
				return err
			}
		}
	}
	if !marked {
		if err := l.fillPool(); err != nil {
			return err
		}
		if err := mark(l.opt.FS, l.opt.Dir); err != nil {
			return err
		}
	}
	return l.prepareNext()
}

func errNoSegment(dir string) error {
	return &CorruptError{What: fmt.Sprintf("the log in %s has no segment with a sound header", dir)}
}

// endOfPast ends the newest segment of the past, where recovery found its end,
// in favour of the new one. An End record that Close wrote is written anew.
func (l *Log) endOfPast(prev *segment, tail scanned) error {
	if tail.sealed {
		prev.off -= endSize
		prev.batch--
	}
	return l.seal(prev, l.mu.active.epoch)
}

// dropOddSizes removes free segments of another size than this log makes:
// unfinished ones, and those of other options.
func (l *Log) dropOddSizes() error {
	kept := l.mu.free[:0]
	for _, s := range l.mu.free {
		if s.size == l.opt.SegmentSize {
			kept = append(kept, s)
			continue
		}
		if err := errors.Join(s.file.Close(), l.opt.FS.Remove(path.Join(l.opt.Dir, s.name))); err != nil {
			return err
		}
	}
	dropped := len(kept) < len(l.mu.free)
	l.mu.free = kept
	if dropped {
		return l.opt.FS.SyncDir(l.opt.Dir)
	}
	return nil
}

// fillPool makes the spare segments of a new log, written once over: syncing a
// write to blocks that were never written takes several times as long.
func (l *Log) fillPool() error {
	for len(l.mu.free) < l.opt.SpareSegments {
		s, err := l.newSegment(true)
		if errors.Is(err, errNoRoom) {
			return nil
		}
		if err != nil {
			return err
		}
		l.mu.free = append(l.mu.free, s)
	}
	return nil
}

func isMarked(fs vfs.FS, dir string) (bool, error) {
	f, err := fs.Open(path.Join(dir, markName))
	if errors.Is(err, vfs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// mark says that the log is complete. Only its presence counts.
func mark(fs vfs.FS, dir string) error {
	f, err := fs.Create(path.Join(dir, markName))
	if err != nil {
		return err
	}
	if _, err = f.WriteAt([]byte(markText), 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

func randomSalt() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) | 1 // 0 means none
}
