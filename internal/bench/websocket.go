package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// WebSocket opcodes (RFC 6455, 5.2).
const (
	wsBinary = 2
	wsClose  = 8
	wsPing   = 9
	wsPong   = 10
)

// upgrade asks for WebSocket.
func (e *engine) upgrade(c *client) {
	c.state = stateUpgrading
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	path := e.plan.Target.Path
	if path == "" {
		path = "/mqtt"
	}
	e.out = append(e.out[:0], "GET "+path+" HTTP/1.1\r\nHost: "+e.plan.Target.Host+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: "...)
	e.out = base64.StdEncoding.AppendEncode(e.out, key[:])
	e.out = append(e.out, "\r\n\r\n"...)
	e.write(c, e.out)
}

// upgraded reads the answer, and returns false while it is incomplete.
func (e *engine) upgraded(c *client, b []byte) bool {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
		line, _, _ := bytes.Cut(b, []byte("\r\n"))
		e.fail(c, "WebSocket: "+string(line))
		return true
	}
	if end+4 != len(b) {
		e.fail(c, "WebSocket: bytes before CONNECT")
		return true
	}
	if c.wait == nil {
		c.wait = &wait{}
	}
	c.wait.in = nil
	c.wait.codec = &wsCodec{inner: c.wait.codec}
	e.sayConnect(c)
	return true
}

// wsCodec speaks WebSocket frames above TCP or TLS.
type wsCodec struct {
	inner   codec
	head    []byte // an incomplete header
	left    uint64 // bytes of the current frame that are still to come
	opcode  byte
	control []byte // payload of a control frame
	plain   []byte
	replies []byte
}

var errWSClosed = errors.New("WebSocket closed by the broker")

func (w *wsCodec) unwrap(b []byte) (plain, replies []byte, err error) {
	w.replies = w.replies[:0]
	if w.inner != nil {
		var inner []byte
		b, inner, err = w.inner.unwrap(b)
		w.replies = append(w.replies, inner...)
	}
	w.plain = w.plain[:0]
	for len(b) > 0 {
		if w.left == 0 {
			var ok bool
			if b, ok = w.header(b); !ok {
				break
			}
		}
		n := min(uint64(len(b)), w.left)
		if w.opcode < wsClose {
			w.plain = append(w.plain, b[:n]...)
		} else {
			w.control = append(w.control, b[:n]...)
		}
		b = b[n:]
		w.left -= n
		if w.left == 0 && w.opcode >= wsClose {
			if w.opcode == wsClose && err == nil {
				err = errWSClosed
			}
			if w.opcode == wsPing {
				w.replies = w.wrapInner(w.replies, wsFrame(nil, wsPong, w.control))
			}
			w.control = w.control[:0]
			w.opcode = 0
		}
	}
	return w.plain, w.replies, err
}

// header reads a frame's header, perhaps begun earlier; ok is false when it is still incomplete.
func (w *wsCodec) header(b []byte) (rest []byte, ok bool) {
	had := len(w.head)
	h := b
	if had > 0 {
		w.head = append(w.head, b...)
		h = w.head
	}
	size := 2
	if len(h) >= 2 {
		switch h[1] & 0x7f {
		case 126:
			size = 4
		case 127:
			size = 10
		}
	}
	if len(h) < size {
		w.head = append(w.head[:0], h...)
		return nil, false
	}
	switch size {
	case 2:
		w.left = uint64(h[1] & 0x7f)
	case 4:
		w.left = uint64(binary.BigEndian.Uint16(h[2:]))
	default:
		w.left = binary.BigEndian.Uint64(h[2:])
	}
	w.opcode = h[0] & 15
	w.head = w.head[:0]
	return b[size-had:], true
}

func (w *wsCodec) wrap(dst, plain []byte) []byte {
	return w.wrapInner(dst, wsFrame(nil, wsBinary, plain))
}

func (w *wsCodec) wrapInner(dst, b []byte) []byte {
	if w.inner != nil {
		return w.inner.wrap(dst, b)
	}
	return append(dst, b...)
}

// wsFrame appends one whole frame. Its mask is zero, which leaves the payload as it is: masks keep scripts of web pages from
// confusing proxies, and a load generator is no web page.
func wsFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}
