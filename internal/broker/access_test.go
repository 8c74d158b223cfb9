package broker

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// guard lets in whoever has the password, and keeps everyone out of what begins with "secret".
type guard struct{}

func (guard) Connect(p *Peer, password []byte) error {
	switch {
	case p.User == "moved":
		return &session.Redirect{Reference: "other.example:1883"}
	case string(password) != "open":
		return &mqtt.Error{Code: mqtt.BadUserNameOrPassword, Reason: "wrong password"}
	}
	return nil
}

func (guard) Publish(p *Peer, topic []byte, _ byte, _ bool) error {
	return guard{}.Subscribe(p, string(topic))
}

func (guard) Subscribe(p *Peer, filter string) error {
	if p.User == "" || p.ClientID == "" {
		return &mqtt.Error{Code: mqtt.NotAuthorized, Reason: "who are you"}
	}
	if strings.HasPrefix(filter, "secret") {
		return &mqtt.Error{Code: mqtt.NotAuthorized, Reason: "secret"}
	}
	return nil
}

func guarded(t *testing.T) *rig { return newRig(t, func(o *Options) { o.Access = guard{} }) }

func as(user, password string) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.HasUsername, c.Username, c.HasPassword, c.Password = true, []byte(user), true, []byte(password)
	}
}

// connack dials and gives the answer, whatever it is.
func (r *rig) connack(t *testing.T, v mqtt.Version, change func(*mqtt.Connect)) (*mqtt.Connack, *peer) {
	t.Helper()
	p := r.open(t, v)
	packet := mqtt.Connect{Version: v, CleanStart: true, ClientID: []byte("somebody")}
	change(&packet)
	p.write(packet.Append(nil, v))
	ack := new(mqtt.Connack)
	p.read(mqtt.CONNACK, ack.Decode)
	return ack, p
}

func TestAccessRefusesConnect(t *testing.T) {
	r := guarded(t)
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		ack, p := r.connack(t, v, as("user", "shut"))
		if ack.Code != mqtt.BadUserNameOrPassword {
			t.Errorf("version %v: %v", v, ack.Code)
		}
		p.closed()
		ack, p = r.connack(t, v, func(c *mqtt.Connect) {
			as("user", "open")(c)
			c.HasWill, c.Will = true, mqtt.Will{Topic: []byte("secret/will"), Payload: []byte("x")}
		})
		if ack.Code != mqtt.NotAuthorized {
			t.Errorf("version %v, a will that may not be published: %v", v, ack.Code)
		}
		p.closed()
	}
	if n := r.clients.count(); n != 0 {
		t.Errorf("%d clients are left of refused connects", n)
	}
}

func TestAccessRedirects(t *testing.T) {
	r := guarded(t)
	ack, p := r.connack(t, mqtt.V5, as("moved", "open"))
	if ack.Code != mqtt.UseAnotherServer || string(ack.Properties.ServerReference) != "other.example:1883" {
		t.Errorf("5.0: %v to %q", ack.Code, ack.Properties.ServerReference)
	}
	p.closed()
	if ack, _ = r.connack(t, mqtt.V311, as("moved", "open")); ack.Code != mqtt.ServerUnavailable {
		t.Errorf("3.1.1: %v", ack.Code)
	}
}

func TestAccessRefusesPublish(t *testing.T) {
	r := guarded(t)
	witness := r.dial(t, mqtt.V311, "witness", as("user", "open"))
	witness.subscribe("#", 0)
	for _, c := range []struct {
		v    mqtt.Version
		want mqtt.ReasonCode
	}{{mqtt.V5, mqtt.NotAuthorized}, {mqtt.V311, mqtt.Success}} {
		p := r.dial(t, c.v, "publisher", as("user", "open"))
		m := mqtt.Publish{Topic: []byte("secret/x"), QoS: 1, PacketID: 1, Retain: true, Payload: []byte("no")}
		p.write(m.Append(nil, c.v))
		ack := mqtt.NewPuback(0, 0)
		p.read(mqtt.PUBACK, ack.Decode)
		if ack.Code != c.want {
			t.Errorf("version %v: %v, want %v", c.v, ack.Code, c.want)
		}
	}
	witness.quiet() // nothing was delivered
	if n := r.retained.Len(); n != 0 {
		t.Errorf("%d refused messages were retained", n)
	}
	if n := r.Count(PublishRefused); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}

func TestAccessRefusesSubscribe(t *testing.T) {
	r := guarded(t)
	p := r.dial(t, mqtt.V5, "reader", as("user", "open"))
	s := mqtt.Subscribe{PacketID: 9, Subscriptions: []mqtt.Subscription{
		{Filter: []byte("secret/#")}, {Filter: []byte("$share/g/secret/#")}, {Filter: []byte("open/#")},
	}}
	p.write(s.Append(nil, mqtt.V5))
	var ack mqtt.Suback
	p.read(mqtt.SUBACK, ack.Decode)
	if ack.Codes[0] != mqtt.NotAuthorized || ack.Codes[1] != mqtt.NotAuthorized || ack.Codes[2] != mqtt.GrantedQoS0 {
		t.Errorf("codes %v", ack.Codes)
	}
	if n := r.router.Counts().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions in the router, want 1", n)
	}
}
