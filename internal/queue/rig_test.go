package queue

import (
	"fmt"
	"testing"
)

// rig is a partition with a log in memory, and a sink that writes down what it is given.
type rig struct {
	t   testing.TB
	m   *Machine
	d   *Dispatcher
	log [][]byte // entry i+1, one command each
	now int64

	got     []Delivery
	dead    []DeadLetter
	verdict func(*Delivery) Verdict
	b       Batch
}

func newRig(t testing.TB, s Settings) *rig {
	r := &rig{t: t, m: New(), now: 1_000_000}
	r.d = NewDispatcher(r.m, r, r)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	r.apply(AppendConfigure(nil, &s))
	return r
}

func (r *rig) Command(index uint64, n int) ([]byte, error) {
	if n != 0 {
		return nil, fmt.Errorf("command %d of entry %d", n, index)
	}
	if index < r.m.Floor() {
		return nil, fmt.Errorf("entry %d is below the floor %d", index, r.m.Floor())
	}
	return r.log[index-1], nil
}

func (r *rig) Deliver(d *Delivery) Verdict {
	v := Leased
	if r.verdict != nil {
		v = r.verdict(d)
	}
	if v != NoRoom && v != Unfit {
		r.got = append(r.got, *d)
	}
	return v
}

func (r *rig) Bury(l *DeadLetter) { r.dead = append(r.dead, *l) }

func (r *rig) apply(command []byte) Result {
	r.log = append(r.log, command)
	return r.m.Apply(uint64(len(r.log)), 0, command)
}

// publish stores messages in one batch.
func (r *rig) publish(ms ...Message) Result {
	s := r.m.Settings()
	r.b.Begin(nil, &s, r.now)
	for i := range ms {
		if _, err := r.b.Add(&ms[i]); err != nil {
			r.t.Fatal(err)
		}
	}
	return r.apply(r.b.Command())
}

func text(s string) Message { return Message{Topic: []byte("t"), Payload: []byte(s), QoS: 1} }

func (r *rig) texts(from, n int) Result {
	ms := make([]Message, n)
	for i := range ms {
		ms[i] = text(fmt.Sprint(from + i))
	}
	return r.publish(ms...)
}

func (r *rig) group(name string) uint64 {
	r.t.Helper()
	res := r.apply(AppendCreateGroup(nil, &NewGroup{Name: name}))
	if res.Err != nil {
		r.t.Fatal(res.Err)
	}
	return res.Value
}

func (r *rig) join(group string, id uint64, window int) *Member {
	r.t.Helper()
	m, err := r.d.Join(group, id, window)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// pump gives what was delivered since.
func (r *rig) pump() []Delivery {
	r.t.Helper()
	r.got = r.got[:0]
	for {
		more, err := r.d.Pump(r.now)
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return append([]Delivery(nil), r.got...)
		}
	}
}

// commit applies what the dispatcher has to propose.
func (r *rig) commit() {
	for {
		c, more := r.d.Proposal(nil, r.now)
		if c != nil {
			r.apply(c)
		}
		if !more {
			return
		}
	}
}

// payloads is what deliveries brought, to whom, the how-manieth time.
func payloads(ds []Delivery) (list []string) {
	for _, d := range ds {
		list = append(list, fmt.Sprintf("%s>%d#%d", d.Message.Payload, d.Member, d.Count))
	}
	return list
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}
