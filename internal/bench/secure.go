package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// handshakes that run at a time: each has a thread of its own.
const handshakes = 64

// securer does TLS handshakes, which crypto/tls cannot be made to interrupt, on goroutines, and hands the connection to the loop.
type securer struct {
	config *tls.Config
	slots  chan struct{}
	done   chan secured
	plain  []byte // what was decrypted last, shared by all connections
}

type secured struct {
	client uint32
	fd     int32
	codec  *tlsCodec
	err    error
}

func (s *securer) init(e *engine) error {
	t := &e.plan.Target
	s.plain = make([]byte, 64<<10)
	if t.Transport != "tls" && t.Transport != "wss" {
		return nil
	}
	s.slots = make(chan struct{}, handshakes)
	s.done = make(chan secured, t.MaxPending+handshakes)
	host, _, err := net.SplitHostPort(t.Host)
	if err != nil {
		host = t.Host
	}
	s.config = &tls.Config{ServerName: host, InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return err
		}
		s.config.RootCAs = x509.NewCertPool()
		if !s.config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return err
		}
		s.config.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// secure starts the handshake of c, which leaves the poller for that time.
func (s *securer) secure(e *engine, c *client) {
	e.poll.remove(c.fd)
	n, fd, timeout := e.number(c), c.fd, e.plan.Target.Timeout
	wake := e.poll
	go func() { // ends with the handshake, at the latest when its time is over
		s.slots <- struct{}{}
		r := secured{client: n, fd: fd, codec: &tlsCodec{shim: &shim{fd: fd, blocking: true}, plain: &s.plain}}
		setBlocking(fd, true, timeout)
		r.codec.conn = tls.Client(r.codec.shim, s.config)
		r.err = r.codec.conn.HandshakeContext(context.Background())
		setBlocking(fd, false, 0)
		r.codec.shim.blocking = false
		<-s.slots
		s.done <- r
		wake.wake()
	}()
}

// collect takes over the connections whose handshakes ended.
func (s *securer) collect(e *engine) {
	for s.done != nil {
		select {
		case r := <-s.done:
			e.now = e.clock.now()
			c := &e.clients[r.client]
			if r.err != nil {
				e.fail(c, "TLS: "+r.err.Error())
				continue
			}
			c.wait = &wait{codec: r.codec}
			e.poll.add(c.fd, r.client, readable)
			if e.plan.Target.Transport == "wss" {
				e.upgrade(c)
			} else {
				e.sayConnect(c)
			}
		default:
			return
		}
	}
}

// tlsCodec drives a tls.Conn whose other end is a pair of buffers.
type tlsCodec struct {
	conn  *tls.Conn
	shim  *shim
	plain *[]byte
}

func (t *tlsCodec) unwrap(b []byte) (plain, replies []byte, err error) {
	t.shim.in = b
	n := 0
	for {
		if n == len(*t.plain) {
			*t.plain = append(*t.plain, make([]byte, n)...)
		}
		m, err := t.conn.Read((*t.plain)[n:])
		n += m
		if err != nil {
			replies, t.shim.out = t.shim.out, nil
			if errors.Is(err, errWait) {
				err = nil
			}
			return (*t.plain)[:n], replies, err
		}
	}
}

func (t *tlsCodec) wrap(dst, plain []byte) []byte {
	_, _ = t.conn.Write(plain) // into the shim, which takes everything; a broken connection shows when it is read
	dst = append(dst, t.shim.out...)
	t.shim.out = nil
	return dst
}

// errWait is what the shim answers when there is nothing to read now. crypto/tls goes on after an error that calls itself temporary.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "nothing to read yet" }
func (waitError) Timeout() bool   { return false }
func (waitError) Temporary() bool { return true }

// shim is the socket as crypto/tls sees it: blocking during the handshake, two buffers afterwards.
type shim struct {
	fd       int32
	blocking bool
	in, out  []byte
}

func (s *shim) Read(b []byte) (int, error) {
	if s.blocking {
		return blockingRead(s.fd, b)
	}
	if len(s.in) == 0 {
		return 0, errWait
	}
	n := copy(b, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *shim) Write(b []byte) (int, error) {
	if s.blocking {
		return blockingWrite(s.fd, b)
	}
	s.out = append(s.out, b...)
	return len(b), nil
}

// The rest of net.Conn: crypto/tls asks for it and does not depend on it.

func (s *shim) Close() error                     { return nil }
func (s *shim) LocalAddr() net.Addr              { return nil }
func (s *shim) RemoteAddr() net.Addr             { return nil }
func (s *shim) SetDeadline(time.Time) error      { return nil }
func (s *shim) SetReadDeadline(time.Time) error  { return nil }
func (s *shim) SetWriteDeadline(time.Time) error { return nil }
