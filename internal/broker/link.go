package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// link is one connection: the handler that its loop calls, from accept to close. All its
// fields belong to that loop.
type link struct {
	b        *Broker
	conn     *netpoll.Conn
	listener *Listener
	client   *client // set when the CONNECT was accepted
	more     *linkMore
	replay   *replay // retained messages that are still to be sent, nil when there are none
	// seen is when the last packet arrived, in Unix milliseconds.
	seen int64
	// keepAlive is the time without a packet after which the client counts as gone, in
	// milliseconds: one and a half times what CONNECT or the server said; 0 for ever.
	keepAlive int32
	version   mqtt.Version
	state     linkState
	stops     uint8         // why it is not read, bits
	end       session.Cause // why it ends, once somebody has said so
}

// linkMore is what few links have, or only for a moment.
type linkMore struct {
	connect  *pendingConnect // between CONNECT and CONNACK
	user     string
	exchange *session.Exchange // enhanced authentication, nil without
}

type linkState uint8

const (
	linkNew     linkState = iota // waits for CONNECT
	linkAuth                     // has sent CONNECT, and has to send AUTH
	linkWaiting                  // has sent CONNECT, and waits until its client can be had
	linkLive
	linkEnding // we have said goodbye; whatever arrives is not read
)

// Data takes the packets of b, as many as are whole.
func (l *link) Data(t *netpoll.Turn, b []byte) (int, error) {
	w := l.b.worker(t)
	w.count(BytesReceived, len(b))
	used := 0
	for l.state != linkWaiting && l.state != linkEnding && l.stops == 0 {
		h, ok, err := mqtt.ParseHeader(b[used:])
		if err == nil && ok {
			if err = l.admit(h); err == nil && l.state == linkLive {
				err = h.Check(l.version)
			}
		} else if err == nil && l.state == linkNew && len(b) > used && b[used] != byte(mqtt.CONNECT)<<4 {
			err = l.admit(mqtt.Header{Type: mqtt.Type(b[used] >> 4)})
		}
		if err != nil {
			return used, l.fail(w, err)
		}
		if !ok || len(b)-used-h.Size < int(h.Remaining) {
			break
		}
		body := b[used+h.Size : used+h.Size+int(h.Remaining)]
		used += h.Size + int(h.Remaining)
		w.count(PacketsReceived, 1)
		l.seen = t.Now()
		if err := l.packet(w, h, body); err == io.EOF {
			return used, err
		} else if err != nil {
			return used, l.fail(w, err)
		}
		t.Cycle()
	}
	if l.state == linkEnding {
		return len(b), nil
	}
	return used, nil
}

// admit refuses a packet by its fixed header, before its body is waited for: what is
// not a CONNECT first, and what is larger than allowed.
func (l *link) admit(h mqtt.Header) error {
	limit := l.b.o.Session.MaxPacketSize
	if l.state == linkNew {
		if h.Type != mqtt.CONNECT {
			return &mqtt.Error{Code: mqtt.ProtocolError, Reason: "the first packet must be CONNECT"} // [MQTT-3.1.0-1]
		}
		limit = min(limit, l.b.o.MaxConnectSize)
	}
	if uint64(h.Size)+uint64(h.Remaining) > uint64(limit) {
		return &mqtt.Error{Code: mqtt.PacketTooLarge, Reason: "packet too large"}
	}
	return nil
}

func (l *link) packet(w *worker, h mqtt.Header, body []byte) error {
	if l.state == linkAuth && h.Type != mqtt.AUTH && h.Type != mqtt.DISCONNECT {
		return &mqtt.Error{Code: mqtt.ProtocolError, Reason: "enhanced authentication is not over"} // [MQTT-3.1.2-30]
	}
	switch h.Type {
	case mqtt.PUBLISH:
		return l.onPublish(w, h, body)
	case mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP:
		return l.onAck(w, h, body)
	case mqtt.SUBSCRIBE:
		return l.onSubscribe(w, h, body)
	case mqtt.UNSUBSCRIBE:
		return l.onUnsubscribe(w, h, body)
	case mqtt.PINGREQ:
		return l.onPing(w, h, body)
	case mqtt.DISCONNECT:
		return l.onDisconnect(w, h, body)
	case mqtt.AUTH:
		return l.onAuth(w, h, body)
	case mqtt.CONNECT:
		if l.state == linkNew {
			return l.onConnect(w, body)
		}
		return &mqtt.Error{Code: mqtt.ProtocolError, Reason: "second CONNECT"} // [MQTT-3.1.0-2]
	default:
		return &mqtt.Error{Code: mqtt.ProtocolError, Reason: "packet that only a server may send"}
	}
}

func (l *link) onPing(w *worker, h mqtt.Header, body []byte) error {
	var p mqtt.Pingreq
	if err := p.Decode(l.version, h.Flags, body); err != nil {
		return err
	}
	buf := w.turn.Begin(2)
	l.put(w, w.turn.End((*mqtt.Pingresp)(nil).Append(buf, l.version)))
	w.count(PacketsSent, 1)
	return nil
}

// fail ends the connection for a reason that is the client's: a 5.0 client that has been
// accepted is told with DISCONNECT, one that has not with CONNACK where CONNECT was
// understood; a 3.1.1 client sees the connection close ([MQTT-4.13.1-1], [MQTT-4.8.0-1]).
func (l *link) fail(w *worker, err error) error {
	w.count(ProtocolErrors, 1)
	code, reason := consequence(err)
	l.log(slog.LevelInfo, "connection refused", "reason", code.String(), "detail", err)
	l.quit(w, code, reason, "")
	return err
}

// quit says goodbye with a code where the protocol allows it, and perhaps the server to go to.
func (l *link) quit(w *worker, code mqtt.ReasonCode, reason, server string) {
	if l.state == linkEnding {
		return
	}
	if l.state == linkLive && l.version == mqtt.V5 {
		l.sendDisconnect(w, code, reason, server)
	}
	l.state = linkEnding
	l.conn.Close(w.turn)
}

func (l *link) sendDisconnect(w *worker, code mqtt.ReasonCode, reason, server string) {
	d := mqtt.Disconnect{Code: code}
	if reason != "" {
		d.Properties.ReasonString = []byte(reason)
		d.Properties.Has = d.Properties.Has.With(mqtt.PropReasonString)
	}
	if server != "" {
		d.Properties.ServerReference = []byte(server)
		d.Properties.Has = d.Properties.Has.With(mqtt.PropServerReference)
	}
	s := w.turn.End(d.Append(w.turn.Begin(smallPacket), l.version))
	if !l.fits(s.Len()) { // the code alone says enough ([MQTT-3.14.2-3])
		d = mqtt.Disconnect{Code: code}
		s = w.turn.End(d.Append(w.turn.Begin(smallPacket), l.version))
	}
	l.put(w, s)
	w.count(PacketsSent, 1)
}

// put hands encoded bytes to the connection.
func (l *link) put(w *worker, s netpoll.Segment) {
	w.count(BytesSent, s.Len())
	l.conn.Send(w.turn, s)
}

// packet is one that is encoded for one link alone.
type packet interface {
	Append(dst []byte, v mqtt.Version) []byte
}

// sendPacket sends a packet other than PUBLISH and its acknowledgements, which as a rule is small. One that the client does
// not take, and that cannot be left out, ends the connection ([MQTT-3.1.2-24]).
func (l *link) sendPacket(w *worker, p packet) {
	s := w.turn.End(p.Append(w.turn.Begin(smallPacket), l.version))
	if !l.fits(s.Len()) {
		l.log(slog.LevelInfo, "packet too large for the client", "bytes", s.Len())
		l.quit(w, mqtt.PacketTooLarge, "", "")
		return
	}
	l.put(w, s)
	w.count(PacketsSent, 1)
}

// fits tells whether the client takes a packet of so many bytes.
func (l *link) fits(size int) bool {
	switch {
	case l.client != nil:
		return l.client.sess.Fits(size)
	case l.more != nil && l.more.connect != nil:
		return fits(l.more.connect.packet, size)
	}
	return true
}

// fits tells the same of a client that has sent no more than its CONNECT.
func fits(p *mqtt.Connect, size int) bool {
	return !p.Properties.Has.Contains(mqtt.PropMaximumPacketSize) || size <= int(p.Properties.MaximumPacketSize)
}

// smallPacket is the size that most packets other than PUBLISH are below; a longer one costs a copy.
const smallPacket = 128

// consequence is the reason code of an error, for the wire.
func consequence(err error) (mqtt.ReasonCode, string) {
	if e, ok := errors.AsType[*mqtt.Error](err); ok {
		return e.Code, e.Reason
	}
	if r, ok := errors.AsType[*session.Redirect](err); ok {
		return r.Code(), r.Reference
	}
	return mqtt.UnspecifiedError, ""
}

// Drained goes on with what waited for the client to read: queued messages and the replay of
// retained ones.
func (l *link) Drained(t *netpoll.Turn) {
	if l.state != linkLive {
		return
	}
	w := l.b.worker(t)
	l.pump(w)
}

// Alarm ends a connection that has not sent CONNECT in time, or nothing at all within one and
// a half times its keep alive ([MQTT-3.1.2-22] of 5.0, [MQTT-3.1.2-24] of 3.1.1).
func (l *link) Alarm(t *netpoll.Turn) {
	w := l.b.worker(t)
	switch l.state {
	case linkNew, linkAuth, linkWaiting:
		l.log(slog.LevelInfo, "no CONNECT in time")
		w.count(ConnectsRefused, 1)
		l.state = linkEnding
		l.conn.Abort()
	case linkLive:
		if l.keepAlive == 0 {
			return
		}
		left := l.seen + int64(l.keepAlive) - t.Now()
		if l.stops != 0 {
			left = int64(l.keepAlive) // it is we who do not listen
		}
		if left > 0 {
			l.conn.SetAlarm(milliseconds(left))
			return
		}
		w.count(KeepAliveTimeouts, 1)
		l.log(slog.LevelInfo, "keep alive timeout")
		l.quit(w, mqtt.KeepAliveTimeout, "", "")
	}
}

// Closed is the end of the connection, whoever ended it.
func (l *link) Closed(t *netpoll.Turn, err error) {
	w := l.b.worker(t)
	l.b.links.Add(-1)
	if l.state == linkLive && err != nil && !errors.Is(err, io.EOF) {
		l.log(slog.LevelDebug, "connection lost", "error", err)
	}
	l.state = linkEnding
	l.detach(w)
}

// debugs tells whether records of level debug are wanted, so that nobody makes their arguments in vain.
func (l *link) debugs() bool { return l.b.o.Log.Enabled(context.Background(), slog.LevelDebug) }

func (l *link) log(level slog.Level, msg string, args ...any) {
	log := l.b.o.Log
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{"listener", l.listener.Name, "peer", l.conn.RemoteAddr()}
	if l.client != nil {
		attrs = append(attrs, "client", l.client.id())
	}
	if l.more != nil && l.more.user != "" {
		attrs = append(attrs, "user", l.more.user)
	}
	log.Log(context.Background(), level, msg, append(attrs, args...)...)
}
