package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
)

// state is start, end, depth and dropped.
func (r *rig) state() []uint64 {
	start, end := r.m.Offsets()
	return []uint64{start, end, r.m.Depth(), r.m.Dropped()}
}

func TestWorkIsKeptUntilEveryGroupHasSettledIt(t *testing.T) {
	r := newRig(t, Settings{})
	r.texts(0, 4)
	want(t, "waits without a group", r.state(), []uint64{0, 4, 4, 0})
	r.group("g")
	r.group("h")
	a, b := r.join("g", 1, 10), r.join("h", 2, 10)
	for _, d := range r.pump() {
		if d.Member == 1 || d.Offset == 1 {
			r.d.Ack(d.Token)
		}
	}
	r.commit()
	want(t, "one settled all, the other the second", r.state(), []uint64{0, 4, 3, 0})
	want(t, "the log is needed from", r.m.Floor(), 2)
	r.d.Leave(a)
	r.d.Leave(b)
	r.apply(AppendDeleteGroup(nil, "h"))
	want(t, "only one group is left", r.state(), []uint64{4, 4, 0, 0})
	want(t, "the log is not needed", r.m.Floor(), uint64(len(r.log)+1))
}

func TestOverflow(t *testing.T) {
	r := newRig(t, Settings{MaxDepth: 5})
	want(t, "room", []error{r.m.Room(5, 1), r.m.Room(6, 1)}, []error{nil, ErrFull})
	r.texts(0, 3)
	res := r.texts(3, 4)
	want(t, "as many as fit", res.Outcomes, []Outcome{{Stored, 3}, {Stored, 4}, {Full, 0}, {Full, 0}})
	r.group("g")
	r.join("g", 1, 2)
	for _, d := range r.pump() {
		r.d.Ack(d.Token)
	}
	r.commit()
	res = r.texts(7, 3)
	want(t, "what was settled makes room", res.Outcomes, []Outcome{{Stored, 5}, {Stored, 6}, {Full, 0}})
	want(t, "state", r.state(), []uint64{2, 7, 5, 0})

	r = newRig(t, Settings{MaxDepth: 5, Overflow: DropOldest})
	r.texts(0, 3)
	res = r.texts(3, 4)
	want(t, "all stored", []any{res.Value, res.Outcomes == nil}, []any{3, true})
	want(t, "oldest dropped", r.state(), []uint64{2, 7, 5, 2})
	r.texts(7, 8)
	want(t, "a batch larger than the queue", r.state(), []uint64{10, 15, 5, 10})

	r = newRig(t, Settings{MaxBytes: 100})
	m := Message{Payload: make([]byte, 40)}
	res = r.publish(m, m, m)
	want(t, "bytes", res.Outcomes, []Outcome{{Stored, 0}, {Stored, 1}, {Full, 0}})
	want(t, "room in bytes", []error{r.m.Room(1, 10), r.m.Room(1, 20)}, []error{nil, ErrFull})

	var b Batch
	b.Begin(nil, &Settings{MaxMessageSize: 40}, 1)
	_, err := b.Add(&m)
	m.Topic = []byte("t")
	_, err2 := b.Add(&m)
	want(t, "message size", []any{err, errors.Is(err2, ErrTooLarge), b.Len()}, []any{nil, true, 1})
}

func TestLogRetention(t *testing.T) {
	r := newRig(t, Settings{Retention: RetainLog, MaxDepth: 6, MaxAge: 100})
	r.group("g")
	r.texts(0, 4)
	r.join("g", 1, 10)
	for _, d := range r.pump() {
		r.d.Ack(d.Token)
	}
	r.commit()
	want(t, "settled and kept", r.state(), []uint64{0, 4, 4, 0})
	r.now += 60
	r.texts(4, 4)
	want(t, "by count", r.state(), []uint64{2, 8, 6, 2})
	due, ok := r.d.NextDue()
	want(t, "due", []any{due - r.now, ok}, []any{41, true})
	r.now += 40
	r.commit()
	want(t, "not yet too old", r.state(), []uint64{2, 8, 6, 2})
	r.now++
	r.commit()
	want(t, "by age, without a publish", r.state(), []uint64{4, 8, 4, 4})

	r = newRig(t, Settings{Retention: RetainLog, MaxBytes: 1000})
	for range 100 {
		r.publish(Message{Payload: make([]byte, 96)})
	}
	want(t, "by bytes", r.state(), []uint64{90, 100, 10, 90})
	r.publish(Message{Payload: make([]byte, 2000)})
	want(t, "the newest stays", r.state(), []uint64{100, 101, 1, 100})
}

func TestDedup(t *testing.T) {
	r := newRig(t, Settings{DedupWindow: 100, DedupLimit: 3})
	id := func(s string) Message { return Message{Dedup: DedupOf([]byte(s))} }
	res := r.publish(id("a"), text("0"), id("b"), id("a"))
	want(t, "within a batch", res.Outcomes, []Outcome{{Stored, 0}, {Stored, 1}, {Stored, 2}, {Duplicate, 0}})
	r.now += 99
	offset, ok := r.m.Duplicate(DedupOf([]byte("b")))
	want(t, "asked before", []any{offset, ok}, []any{2, true})
	want(t, "within the window", r.publish(id("b"), id("c")).Outcomes, []Outcome{{Duplicate, 2}, {Stored, 3}})
	want(t, "no room to remember", r.publish(id("d"), text("1")).Outcomes, []Outcome{{Full, 0}, {Stored, 4}})
	r.apply(AppendPurge(nil, math.MaxUint64))
	want(t, "dropped, and known", r.publish(id("b")).Outcomes, []Outcome{{Duplicate, 2}})
	r.now++
	res = r.publish(id("b"))
	want(t, "after the window", []any{res.Outcomes == nil, res.Value}, []any{true, 5})
	want(t, "a window of its own", r.publish(id("c")).Outcomes, []Outcome{{Duplicate, 3}})
	r.apply(AppendConfigure(nil, &Settings{}))
	res = r.publish(id("c"))
	want(t, "turned off", []any{res.Outcomes == nil, res.Value}, []any{true, 6})
	_, ok = r.m.Duplicate(DedupOf([]byte("c")))
	want(t, "turned off, asked", ok, false)
}

func TestStartPoints(t *testing.T) {
	r := newRig(t, Settings{})
	for range 5 {
		r.texts(0, 2)
		r.now += 10
	}
	r.apply(AppendPurge(nil, 3))
	at := func(f From) uint64 { return r.m.Resolve(f) }
	first := uint64(r.now - 50)
	got := []uint64{
		at(From{}), at(From{Kind: Latest}), at(From{AtOffset, 1}), at(From{AtOffset, 7}), at(From{AtOffset, 99}),
		at(From{AtTime, 0}), at(From{AtTime, first + 10}), at(From{AtTime, first + 11}), at(From{AtTime, first + 99}),
	}
	want(t, "start points", got, []uint64{3, 10, 3, 7, 10, 3, 3, 4, 10})
}

func TestGroupLimit(t *testing.T) {
	r := newRig(t, Settings{MaxGroups: 2})
	r.group("a")
	r.group("b")
	want(t, "a third", r.apply(AppendCreateGroup(nil, &NewGroup{Name: "c"})).Err, ErrTooManyGroups)
	want(t, "one that is there", r.group("a"), 1)
	want(t, "no name", r.apply(AppendCreateGroup(nil, &NewGroup{})).Err, ErrMalformed)
	want(t, "a stream of that name", r.apply(AppendCreateGroup(nil, &NewGroup{Name: "a", Stream: true})).Err, ErrFilter)
	want(t, "nobody", []error{r.apply(AppendDeleteGroup(nil, "x")).Err, r.apply(AppendSeek(nil, "x", From{})).Err}, []error{ErrNoGroup, ErrNoGroup})
}

// A settle of before a seek, or of a group that was made again, is void.
func TestSettlesOfThePast(t *testing.T) {
	for _, change := range [][]byte{AppendSeek(nil, "g", From{}), AppendDeleteGroup(nil, "g")} {
		r := newRig(t, Settings{Retention: RetainLog})
		r.group("g")
		r.join("g", 1, 10)
		r.texts(0, 3)
		r.d.Ack(r.pump()[0].Token)
		c, _ := r.d.Proposal(nil, r.now)
		r.apply(change)
		r.group("g")
		want(t, "settled", r.apply(c), Result{})
		info, _ := r.m.Group("g")
		want(t, "unsettled", info.Unsettled, 3)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []Settings{
		{MaxAge: -1}, {MaxDepth: 1 << 61}, {Retention: 2}, {Overflow: 2}, {Dispatch: 2}, {Retention: RetainLog, Overflow: DropOldest},
		{Backoff: 2, BackoffMax: 1},
	} {
		if s.Check() == nil {
			t.Errorf("%+v is good", s)
		}
		want(t, "configure", New().Apply(1, 0, AppendConfigure(nil, &s)).Err, ErrMalformed)
	}
	want(t, "good ones", (&Settings{MaxDepth: 1 << 60, Backoff: 2, BackoffMax: 2, Overflow: DropOldest}).Check(), nil)
}

// Two replicas, one of which was restored on the way, give the same bytes; and what is restored goes on.
func TestSnapshotOfALongBacklog(t *testing.T) {
	r := newRig(t, Settings{DedupWindow: 1 << 40})
	r.group("g")
	r.join("g", 1, 10_000)
	for i := range 3000 {
		r.now++
		m := text(fmt.Sprint(i))
		m.Dedup = DedupOf(m.Payload)
		r.publish(m, text("beside"))
	}
	for i, d := range r.pump() {
		if i%7 != 0 && (i < 1000 || i > 4000) {
			r.d.Ack(d.Token)
		}
	}
	r.commit()
	s := r.m.Snapshot(nil)
	m := New()
	if err := m.Restore(uint64(len(r.log)), s); err != nil {
		t.Fatal(err)
	}
	c := AppendPurge(nil, 2000)
	want(t, "purge", m.Apply(uint64(len(r.log))+1, 0, c), r.apply(c))
	want(t, "floor", m.Floor(), r.m.Floor())
	want(t, "bytes", m.Bytes(), r.m.Bytes())
	if a, b := m.Snapshot(nil), r.m.Snapshot(nil); !bytes.Equal(a, b) {
		t.Error("the restored machine has become another")
	}
	want(t, "refused", m.Restore(9, []byte{snapshotVersion + 1}), ErrSnapshot)
	if !bytes.Equal(m.Snapshot(nil), r.m.Snapshot(nil)) {
		t.Error("a snapshot that was refused left a trace")
	}
	want(t, "the empty state", m.Restore(0, nil), nil)
	want(t, "empty", m.Snapshot(nil), New().Snapshot(nil))
}

// Nothing is allocated per message once the tables have grown, and little per batch.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, dispatch := range []Dispatch{Shared, KeyOrdered} {
		y := newYard(t, 1, 64, Settings{Lease: 1000, MaxDepth: 1 << 20, Dispatch: dispatch}, 3, true)
		l := y.parts[0]
		turn := func() {
			l.apply(y.batch)
			if n := l.dequeue(); n != 3*64 {
				t.Fatalf("settled %d", n)
			}
		}
		for range 2000 {
			turn()
		}
		if n := testing.AllocsPerRun(500, turn); n > 1 {
			t.Errorf("dispatch %d: %v allocations per batch", dispatch, n)
		}
	}
}

func TestKeys(t *testing.T) {
	want(t, "no key", []any{KeyOf(nil), DedupOf(nil)}, []any{Key(0), DedupID{}})
	// These values are in the logs of running queues.
	want(t, "hash", KeyOf([]byte("customer-7")), Key(11451578943781138446))
	per := make([]int, 10)
	for i := range 10_000 {
		per[KeyOf(fmt.Append(nil, i)).Partition(10)]++
	}
	for p, n := range per {
		if n < 800 || n > 1200 {
			t.Errorf("partition %d gets %d of 10,000 keys", p, n)
		}
	}
}
