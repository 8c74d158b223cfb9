package replog

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/millrace-mq/millrace/internal/wal"
)

// Reader holds the buffers of Read. It is used by one goroutine at a time.
type Reader struct {
	log      wal.Reader
	entries  []Entry
	commands []Command
}

// Read reads entries back that the machine has applied: those from lo up to, not
// including, hi, as many as have about maxBytes in all, at least one. Entries of
// raft itself are left out, so that a call may give nothing though there is
// more: next is where to go on, hi at the end. The commands lie in r and are good
// until its next use. Any goroutine may call it, on any replica.
// Error: wal.ErrCompacted below what Floor kept, wal.CorruptError.
func (g *Group) Read(r *Reader, lo, hi uint64, maxBytes int) (es []Entry, next uint64, err error) {
	hi = min(hi, g.applied.Load()+1)
	if lo >= hi {
		return nil, hi, nil
	}
	raw, err := g.host.opt.Log.Read(&r.log, g.id, lo, hi, maxBytes)
	if err != nil {
		return nil, lo, err
	}
	r.entries, r.commands = r.entries[:0], r.commands[:0]
	for i := range raw {
		e := &raw[i]
		if raftpb.EntryType(e.Tag) != raftpb.EntryNormal || len(e.Data) == 0 {
			continue
		}
		from := len(r.commands)
		if r.commands, err = appendCommands(r.commands, e.Data); err != nil {
			return nil, lo, err
		}
		r.entries = append(r.entries, Entry{Index: e.Index, Term: e.Term, Commands: r.commands[from:]})
	}
	cutCommands(r.entries, r.commands)
	return r.entries, raw[len(raw)-1].Index + 1, nil
}

// cutCommands gives each entry its part of the commands, which were gathered in
// one array: it may have moved while it grew.
func cutCommands(es []Entry, cs []Command) {
	at := 0
	for i := range es {
		n := len(es[i].Commands)
		es[i].Commands = cs[at : at+n : at+n]
		at += n
	}
}
