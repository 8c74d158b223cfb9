package netpoll

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// An idle connection must stay small: a million of them are this, and 8 bytes each in the table.
func TestConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 96 {
		t.Errorf("a Conn has %d bytes, which is beyond the allocator's class of 96", size)
	}
	if size := unsafe.Sizeof(extra{}) + unsafe.Sizeof(wsLayer{}); size > 160 {
		t.Errorf("WebSocket adds %d bytes", size)
	}
}

// What a write left over goes before what others left and sent meanwhile.
func TestRejoinKeepsTheOrder(t *testing.T) {
	c := &Conn{fd: -1, loop: &Loop{}}
	c.flags.Store(flagBusy)
	var turn Turn
	mine, theirs := turn.takeOutput(), turn.takeOutput()
	mine.keep([]byte("first "))
	theirs.keep([]byte("second "))
	theirs.segs = append(theirs.segs, turn.End(append(turn.Begin(5), "third"...)))
	c.out = theirs
	c.rejoin(&turn, mine, errAgain)
	if c.Backlog() != len("first second ") || c.flags.Load()&(flagFull|flagBusy) != flagFull {
		t.Errorf("backlog %d, flags %b", c.Backlog(), c.flags.Load())
	}
	c.flush(&turn) // the kernel is full: what is pending is left too
	if got := bytes.Join(c.out.gather(nil), nil); string(got) != "first second third" {
		t.Errorf("%q", got)
	}
}

// The wheel against a sorted list, over several turns of it.
func TestWheelAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w wheel
	conns := make([]*Conn, 300)
	due := map[*Conn]int64{} // in milliseconds: not before
	for i := range conns {
		conns[i] = &Conn{fd: int32(i)}
	}
	w.at(0)
	w.advance()
	for now, steps := int64(0), 0; steps < 20_000; steps++ {
		switch c := conns[r.IntN(len(conns))]; r.IntN(4) {
		case 0:
			w.set(c, 0)
			delete(due, c)
		case 1:
			w.unlink(c)
			c.due = 0
			delete(due, c)
		default:
			d := time.Duration(r.ExpFloat64() * float64(40*time.Second))
			w.set(c, d)
			if due[c] = now + d.Milliseconds(); d <= 0 {
				delete(due, c)
			}
		}
		if r.IntN(3) > 0 {
			continue
		}
		wait := w.wait(now)
		if (wait < 0) != (len(due) == 0) && wait < 0 {
			t.Fatalf("%d alarms are set and the wheel waits for ever", len(due))
		}
		step := int64(r.IntN(3000))
		if r.IntN(100) == 0 {
			step = int64(r.IntN(300_000))
		}
		now += step
		w.at(now)
		for _, c := range w.advance() {
			at, ok := due[c]
			if !ok || at > now {
				t.Fatalf("at %d: an alarm for %d (set: %v)", now, at, ok)
			}
			delete(due, c)
		}
		for c, at := range due {
			if at+2*tickMillis < now {
				t.Fatalf("at %d: the alarm of connection %d for %d did not come", now, c.fd, at)
			}
		}
	}
}

// Whatever comes, and however it is cut, the decoder gives the same, and never more than came.
func FuzzWebSocketDecode(f *testing.F) {
	f.Add([]byte("\x82\x85\x01\x02\x03\x04hello\x89\x80\x00\x00\x00\x00\x02\xfe\x00\x7e\x00\x00\x00\x00"), uint64(3))
	f.Add([]byte("\x02\x81\x01\x02\x03\x04x\x80\x81\x01\x02\x03\x04y\x88\x82\x00\x00\x00\x00\x03\xe8"), uint64(1))
	f.Add([]byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"), uint64(2))
	f.Fuzz(func(t *testing.T, wire []byte, seed uint64) {
		run := func(cut func() int) (out []byte, failed *wsError) {
			w := &wsLayer{limit: 1 << 20}
			c := &Conn{fd: -1}
			c.flags.Store(flagClosed) // answers go nowhere
			var turn Turn
			for rest := bytes.Clone(wire); len(rest) > 0 && failed == nil; {
				n := min(len(rest), cut())
				var used int
				used, failed = w.decode(c, &turn, rest[:n])
				if used > n {
					t.Fatalf("%d bytes came out of %d", used, n)
				}
				out = append(out, rest[:used]...)
				rest = rest[n:]
			}
			return out, failed
		}
		whole, err1 := run(func() int { return len(wire) })
		r := rand.New(rand.NewPCG(seed, 0))
		pieces, err2 := run(func() int { return 1 + r.IntN(7) })
		if !bytes.Equal(whole, pieces) || (err1 == nil) != (err2 == nil) || err1 != nil && *err1 != *err2 {
			t.Fatalf("whole: %x %v; in pieces: %x %v", whole, err1, pieces, err2)
		}
	})
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x07\x5b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := range b { // a header that is cut is never accepted, and never refused if the whole is valid
			_, n, err := parseProxy(b[:i])
			_, whole, _ := parseProxy(b)
			if n > i || err != nil && whole > i {
				t.Fatalf("%d bytes of %d: %d, %v", i, len(b), n, err)
			}
		}
	})
}
