package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a read waits before the test fails. It is long because
// it only bounds failing tests; a test that must wait says so itself.
const Patience = 15 * time.Second

// Conn is one network connection to a server, used by one goroutine. Every
// method fails the test, with the transcript, when something goes wrong.
type Conn struct {
	tb      testing.TB
	net     net.Conn
	in      *bufio.Reader
	Version byte // how packets are read: V311 or V5
	Limit   int  // more bytes in a packet than this fail the test; 0: no limit
	Name    string

	held   []Packet // came while another packet was expected
	nextID uint16

	mu  sync.Mutex // the log is printed by the test's cleanup
	log []string
}

// New wraps an open connection. It is closed when the test ends.
func New(tb testing.TB, c net.Conn, version byte, name string) *Conn {
	w := &Conn{tb: tb, net: c, in: bufio.NewReader(c), Version: version, Name: name}
	tb.Cleanup(func() {
		c.Close()
		if tb.Failed() {
			tb.Logf("transcript of %s:\n%s", name, w.transcript())
		}
	})
	return w
}

// Net gives the connection below, for tests that leave MQTT.
func (c *Conn) Net() net.Conn { return c.net }

func (c *Conn) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.log) < 400 {
		c.log = append(c.log, fmt.Sprintf(format, args...))
	}
}

func (c *Conn) transcript() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "  " + strings.Join(c.log, "\n  ")
}

func (c *Conn) fatal(format string, args ...any) {
	c.tb.Helper()
	c.tb.Fatalf("%s: %s", c.Name, fmt.Sprintf(format, args...))
}

// Write sends bytes as they are.
func (c *Conn) Write(b ...[]byte) {
	c.tb.Helper()
	if err := c.TryWrite(b...); err != nil {
		c.fatal("write: %v", err)
	}
}

// TryWrite sends bytes to a server that may have closed already.
func (c *Conn) TryWrite(bs ...[]byte) error {
	var all []byte
	for _, b := range bs {
		all = append(all, b...)
	}
	c.note("-> %s %.120x", TypeName(all[0]>>4), all)
	c.net.SetWriteDeadline(time.Now().Add(Patience))
	_, err := c.net.Write(all)
	return err
}

// Take gives the next packet, or io.EOF when the server closed the connection
// (in whichever way), or a timeout when nothing came within d.
func (c *Conn) Take(d time.Duration) (Packet, error) {
	c.tb.Helper()
	if len(c.held) > 0 {
		p := c.held[0]
		c.held = c.held[1:]
		return p, nil
	}
	return c.fresh(d)
}

func (c *Conn) fresh(d time.Duration) (Packet, error) {
	c.tb.Helper()
	if c.in == nil {
		return Packet{}, io.EOF
	}
	c.net.SetReadDeadline(time.Now().Add(d))
	raw, err := c.raw()
	if err != nil {
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			c.note("<- closed (%v)", err)
			err = io.EOF
		}
		return Packet{}, err
	}
	p, err := Parse(c.Version, raw)
	c.note("<- %v", p)
	if c.Limit > 0 && len(raw) > c.Limit {
		c.fatal("a packet of %d bytes came, the limit is %d: %v", len(raw), c.Limit, p)
	}
	if err != nil {
		c.fatal("the server sent a packet that is not valid: %v", err)
	}
	return p, nil
}

// raw reads one packet by its remaining length.
func (c *Conn) raw() ([]byte, error) {
	var head []byte
	n, shift := 0, 0
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return nil, err
		}
		head = append(head, b)
		if len(head) == 1 {
			continue
		}
		n |= int(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			break
		}
		if shift > 21 {
			c.fatal("remaining length of the server's packet has five bytes: %x", head)
		}
	}
	raw := append(head, make([]byte, n)...)
	_, err := io.ReadFull(c.in, raw[len(head):])
	return raw, err
}

// Read gives the next packet.
func (c *Conn) Read() Packet {
	c.tb.Helper()
	p, err := c.Take(Patience)
	if err != nil {
		c.fatal("waiting for a packet: %v", err)
	}
	return p
}

// Expect reads the next packet, which must be of this type.
func (c *Conn) Expect(kind byte) Packet {
	c.tb.Helper()
	p, err := c.Take(Patience)
	if err != nil {
		c.fatal("waiting for %s: %v", TypeName(kind), err)
	}
	if p.Type != kind {
		c.fatal("want %s, got %v", TypeName(kind), p)
	}
	return p
}

// Await reads until a packet of this type comes and keeps the PUBLISH packets
// that came before it for later reads. Any other packet fails the test.
func (c *Conn) Await(kind byte) Packet {
	c.tb.Helper()
	for {
		p, err := c.fresh(Patience)
		if err != nil {
			c.fatal("waiting for %s: %v", TypeName(kind), err)
		}
		if p.Type == kind {
			return p
		}
		if p.Type != PUBLISH {
			c.fatal("want %s, got %v", TypeName(kind), p)
		}
		c.held = append(c.held, p)
	}
}

// Closed reads until the server has closed the connection and gives what came
// before that.
func (c *Conn) Closed() []Packet {
	c.tb.Helper()
	var before []Packet
	for deadline := time.Now().Add(Patience); ; {
		p, err := c.Take(time.Until(deadline))
		if err == io.EOF {
			c.net.Close()
			c.in = nil
			return before
		}
		if err != nil {
			c.fatal("the server did not close the connection; before that it sent %v", before)
		}
		before = append(before, p)
	}
}

// Refused expects that the server ends the connection because of what was
// sent. With 5.0 a DISCONNECT with one of the codes must come just before, and
// nothing else; with 3.1.1 nothing may come.
func (c *Conn) Refused(codes ...byte) {
	c.tb.Helper()
	before := c.Closed()
	if c.Version != V5 {
		if len(before) > 0 {
			c.fatal("want the connection closed without a packet, got %v", before)
		}
		return
	}
	if len(before) != 1 || before[0].Type != DISCONNECT {
		c.fatal("want DISCONNECT with a code of %#02x and then the end, got %v", codes, before)
	}
	c.oneOf(before[0], codes)
}

// Rejected expects that a CONNECT is answered with a CONNACK that has one of
// the codes, session present 0, and the end of the connection.
func (c *Conn) Rejected(codes ...byte) Packet {
	c.tb.Helper()
	before := c.Closed()
	if len(before) != 1 || before[0].Type != CONNACK {
		c.fatal("want CONNACK with a code of %#02x and then the end, got %v", codes, before)
	}
	if before[0].Present != 0 {
		c.fatal("CONNACK with an error has acknowledge flags %#02x", before[0].Present)
	}
	c.oneOf(before[0], codes)
	return before[0]
}

func (c *Conn) oneOf(p Packet, codes []byte) {
	c.tb.Helper()
	for _, code := range codes {
		if p.Code == code {
			return
		}
	}
	c.fatal("want a code of %#02x, got %v", codes, p)
}

// Close ends the connection without a word, as a broken network would.
func (c *Conn) Close() {
	c.note("-> closed")
	c.net.Close()
	c.in, c.held = nil, nil // a test may leave thousands behind
}

// Ping makes a round trip: what the server had sent to this connection before
// it answered is now held for later reads.
func (c *Conn) Ping() {
	c.tb.Helper()
	c.Write(Pingreq())
	c.Await(PINGRESP)
}

// Quiet makes a round trip in which nothing may come but PINGRESP.
func (c *Conn) Quiet() {
	c.tb.Helper()
	c.Write(Pingreq())
	if p := c.Read(); p.Type != PINGRESP {
		c.fatal("want nothing before PINGRESP, got %v", p)
	}
}

// ID gives the next packet identifier of this client.
func (c *Conn) ID() uint16 {
	c.nextID++
	return c.nextID
}

// Answer gives the next packet, or io.EOF when the server closed the connection
// instead. That neither comes fails the test.
func (c *Conn) Answer() (Packet, error) {
	c.tb.Helper()
	p, err := c.Take(Patience)
	if err != nil && err != io.EOF {
		c.fatal("neither an answer nor the end: %v", err)
	}
	return p, err
}
