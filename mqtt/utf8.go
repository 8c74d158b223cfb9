package mqtt

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// Masks for looking at eight bytes at a time.
const (
	lowBits   = 0x0101010101010101 // the lowest bit of each byte
	highBits  = 0x8080808080808080 // the highest bit of each byte
	hashSigns = 0x2323232323232323 // '#' in each byte
	plusBit   = 0x0808080808080808 // the one bit in which '+' (0x2B) differs from '#' (0x23)
)

// ValidUTF8 tells whether b may stand in a UTF-8 Encoded String: well-formed, without surrogates [MQTT-1.5.4-1] and without
// U+0000 [MQTT-1.5.4-2]. U+FEFF is a character like any other [MQTT-1.5.4-3]; control characters and non-characters, which
// the specification only advises against, pass.
func ValidUTF8(b []byte) bool {
	return plainASCII(b) || utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

// plainASCII tells whether all bytes are 0x01 to 0x7F, eight at a time: subtracting one from each byte sets a high bit
// where a byte was zero, and the bytes themselves have it where they are not ASCII.
func plainASCII(b []byte) bool {
	if len(b) < 8 {
		for _, c := range b {
			if c-1 >= 0x7F {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(b)-8; i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		if (word|(word-lowBits))&highBits != 0 {
			return false
		}
	}
	word := binary.LittleEndian.Uint64(b[len(b)-8:])
	return (word|(word-lowBits))&highBits == 0
}

// plainName tells whether all bytes are 0x01 to 0x7F and none is a wildcard character.
func plainName(b []byte) bool {
	if len(b) < 8 {
		for _, c := range b {
			if c-1 >= 0x7F || c == '#' || c == '+' {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(b)-8; i += 8 {
		if wordNotPlainName(binary.LittleEndian.Uint64(b[i:])) {
			return false
		}
	}
	return !wordNotPlainName(binary.LittleEndian.Uint64(b[len(b)-8:]))
}

func wordNotPlainName(word uint64) bool {
	wildcards := word&^plusBit ^ hashSigns // zero bytes where a wildcard stands
	return (word|(word-lowBits)|(wildcards-lowBits))&highBits != 0
}

// checkTopicName refuses what no topic name may hold: bad UTF-8 and wildcard characters. [MQTT-3.3.2-1] [MQTT-3.3.2-2]
// An empty name is left to the caller, since PUBLISH has a use for it.
func checkTopicName(b []byte) error {
	if plainName(b) {
		return nil
	}
	if !ValidUTF8(b) {
		return errString
	}
	if bytes.ContainsAny(b, "#+") {
		return errTopicWildcard
	}
	return nil
}
