package session

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// 3.3.2.3.4, [MQTT-3.3.2-7], [MQTT-3.3.2-12]
func TestInboundAliases(t *testing.T) {
	r := newRig(t)
	r.limits.TopicAliasMaximum = 2
	r.connect(connect5(true))
	publish := func(topic string, alias uint16) (string, error) {
		p := &mqtt.Publish{Topic: []byte(topic)}
		if alias != 0 {
			apply(&p.Properties, []property{topicAlias(alias)})
		}
		_, err := r.Publish(p)
		got := string(p.Topic)
		copy(topicBuffer(topic, p), "XXXXXXXX") // the read buffer is used again
		return got, err
	}
	for _, c := range []struct {
		topic string
		alias uint16
		want  string
		code  mqtt.ReasonCode
	}{
		{"", 1, "", mqtt.ProtocolError}, // not set yet
		{"second", 2, "second", 0},
		{"", 1, "", mqtt.ProtocolError}, // nor with a higher one
		{"first", 1, "first", 0},
		{"", 1, "first", 0},
		{"second", 2, "second", 0},
		{"", 1, "first", 0},
		{"other", 1, "other", 0}, // set anew
		{"", 1, "other", 0},
		{"", 2, "second", 0},
		{"plain", 0, "plain", 0},
		{"third", 3, "", mqtt.TopicAliasInvalid},
	} {
		got, err := publish(c.topic, c.alias)
		if c.code != 0 {
			wantCode(t, err, c.code)
		} else if err != nil || got != c.want {
			t.Errorf("topic %q alias %d: %q, %v; want %q", c.topic, c.alias, got, err, c.want)
		}
	}
	r.reconnect(connect5(true))
	_, err := publish("", 1)
	wantCode(t, err, mqtt.ProtocolError) // aliases end with the connection
}

// topicBuffer is the memory of a topic that the client sent itself.
func topicBuffer(sent string, p *mqtt.Publish) []byte {
	if sent == "" {
		return nil
	}
	return p.Topic
}

// A message of the turn refers to the old topic while a later one sets the alias anew.
func TestANewTopicForAnAliasLeavesTheOldTopicAlone(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	p := inbound(0, 0, topicAlias(1))
	r.Publish(p)
	again := &mqtt.Publish{}
	apply(&again.Properties, []property{topicAlias(1)})
	r.Publish(again)
	held := again.Topic
	p.Topic = []byte("quite/other")
	r.Publish(p)
	want(t, "topic of the earlier message", string(held), "some/topic")
}

// [MQTT-3.1.2-26], [MQTT-3.1.2-27]
func TestOutboundAliasesStayWithinBothLimits(t *testing.T) {
	for _, c := range []struct{ client, server, most int }{
		{0, 100, 0}, {100, 0, 0}, {1, 100, 1}, {2, 100, 2}, {3, 100, 3}, {100, 7, 7}, {64, 64, 64},
	} {
		r := newRig(t)
		r.limits.TopicAliasMaximumOut = uint16(c.server)
		r.connect(connect5(true, topicAliasMaximum(uint16(c.client))))
		client := make([]string, c.most+1) // what the client knows
		saved := 0
		for round := range 50 {
			for n := range c.most + 10 {
				topic := fmt.Sprintf("topic/%d", n*n%(c.most+5))
				m := &message.Message{Topic: []byte(topic)}
				d := r.Deliver(r.now, m, &SubOptions{}, true)
				if int(d.Alias) > c.most {
					t.Fatalf("alias %d of %d", d.Alias, c.most)
				}
				switch {
				case d.OmitTopic:
					saved++
					if client[d.Alias] != topic {
						t.Fatalf("round %d: the client takes alias %d for %q, the topic is %q", round, d.Alias, client[d.Alias], topic)
					}
				case d.Alias != 0:
					client[d.Alias] = topic
				}
			}
		}
		if c.most > 0 && saved == 0 {
			t.Errorf("client %d, server %d: no topic was ever left out", c.client, c.server)
		}
	}
}

func TestFirstUseOfAnAliasCarriesTheTopic(t *testing.T) {
	r := newRig(t)
	r.limits.TopicAliasMaximumOut = 4
	c := connect5(false, sessionExpiry(5), topicAliasMaximum(4))
	r.connect(c)
	m := r.message("x", 1)
	deliver := func() Delivery { return r.Deliver(r.now, m, &SubOptions{QoS: 1}, true) }
	if d := deliver(); d.Alias == 0 || d.OmitTopic {
		t.Errorf("first use: alias %d, topic left out %v", d.Alias, d.OmitTopic)
	}
	if d := deliver(); d.Alias == 0 || !d.OmitTopic {
		t.Errorf("second use: alias %d, topic left out %v", d.Alias, d.OmitTopic)
	}
	// A retransmission is on another connection, where the client knows no aliases.
	r.reconnect(c)
	if d, _, _ := r.Next(r.now); d.Alias == 0 || d.OmitTopic {
		t.Errorf("retransmission: alias %d, topic left out %v", d.Alias, d.OmitTopic)
	}
	if d, _, _ := r.Next(r.now); !d.OmitTopic {
		t.Error("the second retransmission carries the topic again")
	}
}

// Topics that come once do not drive out those that come often.
func TestAliasesGoToRepeatedTopics(t *testing.T) {
	a := &aliases{outMax: 8}
	saved := 0
	for i := range 1000 {
		a.assign(fmt.Appendf(nil, "once/%d", i))
		if _, known := a.assign([]byte("often/a")); known {
			saved++
		}
		if _, known := a.assign([]byte("often/b")); known {
			saved++
		}
	}
	if saved < 1900 {
		t.Errorf("of 2000 uses of two topics %d left the topic out", saved)
	}
	if n, _ := a.assign([]byte("ab")); n != 0 {
		t.Error("a topic that is shorter than its alias got one")
	}
}

// A packet that fits only without an alias is sent without.
func TestAliasDoesNotMakeAPacketTooLarge(t *testing.T) {
	m := &message.Message{Topic: []byte("some/topic"), Payload: []byte("payload")}
	plain := mqtt.PublishSize(mqtt.V5, mqtt.PublishHead{Expiry: -1}, len(m.Topic), 0, len(m.Payload))
	aliased := mqtt.PublishSize(mqtt.V5, mqtt.PublishHead{Expiry: -1, Alias: 1}, len(m.Topic), 0, len(m.Payload))
	for size := plain; size <= aliased+aliasGrowth; size++ {
		r := newRig(t)
		r.limits.TopicAliasMaximumOut = 4
		r.connect(connect5(true, topicAliasMaximum(4), maximumPacketSize(uint32(size))))
		d := r.Deliver(r.now, m, &SubOptions{}, true)
		if d.Verdict != Send {
			t.Fatalf("%d bytes allowed: dropped", size)
		}
		b := mqtt.AppendPublish(nil, mqtt.V5, d.Head(), m.Topic, m.Props, m.Payload)
		if len(b) > size {
			t.Errorf("%d bytes allowed, %d sent", size, len(b))
		}
		if size == aliased+aliasGrowth && d.Alias == 0 {
			t.Error("no alias though there is room")
		}
	}
}

// Two topics with the same hash are two topics.
func TestCollidingTopicsHaveNoAliasInCommon(t *testing.T) {
	seen := map[uint32]string{}
	for n := 0; ; n++ {
		second := fmt.Sprint("topic/", n)
		first, collides := seen[hash([]byte(second))]
		if !collides {
			seen[hash([]byte(second))] = second
			continue
		}
		a := &aliases{outMax: 1}
		a.assign([]byte(first))
		if _, known := a.assign([]byte(second)); known {
			t.Errorf("%q was sent as the alias of %q", second, first)
		}
		return
	}
}

// The topic that an alias stands for lies in a buffer that others use afterwards.
func TestOutboundAliasKeepsItsTopic(t *testing.T) {
	a := &aliases{outMax: 1}
	buffer := []byte("some/topic")
	a.assign(buffer)
	copy(buffer, "XXXX")
	if _, known := a.assign([]byte("some/topic")); !known {
		t.Error("the alias changed with the buffer")
	}
}

func TestHashSpreads(t *testing.T) {
	seen := map[uint32]bool{}
	for n := range 2000 {
		seen[hash(fmt.Appendf(nil, "sensors/%d/temperature", n))] = true
		seen[hash(bytes.Repeat([]byte{0}, n))] = true
	}
	if len(seen) < 3990 {
		t.Errorf("4000 topics have %d hashes", len(seen))
	}
}

func TestKnownAliasCostsNoAllocation(t *testing.T) {
	r := newRig(t)
	r.limits.TopicAliasMaximumOut = 16
	r.connect(connect5(true, topicAliasMaximum(16)))
	m, o := r.message("x", 0), &SubOptions{}
	if n := testing.AllocsPerRun(1000, func() { r.Deliver(r.now, m, o, true) }); n != 0 {
		t.Errorf("%v allocations for a delivery with an alias", n)
	}
}
