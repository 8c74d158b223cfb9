package state

import (
	"encoding/binary"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
)

// commandVersion is the first byte of every proposal.
const commandVersion = 1

// The commands of a proposal. docs/format-state.md draws them.
const (
	opMessage     = 1 + iota // number, references, record: the message that the opKeeps up to the next one are about
	opKeep                   // session, item
	opAssign                 // session, number, packet identifier
	opReceived               // session, number, packet identifier
	opDrop                   // session, number
	opDropSent               // session, number: of QoS 2 that was in flight
	opFinish                 // session, number: of QoS 2 that the client has
	opHead                   // session, head
	opEnd                    // session, numbers of its messages
	opSubscribe              // session, filter, options
	opUnsubscribe            // session, filter
	opTake                   // session, packet identifier: of QoS 2 from the client
	opFree                   // session, packet identifier: released by the client
	opOutbox                 // lane, place, session, packet identifier, record
	opSent                   // lane, place
	opOrigin                 // shard, lane, place
	opRetain                 // record
	opClear                  // topic: nothing is retained any more
	opCount                  // the number of codes
)

// refsSize is the length of the count of references in opMessage, which grows while the proposal is open.
const refsSize = 4

func appendMessage(dst []byte, number uint64, m *message.Message) (b []byte, refsAt int) {
	dst = append(dst, opMessage)
	dst = binary.AppendUvarint(dst, number)
	refsAt = len(dst)
	dst = append(dst, 0, 0, 0, 0)
	return appendSizedRecord(dst, m), refsAt
}

// appendSizedRecord writes a record behind its length.
func appendSizedRecord(dst []byte, m *message.Message) []byte {
	return appendSized(dst, func(b []byte) []byte { return appendRecord(b, m) })
}

// appendSized writes what fill appends behind its length, which takes sizeRoom bytes at first.
func appendSized(dst []byte, fill func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = fill(dst)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-sizeRoom))
	return dst
}

const sizeRoom = 4

func appendKeep(dst []byte, sid uint64, o *session.Outbound, source string) []byte {
	dst = binary.AppendUvarint(append(dst, opKeep), sid)
	return appendSized(dst, func(b []byte) []byte { return appendItem(b, o, source) })
}

// appendOp writes a command of numbers alone.
func appendOp(dst []byte, op byte, numbers ...uint64) []byte {
	dst = append(dst, op)
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// command is one decoded command. Its bytes lie in the proposal.
type command struct {
	op      byte
	session uint64
	number  uint64 // of a message; a place
	id      uint16
	lane    uint16
	shard   byte
	refs    uint32
	name    []byte // filter or topic
	body    []byte // record, item, head, options
	list    []byte // numbers of opEnd
}

// taking tells whether a command only takes away: it is proposed again when it was refused.
func (c *command) taking() bool {
	switch c.op {
	case opAssign, opReceived, opDrop, opDropSent, opFinish, opHead, opEnd, opUnsubscribe, opFree, opSent, opClear:
		return true
	}
	return false
}

// commands reads the commands of a proposal one after the other.
type commands struct {
	r reader
}

// parse begins to read a proposal.
func parse(data []byte) (*commands, error) {
	if len(data) == 0 || data[0] != commandVersion {
		return nil, errMalformed
	}
	return &commands{reader{b: data[1:]}}, nil
}

// next gives the next command and its bytes; false at the end or, with an error, where something is wrong.
func (s *commands) next(c *command) (raw []byte, ok bool, err error) {
	r := &s.r
	if len(r.b) == 0 {
		return nil, false, nil
	}
	from := r.b
	*c = command{op: r.byte()}
	switch c.op {
	case opMessage:
		c.number = r.uvarint()
		if b := r.take(refsSize); b != nil {
			c.refs = binary.LittleEndian.Uint32(b)
		}
		c.body = r.sized()
		r.check(c.refs > 0)
	case opKeep:
		c.session, c.body = r.uvarint(), r.sized()
	case opAssign, opReceived:
		c.session, c.number, c.id = r.uvarint(), r.uvarint(), r.packetID()
	case opDrop, opDropSent, opFinish:
		c.session, c.number = r.uvarint(), r.uvarint()
	case opHead:
		c.session, c.body = r.uvarint(), r.sized()
	case opEnd:
		c.session, c.list = r.uvarint(), r.sized()
	case opSubscribe:
		c.session, c.name, c.body = r.uvarint(), r.filter(), r.sized()
	case opUnsubscribe:
		c.session, c.name = r.uvarint(), r.filter()
	case opTake, opFree:
		c.session, c.id = r.uvarint(), r.packetID()
	case opOutbox:
		c.lane, c.number, c.session, c.id = uint16(r.limited(1<<16-1)), r.uvarint(), r.uvarint(), r.packetID()
		c.body = r.sized()
	case opSent:
		c.lane, c.number = uint16(r.limited(1<<16-1)), r.uvarint()
	case opOrigin:
		c.shard, c.lane, c.number = byte(r.limited(Shards-1)), uint16(r.limited(1<<16-1)), r.uvarint()
	case opRetain:
		c.body = r.sized()
	case opClear:
		c.name = r.filter()
	default:
		r.bad = true
	}
	if r.bad {
		return nil, false, errMalformed
	}
	return from[:len(from)-len(r.b)], true, nil
}

// sized reads what appendSized wrote.
func (r *reader) sized() []byte {
	b := r.take(sizeRoom)
	if b == nil {
		return nil
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

// filter reads a topic filter or topic.
func (r *reader) filter() []byte {
	b := r.bytes()
	r.check(len(b) > 0 && len(b) <= filterLimit)
	return b
}

func (r *reader) packetID() uint16 {
	n := r.limited(1<<16 - 1)
	r.check(n > 0)
	return uint16(n)
}
