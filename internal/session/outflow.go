package session

import "github.com/millrace-mq/millrace/internal/message"

// entry is a message on its way to the client, in flight or waiting. It holds one reference of m.
type entry struct {
	m      *message.Message
	more   *More
	number uint64 // what the journal calls it; 0 without one
	id     uint32 // subscription identifier
	qos    uint8
	retain bool
}

// slotState is how far the delivery of a message in flight is (4.3).
type slotState uint8

const (
	free     slotState = iota
	sent               // PUBLISH was sent
	received           // the client has it (PUBREC); PUBREL was sent, PUBCOMP is to come
)

// slot is the place of one packet identifier. Slots in flight form a list in the order of sending, free ones a queue.
type slot struct {
	entry
	token      uint64
	prev, next uint16
	state      slotState
	live       bool // sent on the connection of now
	held       bool // to be sent on the connection of now, by Release
}

// outflow is what goes to the client at QoS 1 and 2.
//
// The identifier of a message is the number of its slot, so that finding a free one, finding a message by its identifier
// and taking it out of the order each cost the same whatever is in flight. The free slots are used in turn: an
// identifier comes again as late as possible, which spares a client that acknowledges twice.
//
// The slice doubles up to what the window asks for and goes away with the connection if nothing is in flight.
type outflow struct {
	slots       []slot // slot of identifier n at n-1
	first, last uint16 // in flight, in the order of sending; 0: none
	freeFirst   uint16
	freeLast    uint16
	count       uint16 // in flight
	used        uint16 // of these, sent on the connection of now: they count against the window
	held        uint16 // of these, not sent yet
	resend      uint16 // the next to be sent again after a reconnect; 0: all done
	queue       queue
}

// at gives the slot of an identifier that is in flight, nil otherwise.
func (o *outflow) at(id uint16) *slot {
	if o == nil || id == 0 || int(id) > len(o.slots) {
		return nil
	}
	if sl := &o.slots[id-1]; sl.state != free {
		return sl
	}
	return nil
}

// push puts a message in flight behind the others and gives its identifier. The caller has seen to the window.
func (o *outflow) push(e entry, token uint64) uint16 {
	if o.freeFirst == 0 {
		o.grow(min(maxPacketID, max(4, 2*len(o.slots))))
	}
	id := o.freeFirst
	sl := &o.slots[id-1]
	if o.freeFirst = sl.next; o.freeFirst == 0 {
		o.freeLast = 0
	}
	*sl = slot{entry: e, token: token, state: sent, live: true}
	o.append(id, sl)
	o.used++
	return id
}

// append links a slot behind the others in flight.
func (o *outflow) append(id uint16, sl *slot) {
	sl.prev = o.last
	if o.last != 0 {
		o.slots[o.last-1].next = id
	} else {
		o.first = id
	}
	o.last = id
	o.count++
}

// grow makes n slots of what there is. The new ones are free.
func (o *outflow) grow(n int) {
	had := len(o.slots)
	slots := make([]slot, n)
	copy(slots, o.slots)
	o.slots = slots
	for i := had; i < n; i++ {
		o.recycle(uint16(i + 1))
	}
}

// recycle puts an identifier behind the free ones.
func (o *outflow) recycle(id uint16) {
	if o.freeLast != 0 {
		o.slots[o.freeLast-1].next = id
	} else {
		o.freeFirst = id
	}
	o.freeLast = id
}

// remove takes a message out of flight and frees its identifier.
func (o *outflow) remove(id uint16) {
	sl := &o.slots[id-1]
	if sl.m != nil {
		sl.m.Release()
	}
	if o.resend == id {
		o.advance()
	}
	if sl.prev != 0 {
		o.slots[sl.prev-1].next = sl.next
	} else {
		o.first = sl.next
	}
	if sl.next != 0 {
		o.slots[sl.next-1].prev = sl.prev
	} else {
		o.last = sl.prev
	}
	o.count--
	if sl.live {
		o.used--
	}
	if sl.held {
		o.held--
	}
	*sl = slot{}
	o.recycle(id)
}

// goLive counts a slot that was sent again against the window.
func (o *outflow) goLive(id uint16, sl *slot) {
	if !sl.live {
		sl.live = true
		o.used++
	}
	if o.resend == id {
		o.advance()
	}
}

// advance moves on to the next slot that was not sent on this connection. Some were out of turn, in answer to a PUBREC.
func (o *outflow) advance() {
	for o.resend = o.slots[o.resend-1].next; o.resend != 0 && o.slots[o.resend-1].live; {
		o.resend = o.slots[o.resend-1].next
	}
}

// disconnected forgets what was sent on the connection.
func (o *outflow) disconnected() {
	for id := o.first; id != 0; id = o.slots[id-1].next {
		o.slots[id-1].live, o.slots[id-1].held = false, false
	}
	o.used, o.held, o.resend = 0, 0, 0
	if o.count == 0 {
		o.slots, o.freeFirst, o.freeLast = nil, 0, 0
	}
}

// discard releases everything.
func (o *outflow) discard() {
	for id := o.first; id != 0; id = o.slots[id-1].next {
		if m := o.slots[id-1].m; m != nil {
			m.Release()
		}
	}
	for o.queue.n > 0 {
		o.queue.pop().m.Release()
	}
	*o = outflow{}
}
