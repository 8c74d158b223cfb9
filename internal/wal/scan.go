package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

func leUint32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// scanner goes through the records of a segment.
type scanner struct {
	salt     uint32
	anyEpoch bool // a planted bug, for tests
}

// scanned is how a scan ended: at an End record, or at bytes that are none.
type scanned struct {
	end     int64 // of the last sound record
	sealed  bool
	next    uint64 // where the log goes on after the End record; 0 nowhere
	fault   fault  // if it was not sealed
	batch   uint16 // of the last sound record
	records int
}

// scan calls each for the records of a segment, whose whole content is image,
// up to the End record or the first fault. r is valid during the call.
func (sc scanner) scan(image []byte, epoch uint32, each func(off int64, r *record) error) (scanned, error) {
	res := scanned{end: headerPage}
	var r record
	for {
		if res.end+recordHeader > int64(len(image)) {
			res.fault = faultShort
			return res, nil
		}
		b := image[res.end:]
		want := epoch
		if sc.anyEpoch {
			want = leUint32(b[8:])
		}
		var n int
		if r, n, res.fault = decodeRecord(b, sc.salt, want); res.fault != sound {
			return res, nil
		}
		if r.kind == kindEnd {
			if r.index != uint64(res.end) {
				res.fault = "end record of another place"
				return res, nil
			}
			res.sealed, res.next = true, r.term
		} else if err := each(res.end, &r); err != nil {
			return res, err
		}
		res.end += int64(n)
		res.batch = r.batch
		res.records++
		if res.sealed {
			return res, nil
		}
	}
}

// judgeTail tells whether the fault at which the scan of the newest segment
// stopped can be the work of a power loss. The writer begins a batch only when
// the one before is on disk. So it can be, if the bad record was of the last
// batch that was written; and it cannot be, if a later batch is there:
//
//   - a record of two batches on, or more, was found further on, or
//   - one that says that it is the first of the next batch: the bad record,
//     which stands before it, is then of the batch before.
//
// The error names what a bad record in the middle is: corruption.
func (sc scanner) judgeTail(s *segment, image []byte, res scanned) error {
	epoch := s.epoch32()
	for at := res.end + align; at+recordHeader <= int64(len(image)); at += align {
		if leUint32(image[at+8:]) != epoch {
			continue
		}
		r, _, f := decodeRecord(image[at:], sc.salt, epoch)
		if f != sound {
			continue
		}
		if ahead := r.batch - res.batch; ahead >= 2 || ahead == 1 && r.first {
			return s.corrupt(res.end, fmt.Sprintf("%s, though a later write at offset %d is complete", res.fault, at))
		}
	}
	return nil
}

// load reads a whole segment into buf, grown if needed. What is missing at the
// end of a file reads as zeros.
func (s *segment) load(buf []byte) ([]byte, error) {
	size, err := s.file.Size()
	if err != nil {
		return buf, err
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	n, err := s.file.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return buf, s.corrupt(int64(n), "cannot be read: "+err.Error())
	}
	clear(buf[n:])
	return buf, nil
}
