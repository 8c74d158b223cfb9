package session

// Ticket stands for one inbound PUBLISH of QoS 1 or 2, from Publish to Acknowledge. It is never used twice in the life of a
// session, so that an acknowledgement that comes after the connection went finds nothing to do. Zero is of QoS 0.
type Ticket uint64

// A ticket holds all that must be known when the arrival itself is gone with its connection.
//
//	| number of arrival, 46 bits | repeats, 1 bit | QoS 2, 1 bit | packet identifier, 16 bits |
const (
	ticketQoS2    = 1 << 16
	ticketRepeats = 1 << 17
	ticketShift   = 18
)

func newTicket(number uint64, a arrival) Ticket {
	t := Ticket(number<<ticketShift | uint64(a.id))
	if a.qos2 {
		t |= ticketQoS2
	}
	if a.repeats {
		t |= ticketRepeats
	}
	return t
}

func (t Ticket) number() uint64 { return uint64(t) >> ticketShift }
func (t Ticket) id() uint16     { return uint16(t) }
func (t Ticket) qos2() bool     { return t&ticketQoS2 != 0 }
func (t Ticket) repeats() bool  { return t&ticketRepeats != 0 }

// arrival is one inbound PUBLISH whose acknowledgement has not left.
type arrival struct {
	answer  Answer // once done
	id      uint16
	qos2    bool
	done    bool // leaves when its turn has come
	repeats bool // a duplicate of a message of QoS 2
	waiting bool // a duplicate that is done when the one that it repeats is
}

// inflow is what the client sent at QoS 1 and 2: a ring of arrivals, from which acknowledgements leave in order, and the
// identifiers of QoS 2 that the client has not released.
type inflow struct {
	ring  []arrival // length is a power of two; an arrival's place is its number
	first uint64    // number of the oldest arrival in the ring
	n     int
	birth uint64 // tickets with lower numbers are of a session that was discarded, or forgotten as it owed nothing

	ids  idset
	held int // identifiers whose PUBREC left on this connection: they count against our Receive Maximum
}

// push adds an arrival and gives its ticket.
func (i *inflow) push(a arrival) Ticket {
	if i.n == len(i.ring) {
		i.grow()
	}
	number := i.first + uint64(i.n)
	i.n++
	*i.at(number) = a
	return newTicket(number, a)
}

func (i *inflow) grow() {
	ring := make([]arrival, max(4, 2*len(i.ring)))
	for k := range uint64(i.n) {
		ring[(i.first+k)&uint64(len(ring)-1)] = *i.at(i.first + k)
	}
	i.ring = ring
}

// at gives the arrival with a number, which must be in the ring.
func (i *inflow) at(number uint64) *arrival { return &i.ring[number&uint64(len(i.ring)-1)] }

// find gives the arrival of a ticket, nil when its connection is gone.
func (i *inflow) find(t Ticket) *arrival {
	if t.number()-i.first >= uint64(i.n) {
		return nil
	}
	return i.at(t.number())
}

// next is the number of the next arrival.
func (i *inflow) next() uint64 { return i.first + uint64(i.n) }

// reconnect begins a connection.
func (i *inflow) reconnect() {
	i.held = 0
	i.ids.clear(idLive)
}

// disconnected forgets the acknowledgements of a connection that is gone: the client sends again what it misses. What is
// being stored goes on, and an identifier of QoS 2 stays known.
func (i *inflow) disconnected() {
	i.first, i.n, i.ring = i.next(), 0, nil
}
