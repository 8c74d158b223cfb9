package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace"
	"github.com/millrace-mq/millrace/internal/config"
	"github.com/millrace-mq/millrace/internal/observe"
)

func serveCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Run the broker until it is interrupted. Without a file and flags it listens on port 1883 for clients
and on 127.0.0.1:18083 for operators (/livez, /readyz, /metrics).

The first SIGINT or SIGTERM lets clients take what is being sent to them and tells them to go, for
node.drain_timeout at most; a second one ends the process at once. SIGHUP reads certificates again.`,
		Example: `  millrace serve
  millrace serve --ws :8083
  millrace serve -c /etc/millrace/millrace.yaml
  millrace serve --mqtt 127.0.0.1:1884 --admin off --set limits.max_connections=1000`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := s.load()
			if err != nil {
				return err
			}
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer signal.Stop(signals)
			return serve(c.Context(), conf, c.ErrOrStderr(), signals)
		},
	}
	s.flags(c.Flags())
	return c
}

// errAgain ends a drain that somebody lost patience with.
var errAgain = errors.New("stopped before every client was told")

// serve runs a node until a signal arrives or ctx ends.
func serve(ctx context.Context, conf *config.Config, errs io.Writer, signals <-chan os.Signal) error {
	millrace.Version = versionText()
	log, err := observe.NewLog(errs, conf.Log.Level, conf.Log.Format)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(conf.Node.DataDir, 0o700); err != nil {
		return fmt.Errorf("node.data_dir: %w", err)
	}
	node, err := millrace.Start(ctx, conf, log)
	if err != nil {
		return err
	}
	if conf.Log.Format == "text" {
		summary(errs, conf, node)
	}
	log.Info("ready", "version", millrace.Version, "node", conf.Node.Name)
	if wait(ctx, node, log, signals); node.Err() != nil {
		log.Error("stopped by the disk", "error", node.Err())
		return node.Err()
	}
	log.Info("stopping", "drain_timeout", conf.Node.DrainTimeout.String())
	limit, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), conf.Node.DrainTimeout, context.DeadlineExceeded)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- node.Stop(limit) }() // ends when the node has, or with the process
	for waits := true; waits; {
		select {
		case err = <-stopped:
			waits = false
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return errAgain
			}
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("clients were still connected", "drain_timeout", conf.Node.DrainTimeout.String())
		err = nil
	}
	log.Info("stopped")
	return err
}

// wait returns when the node is to stop. Until then it reloads certificates on SIGHUP.
func wait(ctx context.Context, node *millrace.Node, log *slog.Logger, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-node.Failed():
			return
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return
			}
			if err := node.Reload(); err != nil {
				log.Error("certificates not reloaded, the old ones stay", "error", err)
				continue
			}
			log.Info("certificates reloaded")
		}
	}
}

// summary says where everything is, for whoever started the node in a terminal.
func summary(w io.Writer, conf *config.Config, node *millrace.Node) {
	fmt.Fprintf(w, "millrace %s\n", millrace.Version)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		fmt.Fprintln(t, strings.TrimRight("  "+strings.Join(cells, "\t"), "\t"))
	}
	for _, name := range conf.ListenerNames() {
		l := conf.Listeners[name]
		where := "?"
		if a := node.Addr(name); a != nil {
			where = a.String()
		}
		row("listener", name, string(l.Type), where+l.Path, notes(&l))
	}
	if a := node.AdminAddr(); a != nil {
		paths := "/livez /readyz /metrics"
		if conf.Admin.Pprof {
			paths += " /debug/pprof/"
		}
		row("admin", "", "http", a.String(), paths)
	}
	row("data", "", "", conf.Node.DataDir)
	row("node", conf.Node.Name, "", "", fmt.Sprintf("packets up to %s, sessions kept %s", conf.Limits.MaxPacketSize, lasting(conf.Limits.MaxSessionExpiry)))
	_ = t.Flush() // standard error is gone: nobody reads it
}

// notes says what is special about a listener.
func notes(l *config.Listener) string {
	var all []string
	if l.TLS.ClientAuth != config.ClientAuthNone {
		all = append(all, "client certificates: "+string(l.TLS.ClientAuth))
	}
	if l.ProxyProtocol {
		all = append(all, "PROXY protocol")
	}
	return strings.Join(all, ", ")
}

func lasting(d time.Duration) string {
	if d == 0 {
		return "for ever"
	}
	return "up to " + config.FormatDuration(d)
}
