package broker

import (
	"log/slog"
	"slices"

	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// onSubscribe answers each filter of a SUBSCRIBE on its own, in order ([MQTT-3.8.4-6],
// [MQTT-3.9.3-1]), and then begins to send the retained messages that match.
func (l *link) onSubscribe(w *worker, h mqtt.Header, body []byte) error {
	p := &w.subscribe
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	ack := &w.suback
	ack.PacketID, ack.Codes = p.PacketID, ack.Codes[:0]
	var id uint32
	if p.Properties.Has.Contains(mqtt.PropSubscriptionID) {
		id = p.Properties.SubscriptionIDs[0]
	}
	var later *subscribing
	for i := range p.Subscriptions {
		if qf, ok := l.queueFilter(&p.Subscriptions[i]); ok {
			if later == nil {
				later = &subscribing{l: l, id: p.PacketID}
			}
			l.consume(w, later, len(ack.Codes), &p.Subscriptions[i], id, qf)
			ack.Codes = append(ack.Codes, mqtt.UnspecifiedError)
			continue
		}
		code, err := l.subscribe(w, &p.Subscriptions[i], id, i)
		if err != nil {
			return err
		}
		if code.IsError() && l.version != mqtt.V5 {
			code = mqtt.UnspecifiedError // the only failure that 3.1.1 knows ([MQTT-3.9.3-2])
		}
		ack.Codes = append(ack.Codes, code)
	}
	if later != nil {
		later.codes = slices.Clone(ack.Codes)
		later.begin(w)
		return nil
	}
	if l.subackLater(w, ack, nil) {
		return nil
	}
	l.sendPacket(w, ack)
	l.pump(w)
	return nil
}

// subscribe makes one subscription, or changes it where the client has it already. An error
// ends the connection.
func (l *link) subscribe(w *worker, f *mqtt.Subscription, id uint32, place int) (mqtt.ReasonCode, error) {
	s := &subscription{Filter: string(f.Filter), Owner: l.client}
	s.QoS, s.NoLocal, s.ID = f.QoS, f.NoLocal, id
	s.RetainAsPublished, s.RetainHandling = f.RetainAsPublished, f.RetainHandling
	group, rest, err := l.checkFilter(s.Filter)
	if err != nil {
		code, reason := consequence(err)
		l.log(slog.LevelInfo, "subscribe refused", "filter", s.Filter, "reason", code.String(), "detail", reason)
		return code, nil
	}
	if group != "" {
		s.More = &session.More{Source: &sharedFrom{group, rest, s.Filter}}
	}
	c := l.client
	c.mu.Lock()
	code, old, err := c.sess.Subscribe(s)
	if err == nil && !code.IsError() {
		if old == nil {
			w.b.hook(s) // an old one keeps its place in the router, with new options
		}
		if c.durable != nil {
			c.durable.subscribing(w, s, old == nil, place, "")
		}
	}
	c.mu.Unlock()
	if err != nil || code.IsError() {
		return code, err
	}
	w.count(Subscribes, 1)
	if s.WantsRetained(old != nil) {
		l.replayRetained(s)
	}
	return code, nil
}

// checkFilter refuses what may not be subscribed to, and takes a shared filter apart.
func (l *link) checkFilter(filter string) (group, rest string, err error) {
	group, rest, _, err = topic.ParseShared(filter)
	if err == nil {
		err = topic.ValidateFilter([]byte(rest), l.b.o.MaxTopicLevels)
	}
	if err != nil {
		return "", "", &mqtt.Error{Code: mqtt.TopicFilterInvalid, Reason: err.Error()}
	}
	if a := l.b.o.Access; a != nil {
		err = a.Subscribe(l.peer(), rest)
	}
	return group, rest, err
}

// hook makes the router know a subscription. The caller holds the client's mutex, so that
// router and session say the same.
func (b *Broker) hook(s *subscription) {
	if from, ok := sharedSource(s); ok {
		b.router.SubscribeShared(from.group, from.filter, s)
		return
	}
	b.router.Subscribe(s.Filter, s)
}

// unhook makes the router forget it. The caller holds the client's mutex.
func (b *Broker) unhook(s *subscription) {
	if s.More != nil {
		if _, ok := s.More.Source.(*consumer); ok {
			return // the router does not know it
		}
	}
	if from, ok := sharedSource(s); ok {
		b.router.UnsubscribeShared(from.group, from.filter, s)
		return
	}
	b.router.Unsubscribe(s.Filter, s)
}

func sharedSource(s *subscription) (*sharedFrom, bool) {
	if s.More == nil {
		return nil, false
	}
	from, ok := s.More.Source.(*sharedFrom)
	return from, ok
}

// onUnsubscribe takes subscriptions back. What was sent or waits because of them goes on (3.10.4).
func (l *link) onUnsubscribe(w *worker, h mqtt.Header, body []byte) error {
	p := &w.unsubscribe
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	ack := &w.unsuback
	ack.PacketID, ack.Codes = p.PacketID, ack.Codes[:0]
	for _, f := range p.Filters {
		ack.Codes = append(ack.Codes, l.unsubscribe(w, string(f)))
	}
	if l.unsubackLater(w, ack) {
		return nil
	}
	l.sendPacket(w, ack)
	return nil
}

func (l *link) unsubscribe(w *worker, filter string) mqtt.ReasonCode {
	if _, rest, _, err := topic.ParseShared(filter); err != nil || topic.ValidateFilter([]byte(rest), 0) != nil {
		return mqtt.TopicFilterInvalid
	}
	c := l.client
	c.mu.Lock()
	s := c.sess.Unsubscribe(filter)
	if s != nil && c.durable != nil {
		c.durable.unsubscribing(w, filter)
	}
	var left *departure
	if s != nil {
		if left = c.leaveQueue(s); left == nil {
			w.b.unhook(s)
		}
	}
	c.mu.Unlock()
	if s == nil {
		return mqtt.NoSubscriptionExisted
	}
	if left != nil {
		left.carryOut()
	}
	w.count(Unsubscribes, 1)
	l.stopReplay(filter)
	return mqtt.Success
}
