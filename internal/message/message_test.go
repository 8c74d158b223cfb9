package message

import (
	"bytes"
	"sync"
	"testing"
)

func borrowed(topic, props, payload string) *Message {
	return &Message{Topic: []byte(topic), Props: []byte(props), Payload: []byte(payload), Expires: 7, Sender: 3, QoS: 1, Retain: true}
}

func TestKeepCopiesOnceAndOutlivesTheBuffer(t *testing.T) {
	m := borrowed("a/b", "pp", "hello")
	a, b := m.Keep(), m.Keep()
	if a != b {
		t.Fatal("two keepers of one borrowed message got two copies")
	}
	m.Return()
	copy(m.Topic, "XXX")
	copy(m.Payload, "XXXXX")
	if string(a.Topic) != "a/b" || string(a.Props) != "pp" || string(a.Payload) != "hello" {
		t.Fatalf("the kept copy changed with the buffer: %q %q %q", a.Topic, a.Props, a.Payload)
	}
	if a.Expires != 7 || a.Sender != 3 || a.QoS != 1 || !a.Retain || !a.Kept() || m.Kept() {
		t.Fatalf("attributes were not copied: %+v", a)
	}
	a.Release()
	if string(b.Payload) != "hello" {
		t.Fatal("the first Release took the bytes from the second keeper")
	}
	b.Release()
}

func TestAppendToOneFieldLeavesTheNext(t *testing.T) {
	k := borrowed("a", "", "payload").Keep()
	_ = append(k.Topic, "ZZ"...)
	if string(k.Payload) != "payload" {
		t.Fatalf("appending to the topic wrote into the payload: %q", k.Payload)
	}
}

func TestReleaseTooOftenPanics(t *testing.T) {
	m := borrowed("a", "", string(bytes.Repeat([]byte("x"), 1<<20)))
	k := m.Keep()
	m.Return()
	k.Release()
	defer func() {
		if recover() == nil {
			t.Fatal("a second Release of the last reference passed")
		}
	}()
	k.Release()
}

func TestSizesAroundEveryClass(t *testing.T) {
	for _, c := range classes {
		for _, n := range []int{c - 1, c, c + 1} {
			m := borrowed("", "", string(bytes.Repeat([]byte{7}, n)))
			k := m.Keep()
			m.Return()
			if len(k.Payload) != n || k.Size() != n || cap(k.buf) < n {
				t.Fatalf("%d bytes: kept %d in %d", n, len(k.Payload), cap(k.buf))
			}
			k.Release()
		}
	}
}

func TestRemainingRoundsUp(t *testing.T) {
	for _, c := range []struct{ expires, now, want int64 }{
		{0, 5, -1}, {10_000, 0, 10}, {10_000, 1, 10}, {10_000, 9_999, 1}, {10_000, 10_000, 0}, {10_000, 20_000, 0},
	} {
		m := Message{Expires: c.expires}
		if got := m.Remaining(c.now); got != c.want {
			t.Errorf("expires %d at %d: %d seconds remain, want %d", c.expires, c.now, got, c.want)
		}
		if m.Expired(c.now) != (c.want == 0) {
			t.Errorf("expires %d at %d: Expired is %v", c.expires, c.now, m.Expired(c.now))
		}
	}
}

// Keepers on several goroutines each see the bytes until their own release.
func TestConcurrentKeepers(t *testing.T) {
	for round := range 200 {
		m := borrowed("topic", "", string(bytes.Repeat([]byte{byte(round)}, 100)))
		var wg sync.WaitGroup
		for range 4 {
			k := m.Keep()
			wg.Go(func() {
				for _, b := range k.Payload {
					if b != byte(round) {
						t.Error("bytes of another message")
						break
					}
				}
				k.Release()
			})
		}
		m.Return()
		wg.Wait()
	}
}

func TestKeepReleaseDoesNotAllocate(t *testing.T) {
	m := borrowed("a/b", "", "0123456789")
	if n := testing.AllocsPerRun(1000, func() {
		k := m.Keep()
		m.Return()
		k.Release()
	}); n > 0.01 {
		t.Fatalf("%v allocations to keep and release a message", n)
	}
}

func BenchmarkKeepRelease(b *testing.B) {
	m := borrowed("bench/topic/1", "", string(make([]byte, 64)))
	b.ReportAllocs()
	for b.Loop() {
		k := m.Keep()
		m.Return()
		k.Release()
	}
}
