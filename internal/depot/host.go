package depot

import (
	"fmt"

	"github.com/millrace-mq/millrace/internal/replog"
)

// OnHost gives logs of one replica each, on a node that is alone.
func OnHost(h *replog.Host, node uint64) Logs { return &hostLogs{h, node} }

type hostLogs struct {
	host *replog.Host
	node uint64
}

// Open implements Logs.
func (l *hostLogs) Open(group uint64, m replog.StateMachine, r Replication) (Log, error) {
	g, err := l.host.Start(replog.GroupConfig{
		ID: group, Replica: 1, Machine: m, Members: []replog.Member{{Replica: 1, Node: l.node}},
		Settings: replog.Settings{Mode: r.Mode, MinInSync: r.MinInSync},
	})
	if err != nil {
		return nil, err
	}
	return hostLog{g}, nil
}

// Remove implements Logs.
func (l *hostLogs) Remove(group uint64) error { return l.host.Remove(group) }

type hostLog struct{ g *replog.Group }

// Propose implements Log.
func (l hostLog) Propose(data []byte, essential bool, to replog.Proposer) error {
	return l.g.Propose(replog.Proposal{Data: data, Proposer: to, Essential: essential})
}

// Read implements Log.
func (l hostLog) Read(lo uint64, maxBytes int) ([]replog.Entry, error) {
	var r replog.Reader
	hi := l.g.Applied() + 1
	for lo < hi {
		entries, next, err := l.g.Read(&r, lo, hi, maxBytes)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		lo = next // there were only entries of raft
	}
	return nil, fmt.Errorf("depot: group %d has no entry %d", l.g.ID(), lo)
}

// Set implements Log.
func (l hostLog) Set(r Replication) {
	l.g.SetSettings(replog.Settings{Mode: r.Mode, MinInSync: r.MinInSync})
}
