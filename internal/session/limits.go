package session

import "github.com/millrace-mq/millrace/mqtt"

// Never is the session expiry interval of a session that does not expire, in seconds (3.1.2.11.2).
const Never = 1<<32 - 1

// Overflow says which message goes when a session's queue is full.
type Overflow uint8

// The two rules. Either way the message is counted: it comes back as Dropped, or in Delivery.Evicted.
const (
	DropOldest Overflow = iota // the messages that wait longest make room for the new one
	DropNewest                 // the new message is not taken
)

// Limits are the settings that all sessions of a server share. A session holds a pointer to them and only reads.
type Limits struct {
	// ReceiveMaximum is how many QoS 1 and 2 messages a 5.0 client may have sent without an acknowledgement of ours;
	// 0 means 65,535, the protocol's own limit. 3.1.1 has no way to tell a client.
	ReceiveMaximum uint16
	// MaxPacketSize is the longest packet in bytes that a client may send; 0 for the protocol's limit. The session
	// announces it; whoever reads packets enforces it.
	MaxPacketSize uint32
	// TopicAliasMaximum is the highest topic alias that a client may use; 0 for none. Each that it uses costs the topic.
	TopicAliasMaximum uint16
	// TopicAliasMaximumOut bounds the aliases that the server gives to topics towards one client, below what the client
	// allows; 0 for none. Each costs about 40 bytes and the topic.
	TopicAliasMaximumOut uint16
	// MaximumQoS is the highest quality of service for publishing, and what subscriptions are granted at most.
	MaximumQoS byte

	RetainAvailable         bool // clients may publish retained messages and wills
	WildcardAvailable       bool // filters may hold + and #
	SubscriptionIDAvailable bool // subscriptions may have an identifier
	SharedAvailable         bool // $share/... is allowed

	// MaxInflight bounds the messages that a client was sent and has not acknowledged, below its own Receive Maximum;
	// 0 for no bound of ours.
	MaxInflight uint16
	// MaxQueued is how many QoS 1 and 2 messages wait for one client that is not connected or whose window is full.
	// With 0 nothing waits.
	MaxQueued int
	// MaxQueuedBytes bounds the same by bytes of topic, properties and payload; 0 for no bound.
	MaxQueuedBytes int
	// Overflow is what happens at either bound.
	Overflow Overflow

	// MaxSessionExpiry caps what clients ask for, in seconds. For 3.1.1 clients without clean session, which ask for
	// ever, it is the expiry.
	MaxSessionExpiry uint32
	// KeepAliveMax is the longest keep alive in seconds; a 5.0 client that wants a longer one, or none, is told to use
	// this. 0 for no limit. 3.1.1 has no way to tell a client, so its keep alive stands.
	KeepAliveMax uint16
	// KeepAliveServer is the keep alive in seconds that every 5.0 client is told to use in place of its own; 0: its own counts.
	KeepAliveServer uint16
	// MaxSubscriptions is the number of subscriptions that one session may have; 0 for no limit.
	MaxSubscriptions int
}

// DefaultLimits are the limits of a server without settings: everything available, and everything that grows bounded.
func DefaultLimits() Limits {
	return Limits{
		ReceiveMaximum:          1024,
		MaxPacketSize:           1 << 20,
		TopicAliasMaximum:       32,
		TopicAliasMaximumOut:    0,
		MaximumQoS:              2,
		RetainAvailable:         true,
		WildcardAvailable:       true,
		SubscriptionIDAvailable: true,
		SharedAvailable:         true,
		MaxInflight:             1024,
		MaxQueued:               100_000,
		MaxQueuedBytes:          64 << 20,
		Overflow:                DropOldest,
		MaxSessionExpiry:        Never,
		KeepAliveMax:            0,
		MaxSubscriptions:        100_000,
	}
}

// receiveMaximum is how many unacknowledged messages of a client are taken.
func (l *Limits) receiveMaximum() int {
	if l.ReceiveMaximum == 0 {
		return maxPacketID
	}
	return int(l.ReceiveMaximum)
}

// window is how many unacknowledged messages a client that takes so many is sent.
func (l *Limits) window(client uint16) uint16 {
	if l.MaxInflight != 0 {
		client = min(client, l.MaxInflight)
	}
	return client
}

// maxPacketID is the highest packet identifier, and with that the protocol's own limit of messages in flight.
const maxPacketID = 1<<16 - 1

func refuse(code mqtt.ReasonCode, reason string) *mqtt.Error {
	return &mqtt.Error{Code: code, Reason: reason}
}
