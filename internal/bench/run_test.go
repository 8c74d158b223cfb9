//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Every shape of traffic arrives whole, whether one worker drives it or several, and is counted right.
func TestFlows(t *testing.T) {
	shapes := map[string]Scenario{
		"fan-out":         {Publishers: 1, Subscribers: 20, Messages: 200, Window: 8},
		"pairs":           {Publishers: 10, Subscribers: 10, Messages: 200, Window: 8},
		"pairs, QoS 1":    {Publishers: 10, Subscribers: 10, Messages: 200, Window: 8, QoS: 1},
		"pairs, QoS 2":    {Publishers: 10, Subscribers: 10, Messages: 200, Window: 8, QoS: 2, Version: "5"},
		"large payload":   {Publishers: 2, Subscribers: 4, Messages: 20, Window: 4, Payload: 300_000},
		"paced":           {Publishers: 4, Subscribers: 4, Messages: 50, Rate: 200, QoS: 1},
		"every topic":     {Publishers: 5, Subscribers: 12, Messages: 100, Window: 4, Subscribe: "each"},
		"fan-in":          {Publishers: 12, Subscribers: 3, Topics: 3, Messages: 100, Window: 4, Version: "5"},
		"shared":          {Publishers: 6, Topics: 1, Subscribers: 4, Members: 4, Messages: 200, Window: 8},
		"two groups":      {Publishers: 6, Topics: 1, Subscribers: 8, Members: 4, Messages: 200, Window: 8, QoS: 1},
		"no window":       {Publishers: 2, Subscribers: 2, Messages: 5000},
		"publishers only": {Publishers: 8, Messages: 500, QoS: 1, Window: 16},
	}
	for name, s := range shapes {
		for _, workers := range []int{1, 3} {
			if testing.Short() && workers > 1 && name != "pairs" {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				addr, pid := startFloor(t)
				s.Kind = KindFlow
				r := mustRun(t, addr, s, func(o *Options) { o.Workers, o.PIDs = workers, []int{pid} })
				if len(r.Problems) > 0 {
					t.Fatalf("problems: %q", r.Problems)
				}
				sent, f := uint64(s.Publishers*s.Messages), r.Stages[0]
				if f.Counts.Sent != sent {
					t.Errorf("sent %d, want %d", f.Counts.Sent, sent)
				}
				if s.QoS > 0 && f.Counts.Acked != sent {
					t.Errorf("acknowledged %d, want %d", f.Counts.Acked, sent)
				}
				if s.Subscribers > 0 {
					wantClean(t, r)
				}
				if f.Units != max(r.Check.Expected, f.Counts.Acked) || f.BrokerCPU <= 0 || f.ToolCPU <= 0 {
					t.Errorf("%d units, expected %d; CPU of broker %v, of the tool %v", f.Units, r.Check.Expected, f.BrokerCPU, f.ToolCPU)
				}
				if h := max(f.Latency.Count, f.AckLatency.Count); h != int64(f.Units) {
					t.Errorf("%d latencies of %d units", h, f.Units)
				}
			})
		}
	}
}

// A timed flow leaves warm-up and drain out of its figures.
func TestTimedFlow(t *testing.T) {
	addr, _ := startFloor(t)
	r := mustRun(t, addr, Scenario{
		Kind: KindFlow, Publishers: 10, Subscribers: 10, Rate: 100, WarmUp: 500 * time.Millisecond, Duration: time.Second,
	})
	wantClean(t, r)
	f := r.Stages[0]
	if r.Check.Expected < 1490 || r.Check.Expected > 1510 {
		t.Errorf("%d messages in a second and a half at 1,000 a second", r.Check.Expected)
	}
	if f.Latency.Count < 990 || f.Latency.Count > 1010 || f.Seconds < 0.99 || f.Seconds > 1.01 {
		t.Errorf("measured %d messages in %v s, want 1,000 in 1", f.Latency.Count, f.Seconds)
	}
	if f.Units < 800 || f.Units > 1200 { // by time of arrival, which a busy machine shifts
		t.Errorf("%d units, want 1,000: those of the warm-up do not count", f.Units)
	}
	if len(f.Series) < 2 || f.Series[0].Measured || !f.Series[1].Measured {
		t.Errorf("series %+v", f.Series)
	}
}

func TestIdleAndConnect(t *testing.T) {
	addr, pid := startFloor(t)
	with := func(o *Options) { o.Workers, o.PIDs = 2, []int{pid} }
	r := mustRun(t, addr, Scenario{Kind: KindIdle, Clients: 500, KeepAlive: 1, Duration: 2 * time.Second}, with)
	if len(r.Problems) > 0 || r.Stages[0].Units != 500 || r.Stages[1].Connected != 500 {
		t.Errorf("problems %q, stages %+v", r.Problems, r.Stages)
	}
	if p := r.Stages[1].Units; p < 1000 { // each client every three quarters of a second
		t.Errorf("%d pings, want 1,333", p)
	}
	r = mustRun(t, addr, Scenario{Kind: KindIdle, Clients: 60, KeepAlive: 1, ConnectRate: 30, Duration: time.Second}, with)
	if c := r.Stages[0]; len(r.Problems) > 0 || c.Counts.Pings < 30 {
		t.Errorf("%d pings while clients connect for two seconds; problems %q", c.Counts.Pings, r.Problems)
	}
	r = mustRun(t, addr, Scenario{Kind: KindConnect, Clients: 16, Messages: 600}, with)
	if c := r.Stages[0]; len(r.Problems) > 0 || c.Counts.Opened != 600 || c.ConnectTime.Count != int64(c.Units) {
		t.Errorf("problems %q, stage %+v", r.Problems, c)
	}
}

// mosquitto is a broker that stores. Without it (make deps installs it) these kinds are not tested here.
func startMosquitto(t *testing.T) (addr string, pid int) {
	t.Helper()
	exe, err := exec.LookPath("mosquitto")
	if err != nil {
		exe = "/usr/sbin/mosquitto"
		if _, err := os.Stat(exe); err != nil {
			t.Skip("mosquitto is not installed")
		}
	}
	addr = freeAddr(t)
	conf := filepath.Join(t.TempDir(), "conf")
	text := "listener " + addr[len("127.0.0.1:"):] + " 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_type none\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return addr, startBroker(t, addr, exe, "-c", conf)
}

func TestStores(t *testing.T) {
	addr, pid := startMosquitto(t)
	for _, version := range []string{"3.1.1", "5"} {
		for _, workers := range []int{1, 2} {
			if testing.Short() && (workers == 1) == (version == "5") {
				continue
			}
			with := func(o *Options) { o.Workers, o.PIDs = workers, []int{pid} }
			name := fmt.Sprintf(" %s, %d workers", version, workers)
			t.Run("retained"+name, func(t *testing.T) {
				r := mustRun(t, addr, Scenario{Kind: KindRetained, Version: version, Publishers: 4, Subscribers: 2, Messages: 250, QoS: 1, Window: 32}, with)
				wantClean(t, r)
				if r.Check.Expected != 2000 || len(r.Stages) != 2 || r.Stages[0].Units != 1000 || r.Stages[1].Units != 2000 {
					t.Errorf("check %+v, stages %+v", r.Check, r.Stages)
				}
			})
			t.Run("offline"+name, func(t *testing.T) {
				r := mustRun(t, addr, Scenario{Kind: KindOffline, Version: version, Publishers: 5, Subscribers: 5, Messages: 100, QoS: 1, Window: 16}, with)
				wantClean(t, r)
				if r.Check.Expected != 500 || len(r.Stages) != 2 || r.Stages[1].Units != 500 {
					t.Errorf("check %+v, stages %+v", r.Check, r.Stages)
				}
			})
			t.Run("churn"+name, func(t *testing.T) {
				r := mustRun(t, addr, Scenario{
					Kind: KindChurn, Version: version, Clients: 50, ChurnRate: 200, Publishers: 5, Subscribers: 5, QoS: 1, Rate: 20, Duration: time.Second,
				}, with)
				wantClean(t, r)
				if n := r.Stages[0].Counts.Opened; n < 150 || n > 210 {
					t.Errorf("%d connections came and went in a second, want 200", n)
				}
			})
			t.Run("storm"+name, func(t *testing.T) {
				r := mustRun(t, addr, Scenario{
					Kind: KindStorm, Version: version, Clients: 80, Subscribed: true, Publishers: 5, Subscribers: 5, QoS: 1, Rate: 20, Duration: time.Second,
				}, with)
				wantClean(t, r)
				if s := r.Stages[1]; s.Counts.Opened != 80 || s.Connected != 90 {
					t.Errorf("%d came back, %d connected, want 80, 90", s.Counts.Opened, s.Connected)
				}
			})
		}
	}
}
