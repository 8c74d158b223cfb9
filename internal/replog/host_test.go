package replog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// channels is a transport between hosts in one process: a goroutine per
// receiver, stopped by stop. What does not fit is dropped, as on a real network.
type channels struct {
	node  uint64
	peers map[uint64]chan delivery
}

type delivery struct {
	from, group uint64
	m           []byte
}

func (c *channels) Send(node, group uint64, m *raftpb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	select {
	case c.peers[node] <- delivery{c.node, group, b}:
	default:
	}
}

// live is a cluster with real goroutines, disks and time.
type live struct {
	hosts    []*Host
	logs     []*wal.Log
	machines []map[uint64]*list
	stop     func()
}

func newLive(t testing.TB, nodes, groups int, fs func(i int) (vfs.FS, string)) *live {
	l := &live{}
	peers := make(map[uint64]chan delivery)
	for i := range nodes {
		peers[uint64(i+1)] = make(chan delivery, 4096)
	}
	var wg sync.WaitGroup
	for i := range nodes {
		disk, dir := fs(i)
		log, err := wal.Open(wal.Options{FS: disk, Dir: dir, SegmentSize: 16 << 20, SpareSegments: 3, Reserve: 1})
		if err != nil {
			t.Fatal(err)
		}
		node := uint64(i + 1)
		h := New(Options{Log: log, Node: node, Transport: &channels{node, peers}})
		l.logs, l.hosts = append(l.logs, log), append(l.hosts, h)
		l.machines = append(l.machines, make(map[uint64]*list))
		wg.Go(func() { // stopped by closing its channel
			for d := range peers[node] {
				m := &raftpb.Message{}
				if err := proto.Unmarshal(d.m, m); err != nil {
					panic(err)
				}
				h.Receive(d.from, d.group, m)
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		for _, h := range l.hosts {
			h.Close()
		}
		for _, c := range peers {
			close(c)
		}
		wg.Wait()
		for _, log := range l.logs {
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	for g := range uint64(groups) {
		for i, h := range l.hosts {
			m := &list{}
			l.machines[i][g] = m
			if _, err := h.Start(GroupConfig{ID: g, Replica: uint64(i + 1), Members: three()[:nodes], Machine: m}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

// leader waits for the group's leader.
func (l *live) leader(t testing.TB, g uint64) *Group {
	t.Helper()
	for range 20_000 {
		for _, h := range l.hosts {
			if g := h.Group(g); g != nil && g.Leadership().Mine {
				return g
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no leader")
	return nil
}

// told is a Proposer for one who waits; its capacity is 1.
type told chan Outcome

func (c told) Proposed(o Outcome) { c <- o }

// TestLive runs many groups with goroutines, for the race detector.
func TestLive(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("nodes=%d", nodes), func(t *testing.T) {
			dir := filepath.ToSlash(t.TempDir())
			l := newLive(t, nodes, 5, func(i int) (vfs.FS, string) { return vfs.OS{}, fmt.Sprintf("%s/%d", dir, i) })
			defer l.stop()
			var wg sync.WaitGroup
			var acked atomic.Int64
			for g := range uint64(5) {
				l.leader(t, g)
				for range 4 {
					wg.Go(func() {
						w := make(told, 1)
						for i := range 50 {
							err := l.leader(t, g).Propose(Proposal{Data: fmt.Appendf(nil, "%d", i), Proposer: w})
							if errors.Is(err, ErrNotLeader) {
								continue
							}
							if err != nil {
								t.Error(err)
								return
							}
							if o := <-w; o.Err == nil {
								acked.Add(1)
							} else if !errors.Is(o.Err, ErrUnknown) {
								t.Error(o.Err)
							}
						}
					})
				}
			}
			wg.Wait()
			total := uint64(0)
			for g := range uint64(5) {
				at := l.leader(t, g)
				m := l.machines[at.Replica()-1][g]
				m.content(t, at)
				total += uint64(len(m.at))
				at.Status()
			}
			if total < uint64(acked.Load()) || acked.Load() < 500 {
				t.Errorf("%d acknowledged, %d there", acked.Load(), total)
			}
		})
	}
}

// TestCloseEndsEveryProposal: each accepted one gets an outcome.
func TestCloseEndsEveryProposal(t *testing.T) {
	l := newLive(t, 1, 1, func(int) (vfs.FS, string) { return vfs.NewMemory(), "wal" })
	g := l.leader(t, 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w := make(told, 1)
			for {
				if err := g.Propose(Proposal{Data: []byte("x"), Proposer: w}); err != nil {
					if !Refused(err) {
						t.Error(err)
					}
					return
				}
				<-w
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	l.stop()
	wg.Wait()
}
