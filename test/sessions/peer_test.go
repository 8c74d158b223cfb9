package sessions

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// peer is a client with a session of its own that it keeps over connections, as 4.1 wants: what it has sent and has no answer
// for, and the identifiers of QoS 2 that it has received. A goroutine reads while it is connected.
type peer struct {
	t       *testing.T
	id      string
	expiry  uint32
	will    string // payload of a will to w, "" for none
	version mqtt.Version

	mu       sync.Mutex
	conn     net.Conn
	ended    chan struct{} // closed when the reader of conn is
	err      error         // why a connection that nobody closed has ended
	present  bool          // what CONNACK said last
	nextID   uint16
	sending  map[uint16]*outgoing
	order    []uint16 // of sending
	received map[uint16]bool
	got      []string // "topic payload", each once for QoS 2
	retained map[string]string
	dups     int
	subacks  chan []mqtt.ReasonCode
	acked    *sync.Cond
	mute     bool // it does not acknowledge
}

// outgoing is a message without its last acknowledgement.
type outgoing struct {
	m        mqtt.Publish
	released bool
	done     func()
}

func newPeer(t *testing.T, id string) *peer {
	p := &peer{t: t, id: id, expiry: 3600, version: mqtt.V5, sending: map[uint16]*outgoing{}, received: map[uint16]bool{},
		retained: map[string]string{}, subacks: make(chan []mqtt.ReasonCode, 8)}
	p.acked = sync.NewCond(&p.mu)
	t.Cleanup(p.drop)
	return p
}

// connect begins a connection. Without clean, what was not finished on the last one is sent again (4.4).
func (p *peer) connect(addr string, clean bool) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	c := mqtt.Connect{Version: p.version, CleanStart: clean, ClientID: []byte(p.id)}
	if p.version == mqtt.V5 && p.expiry > 0 {
		c.Properties.SessionExpiry = p.expiry
		c.Properties.Has = c.Properties.Has.With(mqtt.PropSessionExpiry)
	}
	if p.will != "" {
		c.HasWill, c.Will = true, mqtt.Will{Topic: []byte("w"), Payload: []byte(p.will), QoS: 1}
	}
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if _, err := conn.Write(c.Append(nil, p.version)); err != nil {
		conn.Close()
		return err
	}
	h, body, err := mqtt.ReadPacket(r, 1<<28)
	var ack mqtt.Connack
	if err == nil {
		err = ack.Decode(p.version, h.Flags, body)
	}
	if err == nil && ack.Code != mqtt.Success {
		err = fmt.Errorf("CONNACK %v", ack.Code)
	}
	if err != nil {
		conn.Close()
		return err
	}
	conn.SetDeadline(time.Time{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.ended, p.present, p.err = conn, make(chan struct{}), ack.SessionPresent, nil
	if !ack.SessionPresent {
		clear(p.received)
	}
	for _, id := range p.order {
		o := p.sending[id]
		switch {
		case o == nil:
		case o.released:
			p.write(mqtt.AppendAck(nil, p.version, mqtt.PUBREL, id, mqtt.Success))
		default:
			o.m.Dup = true
			p.write(o.m.Append(nil, p.version))
		}
	}
	go p.read(conn, r, p.ended) // ends with the connection
	return nil
}

// mustConnect connects to a node that runs, and expects the session to be there or not.
func (p *peer) mustConnect(addr string, clean, present bool) {
	p.t.Helper()
	if err := p.connect(addr, clean); err != nil {
		p.t.Fatalf("%s: %v", p.id, err)
	}
	if p.present != present {
		p.t.Fatalf("%s: session present %v, want %v", p.id, p.present, present)
	}
}

// drop breaks the connection and waits for the reader.
func (p *peer) drop() {
	p.mu.Lock()
	conn, ended := p.conn, p.ended
	p.conn = nil
	p.mu.Unlock()
	if conn != nil {
		conn.Close()
		<-ended
	}
}

func (p *peer) write(b []byte) {
	if p.conn != nil {
		_, _ = p.conn.Write(b) // an error ends the reader too
	}
}

func (p *peer) read(conn net.Conn, r *bufio.Reader, ended chan struct{}) {
	defer close(ended)
	for {
		h, body, err := mqtt.ReadPacket(r, 1<<28)
		p.mu.Lock()
		if err == nil {
			err = p.packet(h, body)
		}
		if err != nil {
			if p.conn == conn {
				p.conn, p.err = nil, err
			}
			p.acked.Broadcast()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

func (p *peer) packet(h mqtt.Header, body []byte) error {
	switch h.Type {
	case mqtt.PUBLISH:
		return p.publish(h, body)
	case mqtt.SUBACK:
		var a mqtt.Suback
		if err := a.Decode(p.version, h.Flags, body); err != nil {
			return err
		}
		p.subacks <- a.Codes
		return nil
	case mqtt.UNSUBACK:
		p.subacks <- nil
		return nil
	case mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP:
		a := mqtt.Ack{Type: h.Type}
		if err := a.Decode(p.version, h.Flags, body); err != nil {
			return err
		}
		return p.ack(&a)
	}
	return fmt.Errorf("unexpected %v", h.Type)
}

func (p *peer) publish(h mqtt.Header, body []byte) error {
	var m mqtt.Publish
	if err := m.Decode(p.version, h.Flags, body); err != nil {
		return err
	}
	if m.Dup {
		p.dups++
	}
	if m.Retain {
		p.retained[string(m.Topic)] = string(m.Payload)
	}
	text := string(m.Topic) + " " + string(m.Payload)
	if m.QoS == 2 {
		if p.received[m.PacketID] {
			text = ""
		}
		p.received[m.PacketID] = true
	}
	if text != "" && !m.Retain {
		p.got = append(p.got, text)
		p.acked.Broadcast()
	}
	if p.mute {
		return nil
	}
	switch m.QoS {
	case 1:
		p.write(mqtt.AppendAck(nil, p.version, mqtt.PUBACK, m.PacketID, mqtt.Success))
	case 2:
		p.write(mqtt.AppendAck(nil, p.version, mqtt.PUBREC, m.PacketID, mqtt.Success))
	}
	return nil
}

func (p *peer) ack(a *mqtt.Ack) error {
	id := a.PacketID
	o := p.sending[id]
	switch a.Type {
	case mqtt.PUBREL:
		delete(p.received, id)
		p.write(mqtt.AppendAck(nil, p.version, mqtt.PUBCOMP, id, mqtt.Success))
		return nil
	case mqtt.PUBREC:
		if a.Code.IsError() {
			return fmt.Errorf("PUBREC %v", a.Code)
		}
		if o == nil {
			return errors.New("PUBREC for nothing")
		}
		o.released = true
		p.write(mqtt.AppendAck(nil, p.version, mqtt.PUBREL, id, mqtt.Success))
		return nil
	}
	if o == nil || a.Code.IsError() && a.Code != mqtt.PacketIdentifierNotFound {
		return fmt.Errorf("%v for %d: %v, known %v", a.Type, id, a.Code, o != nil)
	}
	delete(p.sending, id)
	if o.done != nil {
		o.done()
	}
	p.acked.Broadcast()
	return nil
}

// send publishes a message, or keeps it for the next connection. done is called, under the peer's lock, when it has its last
// acknowledgement.
func (p *peer) send(topic, payload string, qos byte, retain bool, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := &outgoing{m: mqtt.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, Retain: retain}, done: done}
	if qos > 0 {
		for p.nextID++; p.nextID == 0 || p.sending[p.nextID] != nil; p.nextID++ {
		}
		o.m.PacketID = p.nextID
		p.sending[p.nextID] = o
		p.order = append(p.order, p.nextID)
		if len(p.order) > 4096 {
			p.order = p.order[len(p.order)-2048:]
		}
	}
	p.write(o.m.Append(nil, p.version))
}

// window waits until fewer than n messages are without their acknowledgement; false when the connection is gone.
func (p *peer) window(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.sending) >= n && p.conn != nil {
		p.acked.Wait()
	}
	return p.conn != nil
}

// settle waits until everything is acknowledged.
func (p *peer) settle() {
	p.t.Helper()
	if !p.window(1) {
		p.t.Fatalf("%s: %v", p.id, p.err)
	}
}

func (p *peer) subscribe(filter string, qos byte) {
	p.t.Helper()
	s := mqtt.Subscribe{PacketID: 65535, Subscriptions: []mqtt.Subscription{{Filter: []byte(filter), QoS: qos}}}
	p.mu.Lock()
	p.write(s.Append(nil, p.version))
	p.mu.Unlock()
	p.answer(filter)
}

func (p *peer) unsubscribe(filter string) {
	p.t.Helper()
	s := mqtt.Unsubscribe{PacketID: 65534, Filters: [][]byte{[]byte(filter)}}
	p.mu.Lock()
	p.write(s.Append(nil, p.version))
	p.mu.Unlock()
	p.answer(filter)
}

func (p *peer) answer(what string) {
	p.t.Helper()
	select {
	case codes := <-p.subacks:
		if len(codes) > 0 && codes[0].IsError() {
			p.t.Fatalf("%s: %s: %v", p.id, what, codes[0])
		}
	case <-time.After(patience):
		p.t.Fatalf("%s: no answer to %s", p.id, what)
	}
}

// await waits until a message has come.
func (p *peer) await(text string) {
	p.t.Helper()
	timeout := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = errors.New("timeout")
		p.acked.Broadcast()
	})
	defer timeout.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for seen := 0; ; {
		for ; seen < len(p.got); seen++ {
			if p.got[seen] == text {
				return
			}
		}
		if p.err != nil || p.conn == nil {
			p.t.Fatalf("%s: %q has not come: %v", p.id, text, p.err)
		}
		p.acked.Wait()
	}
}
