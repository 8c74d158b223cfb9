package depot

import (
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/queue"
)

// Queue is a queue that can be used on this node.
type Queue struct {
	// constant
	Name       string
	ID         uint64
	Partitions []*Partition

	settings atomic.Pointer[Settings]
	limits   atomic.Pointer[queue.Settings] // of one partition
	turn     atomic.Uint64                  // of Spread
	gone     atomic.Bool                    // it was deleted
}

func (q *Queue) set(s *Settings) {
	q.settings.Store(s)
	limits := s.partition(q.Name)
	q.limits.Store(&limits)
}

// Settings gives those in force. They must not be changed.
func (q *Queue) Settings() *Settings { return q.settings.Load() }

// Gone tells that the queue was deleted.
func (q *Queue) Gone() bool { return q.gone.Load() }

// spreadRun is how many messages without a key go to one partition before the next, where there are so many partitions
// that a batch for each would be short: one for each spreadPer partitions.
const (
	spreadPer = 16
	spreadRun = 64
)

// Partition gives the partition for a message with a key, or, with key 0, the next one in turn.
func (q *Queue) Partition(key queue.Key) *Partition {
	n := len(q.Partitions)
	switch {
	case n == 1:
		return q.Partitions[0]
	case key != 0:
		return q.Partitions[key.Partition(n)]
	}
	run := uint64(min(max(n/spreadPer, 1), spreadRun))
	return q.Partitions[q.turn.Add(1)/run%uint64(n)]
}
