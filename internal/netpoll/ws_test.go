package netpoll_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

func webSocketConfig(*testing.T) netpoll.ListenConfig {
	return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0", WebSocket: &netpoll.WebSocket{MaxFrame: 1 << 20}}
}

// everyBackend runs f for each back end.
func everyBackend(t *testing.T, f func(t *testing.T, b netpoll.Backend)) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) { f(t, b.value) })
	}
}

func TestWebSocketRefusesBadFrames(t *testing.T) {
	w := &wsClient{}
	masked := func(first byte, payload string) []byte { return w.frame(first, []byte(payload)) }
	long := func(head ...byte) []byte { return append(head, 1, 2, 3, 4) }
	for _, c := range []struct {
		name string
		send []byte
		code uint16
	}{
		{"text", masked(0x81, "hello"), 1003},
		{"not masked", []byte{0x82, 1, 'x'}, 1002},
		{"control frame not masked", []byte{0x89, 0}, 1002},
		{"RSV1 (compression)", masked(0xC2, "x"), 1002},
		{"RSV2", masked(0xA2, "x"), 1002},
		{"RSV3", masked(0x92, "x"), 1002},
		{"opcode 3", masked(0x83, "x"), 1002},
		{"opcode 15", masked(0x8F, "x"), 1002},
		{"ping in fragments", masked(0x09, "x"), 1002},
		{"close in fragments", masked(0x08, "x"), 1002},
		{"ping of 126 bytes", masked(0x89, strings.Repeat("x", 126)), 1002},
		{"continuation of nothing", masked(0x80, "x"), 1002},
		{"message within a message", append(masked(0x02, "x"), masked(0x82, "x")...), 1002},
		{"length 5 in 2 bytes", long(0x82, 0x80|126, 0, 5), 1002},
		{"length 65535 in 8 bytes", long(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0xff, 0xff), 1002},
		{"beyond the limit", long(0x82, 0x80|127, 0, 0, 0, 0, 0, 0x10, 0, 1), 1009},
		{"length 2^63", long(0x82, 0x80|127, 0x80, 0, 0, 0, 0, 0, 0, 0), 1009},
		{"close of one byte", masked(0x88, "x"), 1002},
		{"close code 1005", masked(0x88, "\x03\xed"), 1002},
		{"close code 999", masked(0x88, "\x03\xe7"), 1002},
		{"close reason not UTF-8", masked(0x88, "\x03\xe8\xff"), 1007},
		{"orderly close", masked(0x88, "\x03\xe8bye"), 1000},
		{"close with an own code", masked(0x88, "\x0f\xa1"), 4001},
		{"close without a code", masked(0x88, ""), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyBackend(t, func(t *testing.T, b netpoll.Backend) {
				closed := make(chan error, 10)
				s, conns := accepted(t, b, transport{cfg: webSocketConfig}, func(*netpoll.Conn) *script {
					return &script{closed: func(_ *netpoll.Turn, err error) { closed <- err }}
				})
				conn := wsDial(plainDial)(t, s.ln.Addr()).(*wsClient)
				defer conn.Close()
				<-conns
				for i := range c.send { // byte by byte: no check may need the whole frame
					conn.Conn.Write(c.send[i : i+1])
				}
				conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := conn.Read(make([]byte, 1)); err != io.EOF || conn.status != c.code {
					t.Errorf("closed with code %d (%v), want %d", conn.status, err, c.code)
				}
				conn.Close()
				if err := <-closed; err == nil || (err == io.EOF) != (c.code == 1000 || c.code == 4001) {
					t.Errorf("Closed(%v)", err)
				}
			})
		})
	}
}

func TestWebSocketAnswersPings(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		s, _ := accepted(t, b, transport{cfg: webSocketConfig}, silent)
		conn := wsDial(plainDial)(t, s.ln.Addr()).(*wsClient)
		defer conn.Close()
		for _, size := range []int{0, 1, 125} {
			payload := randomBytes(size)
			ping := conn.frame(0x89, payload)
			conn.Conn.Write(ping[:len(ping)/2])
			time.Sleep(5 * time.Millisecond)
			conn.Conn.Write(ping[len(ping)/2:])
			op, n, err := conn.head()
			got := make([]byte, n)
			io.ReadFull(conn.in, got)
			if err != nil || op != 10 || !bytes.Equal(got, payload) {
				t.Errorf("ping of %d bytes: answer has opcode %d and %d bytes, %v", size, op, n, err)
			}
		}
		conn.Conn.Write(conn.frame(0x8A, []byte("a pong nobody asked for")))
		conn.Conn.Write(conn.frame(0x89, nil))
		if op, _, err := conn.head(); op != 10 || err != nil {
			t.Errorf("after an unsolicited pong: opcode %d, %v", op, err)
		}
	})
}

// Frames may end anywhere in the stream that the handler sees, and reads anywhere in the frames.
func TestWebSocketFramesAreNotPackets(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		s := serve(t, b, webSocketConfig(t), echo)
		conn := wsDial(plainDial)(t, s.ln.Addr()).(*wsClient)
		defer conn.Close()
		sent := randomBytes(300_000)
		var wire []byte
		for rest, first, i := sent, byte(2), 0; len(rest) > 0; i++ {
			n := min(len(rest), []int{0, 1, 7, 125, 126, 127, 4000, 65535, 65536, 70000}[i%10])
			fin := byte(0)
			if i%3 == 2 || n == len(rest) {
				fin = 0x80
			}
			wire = append(wire, conn.frame(fin|first, rest[:n])...)
			if first = 0; fin != 0 {
				first = 2
			}
			rest = rest[n:]
		}
		go func() {
			for i := 0; len(wire) > 0; i++ {
				n := min(len(wire), 1+(i*i*37)%9000)
				conn.Conn.Write(wire[:n])
				wire = wire[n:]
			}
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("other bytes than were sent, or %v", err)
		}
	})
}

// What is sent in one turn is one frame.
func TestWebSocketSendsOneFramePerFlush(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		s, conns := accepted(t, b, transport{cfg: webSocketConfig}, silent)
		conn := wsDial(plainDial)(t, s.ln.Addr()).(*wsClient)
		defer conn.Close()
		other := wsDial(plainDial)(t, s.ln.Addr()).(*wsClient)
		defer other.Close()
		c, oc := <-conns, <-conns
		s.poller.Turn(func(turn *netpoll.Turn) {
			for i := range 100 {
				send(turn, c, bytes.Repeat([]byte{byte(i)}, 10))
				send(turn, oc, []byte{1}) // so that the segments are not next to each other
			}
		})
		if op, n, err := conn.head(); op != 2 || n != 1000 || err != nil {
			t.Errorf("opcode %d, %d bytes, %v; want one binary frame of 1000", op, n, err)
		}
	})
}

func TestWebSocketUpgradeIsRefused(t *testing.T) {
	const good = "Sec-WebSocket-Protocol: mqtt\r\n"
	for _, c := range []struct {
		name, path, more string
		status           int
	}{
		{"good", "/m", good, 101},
		{"origin listed", "/m", good + "Origin: https://App.example\r\n", 101},
		{"origin foreign", "/m", good + "Origin: https://evil.example\r\n", 403},
		{"two origins", "/m", good + "Origin: https://app.example\r\nOrigin: https://evil.example\r\n", 403},
		{"other path", "/mqtt", good, 404},
		{"no subprotocol", "/m", "", 400},
		{"other subprotocol", "/m", "Sec-WebSocket-Protocol: mqttv3.1\r\n", 400},
		{"too long", "/m", good + "X: " + strings.Repeat("x", 9000) + "\r\n", 431},
		{"body", "/m", good + "Content-Length: 4\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyBackend(t, func(t *testing.T, b netpoll.Backend) {
				s, _ := accepted(t, b, transport{cfg: func(*testing.T) netpoll.ListenConfig {
					return netpoll.ListenConfig{Network: "tcp", Address: "127.0.0.1:0",
						WebSocket: &netpoll.WebSocket{Path: "/m", Origins: []string{"https://app.example"}}}
				}}, silent)
				conn := plainDial(t, s.ln.Addr())
				defer conn.Close()
				if _, status := upgradeConn(t, conn, c.path, c.more); status != c.status {
					t.Errorf("status %d, want %d", status, c.status)
				}
			})
		})
	}
}

func TestWebSocketUpgradeWantsAWebSocket(t *testing.T) {
	for name, request := range map[string]string{
		"plain GET":     "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/1.0":      "GET /mqtt HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"POST":          "POST /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"version 8":     "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"short key":     "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"no HTTP":       "\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00\r\n\r\n",
		"early frames":  "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x80",
		"header inject": "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n b\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			everyBackend(t, func(t *testing.T, b netpoll.Backend) {
				s := serve(t, b, webSocketConfig(t), func(*netpoll.Conn) netpoll.Handler {
					t.Error("it became a connection")
					return nil
				})
				conn := plainDial(t, s.ln.Addr())
				defer conn.Close()
				io.WriteString(conn, request)
				got, err := io.ReadAll(conn)
				if status := string(got[:min(12, len(got))]); err != nil || !strings.HasPrefix(status, "HTTP/1.1 4") {
					t.Errorf("answer %q, %v", got, err)
				}
			})
		})
	}
}

func TestProxyHeader(t *testing.T) {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	header := func(command, family byte, addresses string) string {
		return signature + string(binary.BigEndian.AppendUint16([]byte{command, family}, uint16(len(addresses)))) + addresses
	}
	v4 := "\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x07\x5b"
	v6 := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 16) + "\x30\x39\x07\x5b"
	unix := "/run/client" + strings.Repeat("\x00", 216-11)
	for _, c := range []struct{ name, header, want string }{
		{"IPv4", header(0x21, 0x11, v4), "192.0.2.1:12345"},
		{"IPv4 with TLVs", header(0x21, 0x11, v4+"\x04\x00\x03abc"), "192.0.2.1:12345"},
		{"IPv6", header(0x21, 0x21, v6), "[2001:db8::1]:12345"},
		{"unix", header(0x21, 0x31, unix), "/run/client"},
		{"local", header(0x20, 0x00, ""), "socket"},
		{"unspecified", header(0x21, 0x00, ""), "socket"},
		{"version 1", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 1883\r\n", ""},
		{"none", "\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00", ""},
		{"version 3", header(0x31, 0x11, v4), ""},
		{"command 2", header(0x22, 0x11, v4), ""},
		{"UDP", header(0x21, 0x12, v4), ""},
		{"addresses too short", header(0x21, 0x11, v4[:8]), ""},
		{"too long", header(0x21, 0x11, v4+strings.Repeat("x", 5000)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyBackend(t, func(t *testing.T, b netpoll.Backend) {
				cfg := tcpConfig(t)
				cfg.ProxyProtocol = true
				s := serve(t, b, cfg, func(conn *netpoll.Conn) netpoll.Handler {
					remote := conn.RemoteAddr().String()
					return &script{data: func(turn *netpoll.Turn, b []byte) (int, error) {
						send(turn, conn, fmt.Appendf(nil, "%s %s", remote, b))
						return len(b), io.EOF
					}}
				})
				conn := plainDial(t, s.ln.Addr())
				defer conn.Close()
				for i := range c.header {
					conn.Write([]byte(c.header[i : i+1]))
				}
				conn.Write([]byte("hi"))
				got, _ := io.ReadAll(conn)
				want := c.want + " hi"
				switch c.want {
				case "":
					want = ""
				case "socket":
					want = conn.LocalAddr().String() + " hi"
				}
				if string(got) != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

func TestProxyHeaderBeforeTLSAndWebSocket(t *testing.T) {
	everyBackend(t, func(t *testing.T, b netpoll.Backend) {
		cfg := transports()[4].cfg(t)
		cfg.ProxyProtocol = true
		s := serve(t, b, cfg, func(conn *netpoll.Conn) netpoll.Handler {
			if conn.RemoteAddr().String() != "192.0.2.1:12345" || conn.TLS() == nil || !conn.TLS().HandshakeComplete {
				t.Errorf("remote %v, TLS %v", conn.RemoteAddr(), conn.TLS())
			}
			return echo(conn)
		})
		raw := plainDial(t, s.ln.Addr())
		defer raw.Close()
		io.WriteString(raw, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x07\x5b")
		conn, status := upgradeConn(t, tlsOver(raw), "/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n")
		if status != http.StatusSwitchingProtocols {
			t.Fatal(status)
		}
		conn.Write([]byte("through it all"))
		got := make([]byte, 14)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "through it all" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// One deadline covers all handshakes, and dripping bytes does not move it.
func TestConnectTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, b netpoll.Backend, tr transport) {
		cfg := tr.cfg(t)
		cfg.ConnectTimeout = 300 * time.Millisecond
		cfg.ProxyProtocol = tr.name == "wss" // silent at the first of several steps
		s := serve(t, b, cfg, func(c *netpoll.Conn) netpoll.Handler {
			return &script{alarm: func(turn *netpoll.Turn) { c.Close(turn) }}
		})
		conn := plainDial(t, s.ln.Addr())
		defer conn.Close()
		start := time.Now()
		go drip(conn)
		if _, err := io.Copy(io.Discard, conn); err != nil && time.Since(start) < cfg.ConnectTimeout {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
		conn.Close()
		waitFor(t, "connection released", func() bool { return s.poller.Connections() == 0 })
	})
}

// drip writes the beginning of what every protocol could be, slowly.
func drip(conn net.Conn) {
	for _, b := range []byte("\x16\x03\x01\x02\x00\x01") {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
}
