// Package retained holds the retained messages of a node: one message for each topic, found by its name or walked by a filter.
//
// The messages are kept as compact records, in order of their topics. A walk is a place in that order: it goes on from there
// whenever its owner likes, looks at little more than what the filter matches, and needs no lock and no copy between its steps. So the
// replay of a big store is paced by whoever receives it, holds nobody up, and leaves nothing out.
//
// A message lent to a caller is a borrowed one (see package message): its bytes are those of the record and stay valid for as long as anybody
// refers to them, but the message.Message itself is reused after the call.
//
// The order among topics of one walk is not part of the interface.
package retained

import (
	"bytes"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/message"
)

// ErrFull is the answer of [Store.Set] when a limit is met: the message was not stored, and what the topic had before is still there.
// To an MQTT 5.0 publisher that waits for an acknowledgement it is reason code 0x97, quota exceeded.
var ErrFull = errors.New("retained: no room for the message")

// Limits bound a store; 0 is no limit. A message that has expired counts until a sweep removes it.
type Limits struct {
	MaxMessages int64
	MaxBytes    int64 // of topics, properties and payloads
}

// Store holds retained messages. All its methods may be called by any goroutine at any time.
//
// It is divided into shards by the first two levels of the topic, so that a filter which names both, as that of a device does,
// looks at one shard alone. A shard is locked for a change, or for reading, or for a few dozen steps of a walk, never while a caller's
// function runs.
type Store struct {
	limits   Limits
	messages atomic.Int64
	bytes    atomic.Int64
	seed     maphash.Seed
	shards   [shardCount]shard

	sweep sweep
}

const shardCount = 16

type shard struct {
	filled   atomic.Int64 // records, for those who have no lock
	expiring atomic.Int64 // records that expire some day

	mu   sync.RWMutex // guards tree
	tree tree
}

// New returns an empty store.
func New(limits Limits) *Store {
	return &Store{limits: limits, seed: maphash.MakeSeed()}
}

// Len is the number of messages, expired ones included until they are swept.
func (s *Store) Len() int64 { return s.messages.Load() }

// Bytes is what the messages have of topic, properties and payload.
func (s *Store) Bytes() int64 { return s.bytes.Load() }

// Set makes m the retained message of its topic, or removes the one there is if m has no payload [MQTT-3.3.1-5] [MQTT-3.3.1-6]. The bytes
// are copied. The error is [ErrFull] or nil.
func (s *Store) Set(m *message.Message) error {
	sh := s.shard(m.Topic)
	if len(m.Payload) == 0 {
		s.remove(sh, m.Topic)
		return nil
	}
	r := newRecord(m)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old := sh.tree.set(r)
	if !s.reserve(old, int64(m.Size())) {
		if old == nil {
			sh.tree.remove(m.Topic)
		} else {
			sh.tree.set(old)
		}
		return ErrFull
	}
	if old == nil {
		sh.filled.Add(1)
	} else {
		sh.expiring.Add(-countExpiry(old))
	}
	sh.expiring.Add(countExpiry(r))
	return nil
}

// reserve counts a message of that size in place of old, unless a limit stands against it. It counts first and looks afterwards, so that sets
// in several shards together never pass a limit; just below it they may refuse each other.
func (s *Store) reserve(old record, size int64) bool {
	more := int64(1)
	if old != nil {
		more = 0
		size -= old.size()
	}
	messages, bytes := s.messages.Add(more), s.bytes.Add(size)
	if exceeds(messages, s.limits.MaxMessages, more) || exceeds(bytes, s.limits.MaxBytes, size) {
		s.messages.Add(-more)
		s.bytes.Add(-size)
		return false
	}
	return true
}

// exceeds tells whether a count has grown past its limit.
func exceeds(count, limit, grown int64) bool {
	return limit > 0 && grown > 0 && count > limit
}

// Get returns the retained message of a topic, kept for the caller, who releases it; nil when there is none at the time now,
// in Unix milliseconds.
func (s *Store) Get(topic []byte, now int64) *message.Message {
	sh := s.shard(topic)
	sh.mu.RLock()
	r := sh.tree.get(topic)
	sh.mu.RUnlock()
	if r == nil || r.expired(now) {
		return nil
	}
	var lent message.Message
	r.lend(&lent)
	kept := lent.Keep()
	lent.Return()
	return kept
}

// remove takes out the message of a topic, if there is one.
func (s *Store) remove(sh *shard, topic []byte) {
	if sh.filled.Load() == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.forget(sh, sh.tree.remove(topic))
}

// forget takes a record that was removed out of the counts.
func (s *Store) forget(sh *shard, old record) {
	if old == nil {
		return
	}
	s.messages.Add(-1)
	s.bytes.Add(-old.size())
	sh.filled.Add(-1)
	sh.expiring.Add(-countExpiry(old))
}

func countExpiry(r record) int64 {
	if r.expires() != 0 {
		return 1
	}
	return 0
}

// shard finds the shard of a topic.
func (s *Store) shard(topic []byte) *shard {
	end := len(topic)
	if i := bytes.IndexByte(topic, '/'); i >= 0 {
		if j := bytes.IndexByte(topic[i+1:], '/'); j >= 0 {
			end = i + 1 + j
		}
	}
	return &s.shards[maphash.Bytes(s.seed, topic[:end])%shardCount]
}
