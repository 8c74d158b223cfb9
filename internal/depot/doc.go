// Package depot is the queues of a node: which there are (a catalog, itself a replicated log), the partitions of each, who
// consumes from them, and where their messages are read from. It joins internal/queue, which decides, to replicated logs
// (Log), which keep. It knows no network: the broker gives it messages to store, and takes messages out.
//
//	              Create, Find                Propose                    Outcome
//	broker ------------------------> Depot    -------------> Log --------------------+
//	   |                               |                      ^                      |
//	   | Propose, Settle, Attach       v      settles, groups |  Apply, Lead         v
//	   +---------------------------> Partition ---------------+<-------------- queue.Machine
//	   ^                               |                                       queue.Dispatcher
//	   |  Out.Deliver                  |
//	   +-------------------------------+   within Partition.Pump, which the broker calls when Runner.Wake asks for it
//
// # A message's way in
//
// The broker gathers what one turn of a loop publishes to a partition into one queue.Batch, and proposes it. When it is
// on disk where the queue's settings want it, the log applies it to the machine and tells the proposer, who
// acknowledges. Nothing waits for a timer.
//
// # A message's way out
//
// Whatever may make a message deliverable (it was stored, a consumer came or has room, a lease ran out) wakes the
// partition: Runner.Wake, once until Pump is called. Pump asks the dispatcher, which reads messages and hands them to
// Out. Messages are read from what was stored last, which stays in memory for a while if anybody consumes, or from
// pieces of the log that a reader fetched from the disk; no pump waits for the disk.
//
// # Locks
//
//	Partition.mu > whatever Out.Deliver takes > ...
//
// The log calls Apply, Lead and Proposed without holding a lock that Propose takes, and Propose is never called under
// Partition.mu. Depot.mu and the locks of clock and cache are taken for the time of a few steps, and nothing is called
// under them.
package depot
