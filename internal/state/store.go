package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Store is the applied state of all shards: one Pebble instance without a log of its own. Its methods may be called by any
// goroutine.
type Store struct {
	db       *pebble.DB
	log      *slog.Logger
	machines [Shards]*Machine
	applied  [Shards]atomic.Uint64 // index of the last entry that was applied
	flushed  [Shards]atomic.Uint64 // index up to which it is on disk

	flush sync.Mutex // one at a time
	fails struct {
		once sync.Once
		err  error
		c    chan struct{}
	}
}

// StoreOptions say where and how.
type StoreOptions struct {
	// FS is where Dir is; nil is the operating system. vfs.NewMem() of Pebble keeps all in memory.
	FS  vfs.FS
	Dir string
	Log *slog.Logger
	// MemTable is the number of bytes that are gathered in memory before they are written as a table; 0: 32 MiB. Two or three
	// of them are in memory at the most.
	MemTable uint64
	// Cache is the number of bytes of tables that are kept in memory for compactions and the restart; 0: 8 MiB.
	Cache int64
}

// OpenStore opens the applied state, or makes an empty one.
func OpenStore(o StoreOptions) (*Store, error) {
	s := &Store{log: o.Log}
	s.fails.c = make(chan struct{})
	if o.MemTable == 0 {
		o.MemTable = 32 << 20
	}
	if o.Cache == 0 {
		o.Cache = 8 << 20
	}
	if o.FS == nil {
		o.FS = private{vfs.Default}
	}
	po := &pebble.Options{
		FS: o.FS, DisableWAL: true, MemTableSize: o.MemTable, CacheSize: o.Cache, MaxOpenFiles: 500,
		FormatMajorVersion: pebble.FormatNewest, Logger: quiet{o.Log},
		// Nobody reads but the restart, so that tables may pile up longer before they are merged.
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24,
		EventListener: &pebble.EventListener{BackgroundError: s.background},
	}
	db, err := pebble.Open(o.Dir, po)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s.db = db
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// background hears of errors of flushes and compactions, which Pebble tries again: a full disk may have room again. What cannot
// go on ends in an error of Commit.
func (s *Store) background(err error) {
	s.log.Error("state: writing tables failed, trying again", "error", err)
}

// begin checks the version and makes the machines.
func (s *Store) begin() error {
	v, closer, err := s.db.Get(formatKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := s.db.Set(formatKey, []byte{formatVersion}, pebble.NoSync); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	case err != nil:
		return fmt.Errorf("state: %w", err)
	default:
		version := byte(0)
		if len(v) == 1 {
			version = v[0]
		}
		if err := closer.Close(); err != nil {
			return fmt.Errorf("state: %w", err)
		}
		if version != formatVersion {
			return fmt.Errorf("state: the format of the data is version %d, this program knows %d", version, formatVersion)
		}
	}
	for i := range s.machines {
		m := &Machine{store: s, shard: i, refs: map[uint64]uint32{}}
		if err := m.load(); err != nil {
			return fmt.Errorf("state: shard %d: %w", i, err)
		}
		s.machines[i] = m
		s.applied[i].Store(m.index)
		s.flushed[i].Store(m.index)
	}
	return nil
}

// load finds where the machine left off.
func (m *Machine) load() error {
	v, closer, err := m.store.db.Get(keyOf(m.shard, kindApplied))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	r := reader{b: v}
	m.index, m.highest = r.uint64(), r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	return m.countReferences()
}

// countReferences finds how many sessions refer to each message that has a record of its own.
func (m *Machine) countReferences() error {
	err := m.store.scan(m.shard, kindMessage, func(key, _ []byte) error {
		r := reader{b: key}
		m.refs[r.uint64()] = 0
		return r.end()
	})
	if err != nil || len(m.refs) == 0 {
		return err
	}
	err = m.store.scan(m.shard, kindSession, func(key, value []byte) error {
		if len(key) != 17 || key[8] != partItem || len(value) == 0 || value[0]&itemShared == 0 {
			return nil
		}
		number := binary.BigEndian.Uint64(key[9:])
		if _, ok := m.refs[number]; !ok {
			return fmt.Errorf("message %d is missing", number)
		}
		m.refs[number]++
		return nil
	})
	return err
}

// scan visits the keys of a kind in a shard, without their first two bytes.
func (s *Store) scan(shard int, kind byte, visit func(key, value []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: keyOf(shard, kind), UpperBound: keyOf(shard, kind+1)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = visit(it.Key()[2:], v)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return errors.Join(it.Error(), it.Close())
}

// Machine is the machine of a shard.
func (s *Store) Machine(shard int) *Machine { return s.machines[shard] }

// Durable is the index of the last entry of a shard that is in tables on disk: the log is not needed up to it.
func (s *Store) Durable(shard int) uint64 { return s.flushed[shard].Load() }

// Sync writes what was applied up to now to tables, so that Durable is what was applied when it was called, or more.
func (s *Store) Sync() error {
	s.flush.Lock()
	defer s.flush.Unlock()
	var seen [Shards]uint64
	behind := false
	for i := range seen {
		seen[i] = s.applied[i].Load()
		behind = behind || seen[i] > s.flushed[i].Load()
	}
	if !behind {
		return nil
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for i := range seen {
		s.flushed[i].Store(seen[i])
	}
	return nil
}

// Failed is closed when the state cannot go on; Err says why.
func (s *Store) Failed() <-chan struct{} { return s.fails.c }

// Err is why Failed was closed, nil before.
func (s *Store) Err() error {
	select {
	case <-s.fails.c:
		return s.fails.err
	default:
		return nil
	}
}

func (s *Store) fail(err error) {
	s.fails.once.Do(func() {
		s.fails.err = err
		s.log.Error("state: cannot go on", "error", err)
		close(s.fails.c)
	})
}

// Close writes everything to tables and closes them. Nobody may use the store any more.
func (s *Store) Close() error { return errors.Join(s.Sync(), s.db.Close()) }

// quiet has Pebble's records of daily work at the lowest level.
type quiet struct{ log *slog.Logger }

func (q quiet) Infof(format string, args ...any) {}

func (q quiet) Errorf(format string, args ...any) {
	q.log.Error("state: " + fmt.Sprintf(format, args...))
}

// Fatalf is called by Pebble where it cannot go on, for instance when a file cannot be fsynced, and must not return.
func (q quiet) Fatalf(format string, args ...any) {
	q.log.Error("state: cannot go on: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}

// private makes files and directories for the owner alone.
type private struct{ vfs.FS }

func (p private) MkdirAll(dir string, _ os.FileMode) error { return p.FS.MkdirAll(dir, 0o700) }

func (p private) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, c)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	return f, err
}

func (p private) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.FS.OpenReadWrite(name, c, o...)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	return f, err
}

func (p private) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.ReuseForWrite(from, to, c)
	if err == nil {
		err = os.Chmod(to, 0o600)
	}
	return f, err
}

// Lock makes its file through the file system beneath.
func (p private) Lock(name string) (io.Closer, error) {
	c, err := p.FS.Lock(name)
	if err == nil {
		err = os.Chmod(name, 0o600)
	}
	return c, err
}

func (p private) Unwrap() vfs.FS { return p.FS }
