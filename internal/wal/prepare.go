package wal

import (
	"errors"
	"path"
	"time"

	"github.com/millrace-mq/millrace/internal/vfs"
)

var errNoRoom = errors.New("wal: no free segment and no room for another")

// spaceInterval is how often the room on the disk is looked at: others fill it
// too, and make room again.
const spaceInterval = time.Second

// runPreparer keeps a segment ready for when the active one is full, so that
// going on costs the writer nothing. It appends nothing itself: the writer and
// the reclaimer may wait for it. It is stopped by Close.
func (l *Log) runPreparer() {
	defer l.done.Done()
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.failed:
			return
		case <-tick.C:
			if l.takeMoved() {
				poke(l.tidy)
			}
		case <-l.prepare:
		}
		if err := l.prepareNext(); err != nil {
			l.mu.Lock()
			l.fail(err)
			l.mu.Unlock()
		}
	}
}

// takeMoved tells whether a base advanced since it was last asked.
func (l *Log) takeMoved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.mu.moved
	l.mu.moved = false
	return m
}

// prepareNext makes the next segment if there is none, and looks at the room.
func (l *Log) prepareNext() error {
	l.mu.Lock()
	needed := l.mu.next == nil && l.mu.err == nil
	h := header{class: classHot, prev: l.mu.active.epoch, oldest: l.mu.oldest, salt: l.seed}
	l.mu.Unlock()
	if needed {
		s, err := l.takeSegment(h)
		if err != nil && !errors.Is(err, errNoRoom) {
			return err
		}
		l.mu.Lock()
		l.mu.next = s
		l.mu.stuck = s == nil
		l.mu.Unlock()
	}
	return l.lookAtRoom()
}

// takeSegment begins a new use of a free segment, or of a new one.
// Error: errNoRoom.
func (l *Log) takeSegment(h header) (*segment, error) {
	l.mu.Lock()
	l.mu.epoch++
	h.epoch = l.mu.epoch
	s := l.popFree()
	l.mu.Unlock()
	if s != nil {
		l.stats.recycled.Add(1)
	} else {
		var err error
		if s, err = l.newSegment(false); err != nil {
			return nil, err
		}
	}
	if err := s.begin(h); err != nil {
		return nil, err
	}
	return s, nil
}

// popFree takes a free segment that no reader holds. l.mu is held.
func (l *Log) popFree() *segment {
	for i, s := range l.mu.free {
		if s.refs.Load() == 0 {
			l.mu.free = append(l.mu.free[:i], l.mu.free[i+1:]...)
			return s
		}
	}
	return nil
}

// newSegment makes a file. Error: errNoRoom.
func (l *Log) newSegment(zero bool) (*segment, error) {
	l.mu.Lock()
	l.mu.num++
	num := l.mu.num
	used := l.usedBytes()
	l.mu.Unlock()
	if l.opt.MaxBytes > 0 && used+l.opt.SegmentSize > l.opt.MaxBytes {
		return nil, errNoRoom
	}
	s, err := createSegment(l.opt.FS, l.opt.Dir, num, l.opt.SegmentSize, zero)
	if errors.Is(err, vfs.ErrNoSpace) {
		return nil, errNoRoom
	}
	return s, err
}

// usedBytes is the size of all segments. l.mu is held.
func (l *Log) usedBytes() (n int64) {
	for _, list := range [][]*segment{l.mu.hot, l.mu.cold, l.mu.free, {l.mu.next}} {
		for _, s := range list {
			if s != nil {
				n += s.size
			}
		}
	}
	return n
}

// lookAtRoom finds out whether the reserve is touched, tells appenders that
// wait for room and, when room came back, whoever asked with OnRoom.
func (l *Log) lookAtRoom() error {
	space, err := l.opt.FS.Space(l.opt.Dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	room := space.Free
	if l.opt.MaxBytes > 0 {
		room = min(room, l.opt.MaxBytes-l.usedBytes())
	}
	for _, s := range l.mu.free {
		room += s.size
	}
	is := l.mu.stuck || room < l.opt.Reserve
	was := l.full.Swap(is)
	l.room.Broadcast()
	l.mu.Unlock()
	switch {
	case is && !was:
		l.opt.Logger.Warn("the disk has reached its reserve: new data is refused", "free", room, "reserve", l.opt.Reserve)
		poke(l.tidy)
	case was && !is:
		l.opt.Logger.Info("the disk has room again", "free", room)
		if f := l.onRoom.Load(); f != nil {
			(*f)()
		}
	}
	return nil
}

// OnRoom sets a function that is called when Full has become false. It must
// not block.
func (l *Log) OnRoom(f func()) { l.onRoom.Store(&f) }

// release makes a segment free, or removes it if enough are. The segment is in
// no list, and nothing in the index refers to it.
func (l *Log) release(s *segment) error {
	l.mu.Lock()
	keep := len(l.mu.free) < l.opt.SpareSegments && s.size == l.opt.SegmentSize || s.refs.Load() > 0
	if keep {
		l.mu.free = append(l.mu.free, s)
	}
	l.mu.Unlock()
	poke(l.prepare)
	if keep {
		return nil
	}
	if err := errors.Join(s.file.Close(), l.opt.FS.Remove(path.Join(l.opt.Dir, s.name))); err != nil {
		return err
	}
	return l.opt.FS.SyncDir(l.opt.Dir)
}
