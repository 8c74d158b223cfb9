package broker

import (
	"context"
	"time"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
)

// touch arranges that what was appended to the state is proposed: when the turn ends, or outside the loops at once.
func (w *worker) touch() {
	if w.turn.Loop() != nil {
		w.endTurn()
	} else if w.b.kept != nil {
		w.b.kept.FlushDirty()
	}
}

// noteConnect begins to keep the session of a connection that was accepted, or goes on. The caller holds c.mu.
func (w *worker) noteConnect(c *client, expiry uint32) {
	if w.b.kept == nil || expiry == 0 {
		return
	}
	if c.durable == nil {
		shard := w.b.kept.Shard(state.ShardOf(c.id()))
		c.keep(w.b, shard, shard.NewSession())
	}
	head := c.sess.Head()
	c.durable.shard.Head(state.Waiters{}, c.durable.sid, &head)
	w.touch()
}

// keep makes a client one whose session is kept. The caller holds c.mu, or nobody else knows the client yet.
func (c *client) keep(b *Broker, shard *state.Shard, sid uint64) *durable {
	c.durable = &durable{b: b, c: c, shard: shard, sid: sid}
	c.sess.SetJournal(c.durable)
	c.kept.Store(true)
	return c.durable
}

// unkeep undoes keep.
func (c *client) unkeep() {
	c.durable = nil
	c.sess.SetJournal(nil)
	c.kept.Store(false)
}

// holdUp tells whether a connection must wait before it can have a client whose session is kept, and arranges that it comes again:
// what the earlier connection left to the disk must be there, as the client could ask for the same anew; and a session that does
// not go on, or is not to be kept any more, must be gone from the disk before the client hears of it. The caller holds c.mu.
func (l *link) holdUp(w *worker, c *client, pending *pendingConnect, goesOn bool) bool {
	d := c.durable
	switch {
	case goesOn && !d.ending:
		if d.settled() {
			return false
		}
	case !d.ending:
		numbers := c.numbers()
		d.ending = true
		d.gen = d.shard.End(state.Waiters{First: d}, d.sid, numbers)
	case d.settled():
		c.unkeep()
		return false
	}
	l.state = linkWaiting
	own := pending.own()
	own.paused = true
	l.rest().connect = own
	l.conn.Pause()
	d.later(action{kind: actConnect})
	d.after[len(d.after)-1].link = l
	w.touch()
	return true
}

// numbers are those of the messages that the client is owed and has not got, as the state knows them.
func (c *client) numbers() []uint64 {
	n := c.sess.Snapshot()
	var list []uint64
	for _, part := range [][]session.Outbound{n.Inflight, n.Waiting} {
		for i := range part {
			if o := &part[i]; o.Number != 0 && !o.Released {
				list = append(list, o.Number)
			}
		}
	}
	return list
}

// leave notes what the state is told when that which a client leaves behind (its will, messages of shared subscriptions) is on
// disk elsewhere. A crash before that may repeat these, and loses nothing.
type leave struct {
	d       *durable
	numbers []uint64 // of the messages of a session that ends
	ends    bool
	dropped []dropped // of a session that goes on
}

type dropped struct {
	number   uint64
	id       uint16
	received bool
}

// departing begins to note what a client drops that others will have; the next windUp of w carries it out. The caller holds c.mu.
func (w *worker) departing(c *client, ends bool) {
	d := c.durable
	if d == nil || d.ending {
		return
	}
	lv := &leave{d: d, ends: ends}
	if ends {
		lv.numbers = c.numbers()
		d.ending = true
		c.durable = nil
		c.kept.Store(false)
	}
	d.leave, w.leave = lv, lv
}

// carryOut tells the state. It runs on any goroutine.
func (lv *leave) carryOut() {
	d := lv.d
	if lv.ends {
		d.shard.End(state.Waiters{}, d.sid, lv.numbers)
		return
	}
	for _, x := range lv.dropped {
		d.shard.Drop(state.Waiters{}, d.sid, x.number, x.id != 0, x.received)
	}
	d.c.mu.Lock()
	if d.c.durable == d && !d.ending {
		head := d.c.sess.Head()
		d.shard.Head(state.Waiters{}, d.sid, &head)
	}
	d.c.mu.Unlock()
}

// beginLeave has what is published from now on waited for, if a client is leaving.
func (w *worker) beginLeave() *leave {
	lv := w.leave
	if lv == nil {
		return nil
	}
	w.leave = nil
	lv.d.c.mu.Lock()
	lv.d.leave = nil
	lv.d.c.mu.Unlock()
	w.beginWait()
	return lv
}

// endLeave tells the state when what was published is on disk.
func (w *worker) endLeave(lv *leave) {
	if lv == nil {
		return
	}
	if s := w.endWait(); s != nil {
		s.then = func(error) { lv.carryOut() }
		s.Done(0, nil)
	} else {
		lv.carryOut()
	}
	w.touch()
}

// Failed is closed when the state of sessions cannot be stored any more: the node must stop. Without state it never is.
func (b *Broker) Failed() <-chan struct{} {
	if b.kept == nil {
		return nil
	}
	return b.kept.Failed()
}

// settleKept waits until everything is on disk, or ctx is done.
func (b *Broker) settleKept(ctx context.Context) error {
	if b.kept == nil {
		return nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		b.kept.FlushDirty()
		if b.kept.Idle() {
			return nil
		}
		select {
		case <-tick.C:
		case <-b.kept.Failed():
			return b.kept.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// retain puts a message into the store of retained messages, and into the state.
func (w *worker) retain(m *message.Message) error {
	t := w.b.kept
	if t == nil || m.Topic[0] == '$' {
		return w.b.retained.Set(m)
	}
	shard := state.ShardOf(m.Topic)
	if w.wasHere(shard) {
		return nil
	}
	_, err := t.Shard(shard).Retain(state.Waiters{First: w.waitingFor(m)}, m, w.place, w.b.setRetained)
	w.touch()
	return err
}
