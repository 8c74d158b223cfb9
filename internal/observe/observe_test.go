package observe

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update
var update = flag.Bool("update", false, "write the generated pages again")

func scrape(t *testing.T, read func(*Sample)) string {
	t.Helper()
	h := Handler("1.2.3", "n1", read, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	text := scrape(t, func(s *Sample) {
		s.Clients = 7
		s.PublishesSent = [3]uint64{10, 11, 12}
		s.Dropped[3] = 5
		s.ListenerConnections = map[string]uint64{"mqtt": 3, "tls": 4}
	})
	for _, want := range []string{
		"millrace_clients_connected 7",
		`millrace_publishes_sent_total{qos="2"} 12`,
		`millrace_messages_dropped_total{reason="too_large"} 5`,
		`millrace_listener_connections{listener="tls"} 4`,
		`millrace_info{go="`,
		"# TYPE millrace_publishes_sent_total counter",
		"# TYPE millrace_clients_connected gauge",
		"go_goroutines ",
		"process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// No label but these, whose values the operator or the program chooses.
func TestLabelsAreBounded(t *testing.T) {
	names := map[string]bool{}
	for _, m := range metrics() {
		if reason := m.check(); reason != "" {
			t.Errorf("%s: %s", m.name, reason)
		}
		if m.values == nil && m.label != "" && m.label != "listener" {
			t.Errorf("%s: label %s has values without a bound", m.name, m.label)
		}
		if names[m.name] {
			t.Errorf("%s twice", m.name)
		}
		names[m.name] = true
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	const page = "../../docs/metrics.md"
	var want bytes.Buffer
	if err := WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not current: make docs", page)
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLog(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", "client", "a\n{\"level\":\"ERROR\"}")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if record["msg"] != "loud" {
		t.Errorf("%v", record)
	}
	out.Reset()
	if log, err = NewLog(&out, "debug", "text"); err != nil {
		t.Fatal(err)
	}
	log.Debug("x", "client", "a\nlevel=ERROR")
	if lines := strings.Count(out.String(), "\n"); lines != 1 {
		t.Errorf("a client's name made %d lines of\n%s", lines, out.String())
	}
	for _, bad := range [][]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLog(io.Discard, bad[0], bad[1]); err == nil {
			t.Errorf("%v accepted", slices.Clone(bad))
		}
	}
}
