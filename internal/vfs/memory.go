package vfs

import (
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
)

// Memory is a file system in memory, for tests. Nothing in it ever fails, and
// everything is lost with it. Make one with NewMemory.
type Memory struct {
	d disk
}

// disk is the tree behind Memory and Faulty. rules is nil in Memory.
type disk struct {
	mu struct {
		sync.Mutex
		root  *dir
		locks map[string]*lock
	}
	rules *rules
}

// dir is a directory. journal and synced are kept by Faulty only.
type dir struct {
	entries map[string]any // *dir or *inode
	synced  map[string]any // entries as of the last SyncDir
	journal []dirOp        // what happened since
}

// dirOp is one change of a directory, kept or lost as a whole. A rename within
// a directory is one operation; one between directories is not supported.
type dirOp struct {
	remove string // this name goes; "" none
	add    string // this name refers to node; "" none
	node   any
}

// inode is a file's content. synced and pending are kept by Faulty only.
type inode struct {
	mu struct {
		sync.RWMutex
		data    []byte
		synced  []byte
		pending []extent // written since the last successful Sync
	}
}

// extent is one write that no Sync has covered. size is the length of the
// file after it; data is nil for a Truncate.
type extent struct {
	off  int64
	data []byte
	size int64
}

type memFile struct {
	d        *disk
	name     string
	node     *inode
	readOnly bool
}

type lock struct {
	d    *disk
	name string
}

// NewMemory makes an empty file system whose root directory exists.
func NewMemory() *Memory {
	m := &Memory{}
	m.d.init(nil)
	return m
}

func (d *disk) init(r *rules) {
	d.rules = r
	d.mu.root = newDir()
	d.mu.locks = make(map[string]*lock)
}

func newDir() *dir {
	return &dir{entries: make(map[string]any), synced: make(map[string]any)}
}

func notExist(op, name string) error { return fmt.Errorf("%s %s: %w", op, name, ErrNotExist) }

// clean gives the elements of a path below the root.
func clean(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// walk finds a directory. d.mu is held.
func (d *disk) walk(elems []string) *dir {
	at := d.mu.root
	for _, e := range elems {
		next, ok := at.entries[e].(*dir)
		if !ok {
			return nil
		}
		at = next
	}
	return at
}

// split finds the directory of a name, and the name in it. d.mu is held.
func (d *disk) split(name string) (*dir, string) {
	elems := clean(name)
	if len(elems) == 0 {
		return nil, ""
	}
	return d.walk(elems[:len(elems)-1]), elems[len(elems)-1]
}

// change does a directory operation and remembers it until a SyncDir.
func (d *disk) change(in *dir, op dirOp) {
	op.apply(in.entries)
	if d.rules != nil {
		in.journal = append(in.journal, op)
	}
}

func (op dirOp) apply(to map[string]any) {
	if op.remove != "" {
		delete(to, op.remove)
	}
	if op.add != "" {
		to[op.add] = op.node
	}
}

func (d *disk) create(name string) (File, error) {
	if err := d.rules.step(opDir); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.split(name)
	if in == nil {
		return nil, notExist("create", name)
	}
	if in.entries[base] != nil {
		return nil, fmt.Errorf("create %s: %w", name, ErrExist)
	}
	node := &inode{}
	d.change(in, dirOp{add: base, node: node})
	return &memFile{d: d, name: name, node: node}, nil
}

func (d *disk) open(name string, readOnly bool) (File, error) {
	if err := d.rules.alive(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.split(name)
	if in == nil {
		return nil, notExist("open", name)
	}
	node, ok := in.entries[base].(*inode)
	if !ok {
		return nil, notExist("open", name)
	}
	return &memFile{d: d, name: name, node: node, readOnly: readOnly}, nil
}

func (d *disk) remove(name string) error {
	if err := d.rules.step(opDir); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.split(name)
	if in == nil {
		return notExist("remove", name)
	}
	node, ok := in.entries[base].(*inode)
	if !ok {
		return notExist("remove", name)
	}
	d.rules.release(node.size())
	d.change(in, dirOp{remove: base})
	return nil
}

func (d *disk) rename(oldName, newName string) error {
	if err := d.rules.step(opDir); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	from, oldBase := d.split(oldName)
	to, newBase := d.split(newName)
	if from == nil || to == nil || from.entries[oldBase] == nil {
		return notExist("rename", oldName)
	}
	if from != to {
		return fmt.Errorf("rename %s to another directory: not supported", oldName)
	}
	if oldBase != newBase {
		d.change(from, dirOp{remove: oldBase, add: newBase, node: from.entries[oldBase]})
	}
	return nil
}

func (d *disk) list(name string) ([]string, error) {
	if err := d.rules.alive(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.walk(clean(name))
	if at == nil {
		return nil, notExist("list", name)
	}
	names := make([]string, 0, len(at.entries))
	for n := range at.entries {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

func (d *disk) mkdirAll(name string) error {
	if err := d.rules.step(opDir); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.mu.root
	for _, e := range clean(name) {
		if at.entries[e] == nil {
			d.change(at, dirOp{add: e, node: newDir()})
		}
		next, ok := at.entries[e].(*dir)
		if !ok {
			return fmt.Errorf("mkdir %s: %w", name, ErrExist)
		}
		at = next
	}
	return nil
}

func (d *disk) syncDir(name string) error {
	if err := d.rules.step(opSyncDir); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.walk(clean(name))
	if at == nil {
		return notExist("sync", name)
	}
	if d.rules != nil && !d.rules.lieDir {
		for _, op := range at.journal {
			op.apply(at.synced)
		}
		at.journal = nil
	}
	return nil
}

func (d *disk) lock(name string) (io.Closer, error) {
	if err := d.rules.alive(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in, _ := d.split(name); in == nil {
		return nil, notExist("lock", name)
	}
	name = strings.Join(clean(name), "/")
	if d.mu.locks[name] != nil {
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	l := &lock{d: d, name: name}
	d.mu.locks[name] = l
	return l, nil
}

// Close gives the lock back; a second call does nothing.
func (l *lock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if l.d.mu.locks[l.name] == l {
		delete(l.d.mu.locks, l.name)
	}
	return nil
}

func (n *inode) size() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return int64(len(n.mu.data))
}

// Create implements FS.
func (m *Memory) Create(name string) (File, error) { return m.d.create(name) }

// Open implements FS.
func (m *Memory) Open(name string) (File, error) { return m.d.open(name, true) }

// OpenWrite implements FS.
func (m *Memory) OpenWrite(name string) (File, error) { return m.d.open(name, false) }

// Remove implements FS.
func (m *Memory) Remove(name string) error { return m.d.remove(name) }

// Rename implements FS, within one directory.
func (m *Memory) Rename(oldName, newName string) error { return m.d.rename(oldName, newName) }

// List implements FS.
func (m *Memory) List(name string) ([]string, error) { return m.d.list(name) }

// MkdirAll implements FS.
func (m *Memory) MkdirAll(name string) error { return m.d.mkdirAll(name) }

// SyncDir implements FS.
func (m *Memory) SyncDir(name string) error { return m.d.syncDir(name) }

// Lock implements FS.
func (m *Memory) Lock(name string) (io.Closer, error) { return m.d.lock(name) }

// Space implements FS: there is always room.
func (m *Memory) Space(string) (Space, error) {
	return Space{Free: math.MaxInt64 / 2, Total: math.MaxInt64}, nil
}
