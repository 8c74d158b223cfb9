package netpoll_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// certificate is self-signed, for localhost.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func tlsDial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := tls.Dial(addr.Network(), addr.String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// wsClient is a WebSocket client as a net.Conn: what is written becomes masked frames.
type wsClient struct {
	net.Conn
	in     *bufio.Reader
	rest   int    // of the present frame
	status uint16 // from a close frame
	mask   uint32
}

func wsDial(dial func(*testing.T, net.Addr) net.Conn) func(*testing.T, net.Addr) net.Conn {
	return func(t *testing.T, addr net.Addr) net.Conn {
		t.Helper()
		w, status := upgradeConn(t, dial(t, addr), "/mqtt", "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n")
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("upgrade: status %d", status)
		}
		return w
	}
}

// upgradeConn asks for a WebSocket.
func upgradeConn(t *testing.T, conn net.Conn, path, more string) (*wsClient, int) {
	t.Helper()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", path, more)
	w := &wsClient{Conn: conn, in: bufio.NewReader(conn), mask: 0x01020304}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
			t.Errorf("Sec-WebSocket-Accept: %s", got)
		}
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" {
			t.Errorf("Sec-WebSocket-Protocol: %s", got)
		}
	}
	return w, resp.StatusCode
}

// frame makes a masked frame.
func (w *wsClient) frame(first byte, payload []byte) []byte {
	w.mask = w.mask*1664525 + 1013904223
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 128|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 128|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 128|127), uint64(n))
	}
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], w.mask)
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// Write sends b as a message of three frames, with a ping between them.
func (w *wsClient) Write(b []byte) (int, error) {
	one, two := len(b)/3, len(b)*2/3
	out := w.frame(2, b[:one])
	out = append(out, w.frame(0x80|9, []byte("ping"))...)
	out = append(out, w.frame(0, b[one:two])...)
	out = append(out, w.frame(0x80, b[two:])...)
	if _, err := w.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (w *wsClient) Read(b []byte) (int, error) {
	for w.rest == 0 {
		op, n, err := w.head()
		if err != nil {
			return 0, err
		}
		switch op {
		case 2:
			w.rest = n
		case 8:
			payload := make([]byte, n)
			if _, err := io.ReadFull(w.in, payload); err != nil {
				return 0, err
			}
			w.status = binary.BigEndian.Uint16(payload)
			return 0, io.EOF
		default:
			if _, err := w.in.Discard(n); err != nil {
				return 0, err
			}
		}
	}
	n, err := w.in.Read(b[:min(len(b), w.rest)])
	w.rest -= n
	return n, err
}

// head reads the head of a frame.
func (w *wsClient) head() (op byte, n int, err error) {
	var b [8]byte
	if _, err := io.ReadFull(w.in, b[:2]); err != nil {
		return 0, 0, err
	}
	if b[0]&0x80 == 0 || b[1]&0x80 != 0 {
		return 0, 0, fmt.Errorf("the server sent a fragmented or masked frame: % x", b[:2])
	}
	op, n = b[0]&15, int(b[1])
	switch n {
	case 126:
		_, err = io.ReadFull(w.in, b[:2])
		n = int(binary.BigEndian.Uint16(b[:]))
	case 127:
		_, err = io.ReadFull(w.in, b[:8])
		n = int(binary.BigEndian.Uint64(b[:]))
	}
	return op, n, err
}

// tlsOver speaks TLS over a connection.
func tlsOver(conn net.Conn) net.Conn {
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
}
