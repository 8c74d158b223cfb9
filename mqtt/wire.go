package mqtt

import "encoding/binary"

// The data types of section 1.5. A take function cuts a value off the front of b and returns what is left; ok is false when b
// ends first.
//
//	two byte integer    | high | low |
//	four byte integer   | high | ... | low |
//	string and binary   | length, two bytes | length bytes |
//	variable integer    | 1xxxxxxx | ... | 0xxxxxxx |    least significant seven bits first, four bytes at most

func takeByte(b []byte) (value byte, rest []byte, ok bool) {
	if len(b) < 1 {
		return 0, nil, false
	}
	return b[0], b[1:], true
}

func takeUint16(b []byte) (value uint16, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(b), b[2:], true
}

func takeUint32(b []byte) (value uint32, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(b), b[4:], true
}

// takeBinary cuts off length-prefixed bytes. The capacity ends with the value, so that appending to it cannot overwrite what
// follows in the packet.
func takeBinary(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < end {
		return nil, nil, false
	}
	return b[2:end:end], b[end:], true
}

// takeString cuts off a string and checks it. [MQTT-1.5.4-1] [MQTT-1.5.4-2]
func takeString(b []byte) (value, rest []byte, err error) {
	value, rest, ok := takeBinary(b)
	if !ok {
		return nil, nil, errTruncated
	}
	if !ValidUTF8(value) {
		return nil, nil, errString
	}
	return value, rest, nil
}

// takePacketID cuts off a packet identifier, which is never zero. [MQTT-2.2.1-3] [MQTT-2.2.1-4]
func takePacketID(b []byte) (id uint16, rest []byte, err error) {
	id, rest, ok := takeUint16(b)
	if !ok {
		return 0, nil, errTruncated
	}
	if id == 0 {
		return 0, nil, errPacketIDZero
	}
	return id, rest, nil
}

// takeVarint cuts off a variable byte integer, which must be in the fewest bytes possible. [MQTT-1.5.5-1]
func takeVarint(b []byte) (value uint32, rest []byte, err error) {
	for i := range 4 {
		if i >= len(b) {
			return 0, nil, errTruncated
		}
		value |= uint32(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			if b[i] == 0 && i > 0 {
				return 0, nil, errVarint
			}
			return value, b[i+1:], nil
		}
	}
	return 0, nil, errVarint
}

// varintSize returns how many bytes appendVarint writes for n.
func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendVarint(dst []byte, n uint32) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// appendBytes writes a string or binary data with its length. It panics when that does not fit two bytes.
func appendBytes(dst, value []byte) []byte {
	dst = appendLength(dst, len(value))
	return append(dst, value...)
}

func appendLength(dst []byte, n int) []byte {
	if n > 0xFFFF {
		panic(errTooLarge)
	}
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

// bit returns the given bit when set, for building flags.
func bit(set bool, position uint) byte {
	if set {
		return 1 << position
	}
	return 0
}
