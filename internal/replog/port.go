package replog

import (
	"go.etcd.io/raft/v3/raftpb"
)

// Entry is one committed entry of a group's log: the commands that were
// proposed together.
type Entry struct {
	// Index is its place in the log; indexes are consecutive, but some belong
	// to entries of raft itself, which no machine sees.
	Index uint64
	// Term is the leader's term in which it was proposed.
	Term     uint64
	Commands []Command
}

// Command is one proposal within an entry.
type Command struct {
	// Data is what was proposed. It is immutable and may be kept, except by
	// the user of a Reader, whose buffer it lies in.
	Data []byte
	// Result is for Apply to set; it goes to the proposer, on the replica
	// where the command was proposed, and is dropped on the others.
	Result Result
}

// Result is what a machine answers to a command: typically an offset, and a
// refusal in Detail. Both are opaque to this package.
type Result struct {
	Value  uint64
	Detail any
}

// StateMachine is what a group's log drives. The host calls its methods from
// one goroutine at a time (not always the same one) and never from within a
// call to Propose, so a machine needs a lock only if others look at it. They
// must not block and must not wait for a proposal: a worker serves many groups.
//
// A machine is deterministic: the same entries give the same state on every
// replica. It has no clock; time comes in commands.
type StateMachine interface {
	// Apply applies committed entries in order, and sets the Result of each
	// command. The slices of entries and commands are valid during the call
	// only; Command.Data may be kept.
	Apply(entries []Entry)

	// Snapshot appends the encoded state, all entries applied so far
	// included, and gives the extended slice. Messages that Floor keeps in the
	// log are not part of it.
	Snapshot(dst []byte) ([]byte, error)

	// Restore replaces the state by that of a snapshot. The next Apply begins
	// after the entry that the snapshot was taken at, index. A new machine of
	// a new group is restored with index 0 and no data. data is valid during
	// the call only. An error stops the group.
	Restore(index uint64, data []byte) error

	// Floor is the lowest index whose entry the machine still wants to Read.
	// Entries below it may be dropped. A machine that needs none says
	// math.MaxUint64. It must not go back.
	Floor() uint64

	// Lead tells that this replica begins to lead (every entry of earlier
	// terms has been applied), or no longer does.
	Lead(l Leadership)
}

// Leadership is who leads a group, as far as this replica knows.
type Leadership struct {
	Term uint64
	// Leader and Node are the leading replica and its node, 0 when unknown.
	Leader, Node uint64
	// Mine says that it is this replica, and that it is ready to serve.
	Mine bool
}

// Transport carries raft messages to other nodes. Implementations may drop,
// delay, repeat and reorder them; what they must not do is alter them.
type Transport interface {
	// Send takes a message for a replica of group on a node. It is called by
	// the workers and must not block: what does not fit in its buffers is
	// dropped. The message is immutable from now on. The receiving side
	// passes it to Host.Receive.
	Send(node, group uint64, m *raftpb.Message)
}

// Proposer is told how its proposal ended.
type Proposer interface {
	// Proposed is called once per accepted proposal, by a worker: it must not
	// block, nor call Propose and wait. Outcomes of one group and one leader
	// term come in the order of the log.
	Proposed(o Outcome)
}

// Outcome is the end of a proposal.
type Outcome struct {
	// Index and Command are the position, Term the term of the entry. They are
	// valid when Err is nil.
	Index, Term uint64
	Command     int
	// Result is the machine's answer. Under ModeLeader there is none: the
	// outcome comes before the entry is applied.
	Result Result
	// Err is nil, ErrUnknown, or a refusal; see Refused.
	Err error
}

// Mode says when a proposal is acknowledged.
type Mode byte

const (
	// ModeQuorum: it is on disk on a majority, and on Settings.MinInSync
	// replicas, and was applied here.
	ModeQuorum Mode = iota
	// ModeAll: beyond that, it is on disk on every replica of the in-sync set.
	ModeAll
	// ModeLeader: it is on the leader's disk. A failover may lose it.
	ModeLeader
)

// String gives the name used in configuration.
func (m Mode) String() string {
	switch m {
	case ModeQuorum:
		return "quorum"
	case ModeAll:
		return "all"
	case ModeLeader:
		return "leader"
	}
	return "unknown"
}
