package hostile

import (
	"testing"

	"github.com/millrace-mq/millrace/test/wire"
)

// sample is one good value of each property.
var sample = map[byte]wire.Prop{}

func init() {
	for id := byte(1); id <= wire.SharedAvailable; id++ {
		switch id {
		case wire.ContentType, wire.ResponseTopic, wire.CorrelationData, wire.AssignedClientID, wire.AuthMethod, wire.AuthData,
			wire.ResponseInfo, wire.ServerReference, wire.ReasonString:
			sample[id] = wire.Text(id, "x")
		case wire.PayloadFormat, wire.MessageExpiry, wire.SubscriptionID, wire.SessionExpiry, wire.ServerKeepAlive, wire.RequestProblemInfo,
			wire.WillDelay, wire.RequestResponseInfo, wire.ReceiveMaximum, wire.TopicAliasMaximum, wire.TopicAlias, wire.MaximumQoS,
			wire.RetainAvailable, wire.MaximumPacketSize, wire.WildcardAvailable, wire.SubscriptionIDsAvail, wire.SharedAvailable:
			sample[id] = wire.Num(id, 1)
		}
	}
}

// allowed is table 2-4 of 5.0 for what a client sends; user properties go
// everywhere.
var allowed = map[string]string{
	"CONNECT":     "\x11\x15\x16\x17\x19\x21\x22\x27",
	"will":        "\x01\x02\x03\x08\x09\x18",
	"PUBLISH":     "\x01\x02\x03\x08\x09\x23",
	"SUBSCRIBE":   "\x0b",
	"UNSUBSCRIBE": "",
	"PUBACK":      "\x1f",
	"PUBREC":      "\x1f",
	"PUBREL":      "\x1f",
	"PUBCOMP":     "\x1f",
	"DISCONNECT":  "\x11\x1c\x1f", // the server reference is of no use from a client, but not forbidden
	"AUTH":        "\x15\x16\x1f",
}

// with makes a packet with these properties.
func with(h *hub, kind string, props ...wire.Prop) []byte {
	switch kind {
	case "CONNECT":
		return wire.Connect{Version: wire.V5, ClientID: h.id("x"), Clean: true, Props: props}.Bytes()
	case "will":
		return wire.Connect{Version: wire.V5, ClientID: h.id("x"), Clean: true, Will: &wire.Will{Topic: "w", Props: props}}.Bytes()
	case "PUBLISH":
		return wire.Publish{Topic: h.topic("a"), QoS: 1, ID: 1, Props: props}.Bytes(wire.V5)
	case "SUBSCRIBE":
		return wire.Subscribe(wire.V5, 1, []wire.Sub{{Filter: "a"}}, props...)
	case "UNSUBSCRIBE":
		return wire.Unsubscribe(wire.V5, 1, []string{"a"}, props...)
	case "DISCONNECT":
		return wire.Disconnect(wire.V5, 4, props...)
	case "AUTH":
		return wire.Auth(0x19, props...)
	}
	for t := byte(wire.PUBACK); t <= wire.PUBCOMP; t++ {
		if wire.TypeName(t) == kind {
			return wire.AckCode(t, 1, 0, props...)
		}
	}
	panic(kind)
}

// refusedWith sends a packet that must end the connection.
func (h *hub) refusedWith(kind string, packet []byte) {
	h.Helper()
	if kind == "CONNECT" || kind == "will" {
		c := h.dial(wire.V5, kind)
		c.Write(packet)
		for _, p := range ends(c) {
			if p.Type != wire.CONNACK || p.Code < 0x80 {
				h.Errorf("%s was answered with %v", kind, p)
			}
		}
		return
	}
	c := h.join(wire.V5, kind)
	c.Write(packet)
	c.Refused(0x81, 0x82)
}

func TestRow18Properties(t *testing.T) {
	on(t, func(h *hub) {
		for kind, ids := range allowed {
			fits := map[byte]bool{}
			for _, id := range []byte(ids) {
				fits[id] = true
			}
			for id, prop := range sample {
				if !fits[id] { // of another packet
					h.refusedWith(kind, with(h, kind, prop))
				} else if kind != "SUBSCRIBE" || id != wire.SubscriptionID { // twice
					h.refusedWith(kind, with(h, kind, prop, prop))
				}
			}
			for _, id := range []byte{0x00, 0x04, 0x7f} { // of none
				good := with(h, kind, wire.Num(wire.PayloadFormat, 1))
				for i, b := range good {
					if b == wire.PayloadFormat && i > 0 && good[i-1] == 2 && i+1 < len(good) && good[i+1] == 1 {
						good[i] = id
						h.refusedWith(kind, good)
						break
					}
				}
			}
		}
		h.refusedWith("SUBSCRIBE", with(h, "SUBSCRIBE", sample[wire.SubscriptionID], sample[wire.SubscriptionID]))
		h.refusedWith("PUBLISH", with(h, "PUBLISH", sample[wire.SubscriptionID]))
	})
}

// A will property that is not valid, after valid ones that had to be kept.
func TestRow15WillProperties(t *testing.T) {
	on(t, func(h *hub) {
		bad := [][]wire.Prop{
			{wire.User("k", "v"), wire.Text(wire.ContentType, "x"), wire.Num(wire.TopicAlias, 1)},
			{wire.Text(wire.CorrelationData, "x"), wire.Num(wire.PayloadFormat, 2)},
			{wire.Text(wire.ResponseTopic, "a/#")},
			{wire.Text(wire.ContentType, "\xff")},
			{wire.Num(wire.WillDelay, 1), wire.Num(wire.WillDelay, 1)},
			{wire.User("k", "v"), wire.Num(wire.SessionExpiry, 1)},
		}
		h.settles(4*mib, func() {
			for range 300 {
				for _, props := range bad {
					h.refusedWith("will", with(h, "will", props...))
				}
			}
		})
	})
}

// Many CONNECT packets with all that 5.0 can put into one, accepted and
// refused, leave nothing behind.
func TestRow14ConnectLeavesNothing(t *testing.T) {
	on(t, func(h *hub) {
		user, password := "user", "password"
		big := make([]byte, 4000)
		for i := range big {
			big[i] = 'x'
		}
		h.settles(4*mib, func() {
			for i := range 1500 {
				connect := wire.Connect{Version: wire.V5, ClientID: h.id("c"), Clean: true, Username: &user, Password: &password,
					Will:  &wire.Will{Topic: h.topic("w"), Payload: string(big), Props: []wire.Prop{wire.User("k", string(big)), wire.Num(wire.WillDelay, 0)}},
					Props: []wire.Prop{wire.User("k", string(big)), wire.Num(wire.TopicAliasMaximum, 65535), wire.Num(wire.ReceiveMaximum, 65535)}}
				switch i % 3 {
				case 1:
					connect.Props = append(connect.Props, wire.Text(wire.AuthMethod, "none"), wire.Text(wire.AuthData, string(big)))
				case 2:
					connect.Flags = 1
				}
				c := h.dial(wire.V5, "c")
				c.Write(connect.Bytes())
				c.Answer()
				if i%6 == 0 {
					c.Write(wire.Disconnect(wire.V5, 0))
					ends(c)
				}
				c.Close()
			}
		})
	})
}
