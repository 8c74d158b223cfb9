package wal

import (
	"bytes"
	"errors"
	"path"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// FuzzDecodeRecord: what decodes encodes to the same bytes, and nothing panics.
func FuzzDecodeRecord(f *testing.F) {
	const salt, epoch = 7, 3
	for _, r := range []record{
		{kind: kindEntry, epoch: epoch, batch: 9, group: 1, term: 2, index: 3, tag: 1, payload: []byte("hello"), first: true},
		{kind: kindEnd, epoch: epoch, index: 4096},
	} {
		f.Add(appendRecord(nil, salt, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, fault := decodeRecord(b, salt, epoch)
		if fault != sound {
			return
		}
		again := appendRecord(nil, salt, &r)
		// Padding is not covered by the checksum.
		end := recordHeader + len(r.payload)
		if len(again) != n || !bytes.Equal(again[:end], b[:end]) {
			t.Errorf("%x encodes to %x", b, again)
		}
	})
}

// FuzzRecovery opens a log whose records are sound but say anything, in any
// order, in a hot and in a cold segment; and then one with bytes of the input
// thrown over it. It must open or be refused as corrupt, and if it opens, open
// again with the same content.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte("\x01\x00\x01\x01\x05\x01\x00\x01\x02\x05\x02\x00\x01\x02\x08\x03\x01\x01\x01\x00"), uint16(4200), byte(1))
	f.Add([]byte("\x03\x01\x05\x01\x18\x0a\x00\x01\x06\x05\x01\x00\x02\x06\x05\x04\x00\x00\x06\x05\x05\x00\x01\x06\x08"), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, script []byte, flipAt uint16, flip byte) {
		fs := vfs.NewMemory()
		opt := Options{FS: fs, Dir: "wal", SegmentSize: 16 << 10, Reserve: 1, SpareSegments: 1, Manual: true, Salt: 5}
		l := mustOpen(t, opt)
		check(t, l.Close())
		scribble(t, l, script, flipAt, flip)
		l, err := Open(opt)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("Open = %v", err)
			}
			return
		}
		infos := make(map[uint64]GroupInfo)
		for _, id := range l.Groups() {
			infos[id], err = l.Info(id)
			check(t, err)
			var r Reader
			if i := infos[id]; i.Last > i.Base.Index {
				if _, err := l.Read(&r, id, i.Base.Index+1, i.Last+1, 1<<20); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("Read = %v", err)
				}
			}
		}
		l = reopen(t, l)
		for id, want := range infos {
			if got, err := l.Info(id); err != nil || got != want {
				t.Fatalf("group %d was %+v and is %+v, %v", id, want, got, err)
			}
		}
		check(t, l.Close())
	})
}

// scribble writes the records of a script behind the log that l made: five bytes
// each for kind, tag, group, term and index in one, and length.
func scribble(t *testing.T, l *Log, script []byte, flipAt uint16, flip byte) {
	t.Helper()
	hot := l.mu.hot[0]
	file, err := l.opt.FS.OpenWrite(path.Join(l.opt.Dir, hot.name))
	check(t, err)
	defer file.Close()
	off, batch := int64(headerPage), uint16(0)
	for ; len(script) >= 5; script = script[5:] {
		batch++
		r := record{
			kind: kind(script[0] % (byte(kindLast) + 1)), tag: script[1], group: uint64(script[2] >> 4), term: uint64(script[3] >> 4),
			index: uint64(script[3]&15) | uint64(script[2]&1)<<63, payload: bytes.Repeat([]byte{script[4]}, int(script[4])),
			epoch: hot.epoch32(), batch: batch, first: true,
		}
		b := appendRecord(nil, l.salt, &r)
		if off+int64(len(b)) > hot.size {
			break
		}
		_, err := file.WriteAt(b, off)
		check(t, err)
		off += int64(len(b))
	}
	var b [1]byte
	at := int64(flipAt) % hot.size
	_, _ = file.ReadAt(b[:], at)
	b[0] ^= flip
	_, err = file.WriteAt(b[:], at)
	check(t, err)
}
