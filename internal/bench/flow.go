package bench

import "time"

const (
	endCheck   = 2 * time.Millisecond
	stallCheck = 250 * time.Millisecond
	// stallAfter is how long a full window may stand still before its messages are given up: without that, one lost message of QoS 0
	// would end the load. What was given up is found lost by the check, or counted as unacknowledged.
	stallAfter = 2 * time.Second
)

// flow publishes: by windows, at a rate, or as fast as the sockets take it.
type flow struct {
	e     *engine
	pubs  []flowPublisher
	start int64
	// Open rate: round r of publisher number n is due at start + r*interval + n*interval/Publishers.
	interval int64
	round    uint32
	cursor   int
	beside   *cycle

	stopped bool // nothing more is sent
	told    bool // the coordinator knows how much was
	checkAt int64
	endAt   int64
	movedAt int64 // when a window last moved
}

// flowPublisher finds a publisher and remembers what it had sent when the flow began.
type flowPublisher struct {
	group *group
	index int
	base  uint32
}

func newFlow(e *engine, start int64) *flow {
	s := e.stage
	e.sent = nil
	f := &flow{e: e, start: start, interval: int64(s.Interval), checkAt: start, movedAt: start}
	for _, i := range s.Groups {
		g := &e.groups[i]
		for n := range g.pubs {
			p := &g.pubs[n]
			p.done = p.seq
			p.acks, p.confirm, p.limit = 0, 0, 0
			if g.QoS > 0 {
				p.acks = 1
			}
			p.confirm = p.acks
			if s.Deliver && s.Window > 0 {
				p.confirm += e.receivers(g.First + n)
			}
			if p.confirm > 0 {
				p.limit = p.maximum
				if s.Window > 0 {
					p.limit = min(p.limit, s.Window)
				}
			}
			switch {
			case s.Interval > 0:
				p.allowed = p.seq
			case s.Messages > 0:
				p.allowed = p.seq + s.Messages
			default:
				p.allowed = allowAll
			}
			p.cleared = p.seq
			f.pubs = append(f.pubs, flowPublisher{g, n, p.seq})
			e.queue(g, n)
		}
	}
	if len(s.Beside) > 0 {
		f.beside = newCycle(e, s.Beside, s.Rate, start)
	}
	return f
}

// due is when message seq of publisher number n should leave.
func (f *flow) due(n int, seq uint32) int64 {
	base := uint32(0)
	if i := n - f.pubs[0].group.First; i >= 0 && i < len(f.pubs) {
		base = f.pubs[i].base
	}
	return f.start + int64(seq-base)*f.interval + f.offset(n)
}

func (f *flow) offset(n int) int64 {
	return int64(float64(n) / float64(max(1, f.e.plan.Publishers)) * float64(f.interval))
}

func (f *flow) step(now int64) (int64, bool) {
	next := far
	if !f.stopped && now >= f.e.to {
		f.stop()
	}
	if f.beside != nil {
		switch {
		case !f.stopped:
			next = min(next, f.beside.step(now))
		case !f.e.stage.Stay:
			f.beside.finish()
		}
	}
	if f.interval > 0 && !f.stopped {
		next = min(next, f.release(now))
	}
	if now >= f.checkAt {
		f.checkAt = now + int64(stallCheck)
		f.check(now)
	}
	done := f.finished(now)
	return min(next, f.checkAt, f.untilEnd(now)), done
}

func (f *flow) untilEnd(now int64) int64 {
	if f.stopped || f.e.stage.Messages > 0 {
		return now + int64(endCheck)
	}
	return f.e.to
}

// release lets go the messages of an open rate that are due.
func (f *flow) release(now int64) int64 {
	if len(f.pubs) == 0 {
		return far
	}
	for {
		p := f.pubs[f.cursor]
		due := f.start + int64(f.round)*f.interval + f.offset(p.group.First+p.index)
		if due > now || due >= f.e.to {
			return due
		}
		if m := f.e.stage.Messages; m > 0 && f.round >= m {
			return far
		}
		p.group.pubs[p.index].allowed++
		f.e.queue(p.group, p.index)
		f.cursor++
		if f.cursor == len(f.pubs) {
			f.cursor = 0
			f.round++
		}
	}
}

// stop lets nothing more out, but for what an open rate owes.
func (f *flow) stop() {
	f.stopped = true
	f.e.lastLife = f.e.clock.now()
	if f.interval > 0 {
		return
	}
	for _, p := range f.pubs {
		q := &p.group.pubs[p.index]
		q.allowed = q.seq
	}
}

// interrupt sends nothing more, and lets what is under way arrive, so that it does not look lost.
func (f *flow) interrupt() bool {
	if !f.stopped {
		f.stop()
	}
	for _, p := range f.pubs {
		q := &p.group.pubs[p.index]
		q.allowed = q.seq
	}
	return true
}

// check gives up windows that stand still.
func (f *flow) check(now int64) {
	moved, full := false, false
	for _, p := range f.pubs {
		q := &p.group.pubs[p.index]
		if q.done != q.seen {
			q.seen, moved = q.done, true
		}
		full = full || q.limit > 0 && q.seq-q.done >= q.limit
	}
	if moved || !full {
		f.movedAt = now
		return
	}
	if now-f.movedAt < int64(stallAfter) {
		return
	}
	f.movedAt = now
	for _, p := range f.pubs {
		q := &p.group.pubs[p.index]
		if q.limit > 0 && q.seq-q.done >= q.limit && f.e.clients[p.group.first+uint32(p.index)].state == stateUp {
			q.done = q.seq
			f.e.counters.Stalls++
			f.e.queue(p.group, p.index)
		}
	}
}

// finished says whether all is sent and what can be waited for has come, or nothing comes any more.
func (f *flow) finished(now int64) bool {
	if f.e.up == 0 && len(f.e.pending) == 0 {
		return true // everybody is gone
	}
	if !f.stopped && f.e.stage.Messages == 0 || now < f.endAt {
		return false
	}
	f.endAt = now + int64(endCheck)
	owing := f.owing()
	if !f.stopped {
		if owing || f.interval > 0 && f.round < f.e.stage.Messages && len(f.pubs) > 0 {
			return false
		}
		f.stop()
	}
	quiet := now-f.e.lastLife > int64(f.e.stage.Drain)
	if owing && !quiet {
		return false
	}
	if !f.told {
		f.told = true
		f.e.announce(f.e.sentHere())
		f.e.lastLife = now
		return false
	}
	if f.e.sent == nil {
		return false // other workers still send
	}
	return quiet || !f.e.stage.Deliver || f.e.got() >= f.e.expected()
}

// owing says whether a publisher has messages to send or to be confirmed.
func (f *flow) owing() bool {
	for _, p := range f.pubs {
		q := &p.group.pubs[p.index]
		up := f.e.clients[p.group.first+uint32(p.index)].state == stateUp
		if up && (q.seq < q.allowed || q.limit > 0 && q.done != q.seq) {
			return true
		}
	}
	return false
}

func (f *flow) changed(c *client, up bool) {
	if f.beside != nil {
		f.beside.changed(c, up)
	}
}

func (f *flow) progress(now int64) float64 {
	if m := f.e.stage.Messages; m > 0 {
		var sent uint64
		for _, p := range f.pubs {
			sent += uint64(p.group.pubs[p.index].seq - p.base)
		}
		return float64(sent) / float64(max(1, uint64(m)*uint64(len(f.pubs))))
	}
	return timeProgress(f.e, now)
}

// sentHere returns how many messages each publisher sent; zero for those of other workers.
func (e *engine) sentHere() []uint32 {
	sent := make([]uint32, e.plan.Publishers)
	for i := range e.groups {
		g := &e.groups[i]
		for n := range g.pubs {
			sent[g.First+n] = g.pubs[n].seq
		}
	}
	return sent
}
