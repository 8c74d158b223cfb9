package queue

import "math"

// advance moves the start up. What is before it is forgotten, in the index too.
func (m *Machine) advance(to uint64) {
	if to <= m.start {
		return
	}
	m.start = to
	if to == m.end {
		m.bytes = 0
		m.index.clear()
		return
	}
	page := m.head.page
	for m.head.run.end() <= to {
		m.bytes -= m.head.run.bytes
		m.index.next(&m.head)
	}
	if m.head.page != page {
		m.index.dropTo(m.head.page)
	}
}

// discard drops the messages before an offset, for every group.
func (m *Machine) discard(before uint64) {
	if before <= m.start {
		return
	}
	m.dropped += before - m.start
	for _, g := range m.groups {
		g.raise(before, &m.pool)
	}
	m.advance(before)
	m.collect() // beyond, everything may have been settled
}

// collect forgets, under RetainWork, what every group has settled.
func (m *Machine) collect() {
	if m.settings.Retention != RetainWork {
		return
	}
	floor, any := uint64(math.MaxUint64), false
	for _, g := range m.groups {
		if !g.stream {
			floor, any = min(floor, g.floor), true
		}
	}
	if !any || floor <= m.start {
		return
	}
	for _, g := range m.groups {
		if g.stream {
			g.raise(floor, &m.pool)
		}
	}
	m.advance(floor)
}

// expire drops what is older than MaxAge, and forgets identifiers that have kept
// others out for DedupWindow.
func (m *Machine) expire() {
	m.dedup.expire(m.now - m.settings.DedupWindow)
	if m.settings.MaxAge == 0 {
		return
	}
	oldest := m.now - m.settings.MaxAge
	for m.start < m.end && m.head.run.time < oldest {
		m.discard(m.head.run.end())
	}
}

// retentionDue is the time at which the oldest message becomes too old; ok is
// false when there is none.
func (m *Machine) retentionDue() (due int64, ok bool) {
	if m.settings.MaxAge == 0 || m.start == m.end {
		return 0, false
	}
	return m.head.run.time + m.settings.MaxAge + 1, true
}

// makeRoom drops the oldest messages until the limits hold, where that is how
// they are kept. The newest batch stays under MaxBytes.
func (m *Machine) makeRoom() {
	s := &m.settings
	if s.Retention != RetainLog && s.Overflow != DropOldest {
		return
	}
	if s.MaxDepth > 0 {
		if most := uint64(s.MaxDepth); m.depth() > most {
			m.discard(m.keep(most))
		}
	}
	if s.MaxBytes > 0 {
		for m.bytes > uint64(s.MaxBytes) && m.head.run.end() < m.end {
			m.discard(m.head.run.end())
		}
	}
}

// keep gives the lowest start at which no more than most messages count.
func (m *Machine) keep(most uint64) uint64 {
	start, any := m.start, false
	if m.settings.Retention == RetainWork {
		for _, g := range m.groups {
			if !g.stream {
				any = true
				if n := g.unsettled(m.end); n > most {
					start = max(start, g.nth(n-most, m.end))
				}
			}
		}
	}
	if !any {
		return m.end - most
	}
	return start
}
