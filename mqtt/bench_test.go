package mqtt

import (
	"bytes"
	"strings"
	"testing"
)

func benchPublish(v Version, qos byte, props bool) (flags byte, body []byte) {
	p := Publish{QoS: qos, Topic: []byte("factory/line-7/sensor/42"), PacketID: 7, Payload: bytes.Repeat([]byte("x"), 64)}
	if qos == 0 {
		p.PacketID = 0
	}
	if props {
		p.Properties.Has = setOf(PropMessageExpiry, PropContentType)
		p.Properties.MessageExpiry, p.Properties.ContentType = 60, []byte("application/json")
		p.Properties.AddUser("trace", "0123456789abcdef")
	}
	whole := p.Append(nil, v)
	h, _, _ := ParseHeader(whole)
	return h.Flags, whole[h.Size:]
}

func BenchmarkPublish(b *testing.B) {
	for _, bench := range []struct {
		name  string
		v     Version
		qos   byte
		props bool
	}{
		{"v311/qos0", V311, 0, false},
		{"v5/qos0", V5, 0, false},
		{"v5/qos1", V5, 1, false},
		{"v5/qos1/properties", V5, 1, true},
	} {
		flags, body := benchPublish(bench.v, bench.qos, bench.props)
		var p Publish
		dst := make([]byte, 0, 512)
		b.Run(bench.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Decode(bench.v, flags, body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/append", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = p.Append(dst[:0], bench.v)
			}
		})
		b.Run(bench.name+"/decode+append", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Decode(bench.v, flags, body); err != nil {
					b.Fatal(err)
				}
				dst = p.Append(dst[:0], bench.v)
			}
		})
		b.Run(bench.name+"/AppendPublish", func(b *testing.B) {
			b.ReportAllocs()
			props := p.Properties.AppendForward(nil)
			for b.Loop() {
				dst = AppendPublish(dst[:0], bench.v, PublishHead{QoS: bench.qos, PacketID: 9, Expiry: -1}, p.Topic, props, p.Payload)
			}
		})
	}
}

func BenchmarkAck(b *testing.B) {
	ack := Ack{Type: PUBACK}
	body := []byte{0, 1}
	dst := make([]byte, 0, 16)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ack.Decode(V5, 0, body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = ack.Append(dst[:0], V5)
		}
	})
}

func BenchmarkParseHeader(b *testing.B) {
	packet := []byte("\x30\x80\x10")
	for b.Loop() {
		if _, ok, err := ParseHeader(packet); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkValidUTF8(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"ascii6", "a/b/cd"},
		{"ascii24", "factory/line-7/sensor/42"},
		{"ascii1k", strings.Repeat("abcdefgh", 128)},
		{"german24", "fabrik/straße-7/fühler/4"},
	} {
		text := []byte(bench.text)
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if !ValidUTF8(text) {
					b.Fatal("not valid")
				}
			}
		})
	}
}

func BenchmarkConnect(b *testing.B) {
	var c Connect
	for _, test := range canonical[:4] {
		h, _, _ := ParseHeader([]byte(test.bytes))
		body := []byte(test.bytes)[h.Size:]
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
