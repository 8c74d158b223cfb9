package client

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/mqtt"
)

// arrived takes a message for Receive. It waits while the buffer is full.
func (c *Client) arrived(p *mqtt.Publish) error {
	if err := c.resolve(p); err != nil {
		return err
	}
	if p.QoS == 2 && c.o.Session.has(p.PacketID) { // sent again, and taken before
		again := mqtt.NewPubrec(p.PacketID, mqtt.Success)
		return c.write(again.Append(nil, c.o.Version))
	}
	select {
	case c.messages <- p:
	case <-c.quit:
	}
	return nil
}

// resolve puts the topic in the place of an alias (3.3.2.3.4).
func (c *Client) resolve(p *mqtt.Publish) error {
	if !p.Properties.Has.Contains(mqtt.PropTopicAlias) {
		return nil
	}
	alias := p.Properties.TopicAlias
	most := uint16(0)
	if c.o.Properties.Has.Contains(mqtt.PropTopicAliasMaximum) {
		most = c.o.Properties.TopicAliasMaximum
	}
	if alias > most {
		return fmt.Errorf("the broker sent topic alias %d, more than the %d it was told", alias, most)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p.Topic) > 0 {
		c.mu.aliases[alias] = p.Topic
		return nil
	}
	topic, ok := c.mu.aliases[alias]
	if !ok {
		return fmt.Errorf("the broker sent topic alias %d without a topic before", alias)
	}
	p.Topic = topic
	return nil
}

// Receive returns the next message, and acknowledges it unless ManualAck is set. After the connection has ended it returns
// what had arrived before, unacknowledged, and then why it ended.
func (c *Client) Receive(ctx context.Context) (*mqtt.Publish, error) {
	var p *mqtt.Publish
	select {
	case p = <-c.messages: // also when the connection is over
	default:
		select {
		case p = <-c.messages:
		case <-c.ended:
			select {
			case p = <-c.messages:
			default:
				return nil, c.Err()
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if !c.o.ManualAck {
		_ = c.Ack(p, mqtt.Success) // if it fails, the next Receive says why
	}
	return p, nil
}

// Ack acknowledges a received message: PUBACK or PUBREC with a code, nothing for QoS 0. The rest of QoS 2 goes on by itself.
func (c *Client) Ack(p *mqtt.Publish, code mqtt.ReasonCode) error {
	var a mqtt.Ack
	switch p.QoS {
	case 1:
		a = mqtt.NewPuback(p.PacketID, code)
	case 2:
		a = mqtt.NewPubrec(p.PacketID, code)
		if !code.IsError() { // an error ends the exchange (4.3.3)
			c.o.Session.add(p.PacketID)
		}
	default:
		return nil
	}
	return c.write(a.Append(nil, c.o.Version))
}
