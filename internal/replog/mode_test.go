package replog

import (
	"errors"
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// others gives the nodes that do not lead.
func (c *cluster) others() (ns []*node) {
	l := c.leader(1)
	for _, id := range c.ids() {
		if n := c.nodes[id]; n != l {
			ns = append(ns, n)
		}
	}
	return ns
}

// isolate cuts a node off in both directions.
func (c *cluster) isolate(n *node) {
	for _, id := range c.ids() {
		c.cut[[2]uint64{n.id, id}], c.cut[[2]uint64{id, n.id}] = true, true
	}
}

// TestModes cuts off followers and looks when the leader acknowledges.
func TestModes(t *testing.T) {
	for _, tc := range []struct {
		settings Settings
		cut      int  // followers cut off
		told     bool // acknowledged while the cut ones are in the in-sync set
	}{
		{Settings{Mode: ModeQuorum}, 1, true},
		{Settings{Mode: ModeQuorum}, 2, false},
		{Settings{Mode: ModeQuorum, MinInSync: 2}, 1, true},
		{Settings{Mode: ModeQuorum, MinInSync: 3}, 1, false},
		{Settings{Mode: ModeAll}, 0, true},
		{Settings{Mode: ModeAll}, 1, false},
		{Settings{Mode: ModeLeader}, 2, true},
	} {
		t.Run(fmt.Sprintf("%v min %d cut %d", tc.settings.Mode, tc.settings.MinInSync, tc.cut), func(t *testing.T) {
			each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
				c := bootCluster(t, 3, 3, tc.settings, opt)
				if o := c.propose(1, []byte("before")); o.Err != nil {
					t.Fatal(o.Err)
				}
				c.same(1)
				for _, n := range c.others()[:tc.cut] {
					c.isolate(n)
				}
				r := &result{}
				g := c.leader(1).host.Group(1)
				if err := g.Propose(Proposal{Data: []byte("x"), Proposer: r}); err != nil {
					t.Fatal(err)
				}
				for range 20 { // no time passes: nobody leaves the in-sync set
					c.turn()
				}
				if r.done != tc.told {
					t.Errorf("acknowledged: %t, want %t (%+v)", r.done, tc.told, r.o)
				}
				if r.done && tc.settings.Mode != ModeLeader && r.o.Result.Value != 1 {
					t.Errorf("result %+v", r.o)
				}
				clear(c.cut)
				c.settle("outcome", func() bool { return r.done })
				if r.o.Err != nil {
					t.Error(r.o.Err)
				}
			})
		})
	}
}

// TestSlowReplicaLeavesAndReturns: under ModeAll a replica that does not keep up
// holds the others up for a while only; with MinInSync, writes are then refused.
func TestSlowReplicaLeavesAndReturns(t *testing.T) {
	c := bootCluster(t, 3, 3, Settings{Mode: ModeAll}, nil)
	c.propose(1, []byte("before"))
	c.same(1)
	slow := c.others()[0]
	c.isolate(slow)
	if o := c.propose(1, []byte("x")); o.Err != nil { // waits until it has left
		t.Fatal(o.Err)
	}
	g := c.leader(1).host.Group(1)
	inSync := func() (n int) {
		for _, r := range g.Status().Replicas {
			if r.InSync {
				n++
			} else if r.Replica != slow.id {
				t.Errorf("replica %+v has left", r)
			}
		}
		return n
	}
	if n := inSync(); n != 2 {
		t.Errorf("%d in sync", n)
	}
	g.SetSettings(Settings{Mode: ModeAll, MinInSync: 3})
	c.turn()
	if err := g.Propose(Proposal{Data: []byte("y")}); !errors.Is(err, ErrTooFewInSync) || !Refused(err) {
		t.Errorf("Propose with too few in sync: %v", err)
	}
	clear(c.cut)
	c.settle("return", func() bool { return inSync() == 3 })
	if o := c.propose(1, []byte("z")); o.Err != nil {
		t.Error(o.Err)
	}
	c.same(1)
}

// TestTooFewWhileOnTheWay: what was accepted before the in-sync set became too
// small is stored, but not as often as was asked for.
func TestTooFewWhileOnTheWay(t *testing.T) {
	c := bootCluster(t, 3, 3, Settings{MinInSync: 3}, nil)
	c.propose(1, []byte("before"))
	c.same(1)
	c.isolate(c.others()[0])
	o := c.propose(1, []byte("x"))
	if !errors.Is(o.Err, ErrUnknown) || Refused(o.Err) {
		t.Errorf("outcome %+v", o)
	}
	clear(c.cut)
	if got := c.same(1); len(got) != 2 {
		t.Errorf("%v are there", got)
	}
}

// TestDeadReplicaLeavesAtOnce: it is not waited for.
func TestDeadReplicaLeavesAtOnce(t *testing.T) {
	c := bootCluster(t, 3, 3, Settings{Mode: ModeAll}, nil)
	c.propose(1, []byte("before"))
	c.same(1)
	c.kill(c.others()[0])
	r := &result{}
	if err := c.leader(1).host.Group(1).Propose(Proposal{Data: []byte("x"), Proposer: r}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c.turn()
	}
	if !r.done || r.o.Err != nil {
		t.Errorf("outcome without a tick: %+v", r)
	}
}

// TestBackPressure: what cannot be committed is bounded, and refused beyond.
func TestBackPressure(t *testing.T) {
	c := bootCluster(t, 3, 3, Settings{}, func(o *Options, _ *wal.Options) { o.MaxUncommitted = 10_000 })
	for _, n := range c.others() {
		c.isolate(n)
	}
	g := c.leader(1).host.Group(1)
	var rs [200]result
	accepted := 0
	for i := range rs {
		err := g.Propose(Proposal{Data: make([]byte, 100), Proposer: &rs[i]})
		if errors.Is(err, ErrBusy) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted++
		c.turn()
	}
	if accepted < 50 || accepted > 100 {
		t.Errorf("%d of 100 bytes were accepted with a limit of 10,000", accepted)
	}
	clear(c.cut)
	c.settle("room", func() bool { return rs[accepted-1].done })
	for i := range accepted {
		if rs[i].o.Err != nil {
			t.Fatalf("proposal %d: %v", i, rs[i].o.Err)
		}
	}
	if o := c.propose(1, []byte("more")); o.Err != nil {
		t.Error(o.Err)
	}
}

func TestTooLarge(t *testing.T) {
	c := bootCluster(t, 1, 1, Settings{}, nil)
	g := c.nodes[1].host.Group(1)
	if err := g.Propose(Proposal{Data: make([]byte, 64<<10)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Propose = %v", err)
	}
	if o := c.propose(1, make([]byte, 10<<10)); o.Err != nil {
		t.Error(o.Err)
	}
}

// TestFullDisk: new commands are refused, essential ones go on, and when these
// have made room, so do the others.
func TestFullDisk(t *testing.T) {
	var fs *vfs.Faulty
	c := bootCluster(t, 1, 1, Settings{}, func(_ *Options, w *wal.Options) {
		w.Reserve = 2 * w.SegmentSize
		fs = w.FS.(*vfs.Faulty)
		fs.SetCapacity(16 * w.SegmentSize)
	})
	g := c.nodes[1].host.Group(1)
	n := 0
	var err error
	for err == nil {
		r := &result{}
		if err = g.Propose(Proposal{Data: make([]byte, 4000), Proposer: r}); err == nil {
			c.settle("outcome", func() bool { return r.done })
			n++
		}
		if n > 1000 {
			t.Fatal("never full")
		}
	}
	if !errors.Is(err, ErrFull) || !Refused(err) {
		t.Fatalf("Propose on a full disk: %v", err)
	}
	if got := len(c.same(1)); got != n {
		t.Errorf("%d of %d can be read", got, n)
	}
	r := &result{}
	if err := g.Propose(Proposal{Data: dropAll, Proposer: r, Essential: true}); err != nil {
		t.Fatal(err)
	}
	c.settle("room", func() bool {
		// Snapshots are due by bytes applied; these are what is applied.
		return r.done && (g.Propose(Proposal{Data: []byte("x"), Essential: true}) == nil) && !c.nodes[1].log.Full()
	})
	if o := c.propose(1, []byte("again")); o.Err != nil {
		t.Error(o.Err)
	}
}

// TestDiskFailureStopsTheGroup: what was on its way is unknown, what comes is
// refused.
func TestDiskFailureStopsTheGroup(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		c := bootCluster(t, 1, 1, Settings{}, opt)
		n := c.nodes[1]
		g := n.host.Group(1)
		n.fs.FailSync(1)
		r := &result{}
		if err := g.Propose(Proposal{Data: []byte("x"), Proposer: r}); err != nil {
			t.Fatal(err)
		}
		n.host.Run()
		if err := n.log.Flush(); !errors.Is(err, wal.ErrFailed) {
			t.Fatalf("Flush = %v", err)
		}
		n.host.Run()
		if !r.done || !errors.Is(r.o.Err, ErrUnknown) {
			t.Errorf("outcome: %+v", r)
		}
		if err := g.Propose(Proposal{Data: []byte("y")}); !Refused(err) {
			t.Errorf("Propose = %v", err)
		}
		n.host.Close()
	})
}
