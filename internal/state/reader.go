package state

import "encoding/binary"

// reader takes values off the front of bytes. After the first that is not there, or not as it must be, bad is set and
// everything reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) { r.bad = r.bad || !ok }

// end gives an error unless everything was read and nothing was wrong.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errMalformed
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a number in the one form that AppendUvarint gives it.
func (r *reader) uvarint() uint64 {
	if r.bad {
		return 0
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// limited reads a number that is not greater than most.
func (r *reader) limited(most uint64) uint64 {
	v := r.uvarint()
	if v > most {
		r.bad = true
		return 0
	}
	return v
}

// bytes reads a length and so many bytes.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

// appendBytes writes what reader.bytes reads.
func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
