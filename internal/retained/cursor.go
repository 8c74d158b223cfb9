package retained

import (
	"strings"

	"github.com/millrace-mq/millrace/internal/message"
)

// stepsAtOnce is the number of records that are looked at under one hold of a shard's lock: some microseconds.
const stepsAtOnce = 32

// Cursor is a walk over the messages whose topics match a filter. It is for one goroutine at a time, and may rest for any time.
//
// A message that is there during the whole walk is visited exactly once, even if its content is replaced meanwhile; one that comes or goes
// during the walk may or may not be visited.
type Cursor struct {
	store  *Store
	filter string
	shard  int    // where the walk is; shardCount when it is over
	one    bool   // the filter names the shard
	from   []byte // the topic from which on the shard is still to be walked
	lent   message.Message
}

// Walk begins a walk over the messages whose topics match filter, which must be valid and not a shared one.
func (s *Store) Walk(filter string) *Cursor {
	c := &Cursor{store: s, filter: filter, from: start(filter, nil)}
	if named(filter) {
		c.one = true
		sh := s.shard([]byte(filter))
		for &s.shards[c.shard] != sh {
			c.shard++
		}
	}
	return c
}

// named tells whether everything that filter matches is in the shard that its own first two levels lead to.
func named(filter string) bool {
	i := strings.IndexAny(filter, "+#")
	return i < 0 || strings.Count(filter[:i], "/") >= 2
}

// Next goes on with the walk. It looks at limit records at most, whether they match or not, and calls visit for those that match and
// have not expired at the time now, in Unix milliseconds. When visit returns false the walk stops before that message, and the
// next call begins with it. done tells that the walk is over.
//
// No lock is held while visit runs, so it may call the store. The message is lent for the call: to have it longer, Keep it.
func (c *Cursor) Next(now int64, limit int, visit func(*message.Message) bool) (done bool) {
	var found [stepsAtOnce]record
	for limit > 0 && c.shard < shardCount {
		looked, n, end := c.collect(found[:min(limit, stepsAtOnce)])
		limit -= looked
		for _, r := range found[:n] {
			if r.expired(now) {
				continue
			}
			r.lend(&c.lent)
			more := visit(&c.lent)
			c.lent.Return()
			if !more {
				c.from = append(c.from[:0], r.topic()...)
				return false
			}
		}
		if end {
			c.leave()
		}
	}
	return c.shard == shardCount
}

// leave ends the walk of a shard.
func (c *Cursor) leave() {
	if c.one {
		c.shard = shardCount
		return
	}
	c.shard++
	c.from = start(c.filter, c.from[:0])
}

// collect looks at the next records of the shard, len(found) at most, and puts those that match into found. end says that the shard
// has no more.
func (c *Cursor) collect(found []record) (looked, n int, end bool) {
	sh := &c.store.shards[c.shard]
	if sh.filled.Load() == 0 {
		return 0, 0, true
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	leaf, i := sh.tree.seek(c.from)
	for looked < len(found) {
		for leaf != nil && i == len(leaf.records) {
			leaf, i = leaf.next, 0
		}
		if leaf == nil {
			return looked, n, true
		}
		topic := leaf.records[i].topic()
		looked++
		var v verdict
		switch v, c.from = judge(c.filter, topic, c.from[:0]); v {
		case over:
			return looked, n, true
		case skip:
			leaf, i = sh.tree.forward(leaf, i+1, c.from)
		case matched:
			found[n] = leaf.records[i]
			n++
			i++
			c.from = append(append(c.from, topic...), '/')
		}
	}
	return looked, n, false
}
