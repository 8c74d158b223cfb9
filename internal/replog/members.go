package replog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Member is a replica of a group. Replica ids are never used twice in a group,
// also not for a replica that comes back to the same node.
type Member struct {
	Replica, Node uint64
	// Learner replicates and does not vote.
	Learner bool
}

// conf is the membership of a group from an index on.
type conf struct {
	index uint64
	state *raftpb.ConfState
	nodes map[uint64]uint64 // replica to node
}

func newConf(index uint64, ms []Member) (conf, error) {
	c := conf{index: index, state: &raftpb.ConfState{}, nodes: make(map[uint64]uint64)}
	for _, m := range ms {
		if m.Replica == 0 || c.nodes[m.Replica] != 0 {
			return conf{}, fmt.Errorf("replog: replica id %d is zero or used twice", m.Replica)
		}
		c.nodes[m.Replica] = m.Node
		if m.Learner {
			c.state.Learners = append(c.state.Learners, m.Replica)
		} else {
			c.state.Voters = append(c.state.Voters, m.Replica)
		}
	}
	if len(c.state.Voters) == 0 {
		return conf{}, errors.New("replog: a group needs a voter")
	}
	return c, nil
}

// members lists the replicas, by id.
func (c *conf) members() []Member {
	var ms []Member
	for r, n := range c.nodes {
		ms = append(ms, Member{Replica: r, Node: n, Learner: slices.Contains(c.state.Learners, r)})
	}
	slices.SortFunc(ms, func(a, b Member) int {
		if a.Replica < b.Replica {
			return -1
		}
		return 1
	})
	return ms
}

// change gives the membership after a change that is applied at index; state
// comes from raft, nodes from the change.
func (c *conf) change(index uint64, state *raftpb.ConfState, added map[uint64]uint64) conf {
	next := conf{index: index, state: proto.Clone(state).(*raftpb.ConfState), nodes: make(map[uint64]uint64)}
	for _, list := range [][]uint64{state.Voters, state.Learners, state.VotersOutgoing, state.LearnersNext} {
		for _, r := range list {
			next.nodes[r] = c.nodes[r]
			if n, ok := added[r]; ok {
				next.nodes[r] = n
			}
		}
	}
	return next
}

// envelope is what this package stores as a snapshot: the machine's, and the
// members at that index.
//
//	version u8 = 1 | applied uvarint | index of the last change of members uvarint |
//	length uvarint, raftpb.ConfState | n uvarint, n times: replica uvarint, node uvarint |
//	the machine's snapshot
type envelope struct {
	applied uint64
	conf    conf
	data    []byte
}

const envelopeVersion = 1

var errEnvelope = errors.New("replog: snapshot is malformed")

func (e *envelope) append(b []byte) ([]byte, error) {
	state, err := proto.MarshalOptions{Deterministic: true}.Marshal(e.conf.state)
	if err != nil {
		return nil, err
	}
	b = append(b, envelopeVersion)
	b = binary.AppendUvarint(b, e.applied)
	b = binary.AppendUvarint(b, e.conf.index)
	b = binary.AppendUvarint(b, uint64(len(state)))
	b = append(b, state...)
	ms := e.conf.members()
	b = binary.AppendUvarint(b, uint64(len(ms)))
	for _, m := range ms {
		b = binary.AppendUvarint(b, m.Replica)
		b = binary.AppendUvarint(b, m.Node)
	}
	return append(b, e.data...), nil
}

// decodeEnvelope decodes an envelope; data aliases b.
func decodeEnvelope(b []byte) (envelope, error) {
	d := decoder{b: b}
	if v := d.byte(); v != envelopeVersion && !d.bad {
		return envelope{}, fmt.Errorf("%w: version %d", errEnvelope, v)
	}
	e := envelope{applied: d.uvarint()}
	e.conf = conf{index: d.uvarint(), state: &raftpb.ConfState{}, nodes: make(map[uint64]uint64)}
	if err := proto.Unmarshal(d.take(d.uvarint()), e.conf.state); err != nil {
		return envelope{}, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		r := d.uvarint()
		e.conf.nodes[r] = d.uvarint()
	}
	if d.bad || e.conf.index > e.applied {
		return envelope{}, errEnvelope
	}
	e.data = d.b
	return e, nil
}

// decoder reads from the front of b; once it is bad, it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	p := d.take(1)
	if len(p) == 0 {
		return 0
	}
	return p[0]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) || d.bad {
		d.bad = true
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}
