package hostile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/test/wire"
)

// joinWS connects an MQTT client over WebSocket.
func (h *hub) joinWS(version byte, name string) (*wire.Conn, *wire.WebSocket) {
	h.Helper()
	c, ws := h.dialWS(version, name)
	c.Join(wire.Connect{ClientID: h.id(name), Clean: true})
	return c, ws
}

// refusedFrames sends frames that must end the connection. A DISCONNECT may
// come before the end.
func (h *hub) refusedFrames(what string, frames ...[]byte) {
	h.Helper()
	c, ws := h.joinWS(wire.V5, what)
	for _, f := range frames {
		if ws.WriteRaw(f) != nil {
			break // closed already
		}
	}
	for _, p := range ends(c) {
		if p.Type != wire.DISCONNECT {
			h.Errorf("%s: before the end came %v", what, p)
		}
	}
}

// head is the head of a masked binary frame that claims a length in 8 bytes.
func head(n uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{0x80 | wire.OpBinary, 0x80 | 127}, n)
	return append(b, 0, 0, 0, 0)
}

func TestRow05LengthBeyondPayload(t *testing.T) {
	on(t, func(h *hub) {
		h.bounded(48*mib, func() {
			h.refusedFrames("length with the highest bit", head(1<<63))
			h.refusedFrames("length of all ones", head(1<<64-1))
			h.refusedFrames("packet beyond the limit", head(1<<40), []byte{wire.PUBLISH << 4}, huge)
			for range 50 { // a frame that promises more than comes, then the end
				_, ws := h.joinWS(wire.V5, "short")
				ws.WriteRaw(append(head(1<<30), wire.PUBLISH<<4, 100, 0, 1))
				ws.Conn.Close()
			}
			// Before CONNECT, nothing may wait for such a frame.
			c, ws := h.dialWS(wire.V5, "first")
			ws.WriteRaw(append(head(1<<40), append([]byte{wire.CONNECT << 4}, huge...)...))
			ends(c)
			// A packet that promises more than its frame holds goes on in the next one.
			c, ws = h.joinWS(wire.V5, "two")
			ping := wire.Publish{Topic: h.topic("a"), Payload: "x", QoS: 1, ID: 1}.Bytes(wire.V5)
			ws.WriteRaw(ws.Frame(0x80|wire.OpBinary, true, ping[:5]))
			ws.WriteRaw(ws.Frame(0x80|wire.OpBinary, true, ping[5:]))
			c.Expect(wire.PUBACK)
		})
	})
}

// Compression is either not agreed on, and then a compressed frame is an error,
// or what it inflates to is bounded.
func TestRow19CompressionBomb(t *testing.T) {
	on(t, func(h *hub) {
		if h.node.WS == "" {
			h.Skip("the server under test has no WebSocket listener")
		}
		var bomb bytes.Buffer
		w, _ := flate.NewWriter(&bomb, flate.BestCompression)
		zeros := make([]byte, mib)
		for range 256 {
			w.Write(zeros)
		}
		w.Flush()
		h.bounded(48*mib, func() {
			nc, err := net.DialTimeout("tcp", h.node.WS, wire.Patience)
			if err != nil {
				h.Fatal(err)
			}
			ws, err := wire.Upgrade(nc, h.node.WS, wire.Path, []string{"mqtt"}, []string{"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"})
			if err != nil {
				h.Fatal(err)
			}
			c := wire.New(h, ws, wire.V5, "bomb")
			c.Join(wire.Connect{ClientID: h.id("bomb"), Clean: true})
			if ws.Response.Header.Get("Sec-WebSocket-Extensions") == "" {
				h.Log("compression was not agreed on")
			}
			ws.WriteRaw(ws.Frame(0xc0|wire.OpBinary, true, bomb.Bytes()))
			ends(c)
			h.refusedFrames("compressed without agreement", ws.Frame(0xc0|wire.OpBinary, true, bomb.Bytes()))
			// Nor is the request itself inflated.
			nc, err = net.DialTimeout("tcp", h.node.WS, wire.Patience)
			if err != nil {
				h.Fatal(err)
			}
			defer nc.Close()
			if _, err := wire.Upgrade(nc, h.node.WS, wire.Path, []string{"mqtt"}, []string{"X: " + strings.Repeat("x", 4*mib)}); err == nil {
				h.Error("a request of 4 MiB was accepted")
			}
		})
	})
}

func TestRow20ControlFrames(t *testing.T) {
	on(t, func(h *hub) {
		var ws *wire.WebSocket // for its Frame only
		long := bytes.Repeat([]byte("x"), 126)
		ping := wire.Pingreq()
		for what, frames := range map[string][][]byte{
			"unmasked ping":              {ws.Frame(0x80|wire.OpPing, false, nil)},
			"unmasked data":              {ws.Frame(0x80|wire.OpBinary, false, ping)},
			"unmasked close":             {ws.Frame(0x80|wire.OpClose, false, nil)},
			"long ping":                  {ws.Frame(0x80|wire.OpPing, true, long)},
			"long close":                 {ws.Frame(0x80|wire.OpClose, true, long)},
			"fragmented ping":            {ws.Frame(wire.OpPing, true, nil)},
			"fragmented close":           {ws.Frame(wire.OpClose, true, nil)},
			"close of one byte":          {ws.Frame(0x80|wire.OpClose, true, []byte{3})},
			"close with a reserved code": {ws.Frame(0x80|wire.OpClose, true, []byte{3, 0xed})},
			"close that is not UTF-8":    {ws.Frame(0x80|wire.OpClose, true, []byte{3, 0xe8, 0xff})},
			"close":                      {ws.Frame(0x80|wire.OpClose, true, []byte{3, 0xe8})},
			"reserved opcode 3":          {ws.Frame(0x83, true, ping)},
			"reserved opcode 11":         {ws.Frame(0x8b, true, nil)},
			"reserved bit 1":             {ws.Frame(0xc0|wire.OpBinary, true, ping)},
			"reserved bit 2":             {ws.Frame(0xa0|wire.OpBinary, true, ping)},
			"reserved bit 3":             {ws.Frame(0x90|wire.OpPing, true, nil)},
			"continuation of nothing":    {ws.Frame(0x80|wire.OpContinue, true, ping)},
			"data within fragments":      {ws.Frame(wire.OpBinary, true, ping[:1]), ws.Frame(0x80|wire.OpBinary, true, ping[1:])},
		} {
			h.refusedFrames(what, frames...)
		}
		// Floods of good ones are answered or not, and cost nothing.
		c, flood := h.joinWS(wire.V5, "flood")
		h.bounded(32*mib, func() {
			for range 20 {
				var all []byte
				for range 500 {
					all = append(all, flood.Frame(0x80|wire.OpPing, true, []byte("0123456789"))...)
					all = append(all, flood.Frame(0x80|wire.OpPong, true, nil)...)
					all = append(all, flood.Frame(wire.OpBinary, true, nil)...)
					all = append(all, flood.Frame(0x80|wire.OpContinue, true, nil)...)
				}
				if err := flood.WriteRaw(all); err != nil {
					h.Fatal(err)
				}
				c.Ping()
			}
		})
	})
}

// What is not a WebSocket handshake is refused before MQTT begins.
func TestHandshake(t *testing.T) {
	on(t, func(h *hub) {
		if h.node.WS == "" {
			h.Skip("the server under test has no WebSocket listener")
		}
		good := "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n"
		for what, request := range map[string]string{
			"POST":         "POST /mqtt HTTP/1.1\r\nHost: x\r\n" + good + "\r\n",
			"other path":   "GET /other HTTP/1.1\r\nHost: x\r\n" + good + "\r\n",
			"no upgrade":   "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n",
			"no key":       "GET /mqtt HTTP/1.1\r\nHost: x\r\n" + strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1) + "\r\n",
			"version 8":    "GET /mqtt HTTP/1.1\r\nHost: x\r\n" + strings.Replace(good, "13", "8", 1) + "\r\n",
			"HTTP/1.0":     "GET /mqtt HTTP/1.0\r\nHost: x\r\n" + good + "\r\n",
			"not HTTP":     "\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02ab",
			"binary":       "\xff\x00\xff\x00\r\n\r\n",
			"no end":       "GET /mqtt HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a: b\r\n", 20000),
			"one line":     strings.Repeat("a", 1<<20),
			"early frames": "GET /other HTTP/1.1\r\nHost: x\r\n" + good + "\r\n\x82\x80\x00\x00\x00\x00",
		} {
			nc, err := net.DialTimeout("tcp", h.node.WS, wire.Patience)
			if err != nil {
				h.Fatal(err)
			}
			c := wire.New(h, nc, wire.V5, what)
			c.TryWrite([]byte(request))
			c.TryWrite([]byte("\r\n\r\n"))
			buf := make([]byte, 4096)
			n := readAll(nc, buf)
			if answer := string(buf[:n]); strings.Contains(answer, " 101 ") || answer != "" && !strings.HasPrefix(answer, "HTTP/1.") {
				h.Errorf("%s was answered with %q", what, answer)
			}
			c.Close()
		}
	})
}
