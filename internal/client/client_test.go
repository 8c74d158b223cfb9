package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// A peer is the broker's side of one connection, played by a test.
type peer struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	v    mqtt.Version
}

// serve listens on a unix socket and plays script for each connection, CONNECT read. It returns the URL.
func serve(t *testing.T, v mqtt.Version, script func(p *peer, c *mqtt.Connect)) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	play(t, l, v, script)
	return "unix://" + l.Addr().String()
}

func play(t *testing.T, l net.Listener, v mqtt.Version, script func(p *peer, c *mqtt.Connect)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p := &peer{t, conn, bufio.NewReader(conn), v}
			c := new(mqtt.Connect)
			head, body := p.read()
			if head.Type != mqtt.CONNECT {
				t.Errorf("first packet is %s", head.Type)
			} else if err := c.Decode(body); err != nil {
				t.Error(err)
			} else {
				script(p, c)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func (p *peer) read() (mqtt.Header, []byte) {
	head, body, err := mqtt.ReadPacket(p.r, 0)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			p.t.Error(err)
		}
		return mqtt.Header{}, nil
	}
	return head, body
}

type packet interface {
	Append(dst []byte, v mqtt.Version) []byte
}

func (p *peer) send(packets ...packet) {
	for _, x := range packets {
		if _, err := p.conn.Write(x.Append(nil, p.v)); err != nil {
			p.t.Error(err)
		}
	}
}

func (p *peer) accept() { p.send(new(mqtt.Connack)) }

func (p *peer) ack(kind mqtt.Type) mqtt.Ack {
	head, body := p.read()
	a := mqtt.Ack{Type: kind}
	if head.Type != kind {
		p.t.Errorf("%s where %s was wanted", head.Type, kind)
	} else if err := a.Decode(p.v, head.Flags, body); err != nil {
		p.t.Error(err)
	}
	return a
}

func (p *peer) publish() mqtt.Publish {
	head, body := p.read()
	var m mqtt.Publish
	if head.Type != mqtt.PUBLISH {
		p.t.Errorf("%s where PUBLISH was wanted", head.Type)
	} else if err := m.Decode(p.v, head.Flags, body); err != nil {
		p.t.Error(err)
	}
	return m
}

// end reads DISCONNECT and the end of the connection.
func (p *peer) end() {
	if head, _ := p.read(); head.Type != mqtt.DISCONNECT {
		p.t.Errorf("%v where DISCONNECT was wanted", head.Type)
	}
	if head, _ := p.read(); head.Type != 0 {
		p.t.Errorf("%v behind DISCONNECT", head.Type)
	}
}

func dial(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ptr[T any](v T) *T { return &v }

func TestConnectCarriesTheOptions(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, c *mqtt.Connect) {
		if string(c.ClientID) != "me" || !c.CleanStart || c.KeepAlive != 7 || string(c.Username) != "u" || string(c.Password) != "p" ||
			!c.HasWill || string(c.Will.Topic) != "w" || c.Properties.SessionExpiry != 9 {
			t.Errorf("%+v", c)
		}
		p.accept()
		p.end()
	})
	o := Options{
		URL: url, ClientID: "me", CleanStart: true, KeepAlive: 7e9, Username: "u", Password: []byte("p"),
		Will: &mqtt.Will{Topic: []byte("w")},
	}
	o.Properties.SessionExpiry, o.Properties.Has = 9, o.Properties.Has.With(mqtt.PropSessionExpiry)
	c := dial(t, o)
	if err := c.Disconnect(nil); err != nil {
		t.Error(err)
	}
	if !errors.Is(c.Err(), ErrClosed) {
		t.Errorf("after Disconnect: %v", c.Err())
	}
}

func TestPublishWaitsForItsAnswer(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		url := serve(t, v, func(p *peer, _ *mqtt.Connect) {
			p.accept()
			one := p.publish()
			p.send(ptr(mqtt.NewPuback(one.PacketID, mqtt.Success)))
			two := p.publish()
			if two.PacketID == 0 {
				t.Error("QoS 2 without a packet identifier")
			}
			p.send(ptr(mqtt.NewPubrec(two.PacketID, mqtt.Success)))
			if a := p.ack(mqtt.PUBREL); a.PacketID != two.PacketID {
				t.Errorf("PUBREL for %d", a.PacketID)
			}
			p.send(ptr(mqtt.NewPubcomp(two.PacketID, mqtt.Success)))
			if zero := p.publish(); zero.QoS != 0 || string(zero.Payload) != "x" {
				t.Errorf("%+v", zero)
			}
			p.end()
		})
		c := dial(t, Options{URL: url, Version: v, CleanStart: true})
		for _, qos := range []byte{1, 2, 0} {
			if err := c.Publish(t.Context(), &mqtt.Publish{QoS: qos, Topic: []byte("t"), Payload: []byte("x")}); err != nil {
				t.Errorf("version %s QoS %d: %v", v, qos, err)
			}
		}
		c.Disconnect(nil)
	}
}

func TestRefusalsAreErrors(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, c *mqtt.Connect) {
		if string(c.ClientID) == "bad" {
			p.send(&mqtt.Connack{Code: mqtt.NotAuthorized})
			return
		}
		p.accept()
		one := p.publish()
		p.send(ptr(mqtt.NewPuback(one.PacketID, mqtt.QuotaExceeded)))
		two := p.publish()
		p.send(ptr(mqtt.NewPubrec(two.PacketID, mqtt.NotAuthorized)))
		p.send(&mqtt.Disconnect{Code: mqtt.ServerShuttingDown})
	})
	_, err := Dial(t.Context(), Options{URL: url, ClientID: "bad"})
	if refused := new(Refused); !errors.As(err, &refused) || refused.Connack.Code != mqtt.NotAuthorized {
		t.Errorf("Dial: %v", err)
	}
	c := dial(t, Options{URL: url})
	for qos, want := range map[byte]mqtt.ReasonCode{1: mqtt.QuotaExceeded} {
		err := c.Publish(t.Context(), &mqtt.Publish{QoS: qos, Topic: []byte("t")})
		if failed := new(Failed); !errors.As(err, &failed) || failed.Code != want {
			t.Errorf("QoS %d: %v", qos, err)
		}
	}
	err = c.Publish(t.Context(), &mqtt.Publish{QoS: 2, Topic: []byte("t")})
	if failed := new(Failed); !errors.As(err, &failed) || failed.Code != mqtt.NotAuthorized {
		t.Errorf("QoS 2: %v", err)
	}
	_, err = c.Receive(t.Context())
	if gone := new(Disconnected); !errors.As(err, &gone) || gone.Disconnect.Code != mqtt.ServerShuttingDown {
		t.Errorf("Receive: %v", err)
	}
	if _, err = c.Start(t.Context(), &mqtt.Publish{QoS: 1, Topic: []byte("t")}); err == nil {
		t.Error("published on a dead connection")
	}
}

func TestReceiveMaximumOfTheBroker(t *testing.T) {
	released := make(chan struct{})
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		ok := new(mqtt.Connack)
		ok.Properties.ReceiveMaximum, ok.Properties.Has = 2, ok.Properties.Has.With(mqtt.PropReceiveMaximum)
		p.send(ok)
		first := p.publish()
		p.publish()
		<-released
		p.send(ptr(mqtt.NewPuback(first.PacketID, mqtt.Success)))
		p.publish()
		p.read()
	})
	c := dial(t, Options{URL: url})
	p := &mqtt.Publish{QoS: 1, Topic: []byte("t")}
	for range 2 {
		if _, err := c.Start(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Start(given, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("a third publish: %v", err)
	}
	close(released)
	if _, err := c.Start(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// A QoS 2 message that is sent again on the next connection, because its PUBREL is missing, is taken once; one that the caller
// never saw is taken again.
func TestQoS2OnceAcrossConnections(t *testing.T) {
	seen := &mqtt.Publish{QoS: 2, PacketID: 5, Topic: []byte("seen")}
	unseen := &mqtt.Publish{QoS: 2, PacketID: 6, Topic: []byte("unseen")}
	round, completed := 0, make(chan struct{})
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		round++
		p.send(&mqtt.Connack{SessionPresent: round > 1})
		p.send(seen, unseen)
		if a := p.ack(mqtt.PUBREC); a.PacketID != 5 {
			t.Errorf("PUBREC for %d", a.PacketID)
		}
		if round == 1 {
			return // connection lost
		}
		p.ack(mqtt.PUBREC)
		p.send(ptr(mqtt.NewPubrel(5, mqtt.Success)), ptr(mqtt.NewPubrel(6, mqtt.Success)))
		p.ack(mqtt.PUBCOMP)
		p.ack(mqtt.PUBCOMP)
		close(completed)
		p.end()
	})
	s := NewSession()
	c := dial(t, Options{URL: url, Session: s, ClientID: "c"})
	if p, err := c.Receive(t.Context()); err != nil || string(p.Topic) != "seen" {
		t.Fatalf("%+v %v", p, err)
	}
	<-c.Done()
	c = dial(t, Options{URL: url, Session: s, ClientID: "c"})
	if p, err := c.Receive(t.Context()); err != nil || string(p.Topic) != "unseen" {
		t.Fatalf("%+v %v", p, err)
	}
	<-completed
	c.Disconnect(nil)
}

func TestTopicAliasOfTheBroker(t *testing.T) {
	aliased := func(topic string, alias uint16) *mqtt.Publish {
		p := &mqtt.Publish{Topic: []byte(topic)}
		p.Properties.TopicAlias, p.Properties.Has = alias, p.Properties.Has.With(mqtt.PropTopicAlias)
		return p
	}
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		p.accept()
		p.send(aliased("a", 1), aliased("b", 2), aliased("", 1), aliased("", 2), aliased("c", 3))
		p.read()
	})
	o := Options{URL: url}
	o.Properties.TopicAliasMaximum, o.Properties.Has = 2, o.Properties.Has.With(mqtt.PropTopicAliasMaximum)
	c := dial(t, o)
	for _, want := range []string{"a", "b", "a", "b"} {
		if p, err := c.Receive(t.Context()); err != nil || string(p.Topic) != want {
			t.Fatalf("%+v %v", p, err)
		}
	}
	if p, err := c.Receive(t.Context()); err == nil {
		t.Errorf("an alias above the maximum was taken: %+v", p)
	}
}

func TestSubscribeReturnsTheCodes(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		p.accept()
		for range 2 {
			head, body := p.read()
			var s mqtt.Subscribe
			if err := s.Decode(p.v, head.Flags, body); err != nil {
				t.Error(err)
			}
			p.send(&mqtt.Suback{PacketID: s.PacketID, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS1, mqtt.NotAuthorized}})
		}
		head, body := p.read()
		var u mqtt.Unsubscribe
		if err := u.Decode(p.v, head.Flags, body); err != nil {
			t.Error(err)
		}
		p.send(&mqtt.Unsuback{PacketID: u.PacketID, Codes: []mqtt.ReasonCode{mqtt.NoSubscriptionExisted}})
		p.end()
	})
	c := dial(t, Options{URL: url})
	two := []mqtt.Subscription{{Filter: []byte("a")}, {Filter: []byte("b")}}
	codes, err := c.Subscribe(t.Context(), &mqtt.Subscribe{Subscriptions: two})
	if err != nil || len(codes) != 2 || codes[1] != mqtt.NotAuthorized {
		t.Errorf("%v %v", codes, err)
	}
	if err := c.SubscribeTo(t.Context(), 1, "a", "b"); err == nil {
		t.Error("a refused filter is no error")
	}
	if codes, err := c.Unsubscribe(t.Context(), "a"); err != nil || codes[0] != mqtt.NoSubscriptionExisted {
		t.Errorf("%v %v", codes, err)
	}
	c.Disconnect(nil)
}

// Without an answer to a ping the connection ends by itself.
func TestNoPong(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		p.accept()
		if head, _ := p.read(); head.Type != mqtt.PINGREQ {
			t.Errorf("%s where PINGREQ was wanted", head.Type)
		}
		p.read() // the end
	})
	c := dial(t, Options{URL: url, KeepAlive: 1e9})
	<-c.Done()
	if !errors.Is(c.Err(), errNoPong) {
		t.Error(c.Err())
	}
}

// Answered pings keep the connection.
func TestPongs(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		p.accept()
		for range 2 {
			if head, _ := p.read(); head.Type != mqtt.PINGREQ {
				t.Errorf("%s where PINGREQ was wanted", head.Type)
			}
			p.send(new(mqtt.Pingresp))
		}
		p.send(&mqtt.Disconnect{Code: mqtt.ServerShuttingDown})
	})
	c := dial(t, Options{URL: url, KeepAlive: 1e9})
	<-c.Done()
	if gone := new(Disconnected); !errors.As(c.Err(), &gone) {
		t.Error(c.Err())
	}
}

// A caller that does not receive stops the client from reading, and can still leave.
func TestFullBuffer(t *testing.T) {
	url := serve(t, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
		p.accept()
		for range 5 {
			p.send(&mqtt.Publish{Topic: []byte("t")})
		}
		p.end()
	})
	c := dial(t, Options{URL: url, Buffer: 1})
	if err := c.Disconnect(nil); err != nil {
		t.Error(err)
	}
}

func TestURLs(t *testing.T) {
	for in, want := range map[string]string{
		"host":                        "mqtt tcp host:1883",
		"host:1":                      "mqtt tcp host:1",
		"mqtts://h":                   "mqtts tcp h:8883",
		"ssl://h:2":                   "mqtts tcp h:2",
		"ws://[::1]/x":                "ws tcp [::1]:8083",
		"wss://u:p@h":                 "wss tcp h:8084",
		"unix:///run/s":               "unix unix /run/s",
		"mqtt://":                     "mqtt tcp localhost:1883",
		"http://h":                    "",
		"mqtt://h/path":               "",
		"unix://":                     "",
		"mqtt://a b":                  "",
		"mqtt://host:port:other:more": "",
	} {
		a, err := parseURL(in)
		if got := a.scheme + " " + a.network + " " + a.dial; err == nil && got != want || err != nil && want != "" {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
}
