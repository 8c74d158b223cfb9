package admin

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func start(t *testing.T, o Options) string {
	t.Helper()
	o.Address = "127.0.0.1:0"
	o.Log = slog.New(slog.DiscardHandler)
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		io.WriteString(w, "metrics here")
	})
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

// call returns the status and the body of an answer.
func call(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestHealthAndErrors(t *testing.T) {
	var draining atomic.Bool
	base := start(t, Options{Ready: func() error {
		if draining.Load() {
			return errors.New("draining")
		}
		return nil
	}})
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/livez", 200, `{"status":"live"}`},
		{"GET", "/readyz", 200, `{"status":"ready"}`},
		{"GET", "/metrics", 200, "metrics here"},
		{"GET", "/nothing", 404, `{"error":"not found"}`},
		{"POST", "/livez", 405, `{"error":"method not allowed"}`},
		{"GET", "/debug/pprof/", 404, `{"error":"not found"}`},
		{"GET", "/debug/pprof/heap", 404, `{"error":"not found"}`},
	} {
		code, text := call(t, c.method, base+c.path, "", "")
		if code != c.code || strings.TrimSpace(text) != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, text)
		}
		if c.code != 200 && !json.Valid([]byte(text)) {
			t.Errorf("%s %s: not JSON: %s", c.method, c.path, text)
		}
	}
	draining.Store(true)
	if code, text := call(t, "GET", base+"/readyz", "", ""); code != 503 || !strings.Contains(text, `{"error":"draining"}`) {
		t.Errorf("draining: %d %s", code, text)
	}
	if code, _ := call(t, "GET", base+"/livez", "", ""); code != 200 {
		t.Errorf("draining node does not live: %d", code)
	}
}

func TestToken(t *testing.T) {
	base := start(t, Options{Token: "t0ken", Pprof: true})
	for _, path := range []string{"/metrics", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline"} {
		for token, want := range map[string]int{"": 401, "other": 401, "t0ke": 401, "t0ken": 200} {
			if code, text := call(t, "GET", base+path, token, ""); code != want {
				t.Errorf("%s with token %q: %d %s", path, token, code, text)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, _ := call(t, "GET", base+path, "", ""); code != 200 {
			t.Errorf("%s without token: %d", path, code)
		}
	}
}

func TestProfiles(t *testing.T) {
	base := start(t, Options{Pprof: true})
	if got := runtime.SetMutexProfileFraction(-1); got != mutexFraction {
		t.Errorf("mutex profile fraction %d", got)
	}
	for _, name := range []string{"heap", "mutex", "block", "goroutine", "allocs", "profile?seconds=1"} {
		if code, text := call(t, "GET", base+"/debug/pprof/"+name, "", ""); code != 200 || len(text) == 0 {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
}

func TestLargeRequests(t *testing.T) {
	base := start(t, Options{})
	for size, want := range map[int]int{maxBody: 200, maxBody + 1: 413} {
		if code, _ := call(t, "GET", base+"/metrics", "", strings.Repeat("x", size)); code != want {
			t.Errorf("body of %d bytes: %d", size, code)
		}
	}
	r, _ := http.NewRequest("GET", base+"/livez", nil)
	r.Header.Set("X", strings.Repeat("x", 64<<10))
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("large header: %d", answer.StatusCode)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	base := start(t, Options{})
	if _, err := Start(Options{Address: strings.TrimPrefix(base, "http://"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("listened twice")
	}
}
