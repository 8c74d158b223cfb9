package replog

import (
	"context"
	"fmt"
	"log/slog"
)

// raftLogger gives what raft says to slog, one level lower: its information is
// of interest to those who look for a fault.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(...any)                {}
func (l raftLogger) Debugf(string, ...any)       {}
func (l raftLogger) Info(v ...any)               { l.log.Debug(fmt.Sprint(v...)) }
func (l raftLogger) Infof(f string, v ...any)    { l.write(l.log.Debug, slog.LevelDebug, f, v) }
func (l raftLogger) Warning(v ...any)            { l.log.Info(fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) { l.write(l.log.Info, slog.LevelInfo, f, v) }
func (l raftLogger) Error(v ...any)              { l.log.Warn(fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any)   { l.write(l.log.Warn, slog.LevelWarn, f, v) }

// Fatal and Panic say that an invariant is broken. To go on would put data at
// risk, on this replica and on others.
func (l raftLogger) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }

func (l raftLogger) write(to func(string, ...any), level slog.Level, f string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		to(fmt.Sprintf(f, v...))
	}
}
