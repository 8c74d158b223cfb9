package millrace_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/millrace-mq/millrace"
	"github.com/millrace-mq/millrace/internal/bench"
)

// The benchmarks below are of a whole node over real sockets of loopback, driven by the engine of millrace bench within the same process.
// ns/op is wall time per connection or delivery, and bounded by what two busy threads share; B/op and allocs/op are of node and engine
// together (the engine's share per message is zero). For the cost of the broker alone, in a process of its own, use test/ratio.

// benchNode starts a node and returns its address.
func benchNode(b *testing.B) string {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("driving load needs Linux")
	}
	cfg := millrace.Defaults()
	cfg.Admin.Address = ""
	cfg.Node.DataDir = b.TempDir()
	l := cfg.Listeners["mqtt"]
	l.Address = "127.0.0.1:0"
	cfg.Listeners["mqtt"] = l
	node, err := millrace.Start(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = node.Stop(ctx)
	})
	return node.Addr("mqtt").String()
}

// drive runs a scenario and reports what one of its stages did.
func drive(b *testing.B, addr, stage string, s bench.Scenario) {
	b.Helper()
	target, err := bench.ParseTarget(addr)
	if err != nil {
		b.Fatal(err)
	}
	s.Name = "benchmark"
	r, err := bench.Run(b.Context(), bench.Options{Scenario: s, Target: target, Workers: 1})
	if err != nil {
		b.Skip(err) // too few descriptors
	}
	if len(r.Problems) > 0 {
		b.Fatalf("%q", r.Problems)
	}
	for i := range r.Stages {
		st := &r.Stages[i]
		if st.Name != stage {
			continue
		}
		b.ReportMetric(st.Seconds*1e9/float64(st.Units), "ns/op")
		b.ReportMetric(st.Rate(), st.Unit+"/s")
		if st.Latency.Count > 0 {
			b.ReportMetric(float64(st.Latency.P99)/1e6, "p99-ms")
			b.ReportMetric(st.Rate()*float64(s.Payload)/1e6, "MB/s")
		}
	}
}

// BenchmarkConnect is one connection: TCP, CONNECT, SUBSCRIBE, DISCONNECT, 64 at a time.
func BenchmarkConnect(b *testing.B) {
	addr := benchNode(b)
	b.ReportAllocs()
	drive(b, addr, "connect", bench.Scenario{Kind: bench.KindConnect, Clients: 64, Messages: max(64, b.N)})
}

// BenchmarkPublish is one message of ten publishers, each with one subscriber and 16 messages in flight.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		for qos := range byte(3) {
			b.Run(fmt.Sprintf("size=%dKB/qos=%d", size>>10, qos), func(b *testing.B) {
				addr := benchNode(b)
				b.ReportAllocs()
				drive(b, addr, "flow", bench.Scenario{
					Kind: bench.KindFlow, Publishers: 10, Subscribers: 10, Payload: size, QoS: qos, Window: 16, Messages: b.N/10 + 1,
				})
			})
		}
	}
}

// BenchmarkFanout is one delivery of 64 bytes to one of many subscribers of a topic, 16 messages in flight.
func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			addr := benchNode(b)
			b.ReportAllocs()
			drive(b, addr, "flow", bench.Scenario{Kind: bench.KindFlow, Publishers: 1, Subscribers: n, Payload: 64, Window: 16, Messages: b.N/n + 1})
		})
	}
}

// BenchmarkClients is one of many clients that connect, subscribe and stay. Both ends of every connection are in this process, so that
// the larger numbers need twice as many descriptors; without them they are skipped.
func BenchmarkClients(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000, 500_000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			if 2*n+200 > bench.DescriptorLimit() {
				b.Skipf("%d descriptors are too few", bench.DescriptorLimit())
			}
			addr := benchNode(b)
			b.ReportAllocs()
			for range b.N {
				drive(b, addr, "connect", bench.Scenario{Kind: bench.KindIdle, Clients: n, Subscribed: true, KeepAlive: 60, Duration: time.Second})
			}
		})
	}
}
