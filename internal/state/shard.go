package state

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
)

// The answers of a Log that a Waiter may be told.
var (
	// ErrFull: the disk has reached its reserve. Nothing was stored.
	ErrFull = errors.New("state: the disk is full")
	// ErrRefused: the log did not take it, for another reason. Nothing was stored.
	ErrRefused = errors.New("state: refused")
	// ErrLost: it is not known whether it was stored. The shard goes no further.
	ErrLost = errors.New("state: the outcome is unknown")
)

// Log is what a shard needs of a replicated log.
type Log interface {
	// Propose hands commands to the log, which has done told how that ended, once: nil when they are on disk and were applied
	// to the Machine, or one of ErrFull, ErrRefused, ErrLost, or an error that wraps one. It is told in the order of
	// proposing, and never within Propose. essential commands make room, and go on when the disk is full. data must not
	// be changed afterwards. Propose does not block. An error is a refusal, and done is not told.
	Propose(data []byte, essential bool, done Done) error
}

// Done is told how a proposal ended.
type Done interface{ Proposed(err error) }

// sealSize is the number of bytes from which a proposal is closed and another one begun.
const sealSize = 512 << 10

// Shard is one part of the state: a log, and what is proposed to it next. Its methods may be called by any goroutine,
// and do not block. Each appends a command, puts w on the list of those who are told when it is on disk, and gives the
// generation that it is of.
type Shard struct {
	set   *Set
	index int
	log   Log

	// done is the generation up to which everything was decided.
	done atomic.Uint64

	mu struct {
		sync.Mutex
		open   *proposal
		ready  []*proposal // closed, not proposed yet
		flying *proposal   // the one that the log has
		pins   int         // as long as there are some, open is not closed
		next   uint64      // number of the next session or message
		lanes  map[uint16]uint64
		lost   bool
	}
}

// Index is the number of the shard.
func (s *Shard) Index() int { return s.index }

// Passed tells whether everything up to a generation was decided.
func (s *Shard) Passed(generation uint64) bool { return generation <= s.done.Load() }

// begin starts the first proposal, or the one after the generation.
func (s *Shard) begin(generation uint64, room int) {
	s.mu.open = &proposal{shard: s, generation: generation, data: make([]byte, headerSize, max(room, 64))}
	s.mu.open.data[0] = commandVersion
}

// change lets f append to the open proposal, and gives its generation.
func (s *Shard) change(w Waiters, f func(p *proposal)) uint64 {
	s.mu.Lock()
	p := s.mu.open
	f(p)
	s.changed(p, w)
	s.mu.Unlock()
	return p.generation
}

// changed follows every append. The caller holds s.mu.
func (s *Shard) changed(p *proposal, w Waiters) {
	p.wait(w.First)
	p.wait(w.Second)
	s.set.touch(s.index)
	if len(p.data) >= sealSize && s.mu.pins == 0 {
		s.seal()
	}
}

// seal closes the open proposal. The caller holds s.mu.
func (s *Shard) seal() {
	p := s.mu.open
	p.forget()
	s.mu.ready = append(s.mu.ready, p)
	s.set.pending.Add(int64(len(p.data)))
	s.begin(p.generation+1, min(len(p.data), sealSize))
}

// flush proposes what there is, unless the log has something of the shard already: one at a time, so that a refusal cannot
// change the order. Whatever comes meanwhile goes together.
func (s *Shard) flush() {
	s.mu.Lock()
	s.advance()
	s.mu.Unlock()
}

// advance is flush. The caller holds s.mu.
func (s *Shard) advance() {
	if s.mu.flying != nil || s.mu.lost {
		return
	}
	if len(s.mu.ready) == 0 {
		if s.mu.open.empty() || s.mu.pins > 0 {
			return
		}
		s.seal()
	}
	s.mu.flying = s.mu.ready[0]
	s.mu.ready[0] = nil
	s.mu.ready = s.mu.ready[1:]
	s.propose(s.mu.flying)
}

// propose hands a proposal to the log. The caller holds s.mu.
func (s *Shard) propose(p *proposal) {
	if err := s.log.Propose(p.data, p.essential, p); err != nil {
		time.AfterFunc(0, func() { p.Proposed(err) }) // ends by itself
	}
}

// retryAfter is the time between two attempts to propose what must be.
const retryAfter = 50 * time.Millisecond

// decided takes the end of a proposal. It runs on a goroutine of the log.
func (s *Shard) decided(p *proposal, err error) {
	switch {
	case errors.Is(err, ErrLost):
		s.mu.Lock()
		s.mu.lost = true
		s.mu.Unlock()
		s.set.fail(err)
		return
	case err != nil && p.essential:
		time.AfterFunc(retryAfter, func() { // ends by itself
			s.mu.Lock()
			s.propose(p)
			s.mu.Unlock()
		})
		return
	case err != nil && s.refused(p, err):
		return
	case err == nil && !p.essential:
		s.set.noteFull(false)
	}
	s.done.Store(p.generation)
	s.set.pending.Add(-int64(len(p.data)))
	if err == nil {
		for _, w := range p.waiters {
			w.Done(p.generation, nil)
		}
	}
	s.mu.Lock()
	s.mu.flying = nil
	s.advance()
	s.mu.Unlock()
}

// refused tells of a refusal, and proposes again, in the same place, what it must not stop. It gives false when there is no
// such thing.
func (s *Shard) refused(p *proposal, err error) bool {
	if errors.Is(err, ErrFull) {
		s.set.noteFull(true)
	}
	var again []Waiter
	for _, w := range p.waiters {
		if w.Done(p.generation, err) {
			again = append(again, w)
		}
	}
	rest := p.takingOnly()
	if len(rest) == 0 && len(again) == 0 {
		return false
	}
	q := &proposal{shard: s, generation: p.generation, data: append([]byte{commandVersion}, rest...), waiters: again, essential: true}
	s.set.pending.Add(int64(len(q.data) - len(p.data)))
	s.mu.Lock()
	s.mu.flying = q
	s.propose(q)
	s.mu.Unlock()
	return true
}

// NewSession gives a number to a session that begins.
func (s *Shard) NewSession() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.next++
	return s.mu.next - 1
}

// Head stores a session without its lists.
func (s *Shard) Head(w Waiters, sid uint64, n *session.Snapshot) uint64 {
	return s.change(w, func(p *proposal) {
		p.data = appendOp(p.data, opHead, sid)
		p.data = appendSized(p.data, func(b []byte) []byte { return appendHead(b, n) })
	})
}

// End forgets a session. numbers are those of all its messages that have not been dropped and are not Received.
func (s *Shard) End(w Waiters, sid uint64, numbers []uint64) uint64 {
	return s.change(w, func(p *proposal) {
		p.data = appendOp(p.data, opEnd, sid)
		p.data = appendSized(p.data, func(b []byte) []byte {
			for _, n := range numbers {
				b = appendUvarint(b, n)
			}
			return b
		})
	})
}

// Subscribe stores a subscription in place of the one with the same filter. group is that of a subscription to a queue, else "".
func (s *Shard) Subscribe(w Waiters, sid uint64, filter string, o *session.SubOptions, group string) uint64 {
	return s.change(w, func(p *proposal) {
		p.data = appendBytes(appendOp(p.data, opSubscribe, sid), filter)
		p.data = appendSized(p.data, func(b []byte) []byte { return appendOptions(b, o, group) })
	})
}

// Unsubscribe forgets a subscription.
func (s *Shard) Unsubscribe(w Waiters, sid uint64, filter string) uint64 {
	return s.change(w, func(p *proposal) { p.data = appendBytes(appendOp(p.data, opUnsubscribe, sid), filter) })
}

// Keep stores a message that waits for a session or is in flight to it. source is the filter of the shared subscription that
// it came by, or "". last is the number of the session's last message: no message is twice under one number in a session.
// o.Message must be a kept one. With a place, the proposal stays open until Arrive.
func (s *Shard) Keep(w Waiters, sid, last uint64, o *session.Outbound, source string, at *Place) (number, generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pin(at)
	p := s.mu.open
	if p.last != o.Message || p.number <= last {
		p.forget()
		p.last, p.number = o.Message.Keep(), s.mu.next
		s.mu.next++
		p.data, p.refsAt = appendMessage(p.data, p.number, o.Message)
	}
	p.refer()
	p.data = appendKeep(p.data, sid, o, source)
	number = p.number
	s.changed(p, w)
	return number, p.generation
}

// Assign stores the packet identifier of a message of QoS 2 that waited.
func (s *Shard) Assign(w Waiters, sid, number uint64, id uint16) uint64 {
	return s.change(w, func(p *proposal) { p.data = appendOp(p.data, opAssign, sid, number, uint64(id)) })
}

// Received stores that the client has a message of QoS 2.
func (s *Shard) Received(w Waiters, sid, number uint64, id uint16) uint64 {
	return s.change(w, func(p *proposal) { p.data = appendOp(p.data, opReceived, sid, number, uint64(id)) })
}

// Drop forgets a message; see session.Journal.
func (s *Shard) Drop(w Waiters, sid, number uint64, inflight2, received bool) uint64 {
	op := byte(opDrop)
	switch {
	case received:
		op = opFinish
	case inflight2:
		op = opDropSent
	}
	return s.change(w, func(p *proposal) { p.data = appendOp(p.data, op, sid, number) })
}

// Take stores the packet identifier of a message of QoS 2 from the client.
func (s *Shard) Take(w Waiters, sid uint64, id uint16) uint64 {
	return s.change(w, func(p *proposal) { p.data = appendOp(p.data, opTake, sid, uint64(id)) })
}

// Free stores that the client has released a packet identifier.
func (s *Shard) Free(w Waiters, sid uint64, id uint16) uint64 {
	return s.change(w, func(p *proposal) { p.data = appendOp(p.data, opFree, sid, uint64(id)) })
}

// Retain has set put a message into the store of retained messages, and stores it too unless that fails: both in the same order
// as every other change of the shard. A message without payload clears its topic. An error is that of set.
func (s *Shard) Retain(w Waiters, m *message.Message, at *Place, set func(*message.Message) error) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := set(m); err != nil {
		return 0, err
	}
	s.pin(at)
	p := s.mu.open
	if len(m.Payload) == 0 {
		p.data = appendBytes(append(p.data, opClear), m.Topic)
	} else {
		p.data = appendSizedRecord(append(p.data, opRetain), m)
	}
	s.changed(p, w)
	return p.generation, nil
}

// Clear stores that nothing is retained for a topic, if gone says so.
func (s *Shard) Clear(topic []byte, gone func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.mu.open; gone() {
		p.data = appendBytes(append(p.data, opClear), topic)
		s.changed(p, Waiters{})
	}
}
