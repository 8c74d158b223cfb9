package replog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/internal/wal"
)

// each runs a test with both drivers.
func each(t *testing.T, test func(t *testing.T, opt func(*Options, *wal.Options))) {
	t.Run("async", func(t *testing.T) { test(t, func(*Options, *wal.Options) {}) })
	t.Run("sync", func(t *testing.T) { test(t, func(o *Options, _ *wal.Options) { o.Synchronous = true }) })
}

func numbered(from, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("command %d", from+i))
	}
	return out
}

func TestLoneReplica(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 1, 1, Settings{}, opt)
		n := c.nodes[1]
		want := numbered(0, 300)
		for i, s := range want {
			o := c.propose(1, []byte(s))
			if o.Err != nil || o.Result.Value != uint64(i) || o.Command != 0 || o.Index == 0 {
				t.Fatalf("outcome %+v of command %d", o, i)
			}
		}
		if got := c.same(1); !slices.Equal(got, want) {
			t.Fatalf("%d commands are there", len(got))
		}
		// Again after a clean end.
		n.host.Close()
		if err := n.log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(n.boot(), n.start(1, three()[:1], Settings{})); err != nil {
			t.Fatal(err)
		}
		if got := c.same(1); !slices.Equal(got, want) {
			t.Fatalf("after a restart %d commands are there", len(got))
		}
		if o := c.propose(1, dropAll); o.Err != nil {
			t.Fatal(o.Err)
		}
		for i := range 100 {
			if o := c.propose(1, []byte("more")); o.Err != nil || o.Result.Value != uint64(300+i) {
				t.Fatalf("outcome %+v", o)
			}
		}
		if s := n.host.Group(1).Status(); s.First < 200 {
			t.Errorf("the log was not compacted: %+v", s)
		}
	})
}

// TestCommandsShareAnEntry: what waits goes into one entry, and each proposer is
// told its own place and result.
func TestCommandsShareAnEntry(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 1, 1, Settings{}, opt)
		g := c.nodes[1].host.Group(1)
		var rs [100]result
		for i := range rs {
			if err := g.Propose(Proposal{Data: fmt.Appendf(nil, "%d", i), Proposer: &rs[i]}); err != nil {
				t.Fatal(err)
			}
		}
		c.settle("outcomes", func() bool { return rs[99].done })
		for i := range rs {
			if o := rs[i].o; o.Err != nil || o.Index != rs[0].o.Index || o.Command != i || o.Result.Value != uint64(i) {
				t.Fatalf("outcome %d: %+v", i, o)
			}
		}
	})
}

func TestThreeReplicas(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 1, 3, Settings{}, opt)
		want := numbered(0, 200)
		for _, s := range want {
			if o := c.propose(1, []byte(s)); o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		if got := c.same(1); !slices.Equal(got, want) {
			t.Fatalf("%d commands are there", len(got))
		}
		follower := c.nodes[1]
		if follower == c.leader(1) {
			follower = c.nodes[2]
		}
		err := follower.host.Group(1).Propose(Proposal{Data: []byte("x")})
		var nl *NotLeaderError
		if !errors.As(err, &nl) || nl.Node != c.leader(1).id || !Refused(err) {
			t.Errorf("Propose on a follower: %v", err)
		}
	})
}

// TestLeaderKilled: the others go on at once, without waiting for a timer, and
// the dead one catches up when it is back.
func TestLeaderKilled(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 3, 3, Settings{}, opt)
		want := numbered(0, 50)
		for i, s := range want {
			if i == 25 {
				dead := c.leader(1)
				c.kill(dead)
				for turns := 0; c.leader(1) == nil || c.leader(1) == dead; turns++ {
					if c.turn(); turns > 50 {
						t.Fatal("nobody leads, and no tick has passed")
					}
				}
			}
			if o := c.propose(1, []byte(s)); o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		for _, n := range c.nodes {
			if n.down {
				n.fs = n.fs.Crash()
				if err := errors.Join(n.boot(), n.start(1, three(), Settings{})); err != nil {
					t.Fatal(err)
				}
				for _, o := range c.nodes {
					o.host.NodeUp(n.id)
				}
			}
		}
		if got := c.same(1); !slices.Equal(got, want) {
			t.Fatalf("%v are there", got)
		}
	})
}

// TestCatchUpBySnapshot: a replica that lacks what was dropped gets the machine's
// state and the log from the base on.
func TestCatchUpBySnapshot(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 5, 3, Settings{}, opt)
		l := c.leader(1)
		late := c.nodes[l.id%3+1]
		c.kill(late)
		for i := range 400 {
			s := fmt.Appendf(nil, "old %d", i)
			if i == 390 {
				s = dropAll
			}
			if o := c.propose(1, s); o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		if s := l.host.Group(1).Status(); s.First < 100 {
			t.Fatalf("nothing was compacted: %+v", s)
		}
		if err := errors.Join(late.boot2(), late.start(1, three(), Settings{})); err != nil {
			t.Fatal(err)
		}
		for _, o := range c.nodes {
			o.host.NodeUp(late.id)
		}
		got := c.same(1)
		if len(got) != 9 || got[0] != "old 391" {
			t.Errorf("%v are there", got)
		}
		if late.m[1].restored < 2 {
			t.Error("no snapshot was installed")
		}
		// And it knows all that after a restart.
		c.kill(late)
		if err := errors.Join(late.boot2(), late.start(1, three(), Settings{})); err != nil {
			t.Fatal(err)
		}
		c.leader(1).host.NodeUp(late.id)
		if again := c.same(1); !slices.Equal(got, again) {
			t.Errorf("%v are there after a restart", again)
		}
	})
}

// boot2 boots a node that was killed, from what a power loss left.
func (n *node) boot2() error {
	n.fs = n.fs.Crash()
	return n.boot()
}

// TestIdleGroupsAreNotTicked: when everything is done nobody is active, and
// nothing is sent any more.
func TestIdleGroupsAreNotTicked(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 7, 3, Settings{}, opt)
		c.propose(1, []byte("x"))
		c.settle("rest", func() bool {
			for _, n := range c.nodes {
				if len(n.host.active.groups) > 0 {
					return false
				}
			}
			return len(c.wire) == 0
		})
		for _, n := range c.nodes {
			n.host.Advance()
			if n.host.Run() {
				t.Errorf("node %d has work though nothing happens", n.id)
			}
		}
		if o := c.propose(1, []byte("y")); o.Err != nil {
			t.Error(o.Err)
		}
		c.same(1)
	})
}

func TestResignedLeaderIsElectedAgain(t *testing.T) {
	// The followers of a leader that resigned by itself still believe in it, and
	// are not ticked; they must vote all the same.
	c := bootCluster(t, 9, 3, Settings{}, nil)
	l := c.leader(1)
	for _, id := range c.ids() {
		c.cut[[2]uint64{l.id, id}], c.cut[[2]uint64{id, l.id}] = true, true
	}
	r := &result{}
	if err := l.host.Group(1).Propose(Proposal{Data: []byte("lost"), Proposer: r}); err != nil {
		t.Fatal(err)
	}
	c.settle("the leader resigns", func() bool { return r.done })
	if !errors.Is(r.o.Err, ErrUnknown) || Refused(r.o.Err) {
		t.Errorf("outcome without a quorum: %v", r.o.Err)
	}
	clear(c.cut)
	c.settle("a leader", func() bool { return c.leader(1) != nil })
	if o := c.propose(1, []byte("x")); o.Err != nil {
		t.Error(o.Err)
	}
	c.same(1)
}

func TestTransfer(t *testing.T) {
	c := bootCluster(t, 11, 3, Settings{}, nil)
	l := c.leader(1)
	to := l.id%3 + 1
	l.host.Group(1).Transfer(to)
	c.settle("the new leader", func() bool { n := c.leader(1); return n != nil && n.id == to })
	if o := c.propose(1, []byte("x")); o.Err != nil {
		t.Error(o.Err)
	}
	lead := l.m[1].lead
	if last := lead[len(lead)-1]; last.Mine || last.Leader != to || last.Node != to {
		t.Errorf("the old leader's machine was told %+v at last", last)
	}
}

func TestMembersChange(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := newCluster(t, 13, 4)
		c.opt = opt
		for _, id := range c.ids() {
			if err := c.nodes[id].boot(); err != nil {
				t.Fatal(err)
			}
			if id < 4 {
				if err := c.nodes[id].start(1, three(), Settings{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.settle("a leader", func() bool { return c.leader(1) != nil })
		want := numbered(0, 30)
		for _, s := range want {
			c.propose(1, []byte(s))
		}
		// A fourth comes, the leader goes, in one step.
		if err := c.nodes[4].start(1, nil, Settings{}); err != nil {
			t.Fatal(err)
		}
		old := c.leader(1)
		r := &result{}
		err := old.host.Group(1).ChangeMembers([]MemberChange{
			{Member: Member{Replica: 4, Node: 4}},
			{Member: Member{Replica: old.id}, Remove: true},
		}, r)
		if err != nil {
			t.Fatal(err)
		}
		c.settle("another leader", func() bool { n := c.leader(1); return n != nil && n != old })
		if !r.done || r.o.Err != nil {
			t.Errorf("outcome of the change: %+v", r)
		}
		if err := old.host.Remove(1); err != nil {
			t.Fatal(err)
		}
		want = append(want, "after")
		if o := c.propose(1, []byte("after")); o.Err != nil {
			t.Fatal(o.Err)
		}
		if got := c.same(1); !slices.Equal(got, want) {
			t.Errorf("%v are there", got)
		}
		// All of them know it after a restart.
		for _, id := range c.ids() {
			n := c.nodes[id]
			if n == old {
				continue
			}
			n.host.Close()
			if err := errors.Join(n.log.Close(), n.boot(), n.start(1, nil, Settings{})); err != nil {
				t.Fatal(err)
			}
		}
		c.settle("a leader", func() bool { return c.leader(1) != nil })
		if got := c.same(1); !slices.Equal(got, want) {
			t.Errorf("%v are there after a restart", got)
		}
		if s := c.leader(1).host.Group(1).Status(); len(s.Replicas) != 3 || slices.ContainsFunc(s.Replicas, func(r Replica) bool { return r.Replica == old.id || r.Node != r.Replica }) {
			t.Errorf("members: %+v", s.Replicas)
		}
	})
}
