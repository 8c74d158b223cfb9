package wal

import (
	"errors"
	"path"
	"slices"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// Report is what Check found.
type Report struct {
	Segments int
	Free     int   // segments without content
	Records  int   // sound ones
	Bytes    int64 // of sound records and headers
	Groups   []GroupReport
	// TornTail tells that the last write was interrupted. Open would cut it.
	TornTail bool
	// Problems are damages, each a CorruptError. A log with any is not opened.
	Problems []error
}

// GroupReport is what a log holds of a group.
type GroupReport struct {
	ID          uint64
	First, Last uint64 // indexes of entries; First > Last if there are none
	State       HardState
	Snapshot    uint64 // index of the newest snapshot; 0 none
}

// Check reads a log without changing anything and verifies what Open verifies,
// but goes on after a problem. It takes the lock, so it fails with vfs.ErrLocked
// while a process has the log open. The error is for what kept it from looking;
// damage is in the report.
func Check(fs vfs.FS, dir string) (rep Report, err error) {
	lock, err := fs.Lock(path.Join(dir, lockName))
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r := &recovery{fs: fs, dir: dir, groups: make(map[uint64]*group)}
	r.problem = func(err error) error {
		rep.Problems = append(rep.Problems, err)
		return nil
	}
	defer func() { err = errors.Join(err, r.closeAll()) }()
	if err := r.run(); err != nil {
		return rep, err
	}
	if len(r.hot) == 0 {
		marked, err := isMarked(fs, dir)
		if err != nil {
			return rep, err
		}
		if marked || len(r.cold) > 0 {
			rep.Problems = append(rep.Problems, errNoSegment(dir))
		}
	}
	rep.Segments, rep.Free = len(r.segs), len(r.free)
	rep.Records, rep.Bytes = r.records, r.bytes
	rep.TornTail = len(r.hot) > 0 && !r.tail.sealed
	for id, g := range r.groups {
		d := &g.mu.onDisk
		if !d.exists {
			continue
		}
		rep.Groups = append(rep.Groups, GroupReport{
			ID: id, First: d.base.Index + 1, Last: d.last(), State: g.app.state, Snapshot: d.snap.index,
		})
	}
	slices.SortFunc(rep.Groups, func(a, b GroupReport) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return rep, nil
}
