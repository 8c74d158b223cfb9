package client

import (
	"crypto/tls"
	"net/http"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// Options say where to connect and what to send in CONNECT.
type Options struct {
	// URL of the broker: mqtt://, mqtts://, ws://, wss:// with HOST[:PORT][/PATH], or unix:///path/of/socket. Without a scheme it
	// is mqtt://. A user and a password in it count unless Username is set.
	URL string

	TLS    *tls.Config // for mqtts and wss; nil: the system's authorities
	Header http.Header // sent with the WebSocket handshake

	Version    mqtt.Version // 0: V5
	ClientID   string       // empty: the broker assigns one (3.1.1 needs CleanStart then)
	CleanStart bool         // clean session in 3.1.1
	Username   string       // empty: none
	Password   []byte       // nil: none
	Will       *mqtt.Will
	Properties mqtt.Properties // of CONNECT, 5.0 only

	// KeepAlive, in whole seconds, after which a ping is sent. 0: none. The broker's Server Keep Alive counts above it.
	KeepAlive time.Duration

	// Timeout of connecting, CONNACK included, and of each write. 0: 30 seconds.
	Timeout time.Duration

	// Buffer is how many received messages wait for Receive before the client stops to read. 0: 1024. A caller that
	// publishes and receives in one goroutine must not let it fill up.
	Buffer int

	// ManualAck leaves acknowledging to the caller: see Ack. Otherwise Receive acknowledges what it returns.
	ManualAck bool

	// Session is what a client remembers from one connection to the next. nil: it starts anew.
	Session *Session

	// Trace is called with every packet sent and received, fixed header included; it must not keep the bytes. Calls for sent
	// and for received packets may overlap.
	Trace func(sent bool, packet []byte)
}

func (o *Options) complete() {
	if o.Version == 0 {
		o.Version = mqtt.V5
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Buffer == 0 {
		o.Buffer = 1024
	}
	if o.Session == nil {
		o.Session = NewSession()
	}
}

// Session is the part of a session that a receiver must remember: the QoS 2 messages that it has answered with PUBREC and whose PUBREL
// has not come yet, so that one which is sent again is not taken for a new one (4.3.3). Use it for one connection at a time.
type Session struct {
	// mu guards received: the caller's goroutines acknowledge, the reading one looks up.
	mu       sync.Mutex
	received map[uint16]bool
}

// NewSession returns a session that remembers nothing.
func NewSession() *Session { return &Session{received: map[uint16]bool{}} }

func (s *Session) add(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[id] = true
}

func (s *Session) remove(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.received, id)
}

func (s *Session) has(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received[id]
}

func (s *Session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.received)
}
