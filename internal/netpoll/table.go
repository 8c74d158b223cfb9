package netpoll

import "sync/atomic"

const (
	pageSize  = 4096
	pageCount = 8192 // 33 million descriptors; the kernel's own default limit is a million
)

// table finds the connection of a descriptor, for all loops. The number of an event also has a generation, so that an event
// which is still in a loop's list when its descriptor was closed and given out again is recognized.
type table struct {
	pages [pageCount]atomic.Pointer[page]
}

type page [pageSize]atomic.Pointer[Conn]

// set stores c under its descriptor and reports false if the descriptor is out of range.
func (t *table) set(c *Conn) bool {
	fd := int(c.fd)
	if fd < 0 || fd >= pageSize*pageCount {
		return false
	}
	slot := &t.pages[fd/pageSize]
	p := slot.Load()
	if p == nil {
		slot.CompareAndSwap(nil, new(page))
		p = slot.Load()
	}
	p[fd%pageSize].Store(c)
	return true
}

// get returns the connection of an event, or nil if it is gone.
func (t *table) get(fd int32, gen uint32) *Conn {
	p := t.pages[int(fd)/pageSize].Load()
	if p == nil {
		return nil
	}
	if c := p[int(fd)%pageSize].Load(); c != nil && c.gen == gen {
		return c
	}
	return nil
}

// clear forgets a descriptor. It must be called before the descriptor is closed.
func (t *table) clear(fd int32) { t.pages[int(fd)/pageSize].Load()[int(fd)%pageSize].Store(nil) }

// each calls f for every connection.
func (t *table) each(f func(*Conn)) {
	for i := range t.pages {
		p := t.pages[i].Load()
		if p == nil {
			continue
		}
		for j := range p {
			if c := p[j].Load(); c != nil {
				f(c)
			}
		}
	}
}
