package retained

import (
	"slices"
	"sort"
)

// tree is a B+ tree of records in the order of their topics (see [compare]). Records stand in leaves that are linked both ways; inner
// nodes hold separators that are copies of their own, so that a removed record is held by nothing. It has no lock of its own.
//
// A search would meet a cache miss for each topic that it compares. So a node keeps the head of each: eight bytes, taken where the topics
// of this node begin to differ, in which most comparisons are decided. What all topics of a node have in common follows from its fences,
// the separators to its left and right, and need not be looked at: a search that has come here is between the fences too. The outermost nodes
// have only one fence and compare whole topics.
//
// A node that has grown too big is split in two; one that has become small is merged into a neighbour under the same parent. The
// depth is that of the logarithm, so recursion is bounded.
type tree struct {
	root *node
	size int
}

// fanout is the most records in a leaf and children of an inner node.
const fanout = 64

type node struct {
	heads []head // of the records, or of the keys
	skip  int    // length of what the fences have in common
	// Inner node: keys[i] is above everything in kids[i] and not above anything in kids[i+1].
	keys []string
	kids []*node
	// Leaf.
	records    []record
	prev, next *node
}

// fences bound what may be in a node: low is not above it, high is above it. Empty is no bound.
type fences struct{ low, high string }

// of returns the fences of child i of a node that has the fences f.
func (f fences) of(n *node, i int) fences {
	if i > 0 {
		f.low = n.keys[i-1]
	}
	if i < len(n.keys) {
		f.high = n.keys[i]
	}
	return f
}

// common is the number of bytes with which everything between the fences begins.
func (f fences) common() int {
	n := 0
	for n < len(f.low) && n < len(f.high) && f.low[n] == f.high[n] {
		n++
	}
	return n
}

func (n *node) leaf() bool { return n.kids == nil }

// fence gives n its fences, and the heads that go with them.
func (n *node) fence(f fences) {
	skip := f.common()
	want := len(n.records) + len(n.keys)
	if skip == n.skip && want == len(n.heads) {
		return
	}
	n.skip, n.heads = skip, slices.Grow(n.heads[:0], want)
	for _, r := range n.records {
		n.heads = append(n.heads, headOf(r.topic(), skip))
	}
	for _, key := range n.keys {
		n.heads = append(n.heads, headOf(key, skip))
	}
}

// place returns the index of the first record in a leaf whose topic is not before topic, and whether it is topic.
func (n *node) place(topic []byte) (i int, same bool) {
	h := headOf(topic, n.skip)
	i = lower(n.heads, h)
	if i == len(n.heads) || n.heads[i] != h {
		return i, false
	}
	end := i + 1
	for end < len(n.heads) && n.heads[end] == h {
		end++
	}
	for i < end {
		mid := int(uint(i+end) >> 1)
		switch c := compare(n.records[mid].topic(), topic); {
		case c == 0:
			return mid, true
		case c < 0:
			i = mid + 1
		default:
			end = mid
		}
	}
	return i, false
}

// child returns the index of the child of an inner node that topic belongs to.
func (n *node) child(topic []byte) int {
	h := headOf(topic, n.skip)
	i := lower(n.heads, h)
	if i == len(n.heads) || n.heads[i] != h {
		return i
	}
	end := i + 1
	for end < len(n.heads) && n.heads[end] == h {
		end++
	}
	return i + sort.Search(end-i, func(k int) bool { return compare(n.keys[i+k], topic) > 0 })
}

// seek returns the place of the first record whose topic is not before topic: a leaf and an index, which is the leaf's length
// when the record is the first of a later leaf, or there is none.
func (t *tree) seek(topic []byte) (*node, int) {
	n := t.root
	if n == nil {
		return nil, 0
	}
	for !n.leaf() {
		n = n.kids[n.child(topic)]
	}
	i, _ := n.place(topic)
	return n, i
}

// forward is seek for a topic that is expected near place i of a leaf, and not before it.
func (t *tree) forward(leaf *node, i int, topic []byte) (*node, int) {
	last := len(leaf.records) - 1
	switch {
	case i > last || compare(leaf.records[last].topic(), topic) < 0:
		return t.seek(topic)
	case compare(leaf.records[i].topic(), topic) >= 0:
		return leaf, i
	}
	// The topic is between two that are here, so between the fences.
	i, _ = leaf.place(topic)
	return leaf, i
}

// get returns the record of a topic, or nil.
func (t *tree) get(topic []byte) record {
	n := t.root
	if n == nil {
		return nil
	}
	for !n.leaf() {
		n = n.kids[n.child(topic)]
	}
	if i, same := n.place(topic); same {
		return n.records[i]
	}
	return nil
}

// set stores a record and returns the one that had its topic before, or nil.
func (t *tree) set(r record) record {
	if t.root == nil {
		t.root = new(node)
	}
	old, right, key := t.root.set(r, r.topic(), fences{})
	if right != nil {
		t.root = &node{keys: []string{key}, kids: []*node{t.root, right}}
		t.root.fence(fences{})
	}
	if old == nil {
		t.size++
	}
	return old
}

// set stores a record below n. When n had to be split, right is its new second half and key the separator.
func (n *node) set(r record, topic []byte, f fences) (old record, right *node, key string) {
	if n.leaf() {
		i, same := n.place(topic)
		switch {
		case same:
			old, n.records[i] = n.records[i], r
			return old, nil, ""
		case len(n.records) < fanout:
			n.insert(i, r)
			return nil, nil, ""
		}
		right, key = n.splitLeaf(i, r, f)
		return nil, right, key
	}
	i := n.child(topic)
	old, right, key = n.kids[i].set(r, topic, f.of(n, i))
	if right == nil {
		return old, nil, ""
	}
	n.heads = slices.Insert(n.heads, i, headOf(key, n.skip))
	n.keys = slices.Insert(n.keys, i, key)
	n.kids = slices.Insert(n.kids, i+1, right)
	if len(n.kids) <= fanout {
		return old, nil, ""
	}
	right, key = n.splitInner(f)
	return old, right, key
}

// insert puts a record at place i of a leaf that has room.
func (n *node) insert(i int, r record) {
	n.records = slices.Insert(n.records, i, r)
	n.heads = slices.Insert(n.heads, i, headOf(r.topic(), n.skip))
}

// splitLeaf makes room in a full leaf for r at index i. A record that comes last of all gets a leaf of its own, so that topics that come in
// order fill their leaves.
func (n *node) splitLeaf(i int, r record, f fences) (right *node, key string) {
	right = &node{prev: n, next: n.next}
	if i == fanout && n.next == nil {
		right.records = []record{r}
	} else {
		const mid = fanout / 2
		right.records = append(make([]record, 0, fanout), n.records[mid:]...)
		n.records = slices.Delete(n.records, mid, fanout)
		n.heads = n.heads[:mid]
		if i <= mid {
			n.insert(i, r)
		} else {
			right.records = slices.Insert(right.records, i-mid, r)
		}
	}
	if right.next != nil {
		right.next.prev = right
	}
	n.next = right
	key = separator(n.records[len(n.records)-1].topic(), right.records[0].topic())
	n.fence(fences{f.low, key})
	right.fence(fences{key, f.high})
	return right, key
}

// splitInner moves the second half of an inner node to a new one.
func (n *node) splitInner(f fences) (right *node, key string) {
	mid := len(n.kids) / 2
	key = n.keys[mid-1]
	right = &node{keys: slices.Clone(n.keys[mid:]), kids: slices.Clone(n.kids[mid:])}
	n.keys, n.kids = slices.Delete(n.keys, mid-1, len(n.keys)), slices.Delete(n.kids, mid, len(n.kids))
	n.heads = n.heads[:mid-1]
	n.fence(fences{f.low, key})
	right.fence(fences{key, f.high})
	return right, key
}

// separator returns the shortest key that is above low and not above high.
func separator(low, high []byte) string {
	n := 0
	for n < len(low) && low[n] == high[n] {
		n++
	}
	return string(high[:n+1])
}

// remove takes out the record of a topic and returns it, or nil.
func (t *tree) remove(topic []byte) record {
	if t.root == nil {
		return nil
	}
	old := t.root.remove(topic, fences{})
	if old == nil {
		return nil
	}
	t.size--
	for !t.root.leaf() && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	if t.size == 0 {
		t.root = nil
	}
	return old
}

func (n *node) remove(topic []byte, f fences) record {
	if n.leaf() {
		i, same := n.place(topic)
		if !same {
			return nil
		}
		old := n.records[i]
		n.records = slices.Delete(n.records, i, i+1)
		n.heads = slices.Delete(n.heads, i, i+1)
		return old
	}
	i := n.child(topic)
	old := n.kids[i].remove(topic, f.of(n, i))
	if old == nil {
		return nil
	}
	if i > 0 {
		n.merge(i-1, f)
	}
	if i < len(n.kids)-1 {
		n.merge(i, f)
	}
	return old
}

// merge joins children i and i+1 when together they fill half a node at most, or when one of them has nothing to hold on to. What is
// left alone, an empty leaf beside a full neighbour, is rare and harmless: whoever walks the leaves expects it.
func (n *node) merge(i int, f fences) {
	left, right := n.kids[i], n.kids[i+1]
	l, r, few := len(left.records), len(right.records), 0
	if !left.leaf() {
		l, r, few = len(left.kids), len(right.kids), 1
	}
	if l+r > fanout/2 && (min(l, r) > few || l+r > fanout) {
		return
	}
	if left.leaf() {
		left.records = append(left.records, right.records...)
		left.next = right.next
		if right.next != nil {
			right.next.prev = left
		}
	} else {
		left.keys = append(append(left.keys, n.keys[i]), right.keys...)
		left.kids = append(left.kids, right.kids...)
	}
	n.heads = slices.Delete(n.heads, i, i+1)
	n.keys = slices.Delete(n.keys, i, i+1)
	n.kids = slices.Delete(n.kids, i+1, i+2)
	left.heads = nil
	left.fence(f.of(n, i))
}
