package queue

// keySlots is the number of shares in which keys are spread over the members of a
// group. Beyond so many members some get no key.
const keySlots = 1024

// keys is key-ordered dispatch. A key is known while a message of it is out, waits
// to be delivered again, or could not be delivered yet; what comes after that
// message is parked with the key, in the order in which it is to go out. A key
// with nothing out and a message parked is runnable, and stands in line at the
// member that its slot belongs to.
type keys struct {
	byKey  map[Key]uint32
	states []keyState // number n at n-1
	free   uint32
	parked parking
	owner  [keySlots]*Member // all nil without members
}

type keyMode uint8

const (
	keyFree     keyMode = iota
	keyOut              // a message is leased, or becoming a dead letter
	keyWaiting          // the first one waits for its time
	keyRunnable         // the first one may go out
)

type keyState struct {
	key         Key
	first, last uint32  // parked
	line        *Member // in whose line a runnable key stands; nil without members
	next        uint32  // in the line; among the free ones
	mode        keyMode
}

// parking holds the parked messages of all keys in lists.
type parking struct {
	places []parkingPlace // number n at n-1
	free   uint32
	used   int
}

type parkingPlace struct {
	item
	next uint32
}

func (p *parking) put(it item, next uint32) uint32 {
	p.used++
	if n := p.free; n != 0 {
		s := &p.places[n-1]
		p.free = s.next
		*s = parkingPlace{it, next}
		return n
	}
	p.places = append(p.places, parkingPlace{it, next})
	return uint32(len(p.places))
}

func (p *parking) clear(n uint32) (next uint32) {
	s := &p.places[n-1]
	next, s.next, p.free = s.next, p.free, n
	p.used--
	return next
}

func newKeys() *keys { return &keys{byKey: map[Key]uint32{}} }

func (k *keys) at(n uint32) *keyState { return &k.states[n-1] }

// of gives the number of a key, 0 if it is not known.
func (k *keys) of(key Key) uint32 { return k.byKey[key] }

func (k *keys) add(key Key, mode keyMode) uint32 {
	n := k.free
	if n != 0 {
		k.free = k.at(n).next
	} else {
		k.states = append(k.states, keyState{})
		n = uint32(len(k.states))
	}
	*k.at(n) = keyState{key: key, mode: mode}
	k.byKey[key] = n
	return n
}

// home is the member that a key belongs to, nil without members.
func (k *keys) home(key Key) *Member { return k.owner[key%keySlots] }

// park puts a message behind the others of its key, or before them.
func (k *keys) park(n uint32, it item) {
	s := k.at(n)
	p := k.parked.put(it, 0)
	if s.first == 0 {
		s.first = p
	} else {
		k.parked.places[s.last-1].next = p
	}
	s.last = p
}

func (k *keys) parkFirst(n uint32, it item) {
	s := k.at(n)
	s.first = k.parked.put(it, s.first)
	if s.last == 0 {
		s.last = s.first
	}
}

// head gives the first parked message of a key, which has one.
func (k *keys) head(n uint32) item { return k.parked.places[k.at(n).first-1].item }

// unpark takes out the first.
func (k *keys) unpark(n uint32) {
	s := k.at(n)
	if s.first = k.parked.clear(s.first); s.first == 0 {
		s.last = 0
	}
}

// settle says that nothing of a key is out or waits any more: the next message may
// go, or the key is forgotten.
func (k *keys) settle(n uint32) {
	s := k.at(n)
	if s.first != 0 {
		k.run(n)
		return
	}
	delete(k.byKey, s.key)
	*s = keyState{next: k.free}
	k.free = n
}

// run puts a key into the line of its member.
func (k *keys) run(n uint32) {
	s := k.at(n)
	s.mode, s.next = keyRunnable, 0
	s.line = k.home(s.key)
	m := s.line
	if m == nil {
		return
	}
	if m.runFirst == 0 {
		m.runFirst = n
	} else {
		k.at(m.runLast).next = n
	}
	m.runLast = n
}

// unline takes the first key out of a member's line.
func (k *keys) unline(m *Member) uint32 {
	n := m.runFirst
	s := k.at(n)
	if m.runFirst = s.next; m.runFirst == 0 {
		m.runLast = 0
	}
	s.next, s.line = 0, nil
	return n
}

// join gives a member its share of the slots, from those who have most.
func (k *keys) join(m *Member, members []*Member) {
	share := keySlots / len(members)
	for i := range k.owner {
		switch o := k.owner[i]; {
		case o == nil:
		case m.slots == share:
			k.rerun(members)
			return
		case o == m || o.slots <= share:
			continue
		default:
			o.slots--
		}
		k.owner[i] = m
		m.slots++
	}
	k.rerun(members)
}

// leave gives the slots of a member who went to the others.
func (k *keys) leave(m *Member, members []*Member) {
	n := len(members)
	share, to := 0, 0
	if n > 0 {
		share = (keySlots + n - 1) / n
	}
	for i := range k.owner {
		if k.owner[i] != m {
			continue
		}
		for to < n && members[to].slots >= share {
			to++
		}
		if n == 0 {
			k.owner[i] = nil
			continue
		}
		k.owner[i] = members[to]
		members[to].slots++
	}
	m.slots, m.runFirst, m.runLast = 0, 0, 0
	k.rerun(members)
}

// rerun puts every runnable key into the line where it belongs now.
func (k *keys) rerun(members []*Member) {
	for _, m := range members {
		m.runFirst, m.runLast = 0, 0
	}
	for i := range k.states {
		if k.states[i].mode == keyRunnable {
			k.run(uint32(i + 1))
		}
	}
}
