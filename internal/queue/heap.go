package queue

// item is a message on its way to a group.
type item struct {
	offset uint64
	count  uint32 // of deliveries so far
}

// byOffset is a heap of messages that may be delivered at once, the lowest offset
// on top.
type byOffset []item

func (h *byOffset) push(it item) {
	*h = append(*h, it)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].offset <= s[i].offset {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *byOffset) pop() item {
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
		if down+1 < n && s[down+1].offset < s[down].offset {
			down++
		}
		if s[i].offset <= s[down].offset {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return top
}

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

func (w *wait) before(o *wait) bool {
	return w.due < o.due || w.due == o.due && w.item.offset < o.item.offset
}

// byTime is a heap of what waits, the earliest on top.
type byTime []wait

func (h *byTime) push(w wait) {
	*h = append(*h, w)
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

func (h *byTime) pop() wait {
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
