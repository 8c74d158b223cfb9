package broker

import (
	"log/slog"

	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// begin starts enhanced authentication where CONNECT asks for it (4.12). It gives true while
// the client has to answer first.
func (l *link) beginExchange(w *worker, pending *pendingConnect) (waits bool, err error) {
	if p := &pending.packet.Properties; !p.Has.Contains(mqtt.PropAuthMethod) && !p.Has.Contains(mqtt.PropAuthData) {
		return false, nil
	}
	x := &session.Exchange{}
	step, used, err := x.Begin(pending.packet, l.opener())
	if err != nil || !used {
		return false, err
	}
	l.rest().exchange = x
	if step.Done {
		pending.step = step
		return false, nil
	}
	l.more.connect = pending.own()
	l.state = linkAuth
	l.sendPacket(w, step.Auth())
	return true, nil
}

// opener finds authentication methods.
func (l *link) opener() session.Opener {
	if o := l.b.o.Mechanisms; o != nil {
		return o
	}
	return func(string) (session.Mechanism, error) {
		return nil, &mqtt.Error{Code: mqtt.BadAuthenticationMethod, Reason: "enhanced authentication is not set up"}
	}
}

// onAuth goes on with enhanced authentication: before CONNACK, or again later.
func (l *link) onAuth(w *worker, h mqtt.Header, body []byte) error {
	p := &w.auth
	if err := h.Check(l.version); err != nil {
		return err
	}
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	x := &session.Exchange{}
	if l.more != nil && l.more.exchange != nil {
		x = l.more.exchange
	}
	step, err := x.Continue(p, l.opener())
	switch {
	case err != nil && l.state == linkAuth:
		l.refuse(w, err, l.more.connect.packet)
		return nil
	case err != nil:
		return err
	case l.state == linkAuth && step.Done:
		pending := l.more.connect
		l.more.connect = nil
		pending.step = step
		l.state = linkNew
		l.claim(w, pending)
		return nil
	}
	if step.Done {
		l.log(slog.LevelDebug, "authenticated again", "method", step.Method)
	}
	l.sendPacket(w, step.Auth())
	return nil
}
