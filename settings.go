package millrace

import (
	"log/slog"
	"time"

	"github.com/millrace-mq/millrace/internal/broker"
	"github.com/millrace-mq/millrace/internal/config"
	"github.com/millrace-mq/millrace/internal/listener"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/retained"
	"github.com/millrace-mq/millrace/internal/session"
)

// brokerOptions says in the broker's words what the configuration says.
func brokerOptions(cfg *Config, log *slog.Logger, o *options) (broker.Options, error) {
	strategy, err := broker.ParseStrategy(string(cfg.MQTT.SharedStrategy))
	if err != nil {
		return broker.Options{}, err
	}
	limits := &cfg.Limits
	b := broker.Options{
		Log: log, Version: Version,
		Session:           sessionLimits(cfg),
		Retained:          retained.Limits{MaxMessages: int64(limits.MaxRetainedMessages), MaxBytes: int64(limits.MaxRetainedBytes)},
		MaxConnectSize:    uint32(limits.MaxConnectSize),
		MaxClientID:       limits.MaxClientID,
		MaxTopicLevels:    limits.MaxTopicLevels,
		MaxOutboundBuffer: int(limits.MaxOutboundBuffer),
		MaxQueueing:       int(cfg.Queues.MaxUnsynced),
		SharedStrategy:    strategy,
		ResponseInfo:      cfg.MQTT.ResponseInformation,
		ServerReference:   cfg.MQTT.ServerReference,
		Access:            o.access,
		Mechanisms:        o.mechanisms,
	}
	if cfg.Sys.Enabled {
		b.SysInterval = cfg.Sys.Interval
	}
	return b, nil
}

func sessionLimits(cfg *Config) session.Limits {
	l, m := &cfg.Limits, &cfg.MQTT
	s := session.Limits{
		ReceiveMaximum: uint16(l.ReceiveMaximum), MaxPacketSize: uint32(l.MaxPacketSize),
		TopicAliasMaximum: uint16(l.TopicAliasMaximum), TopicAliasMaximumOut: uint16(l.TopicAliasMaximum),
		MaximumQoS: byte(m.MaxQoS), RetainAvailable: m.RetainAvailable, WildcardAvailable: m.WildcardSubscriptions,
		SubscriptionIDAvailable: m.SubscriptionIdentifiers, SharedAvailable: m.SharedSubscriptions,
		MaxInflight: uint16(l.MaxInflight), MaxQueued: l.MaxQueuedMessages, MaxQueuedBytes: int(l.MaxQueuedBytes),
		MaxSessionExpiry: session.Never, KeepAliveMax: uint16(l.MaxKeepAlive / time.Second),
		KeepAliveServer: uint16(l.ServerKeepAlive / time.Second), MaxSubscriptions: l.MaxSubscriptions,
	}
	if l.QueueOverflow == config.DropNewest {
		s.Overflow = session.DropNewest
	}
	if l.MaxSessionExpiry > 0 {
		s.MaxSessionExpiry = uint32(l.MaxSessionExpiry / time.Second)
	}
	return s
}

func backend(cfg *Config) netpoll.Backend {
	switch cfg.Network.Backend {
	case config.BackendEpoll:
		return netpoll.BackendEpoll
	case config.BackendPortable:
		return netpoll.BackendPortable
	}
	return netpoll.BackendAuto
}

func listenerOptions(name string, l *config.Listener, limits *config.Limits) listener.Options {
	o := listener.Options{
		Name: name, Type: listener.Type(l.Type), Address: l.Address, Path: l.Path, Origins: l.AllowedOrigins,
		ProxyProtocol: l.ProxyProtocol, MaxConnections: l.MaxConnections, ConnectTimeout: limits.ConnectTimeout,
	}
	if !l.Type.Secure() {
		return o
	}
	o.TLS = &listener.TLS{CertFile: l.TLS.Cert, KeyFile: l.TLS.Key, MinVersion: l.TLS.MinVersion}
	if l.TLS.ClientAuth != config.ClientAuthNone {
		o.TLS.ClientCAFile, o.TLS.ClientOptional = l.TLS.ClientCA, l.TLS.ClientAuth == config.ClientAuthOptional
	}
	return o
}
