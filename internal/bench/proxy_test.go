//go:build linux

package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// proxy stands between the tool and a broker and does to PUBLISH packets, on their way to subscribers, what a broken broker would.
type proxy struct {
	addr     string
	upstream string
	// fault gets the number of a PUBLISH (of all connections, from 1) and returns the packets to pass on in its place.
	fault func(n int, packet []byte) [][]byte
	mu    sync.Mutex
	n     int
	conns []net.Conn
}

func startProxy(t *testing.T, upstream string, fault func(n int, packet []byte) [][]byte) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), upstream: upstream, fault: fault}
	t.Cleanup(func() {
		l.Close()
		p.hangUp()
	})
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c) // ends with the connection
		}
	}()
	return p
}

func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	p.conns = append(p.conns, c, s)
	p.mu.Unlock()
	go func() { // ends with the connection
		_, _ = io.Copy(s, c)
		s.Close()
	}()
	w := bufio.NewWriterSize(c, 64<<10)
	for r := bufio.NewReader(s); ; {
		h, body, err := mqtt.ReadPacket(r, 1<<20)
		if err != nil {
			return
		}
		packets := [][]byte{rebuild(h, body)}
		if h.Type == mqtt.PUBLISH {
			p.mu.Lock()
			p.n++
			packets = p.fault(p.n, packets[0])
			p.mu.Unlock()
		}
		for _, b := range packets {
			_, _ = w.Write(b)
		}
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
	}
}

// rebuild makes a packet again from its parts.
func rebuild(h mqtt.Header, body []byte) []byte {
	b := []byte{byte(h.Type)<<4 | h.Flags}
	for n := len(body); ; n >>= 7 {
		if n < 0x80 {
			b = append(b, byte(n))
			break
		}
		b = append(b, byte(n)|0x80)
	}
	return append(b, body...)
}

// faulty is a load of which the test knows every message: 2,000 of one publisher to one subscriber.
var faulty = Scenario{Kind: KindFlow, Publishers: 1, Subscribers: 1, Messages: 2000, Rate: 4000, Drain: 300 * time.Millisecond}

func TestBrokenBroker(t *testing.T) {
	one := func(b []byte) [][]byte { return [][]byte{b} }
	every := func(k int, then func(p []byte) [][]byte) func(int, []byte) [][]byte {
		return func(n int, b []byte) [][]byte {
			if n%k == 0 {
				return then(b)
			}
			return one(b)
		}
	}
	misnumber := func(b []byte) [][]byte { b[len(b)-64+4] ^= 0x80; return one(b) } // the first byte of the number
	corrupt := func(b []byte) [][]byte { b[len(b)-1] ^= 1; return one(b) }
	var held []byte
	swap := func(n int, b []byte) [][]byte {
		switch n % 50 {
		case 10:
			held = b
			return nil
		case 13: // three later ones overtake it
			return [][]byte{b, held}
		}
		return one(b)
	}
	for _, c := range []struct {
		name  string
		fault func(int, []byte) [][]byte
		want  Check
	}{
		{"drops", every(100, func([]byte) [][]byte { return nil }), Check{Expected: 2000, Received: 1980, Lost: 20}},
		{"drops the last", every(2000, func([]byte) [][]byte { return nil }), Check{Expected: 2000, Received: 1999, Lost: 1}},
		{"duplicates", every(40, func(b []byte) [][]byte { return [][]byte{b, b} }), Check{Expected: 2000, Received: 2000, Duplicates: 50}},
		{"reorders", swap, Check{Expected: 2000, Received: 2000, Reordered: 40}},
		{"corrupts", every(500, corrupt), Check{Expected: 2000, Received: 1996, Lost: 4, Corrupt: 4}},
		{"misnumbers", every(500, misnumber), Check{Expected: 2000, Received: 1996, Lost: 4, Corrupt: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, _ := startFloor(t)
			p := startProxy(t, addr, c.fault)
			r := mustRun(t, p.addr, faulty)
			if r.Check != c.want {
				t.Errorf("check:\n got %+v\nwant %+v", r.Check, c.want)
			}
			if len(r.Problems) == 0 {
				t.Error("no problem is reported")
			}
		})
	}
}

// A broker that quietly lowers the quality of service did not do the work.
func TestLoweredQoSIsSeen(t *testing.T) {
	addr, _ := startFloor(t)
	p := startProxy(t, addr, func(n int, b []byte) [][]byte {
		if n%100 == 0 { // without its packet identifier, at QoS 0
			topic := int(b[2])<<8 | int(b[3])
			b = append(b[:4+topic], b[6+topic:]...)
			b[0] &^= 6
			b[1] -= 2
		}
		return [][]byte{b}
	})
	s := faulty
	s.QoS = 1
	r := mustRun(t, p.addr, s)
	if n := r.Errors["QoS 0 received, not that of publisher and subscription"]; n != 20 {
		t.Errorf("%d messages of lower QoS were seen, want 20: %v", n, r.Errors)
	}
}

// A broker that stalls for half a second is seen by every message that was due in that time, not only by the one it held: also by those
// that could not leave because the window was full.
func TestStallIsSeen(t *testing.T) {
	const stall = 500 * time.Millisecond
	for _, window := range []int{0, 4} {
		addr, _ := startFloor(t)
		p := startProxy(t, addr, func(n int, b []byte) [][]byte {
			if n == 500 {
				time.Sleep(stall)
			}
			return [][]byte{b}
		})
		s := faulty
		s.Rate, s.Window, s.QoS, s.Drain = 1000, window, 1, 2*time.Second
		r := mustRun(t, p.addr, s)
		wantClean(t, r)
		h := r.Stages[0].Latency.Histogram
		if h.Max() < int64(stall) {
			t.Errorf("window %d: max is %v, the stall was %v", window, time.Duration(h.Max()), stall)
		}
		late := int64(0)
		for _, b := range h.Distribution() {
			if b.From >= int64(stall/5) {
				late += b.Count
			}
		}
		if want := int64(400); late < want*9/10 { // due in the first four fifths of the stall, at 1000 a second
			t.Errorf("window %d: %d messages were late by a fifth of the stall or more, want about %d", window, late, want)
		}
	}
}

// What happens when the broker goes away in the middle.
func TestBrokerDies(t *testing.T) {
	addr, _ := startFloor(t)
	var p *proxy
	p = startProxy(t, addr, func(n int, b []byte) [][]byte {
		if n == 300 {
			go p.hangUp() // ends at once
		}
		return [][]byte{b}
	})
	s := faulty
	s.Messages, s.Duration = 0, time.Hour // must not take that long
	r := mustRun(t, p.addr, s)
	if r.Stages[0].Counts.Dropped != 2 {
		t.Errorf("%d connections dropped, want 2; problems %q", r.Stages[0].Counts.Dropped, r.Problems)
	}
	if len(r.Problems) == 0 || r.Stages[0].Counts.Received == 0 {
		t.Errorf("problems %q, received %d", r.Problems, r.Stages[0].Counts.Received)
	}
}

func TestBrokerIsNotThere(t *testing.T) {
	r := mustRun(t, freeAddr(t), faulty)
	if r.Errors["connect: connection refused"] != 2 {
		t.Errorf("errors %v", r.Errors)
	}
}

func TestBrokerRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _, _ = mqtt.ReadPacket(bufio.NewReader(c), 1<<20)
			_, _ = c.Write((&mqtt.Connack{Code: mqtt.NotAuthorized}).Append(nil, mqtt.V311))
			_ = c.Close()
		}
	}()
	r := mustRun(t, l.Addr().String(), Scenario{Kind: KindIdle, Clients: 5})
	if n := r.Stages[0].Counts.Failed; n != 5 {
		t.Errorf("%d failed, want 5: %v", n, r.Errors)
	}
	if len(r.Errors) != 1 {
		t.Errorf("errors %v", r.Errors)
	}
}

// Interrupting gives the result so far.
func TestInterrupt(t *testing.T) {
	addr, _ := startFloor(t)
	s := faulty
	s.Messages, s.Duration = 0, time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	target, err := ParseTarget(addr)
	if err != nil {
		t.Fatal(err)
	}
	s.Name = t.Name()
	o := Options{Scenario: s, Target: target, Progress: func(p Progress) {
		if p.Point.Received > 0 {
			cancel()
		}
	}}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Stages) != 1 || !r.Stages[0].Interrupted || r.Stages[0].Units == 0 || len(r.Problems) == 0 {
		t.Errorf("stages %+v, problems %q", r.Stages, r.Problems)
	}
	if !r.Check.Clean() || r.Check.Expected == 0 {
		t.Errorf("what was under way looks lost: %+v", r.Check)
	}
}
