package hostile

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

func TestMain(m *testing.M) {
	code := m.Run()
	target.StopAll()
	os.Exit(code)
}

// hub is what an attack has: a node, and names of its own.
type hub struct {
	*testing.T
	node    *target.Node
	backend string
	number  int64
}

var counter atomic.Int64

var versions = []byte{wire.V311, wire.V5}

// on runs an attack against the shared node of each back end, with a witness.
func on(t *testing.T, attack func(h *hub)) {
	for _, backend := range target.Backends() {
		t.Run(backend, func(t *testing.T) {
			h := &hub{T: t, node: target.Shared(t, backend), backend: backend, number: counter.Add(1)}
			h.witnessed(attack)
		})
	}
}

// onOwn does the same with a node of its own, for attacks on settings.
func onOwn(t *testing.T, settings []string, attack func(h *hub)) {
	for _, backend := range target.Backends() {
		t.Run(backend, func(t *testing.T) {
			h := &hub{T: t, node: target.Start(t, backend, settings...), backend: backend, number: counter.Add(1)}
			h.witnessed(attack)
		})
	}
}

func (h *hub) id(name string) string    { return fmt.Sprintf("h%d%s", h.number, name) }
func (h *hub) topic(name string) string { return fmt.Sprintf("hostile%d/%s", h.number, name) }

// dial opens a connection over TCP and sends nothing.
func (h *hub) dial(version byte, name string) *wire.Conn {
	h.Helper()
	return wire.Dial(h, wire.TCP, h.node.TCP, version, name)
}

func (h *hub) dialWS(version byte, name string) (*wire.Conn, *wire.WebSocket) {
	h.Helper()
	if h.node.WS == "" {
		h.Skip("the server under test has no WebSocket listener")
	}
	c := wire.Dial(h, wire.WS, h.node.WS, version, name)
	return c, c.Net().(*wire.WebSocket)
}

// join connects a client with a session that ends with it.
func (h *hub) join(version byte, name string, props ...wire.Prop) *wire.Conn {
	h.Helper()
	c := h.dial(version, name)
	c.Join(wire.Connect{ClientID: h.id(name), Clean: true, Props: props})
	return c
}

// ends expects that the server closes the connection. It gives what came before.
func ends(c *wire.Conn) []wire.Packet { return c.Closed() }

// witness is a publisher and a subscriber that exchange messages at QoS 1.
type witness struct {
	pub, sub *wire.Conn
	topic    string
	count    atomic.Int64
	stop     chan struct{}
	done     chan error
}

func (h *hub) witnessed(attack func(h *hub)) {
	h.Helper()
	w := &witness{topic: h.topic("witness"), stop: make(chan struct{}), done: make(chan error, 1)}
	w.sub, w.pub = h.join(wire.V5, "witness-sub"), h.join(wire.V311, "witness-pub")
	w.sub.Subscribe(w.topic, 1)
	go func() { w.done <- w.run() }() // ends when stop is closed
	for w.count.Load() == 0 && len(w.done) == 0 {
		time.Sleep(time.Millisecond)
	}
	attack(h)
	before := w.count.Load()
	for w.count.Load() == before && len(w.done) == 0 { // served after the attack as well
		time.Sleep(time.Millisecond)
	}
	close(w.stop)
	if err := <-w.done; err != nil {
		h.Errorf("while it was attacked the server failed others: %v", err)
	}
}

func (w *witness) run() error {
	for n := int64(1); ; n++ {
		select {
		case <-w.stop:
			return nil
		default:
		}
		payload := fmt.Sprint(n)
		id := uint16(n%65000) + 1
		if err := w.pub.TryWrite(wire.Publish{Topic: w.topic, Payload: payload, QoS: 1, ID: id}.Bytes(wire.V311)); err != nil {
			return err
		}
		if p, err := w.pub.Take(wire.Patience); err != nil || p.Type != wire.PUBACK || p.ID != id {
			return fmt.Errorf("message %d: acknowledgement %v, %v", n, p, err)
		}
		p, err := w.sub.Take(wire.Patience)
		if err != nil || p.Type != wire.PUBLISH || string(p.Payload) != payload {
			return fmt.Errorf("message %d: delivery %v, %v", n, p, err)
		}
		if err := w.sub.TryWrite(wire.Ack(wire.PUBACK, p.ID)); err != nil {
			return err
		}
		w.count.Store(n)
		time.Sleep(time.Millisecond)
	}
}

const mib = 1 << 20

// heap is what live objects take, after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	return objects()
}

func objects() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// bounded runs a step and fails when the heap grows by more than limit bytes
// meanwhile. The clients live in the same process, so that a step must not hold
// much itself.
func (h *hub) bounded(limit int64, step func()) {
	h.Helper()
	if h.node.Stop == nil { // another process
		step()
		return
	}
	start := heap()
	var peak atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is closed
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				peak.Store(max(peak.Load(), objects()))
			}
		}
	}()
	step()
	close(stop)
	<-done
	if grown := peak.Load() - start; grown > limit {
		h.Errorf("memory grew by %d MiB, more than %d", grown/mib, limit/mib)
	}
}

// settles fails when the heap stays more than limit bytes above its start after
// a step, however long one waits.
func (h *hub) settles(limit int64, step func()) {
	h.Helper()
	if left := h.leaves(limit, wire.Patience, step); left > limit {
		h.Errorf("%d KiB stay in memory, more than %d", left>>10, limit>>10)
	}
}

// settlesInTime is settles for a step that also fills buffers of the store on disk, which grow in steps to a bound
// (state.Options.MemTable) and stay: what leaks grows in every round, a buffer in a few.
func (h *hub) settlesInTime(limit int64, step func()) {
	h.Helper()
	var left int64
	for range 5 {
		if left = h.leaves(limit, wire.Patience/4, step); left <= limit {
			return
		}
	}
	h.Errorf("each round leaves memory behind, the last one %d KiB, more than %d", left>>10, limit>>10)
}

// leaves gives how many bytes of memory a step leaves behind, when that has fallen to limit or patience is over.
func (h *hub) leaves(limit int64, patience time.Duration, step func()) int64 {
	if h.node.Stop == nil { // another server's memory is not ours to see
		step()
		return 0
	}
	start := heap()
	step()
	var left int64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = heap() - start; left <= limit {
			break
		}
	}
	return left
}
