package netpoll

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"time"
)

// emfilePause is how long a listener rests when there are no descriptors.
const emfilePause = 100 * time.Millisecond

// ListenConfig describes one listening address.
type ListenConfig struct {
	// Network is tcp, tcp4, tcp6 or unix.
	Network string
	// Address is host:port, or a path.
	Address string
	// UnixMode is the permission of a unix socket; 0 means 0660.
	UnixMode fs.FileMode
	// TLS, if not nil, has connections speak TLS. For certificates that change set GetConfigForClient.
	TLS *tls.Config
	// WebSocket, if not nil, has connections speak WebSocket (inside TLS, if there is).
	WebSocket *WebSocket
	// ProxyProtocol has every connection start with a header of version 2 of the PROXY protocol, which names the client.
	// Those without one are closed.
	ProxyProtocol bool
	// ConnectTimeout bounds the time from accepting a connection until its handler sets an alarm of its own: it covers every
	// handshake and the first packet together. 0 means 10 s.
	ConnectTimeout time.Duration
	// MaxConnections bounds the connections of this listener; those beyond are closed at once. 0: no bound.
	MaxConnections int
	// Pace is asked before each accept, by any loop, and returns how long to wait before connections are taken (0: take
	// one now). Those who wait do so in the kernel's queue. May be nil.
	Pace func(now time.Time) time.Duration
	// Admit is asked about each accepted connection; false closes it. Release follows when an admitted one is gone. Called
	// by any loop; both may be nil.
	Admit   func() bool
	Release func()
	// Open gives a connection its handler. It is called by the loop of the connection when that is ready for its protocol
	// (after the TLS and WebSocket handshakes); nil closes the connection.
	Open func(c *Conn) Handler
}

// Listener is a listening address.
type Listener struct {
	cfg     ListenConfig
	poller  *Poller
	index   int
	addr    net.Addr
	conns   atomic.Int64
	refused atomic.Int64
	closed  atomic.Bool
	warned  atomic.Int64 // when a lack of descriptors was last logged, unix seconds
	sockets []int32      // epoll: one per loop, or only that of loop 0; -1 when closed; each owned by its loop
	std     net.Listener
}

// Listen starts to accept connections.
func (p *Poller) Listen(cfg ListenConfig) (*Listener, error) {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	if cfg.UnixMode == 0 {
		cfg.UnixMode = 0o660
	}
	ln := &Listener{cfg: cfg, poller: p}
	listen := p.listenEpoll
	if p.options.Backend == BackendPortable {
		listen = p.listenPortable
	}
	if err := listen(ln); err != nil {
		return nil, fmt.Errorf("netpoll: listen on %s %s: %w", cfg.Network, cfg.Address, err)
	}
	return ln, nil
}

// Close stops accepting. Connections that were accepted stay.
func (ln *Listener) Close() {
	switch {
	case ln.closed.Swap(true):
	case ln.std != nil:
		ln.std.Close()
	default:
		ln.closeEpoll()
	}
}

// Addr returns the address that is listened on.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Connections returns how many connections came from here and are open.
func (ln *Listener) Connections() int { return int(ln.conns.Load()) }

// Refused returns how many connections were closed because of a limit.
func (ln *Listener) Refused() int64 { return ln.refused.Load() }

// admit counts a new connection, or refuses it.
func (ln *Listener) admit() bool {
	n := ln.conns.Add(1)
	if ln.cfg.MaxConnections > 0 && n > int64(ln.cfg.MaxConnections) || ln.cfg.Admit != nil && !ln.cfg.Admit() {
		ln.conns.Add(-1)
		ln.refused.Add(1)
		return false
	}
	return true
}

// released uncounts a connection.
func (ln *Listener) released() {
	ln.conns.Add(-1)
	if ln.cfg.Release != nil {
		ln.cfg.Release()
	}
}

// add gives ln its number and makes it known.
func (p *Poller) add(ln *Listener) {
	p.listeners.mu.Lock()
	defer p.listeners.mu.Unlock()
	old := *p.listeners.all.Load()
	ln.index = len(old)
	all := append(old[:len(old):len(old)], ln)
	p.listeners.all.Store(&all)
}
