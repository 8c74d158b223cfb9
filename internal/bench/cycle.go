package bench

import "slices"

// cycle connects clients, lets them subscribe, and disconnects them as soon as they are up, again and again.
type cycle struct {
	e      *engine
	groups []int
	list   []uint32
	idle   []uint32 // clients that are not connected
	start  int64
	gap    float64
	begun  int64 // connections started
	limit  int64 // how many to start; 0: any number
	leave  []uint32
	ended  bool
}

func newCycle(e *engine, groups []int, rate float64, start int64) *cycle {
	c := &cycle{e: e, groups: groups, start: start}
	c.list = e.listed(groups)
	c.idle = append(c.idle, c.list...)
	if rate > 0 {
		c.gap = 1e9 / rate
	}
	return c
}

// step disconnects who is up, connects whose turn it is, and says when the next one is due.
func (c *cycle) step(now int64) int64 {
	for _, i := range c.leave {
		c.e.depart(&c.e.clients[i], false)
	}
	c.leave = c.leave[:0]
	for len(c.idle) > 0 && !c.ended && (c.limit == 0 || c.begun < c.limit) {
		due := now
		if c.gap > 0 {
			due = c.start + int64(float64(c.begun)*c.gap)
			if due > now {
				return due
			}
		}
		i := c.idle[0]
		c.idle = c.idle[1:]
		c.begun++
		c.e.open(&c.e.clients[i], due)
	}
	return far
}

func (c *cycle) changed(cl *client, up bool) {
	if !slices.Contains(c.groups, int(cl.group)) {
		return
	}
	i := c.e.number(cl)
	switch {
	case up && c.e.stage.Stay:
	case up:
		c.leave = append(c.leave, i)
	default:
		c.idle = append(c.idle, i)
	}
}

// finish disconnects everybody.
func (c *cycle) finish() {
	if c.ended {
		return
	}
	c.ended = true
	for _, i := range c.list {
		c.e.depart(&c.e.clients[i], false)
	}
}

// cycling is a stage of nothing but a cycle.
type cycling struct {
	e *engine
	*cycle
}

func (c *cycling) step(now int64) (int64, bool) {
	c.limit = int64(c.e.stage.Messages)
	if now >= c.e.to {
		c.finish()
		return now, true
	}
	next := c.cycle.step(now)
	if c.limit > 0 && c.begun >= c.limit && len(c.idle) == len(c.list) {
		return now, true
	}
	if len(c.leave) > 0 {
		next = now
	}
	return min(next, c.e.to), false
}

func (c *cycling) interrupt() bool { return false }

func (c *cycling) progress(now int64) float64 {
	if m := c.e.stage.Messages; m > 0 {
		return min(1, float64(c.begun)/float64(m))
	}
	return timeProgress(c.e, now)
}
