package netpoll_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

// TestIdleClients is the other process of TestIdleBytes: it opens connections and holds them until its input ends.
func TestIdleClients(t *testing.T) {
	name, addr := os.Getenv("NETPOLL_IDLE"), os.Getenv("NETPOLL_ADDR")
	if name == "" {
		t.Skip("runs as the client of TestIdleBytes")
	}
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range transports() {
		if tr.name != name {
			continue
		}
		for range idleClients {
			conn := tr.dial(t, to)
			defer conn.Close()
			conn.Write([]byte("hello"))
			conn.Read(make([]byte, 5))
		}
	}
	fmt.Println("\nready")
	bufio.NewReader(os.Stdin).ReadByte()
}

const idleClients = 500

// What an idle connection holds: the connection, its share of the descriptor table, and a handler of 8 bytes. TLS is what
// crypto/tls keeps.
func TestIdleBytes(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has its own memory")
	}
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC() // twice empties the pools
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	for name, limit := range map[string]int64{"tcp": 250, "ws": 400, "tls": 8200, "wss": 8400} {
		t.Run(name, func(t *testing.T) {
			var tr transport
			for _, tr = range transports() {
				if tr.name == name {
					break
				}
			}
			s := serve(t, netpoll.BackendEpoll, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler { return &echoer{c} })
			for range 40 { // what loops keep for their work, not for connections
				conn := tr.dial(t, s.ln.Addr())
				conn.Write([]byte("hello"))
				conn.Read(make([]byte, 5))
				conn.Close()
			}
			waitFor(t, "connections closed", func() bool { return s.poller.Connections() == 0 })
			before := heap()
			cmd := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
			cmd.Env = append(os.Environ(), "NETPOLL_IDLE="+name, "NETPOLL_ADDR="+s.ln.Addr().String())
			in, _ := cmd.StdinPipe()
			out, _ := cmd.StdoutPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer in.Close()
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
			}
			if n := s.poller.Connections(); n != idleClients {
				t.Fatalf("%d connections", n)
			}
			each := (heap() - before) / idleClients
			t.Logf("%d bytes for each idle %s connection", each, name)
			if each > limit {
				t.Errorf("%d bytes each, at most %d were meant", each, limit)
			}
		})
	}
}
