package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// An address is what a URL says.
type address struct {
	scheme     string // mqtt, mqtts, ws, wss, unix
	network    string // tcp or unix
	dial       string // HOST:PORT or a path
	host       string // for TLS
	url        *url.URL
	user, pass string
	hasPass    bool
}

var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "8083", "wss": "8084"}

// parseURL reads a broker's URL; see Options.URL.
func parseURL(s string) (address, error) {
	if !strings.Contains(s, "://") {
		s = "mqtt://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return address{}, err
	}
	a := address{scheme: u.Scheme, url: u}
	switch u.Scheme {
	case "tcp":
		a.scheme = "mqtt"
	case "ssl", "tls":
		a.scheme = "mqtts"
	case "unix":
		a.network, a.dial = "unix", u.Host+u.Path
		if a.dial == "" {
			return address{}, fmt.Errorf("broker %q: the path of a socket is missing", s)
		}
		return a, nil
	}
	port, ok := ports[a.scheme]
	if !ok {
		return address{}, fmt.Errorf("broker %q: the scheme is none of mqtt, mqtts, ws, wss, unix", s)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	a.host = u.Hostname()
	if a.host == "" {
		a.host = "localhost"
	}
	a.network, a.dial = "tcp", net.JoinHostPort(a.host, port)
	if u.User != nil {
		a.user = u.User.Username()
		a.pass, a.hasPass = u.User.Password()
	}
	if a.scheme == "ws" || a.scheme == "wss" {
		u.User, u.Host = nil, a.dial
		if u.Path == "" {
			u.Path = "/mqtt"
		}
	} else if u.Path != "" && u.Path != "/" {
		return address{}, fmt.Errorf("broker %q: a path has a meaning for ws and wss only", s)
	}
	return a, nil
}

// CheckURL tells what is wrong with a broker's URL, without connecting.
func CheckURL(s string) error {
	_, err := parseURL(s)
	return err
}

// Dial connects, sends CONNECT and waits for a CONNACK that accepts it; a refusal is a *Refused. The context bounds
// this alone, not what the Client does later.
func Dial(ctx context.Context, o Options) (*Client, error) {
	o.complete()
	a, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Username == "" && a.user != "" {
		o.Username = a.user
		if a.hasPass {
			o.Password = []byte(a.pass)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := dialTransport(ctx, a, &o)
	if err != nil {
		return nil, err
	}
	// A context that ends while CONNACK is awaited wakes the read.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	c, err := handshake(conn, o)
	if !stop() && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	c.start()
	return c, nil
}

// dialTransport connects up to where MQTT's bytes begin.
func dialTransport(ctx context.Context, a address, o *Options) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, a.network, a.dial)
	if err != nil {
		return nil, err
	}
	if a.scheme == "mqtts" || a.scheme == "wss" {
		conf := new(tls.Config)
		if o.TLS != nil {
			conf = o.TLS.Clone()
		}
		if conf.ServerName == "" {
			conf.ServerName = a.host
		}
		secure := tls.Client(conn, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS with %s: %w", a.dial, err)
		}
		conn = secure
	}
	if a.scheme == "ws" || a.scheme == "wss" {
		web, err := upgrade(ctx, conn, a.url, o.Header)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("WebSocket with %s: %w", a.url, err)
		}
		conn = web
	}
	return conn, nil
}

// handshake sends CONNECT and reads CONNACK.
func handshake(conn net.Conn, o Options) (*Client, error) {
	c := newClient(conn, bufio.NewReaderSize(conn, 16<<10), o)
	connect := &mqtt.Connect{
		CleanStart: o.CleanStart,
		KeepAlive:  uint16(min(o.KeepAlive/time.Second, 65535)),
		Properties: o.Properties,
		ClientID:   []byte(o.ClientID),
	}
	if o.Will != nil {
		connect.HasWill, connect.Will = true, *o.Will
	}
	if o.Username != "" {
		connect.HasUsername, connect.Username = true, []byte(o.Username)
	}
	if o.Password != nil {
		connect.HasPassword, connect.Password = true, o.Password
	}
	if err := c.write(connect.Append(nil, o.Version)); err != nil {
		return nil, err
	}
	head, body, err := mqtt.ReadPacket(c.reader, 0)
	if err != nil {
		return nil, fmt.Errorf("waiting for CONNACK: %w", err)
	}
	c.traced(head, body)
	if head.Type != mqtt.CONNACK {
		return nil, fmt.Errorf("waiting for CONNACK: the broker sent %s", head.Type)
	}
	if err := c.connack.Decode(o.Version, head.Flags, body); err != nil {
		return nil, fmt.Errorf("CONNACK: %w", err)
	}
	if c.connack.Code.IsError() {
		return nil, &Refused{c.connack}
	}
	c.negotiate()
	return c, nil
}
