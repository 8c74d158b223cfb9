package session

import (
	"errors"

	"github.com/millrace-mq/millrace/mqtt"
)

// Mechanism is the server's side of one run of an enhanced authentication method (4.12), SCRAM-SHA-256 for one.
type Mechanism interface {
	// Step takes what the client sent and gives what to answer. done says that the client is who it says; until then
	// another message is expected. An error ends the connection; if it is not a *mqtt.Error, with Not authorized.
	// data may be nil, and belongs to the caller.
	Step(data []byte) (answer []byte, done bool, err error)
}

// Opener begins a run of the method with a name. An error that is not a *mqtt.Error means that there is no such method.
type Opener func(method string) (Mechanism, error)

// Exchange is the state of enhanced authentication of one connection, from CONNECT on. The zero value is ready.
//
//	CONNECT with method       Begin     -> AUTH 0x18, or done: go on with CONNECT
//	AUTH 0x18                 Continue  -> the same
//	AUTH 0x19, after CONNACK  Continue  -> AUTH 0x18, or done: AUTH 0x00; meanwhile everything else goes on
//
// One run at a time. Only AUTH and DISCONNECT may come from the client between Begin and CONNACK ([MQTT-3.1.2-30]): the
// owner sees to that.
type Exchange struct {
	method string
	run    Mechanism // nil: none goes on
	done   bool      // a run has succeeded
}

// Step is the server's answer in an exchange.
type Step struct {
	Method string
	Data   []byte
	Done   bool
}

var (
	errNoMethod    = refuse(mqtt.ProtocolError, "AUTH without an authentication method in CONNECT")
	errMethod      = refuse(mqtt.ProtocolError, "authentication method is not that of CONNECT")
	errAuthRunning = refuse(mqtt.ProtocolError, "re-authentication while an authentication goes on")
	errAuthNone    = refuse(mqtt.ProtocolError, "AUTH without an authentication going on")
	errAuthCode    = refuse(mqtt.ProtocolError, "AUTH with a reason code that a client may not send")
	errBadMethod   = refuse(mqtt.BadAuthenticationMethod, "unknown authentication method")
	errRefused     = refuse(mqtt.NotAuthorized, "authentication failed")
)

// Begin takes a CONNECT. used is false when it names no method, so that there is no exchange. An error, always a *mqtt.Error, is
// for the CONNACK.
func (x *Exchange) Begin(c *mqtt.Connect, open Opener) (step Step, used bool, err error) {
	p := &c.Properties
	if c.Version != mqtt.V5 || !p.Has.Contains(mqtt.PropAuthMethod) {
		return Step{}, false, nil
	}
	x.method = string(p.AuthMethod)
	step, err = x.start(p, open)
	return step, true, err
}

// Method is the authentication method of the connection, "" for none.
func (x *Exchange) Method() string { return x.method }

// Running tells whether an authentication goes on.
func (x *Exchange) Running() bool { return x.run != nil }

func (x *Exchange) start(p *mqtt.Properties, open Opener) (Step, error) {
	run, err := open(x.method)
	if err != nil {
		return Step{}, asError(err, errBadMethod) // [MQTT-4.12.0-1]
	}
	x.run = run
	return x.step(p)
}

// Continue takes an AUTH of the client. An error, always a *mqtt.Error, ends the connection: it is for the CONNACK when
// that was not sent yet, and else for a DISCONNECT ([MQTT-4.12.1-2]).
func (x *Exchange) Continue(a *mqtt.Auth, open Opener) (Step, error) {
	p := &a.Properties
	switch {
	case x.method == "":
		return Step{}, errNoMethod // [MQTT-4.12.0-6]
	case !p.Has.Contains(mqtt.PropAuthMethod) || string(p.AuthMethod) != x.method:
		return Step{}, errMethod // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
	}
	switch a.Code {
	case mqtt.ContinueAuthentication:
		if x.run == nil {
			return Step{}, errAuthNone
		}
		return x.step(p)
	case mqtt.ReAuthenticate:
		if x.run != nil || !x.done {
			return Step{}, errAuthRunning
		}
		return x.start(p, open)
	}
	return Step{}, errAuthCode
}

// step gives the running mechanism the client's data.
func (x *Exchange) step(p *mqtt.Properties) (Step, error) {
	var data []byte
	if p.Has.Contains(mqtt.PropAuthData) {
		data = p.AuthData
	}
	answer, done, err := x.run.Step(data)
	if err != nil {
		x.run = nil
		return Step{}, asError(err, errRefused)
	}
	if done {
		x.run, x.done = nil, true
	}
	return Step{Method: x.method, Data: answer, Done: done}, nil
}

// Auth is the AUTH packet that carries the step: for an exchange that is not done, or a re-authentication that is.
func (t Step) Auth() *mqtt.Auth {
	a := &mqtt.Auth{Code: mqtt.ContinueAuthentication} // [MQTT-4.12.0-2]
	if t.Done {
		a.Code = mqtt.Success
	}
	t.Fill(&a.Properties)
	return a
}

// Fill adds the method and the data to the properties of a packet, the CONNACK of a successful authentication for one
// ([MQTT-4.12.0-5]).
func (t Step) Fill(p *mqtt.Properties) {
	p.AuthMethod = []byte(t.Method)
	p.Has = p.Has.With(mqtt.PropAuthMethod)
	if t.Data != nil {
		p.AuthData = t.Data
		p.Has = p.Has.With(mqtt.PropAuthData)
	}
}

// asError gives err as a *mqtt.Error, or the one that stands for all others.
func asError(err error, otherwise *mqtt.Error) error {
	if e, ok := errors.AsType[*mqtt.Error](err); ok {
		return e
	}
	return otherwise
}
