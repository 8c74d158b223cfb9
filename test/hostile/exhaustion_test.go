package hostile

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

// A subscriber that stops reading costs its own limit and nobody else. What was
// kept for it arrives when it reads again, or its connection has ended.
func TestSlowSubscriber(t *testing.T) {
	onOwn(t, []string{"limits.max_outbound_buffer=1MiB", "limits.max_queued_messages=100", "limits.max_queued_bytes=1MiB"}, func(h *hub) {
		slow, fast, p := h.join(wire.V5, "slow"), h.join(wire.V5, "fast"), h.join(wire.V5, "p")
		slow.Subscribe(h.topic("slow/#"), 1)
		fast.Subscribe(h.topic("slow/#"), 1)
		payload := strings.Repeat("x", 64<<10)
		h.bounded(64*mib, func() {
			for i := range 600 { // 37 MiB, at both QoS
				p.Publish(wire.Publish{Topic: h.topic("slow/a"), Payload: fmt.Sprintf("%06d", i) + payload[6:], QoS: byte(i % 2)})
				if got := fast.Message(); len(got.Payload) != len(payload) {
					h.Fatalf("a message of %d bytes came to the other subscriber", len(got.Payload))
				}
			}
		})
		p.Publish(wire.Publish{Topic: h.topic("slow/end"), Payload: "end", QoS: 1})
		n, last := 0, [3]string{}
		for {
			m, err := slow.Take(wire.Patience)
			if err != nil {
				if strings.Contains(err.Error(), "timeout") {
					h.Errorf("after %d messages the slow subscriber is sent nothing more and is not closed", n)
				}
				break
			}
			if m.Type == wire.PUBLISH && m.QoS() == 1 {
				slow.TryWrite(wire.Ack(wire.PUBACK, m.ID))
			}
			if m.Topic == h.topic("slow/end") {
				break
			}
			if m.Type == wire.PUBLISH { // some are gone, but none comes out of turn
				if number := string(m.Payload[:6]); number <= last[m.QoS()] {
					h.Errorf("at QoS %d message %s came after %s", m.QoS(), number, last[m.QoS()])
				} else {
					last[m.QoS()] = number
				}
			}
			n++
		}
		slow.Close()
		again := h.join(wire.V5, "slow")
		again.Quiet()
	})
}

// descriptors counts this process's open files, or -1 where that is not told.
func descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(all)
}

// 10,000 connects, subscribes and disconnects leave goroutines and descriptors
// where they were.
func TestConnectLeak(t *testing.T) {
	on(t, func(h *hub) {
		if h.node.Stop == nil {
			h.Skip("the server is another process")
		}
		h.leak(200) // what is made once is made
		goroutines, files := runtime.NumGoroutine(), descriptors()
		h.settles(8*mib, func() { h.leak(10000) })
		for deadline := time.Now().Add(wire.Patience); ; time.Sleep(20 * time.Millisecond) {
			g, f := runtime.NumGoroutine(), descriptors()
			if g <= goroutines+2 && f <= files+2 { // +2: the collector's own
				break
			}
			if time.Now().After(deadline) {
				h.Errorf("goroutines %d -> %d, descriptors %d -> %d", goroutines, g, files, f)
				break
			}
		}
	})
}

// leak makes connections that subscribe and leave, in every way there is.
func (h *hub) leak(n int) {
	h.Helper()
	for i := range n {
		if err := h.leakOne(i); err != nil {
			h.Fatalf("connection %d: %v", i, err)
		}
	}
}

func (h *hub) leakOne(i int) error {
	addr, ws := h.node.TCP, i%4 == 3 && h.node.WS != ""
	if ws {
		addr = h.node.WS
	}
	nc, err := net.DialTimeout("tcp", addr, wire.Patience)
	if err != nil {
		return err
	}
	defer nc.Close()
	if ws {
		if nc, err = wire.Upgrade(nc, addr, wire.Path, []string{"mqtt"}, nil); err != nil {
			return err
		}
	}
	v := versions[i%2]
	nc.SetDeadline(time.Now().Add(wire.Patience))
	nc.Write(wire.Connect{Version: v, ClientID: h.id(fmt.Sprint("leak", i%100)), Clean: true, KeepAlive: 30}.Bytes())
	nc.Write(wire.Subscribe(v, 1, []wire.Sub{{Filter: h.topic(fmt.Sprintf("leak/%d/+", i)), Options: 1}, {Filter: h.topic(fmt.Sprint("leak/", i))}}))
	nc.Write(wire.Publish{Topic: h.topic(fmt.Sprint("leak/", i)), Payload: "x"}.Bytes(v))
	var got []byte
	for want := "x"; !strings.HasSuffix(string(got), want); {
		buf := make([]byte, 256)
		n, err := nc.Read(buf)
		if err != nil {
			return fmt.Errorf("after %x: %w", got, err)
		}
		got = append(got, buf[:n]...)
	}
	if i%3 != 0 {
		nc.Write(wire.Disconnect(v, 0))
		nc.Read(make([]byte, 64)) // the end
	}
	return nil
}
