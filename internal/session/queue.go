package session

// queue holds the messages that wait for the client, oldest first: a ring that doubles as it fills and is given back when
// it is empty.
type queue struct {
	ring  []entry // length is a power of two
	head  int
	n     int
	bytes int // of topic, properties and payload
}

// queueKeep is the length of a ring that stays when the queue is empty: a client whose window fills now and then does
// not make garbage each time.
const queueKeep = 64

func (q *queue) push(e entry) {
	if q.n == len(q.ring) {
		ring := make([]entry, max(4, 2*len(q.ring)))
		for i := range q.n {
			ring[i] = *q.at(i)
		}
		q.ring, q.head = ring, 0
	}
	q.n++
	*q.at(q.n - 1) = e
	q.bytes += e.m.Size()
}

// at gives the entry at a position, counted from the oldest.
func (q *queue) at(i int) *entry { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// pop takes the oldest entry out, with its reference.
func (q *queue) pop() entry {
	p := q.at(0)
	e := *p
	*p = entry{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	q.bytes -= e.m.Size()
	q.shrink()
	return e
}

func (q *queue) shrink() {
	if q.n == 0 && len(q.ring) > queueKeep {
		q.ring, q.head = nil, 0
	}
}

// filter keeps the entries for which keep holds, in order; the others, with their references, are keep's to deal with.
func (q *queue) filter(keep func(*entry) bool) {
	kept := 0
	for i := range q.n {
		e := q.at(i)
		size := e.m.Size()
		if keep(e) {
			if kept != i {
				*q.at(kept) = *e
			}
			kept++
		} else {
			q.bytes -= size
		}
	}
	for i := kept; i < q.n; i++ {
		*q.at(i) = entry{}
	}
	q.n = kept
	q.shrink()
}
