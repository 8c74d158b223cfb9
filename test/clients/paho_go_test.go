package clients

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	mqtt3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/millrace-mq/millrace/test/wire"
)

// pahoGo3 is eclipse/paho.mqtt.golang, which speaks 3.1.1, in this process.
type pahoGo3 struct{ transport string }

func (pahoGo3) ready(*testing.T)         {}
func (pahoGo3) speaks(version byte) bool { return version == wire.V311 }

// connect gives a connected client and the connection below it.
func (c pahoGo3) connect(j job, r *receiver) (mqtt3.Client, net.Conn, error) {
	var below atomic.Pointer[net.Conn]
	o := mqtt3.NewClientOptions()
	if c.transport == "ws" {
		o.AddBroker("ws://" + j.node.WS + wire.Path)
	} else {
		o.AddBroker("tcp://" + j.node.TCP)
	}
	o.SetClientID(j.id).SetProtocolVersion(4).SetCleanSession(!j.keep).SetAutoReconnect(false).SetConnectTimeout(patience)
	o.SetCustomOpenConnectionFn(func(uri *url.URL, o mqtt3.ClientOptions) (nc net.Conn, err error) {
		if c.transport == "ws" {
			nc, err = mqtt3.NewWebsocket(uri.String(), nil, patience, nil, &mqtt3.WebsocketOptions{})
		} else {
			nc, err = net.DialTimeout("tcp", uri.Host, patience)
		}
		below.Store(&nc)
		return nc, err
	})
	if w := j.will; w != nil {
		o.SetBinaryWill(w.topic, []byte(w.payload), byte(w.qos), w.retain == 1)
	}
	if r != nil {
		o.SetDefaultPublishHandler(func(_ mqtt3.Client, m mqtt3.Message) {
			r.add(message{topic: m.Topic(), payload: string(m.Payload()), qos: int(m.Qos()), retain: bit(m.Retained())})
		})
	}
	client := mqtt3.NewClient(o)
	token := client.Connect()
	if !token.WaitTimeout(patience) {
		return nil, nil, fmt.Errorf("paho-go: no CONNACK")
	}
	if token.Error() != nil {
		return nil, nil, token.Error()
	}
	if r != nil {
		r.mu.present = fmt.Sprint(bit(token.(*mqtt3.ConnectToken).SessionPresent()))
	}
	return client, *below.Load(), nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c pahoGo3) publish(t *testing.T, j job, all []message) error {
	client, _, err := c.connect(j, nil)
	if err != nil {
		return err
	}
	defer client.Disconnect(250)
	for _, m := range all {
		token := client.Publish(m.topic, byte(m.qos), m.retain == 1, []byte(m.payload))
		if !token.WaitTimeout(patience) {
			return fmt.Errorf("paho-go: %q is not acknowledged", m.payload)
		}
		if token.Error() != nil {
			return token.Error()
		}
	}
	return nil
}

func (c pahoGo3) subscribe(t *testing.T, j job) *receiver {
	t.Helper()
	r := &receiver{name: "paho-go " + c.transport}
	client, below, err := c.connect(j, r)
	if err != nil {
		t.Fatal(err)
	}
	if token := client.Subscribe(j.filter, byte(j.qos), nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("paho-go: SUBSCRIBE: %v", token.Error())
	}
	r.stop = func(kill bool) {
		if kill {
			below.Close()
		} else {
			client.Disconnect(250)
		}
	}
	t.Cleanup(func() { client.Disconnect(0) })
	return r
}

// pahoGo5 is eclipse/paho.golang, which speaks 5.0, in this process.
type pahoGo5 struct{}

func (pahoGo5) ready(*testing.T)         {}
func (pahoGo5) speaks(version byte) bool { return version == wire.V5 }

func (pahoGo5) connect(j job, r *receiver) (*paho.Client, net.Conn, error) {
	nc, err := net.DialTimeout("tcp", j.node.TCP, patience)
	if err != nil {
		return nil, nil, err
	}
	config := paho.ClientConfig{Conn: nc, ClientID: j.id, PacketTimeout: patience}
	if r != nil {
		config.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			m := p.Packet
			r.add(message{topic: m.Topic, payload: string(m.Payload), qos: int(m.QoS), retain: bit(m.Retain)})
			return true, nil
		}}
	}
	client := paho.NewClient(config)
	connect := &paho.Connect{ClientID: j.id, KeepAlive: 30, CleanStart: !j.keep, Properties: &paho.ConnectProperties{RequestProblemInfo: true}}
	if j.keep {
		expiry := uint32(600)
		connect.Properties.SessionExpiryInterval = &expiry
	}
	if w := j.will; w != nil {
		connect.WillMessage = &paho.WillMessage{Topic: w.topic, Payload: []byte(w.payload), QoS: byte(w.qos), Retain: w.retain == 1}
		connect.WillProperties = &paho.WillProperties{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connack, err := client.Connect(ctx, connect)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	if r != nil {
		r.mu.Lock()
		r.mu.present = fmt.Sprint(bit(connack.SessionPresent))
		r.mu.Unlock()
	}
	return client, nc, nil
}

func (c pahoGo5) publish(t *testing.T, j job, all []message) error {
	client, _, err := c.connect(j, nil)
	if err != nil {
		return err
	}
	defer client.Disconnect(&paho.Disconnect{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, m := range all {
		if _, err := client.Publish(ctx, &paho.Publish{Topic: m.topic, QoS: byte(m.qos), Retain: m.retain == 1, Payload: []byte(m.payload)}); err != nil {
			return err
		}
	}
	return nil
}

func (c pahoGo5) subscribe(t *testing.T, j job) *receiver {
	t.Helper()
	r := &receiver{name: "paho-go5"}
	client, below, err := c.connect(j, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: j.filter, QoS: byte(j.qos)}}}); err != nil {
		t.Fatal(err)
	}
	r.stop = func(kill bool) {
		if kill {
			below.Close()
		} else {
			client.Disconnect(&paho.Disconnect{})
		}
	}
	t.Cleanup(func() { below.Close() })
	return r
}
