package millrace

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/mqtt"
)

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// A node that starts finds every session and subscription again, and says so.
func TestManySessionsComeBack(t *testing.T) {
	many := 100_000
	if testing.Short() {
		many = 5_000
	}
	cfg := Defaults()
	cfg.Admin.Address, cfg.Node.DataDir = "", t.TempDir()
	l := cfg.Listeners["mqtt"]
	l.Address = "127.0.0.1:0"
	cfg.Listeners["mqtt"] = l
	cfg = cfg.Completed()
	fill(t, cfg, many)

	var out lines
	began := time.Now()
	n, err := Start(t.Context(), cfg, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started with %d sessions in %v", many, time.Since(began))
	s := n.broker.State()
	if s.Sessions != uint64(many) || s.Subscriptions != uint64(many) {
		t.Errorf("%d sessions, %d subscriptions, want %d", s.Sessions, s.Subscriptions, many)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if want := fmt.Sprintf("msg=\"sessions restored\" sessions=%d", many); !strings.Contains(out.text.String(), want) {
		t.Errorf("the log does not say %s", want)
	}
}

// fill writes sessions with a subscription each.
func fill(t *testing.T, cfg *Config, many int) {
	t.Helper()
	var o options
	s, err := openStore(t.Context(), cfg, slog.New(slog.DiscardHandler), nil, o.disk())
	if err != nil {
		t.Fatal(err)
	}
	set := s.kept.set
	for i := range many {
		id := fmt.Sprint("device-", i)
		shard := set.Shard(state.ShardOf(id))
		sid := shard.NewSession()
		shard.Head(state.Waiters{}, sid, &session.Snapshot{ClientID: id, Version: mqtt.V5, Expiry: session.Never, EndsAt: 1<<63 - 1})
		shard.Subscribe(state.Waiters{}, sid, "to/"+id, &session.SubOptions{QoS: 1}, "")
		if i%1000 == 0 {
			set.FlushDirty()
		}
	}
	for set.FlushDirty(); !set.Idle(); set.FlushDirty() {
		time.Sleep(time.Millisecond)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// A node in memory serves as any other and leaves nothing.
func TestInMemory(t *testing.T) {
	cfg := Defaults()
	cfg.Admin.Address, cfg.Node.DataDir = "", t.TempDir()+"/never"
	l := cfg.Listeners["mqtt"]
	l.Address = "127.0.0.1:0"
	cfg.Listeners["mqtt"] = l
	n, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler), InMemory())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
