package replog

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// answered is an entry that was applied and waits for more replicas before it is
// acknowledged.
type answered struct {
	index, term uint64
	who         []Proposer
	results     []Result
}

func (a *answered) tell(err error) {
	for i, w := range a.who {
		switch {
		case w == nil:
		case err != nil:
			w.Proposed(Outcome{Err: err})
		default:
			w.Proposed(Outcome{Index: a.index, Term: a.term, Command: i, Result: a.results[i]})
		}
	}
}

// lagTicks is how long a replica may be behind by more than a tick before it
// leaves the in-sync set.
const lagTicks = 10

// inSync is the leader's view of which voters keep up. A replica that is not
// within one tick of the commit index for lagTicks in a row leaves; once it is, it
// is back. While a group is idle nothing changes, since everybody has everything.
type inSync struct {
	behind map[uint64]int // ticks; not in it: in sync
	commit uint64         // at the last tick
}

func (s *inSync) forget() { *s = inSync{} }

// left tells whether a replica has left.
func (s *inSync) left(replica uint64) bool { return s.behind[replica] > lagTicks }

// peers visits the progress of the other voters.
func (g *Group) peers(visit func(replica uint64, p tracker.Progress)) {
	g.raft.WithProgress(func(id uint64, t raft.ProgressType, p tracker.Progress) {
		if id != g.replica && t == raft.ProgressTypePeer {
			visit(id, p)
		}
	})
}

// followLag does a tick of the in-sync set.
func (g *Group) followLag() {
	s := &g.sync
	g.peers(func(id uint64, p tracker.Progress) {
		switch {
		case g.host.isDown(g.nodeOf(id)):
			s.set(id, lagTicks+1)
		case p.Match >= s.commit:
			delete(s.behind, id)
		default:
			s.set(id, s.behind[id]+1)
		}
	})
	s.commit = g.commit.Load()
}

func (s *inSync) set(id uint64, ticks int) {
	if s.behind == nil {
		s.behind = make(map[uint64]int)
	}
	s.behind[id] = ticks
}

// judgeInSync tells Propose whether enough replicas are in sync.
func (g *Group) judgeInSync() {
	least := g.Settings().MinInSync
	if least <= 1 {
		g.tooFew.Store(false)
		return
	}
	n := 1
	g.peers(func(id uint64, _ tracker.Progress) {
		if !g.sync.left(id) {
			n++
		}
	})
	g.tooFew.Store(n < least)
}

// enough tells whether an applied entry may be acknowledged. What is enough for
// an entry is enough for those before it.
func (g *Group) enough(index uint64) bool {
	s := g.Settings()
	if s.Mode == ModeLeader || s.Mode == ModeQuorum && s.MinInSync <= 1 {
		return true
	}
	have, all := 0, true
	if g.store.durable >= index {
		have++
	}
	g.peers(func(id uint64, p tracker.Progress) {
		if p.Match >= index {
			have++
		} else if !g.sync.left(id) {
			all = false
		}
	})
	return have >= s.MinInSync && (all || s.Mode == ModeQuorum)
}

// acknowledge tells the outcome of what enough replicas have. What fewer than
// MinInSync will have, because the others have left, is stored all the same: its
// outcome is unknown, not a refusal.
func (g *Group) acknowledge() {
	if !g.leads() {
		return
	}
	g.judgeInSync()
	n := 0
	for n < len(g.unacked) && g.enough(g.unacked[n].index) {
		g.unacked[n].tell(nil)
		n++
	}
	g.unacked = g.unacked[n:]
	if g.tooFew.Load() {
		for i := range g.unacked {
			g.unacked[i].tell(ErrUnknown)
		}
		g.unacked = nil
	}
	if len(g.unacked) == 0 {
		g.unacked = nil
	}
}

// acknowledgeLocal tells the outcome of what is on this disk, under ModeLeader.
func (g *Group) acknowledgeLocal(index uint64) {
	for i := 0; i < g.numbered && g.inFlight[i].index <= index; i++ {
		p := &g.inFlight[i]
		p.tell(Outcome{Index: p.index, Term: p.term})
		p.done = true
	}
}
