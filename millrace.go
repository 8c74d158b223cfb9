// Package millrace is the node: the one place that constructs, starts and stops the parts of
// the broker, and the way to run it inside another Go program.
//
//	cfg := millrace.Defaults() // or LoadConfig
//	node, err := millrace.Start(ctx, cfg, slog.Default())
//	...
//	err = node.Stop(ctx)
//
// A node needs no outside service. Several may run in one process, on different addresses.
package millrace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	pebblefs "github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/internal/admin"
	"github.com/millrace-mq/millrace/internal/broker"
	"github.com/millrace-mq/millrace/internal/config"
	"github.com/millrace-mq/millrace/internal/listener"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/vfs"
)

// Config holds all settings; docs/configuration.md describes each.
type Config = config.Config

// Listener is one address that clients connect to, an entry of Config.Listeners.
type Listener = config.Listener

// ListenerType is what a listener speaks.
type ListenerType = config.ListenerType

// The types of listeners. Both versions of the protocol are served on each.
const (
	MQTT  = config.TypeMQTT  // TCP
	MQTTS = config.TypeMQTTS // TLS
	WS    = config.TypeWS    // WebSocket
	WSS   = config.TypeWSS   // WebSocket over TLS
	Unix  = config.TypeUnix  // a socket in the file system
)

// Access decides who may connect, publish and subscribe. See WithAccess.
type Access = broker.Access

// Peer is who Access is asked about.
type Peer = broker.Peer

// Redirect is the error with which Access.Connect sends a client to another server.
type Redirect = session.Redirect

// Mechanism is the server's side of one run of an enhanced authentication method of MQTT 5.0.
type Mechanism = session.Mechanism

// Defaults gives the settings of a node that was told nothing.
func Defaults() *Config { return config.Default() }

// LoadConfig gives the settings of a YAML file laid over the defaults; docs/configuration.md describes it. The error names
// all that is wrong with it, each with its line.
func LoadConfig(file string) (*Config, error) { return config.Load(config.Source{File: file}) }

// Version is the version of this program, set when it is built.
var Version = "dev"

// Option changes what Start makes, beyond what a configuration can say.
type Option func(*options)

type options struct {
	access     Access
	mechanisms session.Opener
	memory     bool
}

func (o *options) disk() *disk {
	if o.memory {
		return &disk{log: vfs.NewMemory(), kept: pebblefs.NewMem()}
	}
	return &disk{log: vfs.OS{}}
}

// WithAccess has a decide about every CONNECT, PUBLISH and SUBSCRIBE.
func WithAccess(a Access) Option { return func(o *options) { o.access = a } }

// WithMechanisms offers enhanced authentication (MQTT 5.0, 4.12): open begins a run of the
// method with a name, and gives an error where there is no such method.
func WithMechanisms(open func(method string) (Mechanism, error)) Option {
	return func(o *options) { o.mechanisms = open }
}

// InMemory has the node use memory in place of node.data_dir: nothing is kept when it stops. For tests, and for nodes
// without a disk.
func InMemory() Option { return func(o *options) { o.memory = true } }

// Check says what is wrong with cfg, short of opening addresses: the files that it names are read.
func Check(cfg *Config) error {
	errs := []error{cfg.Validate()}
	cfg = cfg.Completed()
	for _, name := range cfg.ListenerNames() {
		l := cfg.Listeners[name]
		if err := listenerOptions(name, &l, &cfg.Limits).Check(); err != nil {
			errs = append(errs, fmt.Errorf("listener %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Node is a running broker. Its methods may be called by any goroutine.
type Node struct {
	log       *slog.Logger
	poller    *netpoll.Poller
	broker    *broker.Broker
	listeners *listener.Set
	store     *store
	admin     *admin.Server // nil: none
	leaving   atomic.Bool
	stop      sync.Once
	stopped   error
}

// Start runs a node with the settings of cfg, which it does not change, and returns when every
// listener accepts connections. After an error nothing is left running. ctx bounds the start alone.
func Start(ctx context.Context, cfg *Config, log *slog.Logger, opts ...Option) (*Node, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.Completed()
	bo, err := brokerOptions(cfg, log, &o)
	if err != nil {
		return nil, err
	}
	poller, err := netpoll.New(netpoll.Options{Loops: cfg.Node.Loops, Backend: backend(cfg), Logger: log})
	if err != nil {
		return nil, err
	}
	n := &Node{log: log, poller: poller, broker: broker.New(bo, poller)}
	if n.store, err = openStore(ctx, cfg, log, n.broker, o.disk()); err != nil {
		return nil, errors.Join(err, poller.Stop(ctx))
	}
	n.broker.UseQueues(n.store.queues)
	if k := n.store.kept; k != nil {
		if err := n.broker.UseState(ctx, k.set); err != nil {
			return nil, errors.Join(err, poller.Stop(ctx), n.store.close())
		}
	}
	n.broker.Start()
	if n.listeners, err = n.listen(cfg); err != nil {
		return nil, errors.Join(err, n.Stop(ctx))
	}
	if err := n.serveAdmin(cfg); err != nil {
		return nil, errors.Join(err, n.Stop(ctx))
	}
	return n, nil
}

// listen opens the addresses that clients connect to.
func (n *Node) listen(cfg *Config) (*listener.Set, error) {
	names := cfg.ListenerNames()
	all := make([]listener.Options, 0, len(names))
	doors := make(map[string]*broker.Listener, len(names))
	for _, name := range names {
		l := cfg.Listeners[name]
		all = append(all, listenerOptions(name, &l, &cfg.Limits))
		doors[name] = &broker.Listener{Name: name}
	}
	limits := listener.Limits{MaxConnections: cfg.Limits.MaxConnections, AcceptRate: float64(cfg.Limits.AcceptRate)}
	return listener.Open(n.poller, all, limits, func(c *netpoll.Conn, l *listener.Listener) netpoll.Handler {
		return n.broker.Accept(c, doors[l.Name()])
	}, n.log)
}

// Reload reads certificates and keys again. Those that cannot be used stay as they were, and the
// error says which; connections that exist keep theirs.
func (n *Node) Reload() error { return n.listeners.Reload() }

// Failed is closed when the disk failed: nothing that is published to queues is acknowledged from then on, and the node should be
// stopped. Err says why.
func (n *Node) Failed() <-chan struct{} { return n.store.Failed() }

// Err is nil, or why the node cannot go on.
func (n *Node) Err() error { return n.store.err() }

// Addr is where a listener accepts connections; nil when there is none of that name.
func (n *Node) Addr(name string) net.Addr {
	for _, l := range n.listeners.Listeners() {
		if l.Name() == name {
			return l.Addr()
		}
	}
	return nil
}

// Stop ends the node: no connection is accepted any more, clients are told and get what is on its
// way to them until ctx is done, then everything is closed. Calling it again waits for the same end.
func (n *Node) Stop(ctx context.Context) error {
	n.stop.Do(func() {
		n.leaving.Store(true)
		if n.listeners != nil {
			n.listeners.Close()
		}
		err := n.broker.Stop(ctx)
		n.stopped = errors.Join(err, n.poller.Stop(context.WithoutCancel(ctx)), n.store.close(), n.stopAdmin())
	})
	return n.stopped
}
