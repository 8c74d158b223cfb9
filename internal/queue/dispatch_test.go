package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestSettlingOneLeavesTheNextAlone(t *testing.T) {
	r := newRig(t, Settings{Lease: 1000})
	r.group("g")
	r.group("other")
	m := r.join("g", 1, 10)
	r.texts(0, 5)
	got := r.pump()
	want(t, "delivered", payloads(got), []string{"0>1#1", "1>1#1", "2>1#1", "3>1#1", "4>1#1"})
	want(t, "ack 2", r.d.Ack(got[2].Token), true)
	want(t, "ack 2 again", r.d.Ack(got[2].Token), false)
	r.commit()
	info, _ := r.m.Group("g")
	want(t, "unsettled", info.Unsettled, 4)
	want(t, "floor", info.Floor, 0)
	info, _ = r.m.Group("other")
	want(t, "unsettled by the other group", info.Unsettled, 5)
	want(t, "nothing new", len(r.pump()), 0)
	r.d.Leave(m)
	r.join("g", 2, 10)
	want(t, "the others", payloads(r.pump()), []string{"0>2#2", "1>2#2", "3>2#2", "4>2#2"})
	r.now += 1000
	want(t, "lease over", payloads(r.pump()), []string{"0>2#3", "1>2#3", "3>2#3", "4>2#3"})
}

// A leader that dies takes what was out with it, and nothing that was settled.
func TestNewLeader(t *testing.T) {
	r := newRig(t, Settings{Lease: 1000})
	r.group("g")
	r.join("g", 1, 3)
	r.texts(0, 5)
	got := r.pump()
	r.d.Ack(got[1].Token)
	r.commit()
	r.d.Ack(got[2].Token) // and not committed
	r.d = NewDispatcher(r.m, r, r)
	r.join("g", 2, 10)
	want(t, "delivered", payloads(r.pump()), []string{"0>2#1", "2>2#1", "3>2#1", "4>2#1"})
	want(t, "a token of the old leader", r.d.Ack(got[0].Token+1<<slotBits), false)
}

func TestMembersShareByTheirRoom(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	r.join("g", 1, 2)
	r.join("g", 2, 3)
	r.texts(0, 10)
	per := map[uint64]int{}
	first := r.pump()
	for _, d := range first {
		per[d.Member]++
	}
	want(t, "by room", per, map[uint64]int{1: 2, 2: 3})
	want(t, "full", len(r.pump()), 0)
	r.d.Ack(first[0].Token)
	next := r.pump()
	want(t, "one for one", len(next), 1)
	want(t, "to whom", next[0].Member, first[0].Member)
	want(t, "which", string(next[0].Message.Payload), "5")
}

func TestNoRoomUntilToldOtherwise(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	m := r.join("g", 1, 10)
	r.texts(0, 3)
	r.verdict = func(d *Delivery) Verdict {
		if d.Offset == 1 {
			return NoRoom
		}
		return Leased
	}
	want(t, "first", payloads(r.pump()), []string{"0>1#1"})
	r.verdict = nil
	want(t, "blocked", len(r.pump()), 0)
	r.d.Room(m)
	got := r.pump()
	want(t, "with room", payloads(got), []string{"1>1#1", "2>1#1"})
	r.d.Unsent(got[0].Token)
	want(t, "blocked again", len(r.pump()), 0)
	r.d.Room(m)
	want(t, "was no delivery", payloads(r.pump()), []string{"1>1#1"})
	r.d.Resize(m, 0)
	r.texts(3, 1)
	want(t, "window 0", len(r.pump()), 0)
	want(t, "keeps what it has", m.Leased(), 3)
}

func TestNackBacksOff(t *testing.T) {
	r := newRig(t, Settings{Backoff: 100, BackoffMax: 300})
	r.group("g")
	r.join("g", 1, 10)
	r.texts(0, 2)
	got := r.pump()
	r.d.Ack(got[1].Token)
	for i, pause := range []int64{100, 200, 300, 300} {
		r.d.Nack(got[0].Token, r.now)
		due, ok := r.d.NextDue()
		want(t, fmt.Sprint("due ", i), []any{due - r.now, ok}, []any{pause, true})
		r.now += pause - 1
		want(t, "too early", len(r.pump()), 0)
		r.now++
		got = r.pump()
		want(t, "again", payloads(got), []string{fmt.Sprintf("0>1#%d", i+2)})
	}
}

func TestDeadLetters(t *testing.T) {
	r := newRig(t, Settings{Lease: 50, MaxDeliveries: 2, DeadLetters: true})
	r.group("g")
	m := r.join("g", 1, 10)
	r.texts(0, 5)
	got := r.pump()
	r.d.Nack(got[0].Token, r.now)
	r.d.Release(got[1].Token)
	r.d.Reject(got[2].Token)
	r.now += 50 // the lease of 3 and 4
	got = r.pump()
	want(t, "second time", payloads(got), []string{"0>1#2", "1>1#2", "3>1#2", "4>1#2"})
	r.verdict = func(d *Delivery) Verdict { return Unfit }
	r.texts(5, 1)
	r.pump()
	r.d.Nack(got[0].Token, r.now)
	r.d.Leave(m)
	r.pump()
	var list []string
	for _, l := range r.dead {
		list = append(list, fmt.Sprintf("%s %v %d %s %d", l.Message.Payload, l.Reason, l.Count, l.Group, l.Offset))
	}
	slices.Sort(list)
	want(t, "dead letters", list, []string{
		"0 max_deliveries 2 g 0", "1 max_deliveries 2 g 1", "2 rejected 1 g 2", "3 max_deliveries 2 g 3", "4 max_deliveries 2 g 4",
		"5 too_large 0 g 5",
	})
	r.commit()
	info, _ := r.m.Group("g")
	want(t, "nothing is settled before it is stored", info.Unsettled, 6)
	token := r.dead[0].Token
	want(t, "a client cannot settle it", r.d.Ack(token), false)
	r.d.Unburied(token, r.now)
	r.dead = r.dead[:0]
	r.pump()
	want(t, "not at once", len(r.dead), 0)
	r.now += burialPause
	r.pump()
	want(t, "tried again", len(r.dead), 1)
	want(t, "buried", r.d.Buried(r.dead[0].Token), true)
	r.commit()
	info, _ = r.m.Group("g")
	want(t, "settled", []uint64{info.Unsettled, info.Buried}, []uint64{5, 1})
}

func TestWithoutADeadLetterQueue(t *testing.T) {
	r := newRig(t, Settings{MaxDeliveries: 1})
	r.group("g")
	r.join("g", 1, 10)
	r.texts(0, 2)
	got := r.pump()
	r.d.Reject(got[0].Token)
	r.d.Release(got[1].Token)
	want(t, "nothing comes again", len(r.pump()), 0)
	r.commit()
	info, _ := r.m.Group("g")
	want(t, "dropped and counted", []uint64{info.Unsettled, info.Buried, uint64(len(r.dead))}, []uint64{0, 2, 0})
}

func TestAtMostOnce(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	r.join("g", 1, 1)
	r.texts(0, 3)
	r.verdict = func(*Delivery) Verdict { return Done }
	want(t, "all at once", len(r.pump()), 3)
	r.commit()
	start, end := r.m.Offsets()
	want(t, "all settled", []uint64{start, end}, []uint64{3, 3})
}

func keyed(key, payload string) Message {
	return Message{Key: KeyOf([]byte(key)), Payload: []byte(payload), QoS: 1}
}

func TestKeyOrder(t *testing.T) {
	r := newRig(t, Settings{Dispatch: KeyOrdered, Lease: 1000, Backoff: 100})
	r.group("g")
	a := r.join("g", 1, 10)
	r.publish(keyed("x", "x0"), keyed("x", "x1"), keyed("y", "y0"), keyed("x", "x2"), text("free"), keyed("y", "y1"))
	got := r.pump()
	want(t, "one of each key", payloads(got), []string{"x0>1#1", "y0>1#1", "free>1#1"})
	r.d.Ack(got[0].Token)
	got2 := r.pump()
	want(t, "the next of x", payloads(got2), []string{"x1>1#1"})
	r.d.Nack(got2[0].Token, r.now)
	want(t, "x waits for x1", len(r.pump()), 0)
	r.now += 100
	want(t, "x1 again, not x2", payloads(r.pump()), []string{"x1>1#2"})
	r.join("g", 2, 10)
	r.d.Leave(a)
	moved := payloads(r.pump())
	slices.Sort(moved)
	want(t, "all keys moved", moved, []string{"free>2#2", "x1>2#3", "y0>2#2"})
}

func TestKeysStayWithTheirMember(t *testing.T) {
	r := newRig(t, Settings{Dispatch: KeyOrdered})
	r.group("g")
	for id := uint64(1); id <= 3; id++ {
		r.join("g", id, 100)
	}
	home := map[Key]uint64{}
	for round := range 5 {
		for i := range 30 {
			r.publish(keyed(fmt.Sprint("key", i), fmt.Sprint(round)))
		}
		for _, d := range r.pump() {
			if h, ok := home[d.Message.Key]; ok && h != d.Member {
				t.Errorf("a key moved from %d to %d", h, d.Member)
			}
			home[d.Message.Key] = d.Member
			r.d.Ack(d.Token)
		}
	}
	per := map[uint64]int{}
	for _, m := range home {
		per[m]++
	}
	want(t, "members with keys", len(per), 3)
}

// A key whose member has no room keeps nobody else waiting, up to a bound.
func TestReadAhead(t *testing.T) {
	r := newRig(t, Settings{Dispatch: KeyOrdered})
	r.group("g")
	r.join("g", 1, 10)
	r.d.ahead = 5
	for range 8 {
		r.publish(keyed("x", "x"))
	}
	r.publish(keyed("y", "y"))
	got := r.pump()
	want(t, "x alone, y is too far", payloads(got), []string{"x>1#1"})
	s, _ := r.d.Status("g")
	want(t, "parked", s.Parked, 5)
	for range 2 {
		r.d.Ack(got[0].Token)
		got = r.pump()
	}
	r.d.Ack(got[0].Token)
	want(t, "y comes into view", payloads(r.pump()), []string{"x>1#1", "y>1#1"})
}

func TestDelayAndExpiry(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	r.join("g", 1, 10)
	later, soon, gone := text("later"), text("soon"), text("gone")
	later.NotBefore, soon.Expires, gone.NotBefore, gone.Expires = r.now+100, r.now+50, r.now+10, r.now+10
	r.publish(later, soon, gone, text("now"))
	got := r.pump()
	want(t, "at once", payloads(got), []string{"soon>1#1", "now>1#1"})
	want(t, "expiry", got[0].Message.Expires, r.now+50)
	r.now += 50
	want(t, "nothing yet", len(r.pump()), 0)
	r.d.Release(got[0].Token)
	want(t, "expired while out", len(r.pump()), 0)
	due, _ := r.d.NextDue()
	want(t, "due", due-r.now, 50)
	r.now += 50
	want(t, "when its time has come", payloads(r.pump()), []string{"later>1#1"})
	r.commit()
	info, _ := r.m.Group("g")
	want(t, "expired", info.Expired, 2)
}

func TestFilter(t *testing.T) {
	r := newRig(t, Settings{})
	r.apply(AppendCreateGroup(nil, &NewGroup{Name: "g", Filter: "eu/+"}))
	r.join("g", 1, 10)
	for _, topic := range []string{"eu/a", "us/a", "", "eu/a/b", "eu/b"} {
		r.publish(Message{Topic: []byte(topic), Payload: []byte(topic)})
	}
	got := r.pump()
	want(t, "matching", payloads(got), []string{"eu/a>1#1", "eu/b>1#1"})
	r.d.Ack(got[0].Token)
	r.d.Ack(got[1].Token)
	r.commit()
	start, end := r.m.Offsets()
	want(t, "the others are done with", start, end)
	for filter, err := range map[string]error{"eu/+": nil, "eu/#": ErrFilter, "": ErrFilter, "a#": ErrMalformed} {
		want(t, "filter "+filter, r.apply(AppendCreateGroup(nil, &NewGroup{Name: "g", Filter: filter})).Err, err)
	}
}

func TestStream(t *testing.T) {
	r := newRig(t, Settings{Lease: 10, MaxDeliveries: 1, DeadLetters: true})
	r.group("g")
	r.apply(AppendCreateGroup(nil, &NewGroup{Name: "s", Stream: true}))
	r.join("g", 1, 10)
	s := r.join("s", 2, 3)
	r.texts(0, 5)
	var mine []Delivery
	for _, d := range r.pump() {
		if d.Member == 2 {
			mine = append(mine, d)
		}
	}
	want(t, "in order", payloads(mine), []string{"0>2#1", "1>2#1", "2>2#1"})
	r.d.Nack(mine[0].Token, r.now)
	r.d.Reject(mine[1].Token)
	r.now += 1000
	got := r.pump()
	want(t, "goes on whatever it said, and no lease ends", payloads(got), []string{"3>2#1", "4>2#1"})
	r.d.Leave(s)
	r.join("s", 3, 10)
	want(t, "from where it was", payloads(r.pump()), []string{"2>3#2", "3>3#2", "4>3#2"})
	for _, l := range r.dead {
		want(t, "dead letters are the group's", l.Group, "g")
	}
}

func TestSeekAndDelete(t *testing.T) {
	r := newRig(t, Settings{Retention: RetainLog})
	r.group("g")
	m := r.join("g", 1, 3)
	r.texts(0, 5)
	got := r.pump()
	r.d.Ack(got[0].Token)
	r.d.Ack(got[1].Token)
	r.apply(AppendSeek(nil, "g", From{AtOffset, 1}))
	want(t, "a token of before", r.d.Ack(got[2].Token), false)
	r.commit()
	want(t, "from there on, all of it", payloads(r.pump()), []string{"1>1#1", "2>1#1", "3>1#1"})
	r.apply(AppendDeleteGroup(nil, "g"))
	r.pump()
	want(t, "gone", m.Gone(), true)
	_, err := r.d.Join("g", 1, 3)
	want(t, "join", err, ErrNoGroup)
	r.d.Leave(m) // does nothing
	r.d.Room(m)
}

func TestPause(t *testing.T) {
	s := Settings{Paused: true}
	r := newRig(t, s)
	r.group("g")
	r.join("g", 1, 3)
	r.texts(0, 2)
	want(t, "paused", len(r.pump()), 0)
	s.Paused = false
	r.apply(AppendConfigure(nil, &s))
	want(t, "resumed", len(r.pump()), 2)
}

// A log that has to fetch, and one that cannot.
type slowLog struct {
	*rig
	err error
}

func (l *slowLog) Command(index uint64, n int) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.rig.Command(index, n)
}

func TestLogThatIsNotThere(t *testing.T) {
	r := newRig(t, Settings{})
	l := &slowLog{r, ErrLater}
	r.d = NewDispatcher(r.m, l, r)
	r.group("g")
	r.join("g", 1, 3)
	r.texts(0, 2)
	want(t, "later", len(r.pump()), 0)
	l.err = errors.New("broken disk")
	if _, err := r.d.Pump(r.now); !errors.Is(err, l.err) {
		t.Errorf("Pump: %v", err)
	}
	l.err = nil
	want(t, "then", len(r.pump()), 2)
	r.log[len(r.log)-1] = r.log[0]
	r.d = NewDispatcher(r.m, l, r)
	r.join("g", 1, 3)
	if _, err := r.d.Pump(r.now); err == nil {
		t.Error("Pump read messages from a command that has none")
	}
}

// Work is cut into pieces, and proposals too.
func TestMuchAtOnce(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	r.group("h")
	const n = 3 * maxSpans
	for i := 0; i < n; i += 64 {
		r.texts(i, 64)
	}
	r.join("g", 1, n)
	more, err := r.d.Pump(r.now)
	want(t, "one Pump", []any{len(r.got), more, err}, []any{pumpBudget, true, nil})
	tokens := make([]Token, 0, n)
	for _, d := range append(slices.Clone(r.got), r.pump()...) {
		tokens = append(tokens, d.Token)
	}
	want(t, "all of them", len(tokens), n)
	for i := 0; i < n; i += 2 {
		r.d.Ack(tokens[i])
	}
	r.join("h", 2, 1)
	r.d.Ack(r.pump()[0].Token)
	commands := 0
	for more := true; more; commands++ {
		var c []byte
		c, more = r.d.Proposal(nil, r.now)
		if len(c) > 3*maxSpans {
			t.Errorf("a command of %d bytes", len(c))
		}
		r.apply(c)
	}
	info, _ := r.m.Group("g")
	want(t, "unsettled", []uint64{info.Unsettled, info.Settled}, []uint64{n / 2, n / 2})
	want(t, "commands", commands, 2)
	info, _ = r.m.Group("h")
	want(t, "settled by h", info.Settled, 1)
	c, more := r.d.Proposal(nil, r.now)
	want(t, "no more", []any{c == nil, more}, []any{true, false})
}

// Delayed messages do not fill the memory: a group that has a million of them looks no further until one is due.
func TestWaitingIsBounded(t *testing.T) {
	r := newRig(t, Settings{})
	r.group("g")
	r.join("g", 1, 10)
	r.publish(text("first"))
	delayed := make([]Message, MaxBatch)
	for i := range delayed {
		delayed[i] = Message{NotBefore: r.now + 1000}
	}
	for range maxWaiting / MaxBatch {
		r.publish(delayed...)
	}
	r.publish(text("last"))
	want(t, "before them", payloads(r.pump()), []string{"first>1#1"})
	s, _ := r.d.Status("g")
	want(t, "waiting", s.Waiting, maxWaiting)
	r.now += 1000
	want(t, "as many as there is room for", len(r.pump()), 9)
	s, _ = r.d.Status("g")
	want(t, "waiting and ready", []int{s.Waiting, s.Ready}, []int{0, maxWaiting - 9})
}
