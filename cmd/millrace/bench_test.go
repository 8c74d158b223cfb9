package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/internal/bench"
)

func TestBenchFlagsChangeTheScenario(t *testing.T) {
	for _, c := range []struct {
		scenario, flags string
		want            func(s *bench.Scenario)
	}{
		{"fanout", "", func(*bench.Scenario) {}},
		{"fanout", "--clients 7", func(s *bench.Scenario) { s.Subscribers = 7 }},
		{"pairs", "--clients 7 --qos 2", func(s *bench.Scenario) { s.Publishers, s.Subscribers, s.QoS = 7, 7, 2 }},
		{"fanin", "--clients 7", func(s *bench.Scenario) { s.Publishers = 7 }},
		{"idle", "--clients 7 --connect-rate 3 -k 9", func(s *bench.Scenario) { s.Clients, s.ConnectRate, s.KeepAlive = 7, 3, 9 }},
		{"pairs", "--message-rate 20", func(s *bench.Scenario) { s.Rate, s.Window = 20, 0 }},
		{"pairs", "--message-rate 20 --window 5", func(s *bench.Scenario) { s.Rate, s.Window = 20, 5 }},
		{"pairs", "--payload-size 99 --duration 3s --warm-up 1s -V 5", func(s *bench.Scenario) {
			s.Payload, s.Duration, s.WarmUp, s.Version = 99, 3*time.Second, time.Second, "5"
		}},
	} {
		t.Run(c.scenario+" "+c.flags, func(t *testing.T) {
			want, err := bench.FindScenario(c.scenario)
			if err != nil {
				t.Fatal(err)
			}
			got := want
			c.want(&want)
			o := new(load)
			flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
			o.add(flags)
			if err := flags.Parse(strings.Fields(c.flags)); err != nil {
				t.Fatal(err)
			}
			o.apply(&got)
			if got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestBench(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("driving load needs Linux")
	}
	b := broker(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	text := "name: mine\nabout: three pairs\nkind: flow\npublishers: 3\nsubscribers: 3\nmessages: 100\nqos: 2\nwindow: 8\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "", "bench", file, "-b", b.url, "--quiet", "--report", filepath.Join(dir, "report"))
	if err != nil || !strings.Contains(out, "300 expected, 300 received, 0 lost") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "report", "index.html")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"a.json", "b.json"} {
		out, err := command(t, "", "bench", file, "-b", b.url, "--quiet", "-o", "json", "--rounds", "4")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err = command(t, "", "bench", "compare", filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json"))
	if err != nil || !strings.Contains(out, "rate per s") || !strings.Contains(out, "delivery p99") || strings.Contains(out, "unknown") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = command(t, "", "bench", "list")
	if err != nil || !strings.Contains(out, "sharedsub-1k-5") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A broker that refuses makes the command fail, with a result that says why.
func TestBenchReportsFailure(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("driving load needs Linux")
	}
	b := broker(t, "limits.max_packet_size=256")
	out, err := command(t, "", "bench", "pairs", "-b", b.url, "--quiet", "--payload-size", "1000", "--messages", "10", "--duration", "0", "--drain", "100ms")
	if err == nil || !strings.Contains(out, "PROBLEMS") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := command(t, "", "bench", "nonsense"); err == nil {
		t.Error("an unknown scenario is accepted")
	}
}
