package config

import "time"

// Default returns the settings of a node that nobody configured: one listener on port 1883, everything that the protocol
// has offered, and bounds that a client meets only by mistake.
func Default() *Config {
	return &Config{
		Node: Node{
			DataDir:      "millrace-data",
			DrainTimeout: 10 * time.Second,
		},
		Listeners: map[string]Listener{"mqtt": defaultListener(TypeMQTT)},
		Limits: Limits{
			ConnectTimeout:      10 * time.Second,
			MaxConnectSize:      64 * KiB,
			MaxPacketSize:       1 * MiB,
			ReceiveMaximum:      1024,
			MaxInflight:         256,
			MaxQueuedMessages:   1000,
			MaxQueuedBytes:      16 * MiB,
			QueueOverflow:       DropOldest,
			MaxOutboundBuffer:   4 * MiB,
			TopicAliasMaximum:   32,
			MaxClientID:         1024,
			MaxTopicLevels:      128,
			MaxSubscriptions:    100_000,
			MaxSessionExpiry:    7 * 24 * time.Hour,
			MaxRetainedMessages: 1_000_000,
			MaxRetainedBytes:    1 * GiB,
		},
		MQTT: MQTT{
			MaxQoS:                  2,
			RetainAvailable:         true,
			WildcardSubscriptions:   true,
			SharedSubscriptions:     true,
			SubscriptionIdentifiers: true,
			SharedStrategy:          LeastInflight,
		},
		Sessions: Sessions{Durable: true},
		Queues: Queues{
			AutoCreate: true, MaxQueues: 10_000, MaxPartitions: 100_000, MaxUnsynced: 16 * MiB, ReadCache: 64 * MiB,
			Defaults: Queue{
				Partitions: 1, ReplicaSync: "quorum", Retention: "work", Overflow: "reject",
				Lease: 30 * time.Second, MaxDeliveries: 5, Backoff: time.Second, MaxBackoff: time.Minute,
				Dispatch: "shared", DedupWindow: 5 * time.Minute, MaxMessageSize: 1 * MiB, Capture: []string{},
			},
			Declared: map[string]Queue{},
		},
		Sys:     Sys{Enabled: true, Interval: 10 * time.Second},
		Log:     Log{Level: "info", Format: "text"},
		Admin:   Admin{Address: "127.0.0.1:18083"},
		Network: Network{Backend: BackendAuto},
	}
}

// defaultListener is what an entry of the section listeners starts from.
func defaultListener(t ListenerType) Listener {
	l := Listener{Type: t}
	l.complete()
	return l
}

// complete fills in what was left empty.
func (l *Listener) complete() {
	if l.TLS.ClientAuth == "" {
		l.TLS.ClientAuth = ClientAuthNone
	}
	if l.TLS.MinVersion == "" {
		l.TLS.MinVersion = "1.2"
	}
	if l.Address == "" {
		l.Address = l.Type.address()
	}
	if l.Path == "" && l.Type.WebSocket() {
		l.Path = "/mqtt"
	}
}
