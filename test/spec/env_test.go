package spec

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// env is what one run of one test has: the version, the transport and the node
// that it is about, and names that no other run uses.
type env struct {
	*testing.T
	version   byte
	transport string
	backend   string
	node      *target.Node
	number    int64
}

// counter numbers the runs. It begins anywhere, so that a server that outlives
// this process holds nothing under our names.
var counter atomic.Int64

func init() { counter.Store(time.Now().UnixMilli() % 1e9 * 1e4) }

func (e *env) v5() bool { return e.version == wire.V5 }

// topic makes a topic of this run's own.
func (e *env) topic(name string) string { return fmt.Sprintf("run%d/%s", e.number, name) }

// id makes a client identifier of this run's own.
func (e *env) id(name string) string { return fmt.Sprintf("c%d%s", e.number, name) }

// dial opens a connection and sends nothing.
func (e *env) dial(name string) *wire.Conn {
	e.Helper()
	return e.dialTo(e.node, name)
}

func (e *env) dialTo(n *target.Node, name string) *wire.Conn {
	e.Helper()
	addr := n.TCP
	if e.transport == wire.WS {
		addr = n.WS
	}
	return wire.Dial(e, e.transport, addr, e.version, name)
}

// join connects a client with a session of its own that ends with it.
func (e *env) join(name string, props ...wire.Prop) *wire.Conn {
	e.Helper()
	c := e.dial(name)
	c.Join(wire.Connect{ClientID: e.id(name), Clean: true, Props: props})
	return c
}

// stay is the CONNECT of a client whose session outlives the connection.
func (e *env) stay(name string, props ...wire.Prop) wire.Connect {
	c := wire.Connect{ClientID: e.id(name)}
	if e.v5() {
		c.Props = append([]wire.Prop{wire.Num(wire.SessionExpiry, 300)}, props...)
	}
	return c
}

// resume connects a client with a session that outlives the connection.
func (e *env) resume(name string, props ...wire.Prop) (*wire.Conn, wire.Packet) {
	e.Helper()
	c := e.dial(name)
	return c, c.Join(e.stay(name, props...))
}

// absent proves that from has nothing on its way to to: it sends a marker along
// the same way, and the marker must be the next message that arrives.
func (e *env) absent(from, to *wire.Conn) {
	e.Helper()
	marker := fmt.Sprintf("marker/%d/%d", e.number, counter.Add(1))
	id := to.ID()
	to.Write(wire.Subscribe(e.version, id, []wire.Sub{{Filter: marker}}))
	to.Await(wire.SUBACK)
	from.Publish(wire.Publish{Topic: marker, Payload: "marker"})
	from.Ping()
	if p := to.Read(); p.Type != wire.PUBLISH || p.Topic != marker {
		e.Fatalf("%s: want nothing from %s but the marker, got %v", to.Name, from.Name, p)
	}
}

// watch subscribes a new client to the filters at QoS 2.
func (e *env) watch(name string, filters ...string) *wire.Conn {
	e.Helper()
	c := e.join(name)
	for _, f := range filters {
		c.Subscribe(f, 2)
	}
	return c
}

// refusedConnect expects that a CONNECT that is not valid ends the connection.
// 3.1.1 forbids a CONNACK then; 5.0 allows one, with a code of the list.
func (e *env) refusedConnect(c *wire.Conn, codes ...byte) {
	e.Helper()
	before := c.Closed()
	if len(before) == 0 {
		return
	}
	if !e.v5() || len(before) > 1 || before[0].Type != wire.CONNACK {
		e.Fatalf("%s: want the connection closed, got %v", c.Name, before)
	}
	for _, code := range codes {
		if before[0].Code == code && before[0].Present == 0 {
			return
		}
	}
	e.Fatalf("%s: want the end or CONNACK with a code of %#02x, got %v", c.Name, codes, before[0])
}

// payloads gives n payloads that tell their order.
func payloads(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("m%04d", i)
	}
	return all
}

// sleep waits for a time that the specification counts in whole seconds.
func sleep(seconds float64) { time.Sleep(time.Duration(seconds * float64(time.Second))) }
