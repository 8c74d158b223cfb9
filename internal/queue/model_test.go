package queue

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The model test does every operation to a Machine with a Dispatcher, and to a naive state with a referee, and compares
// whatever can be seen of them after each. The machine is also rebuilt from an older snapshot and the commands since, and
// must come out the same, byte for byte.

type where struct {
	index uint64
	n     int
}

type simulation struct {
	t     *rapid.T
	m     *Machine
	d     *Dispatcher
	n     *naive
	f     *referee
	log   map[where][]byte
	order []where
	last  where
	now   int64

	snapshot   []byte // of the state after the first snapshotAt commands
	snapshotAt int
	inflight   [][]byte // settles proposed and not committed
	stale      []Token
	nextSeat   uint64
	usual      Dispatch
	number     int
}

func TestModel(t *testing.T) {
	actions := []struct {
		weight int
		name   string
		do     func(*simulation)
	}{
		{20, "publish", (*simulation).publish},
		{25, "pump", (*simulation).pump},
		{40, "end", (*simulation).end},
		{8, "funeral", (*simulation).funeral},
		{10, "clock", (*simulation).clock},
		{6, "propose", (*simulation).propose},
		{6, "commit", (*simulation).commit},
		{6, "room", (*simulation).room},
		{3, "join", (*simulation).join},
		{2, "leave", (*simulation).leave},
		{2, "resize", (*simulation).resize},
		{2, "look around", (*simulation).lookAround},
		{4, "crash", (*simulation).crash},
		{1, "create", (*simulation).create},
		{1, "delete", (*simulation).delete},
		{1, "seek", (*simulation).seek},
		{1, "purge", (*simulation).purge},
		{1, "configure", (*simulation).configure},
	}
	var wheel []int
	for i, a := range actions {
		for range a.weight {
			wheel = append(wheel, i)
		}
	}
	play := func(t *rapid.T, usual Dispatch) {
		s := &simulation{t: t, m: New(), n: &naive{nextID: 0}, log: map[where][]byte{}, now: 1000, last: where{index: 1}, usual: usual}
		s.lead()
		s.configure()
		for range 3 {
			s.create()
			s.join()
			s.join()
		}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			a := actions[rapid.SampledFrom(wheel).Draw(t, "action")]
			t.Log(a.name)
			a.do(s)
			s.compare()
		}
	}
	for name, usual := range map[string]Dispatch{"shared": Shared, "key ordered": KeyOrdered} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { play(t, usual) })
		})
	}
}

func (s *simulation) upTo(n int, label string) int { return rapid.IntRange(0, n).Draw(s.t, label) }

func (s *simulation) chance(percent int, label string) bool { return s.upTo(99, label) < percent }

func (s *simulation) Command(index uint64, n int) ([]byte, error) {
	data, ok := s.log[where{index, n}]
	if !ok || index < s.m.Floor() {
		return nil, fmt.Errorf("nothing at %d/%d, the floor is %d", index, n, s.m.Floor())
	}
	return data, nil
}

func (s *simulation) lead() {
	s.f = &referee{n: s.n, ahead: rapid.SampledFrom([]int{2, 50}).Draw(s.t, "ahead"), groups: map[string]*court{}, outs: map[Token]*flight{}, used: map[Token]bool{}}
	s.f.decide = func() Verdict {
		return rapid.SampledFrom([]Verdict{Leased, Leased, Leased, Leased, Done, NoRoom, Unfit}).Draw(s.t, "verdict")
	}
	s.d = NewDispatcher(s.m, s, s.f)
	s.d.ahead = s.f.ahead
	s.f.sync()
	s.inflight, s.stale = nil, nil
}

func (s *simulation) apply(data []byte) Result {
	if s.chance(30, "next command of the entry") && len(s.order) > 0 {
		s.last.n++
	} else {
		s.last = where{s.last.index + uint64(1+s.upTo(2, "gap")), 0}
	}
	s.log[s.last] = data
	s.order = append(s.order, s.last)
	s.n.applied = s.last.index
	return s.m.Apply(s.last.index, s.last.n, data)
}

func (s *simulation) agree(what string, got, want any) {
	if !(fmt.Sprint(got) == fmt.Sprint(want)) {
		s.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func (s *simulation) message() Message {
	s.number++
	m := Message{Payload: fmt.Append(nil, s.number), QoS: byte(s.upTo(2, "qos")), Captured: s.chance(10, "captured")}
	m.Topic = []byte(rapid.SampledFrom([]string{"", "a", "a/b", "b", "a/b/c"}).Draw(s.t, "topic"))
	if s.chance(20, "props") {
		m.Props = []byte("props")
	}
	switch s.upTo(3, "key") {
	case 1:
		m.Key = KeyOf(m.Topic)
	case 2, 3:
		m.Key = KeyOf([]byte{'k', byte(s.upTo(2, "which key"))})
	}
	if s.chance(15, "delayed") {
		m.NotBefore = s.now + int64(1+s.upTo(300, "delay"))
	}
	if s.chance(15, "expires") {
		m.Expires = s.now + int64(s.upTo(300, "expiry"))
	}
	if s.chance(25, "dedup") {
		m.Dedup = DedupOf([]byte{byte(s.upTo(3, "dedup id"))})
	}
	return m
}

func (s *simulation) publish() {
	var b Batch
	settings := s.m.Settings()
	now := s.now - int64(s.upTo(3, "clock of another leader"))
	b.Begin(nil, &settings, now)
	ms := make([]Message, 1+s.upTo(5, "messages"))
	sizes := make([]int, len(ms))
	for i := range ms {
		ms[i] = s.message()
		before := b.Size()
		if _, err := b.Add(&ms[i]); err != nil {
			s.t.Fatal(err)
		}
		sizes[i] = b.Size() - before
		if ms[i].NotBefore <= now {
			ms[i].NotBefore = 0
		}
		if ms[i].Expires != 0 {
			ms[i].Expires = max(ms[i].Expires, now)
		}
	}
	r := s.apply(b.Command())
	want := s.n.append(s.last.index, now, ms, sizes)
	s.agree("publish", r.Err, nil)
	for i := range ms {
		s.agree("outcome", r.Outcome(i), want[i])
	}
	s.f.sync()
}

func (s *simulation) from() From {
	f := From{Kind: FromKind(s.upTo(3, "from"))}
	switch f.Kind {
	case AtOffset:
		f.Value = uint64(s.upTo(int(s.n.end())+3, "offset"))
	case AtTime:
		f.Value = uint64(s.now - int64(s.upTo(500, "ago")))
	}
	return f
}

func (s *simulation) name() string {
	return rapid.SampledFrom([]string{"g", "h", "i", "stream"}).Draw(s.t, "group")
}

func (s *simulation) create() {
	g := NewGroup{Name: s.name(), From: s.from()}
	g.Filter = rapid.SampledFrom([]string{"", "#", "a/#", "+/b"}).Draw(s.t, "filter")
	g.Stream = g.Name == "stream"
	r := s.apply(AppendCreateGroup(nil, &g))
	if g.Filter == "" {
		g.Filter = "#"
	}
	old := s.n.group(g.Name)
	switch {
	case old != nil && old.filter != g.Filter:
		s.agree("create", r.Err, ErrFilter)
		return
	case old == nil && len(s.n.groups) >= s.n.s.maxGroups():
		s.agree("create", r.Err, ErrTooManyGroups)
		return
	case old == nil:
		at := s.n.resolve(g.From)
		old = &naiveGroup{name: g.Name, filter: g.Filter, stream: g.Stream}
		s.n.from(old, at)
	}
	s.agree("create", r, Result{Value: old.id})
	s.f.sync()
}

func (s *simulation) delete() {
	if !s.chance(30, "really") {
		return
	}
	name := s.name()
	r := s.apply(AppendDeleteGroup(nil, name))
	g := s.n.group(name)
	if g == nil {
		s.agree("delete", r.Err, ErrNoGroup)
		return
	}
	s.agree("delete", r, Result{Value: g.id})
	s.n.groups = slices.DeleteFunc(s.n.groups, func(o *naiveGroup) bool { return o == g })
	s.n.collect()
	s.f.sync()
}

func (s *simulation) seek() {
	if !s.chance(30, "really") {
		return
	}
	name, to := s.name(), s.from()
	r := s.apply(AppendSeek(nil, name, to))
	g := s.n.group(name)
	if g == nil {
		s.agree("seek", r.Err, ErrNoGroup)
		return
	}
	s.n.from(g, s.n.resolve(to))
	s.agree("seek", r, Result{Value: g.id})
	s.f.sync()
}

func (s *simulation) purge() {
	if !s.chance(30, "really") {
		return
	}
	before := uint64(math.MaxUint64)
	if s.chance(70, "not all") {
		before = s.n.start + uint64(s.upTo(5, "purge"))
	}
	r := s.apply(AppendPurge(nil, before))
	had := s.n.dropped
	for s.n.start < min(before, s.n.end()) {
		s.n.drop()
	}
	s.n.collect()
	s.agree("purge", r, Result{Value: s.n.dropped - had})
	s.f.sync()
}

func (s *simulation) some(most int, label string) int64 {
	if s.chance(50, label+" at all") {
		return 0
	}
	return int64(1 + s.upTo(most-1, label))
}

func (s *simulation) configure() {
	set := Settings{
		MaxAge: s.some(400, "max age"), MaxBytes: s.some(600, "max bytes"), MaxDepth: s.some(20, "max depth"), Lease: s.some(100, "lease"),
		MaxDeliveries: s.some(3, "max deliveries"), Backoff: s.some(50, "backoff"), DedupWindow: s.some(200, "window"), DedupLimit: s.some(3, "limit"),
		MaxGroups: s.some(4, "max groups"), DeadLetters: s.chance(70, "dead letters"), Paused: s.chance(10, "paused"),
		Dispatch: s.usual, Retention: Retention(s.upTo(1, "retention")),
	}
	if set.Retention == RetainWork {
		set.Overflow = Overflow(s.upTo(1, "overflow"))
	}
	if s.chance(20, "another dispatch") {
		set.Dispatch = 1 - s.usual
	}
	if s.chance(50, "growing backoff") {
		set.BackoffMax = 3 * set.Backoff
	}
	s.agree("configure", s.apply(AppendConfigure(nil, &set)), Result{})
	s.n.s = set
	s.n.collect()
	s.n.expire()
	s.n.makeRoom()
	s.f.sync()
}

func (s *simulation) seats() (list []*seat) {
	for _, name := range slices.Sorted(maps.Keys(s.f.groups)) {
		list = append(list, s.f.groups[name].seats...)
	}
	return list
}

func (s *simulation) join() {
	name := s.name()
	window := s.upTo(4, "window")
	s.nextSeat++
	m, err := s.d.Join(name, s.nextSeat, window)
	c := s.f.groups[name]
	if c == nil {
		s.agree("join", err, ErrNoGroup)
		return
	}
	s.agree("join", err, nil)
	c.seats = append(c.seats, &seat{id: s.nextSeat, m: m, group: name, window: window})
	c.home = map[Key]*seat{}
}

func (s *simulation) aSeat() *seat {
	if seats := s.seats(); len(seats) > 0 {
		return seats[s.upTo(len(seats)-1, "member")]
	}
	return nil
}

func (s *simulation) leave() {
	x := s.aSeat()
	if x == nil {
		return
	}
	c := s.f.groups[x.group]
	s.d.Leave(x.m)
	for _, fl := range s.f.outs {
		if fl.stage == out && fl.member == x {
			s.f.release(fl)
		}
	}
	c.seats = slices.DeleteFunc(c.seats, func(o *seat) bool { return o == x })
	c.home = map[Key]*seat{}
	s.agree("left", x.m.Gone(), true)
}

func (s *simulation) resize() {
	if x := s.aSeat(); x != nil {
		x.window = s.upTo(6, "window")
		s.d.Resize(x.m, x.window)
	}
}

func (s *simulation) room() {
	if x := s.aSeat(); x != nil {
		x.blocked = false
		s.d.Room(x.m)
	}
}

func (s *simulation) pump() {
	s.f.before(s.now)
	for {
		more, err := s.d.Pump(s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		if !more {
			break
		}
	}
	s.f.after(func(group string) int {
		status, _ := s.d.Status(group)
		return status.Parked
	})
}

// token gives one that is out, or one that is not.
func (s *simulation) token() (Token, *flight) {
	tokens := slices.Sorted(maps.Keys(s.f.outs))
	tokens = slices.DeleteFunc(tokens, func(t Token) bool { return s.f.outs[t].stage != out })
	switch {
	case len(tokens) > 0 && s.chance(90, "a good token"):
		t := tokens[s.upTo(len(tokens)-1, "token")]
		s.stale = append(s.stale, t)
		return t, s.f.outs[t]
	case len(s.stale) > 0:
		t := s.stale[s.upTo(len(s.stale)-1, "stale token")]
		if fl := s.f.outs[t]; fl != nil && fl.stage == out {
			return t, fl
		}
		return t, nil
	}
	return Token(s.upTo(100, "wild token")) << slotBits, nil
}

func (s *simulation) end() {
	t, fl := s.token()
	var ok bool
	var end func(*flight)
	switch s.upTo(9, "end") {
	case 0, 5, 6:
		ok, end = s.d.Nack(t, s.now), func(fl *flight) { s.f.now = s.now; s.f.nack(fl) }
	case 1:
		ok, end = s.d.Reject(t), func(fl *flight) { s.f.die(fl, Rejected) }
	case 2:
		ok, end = s.d.Release(t), s.f.release
	case 3:
		ok, end = s.d.Unsent(t), func(fl *flight) {
			s.f.leave(fl)
			fl.member.blocked = true
			fl.count--
			fl.stage = idle
		}
	default:
		ok, end = s.d.Ack(t), func(fl *flight) { s.f.close(fl, causeSettled) }
	}
	s.agree("token known", ok, fl != nil)
	if fl != nil {
		end(fl)
	}
	s.agree("token known again", s.d.Ack(t), false)
	s.f.sync()
}

func (s *simulation) funeral() {
	var list []*flight
	for _, name := range slices.Sorted(maps.Keys(s.f.groups)) {
		c := s.f.groups[name]
		for _, o := range slices.Sorted(maps.Keys(c.flights)) {
			if fl := c.flights[o]; fl.stage == buried {
				list = append(list, fl)
			}
		}
	}
	if len(list) == 0 {
		return
	}
	fl := list[s.upTo(len(list)-1, "dead letter")]
	if s.chance(70, "stored") {
		s.agree("buried", s.d.Buried(fl.token), true)
		s.f.close(fl, causeBuried)
	} else {
		s.agree("unburied", s.d.Unburied(fl.token, s.now), true)
		fl.stage = stalled
		pause := s.n.s.Backoff
		for i := uint32(1); i < fl.count && pause < s.n.s.BackoffMax; i++ {
			pause = min(2*pause, s.n.s.BackoffMax)
		}
		fl.due = s.now + max(burialPause, pause)
	}
	s.agree("buried again", s.d.Buried(fl.token), false)
	s.f.sync()
}

// section is one of a settle command.
type section struct {
	group   uint64
	why     cause
	offsets []uint64
}

func parseSettle(t *rapid.T, data []byte) (now int64, list []section) {
	d := decoder{b: data[2:]}
	if data[1] != kindSettle || !checkSettle(d) {
		t.Fatalf("bad settle command %x", data)
	}
	now = d.number()
	for n := d.uvarint(); n > 0; n-- {
		x := section{group: d.uvarint(), why: cause(d.byte())}
		at := uint64(0)
		for k := d.uvarint(); k > 0; k-- {
			at += d.uvarint()
			for size := d.uvarint(); size > 0; size-- {
				x.offsets = append(x.offsets, at)
				at++
			}
		}
		list = append(list, x)
	}
	return now, list
}

func (s *simulation) propose() {
	s.f.now = s.now
	for {
		data, more := s.d.Proposal(nil, s.now)
		if data != nil {
			_, list := parseSettle(s.t, data)
			for _, x := range list {
				s.f.proposed(x.group, x.why, x.offsets)
			}
			s.inflight = append(s.inflight, data)
		}
		if !more {
			break
		}
	}
	s.f.complete()
}

func (s *simulation) commit() {
	if len(s.inflight) == 0 {
		s.propose()
	}
	for range s.upTo(len(s.inflight), "commit") {
		data := s.inflight[0]
		if !s.chance(10, "unknown outcome") {
			s.inflight = s.inflight[1:]
		}
		now, list := parseSettle(s.t, data)
		done := uint64(0)
		count := func() (sum uint64) {
			for _, g := range s.n.groups {
				for _, n := range g.done {
					sum += n
				}
			}
			return sum
		}
		before := count()
		s.n.now = max(s.n.now, now)
		for _, x := range list {
			s.n.settle(now, x.group, x.why, x.offsets)
		}
		done = count() - before
		s.n.expire()
		s.n.collect()
		s.agree("settled", s.apply(data), Result{Value: done})
		s.f.sync()
	}
}

func (s *simulation) clock() {
	if s.chance(40, "to what is due") {
		if due, ok := s.d.NextDue(); ok && due > s.now {
			s.now = due
			return
		}
	}
	s.now += int64(s.upTo(150, "time"))
}

// crash rebuilds the machine from a snapshot and the commands since. What was only the leader's is gone.
func (s *simulation) crash() {
	m := New()
	at := where{}
	if s.snapshotAt > 0 {
		at = s.order[s.snapshotAt-1]
	}
	if err := m.Restore(at.index, s.snapshot); err != nil {
		s.t.Fatal(err)
	}
	for _, w := range s.order[s.snapshotAt:] {
		m.Apply(w.index, w.n, s.log[w])
	}
	was := s.m.Snapshot(nil)
	if !bytes.Equal(was, m.Snapshot(nil)) {
		s.t.Fatalf("after replay\n%x, want\n%x", m.Snapshot(nil), was)
	}
	s.m = m
	if s.chance(50, "snapshot") {
		s.snapshot, s.snapshotAt = was, len(s.order)
	}
	inflight := s.inflight
	s.lead()
	if s.chance(50, "what was proposed may be committed yet") {
		s.inflight = inflight
	}
}

// lookAround compares what can be asked.
func (s *simulation) lookAround() {
	for o := range s.n.end() + 2 {
		p, ok := s.m.Locate(o)
		s.agree("located", ok, o >= s.n.start && o < s.n.end())
		if ok {
			m := &s.n.messages[o]
			s.agree("position", p, Position{m.index, p.Command, m.pos, m.time})
		}
	}
	f := s.from()
	s.agree("resolve", s.m.Resolve(f), s.n.resolve(f))
	for i := range byte(4) {
		id := DedupOf([]byte{i})
		offset, ok := s.m.Duplicate(id)
		i := slices.IndexFunc(s.n.known, func(k remembered) bool { return k.id == id })
		s.agree("known", ok, i >= 0 && s.n.s.DedupWindow > 0)
		if ok {
			s.agree("duplicate", offset, s.n.known[i].offset)
		}
	}
	full := errors.Is(s.m.Room(1, 1), ErrFull)
	reject := s.n.s.Retention == RetainWork && s.n.s.Overflow == Reject
	s.agree("room", full, reject && (s.n.s.MaxDepth > 0 && s.n.depth() >= uint64(s.n.s.MaxDepth) || s.n.s.MaxBytes > 0 && s.n.bytes() >= uint64(s.n.s.MaxBytes)))
}

// compare compares the states.
func (s *simulation) compare() {
	if s.f.trouble != "" {
		s.t.Fatal(s.f.trouble)
	}
	start, end := s.m.Offsets()
	s.agree("start", start, s.n.start)
	s.agree("end", end, s.n.end())
	s.agree("depth", s.m.Depth(), s.n.depth())
	s.agree("bytes", s.m.Bytes(), s.n.bytes())
	s.agree("dropped", s.m.Dropped(), s.n.dropped)
	s.agree("floor", s.m.Floor(), s.n.floorIndex())
	var want []GroupInfo
	for _, g := range s.n.groups {
		want = append(want, GroupInfo{g.id, g.name, g.filter, g.stream, g.floor(s.n), g.unsettled(s.n), g.done[0], g.done[1], g.done[2]})
		own := s.m.byID(g.id)
		for o := s.n.start; o < end; o++ {
			s.agree("settled", own.has(o), g.settled[o])
		}
	}
	s.agree("groups", s.m.Groups(nil), want)
	if due := s.f.earliest(); due > s.now {
		if got, ok := s.d.NextDue(); !ok || got > due {
			s.t.Fatalf("next due %d %v, want %d or before", got, ok, due)
		}
	}
	for name, c := range s.f.groups {
		leased := 0
		status, _ := s.d.Status(name) // before Leased, as it notices a seek
		for _, x := range c.seats {
			s.agree("leased", x.m.Leased(), x.leased)
			leased += x.leased
		}
		s.agree("status", []int{status.Members, status.Leased}, []int{len(c.seats), leased})
	}
}
