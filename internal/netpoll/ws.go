package netpoll

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/internal/buffer"
)

// WebSocket frames (RFC 6455, section 5.2), between the network and the handler, who sees one stream of bytes:
//
//	FIN(1) RSV(3) opcode(4)  MASK(1) length(7)  [length: 2 or 8 bytes]  [mask: 4 bytes]  payload
//
// Payload is unmasked in place as it comes, so a frame is never held back for its end, and its length costs no memory.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	maxFrameHeader = 14
	maxControl     = 125

	closeNormal      = 1000
	closeProtocol    = 1002
	closeUnsupported = 1003
	closeInvalid     = 1007
	closeTooBig      = 1009

	// maxPongBacklog is how much may wait for a peer that sends pings before they are not answered any more.
	maxPongBacklog = 64 << 10
)

// wsError ends a connection. closing: the peer closed it, as it should.
type wsError struct {
	code    uint16
	closing bool
	reason  string
}

func (e *wsError) Error() string {
	return fmt.Sprintf("netpoll: websocket: %s (%d)", e.reason, e.code)
}

// wsLayer is the state of a WebSocket connection. Owned by the loop.
type wsLayer struct {
	limit   uint64 // largest frame, in bytes
	rest    uint64 // payload of the present frame that is still to come
	control []byte // payload of a control frame of which not all has come
	mask    [4]byte
	head    [maxFrameHeader]byte
	headLen uint8  // bytes of head that have come
	maskPos uint8  // of the next byte
	op      uint8  // of the present frame
	within  bool   // a message of several frames has begun
	inBody  bool   // the head is complete and the frame is not
	left    bool   // a close frame was sent
	code    uint16 // to say in it
}

// decode takes frames in b and leaves what they carry at its front. It returns how many bytes that is, which are valid also
// when there is an error.
func (w *wsLayer) decode(c *Conn, t *Turn, b []byte) (int, *wsError) {
	out := 0
	for in := b; len(in) > 0 || w.inBody && w.rest == 0; {
		if !w.inBody {
			n, err := w.takeHead(in)
			if err != nil {
				return out, err
			}
			in = in[n:]
			continue
		}
		n := int(min(uint64(len(in)), w.rest))
		payload := in[:n]
		in = in[n:]
		w.rest -= uint64(n)
		w.unmask(payload)
		if w.op < opClose {
			out += copy(b[out:], payload)
		} else if err := w.takeControl(c, t, payload); err != nil {
			return out, err
		}
		w.inBody = w.rest > 0
	}
	return out, nil
}

// takeHead collects the head of a frame and returns how many bytes of in belong to it.
func (w *wsLayer) takeHead(in []byte) (int, *wsError) {
	used := 0
	for {
		need := 2
		if w.headLen >= 2 {
			need = headSize(w.head[1])
		}
		n := copy(w.head[w.headLen:need], in[used:])
		used += n
		w.headLen += uint8(n)
		if int(w.headLen) < need {
			return used, nil
		}
		if need > 2 {
			break
		}
		// The first two bytes tell most of what can be wrong; waiting for more would give an attacker time.
		if err := w.checkHead(); err != nil {
			return used, err
		}
	}
	return used, w.beginFrame()
}

// headSize returns the size of a head by its second byte.
func headSize(second byte) int {
	size := 2
	switch second & 127 {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if second&128 != 0 {
		size += 4
	}
	return size
}

// checkHead looks at the first two bytes.
func (w *wsLayer) checkHead() *wsError {
	first, second := w.head[0], w.head[1]
	op := first & 15
	switch {
	case first&0x70 != 0:
		return &wsError{code: closeProtocol, reason: "reserved bits are set"}
	case second&128 == 0:
		return &wsError{code: closeProtocol, reason: "a frame is not masked"}
	case op == opText:
		return &wsError{code: closeUnsupported, reason: "text frames are not for MQTT"} // [MQTT-6.0.0-1]
	case op > opPong || op > opBinary && op < opClose:
		return &wsError{code: closeProtocol, reason: "unknown opcode"}
	case op >= opClose && first&128 == 0:
		return &wsError{code: closeProtocol, reason: "a control frame is fragmented"}
	case op >= opClose && second&127 > maxControl:
		return &wsError{code: closeProtocol, reason: "a control frame is too long"}
	case op == opContinuation && !w.within:
		return &wsError{code: closeProtocol, reason: "a continuation of nothing"}
	case op == opBinary && w.within:
		return &wsError{code: closeProtocol, reason: "a new message within another"}
	}
	return nil
}

// beginFrame reads a complete head.
func (w *wsLayer) beginFrame() *wsError {
	size := uint64(w.head[1] & 127)
	switch size {
	case 126:
		if size = uint64(binary.BigEndian.Uint16(w.head[2:])); size < 126 {
			return &wsError{code: closeProtocol, reason: "a length is not minimal"}
		}
	case 127:
		if size = binary.BigEndian.Uint64(w.head[2:]); size < 1<<16 {
			return &wsError{code: closeProtocol, reason: "a length is not minimal"}
		}
	}
	if size > w.limit {
		return &wsError{code: closeTooBig, reason: "a frame is too long"}
	}
	w.op = w.head[0] & 15
	if w.op < opClose {
		w.within = w.head[0]&128 == 0
	}
	w.rest, w.inBody, w.maskPos = size, true, 0
	copy(w.mask[:], w.head[w.headLen-4:w.headLen])
	w.headLen = 0
	return nil
}

// unmask removes the mask from the next bytes of the payload.
func (w *wsLayer) unmask(b []byte) {
	var key [8]byte
	for i := range key {
		key[i] = w.mask[(int(w.maskPos)+i)&3]
	}
	w.maskPos = uint8((int(w.maskPos) + len(b)) & 3)
	wide := binary.LittleEndian.Uint64(key[:])
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i]
	}
}

// takeControl collects the payload of a control frame and acts when it is complete.
func (w *wsLayer) takeControl(c *Conn, t *Turn, payload []byte) *wsError {
	if w.control != nil || w.rest > 0 {
		if w.control == nil {
			w.control = buffer.Get(maxControl)
		}
		w.control = append(w.control, payload...)
		if w.rest > 0 {
			return nil
		}
		payload = w.control
		defer func() {
			buffer.Put(w.control)
			w.control = nil
		}()
	}
	switch w.op {
	case opPing:
		if c.Backlog() < maxPongBacklog {
			var frame [2 + maxControl]byte
			c.sendRaw(t, append(frameHeader(frame[:0], opPong, len(payload)), payload...))
		}
	case opClose:
		return closeReason(payload)
	}
	return nil
}

// closeReason checks the payload of a close frame and returns how to answer it.
func closeReason(b []byte) *wsError {
	if len(b) == 0 {
		return &wsError{code: closeNormal, closing: true}
	}
	if len(b) == 1 {
		return &wsError{code: closeProtocol, reason: "a close frame of one byte"}
	}
	code := binary.BigEndian.Uint16(b)
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code >= 5000:
		return &wsError{code: closeProtocol, reason: "a close code that must not be sent"}
	case !utf8.Valid(b[2:]):
		return &wsError{code: closeInvalid, reason: "a close reason that is not UTF-8"}
	}
	return &wsError{code: code, closing: true}
}

// closeFrame is the last frame to the peer.
func (w *wsLayer) closeFrame() []byte {
	code := w.code
	if code == 0 {
		code = closeNormal
	}
	return binary.BigEndian.AppendUint16(frameHeader(nil, opClose, 2), code)
}

// frameHeader appends the head of an unmasked, unfragmented frame with n bytes of payload.
func frameHeader(b []byte, op byte, n int) []byte {
	b = append(b, 128|op)
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
}

// drop gives back what is held.
func (w *wsLayer) drop() {
	if w.control != nil {
		buffer.Put(w.control)
		w.control = nil
	}
}
