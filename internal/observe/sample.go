package observe

// Sample is the state of a node at one moment, and the totals of its work since it started. Each field is one metric: its tags hold
// the name, what it means, and for arrays and maps the label and its values. A name that ends in _total is a counter, any other
// a gauge.
type Sample struct {
	Connections uint64 `metric:"connections" help:"Open connections, whether they have sent CONNECT yet or not."`
	Clients     uint64 `metric:"clients_connected" help:"Clients that are connected."`
	Sessions    uint64 `metric:"sessions" help:"Sessions, of connected clients and of those that are away."`

	ListenerConnections map[string]uint64 `metric:"listener_connections" label:"listener" help:"Open connections of a listener."`
	ListenerRefused     map[string]uint64 `metric:"listener_refused_total" label:"listener" help:"Connections that a listener closed at once, because of a limit."`

	Connects          [2]uint64 `metric:"connects_total" label:"result" values:"accepted,refused" help:"CONNECT packets answered, by the answer."`
	Disconnects       [2]uint64 `metric:"disconnects_total" label:"kind" values:"normal,abnormal" help:"Ended connections of clients, with a DISCONNECT from the client (normal) or without."`
	Takeovers         uint64    `metric:"takeovers_total" help:"Connections that ended because another one took their session over."`
	ProtocolErrors    uint64    `metric:"protocol_errors_total" help:"Connections closed because of what the client sent."`
	KeepAliveTimeouts uint64    `metric:"keep_alive_timeouts_total" help:"Connections closed because the client was silent for one and a half times its keep alive."`

	SessionsCreated uint64 `metric:"sessions_created_total" help:"Sessions that began."`
	SessionsResumed uint64 `metric:"sessions_resumed_total" help:"Sessions that a client came back to."`
	SessionsExpired uint64 `metric:"sessions_expired_total" help:"Sessions that ended because their time was over."`

	Bytes   [2]uint64 `metric:"bytes_total" label:"direction" values:"received,sent" help:"Bytes of MQTT packets."`
	Packets [2]uint64 `metric:"packets_total" label:"direction" values:"received,sent" help:"MQTT packets of every type."`

	PublishesReceived [3]uint64 `metric:"publishes_received_total" label:"qos" values:"0,1,2" help:"PUBLISH packets from clients."`
	PublishesSent     [3]uint64 `metric:"publishes_sent_total" label:"qos" values:"0,1,2" help:"PUBLISH packets to clients."`
	PublishBytes      [2]uint64 `metric:"publish_payload_bytes_total" label:"direction" values:"received,sent" help:"Bytes of payload in PUBLISH packets."`
	PublishUnmatched  uint64    `metric:"publishes_unmatched_total" help:"Messages that nobody had subscribed to."`
	PublishRefused    uint64    `metric:"publishes_refused_total" help:"Messages that the broker did not take: not authorized, a quota, an invalid topic."`

	Dropped [4]uint64 `metric:"messages_dropped_total" label:"reason" values:"slow_consumer,queue_full,expired,too_large" help:"Messages not delivered to one subscriber: it does not read (limits.max_outbound_buffer), its queue was full (limits.max_queued_messages, _bytes), the message expired, the client takes no packets of that size."`

	Subscriptions  uint64 `metric:"subscriptions" help:"Subscriptions of all sessions."`
	Subscribes     uint64 `metric:"subscribes_total" help:"Filters subscribed to."`
	Unsubscribes   uint64 `metric:"unsubscribes_total" help:"Filters unsubscribed from."`
	SharedMoved    uint64 `metric:"shared_moved_total" help:"Messages of shared subscriptions that went to another member, because the first one was gone."`
	WillsPublished uint64 `metric:"wills_published_total" help:"Wills published."`

	RetainedMessages uint64 `metric:"retained_messages" help:"Retained messages."`
	RetainedBytes    uint64 `metric:"retained_bytes" help:"Bytes of topic, properties and payload of the retained messages."`
	RetainedSent     uint64 `metric:"retained_sent_total" help:"Retained messages sent to new subscriptions."`
	RetainedRefused  uint64 `metric:"retained_refused_total" help:"Messages that were not retained, because limits.max_retained_messages or _bytes was met."`

	Queues          uint64 `metric:"queues" help:"Durable queues, dead-letter queues among them."`
	QueuePartitions uint64 `metric:"queue_partitions" help:"Partitions of all durable queues on this node."`
	QueueDepth      uint64 `metric:"queue_depth" help:"Messages in all durable queues, as queues.defaults.max_depth counts them."`
	QueueBytes      uint64 `metric:"queue_bytes" help:"Bytes of the messages in all durable queues."`
	QueueDropped    uint64 `metric:"queue_dropped_total" help:"Messages of durable queues taken by retention, overflow and purges, since the queues were made."`
	QueueStored     uint64 `metric:"queue_stored_total" help:"Messages stored in durable queues, repeats of a dedup-id among them."`
	QueueDelivered  uint64 `metric:"queue_delivered_total" help:"Messages of durable queues sent to consumers, repeats among them."`
	QueueSettled    uint64 `metric:"queue_settled_total" help:"Messages of durable queues that consumers acknowledged, with any code."`

	LogBytes    uint64    `metric:"log_written_bytes_total" help:"Bytes written to the log on disk."`
	LogRecords  uint64    `metric:"log_records_total" help:"Records appended to the log on disk."`
	LogSyncs    uint64    `metric:"log_syncs_total" help:"Times that the log was made safe on disk."`
	LogSegments [3]uint64 `metric:"log_segments" label:"kind" values:"hot,cold,free" help:"Segment files of the log: in use, of long-lived backlog, and ready for new use."`
	LogFull     uint64    `metric:"log_full" help:"1 while the disk has so little room that nothing is stored, otherwise 0."`

	Loops uint64 `metric:"loops" help:"Event loops."`
}
