package clients

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
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

// patience bounds failing tests; starting forty processes on two cores is slow.
const patience = 60 * time.Second

// message is what is published, and what came. What a client does not tell of a
// received message is -1.
type message struct {
	topic   string
	payload string
	qos     int
	retain  int
}

// job is what one client is asked to do.
type job struct {
	node    *target.Node
	version byte
	id      string
	keep    bool // a session that outlives the connection
	filter  string
	qos     int
	will    *message
}

// A client is one kind of client.
type client interface {
	// ready fails or skips the test when the machine lacks the client.
	ready(t *testing.T)
	// speaks tells whether it knows the version.
	speaks(version byte) bool
	// publish sends messages, one after the other, each to its end.
	publish(t *testing.T, j job, all []message) error
	// subscribe connects and subscribes. The messages go to the receiver.
	subscribe(t *testing.T, j job) *receiver
}

// kinds are all clients, by name.
var kinds = map[string]client{
	"mosquitto":   mosquitto{},
	"paho-c":      pahoC{"paho_c"},
	"paho-c-sync": pahoC{"paho_cs"},
	"paho-python": script{python, "tcp"},
	"mqttjs":      script{node, "tcp"},
	"mqttjs-ws":   script{node, "ws"},
	"paho-go":     pahoGo3{"tcp"},
	"paho-go-ws":  pahoGo3{"ws"},
	"paho-go5":    pahoGo5{},
}

// names are the clients that know a version and that this machine has, sorted.
func names(t *testing.T, version byte) []string {
	var all []string
	for name, c := range kinds {
		if !c.speaks(version) {
			continue
		}
		if t.Run("have "+name, c.ready) && usable(name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// missing fails the test in CI and skips it elsewhere.
func missing(t *testing.T, name, why string) {
	t.Helper()
	unusable.Store(name, true)
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %s", name, why)
	}
	t.Skipf("%s: %s (make deps installs what the tests need)", name, why)
}

var unusable sync.Map

func usable(name string) bool {
	_, is := unusable.Load(name)
	return !is
}

// receiver collects what one subscriber got.
type receiver struct {
	name string
	stop func(kill bool) // ends it: normally, or as a broken connection would

	mu struct {
		sync.Mutex
		got     []message
		present string // session present, where the client tells: "0" or "1"
		ready   bool
		failed  error
	}
}

func (r *receiver) add(m message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.got = append(r.mu.got, m)
}

// messages gives what came, without the probes.
func (r *receiver) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []message
	for _, m := range r.mu.got {
		if !strings.HasPrefix(m.payload, "probe") {
			all = append(all, m)
		}
	}
	return all
}

func (r *receiver) has(payload string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.mu.got, func(m message) bool { return m.payload == payload })
}

func (r *receiver) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.failed
}

var counter atomic.Int64

// run is one test against one node: names of its own, and a raw client.
type run struct {
	*testing.T
	node    *target.Node
	version byte
	number  int64
	raw     *wire.Conn
}

// both runs a test for both versions on the first back end; the clients cannot
// tell one back end from the other, and test/spec shows that they are alike.
func both(t *testing.T, test func(r *run)) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	backends := target.Backends()
	if len(backends) == 0 {
		t.Skip("there is no node to start yet")
	}
	for version, name := range map[byte]string{wire.V311: "3.1.1", wire.V5: "5.0"} {
		t.Run(name, func(t *testing.T) {
			r := &run{T: t, node: target.Shared(t, backends[0]), version: version, number: counter.Add(1)}
			r.raw = wire.Dial(t, wire.TCP, r.node.TCP, wire.V311, "raw")
			r.raw.Join(wire.Connect{ClientID: r.id("raw"), Clean: true})
			test(r)
		})
	}
}

func (r *run) id(name string) string    { return fmt.Sprintf("cl%d-%s", r.number, name) }
func (r *run) topic(name string) string { return fmt.Sprintf("clients%d/%s", r.number, name) }

func (r *run) job(name string) job { return job{node: r.node, version: r.version, id: r.id(name)} }

// await waits for a condition.
func (r *run) await(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

// probe publishes to a topic until the receiver hears it: then its subscription
// is there. Some clients do not tell.
func (r *run) probe(recv *receiver, topic string) {
	r.Helper()
	token := fmt.Sprintf("probe%d", counter.Add(1))
	next := time.Now()
	r.await(recv.name+" to subscribe", func() bool {
		if err := recv.err(); err != nil {
			r.Fatalf("%s: %v", recv.name, err)
		}
		if time.Now().After(next) {
			r.raw.Publish(wire.Publish{Topic: topic, Payload: token})
			next = time.Now().Add(200 * time.Millisecond)
		}
		return recv.has(token)
	})
}

// exactly fails unless these messages came, each once, those of one topic and
// QoS in order.
func (r *run) exactly(recv *receiver, want []message) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for len(recv.messages()) < len(want) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	got := recv.messages()
	streams := func(all []message) map[string][]string {
		m := map[string][]string{}
		for _, one := range all {
			key, _, _ := strings.Cut(one.payload, "#")
			m[key] = append(m[key], one.payload)
		}
		return m
	}
	have, need := streams(got), streams(want)
	for key, payloads := range need {
		if !slices.Equal(have[key], payloads) {
			r.Errorf("%s: of %q came %.200q, want %.200q", recv.name, key, have[key], payloads)
		}
		delete(have, key)
	}
	for key, payloads := range have {
		r.Errorf("%s: %.200q came, which nobody sent (%q)", recv.name, payloads, key)
	}
	flags := map[string]message{}
	for _, m := range want {
		flags[m.payload] = m
	}
	for _, m := range got {
		if w, ok := flags[m.payload]; ok && (m.qos >= 0 && m.qos != w.qos || m.retain >= 0 && m.retain != w.retain) {
			r.Errorf("%s: %q came at QoS %d, retain %d; want %d, %d", recv.name, m.payload, m.qos, m.retain, w.qos, w.retain)
		}
	}
}

// port splits an address for clients that want the port alone.
func port(addr string) (host, number string) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err)
	}
	return host, number
}

func unhex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		return "not hexadecimal: " + s
	}
	return string(b)
}
