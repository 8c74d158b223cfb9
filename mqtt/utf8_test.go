package mqtt

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every code point alone, and every one of 0 to 0x10FFFF written with the bits of UTF-8 whether it may be or not.
func TestValidUTF8KnowsEveryCodePoint(t *testing.T) {
	for r := rune(0); r <= 0x10FFFF; r++ {
		want := r != 0 && (r < 0xD800 || r > 0xDFFF)
		if got := ValidUTF8(bitsOf(r)); got != want {
			t.Fatalf("U+%04X: %v, want %v", r, got, want)
		}
	}
}

// bitsOf encodes r without caring for surrogates, which utf8.AppendRune replaces.
func bitsOf(r rune) []byte {
	if r >= 0xD800 && r <= 0xDFFF {
		return []byte{0xE0 | byte(r>>12), 0x80 | byte(r>>6)&0x3F, 0x80 | byte(r)&0x3F}
	}
	return utf8.AppendRune(nil, r)
}

// naiveNameError says what is wrong with a topic name, one character at a time.
func naiveNameError(name []byte) error {
	if !utf8.Valid(name) || strings.ContainsRune(string(name), 0) {
		return errString
	}
	if strings.ContainsAny(string(name), "#+") {
		return errTopicWildcard
	}
	return nil
}

// The checks that look at eight bytes at a time against the naive ones: each special byte at each place of names of each length.
func TestNameChecksAgainstNaive(t *testing.T) {
	check := func(name []byte) {
		t.Helper()
		if got, want := ValidUTF8(name), utf8.Valid(name) && bytes.IndexByte(name, 0) < 0; got != want {
			t.Errorf("ValidUTF8(%q) is %v", name, got)
		}
		if got, want := checkTopicName(name), naiveNameError(name); got != want {
			t.Errorf("checkTopicName(%q): %v, want %v", name, got, want)
		}
	}
	for length := range 40 {
		check(bytes.Repeat([]byte("a"), length))
		for at := range length {
			for special := range 256 {
				name := bytes.Repeat([]byte{'a'}, length)
				name[at] = byte(special)
				check(name)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"\x01", "\x7f", "a", "\"", "$", "*", ",", "+", "#", "/", "\x00", "ü", "ß", "中", "\U0001F40D", "\ufeff", "\x80", "\xff"}
	for range 20_000 {
		var name []byte
		for range random.IntN(12) {
			name = append(name, alphabet[random.IntN(len(alphabet))]...)
		}
		check(name)
	}
}

// [MQTT-1.5.4-3] 0xEF 0xBB 0xBF is U+FEFF wherever it stands, and is not stripped.
func TestByteOrderMarkIsACharacter(t *testing.T) {
	var p Publish
	if err := p.Decode(V5, 0, []byte("\x00\x04\xef\xbb\xbfa\x00")); err != nil || string(p.Topic) != "\ufeffa" {
		t.Errorf("topic %q, %v", p.Topic, err)
	}
}
