package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/millrace-mq/millrace/internal/config"
)

// screen is what a command wrote so far, and a way to wait for it.
type screen struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    bytes.Buffer
	closed  bool
}

func newScreen() *screen {
	s := new(screen)
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
	return s.text.Write(b)
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
}

// wait returns when the command has ended.
func (s *screen) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed {
		s.changed.Wait()
	}
}

// await returns the text once the pattern is in it.
func (s *screen) await(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !re.MatchString(s.text.String()) {
		if s.closed {
			t.Fatalf("ended without %q:\n%s", pattern, s.text.String())
		}
		s.changed.Wait()
	}
	return s.text.String()
}

// A running is a broker started by serve.
type running struct {
	url, admin string
	screen     *screen
	signals    chan os.Signal
	ended      chan error
}

// broker runs serve on free ports until the test ends.
func broker(t *testing.T, set ...string) *running {
	t.Helper()
	s := settings{mqtt: "127.0.0.1:0", admin: "127.0.0.1:0", data: t.TempDir(), set: set}
	conf, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, conf)
}

func serving(t *testing.T, conf *config.Config) *running {
	t.Helper()
	r := &running{screen: newScreen(), signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	go func() {
		r.ended <- serve(t.Context(), conf, r.screen, r.signals)
		r.screen.close()
	}()
	text := r.screen.await(t, "msg=ready")
	r.url = "mqtt://" + regexp.MustCompile(`mqtt +(127\.\S+)`).FindStringSubmatch(text)[1]
	r.admin = "http://" + regexp.MustCompile(`http +(127\.\S+)`).FindStringSubmatch(text)[1]
	t.Cleanup(func() {
		select {
		case r.signals <- syscall.SIGTERM:
		default:
		}
		r.screen.wait()
	})
	return r
}

// command runs millrace with args and returns what it printed.
func command(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(args, strings.NewReader(in), &out, io.Discard)
	return out.String(), err
}

// start runs millrace in the background; its output and trace go to the screen.
func start(t *testing.T, args ...string) (*screen, chan error) {
	t.Helper()
	s, ended := newScreen(), make(chan error, 1)
	go func() {
		ended <- run(args, strings.NewReader(""), s, s)
		s.close()
	}()
	return s, ended
}

func TestPublishAndSubscribe(t *testing.T) {
	b := broker(t)
	for _, version := range []string{"5", "3.1.1"} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("%s QoS %d", version, qos), func(t *testing.T) {
				q := fmt.Sprint(qos)
				out, ended := start(t, "sub", "-b", b.url, "-V", version, "-q", q, "-n", "3", "--topics", "-d", "a/+")
				out.await(t, "<- SUBACK")
				if _, err := command(t, "one\ntwo\nthree", "pub", "-b", b.url, "-V", version, "-q", q, "-l", "a/b"); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				text := out.await(t, "a/b three")
				if !regexp.MustCompile(`(?s)a/b one\n.*a/b two\n.*a/b three\n`).MatchString(text) {
					t.Errorf("printed:\n%s", text)
				}
			})
		}
	}
}

func TestJSONCarriesProperties(t *testing.T) {
	b := broker(t)
	out, ended := start(t, "sub", "-b", b.url, "-n", "1", "-o", "json", "-q", "1", "--subscription-id", "7", "j/#")
	// The subscription is there once a message comes through; publish until then.
	var report string
	for done := false; !done; {
		var err error
		report, err = command(t, "", "pub", "-b", b.url, "-q", "1", "-o", "json", "--content-type", "text/plain", "--response-topic", "r",
			"--correlation", "c", "-e", "60s", "--utf8", "-D", "k=v", "-D", "k=w", "j/1", "päyload")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
	}
	var got record
	if err := json.Unmarshal([]byte(out.await(t, "\n")), &got); err != nil {
		t.Fatal(err)
	}
	p := got.Properties
	if got.Topic != "j/1" || got.QoS != 1 || *got.Payload != "päyload" || p == nil || p.ContentType != "text/plain" || p.ResponseTopic != "r" ||
		p.CorrelationData != "c" || p.PayloadFormat != "utf-8" || *p.MessageExpiry > 60 || fmt.Sprint(p.User) != "[{k v} {k w}]" ||
		fmt.Sprint(p.SubscriptionIDs) != "[7]" {
		t.Errorf("%s", out.await(t, "\n"))
	}
	if !strings.Contains(report, `"reason":"Success"`) && !strings.Contains(report, `"reason":"No matching subscribers"`) {
		t.Errorf("pub reported %s", report)
	}
}

func TestRetainedWillAndFormat(t *testing.T) {
	b := broker(t)
	if _, err := command(t, "", "pub", "-b", b.url, "-r", "-q", "1", "lamp", "on"); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "", "sub", "-b", b.url, "-n", "1", "--format", `%t|%p|%x|%l|%q|%r|%%\n`, "lamp")
	if err != nil || out != "lamp|on|6f6e|2|0|1|%\n\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := command(t, "", "pub", "-b", b.url, "-r", "-q", "1", "--empty", "lamp"); err != nil {
		t.Fatal(err)
	}
	out, err = command(t, "", "sub", "-b", b.url, "--for", "300ms", "lamp")
	if err != nil || out != "" {
		t.Errorf("a removed retained message came: %q %v", out, err)
	}
}

func TestServeTellsWhatItDoes(t *testing.T) {
	b := broker(t, "admin.pprof=true")
	for path, want := range map[string]string{
		"/readyz": "ready", "/metrics": "millrace_loops ", "/debug/pprof/heap?debug=1": "heap profile",
	} {
		answer, err := http.Get(b.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v: no %q in %s", path, err, want, text)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	b.signals <- syscall.SIGTERM
	if err := <-b.ended; err != nil {
		t.Error(err)
	}
	text := b.screen.await(t, "msg=stopped")
	for line := range strings.Lines(text) {
		if len(line) > 120 {
			t.Errorf("does not fit a terminal: %s", line)
		}
	}
}

func TestServeRefusesBadSettings(t *testing.T) {
	b := broker(t)
	taken := strings.TrimPrefix(b.url, "mqtt://")
	for _, args := range [][]string{
		{"serve", "--set", "limits.max_inflight=0"},
		{"serve", "--set", "nonsense"},
		{"serve", "-c", filepath.Join(t.TempDir(), "none.yaml")},
		{"serve", "--mqtt", taken, "--admin", "off", "--data", t.TempDir()},
		{"serve", "--mqtt", "127.0.0.1:0", "--admin", taken, "--data", t.TempDir()},
		{"serve", "--mqtt", "127.0.0.1:0", "--admin", "off", "--data", "/dev/null/x"},
	} {
		if _, err := command(t, "", args...); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.yaml")
	text, err := command(t, "", "config", "print", "--defaults")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "", "config", "check", "-c", path); err != nil || !strings.Contains(out, "valid; listeners: mqtt") {
		t.Errorf("%q %v", out, err)
	}
	out, err := command(t, "", "config", "print", "--no-comments", "-c", path, "--mqtt", "off", "--ws", ":9", "--admin", "off", "--data", "d")
	if err != nil || !strings.Contains(out, "address: :9\n") || !strings.Contains(out, "data_dir: d\n") ||
		strings.Contains(out, "1883") || strings.Contains(out, "18083") || strings.Contains(out, "#") {
		t.Errorf("%q %v", out, err)
	}
}

func TestClientFlagsAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{"pub"}, {"pub", "t"}, {"pub", "t", "m", "--empty"}, {"pub", "a/#", "m"}, {"pub", "t", "m", "-q", "3"},
		{"pub", "t", "m", "-V", "4.0"}, {"pub", "t", "m", "-V", "3.1.1", "-D", "a=b"}, {"pub", "t", "m", "-D", "a"},
		{"pub", "t", "m", "-e", "1.5s"}, {"pub", "t", "m", "-o", "xml"}, {"pub", "t", "m", "-b", "ftp://h"},
		{"pub", "t", "m", "--will-qos", "1"}, {"pub", "t", "m", "--cert", "c"}, {"pub", "t", "m", "--ca", "/none"},
		{"pub", "t", "m", "-V", "3.1.1", "-P", "p"}, {"pub", "t", "-f", "/none"}, {"pub", "t", "m", "--header", "x"},
		{"sub"}, {"sub", "a/#/b"}, {"sub", "a", "-q", "3"}, {"sub", "a", "-V", "3.1.1", "--no-local"}, {"sub", "a", "-F", "%z"},
		{"sub", "a", "-F", "%t", "-o", "json"}, {"sub", "a", "-o", "xml"}, {"sub", "$share/g"}, {"sub", "a", "--subscription-id", "300000000"},
	} {
		if _, err := command(t, "", append(args, "--timeout", "1ms")...); err == nil {
			t.Errorf("%v was accepted", args)
		} else if strings.Contains(err.Error(), "connect") || strings.Contains(err.Error(), "i/o timeout") {
			t.Errorf("%v came as far as connecting: %v", args, err)
		}
	}
}

// The password does not show in the help text.
func TestHelpHidesThePassword(t *testing.T) {
	t.Setenv("MILLRACE_PASSWORD", "s3cret")
	out, err := command(t, "", "pub", "--help")
	if err != nil || !strings.Contains(out, "--password-file") || strings.Contains(out, "s3cret") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A subscriber comes back by itself when the broker does.
func TestSubscriberReconnects(t *testing.T) {
	first := broker(t)
	out, ended := start(t, "sub", "-b", first.url, "-n", "1", "-q", "1", "-d", "x")
	out.await(t, "<- SUBACK")
	first.signals <- syscall.SIGTERM
	<-first.ended
	out.await(t, "connecting again")
	s := settings{mqtt: strings.TrimPrefix(first.url, "mqtt://"), admin: "127.0.0.1:0", data: t.TempDir()}
	conf, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	serving(t, conf)
	out.await(t, "(?s)<- SUBACK.*<- SUBACK")
	if _, err := command(t, "", "pub", "-b", first.url, "-q", "1", "x", "back"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	out.await(t, "(?m)^back$")
}
