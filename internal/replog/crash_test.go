package replog

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// storm is a cluster under random faults, and what it promised.
type storm struct {
	*cluster
	members int
	next    int
	open    []*sent          // proposed, no outcome yet
	acked   map[pos]string   // acknowledged: where, and what
	sent    map[string]*sent // everything that was ever proposed
	terms   map[uint64]uint64
}

type sent struct {
	result
	data    string
	refused bool
}

func newStorm(t testing.TB, seed uint64, members int, opt func(*Options, *wal.Options)) *storm {
	s := &storm{cluster: newCluster(t, seed, members), members: members, acked: map[pos]string{}, sent: map[string]*sent{}, terms: map[uint64]uint64{}}
	s.opt = opt
	return s
}

// up boots a node that is down and starts its replica.
func (s *storm) up(n *node) error {
	n.fs = n.fs.Crash()
	err := n.boot()
	if err == nil {
		err = n.start(1, three()[:s.members], Settings{})
	}
	if err != nil {
		n.down = true
		if errors.Is(err, vfs.ErrPowerOff) {
			return nil // again later
		}
		return err
	}
	for _, id := range s.ids() {
		if o := s.nodes[id]; o != n && !o.down {
			o.host.NodeUp(n.id)
		}
	}
	for _, id := range s.ids() {
		if o := s.nodes[id]; o.down {
			n.host.NodeDown(o.id)
		}
	}
	return nil
}

func (s *storm) propose() {
	for _, id := range s.ids() {
		n := s.nodes[id]
		if n.down || n.host.Group(1) == nil || !n.host.Group(1).Leadership().Mine {
			continue
		}
		if s.rng.IntN(25) == 0 { // the outcome does not matter
			_ = n.host.Group(1).Propose(Proposal{Data: dropAll})
		}
		for range 1 + s.rng.IntN(5) {
			s.next++
			p := &sent{data: fmt.Sprintf("%d from %d %s", s.next, id, string(make([]byte, s.rng.IntN(300))))}
			s.sent[p.data] = p
			if err := n.host.Group(1).Propose(Proposal{Data: []byte(p.data), Proposer: p}); err != nil {
				p.refused = true
				continue
			}
			s.open = append(s.open, p)
		}
	}
}

// collect notes the outcomes, and checks that two leaders never share a term.
func (s *storm) collect() error {
	still := s.open[:0]
	for _, p := range s.open {
		switch {
		case !p.done:
			still = append(still, p)
		case p.o.Err == nil:
			at := pos{p.o.Index, uint64(p.o.Command)}
			if other, ok := s.acked[at]; ok {
				return fmt.Errorf("%.20q and %.20q were both acknowledged at %v", other, p.data, at)
			}
			s.acked[at] = p.data
		case Refused(p.o.Err):
			p.refused = true
		}
	}
	s.open = still
	for _, id := range s.ids() {
		if n := s.nodes[id]; !n.down && n.host.Group(1) != nil {
			if l := n.host.Group(1).Leadership(); l.Mine {
				if other, ok := s.terms[l.Term]; ok && other != id {
					return fmt.Errorf("nodes %d and %d both lead in term %d", other, id, l.Term)
				}
				s.terms[l.Term] = id
			}
		}
	}
	return nil
}

// fault does something bad, or ends it.
func (s *storm) fault() error {
	ids := s.ids()
	n := s.nodes[ids[s.rng.IntN(len(ids))]]
	switch s.rng.IntN(8) {
	case 0, 1:
		if !n.down {
			n.fs.CutPower(1 + s.rng.IntN(30)) // in the middle of something
		}
	case 2:
		if !n.down {
			s.kill(n)
		}
	case 3:
		if s.members > 1 {
			a, b := ids[s.rng.IntN(len(ids))], ids[s.rng.IntN(len(ids))]
			s.cut[[2]uint64{a, b}] = true
		}
	case 4:
		clear(s.cut)
		s.loss = float64(s.rng.IntN(3)) / 10
		s.shuffle = s.rng.IntN(2) == 0
	default:
		if n.down {
			return s.up(n)
		}
	}
	return nil
}

// run lets the storm rage, then heals everything and checks the promises.
func (s *storm) run(rounds int) error {
	for _, id := range s.ids() {
		n := s.nodes[id]
		if err := errors.Join(n.boot(), n.start(1, three()[:s.members], Settings{})); err != nil {
			return err
		}
	}
	for range rounds {
		if s.rng.IntN(12) == 0 {
			if err := s.fault(); err != nil {
				return err
			}
		}
		s.propose()
		s.turn()
		if err := s.collect(); err != nil {
			return err
		}
		if s.rng.IntN(4) == 0 {
			for _, id := range s.ids() {
				if n := s.nodes[id]; !n.down {
					n.host.Advance()
				}
			}
		}
	}
	clear(s.cut)
	s.loss, s.shuffle = 0, false
	for _, id := range s.ids() {
		n := s.nodes[id]
		if !n.down {
			s.kill(n) // everything at once, and no disk keeps more than it must
		}
	}
	for _, id := range s.ids() {
		if err := s.up(s.nodes[id]); err != nil {
			return err
		}
	}
	return s.judge()
}

// judge checks what is there in the end.
func (s *storm) judge() error {
	s.settle("a leader after the storm", func() bool { return s.leader(1) != nil })
	all := s.same(1)
	if err := s.collect(); err != nil {
		return err
	}
	n := s.leader(1)
	at := n.m[1].at
	seen := make(map[string]bool)
	for i, data := range all {
		p := s.sent[data]
		switch {
		case p == nil:
			return fmt.Errorf("%.20q was never sent", data)
		case seen[data]:
			return fmt.Errorf("%.20q is there twice", data)
		case p.refused:
			return fmt.Errorf("%.20q was refused and is there", data)
		}
		seen[data] = true
		if acked, ok := s.acked[at[i]]; ok && acked != data {
			return fmt.Errorf("%v holds %.20q, but %.20q was acknowledged there", at[i], data, acked)
		}
	}
	for where, data := range s.acked {
		if !seen[data] && where.after(n.m[1].lastDrop) {
			return fmt.Errorf("%.20q, acknowledged at %v, is lost", data, where)
		}
	}
	return nil
}

// TestStorm: whatever happens to power and network, nothing acknowledged is
// lost, nothing refused is there, nothing is there twice, all replicas agree.
func TestStorm(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 4
	}
	if n, err := strconv.ParseUint(os.Getenv("REPLOG_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for _, members := range []int{1, 3} {
		each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
			acked := 0
			for seed := range seeds {
				s := newStorm(t, seed, members, opt)
				if err := s.run(400); err != nil {
					t.Fatalf("%d members, seed %d: %v", members, seed, err)
				}
				acked += len(s.acked)
			}
			t.Logf("%d members: %d commands acknowledged and there", members, acked)
		})
	}
}

// TestPlantedBugsAreCaught proves the storm: it must notice each of these.
func TestPlantedBugsAreCaught(t *testing.T) {
	for name, bug := range map[string]func(s *storm){
		"acknowledge before fsync": func(s *storm) {
			for _, n := range s.nodes {
				n.fs.LieAboutSync()
			}
		},
		"forget the directory": func(s *storm) {
			for _, n := range s.nodes {
				n.fs.LieAboutSyncDir()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				s := newStorm(t, seed, 1, nil)
				bug(s)
				if err := s.run(400); err != nil {
					t.Logf("caught with seed %d: %v", seed, err)
					return
				}
			}
			t.Error("the bug was not caught")
		})
	}
}

// voteTwice asks a replica for its vote for one candidate, takes its power away,
// and asks for another candidate in the same term. It tells whether both got it.
func voteTwice(t *testing.T, opt func(*Options, *wal.Options)) bool {
	c := newCluster(t, 1, 3)
	c.opt = opt
	c.nodes[1].down, c.nodes[2].down = true, true
	n := c.nodes[3]
	if err := errors.Join(n.boot(), n.start(1, three(), Settings{})); err != nil {
		t.Fatal(err)
	}
	granted := 0
	for _, candidate := range []uint64{1, 2} {
		n.host.Receive(candidate, 1, &raftpb.Message{
			Type: raftpb.MsgVote.Enum(), From: new(candidate), To: new(uint64(3)),
			Term: new(uint64(7)), LogTerm: new(uint64(6)), Index: new(uint64(100)),
		})
		for range 3 {
			n.host.Run()
			if err := n.log.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		answers := 0
		for _, p := range c.wire {
			m := &raftpb.Message{}
			if err := proto.Unmarshal(p.m, m); err != nil {
				t.Fatal(err)
			}
			if m.GetType() == raftpb.MsgVoteResp && p.to == candidate {
				answers++
				if !m.GetReject() {
					granted++
				}
			}
		}
		if answers == 0 {
			t.Fatalf("candidate %d got no answer", candidate)
		}
		c.wire = nil
		c.kill(n)
		if err := errors.Join(n.boot2(), n.start(1, three(), Settings{})); err != nil {
			t.Fatal(err)
		}
	}
	return granted > 1
}

func TestVoteSurvivesPowerLoss(t *testing.T) {
	each(t, func(t *testing.T, opt func(*Options, *wal.Options)) {
		if voteTwice(t, opt) {
			t.Error("two candidates got a vote in one term")
		}
		forget := func(o *Options, w *wal.Options) {
			opt(o, w)
			o.plant.forgetVote = true
		}
		if !voteTwice(t, forget) {
			t.Error("the planted bug, to forget the vote, was not noticed")
		}
	})
}
