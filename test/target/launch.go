package target

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/millrace-mq/millrace"
	"github.com/millrace-mq/millrace/internal/config"
)

func backends() []string {
	if runtime.GOOS != "linux" {
		return []string{Portable}
	}
	return []string{Epoll, Portable}
}

// base are the settings of every node that the tests start: ports that the
// system chooses, and limits low enough to be met.
var base = []string{
	"listeners.mqtt.address=127.0.0.1:0",
	"listeners.ws.type=ws",
	"listeners.ws.address=127.0.0.1:0",
	"admin.address=",
	"sys.interval=1s",
	"limits.receive_maximum=64",
	"limits.max_packet_size=512KiB",
}

// launch starts a node in this process. Its log goes to standard error when
// MILLRACE_TEST_LOG is a level, debug for one.
func launch(backend string, settings ...string) (*Node, error) {
	dir, err := os.MkdirTemp("", "millrace-test")
	if err != nil {
		return nil, err
	}
	all := append(append([]string{"network.backend=" + backend, "node.data_dir=" + dir}, base...), settings...)
	var flags []config.Flag
	for _, s := range all {
		key, value, _ := strings.Cut(s, "=")
		flags = append(flags, config.Flag{Name: s, Key: key, Value: value})
	}
	cfg, err := config.Load(config.Source{Flags: flags})
	if err != nil {
		return nil, err
	}
	node, err := millrace.Start(context.Background(), cfg, logger(), millrace.WithMechanisms(mechanisms))
	if err != nil {
		return nil, err
	}
	n := &Node{TCP: node.Addr("mqtt").String()}
	if ws := node.Addr("ws"); ws != nil {
		n.WS = ws.String()
	}
	n.Stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "stop of the node under test:", err)
		}
		os.RemoveAll(dir)
	}
	return n, nil
}

func logger() *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("MILLRACE_TEST_LOG"))) != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
