package state

import "github.com/millrace-mq/millrace/internal/message"

// Place is where a message of QoS 2 is in the outbox of its publisher's shard, while it is routed. One goroutine uses it.
type Place struct {
	Shard int
	Lane  uint16
	Seq   uint64 // from 1

	seen uint64 // the shards whose proposals it holds open, a bit each
}

// Post takes the packet identifier of a message of QoS 2 from the client, and the message, which has to be routed: a place in a lane
// of the outbox.
func (s *Shard) Post(w Waiters, sid uint64, id uint16, lane uint16, m *message.Message) (seq, generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.lanes[lane]++
	seq = s.mu.lanes[lane]
	p := s.mu.open
	p.data = appendOp(p.data, opOutbox, uint64(lane), seq, sid, uint64(id))
	p.data = appendSizedRecord(p.data, m)
	s.changed(p, w)
	return seq, p.generation
}

// Sent forgets a message of the outbox: it is on disk wherever it belongs.
func (s *Shard) Sent(p *Place) {
	s.change(Waiters{}, func(q *proposal) { q.data = appendOp(q.data, opSent, uint64(p.Lane), p.Seq) })
}

// pin holds the open proposal of a shard that a message on its way concerns. The caller holds s.mu.
func (s *Shard) pin(at *Place) {
	if bit := uint64(1) << s.index; at != nil && at.seen&bit == 0 {
		at.seen |= bit
		s.mu.pins++
		s.mu.open.essential = true // the node has promised to deliver it
	}
}

// Arrive ends the way of a message: in every shard that it concerned it is written down that it has been there, with the same proposal.
// w is told when all these are on disk; it must be known to nobody yet.
func (t *Set) Arrive(at *Place, w Waiter) {
	for i, s := range t.shards {
		if at.seen&(1<<i) == 0 {
			continue
		}
		s.mu.Lock()
		p := s.mu.open
		p.data = appendOp(p.data, opOrigin, uint64(at.Shard), uint64(at.Lane), at.Seq)
		s.mu.pins--
		s.changed(p, Waiters{First: w})
		s.mu.Unlock()
	}
	at.seen = 0
}
