package spec

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Connections break at random in the middle of handshakes, on both sides of the
// server, and clients come back at once, often before the server has seen them
// go. Every message at QoS 2 arrives exactly once and in the order of its
// publisher; every one at QoS 1 at least once.
func TestExactlyOnce(t *testing.T) {
	for _, backend := range backends {
		for _, transport := range []string{wire.TCP, wire.WS} {
			for _, version := range []byte{wire.V311, wire.V5} {
				t.Run(fmt.Sprintf("%s/%s/%d", backend, transport, version), func(t *testing.T) {
					t.Parallel()
					node := target.Shared(t, backend)
					if transport == wire.WS && node.WS == "" {
						t.Skip("the server under test has no WebSocket listener")
					}
					e := &env{T: t, version: version, transport: transport, backend: backend, node: node, number: counter.Add(1)}
					e.exactlyOnce(rand.New(rand.NewPCG(uint64(e.number), uint64(version))))
				})
			}
		}
	}
}

// brittle is a client whose connection breaks now and then, with the state that
// a client keeps.
type brittle struct {
	e    *env
	name string
	c    *wire.Conn
	dice *rand.Rand

	// as a publisher
	todo []wire.Publish
	open []flight // in the order of sending

	// as a subscriber
	filter   string
	received map[uint16]bool // QoS 2, until PUBREL
	got      []string
}

type flight struct {
	wire.Publish
	released bool
}

// connect comes back, and sends again what was not acknowledged.
func (b *brittle) connect() {
	c, p := b.e.resume(b.name)
	b.c = c
	if p.Present == 0 && b.filter != "" {
		c.Subscribe(b.filter, 2)
	}
	for i := range b.open {
		b.send(&b.open[i], true)
	}
}

func (b *brittle) send(f *flight, again bool) {
	packet := wire.Ack(wire.PUBREL, f.ID)
	if !f.released {
		f.Dup = again
		packet = f.Bytes(b.e.version)
	}
	b.c.TryWrite(packet)
}

// breaks may end the connection, as a network would.
func (b *brittle) breaks(oneIn int) bool {
	if b.dice.IntN(oneIn) > 0 {
		return false
	}
	b.c.Close()
	b.connect()
	return true
}

// publish sends everything, with a few messages under way at a time.
func (b *brittle) publish() {
	b.connect()
	for id := uint16(0); len(b.todo)+len(b.open) > 0; {
		if len(b.todo) > 0 && len(b.open) < 5 {
			id++
			f := flight{Publish: b.todo[0]}
			f.ID = id
			b.todo, b.open = b.todo[1:], append(b.open, f)
			b.send(&f, false)
			b.breaks(15)
			continue
		}
		p, err := b.c.Take(wire.Patience)
		if err != nil {
			b.e.Errorf("%s: %v", b.name, err)
			return
		}
		b.acknowledged(p)
		b.breaks(15)
	}
	b.c.Leave()
}

func (b *brittle) acknowledged(p wire.Packet) {
	for i := range b.open {
		f := &b.open[i]
		if f.ID != p.ID {
			continue
		}
		switch {
		case p.Code >= 0x80 && p.Code != 0x92: // 0x92: the server had finished already
			b.e.Errorf("%s: %q was answered with %v", b.name, f.Payload, p)
		case p.Type == wire.PUBREC:
			f.released = true
			b.send(f, false)
			return
		}
		b.open = append(b.open[:i:i], b.open[i+1:]...)
		return
	}
}

// receive reads until stop messages have come.
func (b *brittle) receive(stop func(got []string) bool) {
	for !stop(b.got) {
		p, err := b.c.Take(wire.Patience)
		if err != nil {
			b.e.Errorf("%s: after %d messages: %v", b.name, len(b.got), err)
			return
		}
		switch {
		case p.Type == wire.PUBREL:
			delete(b.received, p.ID)
			b.c.TryWrite(wire.Ack(wire.PUBCOMP, p.ID))
		case p.Type == wire.PUBLISH && p.QoS() == 2:
			if !b.received[p.ID] {
				b.received[p.ID] = true
				b.got = append(b.got, string(p.Payload))
			}
			b.c.TryWrite(wire.Ack(wire.PUBREC, p.ID))
		case p.Type == wire.PUBLISH && p.QoS() == 1:
			b.got = append(b.got, string(p.Payload))
			b.c.TryWrite(wire.Ack(wire.PUBACK, p.ID))
		}
		b.breaks(25)
	}
}

func (e *env) exactlyOnce(dice *rand.Rand) {
	const publishers, subscribers, n = 3, 3, 60
	roll := func() *rand.Rand { return rand.New(rand.NewPCG(dice.Uint64(), dice.Uint64())) }
	var all sync.WaitGroup
	var subs []*brittle
	for i := range subscribers {
		s := &brittle{e: e, name: fmt.Sprint("s", i), filter: e.topic("#"), received: map[uint16]bool{}, dice: roll()}
		s.connect()
		subs = append(subs, s)
		all.Go(func() { s.receive(func(got []string) bool { return distinct(got) == publishers*n }) })
	}
	for i := range publishers {
		p := &brittle{e: e, name: fmt.Sprint("p", i), dice: roll()}
		for j, payload := range payloads(n) {
			qos := byte(2)
			if j%4 == 3 {
				qos = 1
			}
			p.todo = append(p.todo, wire.Publish{Topic: e.topic(fmt.Sprint(i)), Payload: fmt.Sprintf("q%dp%d%s", qos, i, payload), QoS: qos})
		}
		all.Go(p.publish)
	}
	all.Wait()
	// What would come twice comes before this one.
	end := e.join("end")
	end.Publish(wire.Publish{Topic: e.topic("end"), Payload: "q2p9", QoS: 2})
	for _, s := range subs {
		s.receive(func(got []string) bool { return slices.Contains(got, "q2p9") })
		last, seen := map[string]string{}, map[string]bool{}
		for _, payload := range s.got {
			if payload[:2] != "q2" {
				continue
			}
			if seen[payload] {
				e.Errorf("%s: %s came twice", s.name, payload)
			}
			if stream := payload[:4]; payload < last[stream] {
				e.Errorf("%s: %s came after %s", s.name, payload, last[stream])
			} else {
				last[stream] = payload
			}
			seen[payload] = true
		}
	}
}

func distinct(all []string) int {
	m := map[string]bool{}
	for _, s := range all {
		m[s] = true
	}
	return len(m)
}
