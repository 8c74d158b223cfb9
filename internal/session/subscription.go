package session

import (
	"iter"
	"strings"

	"github.com/millrace-mq/millrace/mqtt"
)

// SubOptions say how messages are delivered because of a subscription (3.8.3.1).
type SubOptions struct {
	QoS               byte // the maximum
	RetainHandling    byte // 0: retained messages are sent, 1: if the subscription is new, 2: never
	NoLocal           bool // the client's own messages are not sent to it
	RetainAsPublished bool // the retain flag stays as the publisher set it
	// Retained marks the delivery of a stored message to a new subscription: its retain flag is set ([MQTT-3.3.1-8]).
	Retained bool
	// ID is the subscription identifier, 0 for none.
	ID uint32
	// More is nil for nearly all. It must not change while a session may hold it: until the session has ended.
	More *More
}

// More is what few subscriptions have.
type More struct {
	// IDs are the subscription identifiers of a message that several subscriptions of the client match ([MQTT-3.3.4-4]).
	// When there are some, SubOptions.ID is ignored.
	IDs []uint32
	// Source is where messages come from that somebody wants back or wants to hear of: a shared group, a durable queue.
	// TakeShared and Settled give it to the owner. nil for ordinary subscriptions.
	Source any
}

// source is the origin of a message with these options.
func (m *More) source() any {
	if m == nil {
		return nil
	}
	return m.Source
}

// Subscription is one client's subscription to one topic filter. The owner makes it, and may let a router refer to the
// same one: it is 64 bytes for both. After Subscribe, Filter must not change; SubOptions change only under the lock that
// guards the session.
type Subscription struct {
	Filter string // as the client sent it, $share/<group>/ included
	// Owner leads from a subscription that a router found back to whose it is.
	Owner any
	SubOptions

	next *Subscription
}

// Shared tells whether the filter is one of a shared subscription (4.8.2).
func (s *Subscription) Shared() bool { return strings.HasPrefix(s.Filter, "$share/") }

// WantsRetained tells whether stored messages are sent for the subscription; existed: the client had one with the same
// filter ([MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11], and 4.8.2 for shared ones).
func (s *Subscription) WantsRetained(existed bool) bool {
	return !s.Shared() && (s.RetainHandling == 0 || s.RetainHandling == 1 && !existed)
}

var (
	errSharedNoLocal = refuse(mqtt.ProtocolError, "No Local on a shared subscription")
	errSubscription  = refuse(mqtt.SubscriptionIdentifiersNotSupported, "subscription identifiers are not available")
)

// subIndexFrom is the number of subscriptions from which a session keeps an index of them. Below, a list is quicker and
// costs nothing.
const subIndexFrom = 16

// subIndex finds a subscription of a session that has many.
type subIndex struct {
	list []*Subscription
	at   map[string]int // where in list
}

// Subscribe adds a subscription, or gives its options to the one with the same filter, which stays and is returned as
// old ([MQTT-3.8.4-3]): a router that refers to that one has nothing to change, so that no message is lost or comes twice
// meanwhile ([MQTT-3.8.4-4]). code is for SUBACK: the granted quality of service, to which sub.QoS is lowered, or a failure, after
// which nothing has changed. In 3.1.1 every failure is 0x80, which the codec sees to. An error ends the connection. The filter
// must be valid (package topic).
func (s *Session) Subscribe(sub *Subscription) (code mqtt.ReasonCode, old *Subscription, err error) {
	l := s.limits
	shared := sub.Shared()
	switch {
	case shared && sub.NoLocal:
		return 0, nil, errSharedNoLocal // [MQTT-3.8.3-4]
	case sub.ID != 0 && !l.SubscriptionIDAvailable:
		return 0, nil, errSubscription // 3.2.2.3.12
	case shared && !l.SharedAvailable:
		return mqtt.SharedSubscriptionsNotSupported, nil, nil
	case !l.WildcardAvailable && strings.ContainsAny(sub.Filter, "+#"):
		return mqtt.WildcardSubscriptionsNotSupported, nil, nil
	}
	sub.QoS = min(sub.QoS, l.MaximumQoS)
	link := s.find(sub.Filter)
	if link != nil {
		old = *link
		old.SubOptions = sub.SubOptions
		return mqtt.ReasonCode(sub.QoS), old, nil
	}
	if l.MaxSubscriptions > 0 && s.Subscriptions() >= l.MaxSubscriptions {
		return mqtt.QuotaExceeded, nil, nil
	}
	s.add(sub)
	return mqtt.ReasonCode(sub.QoS), nil, nil
}

// add appends a subscription whose filter is not there.
func (s *Session) add(sub *Subscription) {
	if s.index == nil {
		n, end := 0, &s.subs
		for *end != nil {
			end = &(*end).next
			n++
		}
		if n < subIndexFrom {
			*end = sub
			return
		}
		s.index = &subIndex{at: make(map[string]int, 2*n)}
		for e := s.subs; e != nil; {
			next := e.next
			e.next = nil
			s.index.add(e)
			e = next
		}
		s.subs = nil
	}
	s.index.add(sub)
}

func (x *subIndex) add(sub *Subscription) {
	x.at[sub.Filter] = len(x.list)
	x.list = append(x.list, sub)
}

// find gives the place that holds the subscription to a filter, nil when there is none.
func (s *Session) find(filter string) **Subscription {
	if x := s.index; x != nil {
		if i, ok := x.at[filter]; ok {
			return &x.list[i]
		}
		return nil
	}
	for link := &s.subs; *link != nil; link = &(*link).next {
		if (*link).Filter == filter {
			return link
		}
	}
	return nil
}

// Unsubscribe takes the subscription to a filter out and returns it; nil when there is none, which UNSUBACK tells with
// No subscription existed. What is in flight or waits because of it is still delivered (3.10.4).
func (s *Session) Unsubscribe(filter string) *Subscription {
	link := s.find(filter)
	if link == nil {
		return nil
	}
	sub := *link
	x := s.index
	if x == nil {
		*link, sub.next = sub.next, nil
		return sub
	}
	// The last one takes the place.
	i, last := x.at[filter], len(x.list)-1
	x.list[i] = x.list[last]
	x.at[x.list[i].Filter] = i
	x.list[last] = nil
	x.list = x.list[:last]
	delete(x.at, filter)
	if last == 0 {
		s.index = nil
	}
	return sub
}

// Subscription gives the subscription to a filter, nil when there is none.
func (s *Session) Subscription(filter string) *Subscription {
	if link := s.find(filter); link != nil {
		return *link
	}
	return nil
}

// Subscriptions is the number of subscriptions.
func (s *Session) Subscriptions() int {
	if s.index != nil {
		return len(s.index.list)
	}
	n := 0
	for e := s.subs; e != nil; e = e.next {
		n++
	}
	return n
}

// All gives the subscriptions, which must not change meanwhile.
func (s *Session) All() iter.Seq[*Subscription] {
	return func(yield func(*Subscription) bool) {
		if s.index != nil {
			for _, e := range s.index.list {
				if !yield(e) {
					return
				}
			}
			return
		}
		for e := s.subs; e != nil; e = e.next {
			if !yield(e) {
				return
			}
		}
	}
}
