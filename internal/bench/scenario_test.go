package bench

import (
	"strings"
	"testing"
	"time"
)

// The scenarios that the documentation and the vendors name are there, and every one can be planned.
func TestBuiltIn(t *testing.T) {
	all, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range all {
		names[s.Name] = true
		if s.About == "" {
			t.Errorf("%s does not say what it is about", s.Name)
		}
		for _, workers := range []int{1, 7} {
			clients, measured := 0, 0
			for w := range workers {
				p, err := build(s, Target{}, "run", w, workers)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range p.Groups {
					clients += g.Count
				}
				for _, st := range p.Stages {
					if st.Measured && w == 0 {
						measured++
					}
				}
			}
			if clients != s.Sockets() || measured == 0 {
				t.Errorf("%s over %d workers: %d clients, want %d; %d stages measured", s.Name, workers, clients, s.Sockets(), measured)
			}
		}
	}
	for _, n := range strings.Fields("idle connect fanout pairs fanin shared retained offline churn queue storm p2p-1k fanout-1-1k sharedsub-1k-5 " +
		"conn-10k conn-tcp-1M-5K fanout-5-1000-5-250K p2p-50K-50K-50K-50K sharedsub-50K-500-50K-50K") {
		if !names[n] {
			t.Errorf("scenario %s is missing", n)
		}
	}
}

func TestScenarioErrors(t *testing.T) {
	const good = "name: x\nkind: flow\npublishers: 1\nduration: 1s\n"
	if _, err := ParseScenario([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		good + "publisher: 2\n":                     "publisher",
		good + "kind: flood\n":                      "",
		"name: x\nkind: flood\nduration: 1s\n":      "kind",
		good + "payload: 8\n":                       "payload",
		good + "qos: 3\n":                           "qos",
		good + "subscribers: 5\nmembers: 2\n":       "groups",
		good + "version: \"4\"\n":                   "version",
		good + "rate: -1\n":                         "rate",
		"name: x\nkind: flow\npublishers: 1\n":      "when to end",
		"name: x\nkind: idle\nduration: 1s\n":       "clients",
		"name: x\nkind: storm\nduration: 1s\n":      "clients",
		"name: x\nkind: offline\nduration: 1s\n":    "messages",
		"name: x\nkind: retained\nduration: 1s\n":   "messages",
		"kind: flow\npublishers: 1\nduration: 1s\n": "name",
	} {
		if _, err := ParseScenario([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one about %q", text, err, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]Target{
		"localhost":                     {Transport: "tcp", Host: "localhost:1883"},
		"10.0.0.1:77":                   {Transport: "tcp", Host: "10.0.0.1:77"},
		"mqtts://b.example":             {Transport: "tls", Host: "b.example:8883"},
		"ws://b.example/x":              {Transport: "ws", Host: "b.example:8080", Path: "/x"},
		"mqtt://me:secret@b.example:99": {Transport: "tcp", Host: "b.example:99", Username: "me", Password: "secret"},
		":1884":                         {Transport: "tcp", Host: "127.0.0.1:1884"},
		"::1":                           {Transport: "tcp", Host: "[::1]:1883"},
	} {
		got, err := ParseTarget(in)
		if err != nil || got.Transport != want.Transport || got.Host != want.Host || got.Path != want.Path || got.Username != want.Username || got.Password != want.Password {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	if _, err := ParseTarget("http://x"); err == nil {
		t.Error("http is accepted")
	}
}

// Publishers and subscribers of one topic are in the same worker where the counts allow it, so that windows work.
func TestPairsStayTogether(t *testing.T) {
	s := Scenario{Name: "x", Kind: KindFlow, Publishers: 10, Subscribers: 10, Duration: time.Second}
	for w := range 3 {
		p, err := build(s, Target{}, "run", w, 3)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := p.Groups[0], p.Groups[1]; a.First != b.First || a.Count != b.Count {
			t.Errorf("worker %d has publishers from %d on (%d) and subscribers from %d on (%d)", w, a.First, a.Count, b.First, b.Count)
		}
	}
}
