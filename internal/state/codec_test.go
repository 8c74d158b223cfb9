package state

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

func TestRecordComesBack(t *testing.T) {
	for _, m := range []*message.Message{
		{Topic: []byte("a"), QoS: 1},
		{Topic: []byte("a/b"), Payload: []byte("payload"), QoS: 2, Retain: true},
		{Topic: []byte("t"), Payload: []byte{0}, Props: []byte{1, 1}, Expires: 1 << 41},
	} {
		b := appendRecord(nil, m)
		var got message.Message
		if err := decodeRecord(b, &got); err != nil {
			t.Fatal(err)
		}
		if string(got.Topic) != string(m.Topic) || string(got.Payload) != string(m.Payload) || string(got.Props) != string(m.Props) ||
			got.QoS != m.QoS || got.Retain != m.Retain || got.Expires != m.Expires {
			t.Errorf("%+v came back as %+v", m, &got)
		}
	}
}

func TestItemComesBack(t *testing.T) {
	for _, c := range []struct {
		o      session.Outbound
		source string
	}{
		{session.Outbound{QoS: 1}, ""},
		{session.Outbound{QoS: 2, PacketID: 65535, Retain: true, ID: 7}, ""},
		{session.Outbound{QoS: 1, More: &session.More{IDs: []uint32{1, 268_435_455}}}, ""},
		{session.Outbound{QoS: 1, ID: 3, More: &session.More{Source: "$share/g/f"}}, "$share/g/f"},
	} {
		var got session.Outbound
		rest, shared, err := decodeItem(append(appendItem(nil, &c.o, c.source), "rest"...), &got)
		if err != nil || shared || string(rest) != "rest" {
			t.Fatalf("%v %v %q", err, shared, rest)
		}
		if !reflect.DeepEqual(got, c.o) {
			t.Errorf("%+v came back as %+v", c.o, got)
		}
	}
}

func TestHeadComesBack(t *testing.T) {
	for _, n := range []*session.Snapshot{
		{ClientID: "c", Version: mqtt.V311, Expiry: session.Never},
		{ClientID: "", Version: mqtt.V5, Expiry: 1, EndsAt: 1<<63 - 1, WillAt: 9, Will: &session.Will{
			Topic: []byte("w"), Props: []byte{1, 0}, Payload: []byte("gone"), QoS: 2, Retain: true, HasExpiry: true, Expiry: 5, Delay: 6,
		}},
	} {
		got, err := decodeHead(appendHead(nil, n))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, n) {
			t.Errorf("%+v came back as %+v", n, got)
		}
	}
}

// Part of the format: a change would lose what is on disk.
func TestShardsStay(t *testing.T) {
	for name, want := range map[string]int{"": 46, "client-1": 24, "sensors/4711/temperature": 34} {
		if got := ShardOf(name); got != want {
			t.Errorf("%q is in shard %d, was in %d", name, got, want)
		}
	}
	var count [Shards]int
	for i := range 64_000 {
		count[ShardOf(binary.AppendVarint([]byte("client-"), int64(i)))]++
	}
	for i, n := range count {
		if n < 700 || n > 1300 {
			t.Errorf("shard %d has %d of 64,000", i, n)
		}
	}
}

func FuzzValues(f *testing.F) {
	f.Add(appendRecord(nil, &message.Message{Topic: []byte("a/b"), Payload: []byte("x"), Props: []byte{1, 1}, Expires: 77, QoS: 1}))
	f.Add(appendItem(nil, &session.Outbound{QoS: 2, PacketID: 1, ID: 5}, "$share/g/f"))
	f.Add(appendHead(nil, &session.Snapshot{ClientID: "c", Version: mqtt.V5, Will: &session.Will{Topic: []byte("w")}}))
	f.Add(appendOptions(nil, &session.SubOptions{QoS: 2, NoLocal: true, ID: 9}, "group"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message.Message
		if decodeRecord(b, &m) == nil && !bytes.Equal(appendRecord(nil, &m), b) {
			t.Errorf("record %x is another one when written", b)
		}
		var o session.Outbound
		if rest, shared, err := decodeItem(b, &o); err == nil {
			source := ""
			if o.More != nil && o.More.Source != nil {
				source = o.More.Source.(string)
			}
			head := appendItem(nil, &o, source)
			if shared {
				head[0] |= itemShared
			}
			if !bytes.Equal(append(head, rest...), b) {
				t.Errorf("item %x is another one when written", b)
			}
		}
		if n, err := decodeHead(b); err == nil && !bytes.Equal(appendHead(nil, n), b) {
			t.Errorf("head %x is another one when written", b)
		}
		var s session.SubOptions
		if group, err := decodeOptions(b, &s); err == nil && !bytes.Equal(appendOptions(nil, &s, group), b) {
			t.Errorf("options %x are others when written", b)
		}
	})
}

// Whatever a log holds, it is taken apart without a panic, and its pieces make up the whole.
func FuzzCommands(f *testing.F) {
	m := &message.Message{Topic: []byte("t"), Payload: []byte("p"), QoS: 1}
	b, at := appendMessage([]byte{commandVersion}, 5, m)
	b[at] = 1
	b = appendKeep(b, 3, &session.Outbound{QoS: 1}, "")
	for op := byte(opAssign); op < opCount; op++ {
		b = appendOp(b, op, 1, 2, 3)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b)
		if err != nil {
			return
		}
		size := 1
		var c command
		for {
			raw, ok, err := s.next(&c)
			if err != nil {
				return
			}
			if !ok {
				break
			}
			size += len(raw)
		}
		if size != len(b) {
			t.Errorf("%d of %d bytes", size, len(b))
		}
	})
}
