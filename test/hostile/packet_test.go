package hostile

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/test/wire"
)

// huge is a remaining length that promises 256 MiB less one byte.
var huge = []byte{0xff, 0xff, 0xff, 0x7f}

func TestRow01HugeLengthBeforeAuthentication(t *testing.T) {
	on(t, func(h *hub) {
		h.bounded(48*mib, func() {
			for range 100 {
				c := h.dial(wire.V5, "c")
				c.Write([]byte{wire.CONNECT << 4}, huge, []byte("\x00\x04MQTT\x05\x02\x00\x3c"))
				if got := ends(c); len(got) > 1 || len(got) == 1 && got[0].Type != wire.CONNACK {
					h.Errorf("a CONNECT of 256 MiB was answered with %v", got)
				}
			}
			c, _ := h.dialWS(wire.V5, "ws")
			c.Write([]byte{wire.CONNECT << 4}, huge, []byte("\x00\x04MQTT\x05\x02\x00\x3c"))
			ends(c)
		})
	})
}

func TestRow02LargeFirstPacketThatIsNoConnect(t *testing.T) {
	on(t, func(h *hub) {
		h.bounded(48*mib, func() {
			for kind := byte(0); kind < 16; kind++ {
				if kind == wire.CONNECT {
					continue
				}
				c := h.dial(wire.V311, "c")
				c.Write([]byte{kind << 4}, huge)
				chunk := make([]byte, 64<<10)
				for range 32 {
					if c.TryWrite(chunk) != nil { // closed already
						break
					}
				}
				if got := ends(c); len(got) > 0 {
					h.Errorf("%s before CONNECT was answered with %v", wire.TypeName(kind), got)
				}
			}
		})
	})
}

func TestRow04FiveByteInteger(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			for _, long := range []string{"\x80\x80\x80\x80\x01", "\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff", "\x80\x80\x80\x80\x00"} {
				c := h.dial(v, "first")
				c.Write([]byte{wire.CONNECT << 4}, []byte(long))
				ends(c)
				c = h.join(v, "later")
				c.Write([]byte{wire.PUBLISH << 4}, []byte(long))
				c.Refused(0x81)
				if v == wire.V5 { // as the length of properties
					c = h.join(v, "props")
					c.Write(wire.Frame(wire.PUBLISH<<4, []byte("\x00\x01a"), []byte(long), []byte("xxxx")))
					c.Refused(0x81)
				}
			}
		}
	})
}

// valid is one good packet of each type that a client sends, with everything
// that it may hold.
func valid(h *hub, v byte) map[string][]byte {
	var props, will []wire.Prop
	if v == wire.V5 {
		props = []wire.Prop{wire.User("k", "v")}
		will = []wire.Prop{wire.Num(wire.WillDelay, 1), wire.Num(wire.PayloadFormat, 0), wire.Text(wire.ResponseTopic, "r"), wire.User("k", "v")}
	}
	user, password := "user", "password"
	all := map[string][]byte{
		"CONNECT": wire.Connect{Version: v, ClientID: h.id("cut"), Clean: true, KeepAlive: 10, Username: &user, Password: &password,
			Will: &wire.Will{Topic: "w", Payload: "x", QoS: 1, Props: will}, Props: props}.Bytes(),
		"PUBLISH":     wire.Publish{Topic: h.topic("cut"), QoS: 1, ID: 7, Payload: "payload", Props: props}.Bytes(v),
		"SUBSCRIBE":   wire.Subscribe(v, 8, []wire.Sub{{Filter: "a/b", Options: 1}, {Filter: "c", Options: 2}}, props...),
		"UNSUBSCRIBE": wire.Unsubscribe(v, 9, []string{"a/b", "c"}, props...),
		"PUBACK":      wire.Ack(wire.PUBACK, 7),
		"PUBREC":      wire.Ack(wire.PUBREC, 7),
		"PUBREL":      wire.Ack(wire.PUBREL, 7),
		"PUBCOMP":     wire.Ack(wire.PUBCOMP, 7),
	}
	if v == wire.V5 {
		for _, kind := range []byte{wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP} {
			all[wire.TypeName(kind)+" long"] = wire.AckCode(kind, 7, 0, wire.Text(wire.ReasonString, "why"), wire.User("k", "v"))
		}
		all["DISCONNECT"] = wire.Disconnect(v, 0x04, wire.Text(wire.ReasonString, "why"), wire.User("k", "v"))
		all["AUTH"] = wire.Auth(0x19, wire.Text(wire.AuthMethod, "m"), wire.Text(wire.AuthData, "d"))
	}
	return all
}

// Every packet is cut at every byte: once with a remaining length that tells the
// truth about the cut, so that the server has to parse it, and once as it was,
// with the connection broken in the middle.
func TestRow06Truncated(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			for name, packet := range valid(h, v) {
				h.Run(name+map[byte]string{wire.V311: " 3.1.1", wire.V5: " 5.0"}[v], func(t *testing.T) {
					sub := *h
					sub.T = t
					for cut := 1; cut < len(packet); cut++ {
						sub.truncated(v, packet, cut)
					}
				})
			}
		}
	})
}

func (h *hub) truncated(v byte, packet []byte, cut int) {
	h.Helper()
	open := func() *wire.Conn {
		if packet[0]>>4 == wire.CONNECT {
			return h.dial(v, "cut")
		}
		return h.join(v, "cut")
	}
	c := open()
	c.Write(packet[:cut])
	c.Close()
	if cut < 2 {
		return
	}
	c = open()
	c.Write(wire.Frame(packet[0], packet[2:cut]), wire.Pingreq())
	// Some cuts leave a packet that is whole: it may be answered. None may hang.
	for p, err := c.Answer(); err == nil && p.Type != wire.PINGRESP; {
		p, err = c.Answer()
	}
}

func TestRow07BeforeConnect(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			for name, packet := range valid(h, v) {
				if name == "CONNECT" {
					continue
				}
				c := h.dial(v, name)
				c.Write(packet, wire.Pingreq())
				if got := ends(c); len(got) > 0 {
					h.Errorf("%s before CONNECT was answered with %v", name, got)
				}
			}
			c := h.join(v, "twice")
			c.Write(valid(h, v)["CONNECT"])
			c.Refused(0x82)
		}
	})
}

func TestRow08ServersPackets(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			for _, packet := range []string{
				"\x20\x02\x00\x00", "\x20\x03\x00\x00\x00", "\x90\x03\x00\x01\x00", "\x90\x04\x00\x01\x00\x00",
				"\xb0\x02\x00\x01", "\xb0\x04\x00\x01\x00\x00", "\xd0\x00", "\x00\x00", "\xd0\x01\x00",
			} {
				c := h.join(v, "c")
				c.Write([]byte(packet))
				c.Refused(0x81, 0x82)
			}
		}
	})
}

func TestRow09Topics(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			for _, topic := range []string{"", "\x00", "a\x00b", "\xed\xa0\x80", "a/\xed\xbf\xbf", "\xff", "\xc3", "a/\xc0\xaf", "\xf8\x88\x80\x80\x80"} {
				c := h.join(v, "publish")
				c.Write(wire.Publish{Topic: topic, Payload: "x"}.Bytes(v))
				c.Refused(0x81, 0x82, 0x90)
				c = h.join(v, "subscribe")
				c.Write(wire.Subscribe(v, 1, []wire.Sub{{Filter: topic}}))
				if p, err := c.Answer(); err == nil && p.Type == wire.SUBACK && p.Codes[0] < 0x80 {
					h.Errorf("a subscription to %q was granted", topic)
				}
			}
			// Levels may be empty, and are levels then.
			s := h.join(v, "s")
			s.Subscribe(h.topic("+//+"), 0)
			p := h.join(v, "p")
			for _, topic := range []string{"a//b", "//b", "///", "//"} {
				p.Publish(wire.Publish{Topic: h.topic(topic), Payload: topic})
				if topic != "///" {
					s.Deliver(h.topic(topic), topic)
				}
			}
			p.Publish(wire.Publish{Topic: h.topic("a//b"), Payload: "last"})
			s.Deliver(h.topic("a//b"), "last")
		}
	})
}

func TestRow10DollarTopics(t *testing.T) {
	on(t, func(h *hub) {
		for _, v := range versions {
			s := h.join(v, "s")
			s.Subscribe("$SYS/broker/version", 1)
			for _, topic := range []string{"$SYS/broker/version", "$SYS/" + h.id("x"), "$SYS"} {
				for qos := range byte(3) {
					c := h.join(v, "c")
					c.Write(wire.Publish{Topic: topic, Payload: "forged", QoS: qos, ID: 3, Retain: true}.Bytes(v), wire.Pingreq())
					for p, err := c.Answer(); err == nil && p.Type != wire.PINGRESP; p, err = c.Take(wire.Patience) {
						if v == wire.V5 && (p.Type == wire.PUBACK || p.Type == wire.PUBREC) && p.Code < 0x80 {
							h.Errorf("a publish to %s was answered with %v", topic, p)
						}
					}
				}
			}
			late := h.join(v, "late")
			late.Subscribe("$SYS/broker/version", 1)
			late.Subscribe("$SYS/"+h.id("x"), 1)
			for _, c := range []*wire.Conn{s, late} {
				c.Subscribe(h.topic("end"), 1)
				c.Publish(wire.Publish{Topic: h.topic("end"), Payload: "end", QoS: 1})
				for {
					p := c.Message()
					if string(p.Payload) == "end" {
						break
					}
					if strings.Contains(string(p.Payload), "forged") {
						h.Errorf("what a client published to $SYS was delivered: %v", p)
					}
				}
				c.Unsubscribe(h.topic("end"))
			}
			// $share is for subscribing; nobody gets what is published to it.
			m := h.join(v, "m")
			m.Subscribe("$share/g/"+h.topic("x"), 1)
			p := h.join(v, "p")
			p.TryWrite(wire.Publish{Topic: "$share/g/" + h.topic("x"), Payload: "x"}.Bytes(v), wire.Pingreq())
			p.Answer()
			m.Publish(wire.Publish{Topic: h.topic("x"), Payload: "y", QoS: 1})
			m.Deliver(h.topic("x"), "y")
			m.Quiet()
		}
	})
}

func TestRow11ThousandsOfUserProperties(t *testing.T) {
	on(t, func(h *hub) {
		var props []wire.Prop
		for range 10000 {
			props = append(props, wire.User("key", "value"))
		}
		s := h.join(wire.V5, "s")
		s.Subscribe(h.topic("a"), 0)
		h.bounded(96*mib, func() {
			for range 20 {
				c := h.dial(wire.V5, "connect")
				c.TryWrite(wire.Connect{Version: wire.V5, ClientID: h.id("c"), Clean: true, Props: props}.Bytes())
				c.Answer() // accepted or not, and at once
				c.Close()
				p := h.join(wire.V5, "p")
				p.TryWrite(wire.Publish{Topic: h.topic("a"), Payload: "x", Props: props}.Bytes(wire.V5), wire.Pingreq())
				got, err := p.Answer()
				if err == nil && got.Type == wire.PINGRESP { // taken: then it is delivered whole
					if m := s.Deliver(h.topic("a"), "x"); len(m.Props.All(wire.UserProperty)) != len(props) {
						h.Errorf("%d of %d user properties came", len(m.Props), len(props))
					}
				}
				c = h.join(wire.V5, "sub")
				c.TryWrite(wire.Subscribe(wire.V5, 1, []wire.Sub{{Filter: "x"}}, props...))
				c.Answer()
			}
		})
	})
}

// A topic or a filter of very many levels is refused or served. Where they are
// allowed, 1,000 levels work.
func TestRow12TopicDepth(t *testing.T) {
	onOwn(t, []string{"limits.max_topic_levels=65535"}, func(h *hub) {
		depth(h)
		thousand := strings.Repeat("x/", 999) + "x"
		for _, filter := range []string{thousand, strings.Repeat("+/", 999) + "+", strings.Repeat("x/", 500) + "#"} {
			s, p := h.join(wire.V5, "s"), h.join(wire.V311, "p")
			s.Subscribe(filter, 1)
			p.Publish(wire.Publish{Topic: thousand, Payload: "deep", QoS: 1})
			s.Deliver(thousand, "deep")
		}
	})
}

func TestRow12TopicDepthLimited(t *testing.T) { on(t, depth) }

func depth(h *hub) {
	for _, v := range versions {
		for _, topic := range []string{
			strings.Repeat("/", 65535), strings.Repeat("a/", 32767) + "b", strings.Repeat("x/", 999) + "x", strings.Repeat("/", 1000),
		} {
			levels := strings.Count(topic, "/")
			for _, filter := range []string{topic, "#", strings.Repeat("+/", min(32767, levels)) + "#", strings.Repeat("/", levels/2) + "#", strings.Repeat("+/", levels/3) + "+"} {
				h.deep(v, topic, filter)
			}
		}
	}
}

func (h *hub) deep(v byte, topic, filter string) {
	h.Helper()
	s := h.join(v, "s")
	s.Write(wire.Subscribe(v, 1, []wire.Sub{{Filter: filter, Options: 0}}))
	p := h.join(v, "p")
	p.Write(wire.Publish{Topic: topic, Payload: "deep", QoS: 1, ID: 1}.Bytes(v))
	for _, c := range []*wire.Conn{s, p} {
		c.Answer() // granted, taken, refused or closed, but not nothing
		c.Close()
	}
}
