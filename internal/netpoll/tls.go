package netpoll

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/internal/buffer"
)

// tlsLayer is TLS on a connection. crypto/tls wants a net.Conn whose Read blocks. During the handshake it gets one: the
// handshake runs on a goroutine of its own, to which the loop hands what comes. Afterwards the loop drives it: Read
// returns errWouldBlock when nothing is there, which crypto/tls takes as temporary and forgets. So an idle connection
// has neither a goroutine nor a buffer.
//
// mu is taken before Conn.mu. It is held from encrypting a record until that is written or queued, so that records leave in
// the order of their numbers.
type tlsLayer struct {
	c      *Conn
	active bool // owned by the loop: the handshake is done
	left   bool // owned by the loop: close_notify was sent

	mu     sync.Mutex
	conn   *tls.Conn // guarded by mu once active
	src    []byte    // guarded by mu; what came and was not decrypted
	dst    []byte    // guarded by mu; records on their way out
	shaken *shaking  // guarded by mu; nil once the handshake is over
}

// shaking is what only a handshake needs.
type shaking struct {
	some  sync.Cond // src is not empty, or ended
	ended bool
}

// maxHandshake is how much may wait for the goroutine of a handshake before reading is paused: a client may send its first
// packets right behind its last message of the handshake.
const maxHandshake = 64 << 10

// errWouldBlock is temporary in the sense of net.Error: crypto/tls does not remember it.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "netpoll: would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// startTLS begins the handshake.
func startTLS(c *Conn, cfg *tls.Config) Handler {
	x := &tlsLayer{c: c, shaken: new(shaking)}
	x.shaken.some.L = &x.mu
	x.conn = tls.Server((*tlsSocket)(x), cfg)
	c.extend().tls = x
	go x.handshake() // ends with the handshake, or when the loop releases the connection: see end
	return &handshaking{preliminary{c}}
}

// handshaking hands what comes to the goroutine of the handshake.
type handshaking struct{ preliminary }

func (h *handshaking) Data(_ *Turn, b []byte) (int, error) {
	x := h.c.ext.tls
	x.mu.Lock()
	defer x.mu.Unlock()
	x.src = append(buffer.Grow(x.src, len(b)), b...)
	if len(x.src) > maxHandshake {
		h.c.Pause()
	}
	if x.shaken != nil {
		x.shaken.some.Signal()
	}
	return len(b), nil
}

func (x *tlsLayer) handshake() {
	err := x.conn.HandshakeContext(context.Background())
	x.mu.Lock()
	x.shaken = nil
	x.mu.Unlock()
	x.c.loop.Post(&handshaken{x, err})
}

// handshaken brings the result of a handshake to the loop.
type handshaken struct {
	x   *tlsLayer
	err error
}

func (m *handshaken) Mail(t *Turn) {
	c, l := m.x.c, t.loop
	if c.handler == nil || c.flags.Load()&flagsMute != 0 {
		return
	}
	if m.err != nil {
		l.fail(c, m.err)
		return
	}
	m.x.active = true
	c.Resume()
	l.proceed(c, stepSecured)
	if c.handler == nil {
		l.release(c)
		return
	}
	l.decrypt(c, nil)
}

// decrypt takes bytes from the network, and presents what they contain.
func (l *Loop) decrypt(c *Conn, raw []byte) {
	x := c.ext.tls
	x.mu.Lock()
	if len(x.src) > 0 || c.flags.Load()&flagPaused != 0 {
		x.src = append(buffer.Grow(x.src, len(raw)), raw...) // after what waits
	} else {
		x.src = raw
	}
	x.mu.Unlock()
	for c.handler != nil && c.flags.Load()&(flagsMute|flagPaused) == 0 {
		b, have := l.room(c, 1)
		n, err := x.read(&l.turn, b[have:])
		if n > 0 {
			l.arrived(c, b, have, n)
			continue
		}
		l.unread(c, b, have)
		if err == errWouldBlock {
			break
		}
		if err == io.EOF {
			l.gone(c, err)
		} else {
			l.fail(c, err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case len(x.src) == 0 || c.handler == nil:
		x.src = nil
	case len(raw) > 0 && &x.src[len(x.src)-1] == &raw[len(raw)-1]: // paused: raw is not ours
		x.src = append(buffer.Get(len(x.src)), x.src...)
	}
}

// read decrypts into b what is there.
func (x *tlsLayer) read(t *Turn, b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, err := x.conn.Read(b)
	x.push(t) // an alert, or the answer to a request for new keys
	return n, err
}

// encrypt sends b.
func (x *tlsLayer) encrypt(t *Turn, b []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	// An error means that the connection ended before, which the loop knows or learns by itself.
	_, _ = x.conn.Write(b)
	x.push(t)
}

// notify says that nothing more comes.
func (x *tlsLayer) notify(t *Turn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = x.conn.CloseWrite() // as in encrypt
	x.push(t)
}

// push writes the records in dst. The caller holds mu.
func (x *tlsLayer) push(t *Turn) {
	if len(x.dst) > 0 {
		x.c.push(t, x.dst)
		buffer.Put(x.dst)
		x.dst = nil
	}
}

// flush encrypts and writes what is pending. Segments of other turns stay valid while mu is held: those turns cannot end
// before they took it to flush this connection themselves.
func (x *tlsLayer) flush(t *Turn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.c
	c.mu.Lock()
	o := c.out
	if o == nil || len(o.segs) == 0 {
		c.mu.Unlock()
		return
	}
	var plain []byte
	if len(o.segs) == 1 && c.ext.ws == nil {
		plain = o.segs[0].Bytes()
	} else {
		t.scratch = t.scratch[:0]
		for _, b := range c.pieces(t, o) {
			t.scratch = append(t.scratch, b...)
		}
		plain = t.scratch
	}
	clear(o.segs)
	o.segs = o.segs[:0]
	if o.empty() && c.flags.Load()&flagBusy == 0 {
		t.giveOutput(o)
		c.out = nil
	}
	c.mu.Unlock()
	_, _ = x.conn.Write(plain) // as in encrypt
	x.push(t)
}

// end lets the goroutine of a handshake go. By the loop, when the connection is released.
func (x *tlsLayer) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.shaken != nil {
		x.shaken.ended = true
		x.shaken.some.Signal()
	}
	x.src = nil
}

// tlsSocket is the net.Conn that crypto/tls gets.
type tlsSocket tlsLayer

// Read gives crypto/tls what came. During the handshake it waits for it, and takes mu; afterwards the caller holds mu.
func (s *tlsSocket) Read(b []byte) (int, error) {
	if !s.active {
		s.mu.Lock()
		defer s.mu.Unlock()
		for s.shaken != nil && len(s.src) == 0 && !s.shaken.ended {
			s.c.Resume()
			s.shaken.some.Wait()
		}
		if s.shaken != nil && s.shaken.ended {
			return 0, net.ErrClosed
		}
	}
	if len(s.src) == 0 {
		return 0, errWouldBlock
	}
	n := copy(b, s.src)
	s.src = s.src[n:]
	return n, nil
}

// Write takes records from crypto/tls: written at once during the handshake, else collected for push.
func (s *tlsSocket) Write(b []byte) (int, error) {
	if !s.active {
		s.c.loop.poller.Turn(func(t *Turn) { s.c.push(t, b) })
		return len(b), nil
	}
	s.dst = append(buffer.Grow(s.dst, len(b)), b...)
	return len(b), nil
}

func (s *tlsSocket) Close() error                     { return nil }
func (s *tlsSocket) LocalAddr() net.Addr              { return s.c.LocalAddr() }
func (s *tlsSocket) RemoteAddr() net.Addr             { return s.c.RemoteAddr() }
func (s *tlsSocket) SetDeadline(time.Time) error      { return nil }
func (s *tlsSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *tlsSocket) SetWriteDeadline(time.Time) error { return nil }
