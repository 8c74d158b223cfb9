package queue

// appendBatch stores the messages of a batch.
func (m *Machine) appendBatch(index uint64, command uint32, data []byte) Result {
	info, ok := parseBatch(data)
	if !ok {
		return Result{Err: ErrMalformed}
	}
	m.tick(info.time)
	m.expire()
	s := &m.settings
	plain := info.flags&batchDedup == 0 || s.DedupWindow == 0
	bytes := uint64(len(data) - batchHeader)
	if plain && m.fits(uint64(info.count), bytes) {
		r := run{first: m.end, count: info.count, index: index, command: command, time: m.now, bytes: bytes}
		m.store(&r)
		m.makeRoom()
		return Result{Value: r.first}
	}
	if !wellFormed(data[batchHeader:], info) {
		return Result{Err: ErrMalformed}
	}
	return m.appendEach(index, command, info.count, data[batchHeader:])
}

// wellFormed walks over the messages of a batch.
func wellFormed(b []byte, info batchInfo) bool {
	for range info.count {
		flags, body, n, ok := frame(b)
		if !ok {
			return false
		}
		if flags&messageDedup != 0 {
			if _, ok := dedupOf(flags, body); !ok {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// fits tells whether messages may be stored without anyone's being refused.
func (m *Machine) fits(n, bytes uint64) bool {
	s := &m.settings
	if s.Retention == RetainLog || s.Overflow == DropOldest {
		return true
	}
	return (s.MaxDepth == 0 || m.depth()+n <= uint64(s.MaxDepth)) && (s.MaxBytes == 0 || m.bytes+bytes <= uint64(s.MaxBytes))
}

// Room tells a proposer whether messages of the given number and size would be
// stored as things are. The error is ErrFull. What is proposed meanwhile may take
// the room: the outcome of a batch decides.
func (m *Machine) Room(messages, bytes int) error {
	if m.fits(uint64(messages), uint64(bytes)) {
		return nil
	}
	return ErrFull
}

// Duplicate gives the offset of the message that keeps out others with id.
func (m *Machine) Duplicate(id DedupID) (offset uint64, ok bool) {
	if m.settings.DedupWindow == 0 || id == (DedupID{}) {
		return 0, false
	}
	return m.dedup.find(id)
}

// depth is what MaxDepth bounds.
func (m *Machine) depth() uint64 {
	depth, any := uint64(0), false
	if m.settings.Retention == RetainWork {
		for _, g := range m.groups {
			if !g.stream {
				depth, any = max(depth, g.unsettled(m.end)), true
			}
		}
	}
	if !any {
		return m.end - m.start
	}
	return depth
}

// Depth is the number of messages that MaxDepth bounds.
func (m *Machine) Depth() uint64 { return m.depth() }

// appendEach stores a batch message by message.
func (m *Machine) appendEach(index uint64, command, count uint32, b []byte) Result {
	s := &m.settings
	result := Result{Value: m.end}
	r := run{index: index, command: command, time: m.now}
	stored := uint64(0) // behind m.end, in r and in runs before it
	flush := func() {
		if r.count > 0 {
			r.first = m.end
			m.store(&r)
			r.count, r.bytes = 0, 0
		}
	}
	depth := m.depth()
	for pos := range count {
		flags, body, n, _ := frame(b)
		b = b[n:]
		var id DedupID
		if flags&messageDedup != 0 && s.DedupWindow > 0 {
			id, _ = dedupOf(flags, body)
		}
		out := m.admit(id, depth+stored, uint64(n)+r.bytes)
		if out.Status == Stored {
			out.Offset = m.end + uint64(r.count)
			if r.count == 0 {
				r.pos = pos
			}
			r.count++
			r.bytes += uint64(n)
			stored++
			if id != (DedupID{}) {
				m.dedup.add(id, out.Offset, m.now)
			}
		} else {
			flush()
		}
		if out.Status != Stored && result.Outcomes == nil {
			result.Outcomes = make([]Outcome, pos, count)
			for i := range result.Outcomes {
				result.Outcomes[i] = Outcome{Stored, result.Value + uint64(i)}
			}
		}
		if result.Outcomes != nil {
			result.Outcomes = append(result.Outcomes, out)
		}
	}
	flush()
	m.makeRoom()
	return result
}

// admit decides about one message. depth is how many there are, bytes the size
// of those not yet stored, this one included.
func (m *Machine) admit(id DedupID, depth, bytes uint64) Outcome {
	s := &m.settings
	if id != (DedupID{}) {
		if first, ok := m.dedup.find(id); ok {
			return Outcome{Duplicate, first}
		}
		if m.dedup.len() >= s.dedupLimit() {
			return Outcome{Status: Full}
		}
	}
	if s.Retention == RetainWork && s.Overflow == Reject &&
		(s.MaxDepth > 0 && depth >= uint64(s.MaxDepth) || s.MaxBytes > 0 && m.bytes+bytes > uint64(s.MaxBytes)) {
		return Outcome{Status: Full}
	}
	return Outcome{}
}

// store adds a run at the end.
func (m *Machine) store(r *run) {
	m.index.add(r)
	if m.start == m.end {
		m.head = m.index.find(m.start)
	}
	m.end = r.end()
	m.bytes += r.bytes
}
