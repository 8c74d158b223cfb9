package listener_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/listener"
	"github.com/millrace-mq/millrace/internal/netpoll"
)

// greeter says hello to whoever says something, with the name of the listener.
type greeter struct {
	c *netpoll.Conn
	l *listener.Listener
}

func (g *greeter) Data(t *netpoll.Turn, b []byte) (int, error) {
	g.c.Send(t, t.End(append(t.Begin(100), g.l.Name()...)))
	return len(b), nil
}
func (*greeter) Drained(*netpoll.Turn)       {}
func (g *greeter) Alarm(*netpoll.Turn)       { g.c.Abort() }
func (*greeter) Closed(*netpoll.Turn, error) {}

func greeting(c *netpoll.Conn, l *listener.Listener) netpoll.Handler { return &greeter{c, l} }

func open(t *testing.T, limits listener.Limits, options ...listener.Options) *listener.Set {
	t.Helper()
	p, err := netpoll.New(netpoll.Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background()) })
	s, err := listener.Open(p, options, limits, greeting, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// greet says something and returns the answer.
func greet(conn net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return "", err
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

// authority makes certificates and writes them to files.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.file, _ = a.issue(name)
	return a
}

// issue makes a certificate: the first one is that of the authority.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{name},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		a.cert, _ = x509.ParseCertificate(der)
		a.key = key
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestReloadReplacesTheCertificateOrKeepsIt(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.issue("localhost")
	s := open(t, listener.Limits{}, listener.Options{Type: listener.MQTTS, Address: "127.0.0.1:0", TLS: &listener.TLS{CertFile: cert, KeyFile: key}})
	serial := func() string {
		conn, err := tls.Dial("tcp", s.Listeners()[0].Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	ca.issue("localhost") // into the same files
	if got := serial(); got != first {
		t.Error("the certificate was replaced without a reload")
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	second := serial()
	if second == first {
		t.Error("the reload did not replace the certificate")
	}
	if err := os.WriteFile(key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "mqtts") {
		t.Errorf("a reload of a broken key says %v", err)
	}
	if got := serial(); got != second {
		t.Error("a failed reload did not keep the certificate")
	}
}

func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	cert, key := ca.issue("localhost")
	for _, c := range []struct {
		name     string
		optional bool
		from     *authority
		welcome  bool
	}{
		{"required and good", false, ca, true},
		{"required and missing", false, nil, false},
		{"required and foreign", false, other, false},
		{"optional and missing", true, nil, true},
		{"optional and foreign", true, other, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, listener.Limits{}, listener.Options{Name: "secure", Type: listener.MQTTS, Address: "127.0.0.1:0", TLS: &listener.TLS{
				CertFile: cert, KeyFile: key, ClientCAFile: ca.file, ClientOptional: c.optional, MinVersion: "1.3"}})
			cfg := &tls.Config{InsecureSkipVerify: true}
			if c.from != nil {
				pair, err := tls.LoadX509KeyPair(c.from.issue("client"))
				if err != nil {
					t.Fatal(err)
				}
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			conn, err := tls.Dial("tcp", s.Listeners()[0].Addr().String(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := greet(conn, nil); (got == "secure") != c.welcome {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	cert, key := newAuthority(t, "ca").issue("localhost")
	s := open(t, listener.Limits{}, listener.Options{Type: listener.MQTTS, Address: "127.0.0.1:0", TLS: &listener.TLS{CertFile: cert, KeyFile: key, MinVersion: "1.3"}})
	conn, err := tls.Dial("tcp", s.Listeners()[0].Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted by a listener that wants 1.3")
	}
}

func TestLimitsOfConnections(t *testing.T) {
	s := open(t, listener.Limits{MaxConnections: 3},
		listener.Options{Name: "a", Type: listener.MQTT, Address: "127.0.0.1:0", MaxConnections: 2},
		listener.Options{Name: "b", Type: listener.MQTT, Address: "127.0.0.1:0"})
	addr := func(i int) string { return s.Listeners()[i].Addr().String() }
	stay := func(i int) bool {
		conn, err := net.Dial("tcp", addr(i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.Write([]byte("x"))
		_, err = io.ReadFull(conn, make([]byte, 1))
		return err == nil
	}
	for i, want := range []bool{true, true, false} {
		if stay(0) != want {
			t.Errorf("connection %d of the listener with a limit of 2: welcome is %v", i, !want)
		}
	}
	for i, want := range []bool{true, false} {
		if stay(1) != want {
			t.Errorf("connection %d to the other listener, total limit 3: welcome is %v", i, !want)
		}
	}
	if a, b := s.Listeners()[0].Refused(), s.Listeners()[1].Refused(); a != 1 || b != 1 {
		t.Errorf("refused %d and %d, want 1 and 1", a, b)
	}
}

func TestAcceptRateDelaysButServesAll(t *testing.T) {
	s := open(t, listener.Limits{AcceptRate: 100, AcceptBurst: 5}, listener.Options{Type: listener.MQTT, Address: "127.0.0.1:0"})
	start := time.Now()
	for range 25 {
		if got, err := greet(net.Dial("tcp", s.Listeners()[0].Addr().String())); got != "mqtt" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	// 20 beyond the burst at 100 per second: a lower bound of time, which a slow machine cannot break.
	if d := time.Since(start); d < 180*time.Millisecond {
		t.Errorf("25 connections took %v", d)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close() // leaves the file, as a killed server does
	s := open(t, listener.Limits{}, listener.Options{Type: listener.Unix, Address: path, UnixMode: 0o600})
	if got, err := greet(net.Dial("unix", path)); got != "unix" {
		t.Errorf("got %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permission %v, %v", info.Mode(), err)
	}
	p, err := netpoll.New(netpoll.Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(context.Background())
	if _, err := listener.Open(p, []listener.Options{{Type: listener.Unix, Address: path}}, listener.Limits{}, greeting, nil); err == nil {
		t.Error("the socket of a living server was taken away")
	}
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
}

func TestOpenAllOrNone(t *testing.T) {
	p, err := netpoll.New(netpoll.Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(context.Background())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, bad := range map[string]listener.Options{
		"address taken":   {Type: listener.MQTT, Address: taken.Addr().String(), Name: "x"},
		"no certificate":  {Type: listener.WSS, Address: "127.0.0.1:0", Name: "x"},
		"unknown type":    {Type: "mqtt5", Address: "127.0.0.1:0", Name: "x"},
		"same name":       {Type: listener.MQTT, Address: "127.0.0.1:0", Name: "good"},
		"path on mqtt":    {Type: listener.MQTT, Address: "127.0.0.1:0", Path: "/x", Name: "x"},
		"missing files":   {Type: listener.MQTTS, Address: "127.0.0.1:0", TLS: &listener.TLS{CertFile: "/nowhere"}, Name: "x"},
		"no port":         {Type: listener.MQTT, Address: "127.0.0.1", Name: "x"},
		"address missing": {Type: listener.MQTT, Name: "x"},
	} {
		var addr string
		var got error
		for range 10 {
			addr = freeAddress(t) // which another process may take before it is listened on
			_, got = listener.Open(p, []listener.Options{{Name: "good", Type: listener.MQTT, Address: addr}, bad}, listener.Limits{}, greeting, nil)
			if !errors.Is(got, syscall.EADDRINUSE) || !strings.Contains(got.Error(), "listener good:") {
				break
			}
		}
		if got == nil || !strings.Contains(got.Error(), bad.Name) {
			t.Errorf("%s: error %v", name, got)
		}
		waitClosed(t, addr)
	}
}

// freeAddress is an address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitClosed waits until nobody listens on addr.
func waitClosed(t *testing.T, addr string) {
	t.Helper()
	for range 2000 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the listener that was opened before stays open")
}
