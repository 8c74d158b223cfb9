package queue

// heapOf is a binary heap, what is before all others on top. container/heap would allocate for each element, as it passes
// them as interfaces.
type heapOf[T ordered[T]] []T

type ordered[T any] interface {
	before(o *T) bool
}

func (h *heapOf[T]) push(x T) {
	*h = append(*h, x)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(&s[up]) {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *heapOf[T]) pop() T {
	s := *h
	top := s[0]
	n := len(s) - 1
	s[0] = s[n]
	s = s[:n]
	for i := 0; ; {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && s[down+1].before(&s[down]) {
			down++
		}
		if !s[down].before(&s[i]) {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return top
}

// item is a message on its way to a group.
type item struct {
	offset uint64
	count  uint32 // of deliveries so far
}

func (it item) before(o *item) bool { return it.offset < o.offset }

// byOffset is a heap of messages that may be delivered at once, the lowest offset on top.
type byOffset = heapOf[item]

// what waits for its time.
type waitKind uint8

const (
	waitMessage waitKind = iota // becomes ready
	waitKey                     // ref is a key, whose first message waits
	waitBurial                  // ref is a lease: the dead letter is given out again
)

type wait struct {
	due  int64
	item item
	ref  uint32
	kind waitKind
}

func (w wait) before(o *wait) bool {
	return w.due < o.due || w.due == o.due && w.item.offset < o.item.offset
}

// byTime is a heap of what waits, the earliest on top.
type byTime = heapOf[wait]
