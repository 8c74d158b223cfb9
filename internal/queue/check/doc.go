// Package check judges histories of durable queues: what producers sent and were told, what the log holds, what consumers got and
// answered. A test records what it sees, from as many goroutines as it has, and asks at the end what was wrong.
//
//	log := check.NewLog()
//	    Sent before the PUBLISH leaves, Acknowledged or Refused after the answer came; a message without an answer has an
//	    unknown outcome. At the end Stored for every message of every partition, in the order of the offsets.
//	log.Done()         every acknowledged message is there exactly once, where the acknowledgement said; nothing is there that
//	                   was refused or never sent; what is unknown is there once or never; each producer's messages are in order
//
//	deliveries := check.NewDeliveries(rules)
//	    Published after the acknowledgement; Delivered before the consumer answers; Ended before its answer leaves, or when the
//	    delivery ended without one; Buried for what the dead-letter queue holds; Failover, Dropped when that happened.
//	deliveries.Done()  each group got everything, or it is in the dead-letter queue, or was dropped by retention; nothing came
//	                   again without a reason, or more often than allowed; the order of keys held
//
//	Same(a, b)         replicas that hold the same messages at the same offsets
//
// All of it takes time and memory linear in the length of the history. A checker that finds nothing proves nothing, so each rule
// is tested with a bug planted against it.
package check
