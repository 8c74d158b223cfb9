package wal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
)

// model is what a log should hold: a plain description of the promises.
type model map[uint64]*modelGroup

type modelGroup struct {
	state    HardState
	base     Base
	entries  []Entry // from base.Index+1
	snapshot Snapshot
}

// change is what may or may not be there after a crash, as a whole.
type change struct {
	group    uint64
	entry    *Entry
	state    *HardState
	base     *Base
	snapshot *Snapshot
	remove   bool
}

func (m model) clone() model {
	c := make(model, len(m))
	for id, g := range m {
		n := *g
		n.entries = slices.Clone(g.entries)
		c[id] = &n
	}
	return c
}

func (g *modelGroup) last() uint64 { return g.base.Index + uint64(len(g.entries)) }

func (m model) apply(c change) {
	if c.remove {
		delete(m, c.group)
		return
	}
	g := m[c.group]
	if g == nil {
		g = &modelGroup{}
		m[c.group] = g
	}
	switch {
	case c.entry != nil:
		g.entries = append(g.entries[:c.entry.Index-g.base.Index-1:c.entry.Index-g.base.Index-1], *c.entry)
	case c.state != nil:
		g.state = *c.state
	case c.snapshot != nil:
		if c.snapshot.Index > g.snapshot.Index {
			g.snapshot = *c.snapshot
		}
	case c.base != nil && c.base.Reset:
		g.base, g.entries = Base{Index: c.base.Index, Term: c.base.Term}, nil
	case c.base != nil && c.base.Index > g.base.Index:
		g.entries = g.entries[c.base.Index-g.base.Index:]
		g.base = *c.base
	}
	g.state.Commit = max(g.state.Commit, g.base.Index)
}

// differs compares a log with the model; "" means that they agree.
func (m model) differs(l *Log) string {
	if got, want := l.Groups(), slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
		return fmt.Sprintf("groups are %v, want %v", got, want)
	}
	var r Reader
	for _, id := range slices.Sorted(maps.Keys(m)) {
		g := m[id]
		info, err := l.Info(id)
		want := GroupInfo{State: g.state, Base: g.base, Last: g.last(), Snapshot: g.snapshot.Index}
		if err != nil || info != want {
			return fmt.Sprintf("group %d is %+v, %v; want %+v", id, info, err, want)
		}
		for next := g.base.Index + 1; next <= g.last(); {
			es, err := l.Read(&r, id, next, g.last()+1, 2000)
			if err != nil {
				return fmt.Sprintf("group %d: reading %d: %v", id, next, err)
			}
			for _, e := range es {
				w := g.entries[next-g.base.Index-1]
				if e.Index != w.Index || e.Term != w.Term || e.Tag != w.Tag || !bytes.Equal(e.Data, w.Data) {
					return fmt.Sprintf("group %d: entry %d is not what was written", id, next)
				}
				next++
			}
		}
		if g.snapshot.Index > 0 {
			if s, err := l.Snapshot(id); err != nil || !bytes.Equal(s.Data, g.snapshot.Data) {
				return fmt.Sprintf("group %d: snapshot %d is not what was written: %v", id, g.snapshot.Index, err)
			}
		}
	}
	return ""
}

// rig drives a log with random updates and knows what it must hold.
type rig struct {
	rng   *rand.Rand
	fs    *vfs.Faulty
	opt   Options
	log   *Log
	sure  model    // on disk, since a Flush succeeded
	maybe []change // appended since
	now   model    // sure with all of maybe
	lazy  []uint64 // groups with a state or base that goes with the next write
	lazyS map[uint64]*HardState
	lazyB map[uint64]*Base
}

func newRig(seed uint64, prepare func(*vfs.Faulty, *Options)) *rig {
	r := &rig{
		rng: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewFaulty(seed),
		opt: Options{
			Dir: "d/wal", SegmentSize: 16 << 10, HotSegments: 2, SpareSegments: 1,
			Reserve: 1, Manual: true, Salt: seed + 1,
		},
		sure: model{}, now: model{}, lazyS: map[uint64]*HardState{}, lazyB: map[uint64]*Base{},
	}
	if prepare != nil {
		prepare(r.fs, &r.opt)
	}
	return r
}

func (r *rig) open() (err error) {
	r.opt.FS = r.fs
	r.log, err = Open(r.opt)
	return err
}

func (r *rig) note(c change) {
	r.maybe = append(r.maybe, c)
	r.now.apply(c)
}

// append appends an update and notes its parts.
func (r *rig) append(u Update) error {
	if u.Snapshot != nil {
		r.note(change{group: u.Group, snapshot: u.Snapshot})
	}
	if u.Base != nil {
		delete(r.lazyB, u.Group)
		r.note(change{group: u.Group, base: u.Base})
	}
	for i := range u.Entries {
		r.note(change{group: u.Group, entry: &u.Entries[i]})
	}
	if u.State != nil {
		delete(r.lazyS, u.Group)
		r.note(change{group: u.Group, state: u.State})
	}
	return r.log.Append(&u, make(chanWaiter, 1))
}

// later appends a state and a base that need not be synced.
func (r *rig) later(id uint64, s *HardState, b *Base) error {
	if !slices.Contains(r.lazy, id) {
		r.lazy = append(r.lazy, id)
	}
	if s != nil {
		r.lazyS[id] = s
	}
	if b != nil {
		r.lazyB[id] = b
	}
	return r.log.Append(&Update{Group: id, State: s, Base: b}, nil)
}

func (r *rig) flush() error {
	for _, id := range r.lazy {
		if b := r.lazyB[id]; b != nil {
			r.note(change{group: id, base: b})
		}
		if s := r.lazyS[id]; s != nil {
			r.note(change{group: id, state: s})
		}
	}
	r.lazy, r.lazyS, r.lazyB = nil, map[uint64]*HardState{}, map[uint64]*Base{}
	if err := r.log.Flush(); err != nil {
		return err
	}
	r.sure, r.maybe = r.now.clone(), nil
	return nil
}

// step does one random thing.
func (r *rig) step() error {
	id := 1 + r.rng.Uint64N(4)
	g := r.now[id]
	if g == nil {
		g = &modelGroup{}
	}
	var err error
	lazyBase := r.lazyB[id] != nil
	st := g.state
	if s := r.lazyS[id]; s != nil {
		st = *s
	}
	switch n := r.rng.IntN(100); {
	case n < 50: // append, now and then with a vote
		u := Update{Group: id, Entries: r.entries(id, g.last()+1, max(1, st.Term), 1+r.rng.IntN(5))}
		if n < 25 {
			st.Term, st.Vote = max(1, st.Term), r.rng.Uint64N(3)
			u.State = &st
		}
		err = r.append(u)
	case n < 58 && g.last() > st.Commit && !lazyBase: // a new leader replaces what is not committed
		st.Term++
		from := st.Commit + 1 + r.rng.Uint64N(g.last()-st.Commit)
		err = r.append(Update{Group: id, Entries: r.entries(id, from, st.Term, 1), State: &st})
	case n < 75 && g.last() > 0:
		st.Commit = max(st.Commit, g.base.Index, g.last()-r.rng.Uint64N(min(5, g.last()-g.base.Index+1)))
		err = r.later(id, &st, nil)
	case n < 88 && r.lazyS[id] == nil && g.state.Commit > g.base.Index && !lazyBase:
		i := g.base.Index + 1 + r.rng.Uint64N(g.state.Commit-g.base.Index)
		err = r.later(id, nil, &Base{Index: i, Term: g.entries[i-g.base.Index-1].Term})
	case n < 94 && g.last() > 0:
		s := &Snapshot{Index: g.last(), Data: data(id, g.last(), 0, r.rng.IntN(9000))}
		err = r.append(Update{Group: id, Snapshot: s})
	case n < 96 && !lazyBase && r.lazyS[id] == nil:
		st.Term++
		st.Commit = g.last() + 1 + r.rng.Uint64N(50)
		b := &Base{Index: st.Commit, Term: st.Term, Reset: true}
		s := &Snapshot{Index: b.Index + 3, Data: data(id, b.Index, 0, r.rng.IntN(200))}
		err = r.append(Update{Group: id, Snapshot: s, Base: b, State: &st})
	case n < 98 && r.now[id] != nil && !lazyBase && r.lazyS[id] == nil:
		r.note(change{group: id, remove: true})
		err = r.log.Remove(id, make(chanWaiter, 1))
	}
	if err == nil && r.rng.IntN(100) < 60 {
		err = r.flush()
	}
	return err
}

func (r *rig) entries(id, first, term uint64, n int) []Entry {
	var es []Entry
	for i := range uint64(n) {
		es = append(es, Entry{Index: first + i, Term: term, Tag: byte(r.rng.IntN(3)), Data: data(id, first+i, term, r.rng.IntN(700))})
	}
	return es
}

// recover opens the log after a crash and finds out which of the unsure changes
// are there. It complains if what is there is no prefix of them.
func (r *rig) recover() error {
	r.fs = r.fs.Crash()
	if err := r.open(); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	m := r.sure.clone()
	var all []string
	for n := 0; ; n++ {
		diff := m.differs(r.log)
		if diff == "" {
			r.sure, r.now, r.maybe = m, m.clone(), nil
			r.lazy, r.lazyS, r.lazyB = nil, map[uint64]*HardState{}, map[uint64]*Base{}
			return nil
		}
		if n == len(r.maybe) {
			return fmt.Errorf("after the crash, with %d changes unsure: %s", n, strings.Join(append(all, diff), "\n\t"))
		}
		all = append(all, diff)
		m.apply(r.maybe[n])
	}
}

// crashes runs the workload of a seed and cuts the power in its n-th operation,
// then goes on with the recovered log, and cuts the power again. It gives what
// the checks found; done tells that n is beyond the end of the workload.
func crashes(seed uint64, n, steps int, prepare func(*vfs.Faulty, *Options)) (done bool, err error) {
	r := newRig(seed, prepare)
	r.fs.CutPower(n)
	err = r.open()
	for i := 0; i < steps && err == nil; i++ {
		err = r.step()
	}
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, vfs.ErrPowerOff) {
		return false, fmt.Errorf("before the crash: %w", err)
	}
	for round := range 3 {
		if err := r.recover(); err != nil {
			return false, fmt.Errorf("crash %d: %w", round+1, err)
		}
		r.fs.CutPower(1 + r.rng.IntN(60))
		for err = nil; err == nil; {
			err = r.step()
		}
		if !errors.Is(err, vfs.ErrPowerOff) {
			return false, fmt.Errorf("after recovery %d: %w", round+1, err)
		}
	}
	return false, nil
}

// TestPowerLossAtEveryWrite cuts the power at every write, sync and directory
// change of a workload: nothing synced is lost, nothing comes back, and what
// was on its way is there up to some point.
func TestPowerLossAtEveryWrite(t *testing.T) {
	seeds, steps := uint64(6), 150
	if n, err := strconv.ParseUint(os.Getenv("WAL_CRASH_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds, steps = 2, 60
	}
	for seed := range seeds {
		for n := 1; ; n++ {
			done, err := crashes(seed, n, steps, nil)
			if err != nil {
				t.Fatalf("seed %d, power cut in operation %d: %v", seed, n, err)
			}
			if done {
				t.Logf("seed %d: %d boundaries", seed, n-1)
				break
			}
		}
	}
}

// TestPlantedBugsAreCaught proves the test above: with each bug it must fail.
func TestPlantedBugsAreCaught(t *testing.T) {
	for name, plant := range map[string]func(*vfs.Faulty, *Options){
		"acknowledge before fsync":  func(fs *vfs.Faulty, _ *Options) { fs.LieAboutSync() },
		"forget the directory":      func(fs *vfs.Faulty, _ *Options) { fs.LieAboutSyncDir() },
		"forget the vote":           func(_ *vfs.Faulty, o *Options) { o.plant.forgetState = true },
		"take records of old epoch": func(_ *vfs.Faulty, o *Options) { o.plant.anyEpoch = true },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				for n := 1; n < 400; n++ {
					done, err := crashes(seed, n, 150, plant)
					if err != nil {
						t.Logf("caught with seed %d in operation %d: %v", seed, n, err)
						return
					}
					if done {
						break
					}
				}
			}
			t.Error("the bug was not caught")
		})
	}
}
