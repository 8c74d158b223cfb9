package retained

import "sync"

// sweep is where the next sweep begins; the lock lets one sweep at a time through.
type sweep struct {
	mu    sync.Mutex
	shard int
	from  []byte
}

// Sweep removes messages that have expired at the time now, in Unix milliseconds. It looks at limit records at most, beginning where the
// last sweep ended, and returns how many it removed. Reading never shows an expired message, so sweeping is for room alone.
// Shards without a message that expires are passed over; the others take Len()/limit sweeps for a full round.
func (s *Store) Sweep(now int64, limit int) (removed int) {
	w := &s.sweep
	w.mu.Lock()
	defer w.mu.Unlock()
	for range shardCount + 1 { // to the shard where it began, whose first part may not have been seen
		sh := &s.shards[w.shard]
		for done := sh.expiring.Load() == 0; !done; {
			if limit <= 0 {
				return removed
			}
			var looked, gone int
			looked, gone, done = s.sweepShard(sh, now, min(limit, stepsAtOnce))
			limit -= looked
			removed += gone
		}
		w.shard = (w.shard + 1) % shardCount
		w.from = w.from[:0]
	}
	return removed
}

// sweepShard looks at the next records of one shard, under its lock. done says that there are no more.
func (s *Store) sweepShard(sh *shard, now int64, limit int) (looked, gone int, done bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var expired [stepsAtOnce]record
	var last record
	leaf, i := sh.tree.seek(s.sweep.from)
	for ; leaf != nil && looked < limit; leaf, i = leaf.next, 0 {
		for ; i < len(leaf.records) && looked < limit; i++ {
			last = leaf.records[i]
			looked++
			if last.expired(now) {
				expired[gone] = last
				gone++
			}
		}
	}
	for _, r := range expired[:gone] {
		s.forget(sh, sh.tree.remove(r.topic()))
	}
	if looked < limit {
		return looked, gone, true
	}
	s.sweep.from = append(append(s.sweep.from[:0], last.topic()...), '/')
	return looked, gone, false
}
