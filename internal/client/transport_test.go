package client

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/millrace-mq/millrace/mqtt"
)

// certificate makes one for localhost, signed by itself, and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// webListener makes WebSockets of accepted connections, with the subprotocol protocol.
type webListener struct {
	net.Listener
	t        *testing.T
	protocol string
}

func (l webListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	up := ws.Upgrader{Protocol: func(offered []byte) bool { return string(offered) == l.protocol }}
	if _, err := up.Upgrade(conn); err != nil {
		l.t.Error(err)
	}
	return &webServer{Conn: conn, r: bufio.NewReader(conn)}, nil
}

// webServer is the server's side: each write as a ping and two fragments, each read a frame.
type webServer struct {
	net.Conn
	r    *bufio.Reader
	rest []byte
}

func (s *webServer) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		head, err := ws.ReadHeader(s.r)
		if err != nil {
			return 0, err
		}
		payload := make([]byte, head.Length)
		if _, err := io.ReadFull(s.r, payload); err != nil {
			return 0, err
		}
		if ws.Cipher(payload, head.Mask, 0); head.OpCode == ws.OpBinary {
			s.rest = payload
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *webServer) Write(b []byte) (int, error) {
	half := len(b) / 2
	for _, f := range []ws.Frame{
		ws.NewPingFrame([]byte("hello")),
		ws.NewFrame(ws.OpBinary, false, b[:half]),
		ws.NewPongFrame(nil),
		ws.NewFrame(ws.OpContinuation, true, b[half:]),
	} {
		if err := ws.WriteFrame(s.Conn, f); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestTransports(t *testing.T) {
	cert, pool := certificate(t)
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			if strings.HasSuffix(scheme, "s") && scheme != "ws" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			}
			if strings.HasPrefix(scheme, "ws") {
				l = webListener{l, t, "mqtt"}
			}
			play(t, l, mqtt.V5, func(p *peer, _ *mqtt.Connect) {
				p.accept()
				m := p.publish()
				p.send(&m)
				if head, _ := p.read(); head.Type != mqtt.DISCONNECT {
					t.Errorf("%s where DISCONNECT was wanted", head.Type)
				}
			})
			o := Options{URL: scheme + "://localhost:" + port, TLS: &tls.Config{RootCAs: pool}}
			c := dial(t, o)
			payload := strings.Repeat("x", 100_000)
			if err := c.Publish(t.Context(), &mqtt.Publish{Topic: []byte("t"), Payload: []byte(payload)}); err != nil {
				t.Fatal(err)
			}
			if p, err := c.Receive(t.Context()); err != nil || string(p.Payload) != payload {
				t.Errorf("%v", err)
			}
			if err := c.Disconnect(nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWebSocketNeedsTheSubprotocol(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go webListener{l, t, "other"}.Accept()
	if _, err := Dial(t.Context(), Options{URL: "ws://" + l.Addr().String()}); err == nil {
		t.Error("accepted")
	}
}

func TestUnknownAuthority(t *testing.T) {
	cert, _ := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	_, err = Dial(t.Context(), Options{URL: "mqtts://" + l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}
