package queue

import "errors"

// Retention says how long messages are kept.
type Retention uint8

const (
	// RetainWork keeps a message until every group has settled it. Messages
	// wait when there is no group.
	RetainWork Retention = iota
	// RetainLog keeps messages by age, bytes and count, whoever has read them.
	RetainLog
)

// Overflow says what happens to a message for which MaxDepth or MaxBytes has no
// room under RetainWork. Under RetainLog the oldest messages always make room.
type Overflow uint8

const (
	// Reject refuses the new message.
	Reject Overflow = iota
	// DropOldest drops the oldest messages, settled or not.
	DropOldest
)

// Dispatch says which member of a group gets a message.
type Dispatch uint8

const (
	// Shared: any member with room gets the next message.
	Shared Dispatch = iota
	// KeyOrdered: of the messages of one key at most one is out at a time, in
	// the order of the offsets; the next one goes out when it is settled. A key
	// stays with its member until members come or go.
	KeyOrdered
)

// Settings are the settings of a queue as they bind one of its partitions:
// whoever divides a limit of the queue by the partitions does it before.
// Durations are milliseconds. The zero value of a limit means no limit.
type Settings struct {
	Retention Retention
	Overflow  Overflow
	Dispatch  Dispatch

	// MaxAge drops messages that were stored longer ago.
	MaxAge int64
	// MaxBytes bounds the encoded messages kept, in whole batches.
	// MaxDepth bounds their number: under RetainLog of all that are kept, under
	// RetainWork of those that the slowest group has not settled (with no group:
	// of all).
	MaxBytes int64
	MaxDepth int64
	// MaxMessageSize bounds topic, properties and payload of one message
	// together, in bytes. Batch.Add enforces it.
	MaxMessageSize int64

	// Lease is how long a member may take to settle a message; 0 for ever.
	Lease int64
	// MaxDeliveries is how often a message is delivered to a group before it
	// becomes a dead letter; 0 for no limit.
	MaxDeliveries int64
	// Backoff is the pause after the first refusal by a member. It doubles with
	// every further one up to BackoffMax (0: it stays the same).
	Backoff    int64
	BackoffMax int64
	// DeadLetters says that there is a dead-letter queue. Without one, what
	// would go there is dropped, and counted.
	DeadLetters bool

	// DedupWindow is how long the identifier of a message keeps a second one
	// out; 0 turns it off. DedupLimit bounds the identifiers remembered: beyond
	// it messages with one are refused as Full. 0 means DefaultDedupLimit.
	DedupWindow int64
	DedupLimit  int64

	// MaxGroups bounds the groups, cursors of streams included. 0 means
	// DefaultMaxGroups.
	MaxGroups int64

	// Paused stops deliveries, not publishes.
	Paused bool
}

// What 0 means for limits that cannot be lifted.
const (
	DefaultDedupLimit = 1 << 20
	DefaultMaxGroups  = 1000
)

var (
	errSettingRange    = errors.New("queue: setting out of range")
	errSettingOverflow = errors.New("queue: overflow has no meaning with log retention, which always drops the oldest")
	errSettingBackoff  = errors.New("queue: the longest backoff is shorter than the first")
)

// maxSetting keeps sums of a time or an offset and a setting from overflowing.
const maxSetting = 1 << 60

// Check tells what is wrong with the settings.
func (s *Settings) Check() error {
	for _, n := range s.numbers() {
		if *n < 0 || *n > maxSetting {
			return errSettingRange
		}
	}
	switch {
	case s.Retention > RetainLog || s.Overflow > DropOldest || s.Dispatch > KeyOrdered:
		return errSettingRange
	case s.Retention == RetainLog && s.Overflow != Reject:
		return errSettingOverflow
	case s.BackoffMax != 0 && s.BackoffMax < s.Backoff:
		return errSettingBackoff
	}
	return nil
}

// numbers are the numeric settings in the order of their encoding.
func (s *Settings) numbers() [11]*int64 {
	return [11]*int64{
		&s.MaxAge, &s.MaxBytes, &s.MaxDepth, &s.MaxMessageSize, &s.Lease, &s.MaxDeliveries, &s.Backoff, &s.BackoffMax,
		&s.DedupWindow, &s.DedupLimit, &s.MaxGroups,
	}
}

const (
	settingDeadLetters = 1 << iota
	settingPaused
)

func (s *Settings) append(dst []byte) []byte {
	var flags byte
	if s.DeadLetters {
		flags |= settingDeadLetters
	}
	if s.Paused {
		flags |= settingPaused
	}
	dst = append(dst, byte(s.Retention), byte(s.Overflow), byte(s.Dispatch), flags)
	for _, n := range s.numbers() {
		dst = appendUvarint(dst, uint64(*n))
	}
	return dst
}

// decode reads what append wrote. Settings that Check refuses are malformed.
func (s *Settings) decode(d *decoder) {
	s.Retention, s.Overflow, s.Dispatch = Retention(d.byte()), Overflow(d.byte()), Dispatch(d.byte())
	flags := d.byte()
	if flags&^(settingDeadLetters|settingPaused) != 0 {
		d.fail()
	}
	s.DeadLetters, s.Paused = flags&settingDeadLetters != 0, flags&settingPaused != 0
	for _, n := range s.numbers() {
		*n = d.number()
	}
	if s.Check() != nil {
		d.fail()
	}
}

func (s *Settings) dedupLimit() int {
	if s.DedupLimit == 0 {
		return DefaultDedupLimit
	}
	return int(s.DedupLimit)
}

func (s *Settings) maxGroups() int {
	if s.MaxGroups == 0 {
		return DefaultMaxGroups
	}
	return int(s.MaxGroups)
}

// backoff is the pause before a message is delivered again that was delivered
// deliveries times.
func (s *Settings) backoff(deliveries uint32) int64 {
	d := s.Backoff
	for n := uint32(1); n < deliveries && d < s.BackoffMax; n++ {
		d = min(2*d, s.BackoffMax)
		if d == 0 {
			break
		}
	}
	return d
}
