package millrace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	pebblefs "github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/internal/config"
	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/internal/state"
	"github.com/millrace-mq/millrace/internal/vfs"
	"github.com/millrace-mq/millrace/internal/wal"
)

// store is what a node keeps on disk.
type store struct {
	wal    *wal.Log
	logs   *replog.Host
	queues *depot.Depot
	kept   *kept // nil: sessions end with the process
	// failed and stopped are closed when the disk failed, and by close.
	failed, stopped chan struct{}
}

// logFolder is where the shared log is, within node.data_dir.
const logFolder = "log"

// nodeNumber is that of a node that is alone.
const nodeNumber = 1

// openStore opens the log, and the queues in it. runner has partitions pumped.
func openStore(ctx context.Context, cfg *Config, log *slog.Logger, runner depot.Runner, d *disk) (*store, error) {
	dir := filepath.Join(cfg.Node.DataDir, logFolder)
	w, err := wal.Open(wal.Options{FS: d.log, Dir: dir, Logger: log, MaxPending: 4 * int(cfg.Queues.MaxUnsynced)})
	if err != nil {
		return nil, fmt.Errorf("node.data_dir: %w", err)
	}
	s := &store{wal: w, logs: replog.New(replog.Options{Log: w, Node: nodeNumber, MaxUncommitted: 2 * int(cfg.Queues.MaxUnsynced), Logger: log})}
	s.queues, err = depot.Open(ctx, depotOptions(cfg, log, depot.OnHost(s.logs, nodeNumber), runner))
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if cfg.Sessions.Durable {
		dir := filepath.Join(cfg.Node.DataDir, keptFolder)
		if s.kept, err = openKept(ctx, state.StoreOptions{FS: d.kept, Dir: dir, Log: log}, w, s.logs); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.watch()
	return s, nil
}

// disk is where a store is.
type disk struct {
	log  vfs.FS
	kept pebblefs.FS // nil: the system's
}

// watch has failed closed when the node cannot store anything any more.
func (s *store) watch() {
	if s.kept == nil {
		return
	}
	s.failed = make(chan struct{})
	s.stopped = make(chan struct{})
	go func() { // ends with close
		select {
		case <-s.wal.Failed():
		case <-s.kept.store.Failed():
		case <-s.stopped:
			return
		}
		close(s.failed)
	}()
}

// Failed is closed when the node cannot store anything any more.
func (s *store) Failed() <-chan struct{} {
	if s.kept == nil {
		return s.wal.Failed()
	}
	return s.failed
}

// err is why Failed was closed, nil before.
func (s *store) err() error {
	if s.kept == nil {
		return s.wal.Err()
	}
	return errors.Join(s.wal.Err(), s.kept.store.Err())
}

// close ends everything that openStore began.
func (s *store) close() error {
	if s == nil {
		return nil
	}
	if s.queues != nil {
		s.queues.Stop()
	}
	if s.stopped != nil {
		close(s.stopped)
	}
	s.logs.Close()
	err := s.kept.close()
	return errors.Join(err, s.wal.Close())
}

func depotOptions(cfg *Config, log *slog.Logger, logs depot.Logs, runner depot.Runner) depot.Options {
	q := &cfg.Queues
	o := depot.Options{
		Logs: logs, Log: log, Runner: runner, AutoCreate: q.AutoCreate, Defaults: queueSettings(&q.Defaults),
		Declared: map[string]depot.Settings{}, MaxQueues: q.MaxQueues, MaxPartitions: q.MaxPartitions, Memory: int64(q.ReadCache),
	}
	for name, d := range q.Declared {
		o.Declared[name] = queueSettings(&d)
	}
	return o
}

// queueSettings says in the depot's words what the configuration says.
func queueSettings(q *config.Queue) depot.Settings {
	duration := func(d time.Duration) depot.Duration { return depot.Duration(d) }
	return depot.Settings{
		Partitions: q.Partitions, ReplicationFactor: q.ReplicationFactor, MinISR: q.MinISR, ReplicaSync: q.ReplicaSync,
		Capture: q.Capture, Retention: q.Retention, MaxAge: duration(q.MaxAge), MaxBytes: int64(q.MaxBytes), MaxDepth: int64(q.MaxDepth),
		Overflow: q.Overflow, Lease: duration(q.Lease), MaxDeliveries: int64(q.MaxDeliveries), Backoff: duration(q.Backoff),
		MaxBackoff: duration(q.MaxBackoff), Dispatch: q.Dispatch, DedupWindow: duration(q.DedupWindow),
		MaxMessageSize: int64(q.MaxMessageSize), Paused: q.Paused,
	}
}
