// Package state keeps what clients find again after a restart: sessions with their subscriptions, the messages in flight
// and waiting, packet identifiers of QoS 2, and retained messages.
//
// It is divided into Shards, by the hash of the client identifier or, for retained messages, of the topic. A shard is a log
// of commands (port Log; in a node a replicated log of package replog) and the state that they lead to, which a
// Machine keeps in Pebble. The memory of the broker is what is served from; Pebble is read when the node starts, and
// by nobody else.
//
//	broker          Shard                         log                 Machine
//	  | Keep, Drop,   |                            |                     |
//	  | Subscribe...  |                            |                     |
//	  |-------------->| open proposal              |                     |
//	  |  FlushDirty   |                            |                     |
//	  |-------------->|----- Propose(commands) --->| append, fsync       |
//	  |               |                            |------ Add, End ---->| Pebble, no WAL
//	  |<-- Done ------|<-------- Proposed ---------|                     |
//
// # Promises
//
//   - Commands of a shard are in the log in the order in which its methods were called, so what is decided under one lock
//     is found again in that order.
//   - Waiter.Done without an error means that everything the waiter was given to is on disk.
//   - The log is needed only as far as Pebble has not flushed: the index of the last applied entry is in Pebble, in
//     the same batch as what the entry did. Machine skips what it has.
//   - A proposal that was refused (disk full) has stored nothing that somebody waits for; what only takes away
//     (Drop, End, Unsubscribe, ...) is proposed again until it succeeds.
//   - Any other failure of the log or of Pebble is final: Set.Failed says so, and nothing is acknowledged any more.
//
// # Batches
//
// What one turn of a loop appends to a shard goes into one proposal, and while some are under way what comes is gathered into
// the next, so that the cost per command falls as load grows. A message for several sessions of a shard is in a proposal
// once, and in Pebble once if there is more than one.
//
// # Numbers
//
// Each shard counts sessions and messages with one counter that never goes back, also across restarts. A session has a new
// number each time it begins anew, so that what is left of an earlier one is never taken for its own.
//
// # Exactly once
//
// A message of QoS 2 from a session that is kept concerns two shards and more: that of the publisher, which must know the
// packet identifier, and those of the receivers. First the publisher's shard takes the identifier and the message (Take, which
// gives it a place in a lane of the shard's outbox). From then on it is the node's. Then it is routed: every receiver's
// shard writes, in one proposal with all that the message does to the shard, that this place of this lane has been
// here (Origin). At last the outbox forgets it (Sent). After a crash whatever is still in the outbox is routed again, but
// not into shards that have seen it. One number per lane suffices for that, since a lane belongs to one loop, which routes
// its messages in order.
//
// The bytes are drawn in docs/format-state.md.
package state
