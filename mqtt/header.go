package mqtt

// MaxRemaining is the greatest remaining length that four bytes can say: 268,435,455 bytes, 256 MiB less one (2.1.4).
const MaxRemaining = 1<<28 - 1

// MaxHeaderSize is the size of the longest fixed header in bytes.
const MaxHeaderSize = 5

// Header is the fixed header of a packet (2.1).
//
//	 7 6 5 4   3 2 1 0
//	+--------+---------+-----------------------------+
//	| Type   | Flags   | Remaining, 1 to 4 bytes     |
//	+--------+---------+-----------------------------+
//	|<------------------- Size ---------------------->|
type Header struct {
	Type      Type
	Flags     byte   // the low four bits of the first byte
	Remaining uint32 // bytes that follow the fixed header
	Size      int    // bytes of the fixed header itself, 2 to 5
}

// Len returns the length of the whole packet in bytes, the number that Maximum Packet Size limits (3.1.2.11.4).
func (h Header) Len() uint32 { return uint32(h.Size) + h.Remaining }

// ParseHeader reads the fixed header at the start of b. ok is false when b ends before the header does: call again with more
// bytes. It refuses what no version allows, as soon as the bytes are there: type 0, reserved flags that are set
// [MQTT-2.1.3-1], and a remaining length of more than four bytes. The caller compares Len with its limit before it reads on,
// above all before the peer is authenticated.
func ParseHeader(b []byte) (h Header, ok bool, err error) {
	if len(b) == 0 {
		return Header{}, false, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&0x0F
	if h.Type == 0 {
		return Header{}, false, errReservedType
	}
	if err := checkFlags(h.Type, h.Flags); err != nil {
		return Header{}, false, err
	}
	for i := 1; i < MaxHeaderSize; i++ {
		if i >= len(b) {
			return Header{}, false, nil
		}
		h.Remaining |= uint32(b[i]&0x7F) << (7 * (i - 1))
		if b[i] < 0x80 {
			h.Size = i + 1
			return h, true, nil
		}
	}
	return Header{}, false, errLengthTooLong
}

// Check refuses what the version of the connection does not allow and ParseHeader, which does not know it, lets pass: an
// AUTH in V311, and in V5 a remaining length that is not in the fewest bytes [MQTT-1.5.5-1]. MQTT 3.1.1 has no such rule and
// some of its small clients always send four bytes.
func (h Header) Check(v Version) error {
	if v == V311 {
		if h.Type == AUTH {
			return errNotInV311
		}
		return nil
	}
	if h.Size != 1+varintSize(int(h.Remaining)) {
		return errLengthNotMinimal
	}
	return nil
}

// appendHeader starts a packet. It panics when remaining is more than MaxRemaining.
func appendHeader(dst []byte, t Type, flags byte, remaining int) []byte {
	if remaining < 0x80 {
		return append(dst, byte(t)<<4|flags, byte(remaining))
	}
	if remaining > MaxRemaining {
		panic(errTooLarge)
	}
	return appendVarint(append(dst, byte(t)<<4|flags), uint32(remaining))
}
