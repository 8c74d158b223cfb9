package mqtt

import (
	"bufio"
	"io"
	"slices"
)

// readStep bounds how much is allocated before the bytes for it have arrived.
const readStep = 64 << 10

// ReadPacket reads one packet for a client that blocks. The body belongs to the caller. A packet of more than limit bytes,
// fixed header included, is refused with the code PacketTooLarge before its body is read; 0 means no limit.
//
// It returns io.EOF when the connection ended between packets and io.ErrUnexpectedEOF when it ended inside one.
func ReadPacket(r *bufio.Reader, limit uint32) (Header, []byte, error) {
	return ReadPacketInto(r, limit, nil)
}

// ReadPacketInto is ReadPacket with the caller's buffer: the body is read to buf[:0], which grows if it must. It is for loops
// that are done with one packet before they read the next.
func ReadPacketInto(r *bufio.Reader, limit uint32, buf []byte) (Header, []byte, error) {
	h, err := readHeader(r)
	if err != nil {
		return Header{}, nil, err
	}
	if limit > 0 && h.Len() > limit {
		return h, nil, errTooLarge
	}
	body := buf[:0]
	for missing := int(h.Remaining); missing > 0; {
		step := min(missing, max(cap(body)-len(body), readStep))
		body = slices.Grow(body, step)
		at := len(body)
		body = body[:at+step]
		if _, err := io.ReadFull(r, body[at:]); err != nil {
			return h, nil, unexpectedEOF(err)
		}
		missing -= step
	}
	return h, body, nil
}

// readHeader reads the fixed header and leaves the reader behind it.
func readHeader(r *bufio.Reader) (Header, error) {
	for size := 2; ; size++ {
		b, err := r.Peek(size)
		if h, ok, parseErr := ParseHeader(b); parseErr != nil {
			return Header{}, parseErr
		} else if ok {
			_, err := r.Discard(h.Size)
			return h, err
		}
		if err != nil {
			if len(b) > 0 {
				err = unexpectedEOF(err)
			}
			return Header{}, err
		}
	}
}

// unexpectedEOF says that the end came inside a packet.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
