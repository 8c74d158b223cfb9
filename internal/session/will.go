package session

import (
	"slices"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// Will is a will message, with bytes of its own.
type Will struct {
	Topic, Payload []byte
	Props          []byte // 5.0 properties to pass on, encoded without their length
	QoS            byte
	Retain         bool
	Expiry         uint32 // message expiry interval in seconds from its publishing on; 0 with HasExpiry is a will that nobody gets
	HasExpiry      bool
	Delay          uint32 // seconds between the end of the connection and the publishing, at most (3.1.3.2.2)

	// at is when the will is published, in Unix milliseconds; endless while the connection lasts.
	at int64
}

// newWill copies the will of a CONNECT, whose bytes belong to somebody's buffer.
func newWill(w *mqtt.Will) *Will {
	b := make([]byte, 0, len(w.Topic)+len(w.Payload))
	b = append(append(b, w.Topic...), w.Payload...)
	n := len(w.Topic)
	return &Will{
		Topic: b[:n:n], Payload: b[n:], Props: slices.Clip(w.Properties.AppendForward(nil)),
		QoS: w.QoS, Retain: w.Retain,
		Expiry: w.Properties.MessageExpiry, HasExpiry: w.Properties.Has.Contains(mqtt.PropMessageExpiry),
		Delay: willDelay(&w.Properties),
		at:    endless,
	}
}

func willDelay(p *mqtt.Properties) uint32 {
	if p.Has.Contains(mqtt.PropWillDelay) {
		return p.WillDelay
	}
	return 0
}

// Message is the will as a message that is published at the time now, by the client with a number. It is a borrowed one whose
// bytes stay.
func (w *Will) Message(now int64, sender uint64) *message.Message {
	m := &message.Message{
		Topic: w.Topic, Props: w.Props, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Sender: sender,
	}
	if w.HasExpiry {
		m.Expires = later(now, w.Expiry)
	}
	return m
}

// takeWill gives the will away: it is published once.
func (s *Session) takeWill() *Will {
	w := s.will
	s.will = nil
	return w
}
