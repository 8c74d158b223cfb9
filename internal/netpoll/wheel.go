package netpoll

import (
	"math/bits"
	"time"
)

const (
	// tickMillis is the resolution of alarms.
	tickMillis = 100
	wheelSlots = 1024 // a turn of the wheel is 102 s; later alarms stay in their slot for several turns
)

// wheel is a hashed timing wheel. Connections are linked through their own fields, so setting an alarm allocates nothing,
// and moving one to later (what keep-alive does with each packet) only changes a number: the connection moves when
// the slot that it is in comes up.
type wheel struct {
	now    uint32 // tick up to which slots were gone through
	tick   uint32 // present tick
	slots  [wheelSlots]*Conn
	filled [wheelSlots / 64]uint64 // which slots are not empty
	fired  []*Conn
}

// set has c due after d; 0 stops it.
func (w *wheel) set(c *Conn, d time.Duration) {
	if d <= 0 {
		c.due = 0
		return // it leaves its slot when that comes up
	}
	ticks := min((d.Milliseconds()+tickMillis-1)/tickMillis+1, 1<<31) // one more: the present tick is partly over
	c.due = w.tick + uint32(ticks)
	if c.slot != 0 && int32(c.due-c.slot) >= 0 {
		return
	}
	w.unlink(c)
	w.link(c)
}

// link puts c into the slot of its tick.
func (w *wheel) link(c *Conn) {
	if c.due == 0 {
		c.due = 1 // after 13 years the count begins again, and 0 means no alarm
	}
	i := c.due % wheelSlots
	c.slot = c.due
	c.prev, c.next = nil, w.slots[i]
	if c.next != nil {
		c.next.prev = c
	}
	w.slots[i] = c
	w.filled[i/64] |= 1 << (i % 64)
}

// unlink takes c out of its slot.
func (w *wheel) unlink(c *Conn) {
	if c.slot == 0 {
		return
	}
	i := c.slot % wheelSlots
	if c.prev != nil {
		c.prev.next = c.next
	} else if w.slots[i] = c.next; c.next == nil {
		w.filled[i/64] &^= 1 << (i % 64)
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.slot, c.prev, c.next = 0, nil, nil
}

// at tells the wheel the time, in milliseconds since the start of the poller.
func (w *wheel) at(millis int64) { w.tick = uint32(millis/tickMillis) + 1 }

// advance moves the wheel to the present tick and returns the connections whose alarm is due. The slice is valid until the
// next call.
func (w *wheel) advance() []*Conn {
	w.fired = w.fired[:0]
	steps := min(w.tick-w.now, wheelSlots)
	for s := uint32(1); s <= steps; s++ {
		if i := (w.tick - steps + s) % wheelSlots; w.slots[i] != nil {
			w.sweep(i)
		}
	}
	w.now = w.tick
	return w.fired
}

// sweep goes through one slot: what is due fires, what was moved goes to its new slot.
func (w *wheel) sweep(i uint32) {
	for c := w.slots[i]; c != nil; {
		next := c.next
		switch {
		case c.due == 0:
			w.unlink(c)
		case int32(c.due-w.tick) <= 0:
			w.unlink(c)
			c.due = 0
			w.fired = append(w.fired, c)
		case c.due != c.slot:
			w.unlink(c)
			w.link(c)
		}
		c = next
	}
}

// wait returns how many milliseconds remain until the next slot that is not empty comes up, or -1 if none is.
func (w *wheel) wait(millis int64) int64 {
	from := (w.now + 1) % wheelSlots
	for n := uint32(0); n <= wheelSlots; {
		i := (from + n) % wheelSlots
		if word := w.filled[i/64] >> (i % 64); word != 0 {
			n += uint32(bits.TrailingZeros64(word))
			return max(0, (int64(w.now)+int64(n))*tickMillis-millis)
		}
		n += 64 - i%64
	}
	return -1
}
