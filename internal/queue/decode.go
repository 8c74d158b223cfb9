package queue

import (
	"encoding/binary"
	"math"
)

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// uvarint reads an unsigned number of at most ten bytes, seven bits each, the
// lowest first. n is 0 when b is too short, the number too large, or when it is
// longer than it need be: one value has one encoding.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n = binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return v, n
}

// decoder reads from the front of b. Once something did not fit, bad is set and
// all that follows is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := uvarint(d.b)
	if n == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// number reads a uvarint that must be an int64.
func (d *decoder) number() int64 {
	v := d.uvarint()
	if v > math.MaxInt64 {
		d.fail()
		return 0
	}
	return int64(v)
}

// count reads the number of things that follow, of at least size bytes each, so
// that nobody reserves room for more than can be there.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// text reads a string with its length in front.
func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func appendText(dst []byte, s string) []byte {
	return append(appendUvarint(dst, uint64(len(s))), s...)
}

// done tells whether everything was read and all of it was good.
func (d *decoder) done() bool { return !d.bad && len(d.b) == 0 }
