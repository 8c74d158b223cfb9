//go:build linux

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// certificate makes one for 127.0.0.1 that signs itself, and the file that a client needs to trust it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// serveTransport accepts connections and takes them through to the floor.
func serveTransport(t *testing.T, l net.Listener, floor string, socket bool) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				s, err := net.Dial("tcp", floor)
				if err != nil {
					return
				}
				defer s.Close()
				if socket {
					throughWebSocket(c, s)
					return
				}
				go io.Copy(s, c) // ends with the connection
				_, _ = io.Copy(c, s)
			}()
		}
	}()
}

// throughWebSocket sends every chunk of the broker as two frames, with a ping between them, to test the reader.
func throughWebSocket(c, s net.Conn) {
	u := ws.Upgrader{Protocol: func(p []byte) bool { return string(p) == "mqtt" }}
	if h, err := u.Upgrade(c); err != nil || h.Protocol != "mqtt" {
		return
	}
	go func() { // ends with the connection
		defer s.Close()
		for {
			b, _, err := wsutil.ReadClientData(c)
			if err != nil {
				return
			}
			_, _ = s.Write(b)
		}
	}()
	b := make([]byte, 70_000)
	for {
		n, err := s.Read(b)
		if err != nil {
			return
		}
		for _, part := range [][]byte{b[:n/3], b[n/3 : n]} {
			if wsutil.WriteServerBinary(c, part) != nil || ws.WriteFrame(c, ws.NewPingFrame([]byte("x"))) != nil {
				return
			}
		}
	}
}

func TestTransports(t *testing.T) {
	pair, ca := certificate(t)
	floor, _ := startFloor(t)
	for _, scheme := range []string{"tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if scheme != "ws" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
			}
			serveTransport(t, l, floor, scheme != "tls")
			for _, payload := range []int{16, 1000, 100_000} {
				s := Scenario{Kind: KindFlow, Publishers: 5, Subscribers: 20, Messages: 40, Window: 8, QoS: 1, Payload: payload}
				r := mustRun(t, scheme+"://"+l.Addr().String(), s, func(o *Options) { o.Target.CA = ca })
				wantClean(t, r)
			}
		})
	}
	t.Run("not trusted", func(t *testing.T) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			t.Fatal(err)
		}
		serveTransport(t, l, floor, false)
		r := mustRun(t, "tls://"+l.Addr().String(), Scenario{Kind: KindIdle, Clients: 3})
		if r.Stages[0].Counts.Failed != 3 || r.Stages[0].Counts.Opened != 0 {
			t.Errorf("counts %+v, errors %v", r.Stages[0].Counts, r.Errors)
		}
	})
}
