package config

import "time"

// The comments below are what a user reads. The first sentence of a field says what it is; a limit says what happens
// when it is met. Tags: yaml is the key, min and max the accepted range, one the accepted words, secret marks what is
// never printed.

// Config is every setting of a node. Make one with Default or Load.
type Config struct {
	// The node itself.
	Node Node `yaml:"node"`

	// Where clients connect, by a name of your choice that appears in logs and metrics. A file that has this section
	// replaces the default listener; flags and the environment add to it.
	Listeners map[string]Listener `yaml:"listeners"`

	// What a client, and all of them together, may take.
	Limits Limits `yaml:"limits"`

	// What the broker offers of the protocol.
	MQTT MQTT `yaml:"mqtt"`

	// Durable queues: $queue/<name> for publishers and consumers, $stream/<name> for readers. docs/queues.md tells what they do.
	Queues Queues `yaml:"queues"`

	// What outlives the process, of sessions and retained messages.
	Sessions Sessions `yaml:"sessions"`

	// The $SYS topics.
	Sys Sys `yaml:"sys"`

	// The log, on standard error.
	Log Log `yaml:"log"`

	// HTTP for operators: health, metrics, profiles. Never on a listener that clients use.
	Admin Admin `yaml:"admin"`

	// How sockets are served.
	Network Network `yaml:"network"`
}

// Node is the section node.
type Node struct {
	// Name of the node in logs, metrics and $SYS. Empty: the host's name.
	Name string `yaml:"name"`

	// Folder of everything that outlives the process. Made at start, readable by its owner only.
	DataDir string `yaml:"data_dir"`

	// Event loops. 0: one for each core.
	Loops int `yaml:"loops" min:"0" max:"1024"`

	// How long a node that was asked to stop (SIGTERM) waits for connected clients to take what is being sent to them,
	// before it closes their connections.
	DrainTimeout time.Duration `yaml:"drain_timeout" min:"0" max:"1h"`
}

// Listener is one entry of the section listeners.
type Listener struct {
	// What is spoken: mqtt (TCP), mqtts (TLS), ws (WebSocket), wss (WebSocket over TLS) or unix (a socket in the file system).
	// Both protocol versions, 3.1.1 and 5.0, are served on each.
	Type ListenerType `yaml:"type" one:"mqtt|mqtts|ws|wss|unix"`

	// HOST:PORT, or the path of a unix socket. Without a host, every address of the machine, IPv4 and IPv6. Empty: the port that
	// is usual for the type: 1883, 8883, 8083 or 8084.
	Address string `yaml:"address"`

	// Path of the WebSocket. Only for ws and wss; empty: /mqtt.
	Path string `yaml:"path"`

	// Origins whose pages may connect, as a browser sends them (https://app.example.com). Empty, or with * among them: every
	// origin. Clients that are no browsers send none and may always connect. Only for ws and wss.
	AllowedOrigins []string `yaml:"allowed_origins"`

	// Certificates. Only for mqtts and wss, which need them.
	TLS TLS `yaml:"tls"`

	// Whether each connection begins with a PROXY protocol header, version 2, from a load balancer, whose addresses are
	// then taken for the client's. A connection without one is closed: turn it on only where the balancer alone can connect.
	ProxyProtocol bool `yaml:"proxy_protocol"`

	// Connections that this listener holds at once. More are closed as soon as they are accepted. 0: no limit of its own.
	MaxConnections int `yaml:"max_connections" min:"0" max:"100000000"`
}

// TLS is the section tls of a listener.
type TLS struct {
	// File with the server's certificate and its chain, PEM. Read again on SIGHUP.
	Cert string `yaml:"cert"`

	// File with the certificate's private key, PEM. Read again on SIGHUP.
	Key string `yaml:"key"`

	// File with the authorities that clients' certificates are checked against, PEM. Needed unless client_auth is none.
	ClientCA string `yaml:"client_ca"`

	// Whether a client shows a certificate: none is asked for, it is optional, or the handshake fails without one (require).
	ClientAuth ClientAuth `yaml:"client_auth" one:"none|optional|require"`

	// Oldest TLS version that is accepted.
	MinVersion string `yaml:"min_version" one:"1.2|1.3"`
}

// Limits is the section limits. A limit of 0 is no limit, where 0 is accepted, unless it says otherwise.
type Limits struct {
	// Connections on all listeners together. More are closed as soon as they are accepted. 0: as many as the process may have
	// descriptors.
	MaxConnections int `yaml:"max_connections" min:"0" max:"100000000"`

	// Connections accepted per second on all listeners together. More wait in the kernel's queue.
	AcceptRate int `yaml:"accept_rate" min:"0" max:"10000000"`

	// How long after it was accepted a connection may take for TLS, WebSocket and the whole CONNECT packet, before it is closed.
	ConnectTimeout time.Duration `yaml:"connect_timeout" min:"100ms" max:"10m"`

	// Largest CONNECT packet: all that a stranger can make the broker hold. A larger one closes the connection.
	// max_packet_size counts in its place where that is smaller.
	MaxConnectSize Size `yaml:"max_connect_size" min:"128" max:"256MiB"`

	// Largest packet after CONNECT, told to 5.0 clients (Maximum Packet Size). A larger one closes the connection with 0x95.
	MaxPacketSize Size `yaml:"max_packet_size" min:"128" max:"256MiB"`

	// QoS 1 and 2 messages that a client may have on their way to the broker without an acknowledgement, told to 5.0 clients
	// (Receive Maximum). More close the connection with 0x93.
	ReceiveMaximum int `yaml:"receive_maximum" min:"1" max:"65535"`

	// QoS 1 and 2 messages on their way to a client without its acknowledgement. A client's own Receive Maximum counts where it is
	// smaller. More wait in its queue.
	MaxInflight int `yaml:"max_inflight" min:"1" max:"65535"`

	// Messages that wait for one client, away or too slow. See queue_overflow.
	MaxQueuedMessages int `yaml:"max_queued_messages" min:"0" max:"100000000"`

	// Bytes of topic and payload that wait for one client. See queue_overflow.
	MaxQueuedBytes Size `yaml:"max_queued_bytes" min:"0" max:"1TiB"`

	// What is dropped, and counted, when a client's queue is full: the message that waited longest, or the new one.
	QueueOverflow Overflow `yaml:"queue_overflow" one:"drop_oldest|drop_newest"`

	// Bytes that may wait for one client because its connection does not take them. Past it QoS 0 messages for that client
	// are dropped and counted, QoS 1 and 2 wait in its queue; nobody else waits for it.
	MaxOutboundBuffer Size `yaml:"max_outbound_buffer" min:"16KiB" max:"1GiB"`

	// Topic aliases that a client may set up, told to 5.0 clients, and that the broker uses towards one that allows them. 0: none.
	TopicAliasMaximum int `yaml:"topic_alias_maximum" min:"0" max:"65535"`

	// Bytes of a client identifier. A longer one is refused (0x85).
	MaxClientID int `yaml:"max_client_id" min:"23" max:"65535"`

	// Levels of a topic or filter. More are refused as an invalid topic (0x90, 0x8F).
	MaxTopicLevels int `yaml:"max_topic_levels" min:"1" max:"65535"`

	// Subscriptions of one client. More are refused in the SUBACK (0x97).
	MaxSubscriptions int `yaml:"max_subscriptions" min:"0" max:"100000000"`

	// Longest time that a session is kept for a client that is away; what a client asks beyond it is cut, and 5.0 clients are told so.
	// Also what a 3.1.1 client with clean session off gets. 0: for ever.
	MaxSessionExpiry time.Duration `yaml:"max_session_expiry" min:"0" max:"1193046h"`

	// Longest keep alive. A 5.0 client that asks for more, or for none, is told this one (Server Keep Alive); a 3.1.1 client
	// cannot be told and is held to what it asked for. 0: whatever a client asks.
	MaxKeepAlive time.Duration `yaml:"max_keep_alive" min:"0" max:"65535s"`

	// Keep alive that every 5.0 client is told in place of its own. 0: its own counts.
	ServerKeepAlive time.Duration `yaml:"server_keep_alive" min:"0" max:"65535s"`

	// Retained messages on the node. A new one beyond it is delivered but not retained; its publisher gets 0x97 where the
	// protocol has room for it.
	MaxRetainedMessages int `yaml:"max_retained_messages" min:"0" max:"1000000000"`

	// Bytes of topic, properties and payload of all retained messages. Met as max_retained_messages is.
	MaxRetainedBytes Size `yaml:"max_retained_bytes" min:"0" max:"1TiB"`
}

// MQTT is the section mqtt.
type MQTT struct {
	// Highest QoS that is offered. A publish above it closes the connection with 0x9B; a subscription is granted at most this.
	MaxQoS int `yaml:"max_qos" min:"0" max:"2"`

	// Whether messages may be retained. If not, a retained publish closes the connection with 0x9A.
	RetainAvailable bool `yaml:"retain_available"`

	// Whether filters may have + and #. If not, they are refused in the SUBACK (0xA2).
	WildcardSubscriptions bool `yaml:"wildcard_subscriptions"`

	// Whether $share/<group>/<filter> may be subscribed to. If not, it is refused in the SUBACK (0x9E).
	SharedSubscriptions bool `yaml:"shared_subscriptions"`

	// Whether subscription identifiers are served. If not, a SUBSCRIBE that has one closes the connection with 0xA1.
	SubscriptionIdentifiers bool `yaml:"subscription_identifiers"`

	// Which member of a shared subscription gets the next message: each in turn (round_robin), the one with the fewest
	// unacknowledged messages (least_inflight), the same one while it can take more (sticky), by a hash of the publisher
	// (hash_client) or of the topic (hash_topic), or any (random).
	SharedStrategy SharedStrategy `yaml:"shared_strategy" one:"round_robin|least_inflight|sticky|hash_client|hash_topic|random"`

	// Told to 5.0 clients that ask for response information, as the prefix of topics for replies. Empty: nothing is told.
	ResponseInformation string `yaml:"response_information"`

	// Told to 5.0 clients that a draining node disconnects, as the server to use in its place: HOST or HOST:PORT, several with
	// spaces between them. Empty: they are told that the server shuts down.
	ServerReference string `yaml:"server_reference"`
}

// Sessions is the section sessions.
type Sessions struct {
	// Whether sessions with an expiry interval, and retained messages, are kept in node.data_dir. If so, a PUBLISH of QoS 1 or 2 that
	// concerns them is acknowledged when it is on disk, as are subscriptions. If not, they end with the process, whatever the
	// clients were told.
	Durable bool `yaml:"durable"`
}

// Queues is the section queues.
type Queues struct {
	// Whether a queue that is used and does not exist is made, with the defaults below. If not, a publish to it is refused (0x90), and
	// so is a subscription (0x8F).
	AutoCreate bool `yaml:"auto_create"`

	// Queues on the node, dead-letter queues among them. More are refused (0x97). 0: no limit.
	MaxQueues int `yaml:"max_queues" min:"0" max:"1000000"`

	// Partitions of all queues together. Met as max_queues is.
	MaxPartitions int `yaml:"max_partitions" min:"0" max:"10000000"`

	// Bytes of messages that may be on their way to the disk, all queues together. Beyond, publishers to queues are not read until some
	// have arrived.
	MaxUnsynced Size `yaml:"max_unsynced" min:"64KiB" max:"16GiB"`

	// Memory for what consumers read of the queues, all together. It is a target that many partitions with a reader each may exceed.
	ReadCache Size `yaml:"read_cache" min:"1MiB" max:"1TiB"`

	// Settings of queues that are made by use, and what a declared queue has where it says nothing.
	Defaults Queue `yaml:"defaults"`

	// Queues that are made at start, by name: 1 to 128 of A-Z a-z 0-9 . _ -. One that exists gets these settings; what else was changed about
	// it is undone. Queues that are not named here stay as they are.
	Declared map[string]Queue `yaml:"declared"`
}

// Queue is the settings of a queue.
type Queue struct {
	// Logs that the messages are spread over: by the user property partition-key, else by the levels behind the queue's name, else in turn.
	// Order is kept within a partition. It cannot be changed later.
	Partitions int `yaml:"partitions" min:"1" max:"10000"`

	// Nodes that keep each partition. 0: as many as there are, three at most.
	ReplicationFactor int `yaml:"replication_factor" min:"0" max:"7"`

	// Replicas that must be in sync; with fewer, publishes are refused (0x83). 0: a majority.
	MinISR int `yaml:"min_isr" min:"0" max:"7"`

	// When a publish is acknowledged: on disk on a majority of the replicas (quorum), on all that are in sync (all), or on the leader alone
	// (leader), which may lose it when the leader does.
	ReplicaSync string `yaml:"replica_sync" one:"quorum|all|leader"`

	// Filters of ordinary topics. What is published to a topic that one of them matches is delivered as usual and stored in the queue as
	// well; the publisher's acknowledgement waits for that.
	Capture []string `yaml:"capture"`

	// work keeps a message until every group has settled it. log keeps it by age, bytes and number, whoever has read it.
	Retention string `yaml:"retention" one:"work|log"`

	// Age at which messages are dropped. 0: none.
	MaxAge time.Duration `yaml:"max_age" min:"0" max:"876000h"`

	// Bytes that the queue keeps, an equal share for each partition. See overflow. 0: no limit but the disk.
	MaxBytes Size `yaml:"max_bytes" min:"0" max:"1024TiB"`

	// Messages that the queue keeps for its slowest group, an equal share for each partition. See overflow. 0: no limit but the disk.
	MaxDepth int `yaml:"max_depth" min:"0" max:"1000000000000"`

	// What happens at max_bytes and max_depth: the new message is refused with 0x97 (reject), or the oldest make room (drop_oldest). Retention
	// log drops the oldest in any case.
	Overflow string `yaml:"overflow" one:"reject|drop_oldest"`

	// Time that a consumer has to settle a message, before it is delivered again. 0: for ever.
	Lease time.Duration `yaml:"lease" min:"0" max:"876000h"`

	// Deliveries of a message to a group. After the last one without success it goes to the queue <name>.dlq. 0: no limit.
	MaxDeliveries int `yaml:"max_deliveries" min:"0" max:"1000000"`

	// Pause before a message comes again that a consumer did not take. It doubles each time, up to max_backoff.
	Backoff time.Duration `yaml:"backoff" min:"0" max:"8760h"`

	// Longest such pause.
	MaxBackoff time.Duration `yaml:"max_backoff" min:"0" max:"8760h"`

	// Who of a group gets a message: any member with room (shared), or of the messages of one key one at a time, in order, to one member
	// (key_ordered).
	Dispatch string `yaml:"dispatch" one:"shared|key_ordered"`

	// Time for which a message with a dedup-id keeps out another one with the same. 0: not at all.
	DedupWindow time.Duration `yaml:"dedup_window" min:"0" max:"8760h"`

	// Bytes of topic, properties and payload of a message. A larger one is refused (0x97). 0: no limit but that of packets.
	MaxMessageSize Size `yaml:"max_message_size" min:"0" max:"256MiB"`

	// Whether nothing is delivered for now. Publishing goes on.
	Paused bool `yaml:"paused"`
}

// Sys is the section sys.
type Sys struct {
	// Whether $SYS/broker/... is published.
	Enabled bool `yaml:"enabled"`

	// Time between two publications.
	Interval time.Duration `yaml:"interval" min:"1s" max:"24h"`
}

// Log is the section log.
type Log struct {
	// Least severe records that are written. debug has a record for each connect and disconnect.
	Level string `yaml:"level" one:"debug|info|warn|error"`

	// text for people, json for machines.
	Format string `yaml:"format" one:"text|json"`
}

// Admin is the section admin.
type Admin struct {
	// HOST:PORT of /livez, /readyz and /metrics. Empty: there is none.
	Address string `yaml:"address"`

	// Whether profiles are served below /debug/pprof/, mutex and block profiles included. Costs a little even while
	// nobody asks for one.
	Pprof bool `yaml:"pprof"`

	// Bearer token that every request but /livez and /readyz must carry. Empty: none is asked for.
	Token string `yaml:"token" secret:"true"`
}

// Network is the section network.
type Network struct {
	// epoll: event loops (Linux). portable: a goroutine for each connection, on every system, at several times the memory. auto: epoll
	// where there is one.
	Backend Backend `yaml:"backend" one:"auto|epoll|portable"`
}
