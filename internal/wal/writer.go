package wal

// The writer.
//
// Appenders encode their records into the current batch under Log.mu, which
// also settles where each will stand. The writer swaps the batch for an empty
// one, writes it with one call, syncs with one call, publishes where the
// entries stand and passes the batch on to the notifier, which tells the
// waiters. While it syncs, the next batch fills: the slower the disk, the
// larger the batch, without a timer.
//
// A batch that goes over the end of a segment is written in parts, and each
// part is synced before the next is written. So whatever is found in a segment
// proves that its predecessor is complete, End record included.
//
// Waiters are told by a goroutine of their own, because waking thousands takes
// longer than a sync; a batch with few is told by the writer itself, which
// saves a lone client the switch.

// inlineWaiters is how many waiters the writer tells by itself.
const inlineWaiters = 16

// spareBatches are kept: one fills, one is written, and the waiters of two are told.
const spareBatches = 3

// runWriter is stopped by Close, or by the first disk error.
func (l *Log) runWriter() {
	defer l.done.Done()
	defer close(l.notify)
	for {
		l.mu.Lock()
		for !l.mu.urgent && !l.mu.closed && l.mu.err == nil {
			l.work.Wait()
		}
		if l.mu.closed && len(l.mu.cur.buf) == 0 && len(l.mu.dirty) == 0 || l.mu.err != nil {
			l.abandon()
			l.mu.Unlock()
			return
		}
		b := l.swap()
		l.mu.Unlock()
		l.commit(b)
	}
}

// runNotifier is stopped by the writer, which closes its channel.
func (l *Log) runNotifier() {
	defer l.done.Done()
	for b := range l.notify {
		l.finish(b)
		l.inFlight.Add(-1)
	}
}

// abandon tells those who wait in the current batch that it will not be
// written. l.mu is held.
func (l *Log) abandon() {
	b := l.mu.cur
	l.mu.cur = &batch{}
	b.err = l.mu.err
	if b.err == nil {
		b.err = ErrClosed
	}
	if len(b.waiters) > 0 {
		l.inFlight.Add(1)
		l.notify <- b
	}
}

// flush does a turn of the writer in the caller's goroutine.
func (l *Log) flush() {
	l.mu.Lock()
	if l.mu.next == nil && l.mu.err == nil {
		l.mu.Unlock()
		err := l.prepareNext()
		l.mu.Lock()
		if err != nil {
			l.fail(err)
		}
	}
	b := l.swap()
	if l.mu.err != nil {
		b.err = l.mu.err
		l.mu.Unlock()
		l.finish(b)
		return
	}
	l.mu.Unlock()
	l.commit(b)
}

// swap takes the current batch, with the pending hard states. l.mu is held.
func (l *Log) swap() *batch {
	l.takeDirty()
	b := l.mu.cur
	l.mu.cur = &batch{}
	if n := len(l.mu.spare); n > 0 {
		l.mu.cur, l.mu.spare = l.mu.spare[n-1], l.mu.spare[:n-1]
	}
	l.mu.urgent = false
	l.room.Broadcast()
	return b
}

// takeDirty encodes the states and bases that wait for a write. Those that do
// not fit while no next segment is ready stay: the writer must not wait.
func (l *Log) takeDirty() {
	kept := l.mu.dirty[:0]
	for _, g := range l.mu.dirty {
		a := &g.app
		if s := l.mu.active; l.mu.next == nil && s.size-endSize-s.off < 2*stateSize {
			kept = append(kept, g)
			continue
		}
		// put cannot fail: there is room.
		if a.dirtyBase {
			_ = l.putBase(g)
		}
		if a.dirtyState {
			_ = l.putState(g)
		}
		a.dirty = false
	}
	clear(l.mu.dirty[len(kept):])
	l.mu.dirty = kept
}

// commit puts a batch on disk and lets its consequences show.
func (l *Log) commit(b *batch) {
	if err := l.writeOut(b); err != nil {
		l.mu.Lock()
		l.fail(err)
		b.err = l.mu.err
		l.mu.Unlock()
	} else {
		l.publish(b)
	}
	if l.opt.Manual || len(b.waiters) <= inlineWaiters && l.inFlight.Load() == 0 {
		l.finish(b)
		return
	}
	l.inFlight.Add(1)
	l.notify <- b
}

func (l *Log) writeOut(b *batch) error {
	for _, p := range b.parts {
		if _, err := p.seg.file.WriteAt(b.buf[p.from:p.to], p.off); err != nil {
			return err
		}
		if err := p.seg.file.Sync(); err != nil {
			return err
		}
		l.stats.written.Add(int64(p.to - p.from))
		l.stats.syncs.Add(1)
	}
	return nil
}

// publish makes a batch that is on disk visible to readers.
func (l *Log) publish(b *batch) {
	for _, p := range b.parts {
		p.seg.end.Store(p.off + int64(p.to-p.from))
	}
	var stale []*segment
	for i := 0; i < len(b.ops); {
		g := b.ops[i].g
		g.mu.Lock()
		for ; i < len(b.ops) && b.ops[i].g == g; i++ {
			stale = append(stale, g.mu.apply(&b.ops[i], b.offs)...)
		}
		g.mu.Unlock()
	}
	if len(stale) > 0 {
		l.mu.Lock()
		for _, s := range stale {
			s.stale = true
		}
		l.mu.Unlock()
	}
}

// apply makes one change of a batch.
func (d *onDisk) apply(o *op, offs []uint32) (stale []*segment) {
	switch o.kind {
	case kindEntry:
		return d.add(o.seg, o.index, o.term, offs[o.from:o.to], o.bytes)
	case kindCarry:
		d.relocate([]run{{seg: o.seg, first: o.index, term: o.term, offs: offs[o.from:o.to], bytes: o.bytes}})
	case kindState:
		d.exists = true
		d.commit = o.index
	case kindBase:
		stale = d.setBase(Base{Index: o.index, Term: o.term, Reset: o.tag == resetTag})
		if o.tag == resetTag {
			stale = append(stale, o.seg)
			d.void = horizon{hot: o.seg.epoch, cold: o.cold}
		}
	case kindChunk:
		d.addChunk(o.index, int(o.term), place{seg: o.seg, off: o.off, len: int(o.bytes)})
	case kindSnapshot:
		d.endSnapshot(o.seg, o.index, int(o.term), uint64(o.bytes))
	case kindRemove:
		stale = append(d.remove(), o.seg)
		d.void = horizon{hot: o.seg.epoch, cold: o.cold}
	}
	return stale
}

// remove forgets everything. The segment in which it was said counts as stale
// too: it may hold entries before and after with the same indexes.
func (d *onDisk) remove() (stale []*segment) {
	stale = d.cut(0)
	*d = onDisk{}
	return stale
}

// finish tells the waiters of a batch, and keeps its buffers for another.
func (l *Log) finish(b *batch) {
	for _, w := range b.waiters {
		w.Durable(b.err)
	}
	b.reset()
	l.mu.Lock()
	if len(l.mu.spare) < spareBatches {
		l.mu.spare = append(l.mu.spare, b)
	}
	l.mu.Unlock()
}
