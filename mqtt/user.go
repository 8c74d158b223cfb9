package mqtt

import "iter"

// UserProperties is a run of encoded user properties, as it stands in a packet: nothing is unpacked that nobody asks for, and
// a server passes the run on as it is. Decoded runs are well-formed; so is what Append makes.
//
//	| 0x26 | key length, two bytes | key | value length, two bytes | value | 0x26 | ...
type UserProperties []byte

// Append returns the run with one property more. It panics when the key or the value is longer than 65,535 bytes; both must
// be strings that ValidUTF8 accepts [MQTT-1.5.7-1]. A decoded run is copied, never extended in the bytes that it aliases.
func (u UserProperties) Append(key, value string) UserProperties {
	u = append(u, byte(PropUser))
	u = append(appendLength(u, len(key)), key...)
	return append(appendLength(u, len(value)), value...)
}

// All returns the properties in order, keys may repeat. The slices alias the run.
func (u UserProperties) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for run := []byte(u); len(run) > 0; {
			key, rest, ok := takeBinary(run[1:])
			if !ok {
				return
			}
			value, rest, ok := takeBinary(rest)
			if !ok || !yield(key, value) {
				return
			}
			run = rest
		}
	}
}

// Get returns the value of the first property with that key.
func (u UserProperties) Get(key string) (value []byte, ok bool) {
	for k, v := range u.All() {
		if string(k) == key {
			return v, true
		}
	}
	return nil, false
}

// Len returns the number of properties.
func (u UserProperties) Len() int {
	n := 0
	for range u.All() {
		n++
	}
	return n
}
