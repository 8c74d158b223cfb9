package state

import (
	"encoding/binary"

	"github.com/millrace-mq/millrace/internal/message"
)

// Waiter waits for commands to be on disk.
type Waiter interface {
	// Expect tells that the waiter was put on a list, and that Done will be called for it. It is called under the lock of a
	// shard and must do no more than count.
	Expect()
	// Done tells how a generation of the shard's commands ended: nil, ErrFull or another refusal. It is called once for each
	// Expect, by a goroutine of the log, and must not block. Commands that take away succeed in spite of a refusal: those
	// who want to hear when give true for again, and get another Done, without an Expect.
	Done(generation uint64, err error) (again bool)
}

// Waiters are up to two who wait for the same command; nil is nobody.
type Waiters struct{ First, Second Waiter }

// proposal is the commands of a shard that are proposed together: a generation.
type proposal struct {
	shard      *Shard
	generation uint64
	data       []byte
	waiters    []Waiter
	essential  bool // it must not be refused, and goes on with a full disk

	// last is the message that was written last, so that others who get it refer to it. The proposal keeps it while it is open.
	last   *message.Message
	number uint64 // of last
	refsAt int    // where its count is in data
}

// headerSize is the length of an empty proposal.
const headerSize = 1

func (p *proposal) empty() bool { return len(p.data) == headerSize && len(p.waiters) == 0 }

// refer counts one more who gets the last message.
func (p *proposal) refer() {
	refs := p.data[p.refsAt:]
	binary.LittleEndian.PutUint32(refs, binary.LittleEndian.Uint32(refs)+1)
}

// forget lets go of the last message.
func (p *proposal) forget() {
	if p.last != nil {
		p.last.Release()
		p.last = nil
	}
}

// wait puts a waiter on the list, unless it is one of the last two there.
func (p *proposal) wait(w Waiter) {
	if w == nil {
		return
	}
	for _, last := range p.waiters[max(0, len(p.waiters)-2):] {
		if last == w {
			return
		}
	}
	w.Expect()
	p.waiters = append(p.waiters, w)
}

// Proposed implements Done: the log tells how it ended.
func (p *proposal) Proposed(err error) { p.shard.decided(p, err) }

// takingOnly gives the commands of a refused proposal that only take away.
func (p *proposal) takingOnly() []byte {
	s, err := parse(p.data)
	if err != nil {
		return nil
	}
	var kept []byte
	var c command
	for {
		raw, ok, err := s.next(&c)
		if err != nil || !ok {
			return kept
		}
		if c.taking() {
			kept = append(kept, raw...)
		}
	}
}
