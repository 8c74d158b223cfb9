package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

var (
	// ErrSyncFailed is the injected failure of a Sync.
	ErrSyncFailed = errors.New("vfs: injected fsync failure")
	// ErrPowerOff is what every operation gives after the power was cut.
	ErrPowerOff = errors.New("vfs: power is off")

	// errCut marks the very operation at which the power was cut; it is an
	// ErrPowerOff too.
	errCut = fmt.Errorf("%w, in this operation", ErrPowerOff)
)

// sector is what a disk writes at once: the unit in which unsynced data survives.
const sector = 512

// Faulty is a memory disk that can lose power and fail. The same seed and the
// same operations give the same faults, as long as one goroutine works on it
// at a time. Make one with NewFaulty; its knobs may be turned at any time.
type Faulty struct {
	d disk
	r *rules
}

// op is the kind of an operation that changes the disk.
type op byte

const (
	opWrite op = iota
	opSync
	opDir
	opSyncDir
)

// rules are the faults of a disk. A nil *rules has none.
type rules struct {
	lieSync, lieDir bool // set before use only

	mu struct {
		sync.Mutex
		rng      *rand.Rand
		ops      int // changes so far
		cutAt    int // the power goes off in this one; 0 never
		off      bool
		failSync int // the n-th Sync from now fails; 0 none
		capacity int64
		used     int64
	}
}

// NewFaulty makes an empty disk without faults.
func NewFaulty(seed uint64) *Faulty {
	r := &rules{}
	r.mu.rng = rand.New(rand.NewPCG(seed, 0x6d696c6c))
	r.mu.capacity = math.MaxInt64 / 2
	f := &Faulty{r: r}
	f.d.init(r)
	return f
}

// Ops is the number of operations so far that changed, or would have changed,
// the disk: writes, truncations, syncs, and changes of directories. Each is a
// boundary at which CutPower can strike.
func (f *Faulty) Ops() int {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return f.r.mu.ops
}

// CutPower makes the power go off in the n-th changing operation from now, 1
// being the next one. That operation, and all after it, fail with ErrPowerOff;
// a write among them may be found in part by Crash.
func (f *Faulty) CutPower(n int) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.mu.cutAt = f.r.mu.ops + n
}

// FailSync makes the n-th Sync of a file from now fail; what it should have
// made durable is never written, as on a real disk, even if a later Sync
// succeeds.
func (f *Faulty) FailSync(n int) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.mu.failSync = n
}

// SetCapacity limits the sum of all file lengths, in bytes. It may be set
// below what is in use: nothing can grow then.
func (f *Faulty) SetCapacity(n int64) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.mu.capacity = n
}

// LieAboutSync makes every Sync succeed without doing anything: the planted
// bug "acknowledge before fsync". Call it before the disk is used.
func (f *Faulty) LieAboutSync() { f.r.lieSync = true }

// LieAboutSyncDir does the same to SyncDir: the planted bug "forget to sync
// the directory". Call it before the disk is used.
func (f *Faulty) LieAboutSyncDir() { f.r.lieDir = true }

// Flip turns over one bit of a file, on the disk itself.
func (f *Faulty) Flip(name string, off int64, bit uint) error {
	file, err := f.d.open(name, false)
	if err != nil {
		return err
	}
	n := &file.(*memFile).node.mu
	n.Lock()
	defer n.Unlock()
	if off >= int64(len(n.data)) {
		return fmt.Errorf("flip %s at %d: %w", name, off, io.EOF)
	}
	n.data[off] ^= 1 << (bit % 8)
	if off < int64(len(n.synced)) {
		n.synced[off] ^= 1 << (bit % 8)
	}
	return nil
}

// step counts a changing operation and says which fault it meets.
func (r *rules) step(kind op) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.off {
		return ErrPowerOff
	}
	r.mu.ops++
	if r.mu.ops == r.mu.cutAt {
		r.mu.off = true
		return errCut
	}
	if kind == opSync && r.mu.failSync > 0 {
		r.mu.failSync--
		if r.mu.failSync == 0 {
			return ErrSyncFailed
		}
	}
	return nil
}

func (r *rules) alive() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.off {
		return ErrPowerOff
	}
	return nil
}

// take reserves room for a file that grows by n bytes (or gives it back).
func (r *rules) take(n int64) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > 0 && r.mu.used+n > r.mu.capacity {
		return ErrNoSpace
	}
	r.mu.used += n
	return nil
}

func (r *rules) release(n int64) { _ = r.take(-n) } // giving back never fails

// remember keeps what a power loss may undo; the inode's lock is held.
func (r *rules) remember(n *inode, e extent) {
	if r == nil {
		return
	}
	e.data = bytes.Clone(e.data)
	n.mu.pending = append(n.mu.pending, e)
}

// Crash gives the disk as it is found after the power came back: a new disk
// with the same knobs, the power on and no cut planned. Each call may find
// something else, as the seed has it; f is not changed and is dead if its
// power was cut.
func (f *Faulty) Crash() *Faulty {
	f.r.mu.Lock()
	rng := rand.New(rand.NewPCG(f.r.mu.rng.Uint64(), f.r.mu.rng.Uint64()))
	capacity := f.r.mu.capacity
	f.r.mu.Unlock()
	found := NewFaulty(rng.Uint64())
	found.r.mu.capacity = capacity
	found.r.lieSync, found.r.lieDir = f.r.lieSync, f.r.lieDir
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	c := crash{rng: rng, files: make(map[*inode]*inode)}
	found.d.mu.root = c.dir(f.d.mu.root)
	for _, n := range c.files {
		found.r.mu.used += int64(len(n.mu.data))
	}
	return found
}

// crash copies a tree as the power loss left it.
type crash struct {
	rng   *rand.Rand
	files map[*inode]*inode // a file renamed without a sync may have two names
}

func (c *crash) dir(d *dir) *dir {
	names := make(map[string]any)
	for n, e := range d.synced {
		names[n] = e
	}
	for _, op := range d.journal {
		if c.rng.IntN(2) == 0 {
			op.apply(names)
		}
	}
	order := make([]string, 0, len(names))
	for n := range names {
		order = append(order, n)
	}
	slices.Sort(order)
	out := newDir()
	for _, n := range order {
		var copied any
		switch e := names[n].(type) {
		case *dir:
			copied = c.dir(e)
		case *inode:
			copied = c.file(e)
		}
		out.entries[n], out.synced[n] = copied, copied
	}
	return out
}

func (c *crash) file(n *inode) *inode {
	if done := c.files[n]; done != nil {
		return done
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	b := bytes.Clone(n.mu.synced)
	switch c.rng.IntN(4) {
	case 0: // the disk had written nothing yet
	case 1: // everything but the last write, which is cut
		for i, e := range n.mu.pending {
			if i == len(n.mu.pending)-1 && e.data != nil {
				e.data = e.data[:c.rng.IntN(len(e.data)+1)]
				e.size = max(int64(len(b)), e.off+int64(len(e.data)))
			}
			b = e.apply(b)
		}
	default: // any sector of any write
		for _, e := range n.mu.pending {
			b = c.sectors(b, e)
		}
	}
	out := &inode{}
	out.mu.data, out.mu.synced = b, bytes.Clone(b)
	c.files[n] = out
	return out
}

// sectors keeps each sector of a write or loses it; now and then one is torn.
func (c *crash) sectors(b []byte, e extent) []byte {
	if e.data == nil {
		if c.rng.IntN(2) == 0 {
			return resize(b, e.size)
		}
		return b
	}
	for from := int64(0); from < int64(len(e.data)); {
		to := min(from+sector-(e.off+from)%sector, int64(len(e.data)))
		part := extent{off: e.off + from, data: e.data[from:to]}
		switch c.rng.IntN(8) {
		case 0, 1, 2: // lost
		case 3: // torn
			part.data = part.data[:c.rng.IntN(len(part.data)+1)]
			b = part.apply(b)
		default:
			b = part.apply(b)
		}
		from = to
	}
	return b
}

// Create implements FS.
func (f *Faulty) Create(name string) (File, error) { return f.d.create(name) }

// Open implements FS.
func (f *Faulty) Open(name string) (File, error) { return f.d.open(name, true) }

// OpenWrite implements FS.
func (f *Faulty) OpenWrite(name string) (File, error) { return f.d.open(name, false) }

// Remove implements FS.
func (f *Faulty) Remove(name string) error { return f.d.remove(name) }

// Rename implements FS, within one directory.
func (f *Faulty) Rename(oldName, newName string) error { return f.d.rename(oldName, newName) }

// List implements FS.
func (f *Faulty) List(name string) ([]string, error) { return f.d.list(name) }

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string) error { return f.d.mkdirAll(name) }

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error { return f.d.syncDir(name) }

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) { return f.d.lock(name) }

// Space implements FS.
func (f *Faulty) Space(string) (Space, error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.r.mu.off {
		return Space{}, ErrPowerOff
	}
	return Space{Free: max(0, f.r.mu.capacity-f.r.mu.used), Total: f.r.mu.capacity}, nil
}
