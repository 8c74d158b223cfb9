// Package topic knows the names and filters of MQTT (sections 4.7 and 4.8.2 of both specifications) and holds the router
// that finds, for a name, everyone who subscribed to a filter that matches it.
//
// A name ("sport/tennis/player1") is what a message is published to; its levels are separated by '/', and a level may be
// empty. A filter may hold wildcards: '+' stands for exactly one level, '#' for its parent and every level below. A name that
// begins with '$' is not matched by a filter that begins with a wildcard.
//
// The package knows nothing of packets, clients or qualities of service: a subscriber is whatever the caller says it is.
package topic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// MaxLength is the length in bytes that the two-byte length prefix of MQTT strings allows a name or a filter [MQTT-4.7.3-3].
const MaxLength = 65535

// What is wrong with a name or a filter. ErrEncoding means a malformed packet, the others an invalid name or filter.
var (
	ErrEmpty     = errors.New("topic: empty")                                         // [MQTT-4.7.3-1]
	ErrTooLong   = errors.New("topic: longer than 65535 bytes")                       // [MQTT-4.7.3-3]
	ErrTooDeep   = errors.New("topic: too many levels")                               // the caller's limit
	ErrEncoding  = errors.New("topic: not UTF-8, or holds U+0000")                    // [MQTT-1.5.4-1], [MQTT-4.7.3-2]
	ErrWildcard  = errors.New("topic: wildcard in a name")                            // [MQTT-3.3.2-2]
	ErrPlacement = errors.New("topic: + must fill its level, # the last one")         // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
	ErrShare     = errors.New("topic: shared filter without a valid group or filter") // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
)

// ValidateName tells whether b may be published to. maxLevels bounds the number of levels; zero or less means no bound.
func ValidateName(b []byte, maxLevels int) error {
	return validate(b, maxLevels, false)
}

// ValidateFilter tells whether b may be subscribed to. maxLevels bounds the number of levels, '#' included; zero or less means no
// bound. The prefix of a shared filter counts as two ordinary levels here: see [ParseShared].
func ValidateFilter(b []byte, maxLevels int) error {
	return validate(b, maxLevels, true)
}

func validate(b []byte, maxLevels int, wildcards bool) error {
	switch {
	case len(b) == 0:
		return ErrEmpty
	case len(b) > MaxLength:
		return ErrTooLong
	}
	levels, plain := scan(b)
	if !plain {
		if err := inspect(b, wildcards); err != nil {
			return err
		}
	}
	if maxLevels > 0 && levels > maxLevels {
		return ErrTooDeep
	}
	return nil
}

// Eight bytes at a time: a word of eight ones, and of eight top bits.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// scan counts the levels of b and tells whether it is plain: ASCII without U+0000 and without wildcards, which most names are.
// Every publish pays for it, so it takes eight bytes at a time.
func scan(b []byte) (levels int, plain bool) {
	levels = 1
	var odd uint64
	for len(b) >= 8 {
		n, o := scanWord(binary.LittleEndian.Uint64(b))
		levels += n
		odd |= o
		b = b[8:]
	}
	if len(b) > 0 {
		tail := [8]byte{'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'}
		copy(tail[:], b)
		n, o := scanWord(binary.LittleEndian.Uint64(tail[:]))
		levels += n
		odd |= o
	}
	return levels, odd&tops == 0
}

// scanWord counts the slashes in eight bytes; a top bit of odd is set when any of them is not plain.
func scanWord(w uint64) (slashes int, odd uint64) {
	// A byte of x is zero where w has a slash; adding 0x7f to its lower bits sets the top bit of every other byte.
	x := w ^ ones*'/'
	slashes = 8 - bits.OnesCount64(((x&^tops)+(tops-ones)|x)&tops)
	// '#' and '+' differ in one bit, which is set here. (y-ones)&^y&tops is not zero when a byte of y is.
	y := (w | ones*('+'^'#')) ^ ones*'+'
	odd = w | (w-ones)&^w | (y-ones)&^y
	return slashes, odd & tops
}

// inspect looks at every byte of what is not plain. Malformed counts more than invalid.
func inspect(b []byte, wildcards bool) error {
	misplaced := false
	for i, c := range b {
		switch c {
		case 0:
			return ErrEncoding
		case '+', '#':
			alone := (i == 0 || b[i-1] == '/') && (i == len(b)-1 || b[i+1] == '/')
			misplaced = misplaced || !alone || (c == '#' && i != len(b)-1) || !wildcards
		}
	}
	switch {
	case !utf8.Valid(b):
		return ErrEncoding
	case misplaced && !wildcards:
		return ErrWildcard
	case misplaced:
		return ErrPlacement
	}
	return nil
}

// Match tells whether filter matches name, the rule about '$' included [MQTT-4.7.2-1]. Both must be valid; for others the answer is
// of no meaning. It walks both once, allocates nothing and does not recurse. For many filters use a [Router].
func Match(filter, name []byte) bool {
	if len(filter) == 0 || len(name) == 0 {
		return false
	}
	if name[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		want, filterRest, filterMore := bytes.Cut(filter, slash)
		if len(want) == 1 && want[0] == '#' {
			return true
		}
		have, nameRest, nameMore := bytes.Cut(name, slash)
		if (len(want) != 1 || want[0] != '+') && !bytes.Equal(want, have) {
			return false
		}
		if !nameMore {
			// "sport/#" matches "sport" too [MQTT-4.7.1-2].
			return !filterMore || (len(filterRest) == 1 && filterRest[0] == '#')
		}
		if !filterMore {
			return false
		}
		filter, name = filterRest, nameRest
	}
}

var slash = []byte{'/'}

// sharePrefix begins every shared filter [MQTT-4.8.2-1].
const sharePrefix = "$share/"

// ParseShared splits the filter of a shared subscription, $share/<group>/<filter>. An ordinary filter comes back as rest, with
// shared false. The error is [ErrShare] when the prefix is there and what must follow it is not: a group of at least one
// character without wildcards, and a filter [MQTT-4.8.2-1] [MQTT-4.8.2-2]. That the filter itself is valid is for [ValidateFilter] to say,
// of the whole or of rest.
func ParseShared(filter string) (group, rest string, shared bool, err error) {
	after, ok := strings.CutPrefix(filter, sharePrefix)
	if !ok {
		return "", filter, false, nil
	}
	group, rest, ok = strings.Cut(after, "/")
	if !ok || group == "" || rest == "" || strings.ContainsAny(group, "+#") {
		return "", "", true, ErrShare
	}
	return group, rest, true, nil
}

// hasWildcard tells whether a valid filter holds a wildcard.
func hasWildcard(filter string) bool {
	return strings.IndexByte(filter, '+') >= 0 || strings.IndexByte(filter, '#') >= 0
}
