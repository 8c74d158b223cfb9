package depot

import (
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
)

// Log is one replicated log, as depot uses it.
type Log interface {
	// Propose hands a command to the log, which copies it. to hears how that ended, once; an error is a refusal, and to hears
	// nothing. What is essential makes room, and goes on when the disk is full. It does not block.
	Propose(data []byte, essential bool, to replog.Proposer) error
	// Read gives committed entries from the index lo on: as many as have about maxBytes, at least one. The bytes are
	// the caller's. It may wait for the disk.
	Read(lo uint64, maxBytes int) ([]replog.Entry, error)
	// Set changes how the log is replicated, but for the number of replicas.
	Set(r Replication)
}

// Replication says how a log is replicated.
type Replication struct {
	Factor    int // replicas wanted; 0: as many as there are nodes, three at most
	MinInSync int // replicas that must be in sync for a proposal to be taken; 0: a majority
	Mode      replog.Mode
}

// Logs opens the logs of a node.
type Logs interface {
	// Open begins to drive m with the log of a group, which is made if there is none. m is told by Lead when it can be
	// used.
	Open(group uint64, m replog.StateMachine, r Replication) (Log, error)
	// Remove stops a group and forgets all that it stored.
	Remove(group uint64) error
}

// Runner has partitions pumped.
type Runner interface {
	// Wake arranges that Pump of p is called soon, on a goroutine of the runner's choice. It does not block.
	Wake(p *Partition)
}

// Out takes what a partition hands out. It is called under the partition's lock and must not call the partition.
type Out interface {
	// Deliver offers a message to a consumer. It and its bytes are valid during the call only. What queue.Verdict says
	// applies; Lapsed in its place says that the message expired just now: it counts as sent and settled.
	Deliver(p *Partition, c *Consumer, d *queue.Delivery) queue.Verdict
}

// Lapsed is a verdict of Out.Deliver.
const Lapsed queue.Verdict = 255

// Groups of the logs of a node. The catalog is group 0's; partitions get numbers from firstGroup on, so that other logs have
// room below.
const (
	catalogGroup = 0
	firstGroup   = 1 << 32
)
