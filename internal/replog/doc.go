// Package replog keeps replicated logs: one Raft group per queue partition or
// state shard, all groups of a node over one shared write-ahead log.
//
// # What a user of the package sees
//
// A group is a log of entries that all its replicas agree on. An entry is a
// batch of commands: bytes that someone proposed. Each replica hands the
// entries, once committed, to its StateMachine in the order of their indexes.
// Whoever proposed a command on the leader gets an Outcome with its position,
// (Index, Command), and what the machine answered.
//
// The log is the store: a machine that holds messages does not copy them. It
// remembers positions, reads them back with Group.Read, and says with Floor
// which entries it no longer needs. Its own state (cursors, settled offsets,
// deduplication) it gives as a snapshot now and then; after a restart it gets
// the newest snapshot back and then every entry after it.
//
//	                 Propose                                  Outcome
//	                    |                                        ^
//	              +-----v------+   entries   +-------+  synced   |
//	              | group:     |-----------> | wal   |-------+   |
//	peers <-----> | raft core  |             +-------+       |   |
//	 Transport    |            |<----------------------------+   |
//	              |            |  committed  +--------------+    |
//	              |            |-----------> | StateMachine |----+
//	              +------------+             +--------------+
//
// # Promises
//
//   - An Outcome without error was committed: it is on disk on as many
//     replicas as the group's Mode says, and will be applied by every replica.
//   - An Outcome whose error is Refused was not stored and never will be.
//   - ErrUnknown is neither: the command may turn up once, or never.
//   - Apply sees each index once between two Restores, in order, without holes.
//   - Term, vote and entries are on disk before anyone is told of them.
//
// # Who runs what
//
// A Host has a small fixed number of workers. A group is in the run queue of
// the host while it has input (proposals, messages, finished writes, ticks) and
// is run by one worker at a time, so neither raft nor the machine sees two
// goroutines. An idle group costs memory only: it is not ticked. Liveness is a
// matter between nodes, not groups: NodeDown tells a host that a node died, and
// the groups that node led elect another leader. Groups that have unfinished
// business (a proposal not committed everywhere, an election) are ticked until
// it is done.
//
// The raft core runs with AsyncStorageWrites; Options.Synchronous selects the
// Ready/Advance cycle behind the same interface.
package replog
