package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// A client as the specification describes it talks with a session over a connection that breaks at any moment and loses
// what is on its way. In the end each side has every message of QoS 2 exactly once, every one of QoS 1 at least once, and
// both in order ([MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.6.0-6]).

// packet is one packet on its way, in either direction.
type packet struct {
	kind   mqtt.Type
	id     uint16
	number int // of the message in a PUBLISH
	qos    byte
	dup    bool
}

// sending is a message that the client sent and that is not done.
type sending struct {
	packet
	released bool
}

// peer is the client: its session state, and what its application got.
type peer struct {
	sent   []sending
	taken  map[uint16]bool // QoS 2, until PUBREL
	got    [3][]int        // by QoS
	next   uint16
	window int
}

type wire struct {
	s      *Session
	limits Limits
	v      mqtt.Version
	peer   peer
	up     bool

	toClient, toServer []packet
	storing            []stored
	applied            [3][]int // by QoS: what the server has stored, in order of arrival
	numbers            int
	delivered          [3]int // by QoS: how many were given to the session
}

// stored is a message that the server is storing.
type stored struct {
	ticket Ticket
	packet packet
}

func (w *wire) connect(t *rapid.T) {
	if w.up {
		t.Skip("up")
	}
	c := &mqtt.Connect{Version: w.v, ClientID: []byte("c")}
	apply(&c.Properties, []property{sessionExpiry(Never), receiveMaximum(uint16(w.peer.window))})
	if _, err := w.s.Connect(0, c, true); err != nil {
		t.Fatal(err)
	}
	w.up = true
	for _, p := range w.peer.sent {
		again := p.packet
		again.dup = true
		if p.released {
			again.kind = mqtt.PUBREL
		}
		w.toServer = append(w.toServer, again)
	}
	w.pump()
}

// lose breaks the connection.
func (w *wire) lose(t *rapid.T) {
	if !w.up {
		t.Skip("down")
	}
	w.up, w.toClient, w.toServer = false, nil, nil
	w.s.Close(0, Lost)
}

// pump sends what the session has to send.
func (w *wire) pump() {
	for {
		d, m, ok := w.s.Next(0)
		if !ok {
			return
		}
		w.send(&d, m)
	}
}

func (w *wire) send(d *Delivery, m *message.Message) {
	switch d.Verdict {
	case Send:
		w.toClient = append(w.toClient, packet{mqtt.PUBLISH, d.PacketID, numberOf(m), d.QoS, d.Dup})
	case SendPubrel:
		w.toClient = append(w.toClient, packet{kind: mqtt.PUBREL, id: d.PacketID})
	}
}

// deliver gives the session a message for the client.
func (w *wire) deliver(t *rapid.T) {
	qos := byte(rapid.IntRange(1, 2).Draw(t, "qos"))
	m := &message.Message{Topic: []byte("t"), Payload: fmt.Append(nil, w.delivered[qos]), QoS: qos}
	w.delivered[qos]++
	d := w.s.Deliver(0, m, &SubOptions{QoS: 2}, rapid.Bool().Draw(t, "ready"))
	w.send(&d, m)
	m.Return()
}

// publish lets the client send a message.
func (w *wire) publish(t *rapid.T) {
	if !w.up || len(w.peer.sent) >= int(w.limits.ReceiveMaximum) {
		t.Skip("the client waits")
	}
	w.peer.next = w.peer.next%5 + 1
	if slices.ContainsFunc(w.peer.sent, func(p sending) bool { return p.id == w.peer.next }) {
		t.Skip("identifier in use")
	}
	p := packet{mqtt.PUBLISH, w.peer.next, w.numbers, byte(rapid.IntRange(1, 2).Draw(t, "qos")), false}
	w.numbers++
	w.peer.sent = append(w.peer.sent, sending{packet: p})
	w.toServer = append(w.toServer, p)
}

// client takes the next packet at the client.
func (w *wire) client(t *rapid.T) {
	if len(w.toClient) == 0 {
		t.Skip("nothing for the client")
	}
	p := w.toClient[0]
	w.toClient = w.toClient[1:]
	c := &w.peer
	at := slices.IndexFunc(c.sent, func(s sending) bool { return s.id == p.id })
	switch p.kind {
	case mqtt.PUBLISH:
		if p.qos == 1 {
			c.got[1] = append(c.got[1], p.number)
			w.toServer = append(w.toServer, packet{kind: mqtt.PUBACK, id: p.id})
			return
		}
		if !c.taken[p.id] {
			c.taken[p.id] = true
			c.got[2] = append(c.got[2], p.number)
		}
		w.toServer = append(w.toServer, packet{kind: mqtt.PUBREC, id: p.id})
	case mqtt.PUBREL:
		delete(c.taken, p.id)
		w.toServer = append(w.toServer, packet{kind: mqtt.PUBCOMP, id: p.id})
	case mqtt.PUBREC:
		if at < 0 {
			t.Fatalf("PUBREC of %d, which the client has not sent", p.id)
		}
		c.sent[at].released = true
		w.toServer = append(w.toServer, packet{kind: mqtt.PUBREL, id: p.id})
	case mqtt.PUBACK, mqtt.PUBCOMP:
		if at < 0 {
			t.Fatalf("%v of %d, which the client has not sent", p.kind, p.id)
		}
		c.sent = slices.Delete(c.sent, at, at+1)
	}
}

// server takes the next packet at the server.
func (w *wire) server(t *rapid.T) {
	if len(w.toServer) == 0 {
		t.Skip("nothing for the server")
	}
	p := w.toServer[0]
	w.toServer = w.toServer[1:]
	var err error
	switch p.kind {
	case mqtt.PUBLISH:
		in, err := w.s.Publish(&mqtt.Publish{Topic: []byte("t"), QoS: p.qos, PacketID: p.id, Dup: p.dup})
		if err != nil || in.Refuse != 0 {
			t.Fatalf("PUBLISH %+v refused: %v %v", p, in.Refuse, err)
		}
		if in.Duplicate {
			w.acknowledge(t, in.Ticket)
		} else {
			w.applied[p.qos] = append(w.applied[p.qos], p.number)
			w.storing = append(w.storing, stored{in.Ticket, p})
		}
	case mqtt.PUBREL:
		w.s.Pubrel(p.id)
		w.toClient = append(w.toClient, packet{kind: mqtt.PUBCOMP, id: p.id})
	case mqtt.PUBACK:
		_, err = w.s.Puback(p.id, mqtt.Success)
	case mqtt.PUBREC:
		var rel Pubrel
		if rel, _, err = w.s.Pubrec(p.id, mqtt.Success); rel.Send {
			w.toClient = append(w.toClient, packet{kind: mqtt.PUBREL, id: p.id})
		}
	case mqtt.PUBCOMP:
		_, err = w.s.Pubcomp(p.id, mqtt.Success)
	}
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	w.pump()
}

// store ends the storing of one of the messages, in any order, also when the connection that brought it has gone.
func (w *wire) store(t *rapid.T) {
	if len(w.storing) == 0 {
		t.Skip("nothing is being stored")
	}
	i := rapid.IntRange(0, len(w.storing)-1).Draw(t, "which")
	ticket := w.storing[i].ticket
	w.storing = slices.Delete(w.storing, i, i+1)
	w.acknowledge(t, ticket)
}

func (w *wire) acknowledge(t *rapid.T, ticket Ticket) {
	err := w.s.Acknowledge(ticket, Answer{}, func(kind mqtt.Type, id uint16, _ Answer) {
		w.toClient = append(w.toClient, packet{kind: kind, id: id})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// settle lets everything come to its end.
func (w *wire) settle(t *rapid.T) {
	if !w.up {
		w.connect(t)
	}
	w.pump()
	for steps := 0; len(w.toClient)+len(w.toServer)+len(w.storing) > 0; steps++ {
		switch {
		case len(w.storing) > 0:
			w.acknowledge(t, w.storing[0].ticket)
			w.storing = w.storing[1:]
		case len(w.toClient) > 0:
			w.client(t)
		default:
			w.server(t)
		}
		if steps > 100_000 {
			t.Fatal("they never come to an end")
		}
	}
	if w.s.Load() > 0 || len(w.peer.sent) > 0 {
		t.Fatalf("%d messages to the client and %d from it are stuck", w.s.Load(), len(w.peer.sent))
	}
}

// exactly checks that the numbers are 0 to n-1, each once and in order.
func exactly(t *rapid.T, what string, got []int, n int) {
	for i, number := range got {
		if number != i {
			t.Fatalf("%s: %v", what, got)
		}
	}
	if len(got) != n {
		t.Fatalf("%s: %d of %d", what, len(got), n)
	}
}

// atLeast checks that the numbers are 0 to n-1 in the order of their first coming.
func atLeast(t *rapid.T, what string, got []int, n int) {
	next := 0
	for _, number := range got {
		if number > next {
			t.Fatalf("%s: %v", what, got)
		}
		if number == next {
			next++
		}
	}
	if next != n {
		t.Fatalf("%s: %d of %d", what, next, n)
	}
}

func TestBothSidesGetEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wire{limits: DefaultLimits(), v: rapid.SampledFrom([]mqtt.Version{mqtt.V311, mqtt.V5}).Draw(t, "version")}
		w.limits.ReceiveMaximum = uint16(rapid.IntRange(1, 4).Draw(t, "receive maximum"))
		w.limits.MaxInflight = uint16(rapid.IntRange(1, 4).Draw(t, "max inflight"))
		w.peer.window = rapid.IntRange(1, 4).Draw(t, "window")
		w.peer.taken = map[uint16]bool{}
		w.s = New(&w.limits, "c")
		w.connect(t)
		t.Repeat(map[string]func(*rapid.T){
			"connect": w.connect, "lose": w.lose, "deliver": w.deliver, "publish": w.publish, "client": w.client, "client more": w.client,
			"server": w.server, "server more": w.server, "store": w.store,
		})
		w.settle(t)
		exactly(t, "the client got of QoS 2", w.peer.got[2], w.delivered[2])
		atLeast(t, "the client got of QoS 1", w.peer.got[1], w.delivered[1])
		// From the client the two qualities share one sequence of numbers.
		both := append(slices.Clone(w.applied[1]), w.applied[2]...)
		slices.Sort(both)
		exactly(t, "the server got", slices.Compact(both), w.numbers)
		if !slices.IsSorted(w.applied[2]) || len(slices.Compact(slices.Clone(w.applied[2]))) != len(w.applied[2]) {
			t.Fatalf("the server got of QoS 2: %v", w.applied[2])
		}
	})
}
