package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/mqtt"
)

// Token is a request that waits for its answer.
type Token struct {
	// constant
	id   uint16
	kind mqtt.Type // PUBLISH, SUBSCRIBE or UNSUBSCRIBE
	qos  byte
	done chan struct{}

	// of the reading goroutine until done is closed
	released bool // QoS 2: PUBREL was sent
	codes    []mqtt.ReasonCode
	props    *mqtt.Properties
	err      error
}

func (t *Token) finish(err error) {
	t.err = err
	close(t.done)
}

// Done is closed when the answer is there or cannot come any more.
func (t *Token) Done() <-chan struct{} { return t.done }

// Wait returns how it ended: nil, a *Failed, or why the connection is over.
func (t *Token) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Code returns the reason code of PUBACK, or of PUBREC or PUBCOMP, after Wait. Success for QoS 0.
func (t *Token) Code() mqtt.ReasonCode {
	if len(t.codes) == 0 {
		return mqtt.Success
	}
	return t.codes[0]
}

// Properties returns those of the answer after Wait; nil when there is none.
func (t *Token) Properties() *mqtt.Properties { return t.props }

// register finds a free packet identifier for a request.
func (c *Client) register(t *Token) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return c.mu.err
	}
	for range 65535 {
		c.mu.id++
		if c.mu.id == 0 { // [MQTT-2.2.1-3]
			c.mu.id = 1
		}
		if c.mu.pending[c.mu.id] == nil {
			t.id = c.mu.id
			c.mu.pending[t.id] = t
			return nil
		}
	}
	return errors.New("no packet identifier is free")
}

// take returns the pending request of an identifier and forgets it.
func (c *Client) take(id uint16, kind mqtt.Type) *Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.pending[id]
	if t == nil || t.kind != kind {
		return nil
	}
	delete(c.mu.pending, id)
	return t
}

// Start sends a publish without waiting for its answer, but for room in the broker's Receive Maximum. The packet
// identifier is filled in. The bytes are not kept.
func (c *Client) Start(ctx context.Context, p *mqtt.Publish) (*Token, error) {
	t := &Token{kind: mqtt.PUBLISH, qos: p.QoS, done: make(chan struct{})}
	if p.QoS == 0 {
		if err := c.Err(); err != nil {
			return nil, err
		}
		err := c.write(p.Append(nil, c.o.Version))
		t.finish(err)
		return t, err
	}
	select {
	case c.window <- struct{}{}: // [MQTT-3.3.4-7]
	case <-c.ended:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := c.register(t); err != nil {
		<-c.window
		return nil, err
	}
	p.PacketID = t.id
	if err := c.write(p.Append(nil, c.o.Version)); err != nil {
		if c.take(t.id, mqtt.PUBLISH) != nil {
			<-c.window
		}
		return nil, err
	}
	return t, nil
}

// Publish sends a publish and waits until the broker has taken it: PUBACK for QoS 1, PUBCOMP for QoS 2, written to the network for
// QoS 0. A reason code of 0x80 or more is a *Failed.
func (c *Client) Publish(ctx context.Context, p *mqtt.Publish) error {
	t, err := c.Start(ctx, p)
	if err != nil {
		return err
	}
	return t.Wait(ctx)
}

// acknowledged takes the four acknowledgements.
func (c *Client) acknowledged(a *mqtt.Ack) error {
	if a.Type == mqtt.PUBREL {
		c.o.Session.remove(a.PacketID)
		done := mqtt.NewPubcomp(a.PacketID, mqtt.Success)
		return c.write(done.Append(nil, c.o.Version))
	}
	c.mu.Lock()
	t := c.mu.pending[a.PacketID]
	c.mu.Unlock()
	fits := t != nil && t.kind == mqtt.PUBLISH &&
		(a.Type == mqtt.PUBACK && t.qos == 1 || a.Type == mqtt.PUBREC && t.qos == 2 || a.Type == mqtt.PUBCOMP && t.qos == 2 && t.released)
	if !fits {
		return fmt.Errorf("the broker sent %s for packet identifier %d, which waits for none", a.Type, a.PacketID)
	}
	if a.Type == mqtt.PUBREC && !a.Code.IsError() {
		t.released = true
		t.codes = []mqtt.ReasonCode{a.Code}
		next := mqtt.NewPubrel(a.PacketID, mqtt.Success)
		return c.write(next.Append(nil, c.o.Version)) // [MQTT-4.3.3-4]
	}
	if c.take(a.PacketID, mqtt.PUBLISH) == nil {
		return nil // given up meanwhile
	}
	if a.Type != mqtt.PUBCOMP || a.Code.IsError() {
		t.codes = []mqtt.ReasonCode{a.Code}
	}
	t.props = &a.Properties
	<-c.window
	if a.Code.IsError() {
		t.finish(&Failed{a.Code, a.Properties})
	} else {
		t.finish(nil)
	}
	return nil
}
