package queue

// dedup remembers which identifiers were stored, oldest first.
type dedup struct {
	ring  []remembered
	head  int // of the oldest
	n     int
	first uint64             // running number of the oldest
	by    map[DedupID]uint64 // running number
}

type remembered struct {
	id     DedupID
	offset uint64
	time   int64
}

func (d *dedup) len() int { return d.n }

// at gives the i-th oldest.
func (d *dedup) at(i int) *remembered { return &d.ring[(d.head+i)&(len(d.ring)-1)] }

func (d *dedup) find(id DedupID) (offset uint64, ok bool) {
	number, ok := d.by[id]
	if !ok {
		return 0, false
	}
	return d.at(int(number - d.first)).offset, true
}

// add remembers an identifier that find does not know. time is not before that
// of the one added last.
func (d *dedup) add(id DedupID, offset uint64, time int64) {
	if d.n == len(d.ring) {
		ring := make([]remembered, max(16, 2*d.n))
		for i := range d.n {
			ring[i] = *d.at(i)
		}
		d.ring, d.head = ring, 0
	}
	if d.by == nil {
		d.by = map[DedupID]uint64{}
	}
	d.n++
	*d.at(d.n - 1) = remembered{id, offset, time}
	d.by[id] = d.first + uint64(d.n) - 1
}

// expire forgets what was stored at the time before or earlier. When all are
// gone it gives its memory back.
func (d *dedup) expire(before int64) {
	for d.n > 0 && d.at(0).time <= before {
		delete(d.by, d.at(0).id)
		d.head = (d.head + 1) & (len(d.ring) - 1)
		d.first++
		d.n--
	}
	if d.n == 0 && len(d.ring) > 1024 {
		*d = dedup{}
	}
}
