package netpoll_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

// server is a poller with one listener, whose connections the test gives handlers.
type server struct {
	t      *testing.T
	poller *netpoll.Poller
	ln     *netpoll.Listener
}

type backend struct {
	name  string
	value netpoll.Backend
}

func backends() []backend {
	all := []backend{{"portable", netpoll.BackendPortable}}
	if runtime.GOOS == "linux" {
		all = append(all, backend{"epoll", netpoll.BackendEpoll})
	}
	return all
}

// transport says how a listener is set up and how a client connects to it.
type transport struct {
	name string
	cfg  func(t *testing.T) netpoll.ListenConfig
	dial func(t *testing.T, addr net.Addr) net.Conn
}

func plainDial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func tcpConfig(*testing.T) netpoll.ListenConfig {
	return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0"}
}

func transports() []transport {
	secure := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	return []transport{
		{"tcp", tcpConfig, plainDial},
		{"unix", func(t *testing.T) netpoll.ListenConfig {
			return netpoll.ListenConfig{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}
		}, plainDial},
		{"tls", func(*testing.T) netpoll.ListenConfig {
			return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0", TLS: secure}
		}, tlsDial},
		{"ws", func(*testing.T) netpoll.ListenConfig {
			return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0", WebSocket: &netpoll.WebSocket{}}
		}, wsDial(plainDial)},
		{"wss", func(*testing.T) netpoll.ListenConfig {
			return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0", TLS: secure, WebSocket: &netpoll.WebSocket{}}
		}, wsDial(tlsDial)},
	}
}

// everywhere runs f for each back end and transport.
func everywhere(t *testing.T, f func(t *testing.T, b netpoll.Backend, tr transport)) {
	for _, b := range backends() {
		for _, tr := range transports() {
			t.Run(b.name+"/"+tr.name, func(t *testing.T) {
				t.Parallel()
				f(t, b.value, tr)
			})
		}
	}
}

func serve(t *testing.T, b netpoll.Backend, cfg netpoll.ListenConfig, open func(*netpoll.Conn) netpoll.Handler) *server {
	t.Helper()
	return serveWith(t, netpoll.Options{Backend: b, Loops: 2, Linger: time.Minute}, cfg, open)
}

func serveWith(t *testing.T, o netpoll.Options, cfg netpoll.ListenConfig, open func(*netpoll.Conn) netpoll.Handler) *server {
	t.Helper()
	p, err := netpoll.New(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Open = open
	ln, err := p.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &server{t, p, ln}
}

// script is a handler made of functions; those that are nil do nothing.
type script struct {
	data    func(t *netpoll.Turn, b []byte) (int, error)
	drained func(t *netpoll.Turn)
	alarm   func(t *netpoll.Turn)
	closed  func(t *netpoll.Turn, err error)
}

func (s *script) Data(t *netpoll.Turn, b []byte) (int, error) {
	if s.data == nil {
		return len(b), nil
	}
	return s.data(t, b)
}

func (s *script) Drained(t *netpoll.Turn) {
	if s.drained != nil {
		s.drained(t)
	}
}

func (s *script) Alarm(t *netpoll.Turn) {
	if s.alarm != nil {
		s.alarm(t)
	}
}

func (s *script) Closed(t *netpoll.Turn, err error) {
	if s.closed != nil {
		s.closed(t, err)
	}
}

func send(t *netpoll.Turn, c *netpoll.Conn, b []byte) {
	c.Send(t, t.End(append(t.Begin(len(b)), b...)))
}

// echo sends back what comes.
func echo(c *netpoll.Conn) netpoll.Handler {
	return &script{data: func(t *netpoll.Turn, b []byte) (int, error) {
		send(t, c, b)
		return len(b), nil
	}}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	src.Read(b)
	return b
}

func TestEchoReturnsEveryByteInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		size := 3 << 20
		if testing.Short() {
			size = 1 << 20
		}
		s := serve(t, b, tr.cfg(t), echo)
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				conn := tr.dial(t, s.ln.Addr())
				defer conn.Close()
				sent := randomBytes(size + i)
				go func() {
					for rest := sent; len(rest) > 0; { // pieces of odd sizes
						n := min(len(rest), 1+rand.IntN(100_000))
						conn.Write(rest[:n])
						rest = rest[n:]
					}
				}()
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(sent, got) {
					t.Errorf("client %d: bytes differ, or %v", i, err)
				}
			})
		}
		clients.Wait()
	})
}

// group sends what one member sends to all others.
type group struct {
	mu      sync.Mutex
	members map[*netpoll.Conn]bool
}

func (g *group) open(c *netpoll.Conn) netpoll.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[c] = true
	return &script{
		data: func(t *netpoll.Turn, b []byte) (int, error) {
			n := len(b) - len(b)%64 // messages of 64 bytes
			for rest := b[:n]; len(rest) > 0; rest = rest[64:] {
				seg := t.End(append(t.Begin(64), rest[:64]...))
				g.mu.Lock()
				for m := range g.members {
					if m != c {
						m.Send(t, seg)
					}
				}
				g.mu.Unlock()
			}
			return n, nil
		},
		closed: func(t *netpoll.Turn, err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.members, c)
		},
	}
}

func TestFanOutKeepsTheOrderOfEachSender(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		const senders, receivers, messages = 4, 20, 500
		g := &group{members: map[*netpoll.Conn]bool{}}
		s := serve(t, b, tr.cfg(t), g.open)
		var done sync.WaitGroup
		for range receivers {
			conn := tr.dial(t, s.ln.Addr())
			done.Go(func() {
				defer conn.Close()
				var next [senders]int
				msg := make([]byte, 64)
				for range senders * messages {
					if _, err := io.ReadFull(conn, msg); err != nil {
						t.Errorf("receiver: %v", err)
						return
					}
					who, number := int(msg[0]), int(msg[1])<<8|int(msg[2])
					if number != next[who] || !bytes.Equal(msg[3:], bytes.Repeat(msg[2:3], 61)) {
						t.Errorf("from %d: got message %d, want %d", who, number, next[who])
						return
					}
					next[who]++
				}
			})
		}
		waitFor(t, "members", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.members) == receivers })
		for who := range senders {
			conn := tr.dial(t, s.ln.Addr())
			defer conn.Close()
			go io.Copy(io.Discard, conn) // other senders' messages
			go func() {
				for i := range messages {
					msg := bytes.Repeat([]byte{byte(i)}, 64)
					msg[0], msg[1] = byte(who), byte(i>>8)
					conn.Write(msg)
				}
			}()
		}
		done.Wait()
	})
}

// waitFor waits until f holds, for as long as the test may run.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%s: does not happen", what)
		}
	}
}

func TestClosedComesOnceAndSaysWhy(t *testing.T) {
	boom := errors.New("boom")
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		for _, c := range []struct {
			name string
			want error
			do   func(c *netpoll.Conn, t *netpoll.Turn) error
		}{
			{"peer", io.EOF, nil},
			{"close", netpoll.ErrClosed, func(c *netpoll.Conn, t *netpoll.Turn) error { c.Close(t); c.Close(t); return nil }},
			{"abort", netpoll.ErrClosed, func(c *netpoll.Conn, t *netpoll.Turn) error { c.Close(t); c.Abort(); return nil }},
			{"error", boom, func(c *netpoll.Conn, t *netpoll.Turn) error { c.Close(t); return boom }},
			{"done", io.EOF, func(*netpoll.Conn, *netpoll.Turn) error { return io.EOF }},
		} {
			t.Run(c.name, func(t *testing.T) {
				reasons := make(chan error, 10)
				opened := make(chan struct{}, 1)
				s := serve(t, b, tr.cfg(t), func(conn *netpoll.Conn) netpoll.Handler {
					opened <- struct{}{}
					return &script{
						data: func(t *netpoll.Turn, b []byte) (int, error) {
							send(t, conn, []byte("bye"))
							return len(b), c.do(conn, t)
						},
						closed: func(t *netpoll.Turn, err error) { reasons <- err },
					}
				})
				conn := tr.dial(t, s.ln.Addr())
				defer conn.Close()
				if c.do == nil {
					<-opened
					conn.Close()
				} else {
					conn.Write([]byte("x"))
					got, _ := io.ReadAll(conn)
					if c.name != "abort" && string(got) != "bye" {
						t.Errorf("the peer read %q before the end", got)
					}
					conn.Close()
				}
				if err := <-reasons; !errors.Is(err, c.want) {
					t.Errorf("Closed(%v), want %v", err, c.want)
				}
				waitFor(t, "descriptor closed", func() bool { return s.poller.Connections() == 0 && s.ln.Connections() == 0 })
				if len(reasons) != 0 {
					t.Errorf("Closed was called again, with %v", <-reasons)
				}
			})
		}
	})
}
