package session

// idFlags are what is known of a packet identifier of QoS 2 that the client has not released.
type idFlags uint16

const (
	idPending idFlags = 1 << iota // the message is being stored, PUBREC must wait
	idLive                        // PUBREC left on the connection of now
)

// idset is a set of packet identifiers, which the client chooses as it likes: a hash table with linear probing, at most
// half full, 4 bytes a place. The zero value is empty.
type idset struct {
	table []uint32 // identifier<<16 | flags; 0: free. Length is a power of two.
	n     int
}

// idsetKeep is the length of a table that stays when the set is empty.
const idsetKeep = 64

func (t *idset) place(id uint16) int { return int(uint32(id)*0x9E3779B1>>15) & (len(t.table) - 1) }

// find gives the place of an identifier, or of the free place where it would be.
func (t *idset) find(id uint16) (p int, ok bool) {
	if t.n == 0 {
		return 0, false
	}
	mask := len(t.table) - 1
	for p = t.place(id); t.table[p] != 0; p = (p + 1) & mask {
		if uint16(t.table[p]>>16) == id {
			return p, true
		}
	}
	return p, false
}

// get gives the flags of an identifier.
func (t *idset) get(id uint16) (f idFlags, ok bool) {
	p, ok := t.find(id)
	if !ok {
		return 0, false
	}
	return idFlags(t.table[p]), true
}

// set adds an identifier, or changes its flags.
func (t *idset) set(id uint16, f idFlags) {
	if p, ok := t.find(id); ok {
		t.table[p] = uint32(id)<<16 | uint32(f)
		return
	}
	if 2*(t.n+1) > len(t.table) {
		old := t.table
		t.table = make([]uint32, max(8, 2*len(old)))
		for _, v := range old {
			if v != 0 {
				t.insert(v)
			}
		}
	}
	t.insert(uint32(id)<<16 | uint32(f))
	t.n++
}

// insert puts a value that is not there into the first free place of its run.
func (t *idset) insert(v uint32) {
	mask := len(t.table) - 1
	p := t.place(uint16(v >> 16))
	for t.table[p] != 0 {
		p = (p + 1) & mask
	}
	t.table[p] = v
}

// remove takes an identifier out and moves those behind it up, so that every run stays without a gap.
func (t *idset) remove(id uint16) {
	p, ok := t.find(id)
	if !ok {
		return
	}
	mask := len(t.table) - 1
	for q := (p + 1) & mask; t.table[q] != 0; q = (q + 1) & mask {
		// The value at q may fill the gap at p unless its own place lies behind the gap.
		home := t.place(uint16(t.table[q] >> 16))
		if (q-home)&mask >= (q-p)&mask {
			t.table[p] = t.table[q]
			p = q
		}
	}
	t.table[p] = 0
	if t.n--; t.n == 0 && len(t.table) > idsetKeep {
		t.table = nil
	}
}

// clear takes a flag from all identifiers.
func (t *idset) clear(f idFlags) {
	for p, v := range t.table {
		t.table[p] = v &^ uint32(f)
	}
}

// each visits the identifiers in no order.
func (t *idset) each(visit func(id uint16, f idFlags)) {
	for _, v := range t.table {
		if v != 0 {
			visit(uint16(v>>16), idFlags(v))
		}
	}
}
