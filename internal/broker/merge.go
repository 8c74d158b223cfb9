package broker

import "github.com/millrace-mq/millrace/internal/session"

// merger makes one delivery of several subscriptions of one client that match the same
// message: at the highest quality of service, with every subscription identifier
// ([MQTT-3.3.4-2], [MQTT-3.3.4-3] and, for 3.1.1, [MQTT-3.3.5-1]).
type merger struct {
	index map[*client]int // where in list
	list  []*subscription
	// sender is the publisher, whose no-local subscriptions do not take part.
	sender uint64
}

func (g *merger) add(s *subscription) bool {
	c := owner(s)
	c.mu.Lock() // the options of a subscription may change
	defer c.mu.Unlock()
	if s.NoLocal && c.sess.Number == g.sender {
		return true
	}
	i, again := g.index[c]
	if !again {
		g.index[c] = len(g.list)
		g.list = append(g.list, s)
		return true
	}
	g.list[i] = combined(g.list[i], s)
	return true
}

// combined is a subscription that stands for both; neither is changed, as both belong
// to the router.
func combined(a, b *subscription) *subscription {
	c := &subscription{Filter: a.Filter, Owner: a.Owner, SubOptions: a.SubOptions}
	c.QoS = max(a.QoS, b.QoS)
	c.NoLocal = false // a no-local subscription to an own message did not come here
	c.RetainAsPublished = a.RetainAsPublished || b.RetainAsPublished
	c.ID = 0
	c.More = &session.More{IDs: append(identifiers(&a.SubOptions), identifiers(&b.SubOptions)...)}
	return c
}

func identifiers(o *session.SubOptions) []uint32 {
	switch {
	case o.More != nil && len(o.More.IDs) > 0:
		return o.More.IDs
	case o.ID != 0:
		return []uint32{o.ID}
	}
	return nil
}

// routeMerged delivers w.m to the subscribers of several filters, once each.
func (w *worker) routeMerged() int {
	g := &w.merged
	g.sender = w.m.Sender
	for _, set := range w.matches.Sets {
		set.Each(w.merge)
	}
	n := len(g.list)
	wide := n >= spreadFrom && len(w.b.lanes) > 1 && w.place == nil
	for _, s := range g.list {
		if wide {
			w.bucketOf(s)
		} else {
			w.deliverTo(s)
		}
	}
	if wide {
		w.spread()
	}
	clear(g.index)
	clear(g.list)
	g.list = g.list[:0]
	return n
}
