package client

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/mqtt"
)

// Subscribe sends s, with a packet identifier filled in, and returns the broker's code for each filter. Codes of 0x80 and more are no
// error of Subscribe.
func (c *Client) Subscribe(ctx context.Context, s *mqtt.Subscribe) ([]mqtt.ReasonCode, error) {
	t, err := c.request(ctx, mqtt.SUBSCRIBE, func(id uint16) []byte {
		s.PacketID = id
		return s.Append(nil, c.o.Version)
	})
	if err != nil {
		return nil, err
	}
	if len(t.codes) != len(s.Subscriptions) {
		return t.codes, fmt.Errorf("SUBACK has %d codes for %d filters", len(t.codes), len(s.Subscriptions))
	}
	return t.codes, nil
}

// SubscribeTo subscribes to filters with one QoS, and takes a refusal for an error.
func (c *Client) SubscribeTo(ctx context.Context, qos byte, filters ...string) error {
	s := new(mqtt.Subscribe)
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{Filter: []byte(f), QoS: qos})
	}
	codes, err := c.Subscribe(ctx, s)
	if err != nil {
		return err
	}
	for i, code := range codes {
		if code.IsError() {
			return fmt.Errorf("subscribe to %q refused: %s (0x%02X)", filters[i], code, byte(code))
		}
	}
	return nil
}

// Unsubscribe ends subscriptions and returns the broker's code for each filter; 3.1.1 has none.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) ([]mqtt.ReasonCode, error) {
	u := new(mqtt.Unsubscribe)
	for _, f := range filters {
		u.Filters = append(u.Filters, []byte(f))
	}
	t, err := c.request(ctx, mqtt.UNSUBSCRIBE, func(id uint16) []byte {
		u.PacketID = id
		return u.Append(nil, c.o.Version)
	})
	if err != nil {
		return nil, err
	}
	return t.codes, nil
}

// request sends a packet that has an answer and waits for it.
func (c *Client) request(ctx context.Context, kind mqtt.Type, packet func(id uint16) []byte) (*Token, error) {
	t := &Token{kind: kind, done: make(chan struct{})}
	if err := c.register(t); err != nil {
		return nil, err
	}
	if err := c.write(packet(t.id)); err != nil {
		c.take(t.id, kind)
		return nil, err
	}
	return t, t.Wait(ctx)
}

// answered takes SUBACK and UNSUBACK.
func (c *Client) answered(id uint16, kind mqtt.Type, codes []mqtt.ReasonCode, props *mqtt.Properties) error {
	t := c.take(id, kind)
	if t == nil {
		return fmt.Errorf("the broker answered a %s with packet identifier %d, which was not sent", kind, id)
	}
	t.codes, t.props = codes, props
	t.finish(nil)
	return nil
}
