package bench

import "time"

// clock gives nanoseconds of the machine's monotonic clock from Go's cheaper one. Workers of one run share a start, so that the time in
// a message that one of them sent means the same to another that received it.
type clock struct {
	base   time.Time
	offset int64
}

// newClock returns a clock that counts from epoch, a reading of monotonic.
func newClock(epoch int64) clock {
	base := time.Now()
	return clock{base, monotonic() - epoch}
}

func (c clock) now() int64 { return c.offset + int64(time.Since(c.base)) }
