package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// The model is a session as one would write it without any thought for speed: lists that are searched from the front.
// Every operation is done to both, and every answer is compared.

// letter is a message for the client.
type letter struct {
	m        *message.Message
	number   int
	qos      byte
	id       uint16 // 0: waits
	released bool   // PUBREC came
	live     bool   // sent on this connection
	shared   bool
}

// parcelIn is a PUBLISH of the client that is not acknowledged.
type parcelIn struct {
	id        uint16
	qos       byte
	duplicate bool
	done      bool
	code      mqtt.ReasonCode
}

type openTicket struct {
	ticket Ticket
	in     *parcelIn
}

type model struct {
	s      *Session
	limits Limits
	now    int64

	online   bool
	version  mqtt.Version
	expiry   uint32
	endsAt   int64
	window   int
	inflight []*letter
	queue    []*letter

	arrivals []*parcelIn
	known    map[uint16]bool // of QoS 2 not released: is it still being stored
	held     map[uint16]bool // PUBREC left on this connection
	tickets  []openTicket

	numbers int
	dropped int // what the session said it dropped
	given   int // what was delivered at QoS 1 and 2
	ended   int // acknowledged or taken out
	all     []*message.Message

	shared *SubOptions
}

func newModel(t *rapid.T) *model {
	m := &model{limits: DefaultLimits(), now: 1_000, known: map[uint16]bool{}, held: map[uint16]bool{}}
	m.limits.MaxInflight = uint16(rapid.IntRange(0, 6).Draw(t, "max inflight"))
	m.limits.MaxQueued = rapid.IntRange(0, 8).Draw(t, "max queued")
	m.limits.Overflow = Overflow(rapid.IntRange(0, 1).Draw(t, "overflow"))
	m.limits.ReceiveMaximum = uint16(rapid.IntRange(1, 6).Draw(t, "receive maximum"))
	m.s = New(&m.limits, "c")
	m.shared = &SubOptions{QoS: 2, More: &More{Source: "group"}}
	return m
}

func (m *model) connect(t *rapid.T) {
	if m.online {
		t.Skip("connected")
	}
	c := &mqtt.Connect{Version: mqtt.V5, ClientID: []byte("c")}
	c.CleanStart = rapid.IntRange(0, 9).Draw(t, "clean") == 0
	m.window = maxPacketID
	if rapid.Bool().Draw(t, "old") {
		c.Version = mqtt.V311
		m.expiry = Never
		if c.CleanStart {
			m.expiry = 0
		}
	} else {
		m.expiry = rapid.SampledFrom([]uint32{0, 1, 100, Never}).Draw(t, "expiry")
		m.window = rapid.IntRange(1, 8).Draw(t, "window")
		apply(&c.Properties, []property{sessionExpiry(m.expiry), receiveMaximum(uint16(m.window))})
	}
	if n := int(m.limits.MaxInflight); n > 0 {
		m.window = min(m.window, n)
	}
	m.version = c.Version
	present := m.s.state == offline && !c.CleanStart && m.now < m.endsAt
	a, err := m.s.Connect(m.now, c, !c.CleanStart)
	if err != nil || a.SessionPresent != present {
		t.Fatalf("session present %v, want %v; %v", a.SessionPresent, present, err)
	}
	if !present {
		m.forget()
	}
	m.online = true
	clear(m.held)
}

// forget is the end of a session.
func (m *model) forget() {
	m.ended += len(m.inflight) + len(m.queue)
	m.inflight, m.queue, m.arrivals = nil, nil, nil
	clear(m.known)
}

func (m *model) close(t *rapid.T) {
	if !m.online {
		t.Skip("not connected")
	}
	m.endsAt = endless
	if m.expiry != Never {
		m.endsAt = m.now + int64(m.expiry)*1000
	}
	end := m.s.Close(m.now, Lost)
	if end.Ends != (m.endsAt <= m.now) {
		t.Fatalf("the session ends: %v", end.Ends)
	}
	m.online, m.arrivals = false, nil
	for _, l := range m.inflight {
		l.live = false
	}
	if rapid.Bool().Draw(t, "take shared") {
		m.takeShared(t, end.Ends)
	}
}

func (m *model) takeShared(t *rapid.T, ended bool) {
	var numbers, wanted []int
	for _, taken := range m.s.TakeShared(ended) {
		numbers = append(numbers, numberOf(taken.Message))
		taken.Message.Release()
	}
	leaves := func(l *letter) bool {
		if !l.shared || l.id != 0 && !(ended && l.qos == 1) {
			return false
		}
		wanted = append(wanted, l.number)
		return true
	}
	m.inflight = slices.DeleteFunc(m.inflight, leaves)
	m.queue = slices.DeleteFunc(m.queue, leaves)
	m.ended += len(wanted)
	if !slices.Equal(numbers, wanted) {
		t.Fatalf("taken %v, want %v", numbers, wanted)
	}
}

func (m *model) wait(t *rapid.T) { m.now += rapid.Int64Range(1, 3_000).Draw(t, "ms") }

func numberOf(m *message.Message) (n int) {
	fmt.Sscan(string(m.Payload), &n)
	return n
}

func (m *model) live() (n int) {
	for _, l := range m.inflight {
		if l.live {
			n++
		}
	}
	return n
}

func (m *model) stale() *letter {
	for _, l := range m.inflight {
		if !l.live {
			return l
		}
	}
	return nil
}

func (m *model) deliver(t *rapid.T) {
	b := &message.Message{Topic: []byte("t"), Payload: fmt.Append(nil, m.numbers), QoS: byte(rapid.IntRange(0, 2).Draw(t, "qos"))}
	if rapid.IntRange(0, 3).Draw(t, "expires") == 0 {
		b.Expires = m.now + rapid.Int64Range(0, 4_000).Draw(t, "lifetime")
	}
	k := b.Keep()
	m.all = append(m.all, k)
	ready := rapid.IntRange(0, 4).Draw(t, "ready") > 0
	o := &SubOptions{QoS: 2}
	l := &letter{m: k, number: m.numbers, qos: b.QoS, shared: rapid.Bool().Draw(t, "shared")}
	if l.shared {
		o = m.shared
	}
	m.numbers++
	d := m.s.Deliver(m.now, b, o, ready)
	b.Return()

	expired := b.Expires != 0 && m.now >= b.Expires
	switch {
	case expired:
		m.expect(t, &d, Dropped, Expired)
	case l.qos == 0 && !m.online:
		m.expect(t, &d, Dropped, NotHere)
	case l.qos == 0 && !ready:
		m.expect(t, &d, Dropped, NotReady)
	case l.qos == 0:
		m.expect(t, &d, Send, 0)
	case m.online && ready && m.stale() == nil && len(m.queue) == 0 && m.live() < m.window:
		m.given++
		m.expect(t, &d, Send, 0)
		m.launch(t, l, &d)
	case m.s.state == fresh || m.s.state == ended:
		m.expect(t, &d, Dropped, NotHere)
	case m.limits.MaxQueued == 0 || len(m.queue) == m.limits.MaxQueued && m.limits.Overflow == DropNewest:
		m.given++
		m.dropped++
		m.expect(t, &d, Dropped, QueueFull)
	default:
		m.given++
		m.expect(t, &d, Queued, 0)
		if len(m.queue) == m.limits.MaxQueued {
			m.queue = m.queue[1:]
			m.dropped++
			if d.Evicted != 1 {
				t.Fatalf("%d evicted, want 1", d.Evicted)
			}
		}
		m.queue = append(m.queue, l)
	}
}

func (m *model) expect(t *rapid.T, d *Delivery, v Verdict, r Reason) {
	if d.Verdict != v || d.Reason != r {
		t.Fatalf("verdict %v %v, want %v %v", d.Verdict, d.Reason, v, r)
	}
}

// launch checks the first sending of a message.
func (m *model) launch(t *rapid.T, l *letter, d *Delivery) {
	if d.PacketID == 0 || d.Dup || d.QoS != l.qos {
		t.Fatalf("first sending: %+v", d)
	}
	for _, other := range m.inflight {
		if other.id == d.PacketID {
			t.Fatalf("identifier %d is in use", d.PacketID)
		}
	}
	l.id, l.live = d.PacketID, true
	m.inflight = append(m.inflight, l)
	if m.live() > m.window {
		t.Fatalf("%d in flight, the window is %d", m.live(), m.window)
	}
}

func (m *model) next(t *rapid.T) {
	d, got, ok := m.s.Next(m.now)
	switch l := m.stale(); {
	case !m.online:
		m.expectNothing(t, ok)
	case l != nil && l.released:
		if !ok || d.Verdict != SendPubrel || d.PacketID != l.id {
			t.Fatalf("%+v, want the PUBREL of %d", d, l.id)
		}
		l.live = true
	case l != nil && m.live() < m.window:
		if !ok || d.Verdict != Send || !d.Dup || d.PacketID != l.id || numberOf(got) != l.number || d.QoS != l.qos {
			t.Fatalf("%+v, want %d again", d, l.number)
		}
		l.live = true
	case l != nil || len(m.queue) == 0 || m.live() >= m.window:
		m.expectNothing(t, ok)
	default:
		l := m.queue[0]
		m.queue = m.queue[1:]
		if l.m.Expired(m.now) {
			m.expect(t, &d, Dropped, Expired)
			m.dropped++
			return
		}
		m.expect(t, &d, Send, 0)
		if numberOf(got) != l.number {
			t.Fatalf("message %d, want %d", numberOf(got), l.number)
		}
		m.launch(t, l, &d)
	}
}

func (m *model) expectNothing(t *rapid.T, ok bool) {
	if ok {
		t.Fatal("something is sent")
	}
}

// acknowledge sends an acknowledgement of any kind for any identifier.
func (m *model) acknowledge(t *rapid.T) {
	if !m.online {
		t.Skip("not connected")
	}
	id := uint16(rapid.IntRange(1, 9).Draw(t, "id"))
	i := slices.IndexFunc(m.inflight, func(l *letter) bool { return l.id == id })
	code := rapid.SampledFrom([]mqtt.ReasonCode{mqtt.Success, mqtt.Success, mqtt.QuotaExceeded}).Draw(t, "code")
	kind := rapid.IntRange(1, 3).Draw(t, "kind")
	var l letter
	if i >= 0 {
		l = *m.inflight[i]
	}
	var done Settled
	var rel Pubrel
	var err error
	ends, broken := false, i >= 0 && (l.qos == 1) != (kind == 1)
	switch kind {
	case 1:
		done, err = m.s.Puback(id, code)
		ends = l.qos == 1
	case 2:
		rel, done, err = m.s.Pubrec(id, code)
		ends = l.qos == 2 && code.IsError()
		if rel.Send != (!code.IsError() && !broken) || rel.Send && (rel.Code == mqtt.Success) != (i >= 0) {
			t.Fatalf("PUBREC of %d is answered %+v", id, rel)
		}
		if rel.Send && i >= 0 {
			m.inflight[i].released, m.inflight[i].live = true, true
		}
	case 3:
		done, err = m.s.Pubcomp(id, mqtt.Success)
		ends = l.qos == 2 && l.released
		broken = broken || i >= 0 && !l.released
	}
	if (err != nil) != broken || done.Done != (ends && !broken) {
		t.Fatalf("acknowledgement %d of %+v: done %v, error %v", kind, l, done.Done, err)
	}
	if done.Done {
		m.inflight = slices.Delete(m.inflight, i, i+1)
		m.ended++
	}
}

// publish takes a message of the client.
func (m *model) publish(t *rapid.T) {
	if !m.online {
		t.Skip("not connected")
	}
	p := &mqtt.Publish{
		Topic: []byte("t"), QoS: byte(rapid.IntRange(1, 2).Draw(t, "qos")), PacketID: uint16(rapid.IntRange(1, 6).Draw(t, "id")),
		Dup: rapid.Bool().Draw(t, "dup"),
	}
	in, err := m.s.Publish(p)
	pending, known := m.known[p.PacketID]
	open := len(m.arrivals) + len(m.held)
	if p.QoS == 2 && m.held[p.PacketID] {
		open--
	}
	if m.version == mqtt.V5 && open >= int(m.limits.ReceiveMaximum) {
		if err == nil {
			t.Fatalf("%d messages without acknowledgement", open)
		}
		return // the owner would close; this one goes on, as nothing has changed
	}
	a := &parcelIn{id: p.PacketID, qos: p.QoS, duplicate: p.QoS == 2 && known}
	refused := p.QoS == 1 && known
	if err != nil || in.Duplicate != a.duplicate || (in.Refuse != 0) != refused {
		t.Fatalf("%+v, %v; duplicate %v, refused %v", in, err, a.duplicate, refused)
	}
	m.arrivals = append(m.arrivals, a)
	switch {
	case refused && m.version != mqtt.V5:
		m.arrivals = m.arrivals[:len(m.arrivals)-1]
		m.expectClosed(t, in.Ticket, in.Refuse)
	case refused:
		a.done, a.code = true, in.Refuse
		m.settle(t, in.Ticket, in.Refuse)
	case a.duplicate:
		a.done = !pending
		m.settle(t, in.Ticket, mqtt.Success)
	default:
		if a.qos == 2 {
			m.known[a.id] = true
		}
		m.tickets = append(m.tickets, openTicket{in.Ticket, a})
	}
}

// expectClosed refuses a message of an old client, whose connection must end.
func (m *model) expectClosed(t *rapid.T, ticket Ticket, code mqtt.ReasonCode) {
	if err := m.s.Acknowledge(ticket, Answer{Code: code}, m.unwanted(t)); err == nil {
		t.Fatal("an old client was told of a refusal")
	}
	m.close(t)
}

func (m *model) unwanted(t *rapid.T) Emit {
	return func(kind mqtt.Type, id uint16, v Answer) {
		t.Fatalf("unwanted %v of %d: %v", kind, id, v.Code)
	}
}

// store ends the storing of one message, in any order.
func (m *model) store(t *rapid.T) {
	if len(m.tickets) == 0 {
		t.Skip("nothing is being stored")
	}
	i := rapid.IntRange(0, len(m.tickets)-1).Draw(t, "which")
	o := m.tickets[i]
	m.tickets = slices.Delete(m.tickets, i, i+1)
	code := rapid.SampledFrom([]mqtt.ReasonCode{mqtt.Success, mqtt.Success, mqtt.QuotaExceeded}).Draw(t, "code")
	here := slices.Contains(m.arrivals, o.in)
	answers := here
	if here {
		o.in.done, o.in.code = true, code
	}
	if o.in.qos == 2 && m.known[o.in.id] && m.stillThere(o) {
		for _, a := range m.arrivals {
			if a.duplicate && a.id == o.in.id && !a.done {
				a.done, a.code, answers = true, code, true
			}
		}
		if code.IsError() {
			delete(m.known, o.in.id)
		} else {
			m.known[o.in.id] = false
		}
	}
	if code.IsError() && m.version != mqtt.V5 && m.online && answers {
		m.expectClosed(t, o.ticket, code)
		return
	}
	m.settle(t, o.ticket, code)
}

// stillThere tells whether a ticket is of the session of now.
func (m *model) stillThere(o openTicket) bool {
	return m.s.in != nil && o.ticket.number() >= m.s.in.birth
}

// settle acknowledges and compares what leaves.
func (m *model) settle(t *rapid.T, ticket Ticket, code mqtt.ReasonCode) {
	var got, wanted emitted
	if err := m.s.Acknowledge(ticket, Answer{Code: code}, got.emit); err != nil {
		t.Fatal(err)
	}
	for len(m.arrivals) > 0 && m.arrivals[0].done {
		a := m.arrivals[0]
		m.arrivals = m.arrivals[1:]
		kind := mqtt.PUBACK
		if a.qos == 2 {
			kind = mqtt.PUBREC
			if _, known := m.known[a.id]; known && !a.code.IsError() {
				m.held[a.id] = true
			}
		}
		wanted.emit(kind, a.id, Answer{Code: a.code})
	}
	if !slices.Equal(got, wanted) {
		t.Fatalf("acknowledgements %v, want %v", got, wanted)
	}
}

func (m *model) release(t *rapid.T) {
	if !m.online {
		t.Skip("not connected")
	}
	id := uint16(rapid.IntRange(1, 6).Draw(t, "id"))
	pending, known := m.known[id]
	if code := m.s.Pubrel(id); (code == mqtt.Success) != (known && !pending) {
		t.Fatalf("PUBREL of %d: %v", id, code)
	}
	if known && !pending {
		delete(m.known, id)
		delete(m.held, id)
	}
}

// restore puts the session through a snapshot.
func (m *model) restore(t *rapid.T) {
	if m.s.state != offline {
		t.Skip("not offline")
	}
	old := m.s
	m.s = Restore(m.now, &m.limits, old.Snapshot())
	old.End()
	// The node has gone down in between: what was being stored was not.
	m.tickets = nil
	for id, pending := range m.known {
		if pending {
			delete(m.known, id)
		}
	}
}

func (m *model) check(t *rapid.T) {
	if got := m.s.Load(); got != len(m.inflight)+len(m.queue) {
		t.Fatalf("load %d, want %d and %d", got, len(m.inflight), len(m.queue))
	}
	if got := m.s.Queued(); got != len(m.queue) || got > m.limits.MaxQueued {
		t.Fatalf("%d wait, want %d of at most %d", got, len(m.queue), m.limits.MaxQueued)
	}
	if m.given != m.ended+m.dropped+len(m.inflight)+len(m.queue) {
		t.Fatalf("%d given, %d ended, %d dropped, %d in flight, %d wait", m.given, m.ended, m.dropped, len(m.inflight), len(m.queue))
	}
	size := 0
	for _, l := range m.queue {
		size += l.m.Size()
	}
	if got := m.s.QueuedBytes(); got != size {
		t.Fatalf("%d bytes wait, want %d", got, size)
	}
	room := 0
	if m.online && m.stale() == nil && len(m.queue) == 0 {
		room = max(0, m.window-m.live())
	}
	if got := m.s.Room(); got != room {
		t.Fatalf("room for %d, want %d", got, room)
	}
}

// finish ends the session: every reference that it took has been given back.
func (m *model) finish(t *rapid.T) {
	m.s.End()
	for _, k := range m.all {
		k.Release()
		if k.Kept() {
			t.Fatalf("message %s was not released", k.Payload)
		}
	}
}

func TestSessionAgainstTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"connect": m.connect, "close": m.close, "wait": m.wait, "deliver": m.deliver, "deliver more": m.deliver, "next": m.next,
			"next more": m.next, "acknowledge": m.acknowledge, "acknowledge more": m.acknowledge, "publish": m.publish, "store": m.store,
			"release": m.release, "restore": m.restore, "": m.check,
		})
		m.finish(t)
	})
}
