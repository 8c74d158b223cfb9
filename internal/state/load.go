package state

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
)

// Visitor is given what a shard holds, when the node starts.
type Visitor interface {
	// Session gives a session, whose messages the visitor keeps if it wants them longer. session.More.Source of a message that came by a shared
	// subscription is its filter, a string.
	Session(sid uint64, n *session.Snapshot) error
	// Retained gives a retained message, which is valid during the call.
	Retained(m *message.Message) error
	// Posted gives a message of the outbox, kept for the visitor: those of a lane in their order.
	Posted(p Place, m *message.Message)
	// Arrived tells up to which place of a lane of some shard messages have been here.
	Arrived(p Place)
}

// Load visits everything in a shard, once, before anything is appended to it by anybody but the visitor.
func (s *Shard) Load(v Visitor) error {
	l := &loader{shard: s, store: s.set.store, v: v}
	steps := []struct {
		kind  byte
		visit func(key, value []byte) error
	}{
		{kindMessage, l.message}, {kindSession, l.session}, {kindRetained, l.retained},
		{kindOrigin, l.origin}, {kindLane, l.lane}, {kindOutbox, l.outbox},
	}
	for _, step := range steps {
		if err := l.store.scan(s.index, step.kind, step.visit); err != nil {
			return fmt.Errorf("state: shard %d, kind %c: %w", s.index, step.kind, err)
		}
		if step.kind == kindSession {
			if err := l.finish(); err != nil {
				return fmt.Errorf("state: shard %d: %w", s.index, err)
			}
		}
	}
	for _, m := range l.messages {
		m.Release()
	}
	return nil
}

// loader puts sessions together from their keys.
type loader struct {
	shard    *Shard
	store    *Store
	v        Visitor
	messages map[uint64]*message.Message // that several sessions refer to

	sid   uint64
	now   *session.Snapshot // nil before the first
	items []loaded          // of the session, by number
}

// loaded is a message of a session.
type loaded struct {
	session.Outbound
	hint bool // of QoS 1: the identifier may be used otherwise by now
}

func keep(record []byte) (*message.Message, error) {
	var m message.Message
	if err := decodeRecord(record, &m); err != nil {
		return nil, err
	}
	kept := m.Keep()
	m.Return()
	return kept, nil
}

func (l *loader) message(key, value []byte) error {
	r := reader{b: key}
	n := r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	m, err := keep(value)
	if err != nil {
		return err
	}
	if l.messages == nil {
		l.messages = map[uint64]*message.Message{}
	}
	l.messages[n] = m
	return nil
}

func (l *loader) session(key, value []byte) error {
	r := reader{b: key}
	sid, part := r.uint64(), r.byte()
	if r.bad {
		return errMalformed
	}
	if l.now == nil || sid != l.sid {
		if err := l.finish(); err != nil {
			return err
		}
		if part != partHead {
			return fmt.Errorf("session %d has no head: %w", sid, errMalformed)
		}
		l.sid = sid
	}
	switch part {
	case partHead:
		n, err := decodeHead(value)
		l.now = n
		return err
	case partFilter:
		sub := &session.Subscription{Filter: string(r.b)}
		group, err := decodeOptions(value, &sub.SubOptions)
		if err != nil {
			return err
		}
		if group != "" {
			sub.More = &session.More{Source: group}
		}
		l.now.Subscriptions = append(l.now.Subscriptions, sub)
		return nil
	case partReceived:
		id := r.uint16()
		l.now.Received = append(l.now.Received, id)
		return r.end()
	}
	number := r.uint64()
	if err := r.end(); err != nil {
		return err
	}
	switch part {
	case partAssigned:
		return l.assigned(number, value)
	case partItem:
		return l.item(number, value)
	}
	return errMalformed
}

// assigned takes the identifier of a message of QoS 2. The message, if the client has not got it, comes later.
func (l *loader) assigned(number uint64, value []byte) error {
	r := reader{b: value}
	o := session.Outbound{QoS: 2, Number: number, PacketID: r.uint16(), Released: r.byte() == 1}
	l.items = append(l.items, loaded{Outbound: o})
	return r.end()
}

func (l *loader) item(number uint64, value []byte) error {
	var o session.Outbound
	record, shared, err := decodeItem(value, &o)
	if err != nil {
		return err
	}
	o.Number = number
	if shared {
		m, ok := l.messages[number]
		if !ok {
			return fmt.Errorf("message %d is missing", number)
		}
		o.Message = m.Keep()
	} else if o.Message, err = keep(record); err != nil {
		return err
	}
	i, ok := slices.BinarySearchFunc(l.items, number, func(e loaded, n uint64) int {
		return cmp.Compare(e.Number, n)
	})
	if ok { // its identifier was assigned later
		o.PacketID = l.items[i].PacketID
		l.items[i].Outbound = o
		return nil
	}
	l.items = slices.Insert(l.items, i, loaded{o, o.QoS == 1 && o.PacketID != 0})
	return nil
}

// finish gives the session that is complete to the visitor.
func (l *loader) finish() error {
	n := l.now
	if n == nil {
		return nil
	}
	l.arrange(n)
	l.now, l.items = nil, l.items[:0]
	if err := l.v.Session(l.sid, n); err != nil {
		return fmt.Errorf("session %d: %w", l.sid, err)
	}
	for _, list := range [][]session.Outbound{n.Inflight, n.Waiting} {
		for i := range list {
			if m := list[i].Message; m != nil {
				m.Release() // the visitor has kept it
			}
		}
	}
	return nil
}

// arrange divides the messages into those in flight and those that wait. Identifiers of QoS 2 are certain. Those of QoS 1 are
// what the message was sent with at first, if it did not have to wait; it keeps the identifier if no message before it waits, and
// no other has it.
func (l *loader) arrange(n *session.Snapshot) {
	var used [1 << 10]uint64
	taken := func(id uint16) bool { return used[id>>6]&(1<<(id&63)) != 0 }
	take := func(id uint16) { used[id>>6] |= 1 << (id & 63) }
	for i := range l.items {
		if o := &l.items[i]; o.QoS == 2 && o.PacketID != 0 {
			take(o.PacketID)
		}
	}
	waits := false
	for i := range l.items {
		o := &l.items[i]
		switch {
		case o.Message == nil && !o.Released:
			continue // what it belongs to was refused
		case o.hint && (waits || taken(o.PacketID)):
			o.PacketID = 0
		case o.hint:
			take(o.PacketID)
		}
		if o.PacketID != 0 {
			n.Inflight = append(n.Inflight, o.Outbound)
			continue
		}
		waits = waits || o.QoS == 1
		n.Waiting = append(n.Waiting, o.Outbound)
	}
}

func (l *loader) retained(key, value []byte) error {
	var m message.Message
	if err := decodeRecord(value, &m); err != nil {
		return err
	}
	if string(m.Topic) != string(key) {
		return fmt.Errorf("the message of another topic: %w", errMalformed)
	}
	return l.v.Retained(&m)
}

func (l *loader) origin(key, value []byte) error {
	r, q := reader{b: key}, reader{b: value}
	p := Place{Shard: int(r.byte()), Lane: r.uint16(), Seq: q.uint64()}
	r.check(p.Shard < Shards && len(q.b) == 0 && !q.bad)
	if err := r.end(); err != nil {
		return err
	}
	l.v.Arrived(p)
	return nil
}

func (l *loader) lane(key, value []byte) error {
	r, q := reader{b: key}, reader{b: value}
	lane := r.uint16()
	l.shard.mu.lanes[lane] = q.uint64()
	r.check(len(q.b) == 0 && !q.bad)
	return r.end()
}

func (l *loader) outbox(key, value []byte) error {
	r := reader{b: key}
	p := Place{Shard: l.shard.index, Lane: r.uint16(), Seq: r.uint64()}
	if err := r.end(); err != nil {
		return err
	}
	if len(value) < outboxHead {
		return errMalformed
	}
	m, err := keep(value[outboxHead:])
	if err != nil {
		return err
	}
	l.v.Posted(p, m)
	return nil
}

// outboxHead is the length of what stands before the message of the outbox: session and packet identifier.
const outboxHead = 8 + 2

func putOutboxHead(dst *[outboxHead]byte, c *command) {
	binary.BigEndian.PutUint64(dst[:8], c.session)
	binary.BigEndian.PutUint16(dst[8:], c.id)
}
