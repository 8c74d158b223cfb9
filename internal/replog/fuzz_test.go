package replog

import (
	"bytes"
	"testing"
	"testing/cryptotest"
)

// FuzzFrame: what decodes as a frame of commands encodes to the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add(appendCommand(appendCommand(nil, []byte("one")), nil))
	f.Add([]byte{frameVersion, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		cs, err := appendCommands(nil, b)
		if err != nil || len(cs) == 0 {
			return
		}
		var again []byte
		size := 0
		for _, c := range cs {
			again = appendCommand(again, c.Data)
			size += len(c.Data)
		}
		// A length may be padded; nobody writes it so.
		if len(again) > len(b) || len(again) == len(b) && !bytes.Equal(again, b) || size > len(b) {
			t.Errorf("%x encodes to %x", b, again)
		}
	})
}

// FuzzEnvelope: a snapshot from a peer may be anything.
func FuzzEnvelope(f *testing.F) {
	c, err := newConf(3, three())
	if err != nil {
		f.Fatal(err)
	}
	e := envelope{applied: 9, conf: c, data: []byte("machine")}
	b, err := e.append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := e.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		e2, err := decodeEnvelope(again)
		if err != nil || e2.applied != e.applied || e2.conf.index != e.conf.index || !bytes.Equal(e2.data, e.data) {
			t.Errorf("%x decodes and encodes to %x: %v", b, again, err)
		}
	})
}

// TestSameSeedSameStorm: a seed replays, so that a failure can be looked into.
func TestSameSeedSameStorm(t *testing.T) {
	run := func(t *testing.T) (acked, next int, sum uint64) {
		cryptotest.SetGlobalRandom(t, 5) // raft draws its timeouts from it
		s := newStorm(t, 5, 3, nil)
		if err := s.run(300); err != nil {
			t.Fatal(err)
		}
		return len(s.acked), s.next, s.leader(1).m[1].sum
	}
	var first, second [3]uint64
	for _, p := range []*[3]uint64{&first, &second} {
		t.Run("run", func(t *testing.T) {
			a, n, s := run(t)
			*p = [3]uint64{uint64(a), uint64(n), s}
		})
	}
	if first != second {
		t.Errorf("the same seed gave %v and %v", first, second)
	}
}
