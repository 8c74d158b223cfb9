package bench

import (
	"bytes"
	"strconv"

	"github.com/millrace-mq/millrace/mqtt"
)

const (
	packetIDs = 65535
	writeMax  = 64 << 10 // packets gathered into one write
	allowAll  = ^uint32(0)
)

// publisher is what a publishing client has beside its connection. Messages [done, seq) are unconfirmed.
type publisher struct {
	head    []byte // fixed header and topic, the same in every message
	seq     uint32 // the next one to send
	allowed uint32 // it may be sent when it is below this
	done    uint32
	limit   uint32 // how many may be unconfirmed; 0: any number, and nobody counts
	confirm int32  // confirmations that a message needs
	acks    int32  // of these, from the broker
	slots   []slot // ring; its size is a power of two
	maximum uint32 // Receive Maximum of the broker
	seen    uint32 // done, when the stage looked last
	cleared uint32 // seq when its messages began to be removed
	topicAt int    // where in head the topic begins
	queued  bool
}

// slot is one unconfirmed message.
type slot struct {
	left int32
	due  int64
}

const perMessageDigits = 8

// populatePublishers encodes what all messages of a publisher have in common.
func (e *engine) populatePublishers(g *group) {
	g.pubs = make([]publisher, g.Count)
	for i := range g.pubs {
		p := &g.pubs[i]
		p.maximum = packetIDs
		topic := e.topic(g.Base, g.First+i)
		if g.PerMessage {
			topic += "/" + strconv.Itoa(g.First+i) + "/00000000"
		}
		whole := mqtt.AppendPublish(nil, e.plan.Target.Version, mqtt.PublishHead{QoS: g.QoS, Retain: g.Retain, PacketID: 1, Expiry: -1},
			[]byte(topic), nil, make([]byte, g.Payload))
		p.topicAt = bytes.Index(whole, []byte(topic))
		p.head = bytes.Clone(whole[:p.topicAt+len(topic)])
	}
}

// receivers returns how many of this worker's subscribers (a shared group counts once) get a message of publisher n.
func (e *engine) receivers(n int) int32 {
	total := 0
	for i := range e.groups {
		g := &e.groups[i]
		if g.checker == nil {
			continue
		}
		k := g.checker
		owners := (g.Count + k.members - 1) / k.members
		if k.stride <= 1 {
			total += owners
			continue
		}
		for o := range owners {
			if (n-k.first/k.members-o)%k.stride == 0 {
				total++
			}
		}
	}
	return int32(total)
}

// send writes what a publisher may send now.
func (e *engine) send(c *client) {
	g := &e.groups[c.group]
	if g.pubs == nil {
		return
	}
	p := &g.pubs[c.index]
	p.queued = false
	if c.state != stateUp {
		return
	}
	now := e.clock.now()
	for p.room() && c.state == stateUp && c.backlog() < backlogMax {
		e.out = e.out[:0]
		for p.room() && len(e.out) < writeMax {
			e.out = e.append(e.out, g, p, int(c.index), now)
		}
		e.write(c, e.out)
	}
}

func (p *publisher) room() bool {
	return p.seq < p.allowed && (p.limit == 0 || p.seq-p.done < p.limit)
}

// append encodes the next message of p.
func (e *engine) append(dst []byte, g *group, p *publisher, index int, now int64) []byte {
	due := now
	if e.stage.Interval > 0 {
		due = e.driver.(*flow).due(g.First+index, p.seq)
	}
	if p.limit > 0 {
		p.hold(due)
	}
	p.seq++
	e.counters.Sent++
	if e.stage.Clear {
		return e.appendEmpty(dst, g, p)
	}
	return e.appendMessage(dst, g, p, index, due)
}

// appendEmpty appends a message without payload, which removes a retained one. It carries no number and is not counted as sent to
// anybody.
func (e *engine) appendEmpty(dst []byte, g *group, p *publisher) []byte {
	p.numberTopic(p.head, p.seq-1-p.cleared)
	head := mqtt.PublishHead{QoS: g.QoS, Retain: g.Retain, PacketID: p.packetID(), Expiry: -1}
	return mqtt.AppendPublish(dst, e.plan.Target.Version, head, p.head[p.topicAt:], nil, nil)
}

// packetID of the message sent last.
func (p *publisher) packetID() uint16 { return uint16((p.seq-1)%packetIDs + 1) }

// numberTopic writes the number of a message at the end of head.
func (p *publisher) numberTopic(head []byte, n uint32) {
	digits := head[len(head)-perMessageDigits:]
	for i := perMessageDigits - 1; i >= 0; i, n = i-1, n/10 {
		digits[i] = '0' + byte(n%10)
	}
}

func (e *engine) appendMessage(dst []byte, g *group, p *publisher, index int, due int64) []byte {
	dst = append(dst, p.head...)
	if g.PerMessage {
		p.numberTopic(dst, p.seq-1)
	}
	if g.QoS > 0 {
		id := p.packetID()
		dst = append(dst, byte(id>>8), byte(id))
	}
	if e.plan.Target.Version == mqtt.V5 {
		dst = append(dst, 0)
	}
	var s [stampSize]byte
	putStamp(s[:], uint32(g.First+index), p.seq-1, due)
	return append(append(dst, s[:]...), g.filler...)
}

// hold gives the next message a slot.
func (p *publisher) hold(due int64) {
	if int(p.seq-p.done) == len(p.slots) {
		bigger := make([]slot, max(16, 2*len(p.slots)))
		for n := p.done; n != p.seq; n++ {
			bigger[int(n)&(len(bigger)-1)] = p.slots[int(n)&(len(p.slots)-1)]
		}
		p.slots = bigger
	}
	p.slots[int(p.seq)&(len(p.slots)-1)] = slot{p.confirm, due}
}

// confirmed takes one confirmation of message n; the publisher is queued when its window opens.
func (e *engine) confirmed(g *group, index int, n uint32) {
	p := &g.pubs[index]
	if n-p.done >= p.seq-p.done || len(p.slots) == 0 {
		return
	}
	mask := len(p.slots) - 1
	p.slots[int(n)&mask].left--
	if n != p.done {
		return
	}
	for p.done < p.seq && p.slots[int(p.done)&mask].left <= 0 {
		p.done++
	}
	e.queue(g, index)
}

func (e *engine) queue(g *group, index int) {
	p := &g.pubs[index]
	if !p.queued && p.room() {
		p.queued = true
		e.dirty = append(e.dirty, g.first+uint32(index))
	}
}

// acknowledged handles the end of a QoS 1 or QoS 2 exchange of a publisher.
func (e *engine) acknowledged(c *client, id uint16, code mqtt.ReasonCode) {
	g := &e.groups[c.group]
	if g.pubs == nil {
		return
	}
	p := &g.pubs[c.index]
	n := p.done + (uint32(id)-1-p.done%packetIDs+packetIDs)%packetIDs
	if n-p.done >= p.seq-p.done || len(p.slots) == 0 {
		return
	}
	e.counters.Acked++
	e.lastLife = e.now
	if code.IsError() {
		e.counters.Refused++
		e.errors["refused: "+code.String()]++
	}
	if due := p.slots[int(n)&(len(p.slots)-1)].due; due >= e.from && due < e.to {
		e.timed.Ack.record(e.now - due)
	}
	e.confirmed(g, int(c.index), n)
}
