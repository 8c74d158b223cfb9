package broker

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// rig is a broker on loops of its own, listening on loopback.
type rig struct {
	*Broker
	addr string
}

func newRig(tb testing.TB, change func(*Options)) *rig {
	tb.Helper()
	o := Options{
		Log: slog.New(slog.DiscardHandler), Version: "test", Session: session.DefaultLimits(), MaxConnectSize: 64 << 10,
		MaxTopicLevels: 64, MaxOutboundBuffer: 1 << 20,
	}
	if change != nil {
		change(&o)
	}
	poller, err := netpoll.New(netpoll.Options{Loops: 2, Logger: o.Log})
	if err != nil {
		tb.Fatal(err)
	}
	b := New(o, poller)
	b.Start()
	door := &Listener{Name: "test"}
	ln, err := poller.Listen(netpoll.ListenConfig{
		Network: "tcp", Address: "127.0.0.1:0",
		Open: func(c *netpoll.Conn) netpoll.Handler { return b.Accept(c, door) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			tb.Error("broker:", err)
		}
		if err := poller.Stop(ctx); err != nil {
			tb.Error("poller:", err)
		}
	})
	return &rig{b, ln.Addr().String()}
}

// peer is a client that writes and reads packets.
type peer struct {
	tb  testing.TB
	c   net.Conn
	r   *bufio.Reader
	v   mqtt.Version
	ack mqtt.Connack
}

// open makes a connection and sends nothing.
func (r *rig) open(tb testing.TB, v mqtt.Version) *peer {
	tb.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return &peer{tb: tb, c: c, r: bufio.NewReader(c), v: v}
}

// find gives the client of an identifier.
func (r *rig) find(id string) *client { return r.clients.find(id) }

// dial connects a client. change may be nil.
func (r *rig) dial(tb testing.TB, v mqtt.Version, id string, change func(*mqtt.Connect)) *peer {
	tb.Helper()
	p := r.open(tb, v)
	packet := mqtt.Connect{Version: v, CleanStart: true, ClientID: []byte(id)}
	if change != nil {
		change(&packet)
	}
	p.write(packet.Append(nil, v))
	p.read(mqtt.CONNACK, p.ack.Decode)
	if p.ack.Code != mqtt.Success {
		tb.Fatalf("%s: CONNACK %v", id, p.ack.Code)
	}
	return p
}

func (p *peer) write(b []byte) {
	p.tb.Helper()
	if _, err := p.c.Write(b); err != nil {
		p.tb.Fatal(err)
	}
}

// read takes the next packet, which must be of a type.
func (p *peer) read(want mqtt.Type, decode func(mqtt.Version, byte, []byte) error) {
	p.tb.Helper()
	p.c.SetReadDeadline(time.Now().Add(patience))
	h, body, err := mqtt.ReadPacket(p.r, 1<<28)
	if err != nil {
		p.tb.Fatalf("waiting for %v: %v", want, err)
	}
	if h.Type != want {
		p.tb.Fatalf("got %v, want %v", h.Type, want)
	}
	if err := decode(p.v, h.Flags, body); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *peer) subscribe(filter string, qos byte) {
	p.tb.Helper()
	s := mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: []byte(filter), QoS: qos}}}
	p.write(s.Append(nil, p.v))
	var ack mqtt.Suback
	p.read(mqtt.SUBACK, ack.Decode)
	if ack.Codes[0] != mqtt.ReasonCode(qos) {
		p.tb.Fatalf("subscribe %s: %v", filter, ack.Codes[0])
	}
}

func (p *peer) publish(m mqtt.Publish) {
	p.tb.Helper()
	p.write(m.Append(nil, p.v))
	if m.QoS == 1 {
		ack := mqtt.NewPuback(0, 0)
		p.read(mqtt.PUBACK, ack.Decode)
	}
}

// next takes the next PUBLISH, and acknowledges one of QoS 1.
func (p *peer) next() *mqtt.Publish {
	p.tb.Helper()
	m := new(mqtt.Publish)
	p.read(mqtt.PUBLISH, m.Decode)
	if m.QoS == 1 {
		p.write(mqtt.AppendAck(nil, p.v, mqtt.PUBACK, m.PacketID, mqtt.Success))
	}
	return m
}

// quiet makes sure that nothing is on its way: the next packet answers a ping.
func (p *peer) quiet() {
	p.tb.Helper()
	p.write((*mqtt.Pingreq)(nil).Append(nil, p.v))
	p.read(mqtt.PINGRESP, (&mqtt.Pingresp{}).Decode)
}

// closed waits for the broker to close the connection, and gives the last packet before.
func (p *peer) closed() (last mqtt.Header, body []byte) {
	p.tb.Helper()
	p.c.SetReadDeadline(time.Now().Add(patience))
	for {
		h, b, err := mqtt.ReadPacket(p.r, 1<<28)
		if err == nil {
			last, body = h, b
			continue
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			p.tb.Fatal("the connection stays open")
		}
		if err != io.EOF {
			p.tb.Logf("closed with %v", err)
		}
		return last, body
	}
}
