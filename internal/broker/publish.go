package broker

import (
	"log/slog"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// onPublish takes a message of the client through its whole way: session, rights, retained
// store, subscribers, acknowledgement.
func (l *link) onPublish(w *worker, h mqtt.Header, body []byte) error {
	p := &w.publish
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	w.count(PublishReceived0+Counter(p.QoS), 1)
	w.count(PublishBytesReceived, len(p.Payload))
	c := l.client
	c.mu.Lock()
	in, err := c.sess.Publish(p)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	code := in.Refuse
	if !in.Duplicate && code == mqtt.Success {
		if w.b.queues != nil {
			if taken, err := l.enqueue(w, p, in.Ticket); taken || err != nil {
				return err
			}
		}
		w.beginWait()
		code, err = l.accept(w, p)
		s := w.endWait()
		if err != nil {
			return err
		}
		if l.answerLater(w, s, receipt{c: c, ticket: in.Ticket}, code) {
			return nil
		}
	}
	if p.QoS == 0 {
		return nil
	}
	return l.acknowledge(w, in.Ticket, session.Answer{Code: code})
}

// accept publishes what the client may publish. A code of 0x80 and more refuses this message
// alone, an error ends the connection.
func (l *link) accept(w *worker, p *mqtt.Publish) (mqtt.ReasonCode, error) {
	if err := topic.ValidateName(p.Topic, w.b.o.MaxTopicLevels); err != nil {
		return 0, &mqtt.Error{Code: mqtt.TopicNameInvalid, Reason: err.Error()}
	}
	if err := l.mayPublish(p.Topic, p.QoS, p.Retain); err != nil {
		w.count(PublishRefused, 1)
		code, _ := consequence(err)
		l.log(slog.LevelInfo, "publish refused", "topic", string(p.Topic), "reason", code.String())
		return l.refusalOf(code), nil
	}
	m := &w.inbound
	m.Topic, m.Payload, m.QoS, m.Retain = p.Topic, p.Payload, p.QoS, p.Retain
	m.Sender, m.Expires, m.Props = l.client.sess.Number, 0, nil
	if l.version == mqtt.V5 && p.Properties.Has != 0 {
		w.props = p.Properties.AppendForward(w.props[:0])
		m.Props = w.props
		if p.Properties.Has.Contains(mqtt.PropMessageExpiry) {
			m.Expires = expires(w.turn.Now(), p.Properties.MessageExpiry)
		}
	}
	if w.full(m.Topic, m.QoS, m.Retain) {
		w.count(PublishRefused, 1)
		l.log(slog.LevelInfo, "publish refused", "topic", string(m.Topic), "reason", "the disk is full")
		return mqtt.QuotaExceeded, nil
	}
	n, err := l.publishOnce(w, m, p.PacketID)
	switch {
	case err != nil:
		l.log(slog.LevelWarn, "message not retained", "topic", string(p.Topic), "error", err)
		return l.refusalOf(mqtt.QuotaExceeded), nil
	case n == 0:
		return mqtt.NoMatchingSubscribers, nil
	}
	return mqtt.Success, nil
}

// expires is the time at which a message with an expiry interval is over; an interval of zero
// is over at once, and 0 would mean never.
func expires(now int64, seconds uint32) int64 { return now + int64(seconds)*1000 }

// publishMessage keeps a retained message and routes it, and gives the number of subscriptions
// that matched. The error is that of the retained store, when it is full; the message was
// routed all the same. m may be borrowed.
func (w *worker) publishMessage(m *message.Message) (receivers int, err error) {
	if m.Retain {
		if err = w.retain(m); err != nil {
			w.count(RetainedRefused, 1)
		}
	}
	receivers = w.route(m)
	m.Return()
	if receivers == 0 {
		w.count(PublishUnmatched, 1)
	}
	return receivers, err
}

// mayPublish refuses names that are the server's own ([MQTT-4.7.2-1]), then asks Access.
func (l *link) mayPublish(name []byte, qos byte, retain bool) error {
	if name[0] == '$' {
		return &mqtt.Error{Code: mqtt.NotAuthorized, Reason: "topics that begin with $ belong to the server"}
	}
	if l.b.o.Access == nil {
		return nil
	}
	return l.b.o.Access.Publish(l.peer(), name, qos, retain)
}

// refusalOf is how a message that may not be published is refused: 5.0 answers with the code
// where there is an acknowledgement. 3.1.1 has none that says no; its client is acknowledged as if
// all was well, and nothing is published ([MQTT-3.3.5-2]).
func (l *link) refusalOf(code mqtt.ReasonCode) mqtt.ReasonCode {
	if l.version != mqtt.V5 {
		return mqtt.Success
	}
	return code
}

// acknowledge answers a PUBLISH when all that came before it is answered.
func (l *link) acknowledge(w *worker, t session.Ticket, v session.Answer) error {
	c := l.client
	w.emitTo, w.emitFor = l, c
	c.mu.Lock()
	err := c.sess.Acknowledge(t, v, w.emit)
	c.mu.Unlock()
	return err
}

// sendAck sends one of the four acknowledgements.
func (l *link) sendAck(w *worker, kind mqtt.Type, id uint16, code mqtt.ReasonCode) {
	l.put(w, w.turn.End(mqtt.AppendAck(w.turn.Begin(maxAck), l.version, kind, id, code)))
	w.count(PacketsSent, 1)
}

// maxAck is the size of an acknowledgement without properties.
const maxAck = 5
