package mqtt

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestPublishFields(t *testing.T) {
	body := []byte("\x00\x03a/b\x01\x02\x08\x02\x00\x00\x00\x0a\x23\x00\x07payload")
	var p Publish
	if err := p.Decode(V5, 0b1101, body); err != nil {
		t.Fatal(err)
	}
	if !p.Dup || p.QoS != 2 || !p.Retain || string(p.Topic) != "a/b" || p.PacketID != 0x0102 || string(p.Payload) != "payload" ||
		p.Properties.Has != setOf(PropMessageExpiry, PropTopicAlias) || p.Properties.MessageExpiry != 10 || p.Properties.TopicAlias != 7 {
		t.Errorf("%+v", p)
	}
	if &p.Topic[0] != &body[2] || &p.Payload[0] != &body[len(body)-7] {
		t.Error("topic and payload are copies")
	}
	if topic := append(p.Topic, 'x'); &topic[0] == &body[2] {
		t.Error("appending to the topic writes over the packet")
	}
}

// AppendPublish writes what Publish.Append writes for the same message, PublishSize says how long it is.
func TestAppendPublish(t *testing.T) {
	for _, v := range []Version{V311, V5} {
		for _, qos := range []byte{0, 1, 2} {
			for _, ids := range [][]uint32{nil, {1}, {127, 128, MaxRemaining}} {
				for _, payload := range []int{0, 100, 130, 16_500, 2_100_000} {
					for expiry := int64(-1); expiry <= 1; expiry++ {
						for alias := range uint16(2) {
							t.Run(fmt.Sprint(v, qos, ids, payload, expiry, alias), func(t *testing.T) {
								comparePublish(t, v, PublishHead{qos > 1, qos, alias > 0, uint16(qos), alias, expiry, ids}, payload)
							})
						}
					}
				}
			}
		}
	}
}

func comparePublish(t *testing.T, v Version, head PublishHead, payload int) {
	p := Publish{head.Dup, head.QoS, head.Retain, []byte("a/b"), head.PacketID, Properties{}, make([]byte, payload)}
	p.Properties.PayloadFormat, p.Properties.Has = 1, setOf(PropPayloadFormat)
	p.Properties.AddUser("k", "v")
	props := p.Properties.AppendForward(nil)
	if head.Expiry >= 0 {
		p.Properties.MessageExpiry = uint32(head.Expiry)
		p.Properties.Has = p.Properties.Has.With(PropMessageExpiry)
	}
	if head.Alias > 0 {
		p.Properties.TopicAlias = head.Alias
		p.Properties.Has = p.Properties.Has.With(PropTopicAlias)
	}
	if len(head.SubscriptionIDs) > 0 {
		p.Properties.SubscriptionIDs = head.SubscriptionIDs
		p.Properties.Has = p.Properties.Has.With(PropSubscriptionID)
	}
	got := AppendPublish(nil, v, head, p.Topic, props, p.Payload)
	if size := PublishSize(v, head, len(p.Topic), len(props), payload); size != len(got) {
		t.Errorf("PublishSize is %d, %d bytes were written", size, len(got))
	}
	decoded, err := decodeWhole(v, got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(decoded.Append(nil, v), p.Append(nil, v)) { // the order of properties differs on the wire
		t.Errorf("got  %x\nwant %x", decoded.Append(nil, v), p.Append(nil, v))
	}
}

func TestPublishSizeOfWhatCannotBeSent(t *testing.T) {
	none := PublishHead{Expiry: -1}
	for _, test := range []struct {
		name                  string
		topic, props, payload int
		want                  int
	}{
		{"the longest", 1, 0, MaxRemaining - 3 - 1, 5 + MaxRemaining},
		{"one byte more", 1, 0, MaxRemaining - 3, math.MaxInt},
		{"long topic", 0xFFFF, 0, 0, 4 + 2 + 0xFFFF + 1},
		{"topic too long", 0x10000, 0, 0, math.MaxInt},
		{"properties too long", 1, MaxRemaining + 1, 0, math.MaxInt},
		{"enormous", 1, math.MaxInt, math.MaxInt, math.MaxInt},
		{"enormous payload", 1, 0, math.MaxInt, math.MaxInt},
	} {
		if got := PublishSize(V5, none, test.topic, test.props, test.payload); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestExpiryIsCutToFourBytes(t *testing.T) {
	got := AppendPublish(nil, V5, PublishHead{Expiry: 1<<32 + 5}, []byte("t"), nil, nil)
	if want := "\x30\x09\x00\x01t\x05\x02\xff\xff\xff\xff"; string(got) != want {
		t.Errorf("got %x", got)
	}
}

func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	long := []byte(strings.Repeat("x", 0x10000))
	for name, write := range map[string]func(){
		"topic":          func() { (&Publish{Topic: long}).Append(nil, V311) },
		"topic, encoded": func() { AppendPublish(nil, V5, PublishHead{}, long, nil, nil) },
		"filter":         func() { (&Unsubscribe{PacketID: 1, Filters: [][]byte{long}}).Append(nil, V5) },
		"user property":  func() { UserProperties{}.Append(string(long), "") },
		"reason string": func() {
			(&Disconnect{Properties: Properties{Has: setOf(PropReasonString), ReasonString: long}}).Append(nil, V5)
		},
		"packet": func() { appendHeader(nil, PUBLISH, 0, MaxRemaining+1) },
	} {
		func() {
			defer func() {
				if refused, ok := recover().(*Error); !ok || refused.Code != PacketTooLarge {
					t.Errorf("%s: no panic with packet too large", name)
				}
			}()
			write()
		}()
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	check := func(name string, work func()) {
		t.Helper()
		work() // what is allocated once, for all packets, is allocated now
		if n := testing.AllocsPerRun(100, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	var publish Publish
	var ack Ack
	for _, test := range canonical {
		h, _, _ := ParseHeader([]byte(test.bytes))
		body := []byte(test.bytes)[h.Size:]
		switch h.Type {
		case PUBLISH:
			check(test.name, func() {
				if err := publish.Decode(test.version, h.Flags, body); err != nil {
					t.Error(err)
				}
				dst = publish.Append(dst[:0], test.version)
				dst = publish.Properties.AppendForward(dst)
			})
		case PUBACK, PUBREC, PUBREL, PUBCOMP:
			check(test.name, func() {
				ack.Type = h.Type
				if err := ack.Decode(test.version, h.Flags, body); err != nil {
					t.Error(err)
				}
				dst = ack.Append(dst[:0], test.version)
			})
		}
	}
	props, topic := []byte("\x01\x01"), []byte("a/b/c")
	ids := []uint32{1, 300}
	check("AppendPublish", func() {
		dst = AppendPublish(dst[:0], V5, PublishHead{QoS: 1, PacketID: 7, Alias: 3, Expiry: 5, SubscriptionIDs: ids}, topic, props, topic)
	})
	apart := []byte("\x00\x01t\x13\x26\x00\x01k\x00\x01v\x02\x00\x00\x00\x09\x26\x00\x01k\x00\x01v")
	check("user properties apart", func() {
		if err := publish.Decode(V5, 0, apart); err != nil {
			t.Error(err)
		}
	})
	refused := []byte("\x00\x03a/#\x00")
	check("a refusal", func() {
		if publish.Decode(V5, 0, refused) == nil {
			t.Error("accepted")
		}
	})
}
