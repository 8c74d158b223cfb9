package broker

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// pendingConnect is a CONNECT on its way to its client. It may have to wait for the client's
// earlier connection to end or for an authentication exchange, and then needs bytes of its own.
type pendingConnect struct {
	packet   *mqtt.Connect
	body     []byte
	assigned string       // the identifier that the server chose, "" when the client did
	step     session.Step // how enhanced authentication ended
	paused   bool         // the connection is not read meanwhile
}

// own gives the same CONNECT with its own bytes.
func (p *pendingConnect) own() *pendingConnect {
	o := &pendingConnect{packet: new(mqtt.Connect), body: slices.Clone(p.body), assigned: p.assigned, step: p.step}
	if err := o.packet.Decode(o.body); err != nil {
		panic("broker: a CONNECT that was decoded before: " + err.Error())
	}
	return o
}

// onConnect takes the first packet of a connection.
func (l *link) onConnect(w *worker, body []byte) error {
	p := &w.connect
	err := p.Decode(body)
	l.version = p.Version
	if err != nil {
		l.refuse(w, err, nil)
		return nil
	}
	w.pending = pendingConnect{packet: p, body: body}
	if err = l.authenticate(w, &w.pending); err != nil {
		l.refuse(w, err, p)
	}
	return nil
}

// authenticate checks who connects and goes on to claim the client.
func (l *link) authenticate(w *worker, pending *pendingConnect) error {
	p := pending.packet
	if w.b.closing.Load() {
		return &mqtt.Error{Code: mqtt.ServerShuttingDown, Reason: "the server is shutting down"}
	}
	if len(p.ClientID) == 0 {
		pending.assigned = newClientID()
	}
	if most := w.b.o.MaxClientID; most > 0 && len(p.ClientID) > most {
		return &mqtt.Error{Code: mqtt.ClientIdentifierNotValid, Reason: "the client identifier is too long"}
	}
	if p.HasWill {
		if err := topic.ValidateName(p.Will.Topic, w.b.o.MaxTopicLevels); err != nil || p.Will.Topic[0] == '$' {
			return &mqtt.Error{Code: mqtt.TopicNameInvalid, Reason: "the topic of the will may not be published to"}
		}
	}
	if err := l.allow(pending); err != nil {
		return err
	}
	if waits, err := l.beginExchange(w, pending); waits || err != nil {
		return err
	}
	l.claim(w, pending)
	return nil
}

// allow asks Access about the credentials.
func (l *link) allow(pending *pendingConnect) error {
	p := pending.packet
	if p.HasUsername {
		l.rest().user = string(p.Username)
	}
	access := l.b.o.Access
	if access == nil {
		return nil
	}
	peer := l.peer()
	peer.ClientID, peer.User = string(p.ClientID), string(p.Username)
	if err := access.Connect(peer, p.Password); err != nil {
		return err
	}
	if p.HasWill {
		if err := access.Publish(peer, p.Will.Topic, p.Will.QoS, p.Will.Retain); err != nil {
			return err
		}
	}
	if peer.User != "" {
		l.rest().user = peer.User // Access may know a better name, from a certificate for one
	}
	return nil
}

// peer describes the link for Access.
func (l *link) peer() *Peer {
	p := &Peer{Listener: l.listener.Name, Remote: l.conn.RemoteAddr(), Version: l.version}
	if l.client != nil {
		p.ClientID = l.client.id()
	}
	if l.more != nil {
		p.User = l.more.user
	}
	if s := l.conn.TLS(); s != nil {
		p.Certificates = s.PeerCertificates
	}
	return p
}

func (l *link) rest() *linkMore {
	if l.more == nil {
		l.more = new(linkMore)
	}
	return l.more
}

// claim finds or makes the client and attaches the link to it: at once when the client is new,
// else after a trip through the loop that had its last connection. On that loop everything
// that the client sent on the earlier connection has been read, and all mail that
// was on its way to the client has been delivered, before the session changes hands.
func (l *link) claim(w *worker, pending *pendingConnect) {
	id := string(pending.packet.ClientID)
	if pending.assigned != "" {
		id = pending.assigned
	}
	c, existed := w.b.clients.claim(id, func() *client { return w.b.newClient(id) })
	if !existed {
		if !l.attach(w, c, pending) {
			l.claim(w, pending)
			return
		}
		l.conn.Resume() // it was paused if the client it first found has ended meanwhile
		return
	}
	l.state = linkWaiting
	l.rest().connect = pending.own()
	l.more.connect.paused = true
	l.conn.Pause()
	w.b.loops[c.loop.Load()].Post(&handover{c: c, to: l})
}

// handover is the trip: first to the loop that has the client, then back to the
// loop of the new link.
type handover struct {
	c    *client
	to   *link
	back bool
}

func (h *handover) Mail(t *netpoll.Turn) {
	w := h.to.b.worker(t)
	if !h.back {
		h.c.mu.Lock()
		old := h.c.link
		h.c.mu.Unlock()
		// The old link belongs to this loop, or the client has moved on since and
		// attach will find it in use.
		if old != nil && old.conn.Loop() == t.Loop() {
			old.takenOver(w)
		}
		h.back = true
		h.to.conn.Loop().Post(h)
		return
	}
	l := h.to
	if l.state != linkWaiting || l.more.connect == nil {
		return // it has gone meanwhile
	}
	pending := l.more.connect
	l.more.connect = nil
	l.state = linkNew
	if !l.attach(w, h.c, pending) {
		l.claim(w, pending)
	}
}

// takenOver ends a link whose client has connected again.
func (l *link) takenOver(w *worker) {
	l.conn.ReadNow()
	if l.state != linkLive {
		return
	}
	w.count(Takeovers, 1)
	l.log(slog.LevelInfo, "session taken over")
	l.end = session.TakenOver
	l.quit(w, mqtt.SessionTakenOver, "", "") // [MQTT-3.1.4-3]
	l.detach(w)
}

// attach makes l the link of c and answers CONNECT. It gives false when the client cannot be
// had: it has ended meanwhile, or another connection was quicker. Then claim it again.
func (l *link) attach(w *worker, c *client, pending *pendingConnect) bool {
	p := pending.packet
	c.mu.Lock()
	if c.dead || c.link != nil {
		c.mu.Unlock()
		return false
	}
	now := w.turn.Now()
	resumed := !p.CleanStart && !c.sess.Ended(now)
	if c.durable != nil && l.holdUp(w, c, pending, resumed && w.b.o.Session.ExpiryOf(p) > 0) {
		c.mu.Unlock()
		return true
	}
	var will *session.Will
	var moved []session.Taken
	if !resumed {
		will, moved = w.endSession(c)
	}
	accept, err := c.sess.Connect(now, p, resumed)
	if err != nil {
		c.mu.Unlock()
		l.refuse(w, err, p)
		w.windUp(c, will, moved)
		w.expire(c, now)
		return true
	}
	l.client, l.state, l.seen, l.keepAlive = c, linkLive, now, int32(accept.KeepAlive)*1500
	c.loop.Store(int32(l.conn.Loop().Index()))
	w.noteConnect(c, accept.SessionExpiry)
	l.answer(w, pending, &accept)
	c.link = l
	c.online.Store(true)
	c.mu.Unlock()
	if pending.paused {
		l.conn.Resume()
	}
	l.b.connected.Add(1)
	l.conn.SetAlarm(milliseconds(int64(l.keepAlive)))
	w.count(ConnectsAccepted, 1)
	if l.debugs() {
		l.log(slog.LevelDebug, "connected", "version", l.version, "resumed", resumed, "keep_alive", accept.KeepAlive)
	}
	w.windUp(c, will, moved)
	if resumed {
		w.count(SessionsResumed, 1)
		l.pump(w)
		w.rejoin(c)
	} else {
		w.count(SessionsCreated, 1)
	}
	return true
}

// answer sends CONNACK. The caller holds c.mu, so that nothing that is published meanwhile
// overtakes it ([MQTT-3.2.0-1]).
func (l *link) answer(w *worker, pending *pendingConnect, accept *session.Accept) {
	ack := &w.connack
	accept.Fill(ack)
	if pending.step.Done {
		pending.step.Fill(&ack.Properties)
	}
	if info := w.b.o.ResponseInfo; accept.ResponseInformation && info != "" {
		ack.Properties.ResponseInfo = []byte(info)
		ack.Properties.Has = ack.Properties.Has.With(mqtt.PropResponseInfo)
	}
	s := w.turn.End(ack.Append(w.turn.Begin(smallPacket), l.version))
	if !l.fits(s.Len()) { // there is nothing that the client could be told ([MQTT-3.14.0-1])
		l.log(slog.LevelInfo, "CONNACK too large for the client", "bytes", s.Len())
		l.state = linkEnding
		l.conn.Close(w.turn)
		return
	}
	l.put(w, s)
	w.count(PacketsSent, 1)
}

// refuse answers a CONNECT that is not accepted, and ends the connection. p is nil when it could not be read.
func (l *link) refuse(w *worker, err error, p *mqtt.Connect) {
	code, reason := consequence(err)
	w.count(ConnectsRefused, 1)
	l.log(slog.LevelInfo, "connect refused", "reason", code.String(), "detail", reason)
	if p == nil {
		reason = "" // for want of the client's maximum packet size
	}
	ack, ok := refusal(l.version, code, reason)
	if r, moved := errors.AsType[*session.Redirect](err); moved {
		ack, ok = redirection(l.version, r)
	}
	if ok {
		s := w.turn.End(ack.Append(w.turn.Begin(smallPacket), l.version))
		if p != nil && !fits(p, s.Len()) { // the code alone says enough ([MQTT-3.2.2-19])
			ack.Properties.Reset()
			s = w.turn.End(ack.Append(w.turn.Begin(smallPacket), l.version))
		}
		l.put(w, s)
		w.count(PacketsSent, 1)
	}
	l.state = linkEnding
	l.conn.Close(w.turn)
}

// refusal is the CONNACK of a refusal; not ok where the protocol has none to send: a malformed
// CONNECT of 3.1.1 is answered by closing ([MQTT-3.1.4-1], [MQTT-4.8.0-1]).
func refusal(v mqtt.Version, code mqtt.ReasonCode, reason string) (*mqtt.Connack, bool) {
	ack := &mqtt.Connack{Code: code}
	if v != mqtt.V5 {
		switch code {
		case mqtt.UnsupportedProtocolVersion, mqtt.ClientIdentifierNotValid, mqtt.ServerUnavailable, mqtt.ServerBusy,
			mqtt.BadUserNameOrPassword, mqtt.NotAuthorized, mqtt.ServerShuttingDown, mqtt.QuotaExceeded:
			return ack, true
		}
		return nil, false
	}
	if reason != "" {
		ack.Properties.ReasonString = []byte(reason)
		ack.Properties.Has = ack.Properties.Has.With(mqtt.PropReasonString)
	}
	return ack, true
}

// redirection is the CONNACK that sends a client elsewhere. 3.1.1 has no place for where.
func redirection(v mqtt.Version, r *session.Redirect) (*mqtt.Connack, bool) {
	if v != mqtt.V5 {
		return refusal(v, mqtt.ServerUnavailable, "")
	}
	return r.Connack(), true
}

// newClientID makes an identifier nobody can guess ([MQTT-3.1.3-6]).
func newClientID() string {
	var b [15]byte
	rand.Read(b[:])
	return "auto-" + base32.HexEncoding.EncodeToString(b[:])
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
