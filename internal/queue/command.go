package queue

import (
	"errors"
	"math"

	"github.com/millrace-mq/millrace/topic"
)

// Every command begins with its version and its kind. A replica refuses what it
// does not know without a change of its state, so a new kind may be proposed
// only when every replica knows it.
const commandVersion = 1

const (
	kindAppend = iota + 1 // see Batch
	kindSettle
	kindCreateGroup
	kindDeleteGroup
	kindSeek
	kindPurge
	kindConfigure
)

// Refusals, as Result.Err. None of them changed anything.
var (
	ErrFull          = errors.New("queue: full")
	ErrFilter        = errors.New("queue: the group has another filter")
	ErrNoGroup       = errors.New("queue: no such group")
	ErrTooManyGroups = errors.New("queue: too many groups")
	ErrMalformed     = errors.New("queue: malformed command")
	ErrUnknown       = errors.New("queue: command of a newer version")
)

// From says where a group begins to read.
type From struct {
	Kind FromKind
	// Value is the offset or the time in Unix milliseconds.
	Value uint64
}

// FromKind is the kind of a From.
type FromKind uint8

// The kinds.
const (
	Earliest FromKind = iota // the oldest message that is kept
	Latest                   // the next one to come
	AtOffset
	AtTime // the first one stored at that time or later
)

func (f From) append(dst []byte) []byte { return appendUvarint(append(dst, byte(f.Kind)), f.Value) }

func (f *From) decode(d *decoder) {
	f.Kind, f.Value = FromKind(d.byte()), d.uvarint()
	if f.Kind > AtTime || f.Kind < AtOffset && f.Value != 0 || f.Kind == AtTime && f.Value > math.MaxInt64 {
		d.fail()
	}
}

// NewGroup describes a group to be made.
type NewGroup struct {
	Name string
	// Filter is relative to the queue, as Message.Topic is. "" and "#" mean
	// every message.
	Filter string
	From   From
	// Stream makes it the cursor of one reader of its own: it does not keep
	// messages from being dropped, its leases do not run out, and nothing is
	// delivered to it again but what was out when its reader went.
	Stream bool
}

// Bounds of a group's texts, in bytes.
const (
	maxGroupName = 65535
	maxFilter    = topic.MaxLength
)

// AppendCreateGroup encodes the making of a group. Result.Value is the number of
// the group, which may have existed: then From is of no account. Result.Err is
// ErrFilter or ErrTooManyGroups.
func AppendCreateGroup(dst []byte, g *NewGroup) []byte {
	dst = append(dst, commandVersion, kindCreateGroup)
	if g.Stream {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	return g.From.append(appendText(appendText(dst, g.Name), g.Filter))
}

// AppendDeleteGroup encodes the end of a group. Result.Err is ErrNoGroup.
func AppendDeleteGroup(dst []byte, name string) []byte {
	return appendText(append(dst, commandVersion, kindDeleteGroup), name)
}

// AppendSeek encodes the move of a group. Everything from there on counts as not
// settled. Result.Value is the group's new number: settles under the old one are
// void. Result.Err is ErrNoGroup.
func AppendSeek(dst []byte, name string, to From) []byte {
	return to.append(appendText(append(dst, commandVersion, kindSeek), name))
}

// AppendPurge encodes that messages before an offset are dropped;
// math.MaxUint64 stands for all. Result.Value is their number.
func AppendPurge(dst []byte, before uint64) []byte {
	return appendUvarint(append(dst, commandVersion, kindPurge), before)
}

// AppendConfigure encodes new settings, which must pass Check. They bind what is
// applied after them.
func AppendConfigure(dst []byte, s *Settings) []byte {
	return s.append(append(dst, commandVersion, kindConfigure))
}

// cause says why a group is done with messages.
type cause uint8

const (
	causeSettled cause = iota // a member has settled them, or the filter leaves them out
	causeExpired
	causeBuried // they became dead letters, and those are stored
	causes
)

// span is the offsets lo <= n < hi.
type span struct{ lo, hi uint64 }

// A settle command is
//
//	version, kind, time, number of sections, then per section:
//	group number, cause, number of spans, then per span in ascending order:
//	distance from the end of the span before, length
//
// all numbers but the first two bytes and the cause as uvarint.
func appendSettleHead(dst []byte, now int64, sections int) []byte {
	dst = appendUvarint(append(dst, commandVersion, kindSettle), uint64(now))
	return appendUvarint(dst, uint64(sections))
}

func appendSettleSection(dst []byte, group uint64, c cause, spans []span) []byte {
	dst = append(appendUvarint(dst, group), byte(c))
	dst = appendUvarint(dst, uint64(len(spans)))
	end := uint64(0)
	for _, s := range spans {
		dst = appendUvarint(dst, s.lo-end)
		dst = appendUvarint(dst, s.hi-s.lo)
		end = s.hi
	}
	return dst
}

// checkSettle tells whether a settle command is well formed, so that applying it
// cannot stop half way.
func checkSettle(d decoder) bool {
	if now := d.number(); now > maxTime {
		return false
	}
	for n := d.count(3); n > 0; n-- {
		d.uvarint()
		if cause(d.byte()) >= causes {
			return false
		}
		end := uint64(0)
		for k := d.count(2); k > 0; k-- {
			lo := d.uvarint()
			size := d.uvarint()
			if size == 0 || lo > math.MaxInt64 || size > math.MaxInt64 || end > math.MaxInt64 {
				return false
			}
			end += lo + size
		}
	}
	return d.done()
}

// validFilter tells whether a group may have the filter.
func validFilter(filter []byte) bool {
	return len(filter) == 0 || len(filter) <= maxFilter && topic.ValidateFilter(filter, 0) == nil
}
