package durable

import (
	"fmt"
	"os"
	"slices"
	"strconv"
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

// env is one run of one test: a version, a node, and names that no other run uses.
type env struct {
	*testing.T
	version byte
	node    *target.Node
	queue   string // a queue's name
	ids     int
}

var runs atomic.Int64

// both runs a test for both versions, on a node of its own with settings if there are any, else on one that all share.
func both(t *testing.T, test func(*env), settings ...string) {
	t.Helper()
	for _, v := range []byte{wire.V311, wire.V5} {
		t.Run(map[byte]string{wire.V311: "3.1.1", wire.V5: "5.0"}[v], func(t *testing.T) { test(newEnv(t, v, settings...)) })
	}
}

// only5 runs a test for 5.0.
func only5(t *testing.T, test func(*env), settings ...string) {
	t.Helper()
	test(newEnv(t, wire.V5, settings...))
}

func newEnv(t *testing.T, version byte, settings ...string) *env {
	t.Helper()
	e := &env{T: t, version: version, queue: fmt.Sprint("q", runs.Add(1))}
	if len(settings) == 0 {
		e.node = target.Shared(t, target.Backends()[0])
	} else {
		e.node = target.Start(t, target.Backends()[0], settings...)
	}
	return e
}

func (e *env) v5() bool { return e.version == wire.V5 }

// topic gives a topic of the queue.
func (e *env) topic(levels string) string {
	if levels == "" {
		return "$queue/" + e.queue
	}
	return "$queue/" + e.queue + "/" + levels
}

// join connects a client with a session that ends with its connection.
func (e *env) join(version byte, props ...wire.Prop) *wire.Conn {
	e.Helper()
	e.ids++
	id := fmt.Sprintf("%s-c%d", e.queue, e.ids)
	c := wire.Dial(e, wire.TCP, e.node.TCP, version, id)
	c.Join(wire.Connect{ClientID: id, Clean: true, Props: props})
	return c
}

// client is join in the version of the run.
func (e *env) client(props ...wire.Prop) *wire.Conn {
	e.Helper()
	return e.join(e.version, props...)
}

// stay connects a client whose session outlives its connection.
func (e *env) stay(id string, props ...wire.Prop) (*wire.Conn, wire.Packet) {
	e.Helper()
	c := wire.Dial(e, wire.TCP, e.node.TCP, e.version, id)
	connect := wire.Connect{ClientID: e.queue + "-" + id}
	if e.v5() {
		connect.Props = append([]wire.Prop{wire.Num(wire.SessionExpiry, 300)}, props...)
	}
	return c, c.Join(connect)
}

// put publishes at QoS 1 and gives the acknowledgement.
func put(c *wire.Conn, topic, payload string, props ...wire.Prop) wire.Packet {
	c.TB().Helper()
	return c.Publish(wire.Publish{Topic: topic, Payload: payload, QoS: 1, Props: props})
}

// user gives the value of a user property, "" when there is none.
func user(p wire.Packet, key string) string {
	for _, u := range p.Props.All(wire.UserProperty) {
		if u.Key == key {
			return u.Text
		}
	}
	return ""
}

// place is the partition and the offset that a packet tells.
func place(tb testing.TB, p wire.Packet) (partition, offset int) {
	tb.Helper()
	partition, err := strconv.Atoi(user(p, "partition"))
	if err != nil {
		tb.Fatalf("no partition in %v", p)
	}
	if offset, err = strconv.Atoi(user(p, "offset")); err != nil {
		tb.Fatalf("no offset in %v", p)
	}
	return partition, offset
}

// take reads n messages, acknowledges each with PUBACK, and gives their payloads in order.
func take(c *wire.Conn, n int) []string {
	c.TB().Helper()
	var got []string
	for range n {
		got = append(got, string(c.Message().Payload))
	}
	return got
}

// same compares two lists, in any order if sorted is set.
func same(tb testing.TB, what string, got, want []string, sorted bool) {
	tb.Helper()
	if sorted {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	}
	if !slices.Equal(got, want) {
		tb.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

// numbers gives the texts of from to to-1.
func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint("m", i))
	}
	return list
}

// fill publishes numbers and acknowledges nothing else.
func (e *env) fill(c *wire.Conn, topic string, from, to int) {
	e.Helper()
	for _, n := range numbers(from, to) {
		put(c, topic, n)
	}
}

// settled waits for what a client settled to be on the disk. Nothing tells a client, so that there is nothing to wait for but
// time; what comes too late is delivered again.
func settled() { time.Sleep(100 * time.Millisecond) }

// quiet proves that nothing is on its way to c: whatever the node had for it would come before the answer to a ping
// that follows some time later.
func quiet(c *wire.Conn, d time.Duration) {
	c.TB().Helper()
	time.Sleep(d)
	c.Quiet()
}

// refuses sends a PUBLISH that must be refused with a code: 5.0 is told, with a reason; 3.1.1 sees the connection end
// without an acknowledgement.
func (e *env) refuses(c *wire.Conn, p wire.Publish, code byte) {
	e.Helper()
	p.QoS, p.ID = max(p.QoS, 1), c.ID()
	c.Write(p.Bytes(c.Version))
	if !e.v5() {
		if before := c.Closed(); len(before) > 0 {
			e.Fatalf("refused message: want the connection closed without a word, got %v", before)
		}
		return
	}
	kind := byte(wire.PUBACK)
	if p.QoS == 2 {
		kind = wire.PUBREC
	}
	if a := c.Expect(kind); a.Code != code || a.ID != p.ID || a.Props.Text(wire.ReasonString) == "" {
		e.Fatalf("refused message: want %#02x with a reason, got %v", code, a)
	}
}
