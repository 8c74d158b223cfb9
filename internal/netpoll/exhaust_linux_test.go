package netpoll_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestOutOfDescriptors runs in a process of its own, whose limit it can lower.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv("NETPOLL_EXHAUST") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "NETPOLL_EXHAUST=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var logged bytes.Buffer
	p, err := netpoll.New(netpoll.Options{Loops: 2, Backend: netpoll.BackendEpoll, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(t.Context())
	ln, err := p.Listen(netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0", Open: echo})
	if err != nil {
		t.Fatal(err)
	}
	// The clients are made before the limit falls: sockets that are not connected yet.
	var clients []int
	for range 40 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, fd)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(openFiles(t)) + 10, Max: 20000}); err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	served := 0
	hello := func(fd int) bool {
		b := []byte("hello")
		unix.Write(fd, b)
		n, _ := unix.Read(fd, b)
		return n == 5
	}
	var open []int
	for _, fd := range clients {
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		if hello(fd) {
			served++
			open = append(open, fd)
		} else {
			unix.Close(fd) // turned away rather than left to hang
			if len(open) > 0 {
				unix.Close(open[0])
				open = open[1:]
			}
		}
	}
	if served < 10 || ln.Refused() == 0 {
		t.Errorf("%d served, %d refused", served, ln.Refused())
	}
	for _, fd := range open {
		unix.Close(fd)
	}
	waitFor(t, "connections closed", func() bool { return p.Connections() == 0 })
	conn := plainDial(t, ln.Addr())
	defer conn.Close()
	io.WriteString(conn, "again")
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Errorf("no recovery: %v", err)
	}
	if n := strings.Count(logged.String(), "descriptors"); n < 1 || n > 3 {
		t.Errorf("logged %d times:\n%s", n, logged.String())
	}
}

// Connections leave nothing behind, in whichever way they end.
func TestNoLeak(t *testing.T) {
	for _, b := range backends() {
		for _, tr := range transports() {
			t.Run(b.name+"/"+tr.name, func(t *testing.T) {
				rounds := 10_000
				if tr.name == "tls" || tr.name == "wss" {
					rounds = 500 // handshakes are slow
				}
				if testing.Short() {
					rounds /= 10
				}
				var opened, closed atomic.Int64
				s := serve(t, b.value, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler {
					opened.Add(1)
					return &script{
						data: func(turn *netpoll.Turn, b []byte) (int, error) {
							send(turn, c, b)
							if b[0]%4 == 1 {
								c.Close(turn)
							} else if b[0]%4 == 2 {
								c.Abort()
							}
							return len(b), nil
						},
						closed: func(*netpoll.Turn, error) { closed.Add(1) },
					}
				})
				files, routines := openFiles(t), runtime.NumGoroutine()
				for i := range rounds {
					conn := tr.dial(t, s.ln.Addr())
					conn.Write([]byte{byte(i)})
					if i%4 != 3 { // else it goes without reading
						conn.Read(make([]byte, 1))
					}
					conn.Close()
				}
				waitFor(t, "connections closed", func() bool { return s.poller.Connections() == 0 && opened.Load() == closed.Load() })
				waitFor(t, "goroutines ended", func() bool { return runtime.NumGoroutine() <= routines })
				waitFor(t, "descriptors closed", func() bool { return openFiles(t) <= files })
				if s.ln.Connections() != 0 {
					t.Errorf("the listener counts %d connections", s.ln.Connections())
				}
			})
		}
	}
}

// Timers and goroutines that a loop starts run although the loop goes on, and the collector does not wait for loops that
// sleep.
func TestLoopsDoNotHoldUpTheRuntime(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		s := serve(t, b, tcpConfig(t), echo)
		for range 50 {
			fired := make(chan struct{})
			s.poller.Loops()[0].Post(mailFunc(func(*netpoll.Turn) {
				time.AfterFunc(time.Millisecond, func() { go close(fired) })
			}))
			<-fired
		}
		start := time.Now()
		for range 20 {
			runtime.GC()
		}
		t.Logf("a collection took %v", time.Since(start)/20)
	})
}
