package hostile

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

// readAll reads until the end and gives how much came; the rest is dropped.
func readAll(nc net.Conn, buf []byte) int {
	nc.SetReadDeadline(time.Now().Add(wire.Patience))
	n := 0
	for n < len(buf) {
		m, err := nc.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	return n
}

// Connections that never finish their CONNECT are closed when the time for it
// is over, however they spend it: silent, in the middle, or a byte at a time.
func TestRow03PartialConnect(t *testing.T) {
	onOwn(t, []string{"limits.connect_timeout=1s"}, func(h *hub) {
		packet := wire.Connect{Version: wire.V5, ClientID: h.id("c"), Clean: true, KeepAlive: 60}.Bytes()
		request := "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
		var all []net.Conn
		for _, addr := range []string{h.node.TCP, h.node.WS} {
			for i := range 60 {
				nc, err := net.DialTimeout("tcp", addr, wire.Patience)
				if err != nil {
					h.Fatal(err)
				}
				defer nc.Close()
				part := packet[:i%len(packet)]
				if addr == h.node.WS {
					part = []byte(request[:i%len(request)])
				}
				nc.Write(part)
				all = append(all, nc)
			}
		}
		slow, err := net.DialTimeout("tcp", h.node.TCP, wire.Patience)
		if err != nil {
			h.Fatal(err)
		}
		defer slow.Close()
		opened, refused := time.Now(), false
		for _, b := range packet {
			if _, err := slow.Write([]byte{b}); err != nil {
				refused = true
				break
			}
			time.Sleep(300 * time.Millisecond)
		}
		if !refused {
			h.Errorf("a CONNECT that took %v was taken whole", time.Since(opened))
		}
		for _, nc := range all {
			if n := readAll(nc, make([]byte, 4096)); n > 0 && n < 12 {
				h.Errorf("a partial CONNECT was answered with %d bytes", n)
			}
			nc.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := nc.Read(make([]byte, 1)); err != nil && strings.Contains(err.Error(), "timeout") {
				h.Error("a partial CONNECT is held open")
			}
		}
	})
}

// What a client can make the server keep has a limit: subscriptions, retained
// messages, packets that are never finished.
func TestRow13PacketsThatMakeMemoryGrow(t *testing.T) {
	onOwn(t, []string{"limits.max_subscriptions=100", "limits.max_retained_messages=100", "limits.max_retained_bytes=1MiB", "sys.enabled=false"}, func(h *hub) {
		c := h.join(wire.V5, "subs")
		var granted, refused int
		for i := range 20 {
			var subs []wire.Sub
			for j := range 20 {
				subs = append(subs, wire.Sub{Filter: h.topic(fmt.Sprintf("%d/%d/+", i, j))})
			}
			c.Write(wire.Subscribe(wire.V5, 1, subs))
			for _, code := range c.Expect(wire.SUBACK).Codes {
				if code < 0x80 {
					granted++
				} else if code == 0x97 {
					refused++
				}
			}
		}
		if granted != 100 || refused != 300 {
			h.Errorf("of 400 subscriptions %d were granted and %d refused with 0x97, the limit is 100", granted, refused)
		}
		p := h.join(wire.V5, "retained")
		refused = 0
		for i := range 300 {
			p.Write(wire.Publish{Topic: h.topic(fmt.Sprint("r/", i)), Payload: "x", QoS: 1, ID: 1, Retain: true}.Bytes(wire.V5))
			if p.Expect(wire.PUBACK).Code == 0x97 {
				refused++
			}
		}
		s := h.join(wire.V5, "s")
		s.Subscribe(h.topic("r/#"), 0)
		s.Ping()
		kept := 0
		for p.Publish(wire.Publish{Topic: h.topic("r/end"), Payload: "end"}); string(s.Message().Payload) != "end"; {
			kept++
		}
		if kept != 100 || refused != 200 {
			h.Errorf("%d retained messages are kept and %d were refused with 0x97, the limit is 100", kept, refused)
		}
		h.bounded(64*mib, func() { // each promises nearly all that a packet may have, and sends little
			for range 300 {
				c := h.join(wire.V311, fmt.Sprint("unfinished", h.number, time.Now().UnixNano()))
				c.Write([]byte{wire.PUBLISH << 4, 0x80, 0x80, 0x0f}, []byte("\x00\x01a"))
			}
		})
	})
}

func TestRow16SameIdentifierNeverReleased(t *testing.T) {
	on(t, func(h *hub) {
		s := h.join(wire.V5, "s")
		s.Subscribe(h.topic("a"), 2)
		for _, v := range versions {
			p := h.join(v, "p")
			payload := strings.Repeat("x", 1000)
			h.settles(4*mib, func() {
				for i := range 5000 {
					p.Write(wire.Publish{Topic: h.topic("a"), Payload: payload, QoS: 2, ID: 9, Dup: i%2 == 1}.Bytes(v))
					if rec := p.Expect(wire.PUBREC); rec.ID != 9 || rec.Code >= 0x80 {
						h.Fatalf("message %d was answered with %v", i, rec)
					}
				}
			})
			p.Write(wire.Ack(wire.PUBREL, 9))
			p.Expect(wire.PUBCOMP)
			s.Deliver(h.topic("a"), payload)
			s.Quiet() // one of the 5,000
			// Ever new identifiers end at the receive maximum.
			for id := uint16(1); id < 60000; id++ {
				if p.TryWrite(wire.Publish{Topic: h.topic("b"), QoS: 2, ID: id}.Bytes(v)) != nil {
					break
				}
				got, err := p.Answer()
				if err != nil || got.Type == wire.DISCONNECT {
					if v == wire.V5 && got.Code != 0x93 {
						h.Errorf("too many open messages ended with %v", got)
					}
					break
				}
			}
		}
	})
}

func TestRow17WillDelayBeyondSession(t *testing.T) {
	on(t, func(h *hub) {
		s := h.join(wire.V5, "s")
		s.Subscribe(h.topic("w"), 1)
		h.settles(4*mib, func() {
			for i := range 50 {
				c := h.dial(wire.V5, "c")
				c.Join(wire.Connect{ClientID: h.id(fmt.Sprint("c", i)), Clean: true, Props: []wire.Prop{wire.Num(wire.SessionExpiry, uint32(i%2))},
					Will: &wire.Will{Topic: h.topic("w"), Payload: "will", QoS: 1, Props: []wire.Prop{wire.Num(wire.WillDelay, 0xffffffff)}}})
				c.Close()
			}
			for range 50 { // at the end of the session, since that is first
				s.Deliver(h.topic("w"), "will")
			}
		})
		s.Quiet()
		for i := range 50 {
			c := h.dial(wire.V5, "again")
			if p := c.Join(wire.Connect{ClientID: h.id(fmt.Sprint("c", i))}); p.Present != 0 {
				h.Errorf("the session is still there: %v", p)
			}
			c.Close()
		}
	})
}

func TestRow21ExpiredSessionsKeepNothing(t *testing.T) {
	on(t, func(h *hub) {
		payload := strings.Repeat("x", 10000)
		h.settlesInTime(4*mib, func() {
			for i := range 100 {
				c := h.dial(wire.V5, "c")
				c.Join(wire.Connect{ClientID: h.id(fmt.Sprint("c", i)), Props: []wire.Prop{wire.Num(wire.SessionExpiry, 1)}})
				c.Subscribe(h.topic(fmt.Sprint("s/", i)), 1)
				c.Subscribe(h.topic("all"), 2)
				c.Close()
			}
			p := h.join(wire.V5, "p")
			for i := range 100 {
				for range 10 {
					p.Publish(wire.Publish{Topic: h.topic(fmt.Sprint("s/", i)), Payload: payload, QoS: 1})
				}
			}
			p.Publish(wire.Publish{Topic: h.topic("all"), Payload: payload, QoS: 2})
			time.Sleep(1200 * time.Millisecond)
		})
		p := h.join(wire.V5, "after") // nor do their subscriptions stay
		p.Write(wire.Publish{Topic: h.topic("all"), Payload: "x", QoS: 1, ID: 1}.Bytes(wire.V5))
		for deadline := time.Now().Add(wire.Patience); p.Expect(wire.PUBACK).Code != 0x10; {
			if time.Now().After(deadline) {
				h.Fatal("there are still subscribers")
			}
			time.Sleep(100 * time.Millisecond)
			p.Write(wire.Publish{Topic: h.topic("all"), Payload: "x", QoS: 1, ID: 1}.Bytes(wire.V5))
		}
	})
}

func TestRow22TimersSetToZero(t *testing.T) {
	on(t, func(h *hub) {
		zero := []wire.Prop{wire.Num(wire.SessionExpiry, 0), wire.Num(wire.TopicAliasMaximum, 0), wire.Num(wire.RequestProblemInfo, 0)}
		s := h.join(wire.V5, "s")
		s.Subscribe(h.topic("#"), 1)
		for range 20 {
			c := h.dial(wire.V5, "c")
			c.Join(wire.Connect{ClientID: h.id("c"), Clean: true, KeepAlive: 0, Props: zero,
				Will: &wire.Will{Topic: h.topic("w"), Payload: "will", Props: []wire.Prop{wire.Num(wire.WillDelay, 0), wire.Num(wire.MessageExpiry, 1000)}}})
			c.Publish(wire.Publish{Topic: h.topic("a"), Payload: "x", QoS: 1, Props: []wire.Prop{wire.Num(wire.MessageExpiry, 0)}})
			c.Quiet()
			c.Close()
			for string(s.Message().Payload) != "will" {
			}
		}
		// A message that expires at once is not kept for those who are away.
		away := h.dial(wire.V5, "away")
		away.Join(wire.Connect{ClientID: h.id("away"), Props: []wire.Prop{wire.Num(wire.SessionExpiry, 100)}})
		away.Subscribe(h.topic("e"), 1)
		away.Close()
		s.Publish(wire.Publish{Topic: h.topic("e"), Payload: "x", QoS: 1, Retain: true, Props: []wire.Prop{wire.Num(wire.MessageExpiry, 0)}})
		away = h.dial(wire.V5, "away")
		away.Join(wire.Connect{ClientID: h.id("away"), Props: []wire.Prop{wire.Num(wire.SessionExpiry, 0)}})
		away.Quiet()
		for _, bad := range []wire.Prop{wire.Num(wire.ReceiveMaximum, 0), wire.Num(wire.MaximumPacketSize, 0)} {
			h.refusedWith("CONNECT", with(h, "CONNECT", bad))
		}
	})
}

// Many connections fight for one identifier while they publish and are
// published to. In the end one client is there, with one session.
func TestRow23ChurnOnOneIdentifier(t *testing.T) {
	on(t, func(h *hub) {
		topic := h.topic("churn")
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 60 {
					h.churn(topic, byte(i%2), j)
				}
			})
		}
		all.Wait()
		h.settleChurn()
		for _, v := range versions {
			c := h.dial(v, "last")
			c.Join(wire.Connect{ClientID: h.id("churn"), Clean: true})
			c.Subscribe(topic, 1)
			c.Publish(wire.Publish{Topic: topic, Payload: "end", QoS: 2})
			for string(c.Message().Payload) != "end" {
			}
			c.Quiet()
			p := h.join(v, "p")
			p.Publish(wire.Publish{Topic: topic, Payload: "once", QoS: 1})
			c.Deliver(topic, "once")
			c.Quiet()
		}
	})
}

// settleChurn waits until no CONNECT of churn is on its way any more: one that the broker reads only now takes the
// identifier from whoever has it.
func (h *hub) settleChurn() {
	for range 480 {
		c := h.dial(wire.V5, "settling")
		c.Join(wire.Connect{ClientID: h.id("churn"), Clean: true})
		_, err := c.Take(time.Second)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			c.Close()
			return
		}
	}
	h.Fatal("the identifier is never left alone")
}

// churn is one connection of many; whatever fails on it is not the test's.
func (h *hub) churn(topic string, kind byte, j int) {
	nc, err := net.DialTimeout("tcp", h.node.TCP, wire.Patience)
	if err != nil {
		h.Error(err)
		return
	}
	defer nc.Close()
	v := versions[kind]
	connect := wire.Connect{Version: v, ClientID: h.id("churn"), Clean: j%3 == 0, KeepAlive: 1,
		Will: &wire.Will{Topic: topic, Payload: "will", QoS: byte(j % 3)}}
	if v == wire.V5 {
		connect.Props = []wire.Prop{wire.Num(wire.SessionExpiry, 60), wire.Num(wire.ReceiveMaximum, 3)}
	}
	nc.SetDeadline(time.Now().Add(wire.Patience))
	nc.Write(connect.Bytes())
	nc.Write(wire.Subscribe(v, 1, []wire.Sub{{Filter: topic, Options: 2}}))
	for k := range 5 {
		nc.Write(wire.Publish{Topic: topic, Payload: "x", QoS: byte(k % 3), ID: uint16(10 + k)}.Bytes(v))
	}
	if j%4 != 0 {
		nc.Read(make([]byte, 512))
	}
	if j%5 == 0 {
		nc.Write(wire.Disconnect(v, 0))
	}
}

// Bytes that are not a whole packet do not count as a sign of life, and very
// short and very long keep alives cost nothing.
func TestRow25KeepAliveAbuse(t *testing.T) {
	on(t, func(h *hub) {
		var idle []*wire.Conn
		for i := range 200 {
			c := h.dial(versions[i%2], "idle")
			keepAlive := uint16(1)
			if i >= 100 {
				keepAlive = 65535
			}
			c.Join(wire.Connect{ClientID: h.id(fmt.Sprint("idle", i)), Clean: true, KeepAlive: keepAlive})
			idle = append(idle, c)
		}
		for _, v := range versions {
			c := h.dial(v, "dribble")
			c.Join(wire.Connect{ClientID: h.id("dribble"), Clean: true, KeepAlive: 1})
			c.Write([]byte{wire.PUBLISH << 4, 0xff, 0x7f, 0, 1, 'a'})
			closed := false
			for range 200 { // 20 s, far beyond one and a half times the keep alive
				if c.TryWrite([]byte{'x'}) != nil {
					closed = true
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if !closed {
				h.Error("a client that never finishes a packet outlives its keep alive")
			}
		}
		for i, c := range idle {
			if i < 100 {
				ends(c)
			} else {
				c.Ping()
			}
		}
		busy := h.dial(wire.V5, "busy") // a flood of pings is answered one by one
		busy.Join(wire.Connect{ClientID: h.id("busy"), Clean: true, KeepAlive: 1})
		var pings []byte
		for range 5000 {
			pings = append(pings, wire.Pingreq()...)
		}
		busy.Write(pings)
		for range 5000 {
			busy.Expect(wire.PINGRESP)
		}
	})
}
