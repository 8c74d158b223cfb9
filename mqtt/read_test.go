package mqtt

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadPacket(t *testing.T) {
	long := (&Publish{Topic: []byte("t"), Payload: bytes.Repeat([]byte("long"), 50_000)}).Append(nil, V311)
	stream := "\xc0\x00" + "\x40\x02\x00\x07" + string(long) + "\x30\x03\x00\x01t"
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"by bytes": iotest.OneByteReader,
		"eof":      iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReaderSize(wrap(strings.NewReader(stream)), 16)
			var bodies [][]byte
			for _, want := range []struct {
				kind Type
				body []byte
			}{{PINGREQ, nil}, {PUBACK, []byte("\x00\x07")}, {PUBLISH, long[4:]}, {PUBLISH, []byte("\x00\x01t")}} {
				h, body, err := ReadPacket(r, 0)
				if err != nil || h.Type != want.kind || !bytes.Equal(body, want.body) {
					t.Fatalf("%v, %d bytes, %v; want %v, %d bytes", h.Type, len(body), err, want.kind, len(want.body))
				}
				bodies = append(bodies, body)
			}
			if string(bodies[1]) != "\x00\x07" {
				t.Error("a body was overwritten by a later packet")
			}
			if _, _, err := ReadPacket(r, 0); err != io.EOF {
				t.Errorf("at the end: %v, want io.EOF", err)
			}
		})
	}
}

func TestReadPacketCutAtEveryByte(t *testing.T) {
	const packet = "\x30\x85\x01\x00\x01t"
	whole := packet + strings.Repeat("x", 5+128-3)
	for cut := 1; cut < len(whole); cut++ {
		_, _, err := ReadPacket(bufio.NewReader(strings.NewReader(whole[:cut])), 0)
		if err != io.ErrUnexpectedEOF {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
	}
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(whole[:10]), iotest.ErrReader(broken))
	if _, _, err := ReadPacket(bufio.NewReader(r), 0); err != broken {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestReadPacketLimit(t *testing.T) {
	packet := "\x30\x0b\x00\x01tpayload." // 13 bytes
	if _, _, err := ReadPacket(bufio.NewReader(strings.NewReader(packet)), 13); err != nil {
		t.Error(err)
	}
	h, _, err := ReadPacket(bufio.NewReader(strings.NewReader(packet)), 12)
	if err == nil || codeOf(t, err) != PacketTooLarge || h.Type != PUBLISH {
		t.Errorf("%v, %v; want packet too large and the header", h, err)
	}
	if _, _, err := ReadPacket(bufio.NewReader(strings.NewReader("\x30\x80\x80\x80\x80\x01")), 0); err == nil || codeOf(t, err) != MalformedPacket {
		t.Errorf("length of five bytes: %v", err)
	}
	if _, _, err := ReadPacket(bufio.NewReader(strings.NewReader("\x00\x00")), 0); err == nil || codeOf(t, err) != MalformedPacket {
		t.Errorf("type 0: %v", err)
	}
}

// A header that announces 256 MiB does not get them before they come.
func TestReadPacketAllocatesWhatArrives(t *testing.T) {
	stream := "\x30\xff\xff\xff\x7f\x00\x01t and no more"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := ReadPacket(bufio.NewReader(strings.NewReader(stream)), 0)
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated for a packet that never came", grown)
	}
}

func TestReadPacketIntoReusesTheBuffer(t *testing.T) {
	packet := "\x30\x0b\x00\x01tpayload."
	source := strings.NewReader("")
	r := bufio.NewReader(source)
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		source.Reset(packet)
		r.Reset(source)
		_, body, err := ReadPacketInto(r, 0, buf)
		if err != nil || &body[0] != &buf[:1][0] {
			t.Fatal("not in the buffer", err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No packet makes the decoder allocate more than a small multiple of its length, garbage of growing slices included.
func TestWorstInputsAllocateLittle(t *testing.T) {
	repeat := func(before, unit, after string) []byte {
		return []byte(before + strings.Repeat(unit, 100_000/len(unit)) + after)
	}
	props := func(before, unit string) []byte {
		encoded := strings.Repeat(unit, 100_000/len(unit))
		return append(appendVarint([]byte(before), uint32(len(encoded))), encoded...)
	}
	for name, test := range map[string]struct {
		kind Type
		v    Version
		body []byte
	}{
		"filters":                  {SUBSCRIBE, V5, repeat("\x00\x01\x00", "\x00\x01a\x00", "")},
		"filters, the last cut":    {SUBSCRIBE, V311, repeat("\x00\x01", "\x00\x01a\x00", "\x00")},
		"empty filters":            {SUBSCRIBE, V311, repeat("\x00\x01", "\x00\x00\x00", "")},
		"unsubscribe":              {UNSUBSCRIBE, V5, repeat("\x00\x01\x00", "\x00\x01a", "")},
		"unsubscribe nothing":      {UNSUBSCRIBE, V311, repeat("\x00\x01", "\x00\x00", "")},
		"codes":                    {SUBACK, V5, repeat("\x00\x01\x00", "\x87", "")},
		"unsubscribe codes":        {UNSUBACK, V5, repeat("\x00\x01\x00", "\x11", "")},
		"subscription identifiers": {PUBLISH, V5, props("\x00\x01t", "\x0b\x01")},
		"many identifiers":         {SUBSCRIBE, V5, props("\x00\x01", "\x0b\x01")},
		"user properties":          {PUBLISH, V5, props("\x00\x01t", "\x26\x00\x00\x00\x00")},
		"user properties apart":    {PUBLISH, V5, props("\x00\x01t", "\x26\x00\x00\x00\x00\x0b\x01")},
	} {
		var before, after runtime.MemStats
		p := newPacket(test.kind)
		runtime.ReadMemStats(&before)
		_ = p.Decode(test.v, test.kind.reservedFlags(), test.body)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(maxOwned*len(test.body)) {
			t.Errorf("%s: %d bytes were allocated for %d", name, grown, len(test.body))
		} else {
			t.Logf("%s: %.1f times the input", name, float64(grown)/float64(len(test.body)))
		}
	}
}
