package replog

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// Liveness.
//
// Raft's timers run for groups with unfinished business only, so a thousand
// idle groups cost nothing. That a leader died is told by NodeDown. Then its
// followers forget it, which lets them vote, and one of them stands for
// election at once: the first living voter after the leader in the order of
// replica ids. If that fails, the timers go on from there.

// tick lets one unit of raft's time pass.
func (g *Group) tick() {
	g.quiet++
	g.raft.Tick()
	if g.leads() {
		g.followLag()
	}
}

// busy tells whether the group has business that needs the timers.
func (g *Group) busy() bool {
	s := g.raft.BasicStatus()
	switch {
	case len(g.held) > 0:
		return true
	case s.RaftState != raft.StateLeader:
		return s.Lead == raft.None && len(g.conf().state.Voters) > 0
	case len(g.conf().nodes) == 1:
		return false // a lone voter
	case len(g.inFlight) > 0 || len(g.unacked) > 0 || len(g.sync.behind) > 0 && g.anyoneUp():
		return true
	}
	behind := false
	g.peers(func(id uint64, p tracker.Progress) {
		behind = behind || p.Match < g.store.last && !g.host.isDown(g.nodeOf(id))
	})
	return behind
}

// anyoneUp tells whether a replica that left the in-sync set may come back.
func (g *Group) anyoneUp() bool {
	for id := range g.sync.behind {
		if !g.host.isDown(g.nodeOf(id)) {
			return true
		}
	}
	return false
}

// rest decides whether the group needs ticks.
func (g *Group) rest(in *input) {
	busy := g.busy()
	if busy || len(in.frames) > 0 {
		g.quiet = 0
	}
	leads := g.state == raft.StateLeader && len(g.conf().nodes) > 1
	want := busy || leads && g.quiet < lingerTicks
	if want == g.ticking {
		return
	}
	g.ticking = want
	if want {
		g.host.activate(g)
		return
	}
	g.host.deactivate(g)
	g.store.forget(g.raft.BasicStatus().Applied, 0)
}

func (g *Group) conf() *conf { return &g.store.conf }

// nodeDown reacts to the death of a node.
func (g *Group) nodeDown(node uint64) {
	if g.err != nil {
		return
	}
	if g.leads() {
		g.peers(func(id uint64, _ tracker.Progress) {
			if g.nodeOf(id) == node {
				g.raft.ReportUnreachable(id)
				g.sync.set(id, lagTicks+1)
			}
		})
		return
	}
	leader := g.raft.BasicStatus().Lead
	if leader == raft.None || g.nodeOf(leader) != node {
		return
	}
	g.replaceLeader(leader)
}

// replaceLeader makes the group find a leader in place of one that is gone.
func (g *Group) replaceLeader(leader uint64) {
	_ = g.raft.ForgetLeader() // cannot fail
	if g.successor(leader) == g.replica {
		_ = g.raft.Campaign() // refused only while a change of members is pending
	}
}

// successor is the first living voter after a leader.
func (g *Group) successor(leader uint64) uint64 {
	voters := slices.Sorted(slices.Values(g.conf().state.Voters))
	at, _ := slices.BinarySearch(voters, leader+1)
	for i := range voters {
		v := voters[(at+i)%len(voters)]
		if v != leader && !g.host.isDown(g.nodeOf(v)) {
			return v
		}
	}
	return raft.None
}

// nodeUp wakes the group: a follower may have come back that lacks something.
// The turn that this runs in decides about the timers.
func (g *Group) nodeUp() {}

// Replica is how a leader sees a replica.
type Replica struct {
	Member
	Match  uint64 // it has the entries up to here on disk
	InSync bool
	// Lag is how many entries it lacks.
	Lag uint64
}

// Status is a group at one moment.
type Status struct {
	Leadership
	Commit, Applied uint64
	First, Last     uint64 // entries in the log; First > Last if there are none
	// Replicas are all members, by id. Match, InSync and Lag are known to the
	// leader only.
	Replicas []Replica
}

// Status asks the group's worker. After the group has stopped it is empty.
func (g *Group) Status() Status {
	c := make(chan Status, 1)
	g.control(func() { c <- g.status() })
	if g.host.opt.Manual {
		g.host.Run()
	}
	select {
	case s := <-c:
		return s
	case <-g.ended:
		return Status{}
	}
}

func (g *Group) status() Status {
	s := Status{
		Leadership: g.lead, Commit: g.commit.Load(), Applied: g.passed,
		First: g.store.base.Index + 1, Last: g.store.last,
	}
	match := map[uint64]uint64{g.replica: g.store.durable}
	if g.leads() {
		g.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			if id != g.replica {
				match[id] = p.Match
			}
		})
	}
	for _, m := range g.conf().members() {
		r := Replica{Member: m}
		if g.leads() {
			r.Match, r.InSync = match[m.Replica], !g.sync.left(m.Replica)
			r.Lag = s.Last - min(s.Last, r.Match)
		}
		s.Replicas = append(s.Replicas, r)
	}
	return s
}
