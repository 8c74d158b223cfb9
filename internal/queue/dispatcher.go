package queue

// Verdict is what became of a message that a member was offered.
type Verdict uint8

// The verdicts.
const (
	// NoRoom: it was not sent. The member is offered nothing until Dispatcher.Room.
	NoRoom Verdict = iota
	// Leased: it was sent, and Ack, Nack, Reject, Release or Unsent will say how
	// that ended.
	Leased
	// Done: it was sent, at most once, and counts as settled.
	Done
	// Unfit: the member can never take it. It becomes a dead letter.
	Unfit
)

// Delivery is a message for a member.
type Delivery struct {
	// Member is what Join was told.
	Member uint64
	Token  Token
	Offset uint64
	// Time is when the message was stored, Unix milliseconds.
	Time int64
	// Count is the number of this delivery to the group, from 1.
	Count   uint32
	Message Message
}

// Reason says why a message became a dead letter.
type Reason uint8

// The reasons.
const (
	MaxDeliveries Reason = iota
	Rejected
	TooLarge
)

// String gives what stands in dlq-reason.
func (r Reason) String() string {
	switch r {
	case Rejected:
		return "rejected"
	case TooLarge:
		return "too_large"
	}
	return "max_deliveries"
}

// DeadLetter is a message to be published to the dead-letter queue.
type DeadLetter struct {
	Token  Token
	Group  string
	Offset uint64
	Time   int64
	// Count is how often it was delivered to the group.
	Count   uint32
	Reason  Reason
	Message Message
}

// Sink takes what a Dispatcher gives out. It is called from within Pump and must
// not call the Dispatcher. What it is given, and the bytes of the message, are
// valid during the call only.
type Sink interface {
	Deliver(d *Delivery) Verdict
	// Bury publishes a dead letter. When it is stored, Dispatcher.Buried settles
	// the message; when that failed, Unburied.
	Bury(l *DeadLetter)
}

// pumpBudget bounds the messages that one Pump looks at, readAhead those that
// key-ordered dispatch parks per group while it looks for one that can go out.
const (
	pumpBudget = 4096
	readAhead  = 8192

	// maxWaiting bounds the messages of a group that wait for a backoff or a
	// delay. At the limit the group gets nothing until one is due.
	maxWaiting = 1 << 20
)

// Dispatcher hands the messages of a partition out, on the replica that leads.
// What it knows beside the Machine (who has what, and how often it was delivered)
// ends with the leadership.
type Dispatcher struct {
	m      *Machine
	log    Log
	sink   Sink
	shape  uint64
	groups []*consumers // as in the machine
	leases leases
	ahead  int // readAhead, less in tests
	first  int // the group that Pump begins with

	batch    openBatch
	delivery Delivery
	letter   DeadLetter
	trimmed  int64 // when it was last proposed that old messages go
}

// NewDispatcher begins to dispatch what the machine holds. Nothing is out.
func NewDispatcher(m *Machine, log Log, sink Sink) *Dispatcher {
	d := &Dispatcher{m: m, log: log, sink: sink, ahead: readAhead}
	d.sync()
	return d
}

// Join adds a consumer to a group, with room for window messages at a time. The
// group must have been made: the error is ErrNoGroup. id is for the owner, who
// sees to it that a consumer joins once.
func (d *Dispatcher) Join(group string, id uint64, window int) (*Member, error) {
	c := d.named(group)
	if c == nil {
		return nil, ErrNoGroup
	}
	m := &Member{id: id, window: window}
	c.enter(m)
	return m, nil
}

func (c *consumers) enter(m *Member) {
	m.of, m.place = c, -1
	c.members = append(c.members, m)
	c.update(m)
	if c.keys != nil {
		c.keys.join(m, c.members)
	}
}

// Leave takes a member out. What it had is released at once.
func (d *Dispatcher) Leave(m *Member) {
	d.sync()
	c := m.of
	if c == nil {
		return
	}
	m.window = 0
	c.update(m)
	for i, o := range c.members {
		if o == m {
			c.members = append(c.members[:i], c.members[i+1:]...)
			break
		}
	}
	if c.keys != nil {
		c.keys.leave(m, c.members)
	}
	for m.first != 0 {
		d.release(c, m.first)
	}
	m.of = nil
}

// Room says that a member may have room again, after a verdict of NoRoom.
func (d *Dispatcher) Room(m *Member) {
	m.blocked = false
	if m.of != nil {
		m.of.update(m)
	}
}

// Resize changes how many messages a member may have at a time. With 0 it gets
// nothing and keeps what it has.
func (d *Dispatcher) Resize(m *Member, window int) {
	m.window = window
	if m.of != nil {
		m.of.update(m)
	}
}

// sync follows groups that came, went or moved, and settings.
func (d *Dispatcher) sync() {
	if d.shape == d.m.shape {
		return
	}
	d.shape = d.m.shape
	old := d.groups
	d.groups = make([]*consumers, 0, len(d.m.groups))
	hint := 0
	for _, g := range d.m.groups {
		var c *consumers
		// Most stand in the order of before.
		for n := range old {
			if i := (hint + n) % len(old); old[i] != nil && old[i].group == g {
				c, old[i], hint = old[i], nil, i+1
				break
			}
		}
		switch {
		case c == nil:
			c = d.begin(g)
		case c.number != g.id: // it was moved
			members := c.members
			d.end(c)
			c = d.begin(g)
			for _, m := range members {
				c.enter(m)
			}
		case (c.keys != nil) != d.keyed(g):
			d.rekey(c)
		}
		d.groups = append(d.groups, c)
	}
	for _, c := range old {
		if c != nil {
			d.end(c)
		}
	}
}

// named gives the consumers of a group, nil if there is none.
func (d *Dispatcher) named(group string) *consumers {
	d.sync()
	for _, c := range d.groups {
		if c.name == group {
			return c
		}
	}
	return nil
}

func (d *Dispatcher) begin(g *group) *consumers {
	c := &consumers{group: g, number: g.id, next: g.floor}
	if d.keyed(g) {
		c.keys = newKeys()
	}
	return c
}

func (d *Dispatcher) keyed(g *group) bool { return d.m.settings.Dispatch == KeyOrdered && !g.stream }

// rekey changes the dispatch of a group. What is out stays out, in no order from
// now on.
func (d *Dispatcher) rekey(c *consumers) {
	if c.keys == nil {
		c.keys = newKeys()
		for i, m := range c.members {
			c.keys.join(m, c.members[:i+1])
		}
		return
	}
	k := c.keys
	c.keys = nil
	for i := range c.waiting {
		if w := &c.waiting[i]; w.kind == waitKey {
			k.unpark(w.ref)
			w.kind, w.ref = waitMessage, 0
		}
	}
	for i := range k.states {
		for s := &k.states[i]; s.first != 0; k.unpark(uint32(i + 1)) {
			c.ready.push(k.head(uint32(i + 1)))
		}
	}
	for _, m := range append(c.members[:len(c.members):len(c.members)], &c.grave) {
		m.slots, m.runFirst, m.runLast = 0, 0, 0
		for n := m.first; n != 0; n = d.leases.at(n).down {
			d.leases.at(n).key = 0
		}
	}
}

// end forgets what is out. Tokens name nothing any more.
func (d *Dispatcher) end(c *consumers) {
	for _, m := range append(c.members[:len(c.members):len(c.members)], &c.grave) {
		for m.first != 0 {
			n := m.first
			d.leases.unlimit(n)
			d.leases.withdraw(n)
			d.leases.put(n)
		}
		*m = Member{id: m.id, window: m.window, place: -1}
	}
}

// GroupStatus describes a group on the leader.
type GroupStatus struct {
	Members int
	// Leased messages are out; Waiting ones wait for a backoff or a delay, Ready
	// ones could be delivered again, Parked ones are held back by the order of
	// their keys or for a member without room; Dying ones become dead letters.
	Leased, Waiting, Ready, Parked, Dying int
}

// Status gives the status of a group; ok is false when there is none.
func (d *Dispatcher) Status(group string) (s GroupStatus, ok bool) {
	c := d.named(group)
	if c == nil {
		return s, false
	}
	s = GroupStatus{Members: len(c.members), Waiting: len(c.waiting), Ready: len(c.ready), Dying: c.grave.leased}
	for _, m := range c.members {
		s.Leased += m.leased
	}
	if c.keys != nil {
		s.Parked = c.keys.parked.used
	}
	return s, true
}

// Gone tells that the member's group was deleted, or that it has left.
func (m *Member) Gone() bool { return m.of == nil }
