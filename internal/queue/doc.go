// Package queue is one partition of a durable queue: the state that its replicas agree on (Machine), and the dispatch of its
// messages to consumers on the replica that leads (Dispatcher). It does no I/O, starts nothing and has no clock: time is an
// argument, Unix milliseconds.
//
// The log of the partition is the queue. A Machine holds no message; it knows where in the log each offset stands, what each
// group has settled, and the identifiers that keep repeats out. The formats are drawn in docs/format-queue.md.
//
//	              commands                    Apply
//	Batch ------------------------+   log   +-------+ reads  +------------+  Deliver, Bury
//	AppendCreateGroup, ... -------+-------->|Machine|<-------| Dispatcher |-----------------> Sink
//	Dispatcher.Proposal ----------+         +-------+        +------------+
//	                                                            ^  Join, Leave, Room, Ack, Nack, Reject, Release
//
// # Driving a Machine
//
// One mutex of the owner guards a Machine and the Dispatcher on it. The owner adapts the Machine to the port of the log:
//
//	a committed command      result = Apply(index, n, data); Result to the proposer; then Pump, if there is a Dispatcher
//	a snapshot is wanted     Snapshot(dst)
//	start, or a snapshot     Restore(index, data), before Apply goes on behind index
//	what may the log drop    entries below Floor
//	this replica leads       NewDispatcher(machine, log, sink), Join for each consumer, Pump
//	it leads no more         forget the Dispatcher, with all tokens
//
// The first command of a queue is AppendConfigure: a new Machine has no limits and keeps everything. A setting binds what is
// applied after it, on all replicas alike.
//
// # Publishing
//
// The leader gathers messages into a Batch (Begin, Add, Command) and proposes it. Add refuses what exceeds max_message_size; Room
// and Duplicate tell before anything is written what would be refused. What counts is the Result of Apply: Result.Outcome(position)
// says for each message Stored with its offset, Duplicate with that of the first one, or Full.
//
// # Consuming
//
//	SUBSCRIBE                AppendCreateGroup; its Result: ErrFilter, ErrTooManyGroups, or the group is there; Join; Pump
//	Sink.Deliver             session.Lease, under its own mutex; map the verdict:
//	                           Send at QoS 1 or 2: Leased; Send at QoS 0: Done; NoRoom: NoRoom; TooLarge: Unfit;
//	                           Expired: Leased, and Ack after Pump
//	the client has room      Room(member), Pump
//	PUBACK, PUBCOMP          Ack(token)
//	PUBACK or PUBREC         0x99 or 0x90: Reject(token); another of 0x80 or more: Nack(token, now)
//	disconnect, unsubscribe  Release for the tokens of session.TakeShared, then Leave(member). While a QoS 2 message stays
//	                         with the session: Resize(member, 0), and Leave when the session has ended
//	Sink.Bury                publish to <name>.dlq, with a DedupID made of queue, partition, offset and group; stored: Buried(token);
//	                         refused or unknown: Unburied(token, now)
//	after any of these       Pump(now), again while it says more; then Proposal
//	a timer                  at NextDue: Pump and Proposal
//
// Proposal gives the settles since the last time as one command. They have happened as far as this Dispatcher is concerned, so the
// owner proposes the bytes until they are committed or the leadership ends. They may be gathered for a while: nothing waits for
// them but the depth and the log. What was settled and not committed when the leader dies is delivered again by the next one.
//
// # Rules
//
//   - What is out is known to the leader alone: who has it, until when, how often it was delivered. A new leader delivers
//     everything that is not settled, and counts deliveries from 1.
//   - A message is delivered to a group again only after Nack, Release, Leave, the end of its lease, a change of the leader, or a
//     seek. Once MaxDeliveries are used up it becomes a dead letter instead.
//   - Messages that become available are delivered in the order of their offsets, those that were out before them first. A delayed
//     message takes part from its time on; it keeps nobody waiting, also not under KeyOrdered.
//   - KeyOrdered: of a key at most one message is out, waits for its backoff or becomes a dead letter; those behind it wait. A message
//     without a key goes to anybody.
//   - Messages that a group's filter leaves out, and those that have expired, count as settled when their turn comes.
//   - A stream (NewGroup.Stream) holds back no retention and no log. Its leases do not run out, and any acknowledgement settles.
//   - Settling touches the offsets it names and nothing else; a seek gives a group a new number, so that settles from before it
//     are void.
//
// # Limits
//
// At most MaxLeases messages of a partition are out at once. At most a million messages of a group wait for a backoff or a delay: at
// the limit the group gets nothing until one of them is due. Under KeyOrdered the dispatcher looks at most 8192 messages past those
// that it cannot deliver yet. A batch holds at most MaxBatch messages; groups and remembered identifiers have their limits in
// Settings.
//
// # Cost
//
// Per message kept: 5 to 8 bytes when each came in a batch of its own, well under one in batches of 16 and more. Per group: some 200
// bytes, and a bit for each message after the first one that is not settled. Per identifier in the deduplication window: about 90
// bytes. Per message that is out, 80 bytes at the leader; that waits for its time, 40. Nothing is allocated per message once the
// tables have grown.
package queue
