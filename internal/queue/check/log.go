package check

import (
	"fmt"
	"sync"
)

// Place is where a message stands.
type Place struct {
	Partition int
	Offset    uint64
}

// Log checks what is stored against what producers were told. Its methods may be called by several goroutines.
type Log struct {
	mu struct {
		sync.Mutex
		report
		sent    map[uint64]*sending // by the message's id
		end     map[int]uint64      // the next offset of a partition
		from    map[int]uint64      // its first offset that is kept
		reached map[stretch]uint64  // the last number of a producer's message in a partition
	}
}

type stretch struct {
	producer  uint64
	partition int
}

type sending struct {
	producer, number uint64
	told             Place
	acknowledged     bool
	refused          bool
	stored           bool
	at               Place
}

// NewLog begins a history.
func NewLog() *Log {
	l := &Log{}
	l.mu.sent, l.mu.end, l.mu.from, l.mu.reached = map[uint64]*sending{}, map[int]uint64{}, map[int]uint64{}, map[stretch]uint64{}
	return l
}

// Sent says that a producer sends the message id as its number-th (from 1, ascending). The same message may be sent again
// after an unknown outcome, if the queue is to recognize it.
func (l *Log) Sent(id, producer, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sent[id]; s != nil {
		if s.producer != producer || s.number != number {
			l.mu.add("message %d is sent as two: the history is wrong", id)
		}
		return
	}
	l.mu.sent[id] = &sending{producer: producer, number: number}
}

// Acknowledged says that the message was acknowledged as stored at a place.
func (l *Log) Acknowledged(id uint64, at Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.sent[id]
	switch {
	case s == nil:
		l.mu.add("message %d is acknowledged and was not sent", id)
	case s.acknowledged && s.told != at:
		l.mu.add("message %d is acknowledged at %v and at %v", id, s.told, at)
	default:
		s.acknowledged, s.refused, s.told = true, false, at
	}
}

// Refused says that the message was refused: it must not be stored, unless it is sent again and acknowledged.
func (l *Log) Refused(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sent[id]; s != nil && !s.acknowledged {
		s.refused = true
	}
}

// Unknown says that the outcome of a message is not known although it was refused before: it was sent again.
func (l *Log) Unknown(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sent[id]; s != nil {
		s.refused = false
	}
}

// KeptFrom says that retention dropped the messages of a partition before an offset.
func (l *Log) KeptFrom(partition int, offset uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.from[partition] = max(offset, l.mu.from[partition])
}

// Stored says what stands at an offset. It is called for each partition in the order of the offsets, after everything else.
func (l *Log) Stored(id uint64, at Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := max(l.mu.end[at.Partition], l.mu.from[at.Partition])
	if at.Offset != next {
		l.mu.add("partition %d goes on with offset %d, not %d", at.Partition, at.Offset, next)
	}
	l.mu.end[at.Partition] = at.Offset + 1
	s := l.mu.sent[id]
	if s == nil {
		l.mu.add("message %d at %v was never sent", id, at)
		return
	}
	switch {
	case s.stored:
		l.mu.add("message %d is stored at %v and at %v", id, s.at, at)
	case s.refused:
		l.mu.add("message %d was refused and is stored at %v", id, at)
	case s.acknowledged && s.told != at:
		l.mu.add("message %d was acknowledged at %v and is stored at %v", id, s.told, at)
	}
	s.stored, s.at = true, at
	way := stretch{s.producer, at.Partition}
	if last := l.mu.reached[way]; s.number <= last {
		l.mu.add("producer %d: its message %d stands at %v, behind its message %d", s.producer, s.number, at, last)
	}
	l.mu.reached[way] = max(s.number, l.mu.reached[way])
}

// Done gives what was wrong, nothing if all is well.
func (l *Log) Done() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.mu.sent {
		if s.acknowledged && !s.stored && s.told.Offset >= l.mu.from[s.told.Partition] {
			l.mu.add("message %d was acknowledged at %v and is lost", id, s.told)
		}
	}
	return l.mu.done()
}

// Record is a message of a replica: its place, and bytes that replicas must agree on.
type Record struct {
	Offset uint64
	Bytes  string
}

// Same compares what two replicas of a partition hold, in the order of the offsets, where both hold something.
func Same(a, b []Record) []string {
	var r report
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x.Offset < y.Offset:
			a = a[1:]
		case x.Offset > y.Offset:
			b = b[1:]
		default:
			if x.Bytes != y.Bytes {
				r.add("replicas differ at offset %d: %.60q and %.60q", x.Offset, x.Bytes, y.Bytes)
			}
			a, b = a[1:], b[1:]
		}
	}
	return r.done()
}

// String gives partition and offset.
func (p Place) String() string { return fmt.Sprintf("%d/%d", p.Partition, p.Offset) }
