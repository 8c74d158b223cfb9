package queue

import (
	"github.com/millrace-mq/millrace/topic"
)

// naive is the replicated state as one would write it without any thought for speed or memory: every message ever
// stored, a map of settled offsets per group.
type naive struct {
	s        Settings
	now      int64
	start    uint64
	messages []naiveMessage // by offset
	pieces   []uint64       // bytes of what a batch stored without a hole
	groups   []*naiveGroup
	nextID   uint64
	known    []remembered
	dropped  uint64
	applied  uint64
}

type naiveMessage struct {
	Message
	index uint64
	pos   int
	time  int64
	piece int
}

type naiveGroup struct {
	id      uint64
	name    string
	filter  string
	stream  bool
	settled map[uint64]bool // of those that are kept
	done    [causes]uint64
}

func (n *naive) end() uint64 { return uint64(len(n.messages)) }

func (n *naive) group(name string) *naiveGroup {
	for _, g := range n.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

func (g *naiveGroup) unsettled(n *naive) (left uint64) {
	for o := n.start; o < n.end(); o++ {
		if !g.settled[o] {
			left++
		}
	}
	return left
}

func (g *naiveGroup) floor(n *naive) uint64 {
	o := n.start
	for o < n.end() && g.settled[o] {
		o++
	}
	return o
}

func (g *naiveGroup) wants(m *naiveMessage) bool {
	return g.filter == "#" || len(m.Topic) > 0 && topic.Match([]byte(g.filter), m.Topic)
}

func (n *naive) pinning() (list []*naiveGroup) {
	for _, g := range n.groups {
		if !g.stream {
			list = append(list, g)
		}
	}
	return list
}

func (n *naive) depth() uint64 {
	deepest, groups := uint64(0), n.pinning()
	if n.s.Retention == RetainLog || len(groups) == 0 {
		return n.end() - n.start
	}
	for _, g := range groups {
		deepest = max(deepest, g.unsettled(n))
	}
	return deepest
}

func (n *naive) bytes() (sum uint64) {
	last := -1
	for _, m := range n.messages[n.start:] {
		if m.piece != last {
			last = m.piece
			sum += n.pieces[last]
		}
	}
	return sum
}

// collect drops, one at a time, what every group has settled.
func (n *naive) collect() {
	for n.s.Retention == RetainWork && n.start < n.end() && len(n.pinning()) > 0 {
		for _, g := range n.pinning() {
			if !g.settled[n.start] {
				return
			}
		}
		n.start++
	}
}

func (n *naive) drop() {
	n.start++
	n.dropped++
}

func (n *naive) expire() {
	for len(n.known) > 0 && n.known[0].time <= n.now-n.s.DedupWindow {
		n.known = n.known[1:]
	}
	for n.s.MaxAge > 0 && n.start < n.end() && n.messages[n.start].time < n.now-n.s.MaxAge {
		n.dropPiece()
	}
}

func (n *naive) dropPiece() {
	for piece := n.messages[n.start].piece; n.start < n.end() && n.messages[n.start].piece == piece; {
		n.drop()
	}
	n.collect()
}

func (n *naive) makeRoom() {
	if n.s.Retention != RetainLog && n.s.Overflow != DropOldest {
		return
	}
	for n.s.MaxDepth > 0 && n.depth() > uint64(n.s.MaxDepth) {
		n.drop()
	}
	n.collect()
	for n.s.MaxBytes > 0 && n.start < n.end() && n.bytes() > uint64(n.s.MaxBytes) && n.messages[n.start].piece != n.messages[n.end()-1].piece {
		n.dropPiece()
	}
}

func (n *naive) append(index uint64, now int64, ms []Message, sizes []int) (outcomes []Outcome) {
	n.now = max(n.now, now)
	n.expire()
	before := n.depth()
	stored, hole := uint64(0), true
	for i, m := range ms {
		out := Outcome{}
		id := m.Dedup
		if n.s.DedupWindow == 0 {
			id = DedupID{}
		}
		if id != (DedupID{}) {
			for _, k := range n.known {
				if k.id == id {
					out = Outcome{Duplicate, k.offset}
				}
			}
			if out.Status == Stored && len(n.known) >= n.s.dedupLimit() {
				out = Outcome{Status: Full}
			}
		}
		if out.Status == Stored && n.s.Retention == RetainWork && n.s.Overflow == Reject &&
			(n.s.MaxDepth > 0 && before+stored >= uint64(n.s.MaxDepth) || n.s.MaxBytes > 0 && n.bytes()+uint64(sizes[i]) > uint64(n.s.MaxBytes)) {
			out = Outcome{Status: Full}
		}
		if out.Status == Stored {
			if hole {
				n.pieces = append(n.pieces, 0)
			}
			hole = false
			stored++
			out.Offset = n.end()
			n.pieces[len(n.pieces)-1] += uint64(sizes[i])
			n.messages = append(n.messages, naiveMessage{m, index, i, n.now, len(n.pieces) - 1})
			if id != (DedupID{}) {
				n.known = append(n.known, remembered{id, out.Offset, n.now})
			}
		} else {
			hole = true
		}
		outcomes = append(outcomes, out)
	}
	n.makeRoom()
	return outcomes
}

func (n *naive) settle(now int64, id uint64, c cause, offsets []uint64) {
	n.now = max(n.now, now)
	for _, g := range n.groups {
		if g.id != id {
			continue
		}
		for _, o := range offsets {
			if o >= n.start && o < n.end() && !g.settled[o] {
				g.settled[o] = true
				g.done[c]++
			}
		}
	}
}

func (n *naive) resolve(f From) uint64 {
	at := n.start
	switch f.Kind {
	case Latest:
		at = n.end()
	case AtOffset:
		at = min(n.end(), max(n.start, f.Value))
	case AtTime:
		for at < n.end() && n.messages[at].time < int64(f.Value) {
			at++
		}
	}
	return at
}

// from gives a group a new number and lets it begin at an offset.
func (n *naive) from(g *naiveGroup, at uint64) {
	g.settled = map[uint64]bool{}
	for o := n.start; o < at; o++ {
		g.settled[o] = true
	}
	n.nextID++
	g.id = n.nextID
	for i, o := range n.groups {
		if o == g {
			n.groups = append(n.groups[:i], n.groups[i+1:]...)
			break
		}
	}
	n.groups = append(n.groups, g)
	n.collect()
}

func (n *naive) floorIndex() uint64 {
	if n.start == n.end() {
		return n.applied + 1
	}
	return n.messages[n.start].index
}
