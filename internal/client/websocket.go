package client

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// webConn carries a stream of bytes in binary WebSocket frames (6). Packets may span frames and frames packets
// [MQTT-6.0.0-2].
type webConn struct {
	net.Conn
	frames  *wsutil.Reader
	pending bool // a frame is being read
	// mu guards the connection's writes: frames of this side and answers to control frames.
	mu sync.Mutex
}

// upgrade makes a WebSocket of a connection.
func upgrade(ctx context.Context, conn net.Conn, u *url.URL, header http.Header) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	dialer := ws.Dialer{Protocols: []string{"mqtt"}, Header: ws.HandshakeHeaderHTTP(header)}
	rest, hand, err := dialer.Upgrade(conn, u)
	if err != nil {
		return nil, err
	}
	if hand.Protocol != "mqtt" { // [MQTT-6.0.0-4]
		return nil, errNoSubprotocol
	}
	w := &webConn{Conn: conn}
	var source io.Reader = conn
	if rest != nil { // bytes that came behind the handshake
		source = io.MultiReader(io.LimitReader(rest, int64(rest.Buffered())), conn)
	}
	w.frames = &wsutil.Reader{
		Source: bufio.NewReaderSize(source, 16<<10), State: ws.StateClientSide, CheckUTF8: false,
		OnIntermediate: w.control,
	}
	return w, nil
}

// Read returns bytes of binary frames and answers the control frames between them.
func (w *webConn) Read(b []byte) (int, error) {
	for {
		if !w.pending {
			head, err := w.frames.NextFrame()
			if err != nil {
				return 0, err
			}
			if head.OpCode.IsControl() {
				if err := w.control(head, w.frames); err != nil {
					return 0, err
				}
				continue
			}
			if head.OpCode != ws.OpBinary { // [MQTT-6.0.0-1]
				return 0, errNoBinaryFrame
			}
			w.pending = true
		}
		n, err := w.frames.Read(b)
		if err == io.EOF { // of the message
			w.pending, err = false, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// control answers a ping, and a close with a close, after which the stream has ended.
func (w *webConn) control(head ws.Header, payload io.Reader) error {
	text := make([]byte, head.Length) // 125 at most, which the reader has checked
	if _, err := io.ReadFull(payload, text); err != nil {
		return err
	}
	switch head.OpCode {
	case ws.OpPing:
		return w.frame(ws.NewPongFrame(text))
	case ws.OpClose:
		_ = w.frame(ws.NewCloseFrame(text[:min(len(text), 2)])) // the other side may be gone already
		return io.EOF
	}
	return nil
}

func (w *webConn) frame(f ws.Frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	bytes, err := ws.CompileFrame(ws.MaskFrameInPlace(f))
	if err != nil {
		return err
	}
	_, err = w.Conn.Write(bytes)
	return err
}

// Write sends b as one binary frame.
func (w *webConn) Write(b []byte) (int, error) {
	text := append([]byte(nil), b...) // masking changes it
	if err := w.frame(ws.NewBinaryFrame(text)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite says that this side has sent everything.
func (w *webConn) CloseWrite() error {
	return w.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
}
