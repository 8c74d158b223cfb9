package replog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// list is a machine that keeps its commands in the log, as a queue does: in
// memory it has a position for each, and it drops the oldest when told.
type list struct {
	mu       sync.Mutex
	at       []pos // of the commands that are kept
	dropped  uint64
	lastDrop pos
	applied  uint64
	sum      uint64 // over all commands ever, in order
	lead     []Leadership
	restored int
}

type pos struct{ index, n uint64 }

func (p pos) after(q pos) bool { return p.index > q.index || p.index == q.index && p.n > q.n }

// dropAll is the command to forget everything so far; others are kept.
var dropAll = []byte("drop")

func (l *list) Apply(es []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range es {
		e := &es[i]
		if e.Index <= l.applied {
			panic(fmt.Sprintf("entry %d applied after %d", e.Index, l.applied))
		}
		l.applied = e.Index
		for n := range e.Commands {
			c := &e.Commands[n]
			l.sum = l.sum*31 + hash(c.Data)
			if bytes.Equal(c.Data, dropAll) {
				l.dropped += uint64(len(l.at))
				l.at = nil
				l.lastDrop = pos{e.Index, uint64(n)}
				continue
			}
			c.Result = Result{Value: l.dropped + uint64(len(l.at))}
			l.at = append(l.at, pos{e.Index, uint64(n)})
		}
	}
}

func hash(b []byte) (h uint64) {
	for _, c := range b {
		h = h*131 + uint64(c)
	}
	return h
}

func (l *list) Snapshot(dst []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range []uint64{l.dropped, l.lastDrop.index, l.lastDrop.n, l.applied, l.sum} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, p := range l.at {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.index), p.n)
	}
	return dst, nil
}

func (l *list) Restore(index uint64, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restored++
	d := decoder{b: data}
	l.dropped, l.lastDrop, l.applied, l.sum, l.at = 0, pos{}, 0, 0, nil
	if index == 0 {
		return nil
	}
	l.dropped, l.lastDrop = d.uvarint(), pos{d.uvarint(), d.uvarint()}
	l.applied, l.sum = d.uvarint(), d.uvarint()
	for len(d.b) > 0 && !d.bad {
		l.at = append(l.at, pos{d.uvarint(), d.uvarint()})
	}
	if d.bad || l.applied > index {
		return errors.New("bad snapshot")
	}
	return nil
}

func (l *list) Floor() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.at) == 0 {
		return math.MaxUint64
	}
	return l.at[0].index
}

func (l *list) Lead(x Leadership) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lead = append(l.lead, x)
}

// content reads all commands back through a group.
func (l *list) content(t testing.TB, g *Group) []string {
	t.Helper()
	l.mu.Lock()
	at := slices.Clone(l.at)
	l.mu.Unlock()
	var out []string
	var r Reader
	byIndex := make(map[uint64][]string)
	for i := range at {
		p := at[i]
		if byIndex[p.index] == nil {
			es, _, err := g.Read(&r, p.index, p.index+1, 1)
			if err != nil || len(es) != 1 {
				t.Fatalf("reading entry %d back: %d entries, %v", p.index, len(es), err)
			}
			for _, c := range es[0].Commands {
				byIndex[p.index] = append(byIndex[p.index], string(c.Data))
			}
		}
		out = append(out, byIndex[p.index][p.n])
	}
	return out
}

// result is a Proposer that keeps its outcome.
type result struct {
	done bool
	o    Outcome
}

func (r *result) Proposed(o Outcome) {
	if r.done {
		panic("told twice")
	}
	r.done, r.o = true, o
}

// cluster is several nodes in one goroutine: manual logs on faulty disks, manual
// hosts, and a network that a test can disturb.
type cluster struct {
	t       testing.TB
	rng     *rand.Rand
	nodes   map[uint64]*node
	wire    []packet
	cut     map[[2]uint64]bool // from, to
	loss    float64
	shuffle bool
	opt     func(*Options, *wal.Options)
}

type node struct {
	c    *cluster
	id   uint64
	fs   *vfs.Faulty
	log  *wal.Log
	host *Host
	m    map[uint64]*list // by group
	down bool
}

type packet struct {
	from, to, group uint64
	m               []byte
}

func newCluster(t testing.TB, seed uint64, n int) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 2)), nodes: make(map[uint64]*node), cut: make(map[[2]uint64]bool)}
	for id := uint64(1); id <= uint64(n); id++ {
		c.nodes[id] = &node{c: c, id: id, fs: vfs.NewFaulty(seed*100 + id), m: make(map[uint64]*list)}
	}
	return c
}

func (c *cluster) ids() []uint64 {
	var ids []uint64
	for id := range c.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// boot opens the log and the host of a node.
func (n *node) boot() error {
	wo := wal.Options{FS: n.fs, Dir: "wal", SegmentSize: 64 << 10, HotSegments: 3, SpareSegments: 1, Reserve: 1, Manual: true, Salt: n.id}
	o := Options{Node: n.id, Transport: n, Manual: true, SnapshotBytes: 4 << 10}
	if os.Getenv("REPLOG_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.id)
	}
	if n.c.opt != nil {
		n.c.opt(&o, &wo)
	}
	log, err := wal.Open(wo)
	if err != nil {
		return err
	}
	o.Log = log
	n.log, n.host, n.down = log, New(o), false
	return nil
}

// start starts a group on a node; its replica id is the node's.
func (n *node) start(group uint64, members []Member, s Settings) error {
	n.m[group] = &list{}
	_, err := n.host.Start(GroupConfig{ID: group, Replica: n.id, Members: members, Machine: n.m[group], Settings: s})
	return err
}

// Send implements Transport: what is sent is encoded, so that nobody shares it.
func (n *node) Send(to, group uint64, m *raftpb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.c.wire = append(n.c.wire, packet{n.id, to, group, b})
}

// deliver brings the messages on the wire to their nodes.
func (c *cluster) deliver() {
	wire := c.wire
	c.wire = nil
	if c.shuffle {
		c.rng.Shuffle(len(wire), func(i, j int) { wire[i], wire[j] = wire[j], wire[i] })
	}
	for _, p := range wire {
		to := c.nodes[p.to]
		m := &raftpb.Message{}
		if err := proto.Unmarshal(p.m, m); err != nil {
			c.t.Fatal(err)
		}
		lost := to == nil || to.down || c.cut[[2]uint64{p.from, p.to}] || c.rng.Float64() < c.loss
		if from := c.nodes[p.from]; m.GetType() == raftpb.MsgSnap && !from.down {
			from.host.ReportSnapshot(p.group, p.to, !lost)
		}
		if !lost {
			to.host.Receive(p.from, p.group, m)
		}
	}
}

// turn lets every node do what it has to do, once.
func (c *cluster) turn() {
	for _, id := range c.ids() {
		n := c.nodes[id]
		if n.down {
			continue
		}
		n.host.Run()
		if err := n.log.Flush(); err != nil {
			c.powerLost(n, err)
			continue
		}
		n.host.Run()
	}
	c.deliver()
}

// powerLost turns a node off, which must have lost its power.
func (c *cluster) powerLost(n *node, err error) {
	if !errors.Is(err, vfs.ErrPowerOff) {
		c.t.Fatalf("node %d: %v", n.id, err)
	}
	n.host.Run() // it learns that its disk is gone
	c.kill(n)
}

// kill stops a node and tells the others.
func (c *cluster) kill(n *node) {
	n.down = true
	n.host.Close()
	for _, id := range c.ids() {
		if o := c.nodes[id]; o != n && !o.down {
			o.host.NodeDown(n.id)
		}
	}
}

// settle lets time pass until done, or complains.
func (c *cluster) settle(what string, done func() bool) {
	c.t.Helper()
	for range 3000 {
		for range 3 {
			c.turn()
			if done() {
				return
			}
		}
		for _, id := range c.ids() {
			if n := c.nodes[id]; !n.down {
				n.host.Advance()
			}
		}
	}
	c.t.Fatalf("never: %s", what)
}

// leader gives the node that leads a group, or nil.
func (c *cluster) leader(group uint64) *node {
	var best *node
	term := uint64(0)
	for _, id := range c.ids() {
		if n := c.nodes[id]; !n.down && n.host.Group(group) != nil {
			if l := n.host.Group(group).Leadership(); l.Mine && l.Term > term {
				best, term = n, l.Term
			}
		}
	}
	return best
}

func three() []Member { return []Member{{1, 1, false}, {2, 2, false}, {3, 3, false}} }

// boot makes and starts a cluster with one group on all nodes.
func bootCluster(t testing.TB, seed uint64, n int, s Settings, opt func(*Options, *wal.Options)) *cluster {
	t.Helper()
	c := newCluster(t, seed, n)
	c.opt = opt
	for _, id := range c.ids() {
		if err := c.nodes[id].boot(); err != nil {
			t.Fatal(err)
		}
		if err := c.nodes[id].start(1, three()[:n], s); err != nil {
			t.Fatal(err)
		}
	}
	c.settle("a leader", func() bool { return c.leader(1) != nil })
	return c
}

// propose proposes on the leader and waits for the outcome.
func (c *cluster) propose(group uint64, data []byte) Outcome {
	c.t.Helper()
	r := &result{}
	if err := c.leader(group).host.Group(group).Propose(Proposal{Data: data, Proposer: r}); err != nil {
		return Outcome{Err: err}
	}
	c.settle("outcome of a proposal", func() bool { return r.done })
	return r.o
}

// same checks that all living replicas have applied the same, and gives it.
func (c *cluster) same(group uint64) []string {
	c.t.Helper()
	c.settle("replicas that agree", func() bool {
		var applied []uint64
		for _, id := range c.ids() {
			if n := c.nodes[id]; !n.down && n.host.Group(group) != nil {
				applied = append(applied, n.host.Group(group).Applied())
			}
		}
		return slices.Min(applied) == slices.Max(applied) && c.leader(group) != nil
	})
	var first []string
	var sum uint64
	for i, id := range c.ids() {
		n := c.nodes[id]
		if n.down || n.host.Group(group) == nil {
			continue
		}
		got := n.m[group].content(c.t, n.host.Group(group))
		if first == nil && sum == 0 {
			first, sum = got, n.m[group].sum
		}
		if !slices.Equal(first, got) || sum != n.m[group].sum {
			c.t.Fatalf("node %d (%d of them) has %d commands with sum %x, another has %d with %x", id, i, len(got), n.m[group].sum, len(first), sum)
		}
	}
	return first
}
