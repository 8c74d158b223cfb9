package queue

import (
	"errors"
	"fmt"
)

// Log is where a Dispatcher reads messages: the log of the partition.
type Log interface {
	// Command gives the n-th command of the entry at index, as it was applied.
	// The bytes are immutable until the next call, or until Pump returns. The
	// error is ErrLater when they are not in memory: the Log begins to fetch
	// them, and its owner calls Pump when it has. Any other error is Pump's.
	Command(index uint64, n int) ([]byte, error)
}

// ErrLater: what was asked for is not in memory yet.
var ErrLater = errors.New("queue: not in memory yet")

// place remembers where in its batch a message stands, and where in the index.
type place struct {
	cursor cursor
	known  bool // cursor is of use
	index  uint64
	run    uint32 // command
	pos    uint32 // of a message in that batch
	at     int    // where it begins
}

// batch is the one that was read last.
type openBatch struct {
	data  []byte // nil: none
	index uint64
	run   uint32
	info  batchInfo
	pos   uint32
	at    int
}

// locate finds the run of an offset that is kept, beginning where p was.
func (m *Machine) locate(p *place, offset uint64) *run {
	c := &p.cursor
	if p.known && m.index.kept(c) && offset >= c.run.first {
		for steps := 0; offset >= c.run.end() && steps < 8; steps++ {
			if !m.index.next(c) {
				break
			}
		}
		if offset < c.run.end() {
			return &c.run
		}
	}
	*c, p.known = m.index.find(offset), true
	return &c.run
}

// read decodes a message that is kept and gives the time when it was stored. p is
// where the reader left off.
func (d *Dispatcher) read(p *place, offset uint64, msg *Message) (time int64, err error) {
	r := d.m.locate(p, offset)
	b := &d.batch
	if b.data == nil || b.index != r.index || b.run != r.command {
		data, err := d.log.Command(r.index, int(r.command))
		b.data = nil
		if err != nil {
			return 0, err
		}
		info, ok := parseBatch(data)
		if !ok {
			return 0, unreadable(offset, r)
		}
		*b = openBatch{data: data, index: r.index, run: r.command, info: info, at: batchHeader}
	}
	pos := r.pos + uint32(offset-r.first)
	if b.pos > pos {
		b.pos, b.at = 0, batchHeader
	}
	if p.index == b.index && p.run == b.run && p.pos > b.pos && p.pos <= pos {
		b.pos, b.at = p.pos, p.at
	}
	for ; b.pos < pos; b.pos++ {
		_, _, n, ok := frame(b.data[b.at:])
		if !ok {
			return 0, unreadable(offset, r)
		}
		b.at += n
	}
	n, ok := msg.decode(b.data[b.at:], b.info.time)
	if !ok {
		return 0, unreadable(offset, r)
	}
	b.pos++
	b.at += n
	p.index, p.run, p.pos, p.at = b.index, b.run, b.pos, b.at
	return r.time, nil
}

func unreadable(offset uint64, r *run) error {
	return fmt.Errorf("queue: message %d, command %d of entry %d, is not readable", offset, r.command, r.index)
}
