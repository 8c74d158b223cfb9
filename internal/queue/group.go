package queue

import "github.com/millrace-mq/millrace/topic"

// group is the replicated state of a consumer group or of a stream's cursor.
type group struct {
	// id is never used again; a seek gives a new one, so that nothing of before
	// can touch what is after it.
	id     uint64
	name   string
	filter []byte
	stream bool
	settled
	// What the group was done with, by cause.
	done [causes]uint64
}

// GroupInfo describes a group.
type GroupInfo struct {
	ID     uint64
	Name   string
	Filter string
	Stream bool
	// Floor is the lowest offset that is not settled, Unsettled the number of
	// messages from there on that are not, whether the filter matches or not.
	Floor     uint64
	Unsettled uint64
	// Settled counts the messages that members settled and those that the filter
	// left out, Expired those that expired before, Buried the dead letters.
	Settled, Expired, Buried uint64
}

func (g *group) info(end uint64) GroupInfo {
	return GroupInfo{
		ID: g.id, Name: g.name, Filter: string(g.filter), Stream: g.stream, Floor: g.floor, Unsettled: g.unsettled(end),
		Settled: g.done[causeSettled], Expired: g.done[causeExpired], Buried: g.done[causeBuried],
	}
}

func (g *group) unsettled(end uint64) uint64 { return end - g.floor - g.n }

// matches tells whether the group wants a message. Its filter was made by
// normalFilter, so it is never empty.
func (g *group) matches(name []byte) bool {
	return string(g.filter) == everything || len(name) > 0 && topic.Match(g.filter, name)
}

// everything is the filter that matches every message, those published to the
// queue without key levels too.
const everything = "#"

func normalFilter(filter []byte) []byte {
	if len(filter) == 0 {
		return []byte(everything)
	}
	return filter
}
