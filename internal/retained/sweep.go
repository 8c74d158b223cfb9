package retained

import "sync"

// sweep is where the next sweep begins; the lock lets one sweep at a time through.
type sweep struct {
	mu    sync.Mutex
	told  func(topic []byte) // nil for nobody; set before the first sweep
	gone  []record           // what the last step removed
	shard int
	from  []byte
}

// OnSweep has f called for the topic of each message that a sweep removes, with no lock held that f could need but that of the
// sweep itself. It is set before the first sweep. The topic stays as it is for as long as anybody refers to it.
func (s *Store) OnSweep(f func(topic []byte)) { s.sweep.told = f }

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
			var looked int
			looked, done = s.sweepShard(sh, now, min(limit, stepsAtOnce))
			limit -= looked
			removed += len(w.gone)
			for _, r := range w.gone {
				if w.told != nil {
					w.told(r.topic())
				}
			}
		}
		w.shard = (w.shard + 1) % shardCount
		w.from = w.from[:0]
	}
	return removed
}

// sweepShard looks at the next records of one shard, under its lock. done says that there are no more.
func (s *Store) sweepShard(sh *shard, now int64, limit int) (looked int, done bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := &s.sweep
	clear(w.gone)
	w.gone = w.gone[:0]
	var last record
	leaf, i := sh.tree.seek(w.from)
	for ; leaf != nil && looked < limit; leaf, i = leaf.next, 0 {
		for ; i < len(leaf.records) && looked < limit; i++ {
			last = leaf.records[i]
			looked++
			if last.expired(now) {
				w.gone = append(w.gone, last)
			}
		}
	}
	for _, r := range w.gone {
		s.forget(sh, sh.tree.remove(r.topic()))
	}
	if looked < limit {
		return looked, true
	}
	w.from = append(append(w.from[:0], last.topic()...), '/')
	return looked, false
}
