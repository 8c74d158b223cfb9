package broker

import "sync/atomic"

// Counter names one of the counts that the broker keeps of its work.
type Counter int

// The counts, all of them totals since the start.
const (
	BytesReceived Counter = iota
	BytesSent
	PacketsReceived
	PacketsSent
	PublishReceived0 // by quality of service, three in a row
	PublishReceived1
	PublishReceived2
	PublishSent0
	PublishSent1
	PublishSent2
	PublishBytesReceived // payloads
	PublishBytesSent
	PublishUnmatched // nobody had subscribed
	PublishRefused   // not authorized, quota, bad name
	DroppedSlow      // QoS 0 for a subscriber that does not read
	DroppedQueueFull // the offline queue's limit
	DroppedExpired   // the message expired first
	DroppedTooLarge  // beyond the client's maximum packet size
	NotDelivered     // QoS 0 for a client that is not connected, a client's own message with no local
	ConnectsAccepted
	ConnectsRefused
	Disconnects         // connections that had sent CONNECT, ended for any reason
	DisconnectsAbnormal // of these, without a DISCONNECT
	Takeovers
	ProtocolErrors
	KeepAliveTimeouts
	SessionsCreated
	SessionsResumed
	SessionsExpired
	Subscribes // topic filters accepted
	Unsubscribes
	WillsPublished
	RetainedSent
	RetainedRefused // the store is full
	SharedMoved     // messages of a shared subscription given to another member
	QueueStored     // messages stored in durable queues, repeats of a dedup-id among them
	QueueDelivered
	QueueSettled // acknowledged by a consumer, with any code
	counters
)

// Stats are the counts of one worker. Only the worker that owns them writes, so a
// count costs a load and a store; anybody may read.
type stats struct {
	counts [counters]atomic.Uint64
	_      [64]byte
}

func (s *stats) add(c Counter, n uint64) {
	v := &s.counts[c]
	v.Store(v.Load() + n)
}
