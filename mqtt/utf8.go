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
	letters   = 0x6161616161616161 // 'a' in each byte
	plusBit   = 0x0808080808080808 // the one bit in which '+' (0x2B) differs from '#' (0x23)
)

// ValidUTF8 tells whether b may stand in a UTF-8 Encoded String: well-formed, without surrogates [MQTT-1.5.4-1] and without
// U+0000 [MQTT-1.5.4-2]. U+FEFF is a character like any other [MQTT-1.5.4-3]; control characters and non-characters, which
// the specification only advises against, pass.
func ValidUTF8(b []byte) bool {
	return plainASCII(b) || utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

// plainASCII tells whether all bytes are 0x01 to 0x7F.
func plainASCII(b []byte) bool {
	if len(b) < 8 {
		return isPlainASCII(shortWord(b))
	}
	for i := 0; i < len(b)-8; i += 8 {
		if !isPlainASCII(binary.LittleEndian.Uint64(b[i:])) {
			return false
		}
	}
	return isPlainASCII(binary.LittleEndian.Uint64(b[len(b)-8:])) // overlaps the last but one
}

// plainName tells whether all bytes are 0x01 to 0x7F and none is a wildcard character.
func plainName(b []byte) bool {
	if len(b) < 8 {
		return isPlainName(shortWord(b))
	}
	for i := 0; i < len(b)-8; i += 8 {
		if !isPlainName(binary.LittleEndian.Uint64(b[i:])) {
			return false
		}
	}
	return isPlainName(binary.LittleEndian.Uint64(b[len(b)-8:]))
}

// isPlainASCII looks at the eight bytes of a word: one that is not ASCII has its high bit set, and subtracting one from each
// sets the high bit where a byte was zero.
func isPlainASCII(word uint64) bool {
	return (word|(word-lowBits))&highBits == 0
}

// isPlainName does the same and finds zeros also in a word that has them where a wildcard stands.
func isPlainName(word uint64) bool {
	wildcards := word&^plusBit ^ hashSigns
	return (word|(word-lowBits)|(wildcards-lowBits))&highBits == 0
}

// shortWord packs up to seven bytes into a word, some of them twice, and fills it up with letters.
func shortWord(b []byte) uint64 {
	switch {
	case len(b) >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))<<32
	case len(b) > 0:
		return uint64(b[0]) | uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])<<16 | letters&^0xFFFFFF
	}
	return letters
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
