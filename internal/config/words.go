package config

// ListenerType is what a listener speaks.
type ListenerType string

// The types of listeners.
const (
	TypeMQTT  ListenerType = "mqtt"
	TypeMQTTS ListenerType = "mqtts"
	TypeWS    ListenerType = "ws"
	TypeWSS   ListenerType = "wss"
	TypeUnix  ListenerType = "unix"
)

// Secure tells whether the type is over TLS.
func (t ListenerType) Secure() bool { return t == TypeMQTTS || t == TypeWSS }

// WebSocket tells whether the type is over WebSocket.
func (t ListenerType) WebSocket() bool { return t == TypeWS || t == TypeWSS }

// address is the usual address of a listener of the type.
func (t ListenerType) address() string {
	switch t {
	case TypeMQTT:
		return ":1883"
	case TypeMQTTS:
		return ":8883"
	case TypeWS:
		return ":8083"
	case TypeWSS:
		return ":8084"
	}
	return ""
}

// ClientAuth says whether clients show certificates.
type ClientAuth string

// The values of client_auth.
const (
	ClientAuthNone     ClientAuth = "none"
	ClientAuthOptional ClientAuth = "optional"
	ClientAuthRequire  ClientAuth = "require"
)

// Overflow is the rule of a full queue.
type Overflow string

// The values of queue_overflow.
const (
	DropOldest Overflow = "drop_oldest"
	DropNewest Overflow = "drop_newest"
)

// SharedStrategy says which member of a shared subscription gets a message.
type SharedStrategy string

// The values of shared_strategy.
const (
	RoundRobin    SharedStrategy = "round_robin"
	LeastInflight SharedStrategy = "least_inflight"
	Sticky        SharedStrategy = "sticky"
	HashClient    SharedStrategy = "hash_client"
	HashTopic     SharedStrategy = "hash_topic"
	Random        SharedStrategy = "random"
)

// Backend serves sockets.
type Backend string

// The values of backend.
const (
	BackendAuto     Backend = "auto"
	BackendEpoll    Backend = "epoll"
	BackendPortable Backend = "portable"
)
