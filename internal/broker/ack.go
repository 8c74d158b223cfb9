package broker

import (
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// onAck takes one of the four acknowledgements. What one of them ends makes room for what waits.
func (l *link) onAck(w *worker, h mqtt.Header, body []byte) error {
	a := &w.ack
	a.Type = h.Type
	if err := a.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	c := l.client
	c.mu.Lock()
	settled, err := l.settle(w, a)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if w.b.kept != nil {
		w.touch()
	}
	if settled.Done {
		if cs, ok := settled.Source.(*consumer); ok {
			w.settleLease(cs, &settled)
		}
		l.pump(w)
	}
	return nil
}

// settle tells the session, and answers. The caller holds the client's mutex.
func (l *link) settle(w *worker, a *mqtt.Ack) (settled session.Settled, err error) {
	s := l.client.sess
	switch a.Type {
	case mqtt.PUBACK:
		return s.Puback(a.PacketID, a.Code)
	case mqtt.PUBREC:
		var answer session.Pubrel
		answer, settled, err = s.Pubrec(a.PacketID, a.Code)
		if err == nil && answer.Send {
			l.sendSettled(w, mqtt.PUBREL, a.PacketID, answer.Code)
		}
		return settled, err
	case mqtt.PUBREL:
		code := s.Pubrel(a.PacketID)
		if d := l.client.durable; d != nil && code == mqtt.Success {
			d.free(a.PacketID)
		}
		l.sendSettled(w, mqtt.PUBCOMP, a.PacketID, code)
		return session.Settled{}, nil
	default:
		return s.Pubcomp(a.PacketID, a.Code)
	}
}

// pump sends what waits in the session, as far as the client's window and its connection take
// it, and then goes on with retained messages.
func (l *link) pump(w *worker) {
	c := l.client
	now := w.turn.Now()
	c.mu.Lock()
	for c.ready(w.b.o.MaxOutboundBuffer) {
		d, m, ok := c.sess.Next(now)
		if !ok {
			break
		}
		w.carryOut(c, m, &d)
	}
	w.roomAgain(c)
	if c.durable != nil {
		w.touch()
	}
	c.mu.Unlock()
	if l.replay != nil {
		l.replay.goOn(w, l)
	}
}
