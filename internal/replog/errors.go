package replog

import (
	"errors"
	"fmt"
)

// Refusals: the command was not stored and never will be.
var (
	// ErrNotLeader: another replica leads, or none; errors.As with
	// *NotLeaderError tells which.
	ErrNotLeader = errors.New("replog: this replica does not lead")
	// ErrBusy: more is proposed and not committed than the limits allow.
	ErrBusy = errors.New("replog: too much uncommitted")
	// ErrFull: the disk has reached its reserve.
	ErrFull = errors.New("replog: disk full")
	// ErrTooFewInSync: fewer replicas than Settings.MinInSync are in sync.
	ErrTooFewInSync = errors.New("replog: too few replicas in sync")
	// ErrTooLarge: the command exceeds MaxCommand.
	ErrTooLarge = errors.New("replog: command too large")
	// ErrStopped: the group or the host was stopped before it was proposed.
	ErrStopped = errors.New("replog: stopped")
)

// ErrUnknown is no refusal: leadership was lost, the host stopped or the disk
// failed after the command was proposed. It may be committed, once, or never.
var ErrUnknown = errors.New("replog: outcome unknown")

// NotLeaderError is an ErrNotLeader that knows who leads.
type NotLeaderError struct {
	Group uint64
	// Leader and Node are the leading replica and its node; 0 when unknown.
	Leader, Node uint64
}

func (e *NotLeaderError) Error() string {
	if e.Leader == 0 {
		return fmt.Sprintf("replog: group %d has no leader", e.Group)
	}
	return fmt.Sprintf("replog: group %d is led by replica %d on node %d", e.Group, e.Leader, e.Node)
}

// Is makes it an ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// Refused tells whether an Outcome's error means that the command was
// definitely not stored. It is false for nil and for ErrUnknown.
func Refused(err error) bool { return err != nil && !errors.Is(err, ErrUnknown) }
