package session

import (
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// riddle is a mechanism of so many questions, each answered with "yes".
type riddle struct{ questions int }

func (m *riddle) Step(data []byte) ([]byte, bool, error) {
	if string(data) == "banned" {
		return nil, false, &mqtt.Error{Code: mqtt.Banned}
	}
	if string(data) != "yes" {
		return nil, false, errors.New("wrong")
	}
	m.questions--
	return []byte("ok?"), m.questions <= 0, nil
}

func open(questions int) Opener {
	return func(method string) (Mechanism, error) {
		if method != "riddle" {
			return nil, errors.New("unknown")
		}
		return &riddle{questions}, nil
	}
}

func credentials(method, data string) []property {
	p := []property{with(mqtt.PropAuthMethod, func(p *mqtt.Properties) *[]byte { return &p.AuthMethod }, []byte(method))}
	if data != "" {
		p = append(p, with(mqtt.PropAuthData, func(p *mqtt.Properties) *[]byte { return &p.AuthData }, []byte(data)))
	}
	return p
}

func auth(code mqtt.ReasonCode, method, data string) *mqtt.Auth {
	a := &mqtt.Auth{Code: code}
	apply(&a.Properties, credentials(method, data))
	return a
}

// 4.12, [MQTT-4.12.0-2], [MQTT-4.12.0-5]
func TestExchangeFromConnectToConnack(t *testing.T) {
	var x Exchange
	step, used, err := x.Begin(connect5(true, credentials("riddle", "yes")...), open(3))
	if err != nil || !used || step.Done || !x.Running() {
		t.Fatalf("%+v %v %v", step, used, err)
	}
	a := step.Auth()
	if a.Code != mqtt.ContinueAuthentication || string(a.Properties.AuthMethod) != "riddle" || string(a.Properties.AuthData) != "ok?" {
		t.Errorf("AUTH: %+v", a)
	}
	if step, err = x.Continue(auth(mqtt.ContinueAuthentication, "riddle", "yes"), open(3)); err != nil || step.Done {
		t.Fatalf("%+v %v", step, err)
	}
	if step, err = x.Continue(auth(mqtt.ContinueAuthentication, "riddle", "yes"), open(3)); err != nil || !step.Done || x.Running() {
		t.Fatalf("%+v %v", step, err)
	}
	var ack mqtt.Connack
	step.Fill(&ack.Properties)
	if p := &ack.Properties; !p.Has.Contains(mqtt.PropAuthMethod) || string(p.AuthMethod) != "riddle" || string(p.AuthData) != "ok?" {
		t.Errorf("CONNACK: %+v", p)
	}
}

func TestConnectWithoutMethodHasNoExchange(t *testing.T) {
	for _, c := range []*mqtt.Connect{connect5(true), connect4(true)} {
		var x Exchange
		if _, used, err := x.Begin(c, open(1)); used || err != nil || x.Method() != "" {
			t.Errorf("used %v, %v", used, err)
		}
		_, err := x.Continue(auth(mqtt.ReAuthenticate, "riddle", "yes"), open(1)) // [MQTT-4.12.0-6]
		wantCode(t, err, mqtt.ProtocolError)
		_, err = x.Continue(auth(mqtt.ReAuthenticate, "", "yes"), func(string) (Mechanism, error) { return &riddle{}, nil })
		wantCode(t, err, mqtt.ProtocolError)
	}
}

func TestExchangeRefuses(t *testing.T) {
	for _, c := range []struct {
		name         string
		method, data string
		code         mqtt.ReasonCode
	}{
		{"unknown method", "magic", "yes", mqtt.BadAuthenticationMethod}, // [MQTT-4.12.0-1]
		{"wrong answer", "riddle", "no", mqtt.NotAuthorized},
		{"a code of the mechanism", "riddle", "banned", mqtt.Banned},
		{"no data", "riddle", "", mqtt.NotAuthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			var x Exchange
			_, _, err := x.Begin(connect5(true, credentials(c.method, c.data)...), open(1))
			wantCode(t, err, c.code)
			if x.Running() {
				t.Error("goes on after it failed")
			}
			_, err = x.Continue(auth(mqtt.ReAuthenticate, c.method, "yes"), open(1))
			wantCode(t, err, mqtt.ProtocolError)
		})
	}
}

// [MQTT-4.12.1-1], [MQTT-4.12.1-2], and one exchange at a time
func TestReauthentication(t *testing.T) {
	type move struct {
		packet *mqtt.Auth
		code   mqtt.ReasonCode // of the error, 0 for none
		done   bool
	}
	again, more := mqtt.ReAuthenticate, mqtt.ContinueAuthentication
	for _, c := range []struct {
		name  string
		moves []move
	}{
		{"at once", []move{{auth(again, "riddle", "yes"), 0, false}, {auth(more, "riddle", "yes"), 0, true}}},
		{"twice", []move{{auth(again, "riddle", "yes"), 0, false}, {auth(more, "riddle", "yes"), 0, true}, {auth(again, "riddle", "yes"), 0, false}}},
		{"another method", []move{{auth(again, "magic", "yes"), mqtt.ProtocolError, false}}},
		{"another method on the way", []move{{auth(again, "riddle", "yes"), 0, false}, {auth(more, "magic", "yes"), mqtt.ProtocolError, false}}},
		{"no method", []move{{&mqtt.Auth{Code: again}, mqtt.ProtocolError, false}}},
		{"goes on without a beginning", []move{{auth(more, "riddle", "yes"), mqtt.ProtocolError, false}}},
		{"begins while one goes on", []move{{auth(again, "riddle", "yes"), 0, false}, {auth(again, "riddle", "yes"), mqtt.ProtocolError, false}}},
		{"a client says success", []move{{auth(mqtt.Success, "riddle", "yes"), mqtt.ProtocolError, false}}},
		{"wrong", []move{{auth(again, "riddle", "no"), mqtt.NotAuthorized, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var x Exchange
			if step, _, err := x.Begin(connect5(true, credentials("riddle", "yes")...), open(1)); err != nil || !step.Done {
				t.Fatal(err)
			}
			for _, m := range c.moves {
				step, err := x.Continue(m.packet, open(2))
				if m.code != 0 {
					wantCode(t, err, m.code)
					continue
				}
				if err != nil || step.Done != m.done {
					t.Fatalf("done %v, %v", step.Done, err)
				}
				if m.done && step.Auth().Code != mqtt.Success {
					t.Error("the end is not told with Success")
				}
			}
		})
	}
}

func TestReauthenticationBeforeTheFirstIsDone(t *testing.T) {
	var x Exchange
	x.Begin(connect5(true, credentials("riddle", "yes")...), open(2))
	_, err := x.Continue(auth(mqtt.ReAuthenticate, "riddle", "yes"), open(2))
	wantCode(t, err, mqtt.ProtocolError)
}

// 4.13.2, 3.2.2.3.16, 3.14.2.2.5
func TestRedirect(t *testing.T) {
	for _, c := range []struct {
		r    Redirect
		code mqtt.ReasonCode
	}{{Redirect{false, "other:1883"}, mqtt.UseAnotherServer}, {Redirect{true, "other:1883"}, mqtt.ServerMoved}, {Redirect{}, mqtt.UseAnotherServer}} {
		ack, bye := c.r.Connack(), c.r.Disconnect()
		if ack.Code != c.code || bye.Code != c.code {
			t.Errorf("%+v: codes %v and %v", c.r, ack.Code, bye.Code)
		}
		for _, p := range []*mqtt.Properties{&ack.Properties, &bye.Properties} {
			if p.Has.Contains(mqtt.PropServerReference) != (c.r.Reference != "") || string(p.ServerReference) != c.r.Reference {
				t.Errorf("%+v: server reference %q", c.r, p.ServerReference)
			}
		}
	}
}
