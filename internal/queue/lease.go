package queue

// Token names a delivery until it is settled or its lease ends; afterwards it
// names nothing. It is never 0 and fits in 48 bits: whoever has many partitions
// keeps the number of the partition above.
type Token uint64

const (
	slotBits = 20
	genBits  = 28

	// MaxLeases is the most messages that may be out at once in a partition. At
	// the limit nothing is delivered until one is settled.
	MaxLeases = 1<<slotBits - 1
)

type leaseState uint8

const (
	leaseFree    leaseState = iota
	leaseOut                // a member has the message
	leaseDying              // it is becoming a dead letter
	leaseStalled            // the same, after a failure, until it is tried again
)

// lease is a message that is out. Those with a deadline form a list in its order,
// those of a member another.
type lease struct {
	item
	deadline   int64 // 0: none
	member     *Member
	gen        uint32
	key        uint32 // of keys, 0 for none
	prev, next uint32 // by deadline; next also links free slots
	up, down   uint32 // of the member
	state      leaseState
	reason     Reason
}

// leases are numbered from 1; 0 is none.
type leases struct {
	slots       []lease // lease n at n-1
	free        uint32
	first, last uint32 // by deadline
	used        int
}

func (l *leases) at(n uint32) *lease { return &l.slots[n-1] }

// take reserves a slot, 0 if all are in use.
func (l *leases) take() uint32 {
	n := l.free
	switch {
	case n != 0:
		l.free = l.at(n).next
	case len(l.slots) < MaxLeases:
		l.slots = append(l.slots, lease{gen: 1})
		n = uint32(len(l.slots))
	default:
		return 0
	}
	l.used++
	return n
}

// put gives a slot back that is in no list any more.
func (l *leases) put(n uint32) {
	s := l.at(n)
	gen := (s.gen + 1) & (1<<genBits - 1)
	*s = lease{gen: max(1, gen), next: l.free}
	l.free = n
	l.used--
}

func (l *leases) token(n uint32) Token { return Token(l.at(n).gen)<<slotBits | Token(n) }

// lookup gives the slot of a token in a state, 0 if there is none.
func (l *leases) lookup(t Token, state leaseState) uint32 {
	n := uint32(t & (1<<slotBits - 1))
	if n == 0 || int(n) > len(l.slots) {
		return 0
	}
	if s := l.at(n); s.state != state || Token(s.gen) != t>>slotBits {
		return 0
	}
	return n
}

// limit gives a lease its deadline. Nearly always it is the latest.
func (l *leases) limit(n uint32, deadline int64) {
	s := l.at(n)
	s.deadline = deadline
	after := l.last
	for after != 0 && l.at(after).deadline > deadline {
		after = l.at(after).prev
	}
	s.prev = after
	if after == 0 {
		s.next, l.first = l.first, n
	} else {
		s.next = l.at(after).next
		l.at(after).next = n
	}
	if s.next == 0 {
		l.last = n
	} else {
		l.at(s.next).prev = n
	}
}

// unlimit takes a lease out of the list of deadlines, if it is there.
func (l *leases) unlimit(n uint32) {
	s := l.at(n)
	if s.deadline == 0 {
		return
	}
	if s.prev == 0 {
		l.first = s.next
	} else {
		l.at(s.prev).next = s.next
	}
	if s.next == 0 {
		l.last = s.prev
	} else {
		l.at(s.next).prev = s.prev
	}
	s.prev, s.next, s.deadline = 0, 0, 0
}

// give puts a lease into a member's list.
func (l *leases) give(n uint32, m *Member) {
	s := l.at(n)
	s.member, s.up, s.down = m, 0, m.first
	if m.first != 0 {
		l.at(m.first).up = n
	}
	m.first = n
	m.leased++
}

// withdraw takes it out again.
func (l *leases) withdraw(n uint32) {
	s := l.at(n)
	if s.up == 0 {
		s.member.first = s.down
	} else {
		l.at(s.up).down = s.down
	}
	if s.down != 0 {
		l.at(s.down).up = s.up
	}
	s.member.leased--
}
