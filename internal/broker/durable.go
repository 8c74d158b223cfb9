package broker

import (
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
)

// This file and its neighbours make sessions outlive the process (package state):
//
//	durable.go   what a client has whose session is kept, and what it does when something is on disk
//	kept.go      when sessions begin to be kept, change and end
//	answer.go    acknowledgements that wait for the disk
//	once.go      QoS 2 from a session that is kept: through the outbox, exactly once
//	restore.go   the start of a node
//
// What is decided under a client's lock is appended to the client's shard under the same lock, by the session itself where it
// is about messages (session.Journal). The shard's lock is taken last of all. A turn proposes what was appended to any
// shard when it ends. No loop waits for the disk: what depends on it (PUBACK, PUBREL, a PUBLISH of QoS 2, ...) is done by
// mail when it is there, in the order in which it was decided.

// durable is what a client has whose session is kept. It is the session's journal, and a state.Waiter for what its own shard
// stores. Guarded by the client's mutex but for what is constant or atomic.
type durable struct {
	// constant
	b     *Broker
	c     *client
	shard *state.Shard
	sid   uint64

	posted atomic.Bool // mail to carry out what is due is on its way

	last    uint64 // the number of the last message that was kept
	gen     uint64 // the last generation that this waits for
	after   []action
	refused uint64 // the last generation that was refused, and why
	reason  error
	ending  bool // the session's end has been stored; nothing else is

	// waiter and place concern what is being delivered to the session.
	waiter state.Waiter
	place  *state.Place
	// leave takes what is dropped while others are to have it; nil as a rule.
	leave *leave
}

// action is something to do when a generation of the shard's commands is on disk.
type action struct {
	kind   actionKind
	packet mqtt.Type // of actAck
	code   mqtt.ReasonCode
	id     uint16
	from   uint64 // the generations that it waits for
	gen    uint64
	number uint64 // of the message of actRelease
	link   *link  // that it is for; it may be gone by then
	err    error  // it was refused
	of     any    // *subscribed, *taken
}

type actionKind uint8

const (
	actRelease   actionKind = iota // send a PUBLISH of QoS 2
	actAck                         // send an acknowledgement
	actSubscribe                   // send SUBACK
	actAnswer                      // send UNSUBACK
	actTaken                       // a message of QoS 2 from the client is the node's
	actConnect                     // let a connection have the client
)

// refusable tells whether an action is off when the disk refuses what it waits for. What only takes away is not refused.
func (k actionKind) refusable() bool { return k == actRelease || k == actSubscribe || k == actTaken }

// later has an action done when what has been stored so far is on disk, after those before it. The caller holds c.mu.
func (d *durable) later(a action) {
	a.gen, a.link = d.gen, d.c.link
	if a.from == 0 {
		a.from = a.gen
	}
	if a.waitsFor(d.refused) && a.kind.refusable() {
		a.err = d.reason
	}
	d.after = append(d.after, a)
	if a.err != nil || d.shard.Passed(a.gen) {
		d.post()
	}
}

func (a *action) waitsFor(gen uint64) bool { return a.from <= gen && gen <= a.gen }

// post has Mail called.
func (d *durable) post() {
	if !d.posted.Swap(true) {
		d.b.loops[d.c.loop.Load()].Post(d)
	}
}

// settled tells whether everything that something of this client waits for is on disk. The caller holds c.mu.
func (d *durable) settled() bool { return len(d.after) == 0 && d.shard.Passed(d.gen) }

// Keep implements session.Journal, and is called under the client's lock, as its other methods are.
func (d *durable) Keep(o *session.Outbound) uint64 {
	if d.ending {
		return 0
	}
	source := ""
	if o.More != nil {
		if from, ok := o.More.Source.(*sharedFrom); ok {
			source = from.whole
		}
	}
	w := state.Waiters{First: d.waiter}
	held := o.QoS == 2 && o.PacketID != 0
	if held {
		w.Second = d
	}
	number, gen := d.shard.Keep(w, d.sid, d.last, o, source, d.place)
	if held {
		d.gen = gen
	}
	d.last = max(d.last, number)
	return number
}

// Assign implements session.Journal.
func (d *durable) Assign(number uint64, id uint16) {
	if !d.ending {
		d.gen = d.shard.Assign(state.Waiters{First: d}, d.sid, number, id)
	}
}

// Received implements session.Journal.
func (d *durable) Received(number uint64, id uint16) {
	if !d.ending {
		d.gen = d.shard.Received(state.Waiters{First: d}, d.sid, number, id)
	}
}

// Drop implements session.Journal.
func (d *durable) Drop(number uint64, id uint16, received bool) {
	if d.leave != nil {
		d.leave.dropped = append(d.leave.dropped, dropped{number, id, received})
	} else if !d.ending {
		d.shard.Drop(state.Waiters{}, d.sid, number, id != 0, received)
	}
}

// Expect implements state.Waiter.
func (d *durable) Expect() {}

// Done implements state.Waiter: some of what the actions wait for is on disk, or was refused.
func (d *durable) Done(gen uint64, err error) (again bool) {
	if err != nil {
		d.c.mu.Lock()
		d.refused, d.reason = gen, err
		again = true
		for i := range d.after {
			if a := &d.after[i]; a.waitsFor(gen) {
				if a.kind.refusable() {
					a.err = err
				}
			}
		}
		d.c.mu.Unlock()
	}
	d.post()
	return again
}

// Mail carries out the actions that are due, on the loop of the client's connection.
func (d *durable) Mail(t *netpoll.Turn) {
	w := d.b.worker(t)
	d.posted.Store(false)
	c := d.c
	c.mu.Lock()
	for len(d.after) > 0 {
		a := d.after[0]
		if a.err == nil && !d.shard.Passed(a.gen) {
			break
		}
		d.after[0] = action{}
		if d.after = d.after[1:]; len(d.after) == 0 {
			d.after = nil
		}
		if d.short(w, &a) {
			continue
		}
		c.mu.Unlock()
		w.carryOutAction(d, &a)
		c.mu.Lock()
	}
	c.mu.Unlock()
	w.touch()
}

// short does an action that needs the client's lock, which the caller holds; false when it is none.
func (d *durable) short(w *worker, a *action) bool {
	c := d.c
	there := a.link != nil && a.link == c.link && a.link.state == linkLive
	switch a.kind {
	case actRelease:
		if a.err != nil {
			c.sess.Forsake(a.id, a.number) // its sender was told that it was refused
		} else if del, m, ok := c.sess.Release(w.turn.Now(), a.id, a.number); ok && c.link != nil {
			w.carryOut(c, m, &del)
		}
	case actAck:
		if there {
			a.link.sendAck(w, a.packet, a.id, a.code)
		}
	default:
		return false
	}
	return true
}

// carryOutAction does one that takes locks itself.
func (w *worker) carryOutAction(d *durable, a *action) {
	switch a.kind {
	case actConnect:
		a.link.conn.Loop().Post(&handover{c: d.c, to: a.link, back: true})
	case actTaken:
		w.routeTaken(d, a.of.(*taken), a.err)
	case actSubscribe:
		if a.link != nil && a.link.client == d.c && a.link.state == linkLive {
			a.of.(*subscribed).answer(w, a.link, a.err)
		}
	case actAnswer:
		if a.link != nil && a.link.client == d.c && a.link.state == linkLive {
			a.link.sendPacket(w, a.of.(*mqtt.Unsuback))
		}
	}
}

// free stores that the client has released a packet identifier of QoS 2. The caller holds c.mu.
func (d *durable) free(id uint16) {
	if !d.ending {
		d.gen = d.shard.Free(state.Waiters{First: d}, d.sid, id)
	}
}

// sendSettled sends an acknowledgement at once, or for a session that is kept when what led to it is on disk. The caller holds
// the client's mutex.
func (l *link) sendSettled(w *worker, kind mqtt.Type, id uint16, code mqtt.ReasonCode) {
	if d := l.client.durable; d != nil {
		d.ackLater(w, l, kind, id, code)
		return
	}
	l.sendAck(w, kind, id, code)
}

// ackLater sends an acknowledgement when what has been stored so far is on disk. The caller holds c.mu.
func (d *durable) ackLater(w *worker, l *link, kind mqtt.Type, id uint16, code mqtt.ReasonCode) {
	if d.settled() {
		l.sendAck(w, kind, id, code)
		return
	}
	d.later(action{kind: actAck, packet: kind, id: id, code: code})
}

// setRetained is what state.Shard.Retain calls.
func (b *Broker) setRetained(m *message.Message) error { return b.retained.Set(m) }
