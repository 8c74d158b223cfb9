package queue

import (
	"bytes"
	"cmp"
	"slices"
)

// Machine is the replicated state of one partition. Its owner guards it and the
// Dispatcher on it with one mutex.
type Machine struct {
	settings Settings
	// now is the latest time that a command brought.
	now int64
	// Messages are kept from start on; the next one gets the offset end. head is
	// the run of start while start < end, bytes the size of the runs from head.
	start, end uint64
	head       cursor
	index      index
	bytes      uint64
	// groups are in ascending order of their ids.
	groups []*group
	names  map[string]*group
	nextID uint64
	dedup  dedup
	// dropped counts messages that retention or an overflow took, or a purge.
	dropped uint64

	// What follows is no part of a snapshot.
	applied uint64 // index of the latest entry
	shape   uint64 // changes with every group that comes, goes or moves, and with the settings
	pool    pool
}

// New gives the machine of an empty partition with no limits.
func New() *Machine { return &Machine{nextID: 1, names: map[string]*group{}} }

// Result is the answer to one command.
type Result struct {
	// Value is the offset of a batch's first message, a group's number, or a
	// number of messages, as the command says.
	Value uint64
	// Err is nil or one of the refusals of this package. A batch has none even
	// when all its messages were refused, unless it was malformed.
	Err error
	// Outcomes is nil when the messages of a batch were all stored, at the
	// offsets Value, Value+1 and so on. Else there is one per message.
	Outcomes []Outcome
}

// Outcome is what became of one message of a batch.
type Outcome struct {
	Status Status
	// Offset is that of the message, or of the first one with its DedupID.
	Offset uint64
}

// Status is the kind of an Outcome.
type Status uint8

// The kinds.
const (
	Stored Status = iota
	Duplicate
	Full
)

// Outcome tells what became of the message at a position of a batch that was
// applied without an error.
func (r *Result) Outcome(position int) Outcome {
	if r.Outcomes == nil {
		return Outcome{Stored, r.Value + uint64(position)}
	}
	return r.Outcomes[position]
}

// Apply applies a command of the log: the n-th one (from 0) of the entry at
// index. Commands come in the order of the log. data is not kept. Whatever data
// holds, Apply does not panic, and a refused command changes nothing but the
// time.
func (m *Machine) Apply(index uint64, n int, data []byte) Result {
	m.applied = index
	if len(data) < 2 || data[0] != commandVersion {
		return Result{Err: ErrUnknown}
	}
	d := decoder{b: data[2:]}
	switch data[1] {
	case kindAppend:
		return m.appendBatch(index, uint32(n), data)
	case kindSettle:
		return m.settle(d)
	case kindCreateGroup:
		return m.createGroup(&d)
	case kindDeleteGroup:
		return m.deleteGroup(&d)
	case kindSeek:
		return m.seek(&d)
	case kindPurge:
		return m.purge(&d)
	case kindConfigure:
		return m.configure(&d)
	}
	return Result{Err: ErrUnknown}
}

// Floor is the lowest index of the log whose entry is still needed.
func (m *Machine) Floor() uint64 {
	if m.start == m.end {
		return m.applied + 1
	}
	return m.head.run.index
}

// Settings gives the settings in force.
func (m *Machine) Settings() Settings { return m.settings }

// Offsets gives the offset of the oldest message kept, and that of the next one
// to come.
func (m *Machine) Offsets() (start, end uint64) { return m.start, m.end }

// Bytes is the size of the encoded messages that are kept; those of a batch count
// until the last of it goes.
func (m *Machine) Bytes() uint64 { return m.bytes }

// Dropped counts the messages taken by retention, overflow and purges.
func (m *Machine) Dropped() uint64 { return m.dropped }

// Groups appends what there is to tell of every group to dst, in the order in
// which they were made or moved.
func (m *Machine) Groups(dst []GroupInfo) []GroupInfo {
	for _, g := range m.groups {
		dst = append(dst, g.info(m.end))
	}
	return dst
}

// Group finds a group by its name.
func (m *Machine) Group(name string) (GroupInfo, bool) {
	if g := m.names[name]; g != nil {
		return g.info(m.end), true
	}
	return GroupInfo{}, false
}

// Position is where a message stands in the log.
type Position struct {
	Index   uint64 // of the entry
	Command int    // within the entry
	Message int    // within the batch
	Time    int64  // when it was stored, Unix milliseconds
}

// Locate gives the position of a message that is kept.
func (m *Machine) Locate(offset uint64) (Position, bool) {
	if offset < m.start || offset >= m.end {
		return Position{}, false
	}
	r := &m.head.run
	if offset >= r.end() {
		c := m.index.find(offset)
		r = &c.run
	}
	return Position{r.index, int(r.command), int(r.pos + uint32(offset-r.first)), r.time}, true
}

// Resolve gives the offset that a group made now would start at.
func (m *Machine) Resolve(f From) uint64 {
	switch f.Kind {
	case Latest:
		return m.end
	case AtOffset:
		return min(max(f.Value, m.start), m.end)
	case AtTime:
		if m.start == m.end || int64(f.Value) <= m.head.run.time {
			return m.start
		}
		return m.index.after(int64(f.Value), m.start)
	}
	return m.start
}

// place gives the index of a group, or where it would be.
func (m *Machine) place(id uint64) (int, bool) {
	return slices.BinarySearchFunc(m.groups, id, func(g *group, id uint64) int { return cmp.Compare(g.id, id) })
}

// byID finds a group, nil if it is gone.
func (m *Machine) byID(id uint64) *group {
	if i, ok := m.place(id); ok {
		return m.groups[i]
	}
	return nil
}

func (m *Machine) tick(now int64) { m.now = max(m.now, now) }

func (m *Machine) settle(d decoder) Result {
	if !checkSettle(d) {
		return Result{Err: ErrMalformed}
	}
	m.tick(d.number())
	done := uint64(0)
	for sections := d.uvarint(); sections > 0; sections-- {
		g := m.byID(d.uvarint())
		c := cause(d.byte())
		end := uint64(0)
		for spans := d.uvarint(); spans > 0; spans-- {
			s := span{lo: end + d.uvarint()}
			s.hi = s.lo + d.uvarint()
			if end = s.hi; g != nil && s.lo < m.end {
				fresh := g.set(span{s.lo, min(s.hi, m.end)}, &m.pool)
				g.done[c] += fresh
				done += fresh
			}
		}
	}
	m.expire()
	m.collect()
	return Result{Value: done}
}

func (m *Machine) createGroup(d *decoder) Result {
	g := &group{}
	stream := d.byte()
	g.stream, g.name, g.filter = stream == 1, d.text(), []byte(d.text())
	var from From
	from.decode(d)
	if !d.done() || stream > 1 || len(g.name) == 0 || len(g.name) > maxGroupName || !validFilter(g.filter) {
		return Result{Err: ErrMalformed}
	}
	g.filter = normalFilter(g.filter)
	if old := m.names[g.name]; old != nil {
		if !bytes.Equal(old.filter, g.filter) || old.stream != g.stream {
			return Result{Value: old.id, Err: ErrFilter}
		}
		return Result{Value: old.id}
	}
	if len(m.groups) >= m.settings.maxGroups() {
		return Result{Err: ErrTooManyGroups}
	}
	g.floor = m.Resolve(from)
	m.enter(g)
	m.collect()
	return Result{Value: g.id}
}

// enter gives a group a new number and puts it behind the others.
func (m *Machine) enter(g *group) {
	g.id = m.nextID
	m.nextID++
	m.groups = append(m.groups, g)
	m.names[g.name] = g
	m.shape++
}

// leave takes a group out.
func (m *Machine) leave(g *group) {
	i, _ := m.place(g.id)
	m.groups = slices.Delete(m.groups, i, i+1)
	delete(m.names, g.name)
	m.shape++
}

func (m *Machine) deleteGroup(d *decoder) Result {
	name := d.text()
	if !d.done() {
		return Result{Err: ErrMalformed}
	}
	g := m.names[name]
	if g == nil {
		return Result{Err: ErrNoGroup}
	}
	m.leave(g)
	m.collect()
	return Result{Value: g.id}
}

func (m *Machine) seek(d *decoder) Result {
	name := d.text()
	var to From
	to.decode(d)
	if !d.done() {
		return Result{Err: ErrMalformed}
	}
	g := m.names[name]
	if g == nil {
		return Result{Err: ErrNoGroup}
	}
	m.leave(g)
	g.settled = settled{floor: m.Resolve(to)}
	m.enter(g)
	m.collect()
	return Result{Value: g.id}
}

func (m *Machine) purge(d *decoder) Result {
	before := d.uvarint()
	if !d.done() {
		return Result{Err: ErrMalformed}
	}
	had := m.dropped
	m.discard(min(before, m.end))
	return Result{Value: m.dropped - had}
}

func (m *Machine) configure(d *decoder) Result {
	var s Settings
	s.decode(d)
	if !d.done() {
		return Result{Err: ErrMalformed}
	}
	m.settings = s
	m.shape++
	m.collect()
	m.expire()
	m.makeRoom()
	return Result{}
}
