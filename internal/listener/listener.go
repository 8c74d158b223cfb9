// Package listener opens the addresses that clients connect to, from the options that an administrator writes: which
// protocol each speaks, its certificates and their reload, and who is admitted (limits on connections and on their rate).
package listener

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
)

// Type is the protocol of a listener.
type Type string

// The types of listeners. MQTT 3.1.1 and 5.0 share every one of them.
const (
	MQTT  Type = "mqtt"  // MQTT over TCP
	MQTTS Type = "mqtts" // MQTT over TLS
	WS    Type = "ws"    // MQTT over WebSocket
	WSS   Type = "wss"   // MQTT over WebSocket over TLS
	Unix  Type = "unix"  // MQTT over a unix socket
)

// Options describes one listener.
type Options struct {
	// Name is what logs, metrics and rules call it; unique. Empty means its type.
	Name string
	Type Type
	// Address is host:port (an empty host: all addresses, IPv4 and IPv6), or the path of a unix socket.
	Address string
	// Path is where WebSocket listeners serve; empty means /mqtt.
	Path string
	// Origins are the web pages that may connect by WebSocket, as in https://app.example.org; empty: any.
	Origins []string
	// TLS is needed for mqtts and wss, and refused for the others.
	TLS *TLS
	// ProxyProtocol: every connection comes through a proxy that sends a version 2 header (version 1 is refused).
	ProxyProtocol bool
	// MaxConnections bounds the connections of this listener; 0: no bound of its own.
	MaxConnections int
	// ConnectTimeout bounds the time from accept to a complete CONNECT, handshakes included; 0 means 10 s.
	ConnectTimeout time.Duration
	// UnixMode is the permission of a unix socket; 0 means 0660.
	UnixMode fs.FileMode
}

// Limits hold for all listeners together.
type Limits struct {
	// MaxConnections bounds the open connections; those beyond are closed at once. 0: no bound.
	MaxConnections int
	// AcceptRate is how many connections are taken per second; the others wait in the kernel's queue, and are refused by
	// it when that is full. 0: no bound.
	AcceptRate float64
	// AcceptBurst is how many are taken at once after a quiet time; 0 means AcceptRate.
	AcceptBurst int
}

// Accept gives a new connection its handler, nil if it is not wanted. It is called by the connection's loop when the
// connection is ready for MQTT.
type Accept func(c *netpoll.Conn, l *Listener) netpoll.Handler

// Listener is one open address.
type Listener struct {
	options Options
	net     *netpoll.Listener
	secure  *certificates // nil without TLS
}

// Name returns the name by which the listener is known.
func (l *Listener) Name() string { return l.options.Name }

// Type returns what it speaks.
func (l *Listener) Type() Type { return l.options.Type }

// Options returns what it was opened with.
func (l *Listener) Options() Options { return l.options }

// Addr returns the address it listens on.
func (l *Listener) Addr() net.Addr { return l.net.Addr() }

// Connections returns how many connections came from here and are open.
func (l *Listener) Connections() int { return l.net.Connections() }

// Refused returns how many connections were closed because of a limit.
func (l *Listener) Refused() int64 { return l.net.Refused() }

// Set is all listeners of a node.
type Set struct {
	all []*Listener
}

// Open opens all listeners, or none: an error names the one that failed.
func Open(p *netpoll.Poller, options []Options, limits Limits, accept Accept, log *slog.Logger) (*Set, error) {
	if log == nil {
		log = slog.Default()
	}
	s := &Set{}
	door := newAdmission(limits, log)
	names := make(map[string]bool)
	for _, o := range options {
		if o.Name == "" {
			o.Name = string(o.Type)
		}
		l, err := open(p, o, door, accept)
		if err == nil && names[o.Name] {
			l.net.Close()
			err = errors.New("another listener has this name")
		}
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("listener %s: %w", o.Name, err)
		}
		names[o.Name] = true
		s.all = append(s.all, l)
		log.Info("listening", "listener", o.Name, "type", string(o.Type), "address", l.Addr().String())
	}
	return s, nil
}

// Check reports what is wrong with o, short of opening it: files are read, addresses are not bound.
func (o Options) Check() error {
	secure := o.Type == MQTTS || o.Type == WSS
	web := o.Type == WS || o.Type == WSS
	switch {
	case o.Type != MQTT && o.Type != Unix && !secure && !web:
		return fmt.Errorf("type %q is none of mqtt, mqtts, ws, wss, unix", o.Type)
	case o.Address == "":
		return errors.New("it has no address")
	case secure && o.TLS == nil:
		return fmt.Errorf("type %s needs a certificate", o.Type)
	case !secure && o.TLS != nil:
		return fmt.Errorf("type %s has no use for a certificate", o.Type)
	case !web && (o.Path != "" || len(o.Origins) > 0):
		return fmt.Errorf("type %s has no use for a path or origins", o.Type)
	case o.Path != "" && o.Path[0] != '/':
		return fmt.Errorf("path %q does not begin with /", o.Path)
	case o.MaxConnections < 0, o.ConnectTimeout < 0:
		return errors.New("a limit is negative")
	}
	if secure {
		_, err := o.TLS.load()
		return err
	}
	return nil
}

func open(p *netpoll.Poller, o Options, door *admission, accept Accept) (*Listener, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	l := &Listener{options: o}
	cfg := netpoll.ListenConfig{
		Network:        "tcp",
		Address:        o.Address,
		UnixMode:       o.UnixMode,
		ProxyProtocol:  o.ProxyProtocol,
		ConnectTimeout: o.ConnectTimeout,
		MaxConnections: o.MaxConnections,
		Pace:           door.pace,
		Admit:          door.admit,
		Release:        door.release,
		Open:           func(c *netpoll.Conn) netpoll.Handler { return accept(c, l) },
	}
	if o.Type == Unix {
		cfg.Network = "unix"
	}
	if o.Type == WS || o.Type == WSS {
		cfg.WebSocket = &netpoll.WebSocket{Path: o.Path, Origins: o.Origins}
	}
	if o.TLS != nil {
		secure, err := newCertificates(*o.TLS)
		if err != nil {
			return nil, err
		}
		l.secure, cfg.TLS = secure, secure.config()
	}
	opened := make(chan struct{}) // connections may come before l.net is set
	inner := cfg.Open
	cfg.Open = func(c *netpoll.Conn) netpoll.Handler {
		<-opened
		return inner(c)
	}
	defer close(opened)
	var err error
	l.net, err = p.Listen(cfg)
	return l, err
}

// Listeners returns the listeners in the order of the options.
func (s *Set) Listeners() []*Listener { return s.all }

// Reload reads all certificates and keys again. Those that cannot be read or do not fit stay as they were, and the error
// says which; the others are replaced. Connections that exist keep theirs.
func (s *Set) Reload() error {
	var errs []error
	for _, l := range s.all {
		if l.secure == nil {
			continue
		}
		if err := l.secure.reload(); err != nil {
			errs = append(errs, fmt.Errorf("listener %s keeps its certificate: %w", l.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Close stops accepting. Connections stay: whose they are closes them.
func (s *Set) Close() {
	for _, l := range s.all {
		l.net.Close()
	}
}
