package wire

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The WebSocket opcodes of RFC 6455, section 5.2.
const (
	OpContinue = 0x0
	OpText     = 0x1
	OpBinary   = 0x2
	OpClose    = 0x8
	OpPing     = 0x9
	OpPong     = 0xA
)

// WebSocket is the client's side of a WebSocket. As a net.Conn it writes one
// masked binary frame per Write and reads the bytes of binary frames.
type WebSocket struct {
	net.Conn
	in       *bufio.Reader
	rest     []byte
	Response *http.Response // the answer to the handshake

	// OnControl, when set, is told of control frames before they are handled.
	OnControl func(op byte, payload []byte)
}

// Upgrade opens a WebSocket on a fresh connection. offer holds the values of
// the Sec-WebSocket-Protocol header, one header line each; extra holds further
// header lines. An answer other than 101 is an error, with Response set.
func Upgrade(c net.Conn, host, path string, offer, extra []string) (*WebSocket, error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", path, host)
	fmt.Fprintf(&b, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", key)
	for _, o := range offer {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", o)
	}
	for _, e := range extra {
		b.WriteString(e + "\r\n")
	}
	b.WriteString("\r\n")
	c.SetDeadline(time.Now().Add(Patience))
	defer c.SetDeadline(time.Time{})
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	ws := &WebSocket{Conn: c, in: bufio.NewReader(c)}
	var err error
	if ws.Response, err = http.ReadResponse(ws.in, nil); err != nil {
		return nil, err
	}
	if ws.Response.StatusCode != http.StatusSwitchingProtocols {
		return ws, fmt.Errorf("handshake refused: %s", ws.Response.Status)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got, want := ws.Response.Header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return ws, fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
	}
	return ws, nil
}

// Frame makes a frame by hand. first is the whole first byte: 0x80 for FIN,
// 0x70 for the reserved bits, and the opcode.
func (ws *WebSocket) Frame(first byte, masked bool, payload []byte) []byte {
	b := []byte{first, 0}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !masked {
		return append(b, payload...)
	}
	b[1] |= 0x80
	var mask [4]byte
	rand.Read(mask[:])
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// Write sends p as one binary frame.
func (ws *WebSocket) Write(p []byte) (int, error) {
	if _, err := ws.Conn.Write(ws.Frame(0x80|OpBinary, true, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteRaw sends bytes below the framing.
func (ws *WebSocket) WriteRaw(p []byte) error {
	ws.Conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := ws.Conn.Write(p)
	return err
}

// Read gives bytes of binary frames, answers pings and ends at a close frame.
func (ws *WebSocket) Read(p []byte) (int, error) {
	for len(ws.rest) == 0 {
		op, payload, err := ws.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch op {
		case OpBinary, OpContinue:
			ws.rest = payload
			continue
		case OpText:
			return 0, fmt.Errorf("the server sent a text frame")
		}
		if ws.OnControl != nil {
			ws.OnControl(op, payload)
		}
		if op == OpClose {
			ws.Conn.Write(ws.Frame(0x80|OpClose, true, payload[:min(2, len(payload))]))
			return 0, io.EOF
		}
		if op == OpPing {
			ws.Conn.Write(ws.Frame(0x80|OpPong, true, payload))
		}
	}
	n := copy(p, ws.rest)
	ws.rest = ws.rest[n:]
	return n, nil
}

// ReadFrame reads one frame of any kind. A server's frame must not be masked
// and must not use reserved bits.
func (ws *WebSocket) ReadFrame() (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err = io.ReadFull(ws.in, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x70 != 0 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame head %x: reserved bits or a mask from the server", head[:2])
	}
	op, n := head[0]&0x0f, uint64(head[1])
	switch n {
	case 126:
		if _, err = io.ReadFull(ws.in, head[:2]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err = io.ReadFull(ws.in, head[:8]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(head[:8])
	}
	if n > 512<<20 {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(ws.in, payload)
	return op, payload, err
}
