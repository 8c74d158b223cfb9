package depot

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
)

// memory is what all partitions of a node together hold of their logs, in bytes. It is a guide, not a lock: each partition
// keeps to its share of budget.
type memory struct {
	budget  int64
	sharers atomic.Int64 // partitions that hold anything
}

// Bounds of a partition's share.
const (
	leastShare = 128 << 10
	mostShare  = 16 << 20
	pieceSize  = 256 << 10
)

func (m *memory) share() int {
	return int(min(max(m.budget/max(1, m.sharers.Load()), leastShare), mostShare))
}

// recent is what a partition stored last: consumers that keep up read from here.
type recent struct {
	list  []stored // from head on, in the order of the log
	head  int
	bytes int
	holds bool // counted in memory.sharers
}

// stored is a batch and its position.
type stored struct {
	index   uint64
	command int
	data    []byte
}

// add keeps a batch and lets go of the oldest beyond the share.
func (r *recent) add(m *memory, index uint64, command int, data []byte) {
	if !r.holds {
		r.holds = true
		m.sharers.Add(1)
	}
	r.list = append(r.list, stored{index, command, data})
	r.bytes += len(data)
	for share := m.share(); r.bytes > share && r.head < len(r.list)-1; r.head++ {
		r.bytes -= len(r.list[r.head].data)
		r.list[r.head] = stored{}
	}
	if r.head > 64 && 2*r.head > len(r.list) {
		n := copy(r.list, r.list[r.head:])
		clear(r.list[n:])
		r.list, r.head = r.list[:n], 0
	}
}

func (r *recent) find(index uint64, command int) []byte {
	kept := r.list[r.head:]
	i := sort.Search(len(kept), func(i int) bool {
		return kept[i].index > index || kept[i].index == index && kept[i].command >= command
	})
	if i < len(kept) && kept[i].index == index && kept[i].command == command {
		return kept[i].data
	}
	return nil
}

func (r *recent) clear(m *memory) {
	if r.holds {
		m.sharers.Add(-1)
	}
	*r = recent{}
}

// pieces are what was read of a partition's log, the piece used last behind the others.
type pieces struct {
	list    []*piece
	wanted  []uint64 // indexes to be read from
	reading bool
	failed  error // of the last read, until somebody was told
}

// piece is consecutive entries.
type piece struct {
	entries []replog.Entry
	bytes   int
}

func (p *piece) holds(index uint64) bool {
	return p.entries[0].Index <= index && index <= p.entries[len(p.entries)-1].Index
}

// find gives a command that was read, and says what is to be read when it was not, or will soon be.
func (ps *pieces) find(index uint64, command int) ([]byte, error) {
	for i := len(ps.list) - 1; i >= 0; i-- {
		p := ps.list[i]
		if !p.holds(index) {
			continue
		}
		if i < len(ps.list)-1 {
			copy(ps.list[i:], ps.list[i+1:])
			ps.list[len(ps.list)-1] = p
		}
		k, found := slices.BinarySearchFunc(p.entries, index, func(e replog.Entry, index uint64) int {
			switch {
			case e.Index < index:
				return -1
			case e.Index > index:
				return 1
			}
			return 0
		})
		if !found || command >= len(p.entries[k].Commands) {
			return nil, fmt.Errorf("depot: the log has no command %d of entry %d", command, index)
		}
		return p.entries[k].Commands[command].Data, nil
	}
	if err := ps.failed; err != nil {
		ps.failed = nil
		return nil, err
	}
	ps.want(index)
	return nil, queue.ErrLater
}

func (ps *pieces) want(index uint64) {
	if !slices.Contains(ps.wanted, index) {
		ps.wanted = append(ps.wanted, index)
	}
}

// take gives what is to be read now, if nothing is being read.
func (ps *pieces) take() []uint64 {
	if ps.reading || len(ps.wanted) == 0 {
		return nil
	}
	w := ps.wanted
	ps.wanted, ps.reading = nil, true
	return w
}

// add takes a piece that was read, and lets go of those unused for longest beyond the share.
func (ps *pieces) add(p *piece, share int) {
	ps.list = append(ps.list, p)
	bytes := 0
	for i := len(ps.list) - 1; i >= 0; i-- {
		if bytes += ps.list[i].bytes; bytes > share && i < len(ps.list)-1 {
			ps.list = slices.Delete(ps.list, 0, i+1)
			return
		}
	}
}

// source is the partition's log as its dispatcher reads it, under the lock, within Pump.
type source Partition

// Command implements queue.Log.
func (s *source) Command(index uint64, n int) ([]byte, error) {
	if data := s.mu.recent.find(index, n); data != nil {
		return data, nil
	}
	return s.mu.pieces.find(index, n)
}

// readers read pieces of logs for partitions that wait for them.
type readers struct {
	done sync.WaitGroup
	mu   struct {
		sync.Mutex
		wake  sync.Cond
		jobs  []readJob
		ended bool
	}
}

type readJob struct {
	p      *Partition
	wanted []uint64
}

// start runs n goroutines; stop ends them.
func (r *readers) start(n int) {
	r.mu.wake.L = &r.mu
	for range n {
		r.done.Go(r.run)
	}
}

func (r *readers) stop() {
	r.mu.Lock()
	r.mu.ended = true
	r.mu.wake.Broadcast()
	r.mu.Unlock()
	r.done.Wait()
}

// read has entries read for a partition, from each index on, and the partition woken. A partition has one job at a time.
func (r *readers) read(p *Partition, wanted []uint64) {
	r.mu.Lock()
	r.mu.jobs = append(r.mu.jobs, readJob{p, wanted})
	r.mu.wake.Signal()
	r.mu.Unlock()
}

func (r *readers) run() {
	for {
		r.mu.Lock()
		for len(r.mu.jobs) == 0 && !r.mu.ended {
			r.mu.wake.Wait()
		}
		if r.mu.ended {
			r.mu.Unlock()
			return
		}
		j := r.mu.jobs[0]
		r.mu.jobs = r.mu.jobs[1:]
		r.mu.Unlock()
		j.do()
	}
}

func (j *readJob) do() {
	p := j.p
	share := p.depot.memory.share()
	for _, index := range j.wanted {
		entries, err := p.log.Read(index, min(pieceSize, share))
		p.mu.Lock()
		if err == nil && len(entries) == 0 {
			err = fmt.Errorf("depot: the log has no entry %d", index)
		}
		if err != nil {
			p.mu.pieces.failed = err
		} else {
			c := &piece{entries: entries}
			for i := range entries {
				for _, cmd := range entries[i].Commands {
					c.bytes += len(cmd.Data)
				}
			}
			p.mu.pieces.add(c, share)
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.mu.pieces.reading = false
	p.mu.Unlock()
	p.Wake()
}
