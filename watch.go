package millrace

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/millrace-mq/millrace/internal/admin"
	"github.com/millrace-mq/millrace/internal/broker"
	"github.com/millrace-mq/millrace/internal/observe"
)

// serveAdmin starts the admin listener, unless there is to be none.
func (n *Node) serveAdmin(cfg *Config) error {
	if cfg.Admin.Address == "" {
		return nil
	}
	s, err := admin.Start(admin.Options{
		Address: cfg.Admin.Address, Token: cfg.Admin.Token, Pprof: cfg.Admin.Pprof,
		Metrics: observe.Handler(Version, cfg.Node.Name, n.sample, n.log),
		Ready:   n.ready,
		Log:     n.log,
	})
	n.admin = s
	return err
}

// stopAdmin ends the admin listener last, so that it can tell that the node is leaving. Requests that take long, like
// profiles, are cut off.
func (n *Node) stopAdmin() error {
	if n.admin == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.admin.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// ready says why clients should go elsewhere.
func (n *Node) ready() error {
	if n.leaving.Load() {
		return errors.New("the node is stopping")
	}
	if n.Err() != nil {
		return errors.New("the disk failed") // what and where is for the log alone
	}
	return nil
}

// AdminAddr is where the admin listener is; nil when there is none.
func (n *Node) AdminAddr() net.Addr {
	if n.admin == nil {
		return nil
	}
	return n.admin.Addr()
}

// sample says in the words of observe what the parts count.
func (n *Node) sample(s *observe.Sample) {
	state := n.broker.State()
	s.Connections, s.Clients, s.Sessions = state.Connections, state.Clients, state.Sessions
	s.Subscriptions = state.Subscriptions
	s.RetainedMessages, s.RetainedBytes = state.RetainedMessages, state.RetainedBytes
	s.Loops = uint64(len(n.poller.Loops()))
	s.ListenerConnections, s.ListenerRefused = map[string]uint64{}, map[string]uint64{}
	for _, l := range n.listeners.Listeners() {
		s.ListenerConnections[l.Name()] = uint64(l.Connections())
		s.ListenerRefused[l.Name()] = uint64(l.Refused())
	}
	c := n.broker.Count
	s.Connects = [2]uint64{c(broker.ConnectsAccepted), c(broker.ConnectsRefused)}
	abnormal := c(broker.DisconnectsAbnormal)
	s.Disconnects = [2]uint64{max(c(broker.Disconnects), abnormal) - abnormal, abnormal}
	s.Takeovers = c(broker.Takeovers)
	s.ProtocolErrors = c(broker.ProtocolErrors)
	s.KeepAliveTimeouts = c(broker.KeepAliveTimeouts)
	s.SessionsCreated = c(broker.SessionsCreated)
	s.SessionsResumed = c(broker.SessionsResumed)
	s.SessionsExpired = c(broker.SessionsExpired)
	s.Bytes = [2]uint64{c(broker.BytesReceived), c(broker.BytesSent)}
	s.Packets = [2]uint64{c(broker.PacketsReceived), c(broker.PacketsSent)}
	for qos := range broker.Counter(3) {
		s.PublishesReceived[qos] = c(broker.PublishReceived0 + qos)
		s.PublishesSent[qos] = c(broker.PublishSent0 + qos)
	}
	s.PublishBytes = [2]uint64{c(broker.PublishBytesReceived), c(broker.PublishBytesSent)}
	s.PublishUnmatched = c(broker.PublishUnmatched)
	s.PublishRefused = c(broker.PublishRefused)
	s.Dropped = [4]uint64{c(broker.DroppedSlow), c(broker.DroppedQueueFull), c(broker.DroppedExpired), c(broker.DroppedTooLarge)}
	s.Subscribes = c(broker.Subscribes)
	s.Unsubscribes = c(broker.Unsubscribes)
	s.SharedMoved = c(broker.SharedMoved)
	s.WillsPublished = c(broker.WillsPublished)
	s.RetainedSent = c(broker.RetainedSent)
	s.RetainedRefused = c(broker.RetainedRefused)
	s.QueueStored, s.QueueDelivered, s.QueueSettled = c(broker.QueueStored), c(broker.QueueDelivered), c(broker.QueueSettled)
	n.store.sample(s)
}

// sample says in the words of observe what is on disk.
func (st *store) sample(s *observe.Sample) {
	for _, q := range st.queues.Queues() {
		s.Queues++
		for _, p := range q.Status() {
			s.QueuePartitions++
			s.QueueDepth += p.Depth
			s.QueueBytes += p.Bytes
			s.QueueDropped += p.Dropped
		}
	}
	l := st.wal.Stats()
	s.LogBytes, s.LogRecords, s.LogSyncs = uint64(l.Written), uint64(l.Records), uint64(l.Syncs)
	s.LogSegments = [3]uint64{uint64(l.HotSegments), uint64(l.ColdSegments), uint64(l.FreeSegments)}
	if st.wal.Full() {
		s.LogFull = 1
	}
}
