package broker

import (
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/internal/session"
)

// client is one client identifier: its session and, while it is connected, its link.
// It lives in the registry from the first CONNECT until its session has ended, across
// any number of connections.
type client struct {
	// sess is the client's session, the same for as long as the client is in the registry. Guarded
	// by mu but for ClientID, Number and Load.
	sess *session.Session
	// loop is the index of the loop that had the client's last connection. Messages mailed
	// to that loop are the reason that it stays after the connection is gone (see lanes).
	loop atomic.Int32
	// online is set while link is; readers that only prefer one or the other take no lock.
	online atomic.Bool

	mu sync.Mutex
	// guarded by mu:
	link   *link // nil while not connected
	errand int64 // when the janitor visits next, in Unix milliseconds; 0 for never
	dead   bool  // no longer in the registry; claim again
	// kept is set while durable is, for readers without a lock.
	kept atomic.Bool
	// consuming is nil unless the client consumes from durable queues.
	consuming *consuming
	// durable is nil unless the session outlives the process.
	durable *durable
}

// subscription is what the router holds: the very object that is in the session's list.
type subscription = session.Subscription

// owner is the client whose subscription it is.
func owner(s *subscription) *client { return s.Owner.(*client) }

// load is how many messages the client has that it did not acknowledge or that wait
// for it; read without a lock, so it may be a moment old.
func (c *client) load() int { return c.sess.Load() }

func (c *client) id() string { return c.sess.ClientID() }

// ready tells whether the client's connection takes more: less than limit bytes wait for the
// client to read. The caller holds c.mu.
func (c *client) ready(limit int) bool {
	return c.link != nil && c.link.conn.Backlog() < limit
}
