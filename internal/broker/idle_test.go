package broker

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// What an idle client costs of the heap, on the broker's side: connection, link, client, session,
// place in the registry. TARGETS asks for 500 bytes of resident memory; the heap's share of that
// must leave room for what the collector lets lie.
func TestIdleClientBytes(t *testing.T) {
	const clients = 8000
	dialed := dialedBytes(t)
	for _, c := range []struct {
		name  string
		topic bool
		limit uint64
	}{{"idle", false, 500}, {"subscribed", true, 750}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			conns := make([]net.Conn, 0, clients)
			for i := range 32 { // both loops have made their arenas
				r.dial(t, mqtt.V311, fmt.Sprint("warm-up-", i), nil).subscribe("warm/up", 0)
			}
			before := liveHeap()
			ours := 0
			for i := range clients {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
				p := &peer{tb: t, c: conn, v: mqtt.V311}
				packet := mqtt.Connect{Version: mqtt.V311, CleanStart: true, KeepAlive: 60, ClientID: fmt.Appendf(nil, "client-%08d", i)}
				out := packet.Append(nil, mqtt.V311)
				if c.topic {
					s := mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: fmt.Appendf(nil, "device/%08d/cmd", i)}}}
					out = s.Append(out, mqtt.V311)
				}
				p.write(out)
				var answer [16]byte
				want := 4
				if c.topic {
					want = 9
				}
				for n := 0; n < want; {
					k, err := conn.Read(answer[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += k
				}
			}
			total := liveHeap() - before
			for _, conn := range conns {
				conn.Close()
			}
			ours = int(total) - clients*dialed
			per := uint64(ours) / clients
			t.Logf("%d bytes of heap per %s client", per, c.name)
			if per > c.limit {
				t.Errorf("%d bytes of heap per %s client, at most %d wanted", per, c.name, c.limit)
			}
		})
	}
}

// dialedBytes is what a dialed connection of this test costs itself.
func dialedBytes(t *testing.T) int {
	const n = 500
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conns := make([]net.Conn, 0, n)
	before := liveHeap()
	for range n {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	used := liveHeap() - before
	for _, c := range conns {
		c.Close()
	}
	return int(used) / n
}

func liveHeap() uint64 {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
