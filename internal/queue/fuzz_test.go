package queue

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"testing"
)

// seedMachine has a bit of everything.
func seedMachine(t testing.TB) (*rig, [][]byte) {
	r := newRig(t, Settings{MaxDepth: 40, MaxBytes: 4000, MaxAge: 1000, Lease: 50, MaxDeliveries: 2, Backoff: 10, BackoffMax: 40,
		DedupWindow: 500, DeadLetters: true})
	r.group("g")
	r.apply(AppendCreateGroup(nil, &NewGroup{Name: "h", Filter: "a/#", From: From{AtOffset, 2}}))
	r.apply(AppendCreateGroup(nil, &NewGroup{Name: "s", Stream: true, From: From{Kind: Latest}}))
	r.join("g", 1, 8)
	r.publish(text("0"), Message{Topic: []byte("a/b"), Key: KeyOf([]byte("a/b")), Payload: []byte("1"), Props: []byte("p"), Captured: true})
	r.publish(Message{Key: 7, Dedup: DedupOf([]byte("x"))}, Message{Dedup: DedupOf([]byte("x"))}, Message{NotBefore: r.now + 5, Expires: r.now + 9})
	for i, d := range r.pump() {
		if i%2 == 1 {
			r.d.Ack(d.Token)
		}
	}
	r.commit()
	r.texts(5, 20)
	r.apply(AppendSeek(nil, "h", From{AtTime, uint64(r.now)}))
	r.apply(AppendPurge(nil, 1))
	r.apply(AppendDeleteGroup(nil, "nobody"))
	return r, r.log
}

// Whatever a batch holds, it is refused or every message of it can be read.
func FuzzBatch(f *testing.F) {
	_, log := seedMachine(f)
	for _, c := range log {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, ok := parseBatch(data)
		if !ok {
			return
		}
		var list []Message
		for i := range int(info.count) {
			var m Message
			if MessageAt(data, i, &m) != nil {
				return
			}
			list = append(list, m)
		}
		var b Batch
		b.Begin(nil, &Settings{}, info.time)
		for i := range list {
			if _, err := b.Add(&list[i]); err != nil {
				t.Fatal(err)
			}
		}
		again := b.Command()
		if len(again) > len(data) {
			t.Fatalf("%d bytes became %d", len(data), len(again))
		}
		for i := range list {
			var m Message
			if err := MessageAt(again, i, &m); err != nil || !reflect.DeepEqual(m, list[i]) {
				t.Fatalf("message %d: %+v, want %+v (%v)", i, m, list[i], err)
			}
		}
	})
}

// Whatever a command holds, it is applied or refused without a trace, and what comes out can be restored.
func FuzzApply(f *testing.F) {
	_, log := seedMachine(f)
	for _, c := range log {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, log := seedMachine(t)
		before := r.m.Snapshot(nil)
		was := r.m.now
		result := r.m.Apply(uint64(len(log)+1), 0, data)
		after := r.m.Snapshot(nil)
		if result.Err != nil && r.m.now == was && !bytes.Equal(before, after) {
			t.Fatalf("%v, and yet\n%x became\n%x", result.Err, before, after)
		}
		again := New()
		if err := again.Restore(1, after); err != nil || !bytes.Equal(again.Snapshot(nil), after) {
			t.Fatalf("%v: restored\n%x from\n%x", err, again.Snapshot(nil), after)
		}
	})
}

// Whatever a snapshot holds, it is refused or is the very snapshot of the state that it gives.
func FuzzSnapshot(f *testing.F) {
	r, _ := seedMachine(f)
	f.Add(r.m.Snapshot(nil))
	f.Add(New().Snapshot(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New()
		if err := m.Restore(7, data); err != nil || len(data) == 0 {
			return
		}
		if again := m.Snapshot(nil); !bytes.Equal(again, data) {
			t.Fatalf("restored\n%x from\n%x", again, data)
		}
		// It works.
		start, end := m.Offsets()
		for _, o := range []uint64{start, start + (end-start)/2, end - 1} {
			if _, ok := m.Locate(o); ok != (o >= start && o < end) {
				t.Fatalf("offset %d of %d to %d: %v", o, start, end, ok)
			}
		}
		m.Apply(math.MaxUint64>>1, 0, AppendPurge(nil, math.MaxUint64))
		if start, _ := m.Offsets(); start != end {
			t.Fatalf("start %d, want %d", start, end)
		}
	})
}

// Every prefix of what is well formed is not.
func TestCutShort(t *testing.T) {
	r, log := seedMachine(t)
	snapshot := r.m.Snapshot(nil)
	for n := 1; n < len(snapshot); n++ {
		if err := New().Restore(1, snapshot[:n]); err == nil {
			t.Errorf("a snapshot of %d bytes is good when cut to %d", len(snapshot), n)
		}
	}
	if err := New().Restore(1, append(slices.Clone(snapshot), 0)); err == nil {
		t.Error("a snapshot with a byte more is good")
	}
	for i, c := range log {
		if c[1] == kindAppend {
			continue // below
		}
		for n := range len(c) {
			if res := r.m.Apply(1000, 0, c[:n:n]); res.Err == nil {
				t.Errorf("command %d of %d bytes, kind %d, is good when cut to %d", i, len(c), c[1], n)
			}
		}
	}
	if !bytes.Equal(r.m.Snapshot(nil), snapshot) {
		t.Error("commands that were refused left a trace")
	}
	var b Batch
	b.Begin(nil, &Settings{}, 5)
	m := Message{Topic: []byte("topic"), Props: []byte("props"), Payload: []byte("x"), Key: 3, NotBefore: 1000, Expires: 1001, Dedup: DedupID{1}}
	if _, err := b.Add(&m); err != nil {
		t.Fatal(err)
	}
	c := b.Command()
	for n := range len(c) {
		if MessageAt(c[:n:n], 0, &m) == nil {
			t.Errorf("a batch of %d bytes is good when cut to %d", len(c), n)
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	m := New()
	for _, c := range [][]byte{nil, {1}, {0, 1}, {2, kindPurge, 0}, {1, 0}, {1, 200}} {
		want(t, "answer", m.Apply(1, 0, c).Err, ErrUnknown)
	}
}
