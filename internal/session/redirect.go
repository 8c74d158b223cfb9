package session

import "github.com/millrace-mq/millrace/mqtt"

// Redirect sends a client to another server: in place of accepting its CONNECT, or later (4.13.2, 3.2.2.3.16). As an error it
// is the refusal of a CONNECT. 3.1.1 has no place for the reference: a client gets Server unavailable, or sees the connection
// close.
type Redirect struct {
	// Permanent: the client should not come back here.
	Permanent bool
	// Reference is one or more servers, host or host:port each, separated by spaces (4.11).
	Reference string
}

// Code is Server moved or Use another server.
func (r *Redirect) Code() mqtt.ReasonCode {
	if r.Permanent {
		return mqtt.ServerMoved
	}
	return mqtt.UseAnotherServer
}

func (r *Redirect) Error() string { return r.Code().String() + ": " + r.Reference }

// Connack is the refusal of a CONNECT.
func (r *Redirect) Connack() *mqtt.Connack {
	ack := &mqtt.Connack{Code: r.Code()}
	r.fill(&ack.Properties)
	return ack
}

// Disconnect is the end of an accepted connection.
func (r *Redirect) Disconnect() *mqtt.Disconnect {
	d := &mqtt.Disconnect{Code: r.Code()}
	r.fill(&d.Properties)
	return d
}

func (r *Redirect) fill(p *mqtt.Properties) {
	if r.Reference != "" {
		p.ServerReference = []byte(r.Reference)
		p.Has = p.Has.With(mqtt.PropServerReference)
	}
}
