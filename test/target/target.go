package target

import (
	"os"
	"sync"
	"testing"
)

// The two network back ends.
const (
	Epoll    = "epoll"
	Portable = "portable"
)

// Node is a running server.
type Node struct {
	TCP string // host:port of the MQTT listener
	WS  string // host:port of the WebSocket listener; empty: there is none
	// Stop ends it and waits until it has; nil for a server that is not ours.
	Stop func()
}

func external() *Node {
	if tcp := os.Getenv("MILLRACE_TEST_TCP"); tcp != "" {
		return &Node{TCP: tcp, WS: os.Getenv("MILLRACE_TEST_WS")}
	}
	return nil
}

// Backends lists the back ends that this machine has.
func Backends() []string {
	if external() != nil {
		return []string{"external"}
	}
	return backends()
}

var shared struct {
	sync.Mutex
	nodes map[string]*Node
}

// Shared gives the node of a back end that all tests of a process share. It is
// started when the first test asks, and stopped by StopAll.
func Shared(tb testing.TB, backend string) *Node {
	tb.Helper()
	if n := external(); n != nil {
		return n
	}
	shared.Lock()
	defer shared.Unlock()
	if n := shared.nodes[backend]; n != nil {
		return n
	}
	n, err := launch(backend)
	if err != nil {
		tb.Fatalf("start a node on the %s back end: %v", backend, err)
	}
	if shared.nodes == nil {
		shared.nodes = map[string]*Node{}
	}
	shared.nodes[backend] = n
	return n
}

// StopAll stops the shared nodes, at the end of TestMain.
func StopAll() {
	shared.Lock()
	defer shared.Unlock()
	for _, n := range shared.nodes {
		n.Stop()
	}
	shared.nodes = nil
}

// Start starts a node of its own for one test, with settings ("section.key=value")
// on top of those of the shared one, and stops it when the test ends.
func Start(tb testing.TB, backend string, settings ...string) *Node {
	tb.Helper()
	if external() != nil {
		tb.Skip("needs a node with its own settings")
	}
	n, err := launch(backend, settings...)
	if err != nil {
		tb.Fatalf("start a node on the %s back end with %q: %v", backend, settings, err)
	}
	tb.Cleanup(n.Stop)
	return n
}
