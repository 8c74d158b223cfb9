package netpoll_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

// accepted is a server whose connections the test gets hold of, with a script for each.
func accepted(t *testing.T, b netpoll.Backend, tr transport, behave func(c *netpoll.Conn) *script) (*server, chan *netpoll.Conn) {
	t.Helper()
	conns := make(chan *netpoll.Conn, 1000)
	s := serve(t, b, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler {
		h := behave(c)
		conns <- c
		return h
	})
	return s, conns
}

func silent(*netpoll.Conn) *script { return &script{} }

func TestSlowPeerWaitsInMemoryAndIsDrained(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		drained := make(chan int, 100)
		s, conns := accepted(t, b, tr, func(c *netpoll.Conn) *script {
			return &script{drained: func(*netpoll.Turn) { drained <- c.Backlog() }}
		})
		slow := tr.dial(t, s.ln.Addr())
		defer slow.Close()
		c := <-conns
		const piece, pieces = 100_000, 200 // 20 MB, more than any socket buffer takes
		sent := randomBytes(piece * pieces)
		for i := range pieces {
			s.poller.Turn(func(turn *netpoll.Turn) { send(turn, c, sent[i*piece:(i+1)*piece]) })
		}
		if c.Backlog() == 0 {
			t.Fatal("20 MB went into the kernel; the test needs more")
		}
		// Everyone else is served meanwhile.
		other := tr.dial(t, s.ln.Addr())
		defer other.Close()
		oc := <-conns
		s.poller.Turn(func(turn *netpoll.Turn) { send(turn, oc, []byte("hello")) })
		if got := make([]byte, 5); true {
			if _, err := io.ReadFull(other, got); err != nil || string(got) != "hello" {
				t.Errorf("another client got %q, %v", got, err)
			}
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(slow, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("the slow client got other bytes than were sent, or %v", err)
		}
		waitFor(t, "no backlog", func() bool { return c.Backlog() == 0 })
		waitFor(t, "Drained", func() bool { return len(drained) > 0 })
		for len(drained) > 0 {
			if n := <-drained; n != 0 {
				t.Errorf("Drained with a backlog of %d", n)
			}
		}
	})
}

func TestCloseDeliversWhatWasSent(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		s, conns := accepted(t, b, tr, silent)
		conn := tr.dial(t, s.ln.Addr())
		defer conn.Close()
		c := <-conns
		sent := randomBytes(6 << 20)
		s.poller.Turn(func(turn *netpoll.Turn) {
			send(turn, c, sent)
			c.Close(turn)
			send(turn, c, []byte("too late"))
		})
		conn.Write([]byte("still talking")) // must not make the kernel reset what was not read yet
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
		}
	})
}

func TestLingerIsBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		conns := make(chan *netpoll.Conn, 1)
		s := serveWith(t, netpoll.Options{Backend: b, Linger: 300 * time.Millisecond}, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler {
			conns <- c
			return silent(c)
		})
		conn := tr.dial(t, s.ln.Addr()) // reads nothing and closes nothing
		defer conn.Close()
		c := <-conns
		s.poller.Turn(func(turn *netpoll.Turn) {
			send(turn, c, make([]byte, 20<<20))
			c.Close(turn)
		})
		waitFor(t, "connection released", func() bool { return s.poller.Connections() == 0 })
	})
}

func TestResetIsReportedOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		closed := make(chan error, 10)
		s, conns := accepted(t, b, tr, func(*netpoll.Conn) *script {
			return &script{closed: func(_ *netpoll.Turn, err error) { closed <- err }}
		})
		raw := make(chan net.Conn, 1)
		reset := func(conn net.Conn) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
		conn := tr.dial(t, s.ln.Addr())
		switch under := conn.(type) {
		case *wsClient:
			raw <- under.Conn
		default:
			raw <- conn
		}
		c := <-conns
		s.poller.Turn(func(turn *netpoll.Turn) { send(turn, c, make([]byte, 20<<20)) }) // in the middle of a backlog
		inner := <-raw
		if nc, ok := inner.(interface{ NetConn() net.Conn }); ok {
			inner = nc.NetConn()
		}
		reset(inner)
		if err := <-closed; err == nil {
			t.Error("Closed without an error")
		}
		waitFor(t, "connection released", func() bool { return s.poller.Connections() == 0 })
		c.Abort()
		s.poller.Turn(func(turn *netpoll.Turn) { send(turn, c, []byte("x")); c.Close(turn) })
		s.settle()
		if len(closed) != 0 {
			t.Errorf("Closed again, with %v", <-closed)
		}
	})
}

// settle waits until the loops have done what was asked of them before.
func (s *server) settle() {
	var all sync.WaitGroup
	for range 3 {
		for _, l := range s.poller.Loops() {
			all.Add(1)
			l.Post(mailFunc(func(*netpoll.Turn) { all.Done() }))
		}
		all.Wait()
	}
}

type mailFunc func(t *netpoll.Turn)

func (f mailFunc) Mail(t *netpoll.Turn) { f(t) }

func TestUnusedInputIsPresentedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		// The handler wants everything at once, as for one large packet.
		want := randomBytes(1 << 20)
		var calls atomic.Int32
		s := serve(t, b, tr.cfg(t), func(c *netpoll.Conn) netpoll.Handler {
			return &script{data: func(turn *netpoll.Turn, b []byte) (int, error) {
				calls.Add(1)
				if len(b) < len(want) {
					return 0, nil
				}
				if !bytes.Equal(b, want) {
					return 0, errors.New("bytes differ")
				}
				send(turn, c, []byte{1})
				return len(want), nil
			}}
		})
		conn := tr.dial(t, s.ln.Addr())
		defer conn.Close()
		for round := range 3 {
			go func() {
				rest := want
				for i := 0; len(rest) > 0; i++ {
					n := 1 + rand.IntN(50_000)
					if i < 300 {
						n = 1 + i%3 // the beginning drips
					}
					n = min(n, len(rest))
					conn.Write(rest[:n])
					rest = rest[n:]
				}
			}()
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		t.Logf("%d calls", calls.Load())
	})
}

func TestPauseAndResume(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		var got atomic.Int64
		paused := make(chan struct{}, 10)
		s, conns := accepted(t, b, tr, func(c *netpoll.Conn) *script {
			first := true
			return &script{data: func(_ *netpoll.Turn, b []byte) (int, error) {
				if first {
					first = false
					c.Pause()
					paused <- struct{}{}
					got.Add(1)
					return 1, nil // the rest must come again after Resume, even if nothing follows
				}
				got.Add(int64(len(b)))
				return len(b), nil
			}}
		})
		conn := tr.dial(t, s.ln.Addr())
		defer conn.Close()
		c := <-conns
		conn.Write([]byte("0123456789"))
		<-paused
		s.settle()
		if n := got.Load(); n != 1 {
			t.Errorf("%d bytes were presented while paused", n)
		}
		c.Resume()
		waitFor(t, "the rest", func() bool { return got.Load() == 10 })
		c.Pause()
		s.settle()
		conn.Write(make([]byte, 1000))
		time.Sleep(20 * time.Millisecond)
		c.Resume()
		waitFor(t, "what came during the pause", func() bool { return got.Load() == 1010 })
	})
}

func TestAlarmComesOnceAndNotEarly(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		rang := make(chan time.Time, 10)
		var set time.Time
		s, conns := accepted(t, b, tr, func(c *netpoll.Conn) *script {
			set = time.Now()
			c.SetAlarm(time.Hour)
			c.SetAlarm(50 * time.Millisecond)
			c.SetAlarm(250 * time.Millisecond)
			return &script{alarm: func(*netpoll.Turn) { rang <- time.Now() }}
		})
		conn := tr.dial(t, s.ln.Addr())
		defer conn.Close()
		c := <-conns
		if d := (<-rang).Sub(set); d < 250*time.Millisecond {
			t.Errorf("after %v", d)
		}
		stopped := make(chan struct{})
		c.Loop().Post(mailFunc(func(*netpoll.Turn) {
			c.SetAlarm(150 * time.Millisecond)
			c.SetAlarm(0)
			close(stopped)
		}))
		<-stopped
		time.Sleep(400 * time.Millisecond)
		if len(rang) != 0 {
			t.Error("an alarm that was stopped, or one that was over, came")
		}
	})
}

func TestMailIsInOrderAndWakes(t *testing.T) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			s := serve(t, b.value, tcpConfig(t), echo)
			for i, l := range s.poller.Loops() {
				if l.Index() != i {
					t.Errorf("loop %d says %d", i, l.Index())
				}
				const n = 10_000
				var got []int
				done := make(chan struct{})
				for j := range n {
					if !l.Post(mailFunc(func(turn *netpoll.Turn) {
						if turn.Loop() != l {
							t.Error("mail in another loop")
						}
						if got = append(got, j); len(got) == n {
							close(done)
						}
					})) {
						t.Fatal("mail was refused")
					}
				}
				<-done
				for j := range got {
					if got[j] != j {
						t.Fatalf("mail %d came as number %d", got[j], j)
					}
				}
			}
		})
	}
}

// Senders on all loops and outside write to the same few connections, whose clients read slowly: bytes of one turn must
// never be seen after the turn has used its arena for something else.
func TestManyWritersToOneSlowReader(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		const writers, messages, size = 6, 400, 1500
		s, conns := accepted(t, b, tr, silent)
		conn := tr.dial(t, s.ln.Addr())
		defer conn.Close()
		c := <-conns
		write := func(turn *netpoll.Turn, who, i int) {
			msg := turn.Begin(size)
			msg = append(msg, byte(who), byte(i>>8), byte(i))
			for len(msg) < size {
				msg = append(msg, byte(who*31+i*7))
			}
			c.Send(turn, turn.End(msg))
		}
		for who := range writers {
			go func() {
				for i := range messages {
					if who%2 == 0 {
						s.poller.Turn(func(turn *netpoll.Turn) { write(turn, who, i) })
						continue
					}
					done := make(chan struct{})
					s.poller.Loops()[who/2%2].Post(mailFunc(func(turn *netpoll.Turn) {
						write(turn, who, i)
						if i%3 == 0 {
							turn.Flush()
						}
						close(done)
					}))
					<-done
				}
			}()
		}
		var next [writers]int
		msg := make([]byte, size)
		for n := range writers * messages {
			if n%50 == 0 {
				time.Sleep(time.Millisecond)
			}
			if _, err := io.ReadFull(conn, msg); err != nil {
				t.Fatal(err)
			}
			who, i := int(msg[0]), int(msg[1])<<8|int(msg[2])
			if who >= writers || i != next[who] || !bytes.Equal(msg[3:], bytes.Repeat([]byte{byte(who*31 + i*7)}, size-3)) {
				t.Fatalf("message %d is broken, or not the next of its sender: % x", n, msg[:8])
			}
			next[who]++
		}
	})
}

func TestStopClosesEverything(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		closed := make(chan error, 100)
		s, conns := accepted(t, b, tr, func(*netpoll.Conn) *script {
			return &script{closed: func(_ *netpoll.Turn, err error) { closed <- err }}
		})
		var clients []net.Conn
		for range 20 {
			clients = append(clients, tr.dial(t, s.ln.Addr()))
			<-conns
		}
		if err := s.poller.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, conn := range clients {
			io.Copy(io.Discard, conn) // ends
			conn.Close()
		}
		for range clients {
			if err := <-closed; !errors.Is(err, netpoll.ErrStopped) {
				t.Errorf("Closed(%v)", err)
			}
		}
		if s.poller.Loops()[0].Post(mailFunc(func(*netpoll.Turn) {})) {
			t.Error("a loop that has ended takes mail")
		}
	})
}

// Two goroutines send large messages to one connection all the time: each turn often finds the other writing, the kernel full,
// or bytes of the other's arena pending. The peer must see whole messages in order.
func TestTwoTurnsWriteLargeMessages(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		messages := 600
		s, conns := accepted(t, b, transports()[1], silent) // unix sockets have small buffers, so they are often full
		conn := plainDial(t, s.ln.Addr())
		defer conn.Close()
		c := <-conns
		for who := range 2 {
			go func() {
				r := rand.New(rand.NewPCG(uint64(who), 1))
				for i := range messages {
					for c.Backlog() > 0 {
						runtime.Gosched()
					}
					s.poller.Turn(func(turn *netpoll.Turn) {
						size := 8 + r.IntN(60_000)
						msg := turn.Begin(size)[:size]
						for j := range msg {
							msg[j] = byte(i)
						}
						msg[0], msg[1], msg[2], msg[3], msg[4] = byte(who), byte(i>>8), byte(i), byte(size>>8), byte(size)
						c.Send(turn, turn.End(msg))
						if i%2 == 0 { // let the other one find it pending
							runtime.Gosched()
						}
					})
				}
			}()
		}
		var next [2]int
		in := bufio.NewReaderSize(conn, 64<<10)
		msg := make([]byte, 1<<16)
		for range 2 * messages {
			if _, err := io.ReadFull(in, msg[:5]); err != nil {
				t.Fatal(err)
			}
			who, i, size := int(msg[0]), int(msg[1])<<8|int(msg[2]), int(msg[3])<<8|int(msg[4])
			if who > 1 || i != next[who] || size < 8 {
				t.Fatalf("after %v: head % x", next, msg[:5])
			}
			if _, err := io.ReadFull(in, msg[5:size]); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(msg[5:size], []byte{byte(i)}); n != size-5 {
				t.Fatalf("message %d of %d: %d bytes of %d are its own", i, who, n, size-5)
			}
			next[who]++
		}
	})
}
