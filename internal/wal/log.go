package wal

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// HardState is what a Raft replica must remember across a restart.
type HardState struct {
	Term, Vote, Commit uint64
}

// Entry is one entry of a group's log. Tag is the caller's, kept with it.
type Entry struct {
	Index, Term uint64
	Tag         byte
	Data        []byte
}

// Base is the point before the first entry that is kept.
type Base struct {
	Index, Term uint64
	// Reset drops everything the group had after Index as well: the replica
	// was given a snapshot and goes on from there.
	Reset bool
}

// Snapshot is the state of a machine with all entries up to Index applied. One
// that is not newer than the newest is left out: a log has one snapshot for an
// index, and keeps the newest only.
type Snapshot struct {
	Index uint64
	Data  []byte
}

// Update is what Append makes durable for one group: any of its parts, in the
// order of the fields. Entries replace what the group had from the first one's
// index on. After a crash a prefix of the parts may be there.
type Update struct {
	Group    uint64
	Snapshot *Snapshot
	Base     *Base
	Entries  []Entry
	State    *HardState
}

// Waiter is told when an update is on disk.
type Waiter interface {
	// Durable is called once, by a goroutine of the log and in the order of
	// the appends: it must not block nor call Append. err is nil, or wraps
	// ErrFailed: then nothing is known of the update.
	Durable(err error)
}

// Options of a Log. FS and Dir must be set.
type Options struct {
	FS  vfs.FS
	Dir string // made if it does not exist
	// SegmentSize is the length of a segment file in bytes; default 64 MiB.
	SegmentSize int64
	// HotSegments is how many segments the shared log may hold before the
	// live entries of the oldest are moved out of it; default 8.
	HotSegments int
	// SpareSegments is how many free segments are kept, and prepared when the
	// log is made; default 2. More are given back to the file system.
	SpareSegments int
	// MaxEntry limits Entry.Data, in bytes; default and most a quarter of a
	// segment.
	MaxEntry int
	// MaxPending limits what waits to be written, in bytes; beyond it Append
	// blocks. Default 8 MiB.
	MaxPending int
	// MaxBytes limits the size of all segments; 0 no limit.
	MaxBytes int64
	// Reserve is how many bytes of the disk (or of MaxBytes) are left for what
	// makes room again: Full is true while there is less. Default 4 segments.
	Reserve int64
	// Manual makes a log without goroutines: Flush does all the work. For
	// simulation, and for tests that count disk operations.
	Manual bool
	// Salt starts checksums; 0 takes a random one. For simulation.
	Salt uint64
	// Logger gets what an operator should know; nil for none.
	Logger *slog.Logger

	plant planted
}

// planted are bugs that tests put in, to prove that other tests catch them.
type planted struct {
	anyEpoch    bool // recovery takes records of an earlier use of a segment
	forgetState bool // hard states are not written
}

func (o *Options) setDefaults() {
	set := func(p *int64, v int64) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.SegmentSize, 64<<20)
	o.SegmentSize = max(o.SegmentSize, 4*headerPage) &^ (headerPage - 1)
	set(&o.Reserve, 4*o.SegmentSize)
	setInt(&o.HotSegments, 8)
	setInt(&o.SpareSegments, 2)
	setInt(&o.MaxPending, 8<<20)
	if limit := int(o.SegmentSize / 4); o.MaxEntry <= 0 || o.MaxEntry > limit {
		o.MaxEntry = limit
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Log is the write-ahead log of a node. Its methods may be called by any number
// of goroutines, but the updates of one group must come from one at a time.
type Log struct {
	opt  Options
	salt uint32
	seed uint64
	lock io.Closer

	tab struct {
		sync.RWMutex
		groups map[uint64]*group
	}

	// mu is the front: what was appended. Lock order: reclaim.mu, mu, group.mu.
	mu struct {
		sync.Mutex
		cur      *batch
		spare    []*batch // empty ones, with their buffers
		active   *segment
		next     *segment // prepared; nil while the preparer is at it
		hot      []*segment
		cold     []*segment
		free     []*segment
		coldOpen *segment // the one of cold that takes copies; nil none
		epoch    uint64   // the last one given out
		num      uint64   // the last file number given out
		oldest   uint64   // epoch of the oldest hot segment, as recorded
		stuck    bool     // no segment could be made
		urgent   bool     // cur has a waiter or is large
		closed   bool
		err      error  // sticky
		moved    bool   // a base advanced since the last tidying
		waits    uint64 // how often somebody gave up mu in the middle of an append, see awaitRoom
		dirty    []*group
	}
	full   atomic.Bool // less than the reserve is left; set by lookAtRoom
	work   *sync.Cond  // the writer sleeps here, on mu
	room   *sync.Cond  // appenders sleep here, on mu: pending too large, or no next segment
	onRoom atomic.Pointer[func()]

	reclaim struct{ sync.Mutex } // one reclaim step at a time

	notify   chan *batch // from the writer to the notifier; closed by the writer
	inFlight atomic.Int32
	prepare  chan struct{} // wakes the preparer
	tidy     chan struct{} // wakes the reclaimer
	stop     chan struct{} // closed by Close
	failed   chan struct{} // closed by the first disk error
	done     sync.WaitGroup
	stats    stats
}

// stats count since Open.
type stats struct {
	records, payload, written, syncs, copied, recycled atomic.Int64
}

// Stats are counters since Open, in records, bytes and calls.
type Stats struct {
	Records      int64 // entries appended
	Payload      int64 // bytes of their data
	Written      int64 // bytes written to segments, cold copies included
	Copied       int64 // bytes of these that went to cold segments
	Syncs        int64
	Recycled     int64 // segments that were given a new use
	HotSegments  int
	ColdSegments int
	FreeSegments int
}

// Stats gives the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	hot, cold, free := len(l.mu.hot), len(l.mu.cold), len(l.mu.free)
	l.mu.Unlock()
	return Stats{
		Records: l.stats.records.Load(), Payload: l.stats.payload.Load(),
		Written: l.stats.written.Load(), Copied: l.stats.copied.Load(),
		Syncs: l.stats.syncs.Load(), Recycled: l.stats.recycled.Load(),
		HotSegments: hot, ColdSegments: cold, FreeSegments: free,
	}
}

// Full tells that the disk has reached its reserve: appends still succeed, so
// that what makes room can go on, but new data should be refused.
func (l *Log) Full() bool { return l.full.Load() }

// Failed is closed when a disk error has stopped the log; Err tells which.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is the error that stopped the log, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

// fail stops the log for good. l.mu is held.
func (l *Log) fail(err error) {
	if l.mu.err != nil {
		return
	}
	l.mu.err = errors.Join(ErrFailed, err)
	l.opt.Logger.Error("the log stopped: a write or a sync failed", "err", err)
	close(l.failed)
	l.work.Broadcast()
	l.room.Broadcast()
}

// lookup gives a group, or nil.
func (l *Log) lookup(id uint64) *group {
	l.tab.RLock()
	defer l.tab.RUnlock()
	return l.tab.groups[id]
}

// obtain gives a group, made if needed.
func (l *Log) obtain(id uint64) *group {
	if g := l.lookup(id); g != nil {
		return g
	}
	l.tab.Lock()
	defer l.tab.Unlock()
	g := l.tab.groups[id]
	if g == nil {
		g = &group{id: id}
		l.tab.groups[id] = g
	}
	return g
}

// all gives every group that the log knows, removed ones included, by id.
func (l *Log) all() []*group {
	l.tab.RLock()
	defer l.tab.RUnlock()
	gs := make([]*group, 0, len(l.tab.groups))
	for _, g := range l.tab.groups {
		gs = append(gs, g)
	}
	slices.SortFunc(gs, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	return gs
}

// Close writes what waits, ends the log and gives the lock back. Appends that
// come later are refused. Readers may go on until it returns, not longer.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mu.closed = true
	close(l.stop)
	l.work.Broadcast()
	l.room.Broadcast()
	l.mu.Unlock()
	if l.opt.Manual {
		l.flush()
	}
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.mu.err
	if err == nil {
		err = l.seal(l.mu.active, 0)
	}
	if err == nil && l.mu.coldOpen != nil {
		err = l.seal(l.mu.coldOpen, 0)
	}
	return errors.Join(err, l.closeFiles(), l.lock.Close())
}

// closeFiles closes every segment file. l.mu is held, or not yet needed.
func (l *Log) closeFiles() error {
	var err error
	for _, list := range [][]*segment{l.mu.hot, l.mu.cold, l.mu.free, {l.mu.next}} {
		for _, s := range list {
			if s != nil {
				err = errors.Join(err, s.file.Close())
			}
		}
	}
	return err
}

// seal writes the End record of a segment and syncs it; next is the epoch of
// the segment in which the log goes on, 0 if it does not. Nothing may be written
// to the segment any more.
func (l *Log) seal(s *segment, next uint64) error {
	s.batch++
	end := record{kind: kindEnd, first: true, epoch: s.epoch32(), batch: s.batch, index: uint64(s.off), term: next}
	b := appendRecord(make([]byte, 0, endSize), l.salt, &end)
	if _, err := s.file.WriteAt(b, s.off); err != nil {
		return err
	}
	l.stats.written.Add(int64(len(b)))
	s.off += int64(len(b))
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.end.Store(s.off)
	return nil
}

// MaxEntry is the limit of Entry.Data, in bytes.
func (l *Log) MaxEntry() int { return l.opt.MaxEntry }
