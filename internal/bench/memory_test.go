//go:build linux

package bench

import (
	"runtime"
	"testing"
	"unsafe"
)

// What the tool itself keeps for an idle client: half a million of them must fit beside a broker on one machine.
func TestMemoryPerIdleClient(t *testing.T) {
	if size := unsafe.Sizeof(client{}); size > 32 {
		t.Errorf("a client takes %d bytes", size)
	}
	addr, _ := startFloor(t)
	target, err := ParseTarget(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.resolve(); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	const clients = 4000
	p, err := build(Scenario{Name: "x", Kind: KindIdle, Clients: clients}, target, "run", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	e, err := newEngine(p)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	fixed := len(e.in) + int(unsafe.Sizeof(*e.poll)) + 4*e.timed.Ping.ByteSize()
	e.run(0, e.clock.now(), func() bool { return false }, func(sample) {})
	if e.up != clients {
		t.Fatalf("%d clients are up, want %d: %v", e.up, clients, e.errors)
	}
	if each := (int(heap()-before) - fixed) / clients; each > 200 {
		t.Errorf("%d bytes of the tool per idle client, want at most 200", each)
	} else {
		t.Logf("%d bytes per idle client", each)
	}
}

// Receiving and acknowledging a message allocates nothing.
func TestDeliveryAllocatesNothing(t *testing.T) {
	e := &engine{groups: make([]group, 1), timed: newLatencies(), clients: make([]client, 1)}
	e.plan.Target.Version = 4
	g := &e.groups[0]
	g.Group = Group{Count: 1, Subscribe: "all", Publisher: true, QoS: 1, Base: "b", Payload: 64}
	e.plan.Publishers = 1
	g.checker = newChecker(&g.Group, 1, 1)
	g.filler = filler(64)
	e.populatePublishers(g)
	e.stage = &Stage{}
	p := &g.pubs[0]
	p.limit, p.confirm, p.allowed = 16, 1, allowAll
	c := &e.clients[0]
	seen := testing.AllocsPerRun(1000, func() {
		e.out = e.append(e.out[:0], g, p, 0, 1)
		e.acks = e.acks[:0]
		if rest := e.packets(c, e.out); len(rest) != 0 {
			t.Fatal("the packet is not understood")
		}
		e.acknowledged(c, p.packetID(), 0)
	})
	if seen != 0 || g.checker.Received != 1001 || p.done != p.seq {
		t.Errorf("%v allocations per message; %d received, %d of %d confirmed", seen, g.checker.Received, p.done, p.seq)
	}
}
