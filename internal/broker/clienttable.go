package broker

// clientTable finds clients by identifier: open addressing with linear probing over bare pointers. A
// client knows its identifier, so a slot is 8 bytes where one of a map[string]*client is 24, which at a million
// clients is 30 MB. The zero value is empty.
type clientTable struct {
	slots []*client // length is a power of two, at most three quarters are taken
	count int
}

// find gives the client with an identifier, nil when there is none.
func (t *clientTable) find(id string, hash uint64) *client {
	if t.count == 0 {
		return nil
	}
	for i := hash; ; i++ {
		switch c := t.slots[i&uint64(len(t.slots)-1)]; {
		case c == nil:
			return nil
		case c.id() == id:
			return c
		}
	}
}

// add puts in a client that is not there. hashOf gives the hash of those that have to move.
func (t *clientTable) add(c *client, hash uint64, hashOf func(*client) uint64) {
	if (t.count+1)*4 > len(t.slots)*3 {
		t.resize(max(8, 2*len(t.slots)), hashOf)
	}
	t.place(c, hash)
	t.count++
}

func (t *clientTable) place(c *client, hash uint64) {
	for i := hash; ; i++ {
		if slot := &t.slots[i&uint64(len(t.slots)-1)]; *slot == nil {
			*slot = c
			return
		}
	}
}

func (t *clientTable) resize(n int, hashOf func(*client) uint64) {
	old := t.slots
	t.slots = make([]*client, n)
	for _, c := range old {
		if c != nil {
			t.place(c, hashOf(c))
		}
	}
}

// remove takes out a client that is there. Those behind it move up, so that no search ends before
// it has reached them.
func (t *clientTable) remove(c *client, hash uint64, hashOf func(*client) uint64) {
	mask := uint64(len(t.slots) - 1)
	gap := hash & mask
	for t.slots[gap] != c {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i] != nil; i = (i + 1) & mask {
		// The client at i may move to the gap if its home is not between the two.
		if home := hashOf(t.slots[i]) & mask; (i-home)&mask >= (i-gap)&mask {
			t.slots[gap], gap = t.slots[i], i
		}
	}
	t.slots[gap] = nil
	t.count--
	if len(t.slots) > 64 && t.count*8 < len(t.slots) {
		t.resize(len(t.slots)/4, hashOf)
	}
}
