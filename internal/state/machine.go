package state

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/internal/message"
)

// Machine is the state of one shard: what its log, as far as it was applied, has led to. One goroutine at a time calls its
// methods, except Applied.
//
// It reads nothing while it applies: what it must know, which is how many sessions refer to a message, it has in memory.
type Machine struct {
	store *Store
	shard int

	batch   *pebble.Batch // what was added since the last Commit, nil when nothing was
	index   uint64        // of the last entry added
	highest uint64        // number that any command had
	// refs counts the sessions that refer to a message with a record of its own, by its number.
	refs map[uint64]uint32

	// message is the last opMessage of the proposal that is being added.
	message struct {
		number uint64
		record []byte
		shared bool
	}
	cmd command
	key [128]byte // room for a key
}

// Index is that of the last entry that was applied. What comes again up to it is passed over.
func (m *Machine) Index() uint64 { return m.index }

// Add applies one command of the entry at index. Nothing of the entry is visible, or can become durable, before Commit.
// An entry up to Index is passed over. An error is final: the log holds what no proposal has.
func (m *Machine) Add(index uint64, data []byte) error {
	if index <= m.index {
		return nil
	}
	s, err := parse(data)
	if err != nil {
		return m.malformed(index, err)
	}
	if m.batch == nil {
		m.batch = m.store.db.NewBatch()
	}
	m.message.record = nil
	for {
		_, ok, err := s.next(&m.cmd)
		if err != nil {
			return m.malformed(index, err)
		}
		if !ok {
			return nil
		}
		if err := m.apply(&m.cmd); err != nil {
			return m.malformed(index, err)
		}
	}
}

func (m *Machine) malformed(index uint64, err error) error {
	err = fmt.Errorf("state: shard %d, entry %d: %w", m.shard, index, err)
	m.store.fail(err)
	return err
}

// Commit makes everything up to and with the entry at index visible. It is on disk when the store flushes.
func (m *Machine) Commit(index uint64) error {
	if index <= m.index {
		return nil
	}
	m.index = index
	if m.batch == nil {
		m.batch = m.store.db.NewBatch()
	}
	var v [16]byte
	binary.BigEndian.PutUint64(v[:8], index)
	binary.BigEndian.PutUint64(v[8:], m.highest)
	m.set(keyOf(m.shard, kindApplied), v[:])
	err := m.batch.Commit(pebble.NoSync)
	m.batch.Close()
	m.batch = nil
	if err != nil {
		err = fmt.Errorf("state: shard %d: %w", m.shard, err)
		m.store.fail(err)
		return err
	}
	m.store.applied[m.shard].Store(index)
	return nil
}

func (m *Machine) set(key []byte, value ...[]byte) {
	n := 0
	for _, v := range value {
		n += len(v)
	}
	d := m.batch.SetDeferred(len(key), n)
	copy(d.Key, key)
	at := 0
	for _, v := range value {
		at += copy(d.Value[at:], v)
	}
	_ = d.Finish() // fails only for an indexed batch
}

func (m *Machine) remove(key []byte) { _ = m.batch.Delete(key, nil) }

// removeOnce removes a key that was set at most once: that leaves nothing behind where the two meet.
func (m *Machine) removeOnce(key []byte) { _ = m.batch.SingleDelete(key, nil) }

// sessionKey makes the key of a part of a session, with room for what follows.
func (m *Machine) sessionKey(buf []byte, part byte) []byte {
	return appendSessionKey(buf, m.shard, m.cmd.session, part)
}

// apply does one command.
func (m *Machine) apply(c *command) error {
	m.highest = max(m.highest, c.session)
	switch buf := m.key[:0]; c.op {
	case opMessage:
		m.begin(c, buf)
	case opKeep:
		return m.keep(c, buf)
	case opAssign:
		m.assign(c, buf, false)
	case opReceived:
		m.assign(c, buf, true)
		m.remove(appendNumber(m.sessionKey(buf, partItem), c.number))
		m.unref(c.number)
	case opDrop:
		m.removeOnce(appendNumber(m.sessionKey(buf, partItem), c.number))
		m.unref(c.number)
	case opDropSent:
		m.remove(appendNumber(m.sessionKey(buf, partItem), c.number))
		m.remove(appendNumber(m.sessionKey(buf, partAssigned), c.number))
		m.unref(c.number)
	case opFinish:
		m.remove(appendNumber(m.sessionKey(buf, partAssigned), c.number))
	case opHead:
		m.set(m.sessionKey(buf, partHead), c.body)
	case opEnd:
		return m.end(c)
	case opSubscribe:
		m.set(append(m.sessionKey(buf, partFilter), c.name...), c.body)
	case opUnsubscribe:
		m.remove(append(m.sessionKey(buf, partFilter), c.name...))
	case opTake:
		m.set(binary.BigEndian.AppendUint16(m.sessionKey(buf, partReceived), c.id))
	case opFree:
		m.remove(binary.BigEndian.AppendUint16(m.sessionKey(buf, partReceived), c.id))
	default:
		return m.applyRest(c, buf)
	}
	return nil
}

// applyRest does the commands that are not about one session.
func (m *Machine) applyRest(c *command, buf []byte) error {
	switch c.op {
	case opOutbox:
		var v [outboxHead]byte
		putOutboxHead(&v, c)
		m.set(appendPlace(append(buf, byte(m.shard), kindOutbox), c), v[:], c.body)
		m.set(binary.BigEndian.AppendUint16(append(buf, byte(m.shard), kindLane), c.lane), appendNumber(v[:0], c.number))
		m.cmd.op = opTake
		m.set(binary.BigEndian.AppendUint16(m.sessionKey(buf, partReceived), c.id))
	case opSent:
		m.removeOnce(appendPlace(append(buf, byte(m.shard), kindOutbox), c))
	case opOrigin:
		key := append(buf, byte(m.shard), kindOrigin, c.shard)
		var v [8]byte
		m.set(binary.BigEndian.AppendUint16(key, c.lane), appendNumber(v[:0], c.number))
	case opRetain:
		var msg message.Message
		if err := decodeRecord(c.body, &msg); err != nil {
			return err
		}
		m.set(append(append(buf, byte(m.shard), kindRetained), msg.Topic...), c.body)
	case opClear:
		m.remove(append(append(buf, byte(m.shard), kindRetained), c.name...))
	}
	return nil
}

func appendPlace(dst []byte, c *command) []byte {
	return appendNumber(binary.BigEndian.AppendUint16(dst, c.lane), c.number)
}

// begin takes the message that the next items are about.
func (m *Machine) begin(c *command, buf []byte) {
	m.highest = max(m.highest, c.number)
	m.message.number, m.message.record, m.message.shared = c.number, c.body, c.refs > 1
	if m.message.shared {
		m.refs[c.number] = c.refs
		m.set(appendNumber(append(buf, byte(m.shard), kindMessage), c.number), c.body)
	}
}

func (m *Machine) keep(c *command, buf []byte) error {
	if m.message.record == nil || len(c.body) == 0 {
		return errMalformed
	}
	key := appendNumber(m.sessionKey(buf, partItem), m.message.number)
	if !m.message.shared {
		m.set(key, c.body, m.message.record)
		return nil
	}
	head := [1]byte{c.body[0] | itemShared}
	m.set(key, head[:], c.body[1:])
	return nil
}

// Values of an assigned packet identifier: the identifier, and whether the client has the message.
func (m *Machine) assign(c *command, buf []byte, received bool) {
	var v [3]byte
	binary.BigEndian.PutUint16(v[:], c.id)
	if received {
		v[2] = 1
	}
	m.set(appendNumber(m.sessionKey(buf, partAssigned), c.number), v[:])
}

// unref takes one reference from a message that several sessions have.
func (m *Machine) unref(number uint64) {
	n, ok := m.refs[number]
	switch {
	case !ok:
	case n > 1:
		m.refs[number] = n - 1
	default:
		delete(m.refs, number)
		m.remove(appendNumber(append(m.key[:0], byte(m.shard), kindMessage), number))
	}
}

// end forgets a session.
func (m *Machine) end(c *command) error {
	for r := (reader{b: c.list}); len(r.b) > 0; {
		n := r.uvarint()
		if r.bad {
			return errMalformed
		}
		m.unref(n)
	}
	from := m.sessionKey(nil, 0)
	c.session++
	to := m.sessionKey(nil, 0)
	c.session--
	return m.batch.DeleteRange(from, to, nil)
}
