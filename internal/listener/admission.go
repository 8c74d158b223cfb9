package listener

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// admission enforces Limits. All loops ask it, so it takes no lock.
type admission struct {
	limits Limits
	log    *slog.Logger
	conns  atomic.Int64
	warned atomic.Int64 // unix seconds

	// The rate is kept as the time at which a bucket of AcceptBurst tokens would be full again, in nanoseconds since start:
	// each connection moves it by 1/AcceptRate.
	start    time.Time
	interval int64
	depth    int64
	full     atomic.Int64
}

func newAdmission(limits Limits, log *slog.Logger) *admission {
	a := &admission{limits: limits, log: log, start: time.Now()}
	if limits.AcceptRate > 0 {
		a.interval = max(1, int64(float64(time.Second)/limits.AcceptRate))
		burst := int64(limits.AcceptBurst)
		if burst <= 0 {
			burst = max(1, int64(limits.AcceptRate))
		}
		a.depth = burst * a.interval
	}
	return a
}

// pace returns how long to wait until there is a token.
func (a *admission) pace(now time.Time) time.Duration {
	if a.interval == 0 {
		return 0
	}
	return time.Duration(max(0, a.full.Load()+a.interval-a.depth-int64(now.Sub(a.start))))
}

// admit counts a connection and takes a token, or refuses. Loops that asked at the same time may take one token each too
// many; they are missing afterwards.
func (a *admission) admit() bool {
	if n := a.conns.Add(1); a.limits.MaxConnections > 0 && n > int64(a.limits.MaxConnections) {
		a.conns.Add(-1)
		if now, last := time.Now().Unix(), a.warned.Load(); now-last >= 10 && a.warned.CompareAndSwap(last, now) {
			a.log.Warn("connections are refused: the limit is reached", "limit", a.limits.MaxConnections)
		}
		return false
	}
	if a.interval > 0 {
		now := int64(time.Since(a.start))
		for {
			old := a.full.Load()
			if a.full.CompareAndSwap(old, max(old, now)+a.interval) {
				break
			}
		}
	}
	return true
}

// release uncounts a connection.
func (a *admission) release() { a.conns.Add(-1) }
