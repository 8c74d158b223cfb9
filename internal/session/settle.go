package session

import "github.com/millrace-mq/millrace/mqtt"

// Settled is the end of a message's delivery, for whoever gave it: what Lease and More.Source said of it, and the client's
// verdict. Done is false when the acknowledgement ended nothing.
type Settled struct {
	Done   bool
	Code   mqtt.ReasonCode
	Token  uint64
	Source any
}

var (
	errAckType  = refuse(mqtt.ProtocolError, "acknowledgement of another quality of service than the message's")
	errAckEarly = refuse(mqtt.ProtocolError, "PUBCOMP without PUBREC")
)

// settle ends a delivery.
func (s *Session) settle(id uint16, sl *slot, code mqtt.ReasonCode) Settled {
	done := Settled{Done: true, Code: code, Token: sl.token, Source: sl.more.source()}
	s.forgo(&sl.entry, id)
	s.out.remove(id)
	s.weigh()
	return done
}

// Puback takes the client's PUBACK: the message is done, whatever the code says (4.3.2). One for an identifier that is not in
// flight is ignored. After each acknowledgement that ended something the owner calls Next.
func (s *Session) Puback(id uint16, code mqtt.ReasonCode) (Settled, error) {
	sl := s.out.at(id)
	if sl == nil {
		return Settled{}, nil
	}
	if sl.qos != 1 {
		return Settled{}, errAckType
	}
	return s.settle(id, sl, code), nil
}

// Pubrel is the PUBREL that answers a PUBREC.
type Pubrel struct {
	Send bool
	Code mqtt.ReasonCode
}

// Pubrec takes the client's PUBREC. With a failure code the message is done and nothing is answered (4.3.3,
// [MQTT-4.3.3-4]); else it is the client's, its bytes go, and PUBREL is sent until PUBCOMP comes. An identifier that is
// not in flight is answered with Packet Identifier not found.
func (s *Session) Pubrec(id uint16, code mqtt.ReasonCode) (Pubrel, Settled, error) {
	sl := s.out.at(id)
	if sl == nil {
		if code.IsError() {
			return Pubrel{}, Settled{}, nil
		}
		return Pubrel{Send: true, Code: mqtt.PacketIdentifierNotFound}, Settled{}, nil
	}
	if sl.qos != 2 {
		return Pubrel{}, Settled{}, errAckType
	}
	if code.IsError() {
		return Pubrel{}, s.settle(id, sl, code), nil
	}
	if sl.state == sent {
		sl.state = received
		if s.journal != nil && sl.number != 0 {
			s.journal.Received(sl.number, id)
		}
		sl.m.Release()
		sl.m = nil
	}
	s.out.goLive(id, sl)
	return Pubrel{Send: true}, Settled{}, nil
}

// Pubcomp takes the client's PUBCOMP: the message is done. One for an identifier that is not in flight is ignored.
func (s *Session) Pubcomp(id uint16, code mqtt.ReasonCode) (Settled, error) {
	sl := s.out.at(id)
	switch {
	case sl == nil:
		return Settled{}, nil
	case sl.state != received:
		return Settled{}, errAckEarly
	}
	if code == mqtt.PacketIdentifierNotFound {
		code = mqtt.Success // the client had finished before and we had not heard of it
	}
	return s.settle(id, sl, code), nil
}
