package message

import "sync"

// classes are the sizes of the pooled buffers: the steps that payloads come in
// (64 B, 256 B, 1 KiB, 4 KiB, 16 KiB, 64 KiB) with room for a topic and properties,
// each a size that the allocator gives without waste.
var classes = [...]int{128, 384, 1280, 4864, 18432, 73728}

const noClass = -1

var pools [len(classes)]sync.Pool

// classOf is the smallest class that holds n bytes.
func classOf(n int) int8 {
	for i, size := range classes {
		if n <= size {
			return int8(i)
		}
	}
	return noClass
}

// acquire gives a message with an empty buffer for n bytes.
func acquire(n int) *Message {
	c := classOf(n)
	if c == noClass {
		return &Message{class: noClass, buf: make([]byte, 0, n)}
	}
	if m, _ := pools[c].Get().(*Message); m != nil {
		return m
	}
	return &Message{class: c, buf: make([]byte, 0, classes[c])}
}

// recycle takes back a message that nobody keeps any more.
func recycle(m *Message) {
	m.Topic, m.Props, m.Payload = nil, nil, nil
	if m.class == noClass {
		m.buf = nil
		return
	}
	pools[m.class].Put(m)
}
