package netpoll

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// mailFunc is mail that calls a function.
type mailFunc func(t *Turn)

func (f mailFunc) Mail(t *Turn) { f(t) }

const crewPatience = 20 * time.Second

func crewPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := New(Options{Loops: 2, Backend: defaultBackend})
	if err != nil {
		t.Fatal(err)
	}
	if p.options.Backend == BackendPortable {
		t.Skip("loops of the portable back end do not board each other")
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), crewPatience)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// answered posts mail to a loop and waits for it to be read.
func answered(t *testing.T, l *Loop) {
	t.Helper()
	done := make(chan struct{})
	l.Post(mailFunc(func(*Turn) { close(done) }))
	select {
	case <-done:
	case <-time.After(crewPatience):
		t.Fatal("mail is not read")
	}
}

// until nudges the guest until it is aboard, or ashore.
func until(t *testing.T, l *Loop, aboard bool) {
	t.Helper()
	for end := time.Now().Add(crewPatience); l.crew.aboard.Load() != aboard; {
		if time.Now().After(end) {
			t.Fatalf("aboard is %v for good", !aboard)
		}
		answered(t, l)
		time.Sleep(5 * time.Millisecond)
	}
}

type echoHandler struct{ c *Conn }

func (h echoHandler) Data(t *Turn, b []byte) (int, error) {
	h.c.Send(t, t.End(append(t.Begin(len(b)), b...)))
	return len(b), nil
}
func (h echoHandler) Drained(*Turn)       {}
func (h echoHandler) Alarm(t *Turn)       { h.c.Send(t, t.End(append(t.Begin(5), "alarm"...))) }
func (h echoHandler) Closed(*Turn, error) {}

// A loop with little to do is driven by the first one: its mail, its connections and its alarms.
func TestGuestIsServedAboard(t *testing.T) {
	p := crewPoller(t)
	guest := p.Loops()[1]
	opened := make(chan *Conn, 64)
	ln, err := p.Listen(ListenConfig{Network: "tcp", Address: "127.0.0.1:0", Open: func(c *Conn) Handler {
		opened <- c
		return echoHandler{c}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	var c *Conn
	for range 64 { // until one belongs to the guest
		if conn, err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if c = <-opened; c.Loop() == guest {
			break
		}
	}
	if c.Loop() != guest {
		t.Fatal("no connection of 64 belongs to the second loop")
	}
	conn.SetDeadline(time.Now().Add(crewPatience))
	exchange := func(want string, cause func()) {
		t.Helper()
		var b [5]byte
		cause()
		if n, err := conn.Read(b[:]); err != nil || string(b[:n]) != want {
			t.Fatalf("%s of a guest's connection: %q, %v", want, b[:n], err)
		}
	}
	for aboard := false; !aboard; { // a machine under load may send the guest home in between: then again
		until(t, guest, true)
		exchange("hello", func() { conn.Write([]byte("hello")) })
		exchange("alarm", func() { guest.Post(mailFunc(func(*Turn) { c.SetAlarm(100 * time.Millisecond) })) })
		aboard = guest.crew.aboard.Load()
	}
}

// When the host has much to do the guest goes home, and a loop is never driven by two at a time.
func TestGuestGoesHome(t *testing.T) {
	p := crewPoller(t)
	host, guest := p.Loops()[0], p.Loops()[1]
	until(t, guest, true)
	// One long pass of the host; the guest's mail is read meanwhile or soon after, by its own goroutine.
	host.Post(mailFunc(func(*Turn) { time.Sleep(5 * landPass) }))
	end := time.Now().Add(crewPatience)
	for guest.crew.aboard.Load() {
		if time.Now().After(end) {
			t.Fatal("the guest stays aboard a busy host")
		}
		time.Sleep(time.Millisecond)
	}
	answered(t, guest)
}

// Mail from many sides, while guests board and land all the time: each is read once, by one
// goroutine at a time.
func TestCrewChangesUnderMail(t *testing.T) {
	p := crewPoller(t)
	host, guest := p.Loops()[0], p.Loops()[1]
	var inside, read atomic.Int64
	const mails = 3000
	for i := range mails {
		guest.Post(mailFunc(func(*Turn) {
			if inside.Add(1) != 1 {
				t.Error("two goroutines drive one loop")
			}
			guest.crew.ashore = time.Time{} // board again at the next window
			inside.Add(-1)
			read.Add(1)
		}))
		if i%100 == 99 {
			host.Post(mailFunc(func(*Turn) { host.crew.landing = true }))
			time.Sleep(useWindow / 4)
		}
	}
	answered(t, guest)
	if n := read.Load(); n != mails {
		t.Fatalf("%d of %d mails were read", n, mails)
	}
}

// Stop ends a loop that is aboard.
func TestStopWithGuestAboard(t *testing.T) {
	p := crewPoller(t)
	until(t, p.Loops()[1], true)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
