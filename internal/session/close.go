package session

import "github.com/millrace-mq/millrace/mqtt"

// Cause is why a connection ends.
type Cause uint8

// The causes. The zero value is what happens when nobody says anything.
const (
	Lost             Cause = iota // the network connection broke, or the client closed it without DISCONNECT
	Goodbye                       // the client sent DISCONNECT
	TakenOver                     // the client connected again
	KeepAliveExpired              // nothing came for one and a half times the keep alive
	Misbehaved                    // the client broke the protocol or a limit
	ShuttingDown                  // the server stops
	Kicked                        // an operator ended the connection
	Redirected                    // the server sent the client to another one
	Removed                       // an operator ended the connection and the session with it
)

var causeNames = [...]string{
	Lost: "lost", Goodbye: "disconnect", TakenOver: "taken over", KeepAliveExpired: "keep alive timeout",
	Misbehaved: "protocol error", ShuttingDown: "server shutting down", Kicked: "kicked", Redirected: "redirected",
	Removed: "removed",
}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown cause"
}

// Code is the reason code of the DISCONNECT that tells a 5.0 client; Success where none is sent.
func (c Cause) Code() mqtt.ReasonCode {
	switch c {
	case TakenOver:
		return mqtt.SessionTakenOver // [MQTT-3.1.4-3]
	case KeepAliveExpired:
		return mqtt.KeepAliveTimeout
	case Misbehaved:
		return mqtt.ProtocolError
	case ShuttingDown:
		return mqtt.ServerShuttingDown
	case Kicked, Removed:
		return mqtt.AdministrativeAction
	case Redirected:
		return mqtt.UseAnotherServer
	}
	return mqtt.Success
}

var errExpiryFromZero = refuse(mqtt.ProtocolError, "DISCONNECT sets a session expiry where CONNECT set none")

// Disconnect takes the DISCONNECT of the client: the will goes unless the client wants it published, and the session expiry
// interval changes if it says so. The owner then closes the connection and calls Close. An error is for a DISCONNECT to
// the client, and leaves the will to be published (3.14.2.2.2, [MQTT-3.14.4-3]).
func (s *Session) Disconnect(d *mqtt.Disconnect) error {
	if s.version == mqtt.V5 && d.Properties.Has.Contains(mqtt.PropSessionExpiry) {
		expiry := d.Properties.SessionExpiry
		if expiry != 0 && s.flags&expiryAskedZero != 0 {
			return errExpiryFromZero
		}
		s.expiry = min(expiry, s.limits.MaxSessionExpiry)
	}
	if d.Code == mqtt.NormalDisconnection { // as in every DISCONNECT of 3.1.1
		s.will = nil // [MQTT-3.1.2-8]; 3.1.1: [MQTT-3.1.2-10], [MQTT-3.14.4-3]
	}
	return nil
}

// End is what the end of a connection leads to.
type End struct {
	// Will is to be published now, nil for none.
	Will *Will
	// Ends tells that the session ends with its connection. The owner forgets it: TakeShared, then End.
	Ends bool
}

// Close ends the connection, whoever closed it. Without a Disconnect before it the will is published: now, or when its
// delay is over, or when the session ends, whichever comes first (3.1.3.2.2). Closing a session without a
// connection changes nothing and says nothing.
func (s *Session) Close(now int64, cause Cause) End {
	if s.state != online {
		return End{}
	}
	s.state = offline
	s.disconnected()
	if cause == Removed {
		s.expiry = 0
	}
	s.beginEnd(now)
	will, ends := s.Expire(now)
	return End{Will: will, Ends: ends}
}

// beginEnd starts the times that run without a connection: until the session ends, and until the will is published.
func (s *Session) beginEnd(now int64) {
	s.endsAt = endless
	if s.expiry != Never {
		s.endsAt = later(now, s.expiry)
	}
	if w := s.will; w != nil {
		w.at = min(later(now, w.Delay), s.endsAt)
	}
}

// later is so many seconds after now.
func later(now int64, seconds uint32) int64 { return now + int64(seconds)*1000 }

// disconnected drops what belongs to the connection and shrinks what belongs to the session.
func (s *Session) disconnected() {
	s.aliases = nil
	if o := s.out; o != nil {
		o.disconnected()
		if o.count == 0 && o.queue.n == 0 {
			s.out = nil
		}
	}
	if i := s.in; i != nil {
		i.disconnected()
		if i.ids.n == 0 {
			s.forgetInflow()
		}
	}
}

// Due is the time in Unix milliseconds at which the owner calls Expire, unless the client is back before: a will is to be
// published then, or the session ends. It is not ok when nothing is due ever, as with a session that has a connection.
func (s *Session) Due() (at int64, ok bool) {
	if s.state != offline {
		return 0, false
	}
	at = s.endsAt
	if s.will != nil {
		at = min(at, s.will.at)
	}
	return at, at != endless
}

// Expire does what is due: gives the will when it is time to publish it, and tells whether the session has ended. The
// owner of an ended session calls TakeShared and End.
func (s *Session) Expire(now int64) (will *Will, ends bool) {
	if s.state != offline {
		return nil, false
	}
	if s.will != nil && now >= s.will.at {
		will = s.takeWill()
	}
	return will, now >= s.endsAt
}

// Ended tells whether the session is over at the time now, so that a client cannot resume it. A session that never had a
// connection counts as ended.
func (s *Session) Ended(now int64) bool {
	switch s.state {
	case online:
		return false
	case offline:
		return now >= s.endsAt
	}
	return true
}

// End discards the session: every message is released, and subscriptions are forgotten (All gives them before). It returns
// the will that was still to come, which is published when a session ends ([MQTT-3.1.3-9], 3.1.3.2.2); nil for none.
// Acknowledge may still be called with earlier tickets and does nothing.
func (s *Session) End() *Will {
	var will *Will
	if s.state == offline {
		will = s.takeWill()
	}
	s.will = nil
	if s.out != nil {
		s.out.discard()
		s.out = nil
	}
	if s.in != nil {
		s.forgetInflow()
	}
	s.aliases, s.subs, s.index, s.journal = nil, nil, nil, nil
	if s.state != fresh {
		s.state = ended
	}
	s.weigh()
	return will
}
