package state

import (
	"log/slog"
	"math/bits"
	"sync/atomic"
	"time"
)

// Set is the shards of a node. Its methods may be called by any goroutine.
type Set struct {
	store  *Store
	log    *slog.Logger
	shards [Shards]*Shard

	dirty   atomic.Uint64 // shards with something in their open proposals, a bit each
	pending atomic.Int64  // bytes that are closed and not decided
	full    atomic.Bool
	fullAt  atomic.Int64 // when the disk was found full, in Unix milliseconds
}

// NewSet makes the shards of a store, all of which must have applied their logs. logs gives the log of a shard.
func NewSet(store *Store, log *slog.Logger, logs func(shard int) Log) *Set {
	t := &Set{store: store, log: log}
	for i := range t.shards {
		m := store.machines[i]
		s := &Shard{set: t, index: i, log: logs(i)}
		s.mu.next, s.mu.lanes = m.highest+1, map[uint16]uint64{}
		s.begin(1, 0)
		t.shards[i] = s
	}
	return t
}

// Shard gives a shard by its number, which ShardOf finds.
func (t *Set) Shard(i int) *Shard { return t.shards[i] }

// touch notes that a shard has something to propose.
func (t *Set) touch(shard int) {
	if bit := uint64(1) << shard; t.dirty.Load()&bit == 0 {
		t.dirty.Or(bit)
	}
}

// FlushDirty proposes what was appended to any shard.
func (t *Set) FlushDirty() {
	if t.dirty.Load() == 0 {
		return
	}
	for mask := t.dirty.Swap(0); mask != 0; mask &= mask - 1 {
		t.shards[bits.TrailingZeros64(mask)].flush()
	}
}

// Pending is the number of bytes of commands that are on their way to the disk.
func (t *Set) Pending() int64 { return t.pending.Load() }

// fullFor is how long a disk counts as full after a refusal, before it is tried again.
const fullFor = 1000

// Full tells whether the disk was full a moment ago, so that new messages are refused before anything is done with them. Every
// second one is let through to find out.
func (t *Set) Full(now int64) bool {
	if !t.full.Load() {
		return false
	}
	at := t.fullAt.Load()
	return now < at+fullFor || !t.fullAt.CompareAndSwap(at, now)
}

func (t *Set) noteFull(full bool) {
	if full == t.full.Load() {
		return
	}
	t.fullAt.Store(time.Now().UnixMilli())
	t.full.Store(full)
	if full {
		t.log.Error("state: the disk is full, messages for sessions are refused")
	} else {
		t.log.Info("state: the disk has room again")
	}
}

// Failed is closed when the state cannot go on: the node must stop. Err says why.
func (t *Set) Failed() <-chan struct{} { return t.store.Failed() }

// Err is why Failed was closed, nil before.
func (t *Set) Err() error { return t.store.Err() }

func (t *Set) fail(err error) { t.store.fail(err) }

// Idle tells whether everything that was appended has been decided.
func (t *Set) Idle() bool {
	for _, s := range t.shards {
		s.mu.Lock()
		idle := s.mu.open.empty() && len(s.mu.ready) == 0 && s.mu.flying == nil
		s.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}
