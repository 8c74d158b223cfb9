package millrace_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// config is that of a node on free ports, with a folder of its own.
func config(t *testing.T) *millrace.Config {
	t.Helper()
	cfg := millrace.Defaults()
	cfg.Node.DataDir = t.TempDir()
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Listeners = map[string]millrace.Listener{"tcp": {Type: millrace.MQTT, Address: "127.0.0.1:0"}}
	return cfg
}

// A start that fails at any of its steps says why and leaves nothing behind: neither goroutines nor addresses, and the folder can be
// used by the next one.
func TestFailedStartLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	cfg := config(t)
	for name, spoil := range map[string]func(c *millrace.Config){
		"max_inflight":          func(c *millrace.Config) { c.Limits.MaxInflight = 0 },
		"node.data_dir":         func(c *millrace.Config) { c.Node.DataDir = file },
		"listener tcp":          func(c *millrace.Config) { c.Listeners = listeners(millrace.MQTT, taken.Addr().String()) },
		"listeners.tcp.tls.key": func(c *millrace.Config) { c.Listeners = listeners(millrace.MQTTS, "127.0.0.1:0") },
		"admin":                 func(c *millrace.Config) { c.Admin.Address = taken.Addr().String() },
	} {
		bad := *cfg
		spoil(&bad)
		if node, err := millrace.Start(t.Context(), &bad, discard()); err == nil {
			node.Stop(t.Context())
			t.Errorf("%s: started", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the error does not say so: %v", name, err)
		}
	}
	node, err := millrace.Start(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for try := 0; runtime.NumGoroutine() > before; try++ {
		if try == 1000 {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func listeners(kind millrace.ListenerType, address string) map[string]millrace.Listener {
	return map[string]millrace.Listener{"tcp": {Type: kind, Address: address}}
}

// Stop may be called again, and by several at once; Start and Stop do not change the settings.
func TestStopTwice(t *testing.T) {
	cfg := config(t)
	node, err := millrace.Start(t.Context(), cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	for range 3 {
		go func() { ended <- node.Stop(context.Background()) }()
	}
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if cfg.Node.Name != "" || cfg.Listeners["tcp"].TLS.MinVersion != "" {
		t.Errorf("Start changed the settings: %+v", cfg)
	}
	if _, err := net.Dial("tcp", node.Addr("tcp").String()); err == nil {
		t.Error("the address still takes connections")
	}
}

func TestLoadConfigAndCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.yaml")
	text := "listeners:\n  tls:\n    type: mqtts\n    tls: {cert: " + path + ", key: " + path + "}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := millrace.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := millrace.Check(cfg); err == nil || !strings.Contains(err.Error(), "listener tls") {
		t.Errorf("a certificate that is none passed: %v", err)
	}
	if err := millrace.Check(millrace.Defaults()); err != nil {
		t.Error(err)
	}
}
