package check

import "sync"

// Rules are the settings of a queue that bind its deliveries.
type Rules struct {
	// MaxDeliveries is how often a group may get a message under one leader, 0 for no limit.
	MaxDeliveries int
	// KeyOrdered: of one key at most one message is out in a group, and they come in the order of their offsets.
	KeyOrdered bool
}

// End is how a delivery ended.
type End uint8

// The ends.
const (
	Settled      End = iota // acknowledged: it must not come again
	Nacked                  // refused for now
	Rejected                // refused for good
	LeaseEnded              // not answered in time
	Disconnected            // the consumer went, or gave it back
)

// Deliveries checks what consumers get. Its methods may be called by several goroutines; what a message went through is judged in
// the order of the calls.
type Deliveries struct {
	rules Rules
	mu    struct {
		sync.Mutex
		report
		published map[uint64]publication
		groups    map[string]*audience
		from      map[int]uint64 // first offset that retention has kept
		term      map[int]int    // leaders of a partition so far
	}
}

type publication struct {
	at  Place
	key string
}

type audience struct {
	got map[uint64]*reception
	key map[keyAt]*keyOut
}

type keyAt struct {
	key       string
	partition int
}

// keyOut is the message of a key that is out, and the highest offset that was.
type keyOut struct {
	out     uint64
	some    bool
	highest uint64
	begun   bool
}

type reception struct {
	term    int // of the leader who delivered last
	count   int // deliveries under that leader
	out     bool
	settled bool
	final   bool // the settle is committed
	dead    bool // it became a dead letter under this leader
	buried  bool // that is stored
	last    End
}

// NewDeliveries begins a history of the given groups, which all get everything.
func NewDeliveries(r Rules, groups ...string) *Deliveries {
	d := &Deliveries{rules: r}
	d.mu.published, d.mu.groups = map[uint64]publication{}, map[string]*audience{}
	d.mu.from, d.mu.term = map[int]uint64{}, map[int]int{}
	for _, g := range groups {
		d.mu.groups[g] = &audience{got: map[uint64]*reception{}, key: map[keyAt]*keyOut{}}
	}
	return d
}

// Published says that a message with a key ("" for none) was acknowledged at a place. A message that comes without having been
// acknowledged is no fault: its outcome may have been unknown. Log finds what was never sent.
func (d *Deliveries) Published(id uint64, at Place, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.published[id] = publication{at, key}
}

// Delivered says that a consumer of a group got a message, with the delivery count that it came with (0: it had none). A delayed
// message is given without its key, since it may overtake and be overtaken.
func (d *Deliveries) Delivered(group string, id uint64, at Place, key string, count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.mu.groups[group]
	if a == nil {
		d.mu.add("group %q gets message %d and was not expected", group, id)
		return
	}
	if p, ok := d.mu.published[id]; ok && p.at != at {
		d.mu.add("%s gets message %d from %v, it was acknowledged at %v", group, id, at, p.at)
	}
	r, term := a.got[id], d.mu.term[at.Partition]
	if r == nil {
		r = &reception{term: term}
		a.got[id] = r
	} else {
		d.again(group, id, r, term)
	}
	r.out = true
	r.count++
	if count > 0 && count != r.count {
		d.mu.add("%s gets message %d for the %dth time under this leader, and is told %d", group, id, r.count, count)
	}
	if most := d.rules.MaxDeliveries; most > 0 && r.count > most {
		d.mu.add("%s gets message %d for the %dth time, %d are allowed", group, id, r.count, most)
	}
	if d.rules.KeyOrdered && key != "" {
		d.inOrder(group, a, id, at, key, r)
	}
}

// again judges a repeated delivery.
func (d *Deliveries) again(group string, id uint64, r *reception, term int) {
	switch {
	case r.final:
		d.mu.add("%s gets message %d again, the settling of which was committed", group, id)
	case r.dead && r.term == term:
		d.mu.add("%s gets message %d, which is in the dead-letter queue", group, id)
	case r.term != term:
		// The leader died. What was out is delivered again, and what was settled or buried without that being committed.
		r.term, r.count, r.settled, r.dead = term, 0, false, false
	case r.settled:
		d.mu.add("%s gets message %d again, which it has settled", group, id)
	case r.out:
		d.mu.add("%s gets message %d again while it is out", group, id)
	case r.last == Rejected:
		d.mu.add("%s gets message %d again, which it has rejected", group, id)
	}
}

// inOrder judges a delivery by the order of its key.
func (d *Deliveries) inOrder(group string, a *audience, id uint64, at Place, key string, r *reception) {
	k := a.key[keyAt{key, at.Partition}]
	if k == nil {
		k = &keyOut{}
		a.key[keyAt{key, at.Partition}] = k
	}
	if other := a.got[k.out]; k.some && k.out != id && other.out && other.term == r.term {
		d.mu.add("%s gets message %d of key %q while message %d is out", group, id, key, k.out)
	}
	if k.begun && at.Offset < k.highest && r.count == 1 && r.term == 0 {
		d.mu.add("%s gets message %d of key %q at %v after that of offset %d", group, id, key, at, k.highest)
	}
	k.out, k.some, k.begun, k.highest = id, true, true, max(k.highest, at.Offset)
}

// Ended says how a delivery ended.
func (d *Deliveries) Ended(group string, id uint64, how End) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.mu.groups[group]
	if a == nil || a.got[id] == nil {
		d.mu.add("%s ends a delivery of message %d, which it never got", group, id)
		return
	}
	r := a.got[id]
	r.out, r.last = false, how
	r.settled = r.settled || how == Settled
}

// Committed says that the settling of a message by a group is on as many disks as was asked for: no failover brings it back. A
// test that cannot know it leaves it out.
func (d *Deliveries) Committed(group string, id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.mu.groups[group]; a != nil && a.got[id] != nil {
		a.got[id].final = true
	}
}

// Buried says that a group's dead letter of a message is stored.
func (d *Deliveries) Buried(group string, id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.mu.groups[group]
	if a == nil {
		d.mu.add("dead letter %d of group %q, which was not expected", id, group)
		return
	}
	r := a.got[id]
	if r == nil {
		r = &reception{} // too large for everybody
		a.got[id] = r
	}
	if r.buried {
		d.mu.add("message %d is twice in the dead-letter queue for %s", id, group)
	}
	r.buried, r.dead, r.out = true, true, false
}

// Failover says that a partition has another leader: what was out may come again, once, with counts from 1.
func (d *Deliveries) Failover(partition int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.term[partition]++
}

// Dropped says that retention, or a purge, dropped the messages of a partition before an offset.
func (d *Deliveries) Dropped(partition int, before uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.from[partition] = max(before, d.mu.from[partition])
}

// Done gives what was wrong, nothing if all is well. Everything is expected to have been consumed by then.
func (d *Deliveries) Done() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, a := range d.mu.groups {
		for id, p := range d.mu.published {
			if p.at.Offset < d.mu.from[p.at.Partition] {
				continue
			}
			switch r := a.got[id]; {
			case r == nil:
				d.mu.add("%s never got message %d, acknowledged at %v", name, id, p.at)
			case !r.settled && !r.buried:
				d.mu.add("%s has not finished message %d, acknowledged at %v", name, id, p.at)
			}
		}
	}
	return d.mu.done()
}
