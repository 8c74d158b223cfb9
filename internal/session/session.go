package session

import (
	"sync/atomic"

	"github.com/millrace-mq/millrace/mqtt"
)

// state is where a session is in its life.
type state uint8

const (
	fresh   state = iota // made, no CONNECT yet
	online               // between Connect and Close
	offline              // without a connection, until it ends or the client is back
	ended                // holds nothing any more
)

// Session is the protocol state of one client identifier: what MQTT calls Session State (4.1), and the negotiated state of
// the connection that it has at the moment. It is small, since a server has one for each client: whatever most clients
// never use stands behind a pointer that is nil.
//
// A Session is not safe for concurrent use, Load excepted: its owner guards it.
type Session struct {
	// Number tells sessions apart within the server. The owner sets it before the first Connect, to what it writes
	// into message.Message.Sender, and never changes it; no-local subscriptions compare the two.
	Number uint64

	limits *Limits
	id     string

	out     *outflow      // in flight to the client, and what waits
	in      *inflow       // of QoS 1 and 2 from the client
	aliases *aliases      // of the connection
	journal *journal      // of a session that outlives the process; nil for most
	subs    *Subscription // the first of the list; nil when the index has them
	index   *subIndex     // of sessions with many subscriptions
	will    *Will

	// endsAt is when a session without a connection ends, in Unix milliseconds; endless for never.
	endsAt int64
	// arrivals is the number that the next inbound PUBLISH of QoS 1 or 2 gets when in is nil.
	arrivals uint64

	expiry    uint32 // session expiry interval in seconds, as granted
	maxPacket uint32 // the client's Maximum Packet Size; 0 for none
	load      atomic.Int32
	one       [1]uint32 // backs Delivery.SubscriptionIDs of a delivery with one identifier

	window  uint16 // messages in flight to the client, at most
	version mqtt.Version
	state   state
	flags   flags
}

type flags uint8

const (
	noProblemInformation flags = 1 << iota // the client does not want reason strings (3.1.2.11.7)
	expiryAskedZero                        // CONNECT asked for a session expiry of zero, or for none
)

// endless is the time at which something happens that never does.
const endless = 1<<63 - 1

// New makes the session of a client identifier that has none. l must outlive it.
func New(l *Limits, clientID string) *Session {
	return &Session{limits: l, id: clientID, version: mqtt.V5}
}

// ClientID is the client identifier, as the client chose or the server assigned it.
func (s *Session) ClientID() string { return s.id }

// Version is the protocol version of the connection, or of the last one.
func (s *Session) Version() mqtt.Version { return s.version }

// Online tells whether the session has a connection.
func (s *Session) Online() bool { return s.state == online }

// Load is the number of messages that the client was sent and has not acknowledged, and of those that wait for it. Any
// goroutine may ask at any time.
func (s *Session) Load() int { return int(s.load.Load()) }

// Inflight is the number of messages that the client was sent and has not acknowledged.
func (s *Session) Inflight() int {
	if s.out == nil {
		return 0
	}
	return int(s.out.count)
}

// Queued is the number of messages that wait to be sent.
func (s *Session) Queued() int {
	if s.out == nil {
		return 0
	}
	return s.out.queue.n
}

// QueuedBytes is the size of the messages that wait, in bytes of topic, properties and payload.
func (s *Session) QueuedBytes() int {
	if s.out == nil {
		return 0
	}
	return s.out.queue.bytes
}

// Room is how many QoS 1 and 2 messages could be sent at once; 0 when there is no connection, or earlier ones wait.
func (s *Session) Room() int {
	o := s.out
	switch {
	case s.state != online:
		return 0
	case o == nil:
		return int(s.window)
	case o.resend != 0 || o.queue.n > 0:
		return 0
	}
	return max(0, int(s.window)-int(o.used))
}

// ProblemInformation tells whether the client wants reason strings and user properties on packets other than PUBLISH,
// CONNACK and DISCONNECT ([MQTT-3.1.2-29]).
func (s *Session) ProblemInformation() bool { return s.flags&noProblemInformation == 0 }

// Fits tells whether the client takes a packet of so many bytes. An owner leaves reason strings and user properties out of what
// would not fit otherwise ([MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.14.2-3], [MQTT-3.14.2-4]).
func (s *Session) Fits(size int) bool { return s.maxPacket == 0 || size <= int(s.maxPacket) }

// ExpiryInterval is the session expiry interval in force, in seconds; Never for none.
func (s *Session) ExpiryInterval() uint32 { return s.expiry }

// weigh publishes the load.
func (s *Session) weigh() {
	n := 0
	if o := s.out; o != nil {
		n = int(o.count) + o.queue.n
	}
	s.load.Store(int32(n))
}
