package state

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// entryLog is a log in memory, that tells at once, and keeps everything for the next start.
type entryLog struct {
	machine *Machine
	entries [][]byte
	refuse  bool // the disk is full
	waits   []*proposal
}

func (l *entryLog) Propose(data []byte, essential bool, done Done) error {
	if l.refuse && !essential {
		return ErrFull
	}
	l.entries = append(l.entries, data)
	l.waits = append(l.waits, done.(*proposal))
	return nil
}

// deliver applies what was proposed and tells of it.
func (l *entryLog) deliver() {
	for len(l.waits) > 0 {
		p := l.waits[0]
		l.waits = l.waits[1:]
		l.apply(len(l.entries) - len(l.waits))
		p.Proposed(nil)
	}
}

func (l *entryLog) apply(upTo int) {
	for i := int(l.machine.Index()); i < upTo; i++ {
		if l.machine.Add(uint64(i+1), l.entries[i]) != nil || l.machine.Commit(uint64(i+1)) != nil {
			return
		}
	}
}

// world is one shard with a log and a disk, and what it should hold.
type world struct {
	t     *rapid.T
	fs    *vfs.MemFS
	store *Store
	set   *Set
	log   *entryLog
	shard *Shard

	sessions map[uint64]*naive
	retained map[string]string
}

// naive is a session.
type naive struct {
	subs     map[string]byte
	received map[uint16]bool
	items    map[uint64]string // how it is, and what
	last     uint64
}

const testShard = 5

func (w *world) open() {
	s, err := OpenStore(StoreOptions{FS: w.fs, Dir: "db", Log: slog.New(slog.DiscardHandler), MemTable: 1 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store, w.log.machine, w.log.waits = s, s.Machine(testShard), nil
	w.log.apply(len(w.log.entries))
	if err := s.Err(); err != nil {
		w.t.Fatal(err)
	}
	w.set = NewSet(s, s.log, func(int) Log { return w.log })
	w.shard = w.set.Shard(testShard)
}

// crash loses what was not on disk. The log has everything that was told, and keeps a part of what was not.
func (w *world) crash() {
	w.flush()
	if rapid.Bool().Draw(w.t, "sync") {
		if err := w.store.Sync(); err != nil {
			w.t.Fatal(err)
		}
	}
	seed := rapid.Uint64().Draw(w.t, "seed")
	after := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed % 101), RNG: rand.New(rand.NewPCG(seed, 1))})
	_ = w.store.db.Close()
	w.fs = after
	w.open()
}

func (w *world) flush() {
	w.set.FlushDirty()
	for len(w.log.waits) > 0 {
		w.log.deliver()
	}
}

func (w *world) pick() (uint64, *naive) {
	ids := make([]uint64, 0, len(w.sessions))
	for id := range w.sessions {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		w.t.Skip("no session")
	}
	slices.Sort(ids)
	id := rapid.SampledFrom(ids).Draw(w.t, "session")
	return id, w.sessions[id]
}

func (n *naive) pick(t *rapid.T, state string) uint64 {
	var ids []uint64
	for id, s := range n.items {
		if strings.HasPrefix(s, state) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("no such message")
	}
	slices.Sort(ids)
	return rapid.SampledFrom(ids).Draw(t, "message")
}

// publish gives a message to some of the sessions.
func (w *world) publish(t *rapid.T) {
	text := fmt.Sprint("m", len(w.log.entries), "-", rapid.IntRange(0, 999).Draw(t, "text"))
	m := (&message.Message{Topic: []byte("t"), Payload: []byte(text), QoS: 1}).Keep()
	defer m.Release()
	ids := make([]uint64, 0, len(w.sessions))
	for id := range w.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		n := w.sessions[id]
		for range rapid.IntRange(0, 2).Draw(t, "times") {
			number, _ := w.shard.Keep(Waiters{}, id, n.last, &session.Outbound{QoS: 1, Message: m}, "", nil)
			if n.items[number] != "" || number <= n.last {
				t.Fatalf("number %d again", number)
			}
			n.last, n.items[number] = number, "waits "+text
		}
	}
}

func (w *world) check() {
	w.flush()
	got := &dump{}
	// Loading must not disturb the shard that goes on, so it is done by another one on the same store.
	other := NewSet(w.store, w.store.log, func(int) Log { return w.log })
	if err := other.Shard(testShard).Load(got); err != nil {
		w.t.Fatal(err)
	}
	var want []string
	for id, n := range w.sessions {
		for f, qos := range n.subs {
			want = append(want, fmt.Sprintf("%d subscribes %s %d", id, f, qos))
		}
		for p := range n.received {
			want = append(want, fmt.Sprintf("%d received %d", id, p))
		}
		for number, text := range n.items {
			want = append(want, fmt.Sprintf("%d message %d %s", id, number, text))
		}
		want = append(want, fmt.Sprintf("%d is there", id))
	}
	for topic, text := range w.retained {
		want = append(want, fmt.Sprintf("retained %s %s", topic, text))
	}
	slices.Sort(want)
	slices.Sort(got.lines)
	if !slices.Equal(want, got.lines) {
		w.t.Fatalf("the store has\n%s\nwant\n%s", strings.Join(got.lines, "\n"), strings.Join(want, "\n"))
	}
}

// dump is a Visitor that writes everything down.
type dump struct{ lines []string }

func (d *dump) note(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *dump) Session(id uint64, n *session.Snapshot) error {
	d.note("%d is there", id)
	for _, s := range n.Subscriptions {
		d.note("%d subscribes %s %d", id, s.Filter, s.QoS)
	}
	for _, p := range n.Received {
		d.note("%d received %d", id, p)
	}
	for _, o := range n.Waiting {
		d.note("%d message %d waits %s", id, o.Number, o.Message.Payload)
	}
	return nil
}

func (d *dump) Retained(m *message.Message) error {
	d.note("retained %s %s", m.Topic, m.Payload)
	return nil
}
func (d *dump) Posted(Place, *message.Message) {}
func (d *dump) Arrived(Place)                  {}

// A shard holds what a naive model holds, whatever is done to it, and however often the power fails.
func TestShardAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, fs: vfs.NewCrashableMem(), log: &entryLog{}, sessions: map[uint64]*naive{}, retained: map[string]string{}}
		w.open()
		filter := rapid.SampledFrom([]string{"a", "a/b", "#"})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) {
				id := w.shard.NewSession()
				w.shard.Head(Waiters{}, id, &session.Snapshot{ClientID: fmt.Sprint(id), Version: mqtt.V5, Expiry: 9})
				w.sessions[id] = &naive{subs: map[string]byte{}, received: map[uint16]bool{}, items: map[uint64]string{}}
			},
			"end": func(*rapid.T) {
				id, n := w.pick()
				var numbers []uint64
				for number := range n.items {
					numbers = append(numbers, number)
				}
				w.shard.End(Waiters{}, id, numbers)
				delete(w.sessions, id)
			},
			"subscribe": func(t *rapid.T) {
				id, n := w.pick()
				f, qos := filter.Draw(t, "filter"), byte(rapid.IntRange(0, 2).Draw(t, "qos"))
				w.shard.Subscribe(Waiters{}, id, f, &session.SubOptions{QoS: qos}, "")
				n.subs[f] = qos
			},
			"unsubscribe": func(t *rapid.T) {
				id, n := w.pick()
				f := filter.Draw(t, "filter")
				w.shard.Unsubscribe(Waiters{}, id, f)
				delete(n.subs, f)
			},
			"publish": w.publish,
			"drop": func(t *rapid.T) {
				id, n := w.pick()
				number := n.pick(t, "waits")
				w.shard.Drop(Waiters{}, id, number, false, false)
				delete(n.items, number)
			},
			"take": func(t *rapid.T) {
				id, n := w.pick()
				p := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
				w.shard.Take(Waiters{}, id, p)
				n.received[p] = true
			},
			"free": func(t *rapid.T) {
				id, n := w.pick()
				p := uint16(rapid.IntRange(1, 5).Draw(t, "id"))
				w.shard.Free(Waiters{}, id, p)
				delete(n.received, p)
			},
			"retain": func(t *rapid.T) {
				topic, text := filter.Draw(t, "topic"), rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "text")
				m := &message.Message{Topic: []byte(topic), Payload: []byte(text), Retain: true}
				w.shard.Retain(Waiters{}, m, nil, func(*message.Message) error { return nil })
				if delete(w.retained, topic); text != "" {
					w.retained[topic] = text
				}
			},
			"flush": func(*rapid.T) { w.flush() },
			"crash": func(*rapid.T) { w.crash() },
			"check": func(*rapid.T) { w.check() },
		})
		w.crash()
		w.check()
		_ = w.store.db.Close()
	})
}
