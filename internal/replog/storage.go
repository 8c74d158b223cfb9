package replog

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/millrace-mq/millrace/internal/wal"
)

// storage is what raft sees of the log of a group. It shows everything that was
// handed to the log, on disk or not: raft itself knows what is stable. The
// entries that are not on disk and applied are kept in memory, the others are
// read from the log. It belongs to the worker that runs the group.
type storage struct {
	log   *wal.Log
	group uint64

	base  wal.Base
	last  uint64
	state wal.HardState // as handed to the log
	conf  conf          // the newest members that are known; see Group.applyConfChange

	recent  []*raftpb.Entry // the newest entries, without holes up to last
	durable uint64          // entries up to here are on disk
	reader  wal.Reader
	convert []wal.Entry // for reuse
	asked   bool        // a snapshot was asked for and is not there yet
	// unwritten is how much was applied since a commit index was written.
	unwritten int
	unbased   int // and since the base moved
}

var _ raft.Storage = (*storage)(nil)

// openStorage finds out what the log has of a group.
func openStorage(log *wal.Log, group uint64) (*storage, envelope, error) {
	info, err := log.Info(group)
	if err != nil {
		return nil, envelope{}, err
	}
	snap, err := log.Snapshot(group)
	if err != nil {
		return nil, envelope{}, fmt.Errorf("replog: group %d: %w", group, err)
	}
	env, err := decodeEnvelope(snap.Data)
	if err != nil {
		return nil, envelope{}, fmt.Errorf("group %d: %w", group, err)
	}
	if env.applied < info.Base.Index {
		return nil, envelope{}, fmt.Errorf("replog: group %d: snapshot of %d does not reach the base %d", group, env.applied, info.Base.Index)
	}
	s := &storage{log: log, group: group, base: info.Base, last: info.Last, state: info.State, conf: env.conf, durable: info.Last}
	return s, env, nil
}

// InitialState implements raft.Storage.
func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hs := &raftpb.HardState{Term: new(s.state.Term), Vote: new(s.state.Vote), Commit: new(s.state.Commit)}
	return hs, proto.Clone(s.conf.state).(*raftpb.ConfState), nil
}

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) { return s.base.Index + 1, nil }

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) { return s.last, nil }

// recentFrom is the index of the first entry in memory.
func (s *storage) recentFrom() uint64 { return s.last + 1 - uint64(len(s.recent)) }

// Term implements raft.Storage.
func (s *storage) Term(i uint64) (uint64, error) {
	switch from := s.recentFrom(); {
	case i == s.base.Index:
		return s.base.Term, nil
	case i < s.base.Index:
		return 0, raft.ErrCompacted
	case i > s.last:
		return 0, raft.ErrUnavailable
	case i >= from:
		return s.recent[i-from].GetTerm(), nil
	}
	t, err := s.log.Term(s.group, i)
	return t, s.translate(err)
}

// Entries implements raft.Storage. It may give fewer than asked for.
func (s *storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	switch {
	case lo <= s.base.Index:
		return nil, raft.ErrCompacted
	case hi > s.last+1:
		return nil, raft.ErrUnavailable
	}
	from := s.recentFrom()
	if lo >= from {
		return limitSize(s.recent[lo-from:hi-from:hi-from], maxSize), nil
	}
	es, err := s.log.Read(&s.reader, s.group, lo, min(hi, from), int(min(maxSize, 4<<20)))
	if err != nil {
		return nil, s.translate(err)
	}
	out := make([]*raftpb.Entry, len(es))
	for i := range es {
		e := &es[i]
		out[i] = &raftpb.Entry{Index: new(e.Index), Term: new(e.Term), Type: new(raftpb.EntryType(e.Tag))}
		if len(e.Data) > 0 {
			out[i].Data = append(make([]byte, 0, len(e.Data)), e.Data...)
		}
	}
	return out, nil
}

// limitSize cuts a list of entries to a size, but leaves at least one.
func limitSize(es []*raftpb.Entry, maxSize uint64) []*raftpb.Entry {
	size := uint64(0)
	for i, e := range es {
		if size += uint64(len(e.GetData()) + 24); size > maxSize && i > 0 {
			return es[:i:i]
		}
	}
	return es
}

// Snapshot implements raft.Storage. What a follower gets is the state of the
// machine at a later index than raft is told: the log from the base on comes
// after it, and the machine passes over the entries that its state contains.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	snap, err := s.log.Snapshot(s.group)
	if err != nil && !errors.Is(err, wal.ErrNoSnapshot) {
		return nil, err
	}
	if err != nil || snap.Index < s.base.Index {
		s.asked = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	env, err := decodeEnvelope(snap.Data)
	if err != nil {
		return nil, err
	}
	if env.conf.index < s.conf.index {
		s.asked = true // it does not know the replica that joins
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{
		Data: snap.Data,
		Metadata: &raftpb.SnapshotMetadata{
			Index: new(s.base.Index), Term: new(s.base.Term),
			ConfState: env.conf.state,
		},
	}, nil
}

func (s *storage) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wal.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, wal.ErrUnavailable), errors.Is(err, wal.ErrNoGroup):
		return raft.ErrUnavailable
	}
	return err
}

// append takes entries over and gives them as the log wants them, good until
// the next call.
func (s *storage) append(es []*raftpb.Entry) []wal.Entry {
	if first := es[0].GetIndex(); first <= s.last {
		if from := s.recentFrom(); from <= first {
			s.recent = s.recent[: first-from : first-from]
		} else {
			s.recent = nil
		}
		s.last = first - 1
		s.durable = min(s.durable, s.last)
	}
	s.recent = append(s.recent, es...)
	s.last = es[len(es)-1].GetIndex()
	s.convert = s.convert[:0]
	for _, e := range es {
		s.convert = append(s.convert, wal.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Tag: byte(e.GetType()), Data: e.GetData()})
	}
	return s.convert
}

// stable notes that everything up to an entry is on disk, if that is still the
// entry with this index.
func (s *storage) stable(index, term uint64) {
	if index <= s.last && index > s.durable {
		if t, err := s.Term(index); err == nil && t == term {
			s.durable = index
		}
	}
}

// forget lets go of entries in memory that are on disk and applied, but for the
// newest of up to keep bytes, which followers may still ask for.
func (s *storage) forget(applied uint64, keep int) {
	limit := min(applied, s.durable)
	n := len(s.recent)
	for from := s.recentFrom(); n > 0; n-- {
		if keep -= len(s.recent[n-1].GetData()); keep < 0 && from+uint64(n-1) <= limit {
			break
		}
	}
	if n == 0 {
		return
	}
	// Not cleared: messages on their way may refer to the array.
	if s.recent = s.recent[n:]; len(s.recent) == 0 {
		s.recent = nil
	}
}

// compact moves the base up to an index that is in the log.
func (s *storage) compact(index uint64) error {
	t, err := s.Term(index)
	if err != nil {
		return err
	}
	s.base, s.unbased = wal.Base{Index: index, Term: t}, 0
	if from := s.recentFrom(); from <= index {
		n := min(uint64(len(s.recent)), index+1-from)
		s.recent = s.recent[n:]
	}
	return nil
}

// A commit index or a base alone is written only now and then: each costs a
// record, and the newest matters little. A restart finds out how far the log is
// committed, and a base only gives room back.
const (
	worthEntries = 64
	worthBytes   = 64 << 10
)

// worthWriting tells whether a hard state that nobody waits for says enough.
func (s *storage) worthWriting(st *wal.HardState) bool {
	return st.Term != s.state.Term || st.Vote != s.state.Vote ||
		st.Commit >= s.state.Commit+worthEntries || s.unwritten >= worthBytes
}

// worthCompacting tells whether dropping everything up to an index gives enough
// room back.
func (s *storage) worthCompacting(index uint64) bool {
	return index >= s.base.Index+worthEntries || s.unbased >= worthBytes
}

// reset forgets the log in favour of one that begins after base.
func (s *storage) reset(base wal.Base) {
	s.base = base
	s.last, s.durable = base.Index, base.Index
	s.recent = nil
}
