package millrace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/internal/wal"
)

// keptFolder is where the applied state of sessions and retained messages is, within node.data_dir.
const keptFolder = "state"

// firstShard is the group of the first shard of sessions in the shared log; the others follow.
const firstShard = 1 << 16

// kept is the sessions and retained messages of a node, on disk.
type kept struct {
	store *state.Store
	set   *state.Set
}

// openKept opens the state of sessions over the shared log, and returns when every shard has applied its log.
func openKept(ctx context.Context, so state.StoreOptions, w *wal.Log, host *replog.Host) (*kept, error) {
	store, err := state.OpenStore(so)
	if err != nil {
		return nil, fmt.Errorf("node.data_dir: %w", err)
	}
	k := &kept{store: store}
	var shards [state.Shards]*shardLog
	for i := range shards {
		shards[i] = &shardLog{machine: store.Machine(i), store: store, shard: i, leads: make(chan struct{})}
		id := firstShard + uint64(i)
		if _, err := w.Info(id); errors.Is(err, wal.ErrNoGroup) && shards[i].machine.Index() > 0 {
			return nil, errors.Join(fmt.Errorf("node.data_dir: %s is there, and the log that it belongs to is not", keptFolder), k.close())
		}
		shards[i].group, err = host.Start(replog.GroupConfig{
			ID: id, Replica: 1, Members: []replog.Member{{Replica: 1, Node: nodeNumber}}, Machine: shards[i],
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("shard %d of sessions: %w", i, err), k.close())
		}
	}
	began := time.Now()
	for i := range shards {
		select {
		case <-shards[i].leads:
		case <-store.Failed():
			return nil, errors.Join(store.Err(), k.close())
		case <-w.Failed():
			return nil, errors.Join(w.Err(), k.close())
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), k.close())
		}
	}
	if took := time.Since(began); took > time.Second {
		so.Log.Info("log of sessions applied", "took", took.Round(time.Millisecond).String())
	}
	k.set = state.NewSet(store, so.Log, func(i int) state.Log { return shards[i] })
	return k, nil
}

// close ends what openKept began, after the host of the log.
func (k *kept) close() error {
	if k == nil {
		return nil
	}
	return k.store.Close()
}

// shardLog joins a shard of the state to a group of the log: it is the group's state machine, and the shard's log.
type shardLog struct {
	group   *replog.Group
	machine *state.Machine
	store   *state.Store
	shard   int

	led   bool
	leads chan struct{} // closed when this replica begins to lead
}

// Propose implements state.Log.
func (s *shardLog) Propose(data []byte, essential bool, done state.Done) error {
	return refusalOf(s.group.Propose(replog.Proposal{Data: data, Proposer: proposer{done}, Essential: essential}))
}

// proposer tells in the state's words how a proposal ended.
type proposer struct{ done state.Done }

// Proposed implements replog.Proposer.
func (p proposer) Proposed(o replog.Outcome) { p.done.Proposed(refusalOf(o.Err)) }

func refusalOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, replog.ErrFull):
		return state.ErrFull
	case replog.Refused(err):
		return fmt.Errorf("%w: %w", state.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", state.ErrLost, err)
}

// Apply implements replog.StateMachine. An error is the store's to report, and stops the node.
func (s *shardLog) Apply(entries []replog.Entry) {
	for i := range entries {
		e := &entries[i]
		for j := range e.Commands {
			if s.machine.Add(e.Index, e.Commands[j].Data) != nil {
				return
			}
		}
	}
	_ = s.machine.Commit(entries[len(entries)-1].Index)
}

// snapshotHere is a snapshot that says that the state is in this node's own store.
const snapshotHere = 1

// Snapshot implements replog.StateMachine: the state is in the store already, which is made durable, so that the log up to here
// is not needed any more.
func (s *shardLog) Snapshot(dst []byte) ([]byte, error) {
	return append(dst, snapshotHere), s.store.Sync()
}

// Restore implements replog.StateMachine.
func (s *shardLog) Restore(index uint64, data []byte) error {
	switch {
	case index == 0 && len(data) == 0:
		return nil
	case len(data) != 1 || data[0] != snapshotHere:
		return fmt.Errorf("a snapshot of an unknown kind")
	case s.machine.Index() < index:
		return fmt.Errorf("the state in %s ends at entry %d, and the log begins after %d: files are missing", keptFolder, s.machine.Index(), index)
	}
	return nil
}

// Floor implements replog.StateMachine: nothing is read back.
func (s *shardLog) Floor() uint64 { return math.MaxUint64 }

// Lead implements replog.StateMachine.
func (s *shardLog) Lead(l replog.Leadership) {
	if l.Mine && !s.led {
		s.led = true
		close(s.leads)
	}
}
