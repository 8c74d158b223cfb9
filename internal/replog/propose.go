package replog

import (
	"errors"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Proposal is a command for a group.
type Proposal struct {
	// Data is copied before Propose returns.
	Data []byte
	// Proposer is told how it ended; nil if nobody wants to know.
	Proposer Proposer
	// Essential commands make room, such as settles: they go on when the disk
	// has reached its reserve.
	Essential bool
}

// frame is a batch of commands that becomes an entry.
type frame struct {
	data []byte
	who  []Proposer
	typ  raftpb.EntryType
}

// proposed is a frame on its way through the log.
type proposed struct {
	index, term uint64 // index 0: not yet known
	who         []Proposer
	size        int
	done        bool // acknowledged before it was applied, under ModeLeader
}

// Propose hands a command to the group's leader, which must be this replica.
// Commands that are proposed at the same time share an entry. A refusal that is
// known at once is the error; otherwise the Proposer is told. ErrBusy is the
// answer to more than the group can commit.
func (g *Group) Propose(p Proposal) error {
	switch l := g.Leadership(); {
	case len(p.Data) > g.maxCommand:
		return ErrTooLarge
	case !l.Mine:
		return &NotLeaderError{Group: g.id, Leader: l.Leader, Node: l.Node}
	case !p.Essential && g.host.opt.Log.Full():
		return ErrFull
	case g.tooFew.Load():
		return ErrTooFewInSync
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.mu.ended:
		return ErrStopped
	case g.mu.waiting+len(p.Data) > g.host.opt.MaxUncommitted:
		return ErrBusy
	}
	in := &g.mu.in
	n := len(in.frames)
	if n == 0 || len(in.frames[n-1].data)+len(p.Data)+frameHeader > g.host.opt.BatchBytes {
		in.frames = append(in.frames, frame{data: takeBuffer()})
		n++
	}
	f := &in.frames[n-1]
	before := len(f.data)
	f.data = appendCommand(f.data, p.Data)
	g.mu.waiting += len(f.data) - before
	f.who = append(f.who, p.Proposer)
	g.wake()
	return nil
}

// proposeAll steps the frames that wait, in one message if raft takes them all.
func (g *Group) proposeAll(frames []frame) {
	frames = append(g.held, frames...)
	g.held = nil
	if len(frames) == 0 {
		return
	}
	if !g.leads() {
		g.refuseFrames(frames, &NotLeaderError{Group: g.id, Leader: g.lead.Leader, Node: g.lead.Node})
		return
	}
	if err := g.step(frames); err == nil {
		return
	}
	// Too much at once: what does not fit waits for commits.
	for i := range frames {
		err := g.step(frames[i : i+1])
		if err == nil {
			continue
		}
		if len(g.inFlight) > 0 && errors.Is(err, raft.ErrProposalDropped) {
			g.held = append([]frame(nil), frames[i:]...)
			return
		}
		g.refuseFrames(frames[i:i+1], ErrBusy)
	}
}

// step proposes frames as one message.
func (g *Group) step(frames []frame) error {
	es := make([]*raftpb.Entry, len(frames))
	for i := range frames {
		es[i] = &raftpb.Entry{Data: frames[i].data}
		if frames[i].typ != raftpb.EntryNormal {
			es[i].Type = frames[i].typ.Enum()
		}
	}
	term := g.raft.BasicStatus().GetTerm()
	err := g.raft.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(g.replica), Entries: es})
	if err != nil {
		return err
	}
	for i := range frames {
		g.inFlight = append(g.inFlight, proposed{term: term, who: frames[i].who, size: len(frames[i].data)})
		giveBuffer(frames[i].data) // raft has made a copy
	}
	return nil
}

// buffers are for frames that are being filled, of any group.
var buffers sync.Pool

func takeBuffer() []byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 4<<10)
}

func giveBuffer(b []byte) {
	const most = 1 << 20
	if cap(b) <= most {
		buffers.Put(&b)
	}
}

// numberProposals notes the indexes that raft gave to proposals, which it shows
// with the entries of a Ready, in the order in which they were stepped.
func (g *Group) numberProposals(es []*raftpb.Entry) {
	for _, e := range es {
		if len(e.GetData()) == 0 {
			continue // raft's own
		}
		if g.numbered >= len(g.inFlight) || g.inFlight[g.numbered].term != e.GetTerm() {
			continue
		}
		g.inFlight[g.numbered].index = e.GetIndex()
		g.numbered++
	}
}

// takeApplied gives the proposal of an applied entry, if it was made here.
func (g *Group) takeApplied(index, term uint64) (proposed, bool) {
	if g.numbered == 0 || g.inFlight[0].index != index || g.inFlight[0].term != term {
		return proposed{}, false
	}
	p := g.inFlight[0]
	g.inFlight = g.inFlight[1:]
	g.numbered--
	if len(g.inFlight) == 0 {
		g.inFlight = nil
	}
	g.returnRoom(p.size)
	return p, true
}

// tell gives all proposers of a frame the same outcome.
func (p *proposed) tell(o Outcome) {
	for i, w := range p.who {
		if w != nil && !p.done {
			o.Command = i
			w.Proposed(o)
		}
	}
}

// refuseFrames tells that frames were not proposed.
func (g *Group) refuseFrames(frames []frame, err error) {
	for i := range frames {
		p := proposed{who: frames[i].who}
		p.tell(Outcome{Err: err})
		g.returnRoom(len(frames[i].data))
	}
}

// abandon gives up what has no outcome yet.
func (g *Group) abandon(err error) {
	for i := range g.inFlight {
		g.inFlight[i].tell(Outcome{Err: ErrUnknown})
		g.returnRoom(g.inFlight[i].size)
	}
	g.inFlight, g.numbered = nil, 0
	for i := range g.unacked {
		g.unacked[i].tell(ErrUnknown)
	}
	g.unacked = nil
	held := g.held
	g.held = nil
	g.refuseFrames(held, err)
}

// returnRoom gives back the room of a frame that no longer waits.
func (g *Group) returnRoom(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.waiting = max(0, g.mu.waiting-size)
}
