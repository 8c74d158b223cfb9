//go:build linux

package bench

import (
	"testing"
)

// BenchmarkEngine is one delivery of the engine against the floor, which runs in a process of its own: what the tool costs. CPU is of this
// process, and floor-CPU of the other one, per delivery.
func BenchmarkEngine(b *testing.B) {
	for name, s := range map[string]Scenario{
		"fanout":     {Publishers: 1, Subscribers: 1000, Window: 16},
		"pairs":      {Publishers: 50, Subscribers: 50, Window: 16},
		"pairs-qos1": {Publishers: 50, Subscribers: 50, Window: 16, QoS: 1},
	} {
		b.Run(name, func(b *testing.B) {
			addr := freeAddr(b)
			pid := startBroker(b, addr, floorBinary, "-listen", addr)
			s.Kind, s.Messages = KindFlow, b.N/s.Subscribers+1
			r := mustRun(b, addr, s, func(o *Options) { o.PIDs = []int{pid} })
			if len(r.Problems) > 0 {
				b.Fatal(r.Problems)
			}
			f := r.Stages[0]
			b.ReportMetric(f.ToolPerM*1000, "cpu-ns/op")
			b.ReportMetric(f.BrokerPerM*1000, "floor-cpu-ns/op")
		})
	}
}
