package broker

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/mqtt"
)

// BenchmarkRetainedReplay sends 100,000 retained messages of 64 B to a new subscription, over a real
// socket. It includes the reader's system calls; an iteration is one message.
func BenchmarkRetainedReplay(b *testing.B) {
	const stored = 100_000
	r := newRig(b, nil)
	for i := range stored {
		m := &message.Message{Topic: fmt.Appendf(nil, "bench/retained/%06d", i), Payload: make([]byte, 64), Retain: true}
		if _, err := r.Publish(m); err != nil {
			b.Fatal(err)
		}
	}
	one := mqtt.Publish{Retain: true, Topic: []byte("bench/retained/000000"), Payload: make([]byte, 64)}
	size := int64(len(one.Append(nil, mqtt.V311)))
	p := r.dial(b, mqtt.V311, "reader", nil)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += stored {
		s := mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: []byte("bench/#")}}}
		p.write(s.Append(nil, mqtt.V311))
		if _, err := io.CopyN(io.Discard, p.c.(*net.TCPConn), 5+stored*size); err != nil {
			b.Fatal(err)
		}
	}
}
