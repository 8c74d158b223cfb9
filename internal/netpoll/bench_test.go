package netpoll_test

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

func benchServer(b *testing.B, cfg netpoll.ListenConfig) *netpoll.Listener {
	b.Helper()
	p, err := netpoll.New(netpoll.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Stop(b.Context()) })
	cfg.Network, cfg.Address = "tcp", "127.0.0.1:0"
	ln, err := p.Listen(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

// A handler without the allocations of closures in the test's script.
type echoer struct{ c *netpoll.Conn }

func (e *echoer) Data(t *netpoll.Turn, b []byte) (int, error) {
	e.c.Send(t, t.End(append(t.Begin(len(b)), b...)))
	return len(b), nil
}
func (*echoer) Drained(*netpoll.Turn)       {}
func (*echoer) Alarm(*netpoll.Turn)         {}
func (*echoer) Closed(*netpoll.Turn, error) {}

func BenchmarkEcho(b *testing.B) {
	ln := benchServer(b, netpoll.ListenConfig{Open: func(c *netpoll.Conn) netpoll.Handler { return &echoer{c} }})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		conn.Write(msg)
		if _, err := io.ReadFull(conn, msg); err != nil {
			b.Fatal(err)
		}
	}
}

// spreader sends what it gets, in messages of 64 bytes, to everyone.
type spreader struct {
	mu  *sync.RWMutex
	all *[]*netpoll.Conn
}

func (s *spreader) Data(t *netpoll.Turn, b []byte) (int, error) {
	n := len(b) - len(b)%64
	s.mu.RLock()
	defer s.mu.RUnlock()
	for rest := b[:n]; len(rest) > 0; rest = rest[64:] {
		seg := t.End(append(t.Begin(64), rest[:64]...))
		for _, c := range *s.all {
			c.Send(t, seg)
		}
	}
	return n, nil
}
func (*spreader) Drained(*netpoll.Turn)       {}
func (*spreader) Alarm(*netpoll.Turn)         {}
func (*spreader) Closed(*netpoll.Turn, error) {}

// BenchmarkFanOut sends 16 messages of 64 bytes at a time to 1000 sockets, and waits until the last has all of them. An
// operation is one delivery.
func BenchmarkFanOut(b *testing.B) {
	const receivers, batch = 1000, 16
	var mu sync.RWMutex
	var all []*netpoll.Conn
	ln := benchServer(b, netpoll.ListenConfig{Open: func(c *netpoll.Conn) netpoll.Handler {
		mu.Lock()
		defer mu.Unlock()
		if len(all) < receivers {
			all = append(all, c)
		}
		return &spreader{&mu, &all}
	}})
	var conns []net.Conn
	for range receivers + 1 {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		for len(conns) <= receivers { // the sender must be none of them
			mu.RLock()
			n := len(all)
			mu.RUnlock()
			if n == len(conns) {
				break
			}
			runtime.Gosched()
		}
	}
	msg := make([]byte, 64*batch)
	got := make([]byte, len(msg))
	b.ReportAllocs()
	for n := 0; n < b.N; n += receivers * batch {
		conns[receivers].Write(msg)
		for _, conn := range conns[:receivers] {
			if _, err := io.ReadFull(conn, got); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	ln := benchServer(b, netpoll.ListenConfig{Open: func(c *netpoll.Conn) netpoll.Handler { return &echoer{c} }})
	msg := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conn.Write(msg)
		if _, err := io.ReadFull(conn, msg); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}

// The way from a read to a write allocates nothing, except what crypto/tls does for each record.
func TestNoAllocationPerMessage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties pools at random")
	}
	for _, tr := range transports() {
		t.Run(tr.name, func(t *testing.T) {
			var mu sync.RWMutex
			var all []*netpoll.Conn
			s := serve(t, netpoll.BackendAuto, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, c)
				return &spreader{&mu, &all}
			})
			conn := tr.dial(t, s.ln.Addr())
			defer conn.Close()
			msg := make([]byte, 64)
			answer := make([]byte, 64)
			if ws, ok := conn.(*wsClient); ok { // frames ready made: the test's client allocates
				msg = ws.frame(0x82, msg)
				answer = make([]byte, 2+64)
				conn = ws.Conn
			}
			allowed := 0.0
			if _, ok := conn.(*tls.Conn); ok {
				allowed = 4 // of crypto/tls, on both sides
			}
			round := func() {
				conn.Write(msg)
				if _, err := io.ReadFull(conn, answer); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				round()
			}
			if n := testing.AllocsPerRun(1000, round); n > allowed {
				t.Errorf("%v allocations per message", n)
			}
		})
	}
}
