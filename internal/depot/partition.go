package depot

import (
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
)

// Partition is one log of a queue on this node: the state machine that the log drives, and while this replica leads, the
// dispatch of its messages. Its methods may be called by any goroutine unless they say otherwise.
type Partition struct {
	depot *Depot
	queue *Queue
	// Number is the place within the queue, Serial a number of its own on this node.
	Number int
	Serial int
	group  uint64
	ready  chan struct{} // closed when this replica leads for the first time
	log    Log           // set by opened, before anybody else has the partition

	woken atomic.Bool // Wake was called and Pump was not

	mu struct {
		sync.Mutex
		machine    *queue.Machine
		dispatcher *queue.Dispatcher // nil while this replica does not lead
		leads      replog.Leadership
		began      bool // ready is closed
		seats      []seat
		free       []int // seats that nobody has
		taken      int   // seats that somebody has
		recent     recent
		pieces     pieces

		// Settles that were proposed and are not committed; one command at a time.
		settling bool
		again    []byte // one that was refused, to be proposed again
		alarm    int64  // when the clock wakes the partition, 0 for never

		// During Pump.
		out     Out
		lapsed  []queue.Token
		letters []*letter
		failure error // the last one that was logged
	}
}

// seat is a consumer's place; its index is the number that the dispatcher knows it by.
type seat struct {
	consumer *Consumer // nil: free
	member   *queue.Member
}

func newPartition(d *Depot, q *Queue, number int, group uint64) *Partition {
	p := &Partition{depot: d, queue: q, Number: number, Serial: int(d.serials.Add(1)), group: group, ready: make(chan struct{})}
	p.mu.machine = queue.New()
	return p
}

// opened gives the partition its log, which may have begun to drive it.
func (p *Partition) opened(log Log) {
	p.mu.Lock()
	p.log = log
	p.mu.Unlock()
	p.Wake()
}

// Queue gives the queue that the partition is of.
func (p *Partition) Queue() *Queue { return p.queue }

// Wake has the partition pumped soon.
func (p *Partition) Wake() {
	if !p.woken.Swap(true) {
		p.depot.runner.Wake(p)
	}
}

// Apply implements replog.StateMachine.
func (p *Partition) Apply(entries []replog.Entry) {
	p.mu.Lock()
	m := p.mu.machine
	_, had := m.Offsets()
	for i := range entries {
		e := &entries[i]
		for n := range e.Commands {
			c := &e.Commands[n]
			r := m.Apply(e.Index, n, c.Data)
			c.Result.Value = r.Value
			if r.Err != nil || r.Outcomes != nil {
				c.Result.Detail = &r
			}
			if _, end := m.Offsets(); end != had {
				had = end
				if p.mu.taken > 0 {
					p.mu.recent.add(p.depot.memory, e.Index, n, c.Data)
				}
			}
		}
	}
	wake := p.mu.dispatcher != nil && p.mu.taken > 0
	p.mu.Unlock()
	if wake {
		p.Wake()
	}
}

// ResultOf gives the machine's answer to a command whose outcome has no error.
func ResultOf(o *replog.Outcome) queue.Result {
	if r, ok := o.Result.Detail.(*queue.Result); ok {
		return *r
	}
	return queue.Result{Value: o.Result.Value}
}

// Snapshot implements replog.StateMachine.
func (p *Partition) Snapshot(dst []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.machine.Snapshot(dst), nil
}

// Restore implements replog.StateMachine.
func (p *Partition) Restore(index uint64, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.machine.Restore(index, data)
}

// Floor implements replog.StateMachine.
func (p *Partition) Floor() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.machine.Floor()
}

// Lead implements replog.StateMachine.
func (p *Partition) Lead(l replog.Leadership) {
	p.mu.Lock()
	p.mu.leads = l
	switch {
	case !l.Mine:
		p.mu.dispatcher, p.mu.settling, p.mu.again = nil, false, nil
		for i := range p.mu.seats {
			p.mu.seats[i].member = nil
		}
	case p.mu.dispatcher == nil:
		p.mu.dispatcher = queue.NewDispatcher(p.mu.machine, (*source)(p), (*sink)(p))
		for i := range p.mu.seats {
			p.sit(i)
		}
	}
	first := l.Mine && !p.mu.began
	p.mu.began = p.mu.began || l.Mine
	p.mu.Unlock()
	if first {
		close(p.ready)
	}
	if l.Mine {
		p.Wake()
	}
}

// sit joins the consumer of a seat to its group, if both are there. The caller holds the lock.
func (p *Partition) sit(i int) {
	s := &p.mu.seats[i]
	if s.consumer == nil || p.mu.dispatcher == nil {
		return
	}
	m, err := p.mu.dispatcher.Join(s.consumer.Group, uint64(i), s.consumer.Window)
	if err == nil {
		s.member = m
	}
}

// Propose hands a command to the log.
func (p *Partition) Propose(data []byte, to replog.Proposer) error {
	return p.log.Propose(data, false, to)
}

// Begin starts a batch in the memory of buf, with what the partition takes of a message.
func (p *Partition) Begin(b *queue.Batch, buf []byte, now int64) {
	s := p.queue.limits.Load()
	b.Begin(buf, s, now)
}

// Pump hands out what can be handed out. The broker calls it when Runner.Wake asked for it, and after Settle, Release and
// Room. more asks to be called again, after others had their turn.
func (p *Partition) Pump(now int64, out Out) (more bool) {
	p.woken.Store(false)
	p.mu.Lock()
	d := p.mu.dispatcher
	if d == nil || p.log == nil {
		p.mu.Unlock()
		return false
	}
	p.mu.out = out
	more, err := d.Pump(now)
	p.mu.out = nil
	for _, t := range p.mu.lapsed {
		d.Ack(t)
	}
	p.mu.lapsed = p.mu.lapsed[:0]
	letters := p.mu.letters
	p.mu.letters = nil
	wanted := p.mu.pieces.take()
	command := p.settles(now)
	p.setAlarm()
	if err != nil && p.mu.failure == nil {
		p.depot.log.Error("queue: a message cannot be read", "queue", p.queue.Name, "partition", p.Number, "error", err)
	}
	p.mu.failure = err
	p.mu.Unlock()
	if wanted != nil {
		p.depot.readers.read(p, wanted)
	}
	if command != nil {
		p.settle(command)
	}
	for _, l := range letters {
		p.depot.bury(l)
	}
	return more
}

// setAlarm sees to it that the partition is woken when something is due. The caller holds the lock.
func (p *Partition) setAlarm() {
	if due, ok := p.mu.dispatcher.NextDue(); ok {
		p.wakeAt(due)
	}
}

// wakeAt has the partition woken at a time at the latest. The caller holds the lock.
func (p *Partition) wakeAt(due int64) {
	if p.mu.alarm == 0 || due < p.mu.alarm {
		p.mu.alarm = due
		p.depot.clock.at(due, p)
	}
}

// ring is called by the clock.
func (p *Partition) ring(at int64) {
	p.mu.Lock()
	mine := p.mu.alarm == at
	if mine {
		p.mu.alarm = 0
	}
	p.mu.Unlock()
	if mine {
		p.Wake()
	}
}

// settles gives the next command that settles, if none is under way. The caller holds the lock, and proposes it by settle
// afterwards.
func (p *Partition) settles(now int64) []byte {
	if p.mu.settling {
		return nil
	}
	command := p.mu.again
	p.mu.again = nil
	if command == nil {
		command, _ = p.mu.dispatcher.Proposal(nil, now)
	}
	p.mu.settling = command != nil
	return command
}

// settle proposes a command of settles.
func (p *Partition) settle(command []byte) {
	s := &settling{p, command}
	if err := p.log.Propose(command, true, s); err != nil {
		s.ended(err)
	}
}

// settling is a command that settles, under way.
type settling struct {
	p       *Partition
	command []byte
}

// Proposed implements replog.Proposer.
func (s *settling) Proposed(o replog.Outcome) { s.ended(o.Err) }

// retryPause is the time before a command is proposed again that was refused, in milliseconds.
const retryPause = 100

func (s *settling) ended(err error) {
	p := s.p
	p.mu.Lock()
	if p.mu.dispatcher == nil {
		p.mu.Unlock()
		return // whoever leads next delivers again what was settled here
	}
	p.mu.settling = false
	if err != nil {
		p.mu.again = s.command
		p.wakeAt(p.depot.clock.now() + retryPause)
		p.mu.Unlock()
		p.depot.log.Debug("queue: settles are proposed again", "queue", p.queue.Name, "partition", p.Number, "error", err)
		return
	}
	next := p.settles(p.depot.clock.now()) // what was settled meanwhile
	p.mu.Unlock()
	if next != nil {
		p.settle(next)
	}
}

// Settlement is what a consumer says of a message.
type Settlement uint8

// The settlements.
const (
	Done     Settlement = iota // it is settled
	Again                      // it is delivered again after the backoff
	Rejected                   // it becomes a dead letter
	Released                   // the consumer went: it is delivered again at once
)

// Settle ends a delivery. A token that names nothing any more does nothing. Nothing is delivered before Pump.
func (p *Partition) Settle(t queue.Token, s Settlement, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.mu.dispatcher
	if d == nil {
		return
	}
	switch s {
	case Done:
		d.Ack(t)
	case Again:
		d.Nack(t, now)
	case Rejected:
		d.Reject(t)
	case Released:
		d.Release(t)
	}
}

// sink is the partition as its dispatcher sees it, under the lock, within Pump.
type sink Partition

// Deliver implements queue.Sink.
func (s *sink) Deliver(d *queue.Delivery) queue.Verdict {
	p := (*Partition)(s)
	v := p.mu.out.Deliver(p, p.mu.seats[d.Member].consumer, d)
	if v == Lapsed {
		p.mu.lapsed = append(p.mu.lapsed, d.Token)
		return queue.Leased
	}
	return v
}

// Bury implements queue.Sink.
func (s *sink) Bury(l *queue.DeadLetter) {
	p := (*Partition)(s)
	p.mu.letters = append(p.mu.letters, newLetter(p, l))
}
