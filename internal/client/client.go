package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// Client is one connection that a broker has accepted. Make one with Dial.
type Client struct {
	// constant after Dial
	o       Options
	conn    net.Conn
	reader  *bufio.Reader // of the reading goroutine
	connack mqtt.Connack
	keep    time.Duration // 0: no pings
	largest uint32        // bytes of a packet that the broker takes; 0: any

	window   chan struct{}      // a slot for each QoS 1 and 2 publish that the broker lets be unacknowledged
	messages chan *mqtt.Publish // received, not taken yet
	pongs    chan struct{}
	sent     chan struct{} // something was written: the next ping can wait

	quit    chan struct{} // closed by Close and Disconnect: nothing received counts any more
	ended   chan struct{} // closed when the connection is over; err says why
	threads sync.WaitGroup

	// writing guards the order of packets on the connection.
	writing sync.Mutex

	// mu guards what follows.
	mu struct {
		sync.Mutex
		err     error // why the connection is over; nil: it is not
		quitted bool  // quit is closed
		id      uint16
		pending map[uint16]*Token
		aliases map[uint16][]byte // topics that the broker gave numbers
	}
}

func newClient(conn net.Conn, reader *bufio.Reader, o Options) *Client {
	c := &Client{
		o: o, conn: conn, reader: reader,
		messages: make(chan *mqtt.Publish, o.Buffer),
		pongs:    make(chan struct{}, 1),
		sent:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
	}
	c.mu.pending = map[uint16]*Token{}
	c.mu.aliases = map[uint16][]byte{}
	return c
}

// negotiate takes over what CONNACK says.
func (c *Client) negotiate() {
	p := &c.connack.Properties
	window, keep := uint16(65535), uint16(min(c.o.KeepAlive/time.Second, 65535))
	if c.o.Version == mqtt.V5 {
		if p.Has.Contains(mqtt.PropReceiveMaximum) {
			window = p.ReceiveMaximum
		}
		if p.Has.Contains(mqtt.PropServerKeepAlive) { // [MQTT-3.2.2-21]
			keep = p.ServerKeepAlive
		}
		if p.Has.Contains(mqtt.PropMaximumPacketSize) {
			c.largest = p.MaximumPacketSize
		}
	}
	c.window = make(chan struct{}, window)
	c.keep = time.Duration(keep) * time.Second
	if !c.connack.SessionPresent {
		c.o.Session.forget() // [MQTT-3.2.2-5]
	}
}

// start begins to read and to keep alive. Both goroutines end when the connection does; shut waits for them.
func (c *Client) start() {
	c.threads.Add(1)
	go c.read() // ends when the connection is closed
	if c.keep > 0 {
		c.threads.Add(1)
		go c.keepAlive() // ends when ended is closed
	}
}

// Connack returns what the broker answered to CONNECT.
func (c *Client) Connack() *mqtt.Connack { return &c.connack }

// ClientID returns the identifier that counts: the one of Options, or the one that the broker assigned.
func (c *Client) ClientID() string {
	if c.connack.Properties.Has.Contains(mqtt.PropAssignedClientID) {
		return string(c.connack.Properties.AssignedClientID)
	}
	return c.o.ClientID
}

// LocalAddr returns this end of the connection.
func (c *Client) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// Done is closed when the connection is over; Err says why.
func (c *Client) Done() <-chan struct{} { return c.ended }

// Err returns why the connection is over: ErrClosed after Close and Disconnect, a *Disconnected, io.EOF when the broker closed
// without a word, or what the network said. nil while it lasts.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// Close ends the connection without DISCONNECT, so that the broker publishes the will.
func (c *Client) Close() error {
	c.leave()
	c.fail(ErrClosed)
	c.conn.Close()
	c.threads.Wait()
	return nil
}

// Disconnect sends d, or a normal DISCONNECT for nil, waits up to a second for the broker to close the connection, so that nothing
// that was sent is lost with it, and closes it.
func (c *Client) Disconnect(d *mqtt.Disconnect) error {
	if d == nil {
		d = new(mqtt.Disconnect)
	}
	err := c.write(d.Append(nil, c.o.Version))
	c.leave()
	if err == nil {
		if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // the broker closes the connection in any case
		}
		select {
		case <-c.ended:
		case <-time.After(time.Second):
		}
	}
	c.fail(ErrClosed)
	c.conn.Close()
	c.threads.Wait()
	return err
}

// leave makes what is still received not count, so that a full buffer stops nothing.
func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.quitted {
		c.mu.quitted = true
		close(c.quit)
	}
}

// fail ends the connection for everyone who waits. The first reason counts.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return
	}
	if c.mu.quitted {
		err = ErrClosed
	}
	c.mu.err = err
	for id, t := range c.mu.pending {
		delete(c.mu.pending, id)
		t.finish(err)
	}
	close(c.ended)
}

// write sends one packet.
func (c *Client) write(packet []byte) error {
	if c.largest > 0 && uint32(len(packet)) > c.largest { // [MQTT-3.2.2-15]
		return fmt.Errorf("packet of %d bytes: the broker takes %d", len(packet), c.largest)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(c.o.Timeout))
	if c.o.Trace != nil {
		c.o.Trace(true, packet)
	}
	if _, err := c.conn.Write(packet); err != nil {
		return err
	}
	select {
	case c.sent <- struct{}{}:
	default:
	}
	return nil
}

// WriteRaw sends bytes as they are: for tests that send what a client must not.
func (c *Client) WriteRaw(b []byte) error { return c.write(b) }

// read takes packets until the connection ends.
func (c *Client) read() {
	defer c.threads.Done()
	for {
		head, body, err := mqtt.ReadPacket(c.reader, 0)
		if err == nil {
			c.traced(head, body)
			if err = head.Check(c.o.Version); err == nil {
				err = c.packet(head, body)
			}
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = io.EOF
			}
			c.fail(err)
			c.conn.Close()
			return
		}
	}
}

// traced shows a received packet to Options.Trace.
func (c *Client) traced(head mqtt.Header, body []byte) {
	if c.o.Trace == nil {
		return
	}
	packet := []byte{byte(head.Type)<<4 | head.Flags}
	n := head.Remaining
	for more := true; more; {
		b := byte(n & 0x7F)
		n >>= 7
		if more = n > 0; more {
			b |= 0x80
		}
		packet = append(packet, b)
	}
	c.o.Trace(false, append(packet, body...))
}

// packet handles one packet of the broker. An error ends the connection.
func (c *Client) packet(head mqtt.Header, body []byte) error {
	v := c.o.Version
	switch head.Type {
	case mqtt.PUBLISH:
		p := new(mqtt.Publish)
		if err := p.Decode(v, head.Flags, body); err != nil {
			return err
		}
		return c.arrived(p)
	case mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP:
		a := mqtt.Ack{Type: head.Type}
		if err := a.Decode(v, head.Flags, body); err != nil {
			return err
		}
		return c.acknowledged(&a)
	case mqtt.SUBACK:
		s := new(mqtt.Suback)
		if err := s.Decode(v, head.Flags, body); err != nil {
			return err
		}
		return c.answered(s.PacketID, mqtt.SUBSCRIBE, s.Codes, &s.Properties)
	case mqtt.UNSUBACK:
		u := new(mqtt.Unsuback)
		if err := u.Decode(v, head.Flags, body); err != nil {
			return err
		}
		return c.answered(u.PacketID, mqtt.UNSUBSCRIBE, u.Codes, &u.Properties)
	case mqtt.PINGRESP:
		if err := new(mqtt.Pingresp).Decode(v, head.Flags, body); err != nil {
			return err
		}
		select {
		case c.pongs <- struct{}{}:
		default:
		}
		return nil
	case mqtt.DISCONNECT:
		d := new(Disconnected)
		if err := d.Disconnect.Decode(v, head.Flags, body); err != nil {
			return err
		}
		return d
	}
	return fmt.Errorf("the broker sent %s, which only a client may send, or at another time", head.Type)
}

// keepAlive sends a ping when nothing was sent for the keep alive, and gives up without an answer within the same time.
func (c *Client) keepAlive() {
	defer c.threads.Done()
	timer := time.NewTimer(c.keep)
	defer timer.Stop()
	for waits := false; ; {
		select {
		case <-c.ended:
			return
		case <-c.pongs:
			waits = false
			continue
		case <-c.sent:
			if waits {
				continue
			}
		case <-timer.C:
			if waits {
				c.fail(errNoPong)
				c.conn.Close()
				return
			}
			if err := c.write(new(mqtt.Pingreq).Append(nil, c.o.Version)); err != nil {
				c.fail(err)
				c.conn.Close()
				return
			}
			waits = true
		}
		timer.Reset(c.keep)
	}
}
