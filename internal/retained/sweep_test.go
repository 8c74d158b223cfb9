package retained

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
)

// TestSweepPassesOver: shards know how many of their messages expire, so that those with none cost a sweep nothing.
func TestSweepPassesOver(t *testing.T) {
	s := New(Limits{MaxMessages: 2})
	set := func(topic, payload string, expires int64) {
		s.Set(&message.Message{Topic: []byte(topic), Payload: []byte(payload), Expires: expires})
	}
	want := func(when string, want int64) {
		t.Helper()
		var n int64
		for i := range s.shards {
			n += s.shards[i].expiring.Load()
		}
		if n != want {
			t.Errorf("%s: %d messages expire, want %d", when, n, want)
		}
	}
	set("a", "x", 10)
	set("b", "x", 10)
	want("stored", 2)
	set("a", "y", 20)
	want("replaced by another", 2)
	set("a", "y", 0)
	want("replaced by one that stays", 1)
	set("c", "x", 10)
	want("refused", 1)
	set("a", "", 0)
	set("b", "", 0)
	want("removed", 0)
	set("a", "x", 10)
	s.Sweep(10, 100)
	want("swept", 0)
}

// Whoever keeps the messages elsewhere hears of each that a sweep removes, and may look at the store.
func TestSweepTellsWhatItRemoved(t *testing.T) {
	s := New(Limits{})
	var gone []string
	s.OnSweep(func(topic []byte) {
		if s.Get(topic, 0) != nil {
			t.Errorf("%s is still there", topic)
		}
		gone = append(gone, string(topic))
	})
	for i, expires := range []int64{10, 0, 20, 10} {
		m := &message.Message{Topic: fmt.Append(nil, "a/", i), Payload: []byte("x"), Expires: expires}
		if err := s.Set(m); err != nil {
			t.Fatal(err)
		}
	}
	s.Sweep(15, 100)
	slices.Sort(gone)
	if got := fmt.Sprint(gone); got != "[a/0 a/3]" {
		t.Errorf("told of %s", got)
	}
	gone = nil
	s.Sweep(15, 100)
	if len(gone) != 0 {
		t.Errorf("told again of %s", gone)
	}
}
