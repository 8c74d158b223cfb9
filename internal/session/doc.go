// Package session is the protocol state machine of one client, for MQTT 3.1.1 and 5.0: what the specification calls Session
// State (4.1), and the negotiated state of the connection that the client has at the moment. It decides; its owner, the broker,
// encodes and sends. It does no I/O, starts nothing and has no clock: time is an argument, Unix milliseconds.
//
// A Session is guarded by its owner's mutex, under which the owner also hands the packets to the connection, so that they
// leave in the order of the decisions. Only Load may be called without.
//
// # Connecting
//
// The owner looks the client up and decides whether the session goes on: Clean Start is not set and there is a session that
// has not Ended. A client that sent no identifier gets one first.
//
//	CONNECT                  enhanced authentication first, if the client asks for it (Exchange)
//	  session has a link     Close(now, TakenOver), as below; DISCONNECT 0x8E to the old connection
//	  Clean Start, or Ended  will = End(), publish it; take All out of the router; TakeShared(true) before
//	                         s = New(limits, id); s.Number = ...
//	  Connect(now, packet, resumed)
//	    error                CONNACK with its code, close
//	    Accept               CONNACK from Accept.Connack; keep alive from Accept.KeepAlive
//	  Next until false       what was in flight, then what waited
//
// # From the client
//
//	PUBLISH                  in = Publish(packet); error: DISCONNECT with its code, close
//	                         in.Refuse is set: Acknowledge(in.Ticket, Answer{Code: in.Refuse}, emit)
//	                         in.Duplicate:     Acknowledge(in.Ticket, Answer{}, emit)
//	                         else route the message; now or later Acknowledge(in.Ticket, answer, emit)
//	PUBREL                   PUBCOMP with the code from Pubrel(id)
//	PUBACK, PUBREC, PUBCOMP  Puback, Pubrec (its PUBREL is sent), Pubcomp; error: DISCONNECT, close;
//	                         Settled is for the source of the message; then Next until false
//	SUBSCRIBE                Subscribe for each filter; SUBACK; the router; retained messages if WantsRetained
//	UNSUBSCRIBE              Unsubscribe for each filter; UNSUBACK; the router
//	AUTH                     Exchange.Continue
//	DISCONNECT               Disconnect(packet); error: DISCONNECT with its code; then Close
//
// QoS 0 has no ticket: Acknowledge is for QoS 1 and 2. It is called exactly once for each ticket, whatever became of the
// connection meanwhile.
//
// # To the client
//
// Deliver for each message that a subscription matches. Send: encode it with Delivery.Head, leave the topic out with
// OmitTopic, and send it; this must happen, since a packet identifier and perhaps a topic alias are used up.
// Queued: Next gives it later. Held: a journal is set; Release gives it when the journal is safe. Dropped: count Reason. When a connection that was not ready is ready again, call
// Next until false.
//
// # Closing
//
//	the connection is gone   end = Close(now, cause); publish end.Will; moved = TakeShared(end.Ends), give these to others
//	  end.Ends               take All out of the router; End(); forget the client
//	  Due() is ok            at that time: will, ends = Expire(now), unless the client is back; publish will; if ends, the same as
//	                         for end.Ends; else Due says when to call again
//
// # Messages
//
// The session keeps a message (message.Message.Keep) when it is in flight or waits, and releases it exactly once: when the
// client has it, when it is dropped, or in End. TakeShared hands the reference over. The message that Next gives is the
// session's.
//
// Clauses are cited as [MQTT-x.y.z-n], the statements of MQTT 5.0 unless they say 3.1.1.
package session
