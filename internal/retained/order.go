package retained

import (
	"cmp"
	"encoding/binary"
	"math/bits"
)

// compare orders topics level by level: as bytes, but with '/' before everything else (U+0000 is in no topic). So a topic is followed
// by all that lies below it, and the successor of t is t+"/". What lies below t ends before t+"\x01".
func compare[A, B []byte | string](a A, b B) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := word(a[i:]) ^ word(b[i:]); x != 0 {
			i += bits.TrailingZeros64(x) / 8
			return cmp.Compare(rank(a[i]), rank(b[i]))
		}
	}
	for ; i < n; i++ {
		if a[i] != b[i] {
			return cmp.Compare(rank(a[i]), rank(b[i]))
		}
	}
	return cmp.Compare(len(a), len(b))
}

// rank is the place of a byte in the order.
func rank(c byte) byte {
	if c == '/' {
		return 0
	}
	return c
}

// word reads eight bytes, the first lowest.
func word[T []byte | string](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// head is eight bytes of a topic, ranked, as a number: where heads differ, topics are in the order of their heads.
type head uint64

// headOf takes the head of a topic after its first skip bytes.
func headOf[T []byte | string](topic T, skip int) head {
	var w uint64
	switch rest := topic[min(skip, len(topic)):]; {
	case len(rest) >= 8:
		w = bits.ReverseBytes64(word(rest))
	default:
		var padded [8]byte
		copy(padded[:], rest)
		w = binary.BigEndian.Uint64(padded[:])
	}
	const ones, low = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f
	x := w ^ ones*'/'
	other := (x&low + low | x) &^ low // the top bit of each byte that is not '/'
	return head(w & (other >> 7 * 0xff))
}

// lower returns the index of the first head that is not below h.
func lower(heads []head, h head) int {
	lo, hi := 0, len(heads)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if heads[mid] < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
