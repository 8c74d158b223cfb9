package depot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/millrace-mq/millrace/internal/replog"
)

// Refusals of the catalog.
var (
	ErrExists     = errors.New("depot: there is a queue of that name")
	ErrNotFound   = errors.New("depot: no such queue")
	ErrPartitions = errors.New("depot: the number of partitions of a queue cannot be changed")
	ErrTooMany    = errors.New("depot: too many queues, or partitions of all queues together")
	errCommand    = errors.New("depot: command of a newer version, or malformed")
)

// record is what the catalog holds of a queue.
type record struct {
	ID       uint64   `json:"id"` // never used again
	Name     string   `json:"name"`
	Settings Settings `json:"settings"`
	Groups   []uint64 `json:"groups"` // of the log of each partition; never used again
}

// change is a command of the catalog: one of its members is set. It is JSON behind a byte with the version, since there are few.
type change struct {
	Create *createQueue `json:"create,omitempty"`
	Alter  *alterQueue  `json:"alter,omitempty"`
	Delete *deleteQueue `json:"delete,omitempty"`
}

type createQueue struct {
	Name     string   `json:"name"`
	Settings Settings `json:"settings"`
	// MaxQueues and MaxPartitions are the proposer's bounds; 0: none.
	MaxQueues     int `json:"max_queues,omitempty"`
	MaxPartitions int `json:"max_partitions,omitempty"`
}

type alterQueue struct {
	Name     string   `json:"name"`
	Settings Settings `json:"settings"`
}

type deleteQueue struct {
	Name string `json:"name"`
	// Groups are deleted one replica set at a time by whoever follows the catalog.
	ID uint64 `json:"id"` // 0: whichever has the name
}

const catalogVersion = 1

func (c *change) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("depot: a change that cannot be encoded: " + err.Error())
	}
	return append([]byte{catalogVersion}, b...)
}

// catalog is the replicated table of queues: the state machine of group 0. What it decides follows from its commands alone.
type catalog struct {
	changed chan struct{} // has a token when the state or the leadership changed

	mu struct {
		sync.Mutex
		state catalogState
		leads replog.Leadership
		// applied is the index of the entry that state is of.
		applied uint64
	}
}

type catalogState struct {
	NextID    uint64    `json:"next_id"`
	NextGroup uint64    `json:"next_group"`
	Queues    []*record `json:"queues"` // by name
}

func newCatalog() *catalog {
	c := &catalog{changed: make(chan struct{}, 1)}
	c.mu.state = emptyCatalog()
	return c
}

func emptyCatalog() catalogState { return catalogState{NextID: 1, NextGroup: firstGroup} }

func (c *catalog) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Apply implements replog.StateMachine.
func (c *catalog) Apply(entries []replog.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range entries {
		for n := range entries[i].Commands {
			cmd := &entries[i].Commands[n]
			r, err := c.mu.state.apply(cmd.Data)
			if err != nil {
				cmd.Result.Detail = err
			} else {
				cmd.Result.Value = r.ID
			}
		}
		c.mu.applied = entries[i].Index
	}
	c.signal()
}

// apply gives the record that a command was about.
func (s *catalogState) apply(data []byte) (*record, error) {
	var c change
	if len(data) == 0 || data[0] != catalogVersion || json.Unmarshal(data[1:], &c) != nil {
		return nil, errCommand
	}
	switch {
	case c.Create != nil:
		return s.create(c.Create)
	case c.Alter != nil:
		return s.alter(c.Alter)
	case c.Delete != nil:
		return s.remove(c.Delete)
	}
	return nil, errCommand
}

func (s *catalogState) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Queues, name, func(r *record, name string) int { return bytes.Compare([]byte(r.Name), []byte(name)) })
}

func (s *catalogState) create(c *createQueue) (*record, error) {
	i, exists := s.find(c.Name)
	if exists {
		return s.Queues[i], ErrExists
	}
	if err := errors.Join(CheckName(c.Name), c.Settings.Check()); err != nil {
		return nil, err
	}
	partitions := c.Settings.Partitions
	for _, r := range s.Queues {
		partitions += len(r.Groups)
	}
	if c.MaxQueues > 0 && len(s.Queues) >= c.MaxQueues || c.MaxPartitions > 0 && partitions > c.MaxPartitions {
		return nil, ErrTooMany
	}
	r := &record{ID: s.NextID, Name: c.Name, Settings: c.Settings, Groups: make([]uint64, c.Settings.Partitions)}
	s.NextID++
	for p := range r.Groups {
		r.Groups[p] = s.NextGroup
		s.NextGroup++
	}
	s.Queues = slices.Insert(s.Queues, i, r)
	return r, nil
}

func (s *catalogState) alter(c *alterQueue) (*record, error) {
	i, exists := s.find(c.Name)
	if !exists {
		return nil, ErrNotFound
	}
	if err := c.Settings.Check(); err != nil {
		return nil, err
	}
	old := s.Queues[i]
	if c.Settings.Partitions != len(old.Groups) {
		return nil, ErrPartitions
	}
	r := *old // readers may hold the old one
	r.Settings = c.Settings
	s.Queues[i] = &r
	return &r, nil
}

func (s *catalogState) remove(c *deleteQueue) (*record, error) {
	i, exists := s.find(c.Name)
	if !exists || c.ID != 0 && c.ID != s.Queues[i].ID {
		return nil, ErrNotFound
	}
	r := s.Queues[i]
	s.Queues = slices.Delete(s.Queues, i, i+1)
	return r, nil
}

// Snapshot implements replog.StateMachine.
func (c *catalog) Snapshot(dst []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := json.Marshal(&c.mu.state)
	return append(append(dst, catalogVersion), b...), err
}

// Restore implements replog.StateMachine.
func (c *catalog) Restore(index uint64, data []byte) error {
	s := emptyCatalog()
	if len(data) > 0 {
		if data[0] != catalogVersion {
			return fmt.Errorf("depot: catalog of version %d", data[0])
		}
		if err := json.Unmarshal(data[1:], &s); err != nil {
			return fmt.Errorf("depot: malformed catalog: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.state, c.mu.applied = s, index
	c.signal()
	return nil
}

// Floor implements replog.StateMachine: the snapshot is all.
func (c *catalog) Floor() uint64 { return math.MaxUint64 }

// Lead implements replog.StateMachine.
func (c *catalog) Lead(l replog.Leadership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.leads = l
	c.signal()
}

// list gives the records of now, by name. They do not change.
func (c *catalog) list() (records []*record, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.state.Queues), c.mu.leads.Mine
}
