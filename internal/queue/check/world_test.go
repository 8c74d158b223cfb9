package check

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/millrace-mq/millrace/internal/queue"
)

// bug is what is broken on purpose.
type bug int

const (
	noBug           bug = iota
	ackBeforeStore      // a producer is told before the log has it, and the log loses it
	storeTwice          // no deduplication, while producers send again
	storeRefused        // a message that was refused is stored
	storeStranger       // a message that nobody sent
	wrongOffset         // the acknowledgement names the next one
	swapBatches         // two batches of a producer change places
	settleTwo           // settle N and N+1
	settleLost          // a committed settle is forgotten by the next leader
	silentRedeliver     // what is out is delivered again for no reason
	tooOften            // max_deliveries is ignored
	burialForgotten     // a dead letter is settled and not stored
	keysIgnored         // key_ordered is dispatched as shared
	resurrect           // a message of the dead-letter queue is delivered again
	skipMessage         // a group never sees a message
	rejectedAgain       // a rejection is taken for a nack
	bugs
)

var bugNames = [bugs]string{
	"none", "acknowledge before the store", "no deduplication", "store what was refused", "store what nobody sent", "wrong offset",
	"swap batches", "settle N and N+1", "lose a committed settle", "redeliver without a reason", "deliver too often",
	"forget a dead letter", "ignore keys", "deliver a dead letter", "skip a message", "deliver what was rejected",
}

const (
	partitions    = 2
	maxDeliveries = 3
)

var groups = []string{"g", "h"}

// world is a queue of some partitions with producers and consumers, in one goroutine and from one seed.
type world struct {
	rnd        *rand.Rand
	bug        bug
	log        *Log
	deliveries *Deliveries
	now        int64
	parts      [partitions]*part
	numbers    [3]uint64
	messages   map[uint64]*letter
	again      []uint64 // to be sent again, as no answer came
	ids        uint64
	buried     map[burial]bool
}

type burial struct {
	group string
	id    uint64
}

// letter is a message as its producer knows it. Its id is in the payload.
type letter struct {
	id, producer, number uint64
	key                  string
	partition            int
}

type part struct {
	w        *world
	n        int
	settings queue.Settings
	m        *queue.Machine
	d        *queue.Dispatcher
	entries  [][]byte
	held     []byte // a batch that bug swapBatches holds back
	members  map[uint64]*queue.Member
	group    map[uint64]string
	out      map[queue.Token]parcel
	letters  []parcel
	nextID   uint64
	settled  []parcel // not yet proposed
}

type parcel struct {
	group string
	id    uint64
	token queue.Token
	at    uint64
}

func newWorld(seed uint64, b bug) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), bug: b, log: NewLog(), now: 1000, messages: map[uint64]*letter{}, buried: map[burial]bool{}}
	w.deliveries = NewDeliveries(Rules{MaxDeliveries: maxDeliveries, KeyOrdered: true}, groups...)
	for n := range w.parts {
		p := &part{w: w, n: n, m: queue.New()}
		p.settings = queue.Settings{Dispatch: queue.KeyOrdered, Lease: 100, MaxDeliveries: maxDeliveries, Backoff: 10, DeadLetters: true,
			DedupWindow: 1 << 40, Retention: queue.RetainLog}
		switch b {
		case storeTwice:
			p.settings.DedupWindow = 0
		case tooOften:
			p.settings.MaxDeliveries = 0
		case keysIgnored:
			p.settings.Dispatch = queue.Shared
		}
		p.apply(queue.AppendConfigure(nil, &p.settings))
		for _, g := range groups {
			p.apply(queue.AppendCreateGroup(nil, &queue.NewGroup{Name: g}))
		}
		p.lead()
		w.parts[n] = p
	}
	return w
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// strike tells whether the bug shows this time.
func (w *world) strike(b bug) bool { return w.bug == b && w.chance(15) }

func (p *part) apply(data []byte) queue.Result {
	p.entries = append(p.entries, data)
	return p.m.Apply(uint64(len(p.entries)), 0, data)
}

func (p *part) lead() {
	p.d = queue.NewDispatcher(p.m, p, p)
	p.members, p.group, p.out = map[uint64]*queue.Member{}, map[uint64]string{}, map[queue.Token]parcel{}
	p.letters, p.settled = nil, nil
	for _, g := range groups {
		p.join(g)
		p.join(g)
	}
}

func (p *part) join(group string) {
	p.nextID++
	m, err := p.d.Join(group, p.nextID, 3)
	if err != nil {
		panic(err)
	}
	p.members[p.nextID], p.group[p.nextID] = m, group
}

func (p *part) Command(index uint64, _ int) ([]byte, error) { return p.entries[index-1], nil }

func idOf(m *queue.Message) uint64 { return binary.BigEndian.Uint64(m.Payload) }

func (p *part) Deliver(d *queue.Delivery) queue.Verdict {
	if p.w.chance(5) {
		return queue.NoRoom
	}
	p.deliver(parcel{p.group[d.Member], idOf(&d.Message), d.Token, d.Offset}, int(d.Count))
	return queue.Leased
}

func (p *part) deliver(x parcel, count int) {
	key := ""
	if l := p.w.messages[x.id]; l != nil {
		key = l.key
	}
	p.w.deliveries.Delivered(x.group, x.id, Place{p.n, x.at}, key, count)
	p.out[x.token] = x
}

func (p *part) Bury(l *queue.DeadLetter) {
	p.letters = append(p.letters, parcel{l.Group, idOf(&l.Message), l.Token, l.Offset})
}

// publish sends a batch of messages, new ones and some again.
func (w *world) publish(fresh bool) {
	p := w.parts[w.rnd.IntN(partitions)]
	var b queue.Batch
	b.Begin(nil, &p.settings, w.now)
	var ids []uint64
	add := func(l *letter) {
		payload := binary.BigEndian.AppendUint64(nil, l.id)
		m := queue.Message{Payload: payload, QoS: 1, Key: queue.KeyOf([]byte(l.key)), Dedup: queue.DedupOf(payload)}
		if _, err := b.Add(&m); err != nil {
			panic(err)
		}
		ids = append(ids, l.id)
	}
	rest := w.again[:0]
	for _, id := range w.again {
		if l := w.messages[id]; l.partition == p.n {
			add(l)
		} else {
			rest = append(rest, id)
		}
	}
	w.again = rest
	if len(ids) == 0 && fresh { // a producer sends nothing new before it has sent again what it must
		for range 1 + w.rnd.IntN(4) {
			w.ids++
			l := &letter{id: w.ids, producer: uint64(w.rnd.IntN(3)), partition: p.n}
			w.numbers[l.producer]++
			l.number = w.numbers[l.producer]
			if w.chance(70) {
				l.key = fmt.Sprint("key", w.rnd.IntN(4))
			}
			w.messages[l.id] = l
			w.log.Sent(l.id, l.producer, l.number)
			add(l)
		}
	}
	if len(ids) > 0 {
		p.propose(b.Command(), ids)
	}
}

// propose stores a batch and tells the producers, or does one of these wrong.
func (p *part) propose(data []byte, ids []uint64) {
	w := p.w
	if w.strike(ackBeforeStore) {
		_, end := p.m.Offsets()
		for i, id := range ids {
			w.acknowledge(id, Place{p.n, end + uint64(i)})
		}
		return
	}
	if w.strike(storeStranger) {
		var b queue.Batch
		b.Begin(nil, &p.settings, w.now)
		m := queue.Message{Payload: binary.BigEndian.AppendUint64(nil, 1<<40+w.ids), QoS: 1}
		if _, err := b.Add(&m); err != nil {
			panic(err)
		}
		p.apply(b.Command())
	}
	if p.held == nil && w.strike(swapBatches) {
		p.held = data
		return // the producer waits for an answer that does not come; its next ones overtake
	}
	r := p.apply(data)
	for i, id := range ids {
		at := Place{p.n, r.Outcome(i).Offset}
		switch {
		case w.strike(storeRefused):
			w.log.Refused(id)
			continue
		case w.chance(10):
			w.again = append(w.again, id)
			continue
		case w.strike(wrongOffset):
			at.Offset++
		}
		w.acknowledge(id, at)
	}
	if p.held != nil {
		p.apply(p.held)
		p.held = nil
	}
}

func (w *world) acknowledge(id uint64, at Place) {
	w.log.Acknowledged(id, at)
	w.deliveries.Published(id, at, w.messages[id].key)
}

func (p *part) pump() {
	for {
		more, err := p.d.Pump(p.w.now)
		if err != nil {
			panic(err)
		}
		if !more {
			break
		}
	}
	w := p.w
	for _, x := range p.letters {
		if !w.strike(burialForgotten) {
			if b := (burial{x.group, x.id}); !w.buried[b] { // the dead-letter queue has a deduplication of its own
				w.buried[b] = true
				w.deliveries.Buried(x.group, x.id)
			}
			if w.strike(resurrect) {
				p.deliver(x, 0)
			}
		}
		p.d.Buried(x.token)
	}
	p.letters = nil
}

// end ends deliveries, each with a chance; all of them well when healing.
func (p *part) end(heal bool) {
	w := p.w
	for _, t := range slices.Sorted(maps.Keys(p.out)) {
		x := p.out[t]
		if !heal && w.chance(40) {
			continue
		}
		delete(p.out, t)
		what := w.rnd.IntN(20)
		switch {
		case heal || what > 4:
			w.deliveries.Ended(x.group, x.id, Settled)
			if p.d.Ack(t) {
				p.settled = append(p.settled, x)
			}
		case what < 3:
			w.deliveries.Ended(x.group, x.id, Nacked)
			p.d.Nack(t, w.now)
		case what == 3:
			w.deliveries.Ended(x.group, x.id, Rejected)
			if w.bug == rejectedAgain {
				p.d.Nack(t, w.now)
			} else {
				p.d.Reject(t)
			}
		case w.strike(silentRedeliver):
			p.d.Release(t)
		default:
			w.deliveries.Ended(x.group, x.id, Disconnected)
			p.d.Release(t)
		}
	}
}

// commit proposes what was settled.
func (p *part) commit() {
	w := p.w
	command, _ := p.d.Proposal(nil, w.now)
	if command == nil {
		return
	}
	settled := p.settled
	p.settled = nil
	if w.strike(settleLost) {
		command = queue.AppendPurge(nil, 0) // which does nothing
	}
	p.apply(command)
	for _, x := range settled {
		if w.strike(settleTwo) || w.strike(skipMessage) {
			p.apply(settleAlso(p.m, x.group, x.at+1))
		}
		w.deliveries.Committed(x.group, x.id)
	}
}

// settleAlso is a settle command for one offset, as docs/format-queue.md draws it.
func settleAlso(m *queue.Machine, group string, offset uint64) []byte {
	g, _ := m.Group(group)
	c := []byte{1, 2, 0, 1}
	c = append(binary.AppendUvarint(c, g.ID), 0, 1)
	return append(binary.AppendUvarint(c, offset), 1)
}

// expire lets time pass. Members say when their leases ended, which they know by their own clock.
func (w *world) expire() {
	w.now += 100
	for _, p := range w.parts {
		for t, x := range p.out {
			w.deliveries.Ended(x.group, x.id, LeaseEnded)
			delete(p.out, t)
		}
	}
}

func (p *part) failover() {
	p.w.deliveries.Failover(p.n)
	p.m = queue.New()
	for i, e := range p.entries {
		p.m.Apply(uint64(i+1), 0, e)
	}
	p.lead()
}

// change lets a member go and another come.
func (p *part) change() {
	ids := slices.Sorted(maps.Keys(p.members))
	id := ids[p.w.rnd.IntN(len(ids))]
	group := p.group[id]
	for t, x := range p.out {
		if x.group == group { // all of the group's: who has what is not written down
			p.w.deliveries.Ended(x.group, x.id, Disconnected)
			p.d.Release(t)
			delete(p.out, t)
		}
	}
	p.d.Leave(p.members[id])
	delete(p.members, id)
	delete(p.group, id)
	p.join(group)
}

// live runs the world for some steps, lets it come to rest, and gives what the checkers say.
func (w *world) live() (log, deliveries []string) {
	for step := range 300 {
		p := w.parts[w.rnd.IntN(partitions)]
		switch what := w.rnd.IntN(100); {
		case what < 30:
			w.publish(true)
		case what < 60:
			p.pump()
		case what < 85:
			p.end(false)
		case what < 92:
			p.commit()
		case what < 95:
			w.expire()
		case what < 97:
			p.change()
		case what < 98 && step < 250:
			p.failover()
		default:
			for _, m := range p.members {
				p.d.Room(m)
			}
		}
		w.now++
	}
	for range 200 {
		w.publish(false)
		for _, p := range w.parts {
			for _, m := range p.members {
				p.d.Room(m)
			}
			p.pump()
			p.end(true)
			p.commit()
		}
		w.now += 20
	}
	w.read()
	return w.log.Done(), w.deliveries.Done()
}

// read gives the log's contents to its checker.
func (w *world) read() {
	for _, p := range w.parts {
		start, end := p.m.Offsets()
		for o := start; o < end; o++ {
			at, _ := p.m.Locate(o)
			var m queue.Message
			if err := queue.MessageAt(p.entries[at.Index-1], at.Message, &m); err != nil {
				panic(err)
			}
			w.log.Stored(idOf(&m), Place{p.n, o})
		}
	}
}
