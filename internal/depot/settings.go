package depot

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/replog"
	"github.com/millrace-mq/millrace/topic"
)

// Settings are those of one queue, as users give them. The zero value of a limit means none, unless it says otherwise.
type Settings struct {
	// Partitions is the number of logs that the messages are spread over; order is kept within each. It cannot be changed.
	Partitions int `json:"partitions"`
	// ReplicationFactor is the number of nodes that keep each partition; 0: as many as there are, three at most.
	ReplicationFactor int `json:"replication_factor"`
	// MinISR is how many replicas must be in sync, or else publishes are refused; 0: a majority.
	MinISR int `json:"min_isr"`
	// ReplicaSync says when a publish is acknowledged: on disk on a majority (quorum), on all replicas that are in sync
	// (all), on the leader (leader).
	ReplicaSync string `json:"replica_sync"`
	// Capture are filters of ordinary topics whose messages are stored as well as delivered.
	Capture []string `json:"capture,omitempty"`
	// Retention: work keeps a message until every group has settled it, log by age, bytes and number.
	Retention string `json:"retention"`
	// MaxAge drops messages that were stored longer ago.
	MaxAge Duration `json:"max_age"`
	// MaxBytes and MaxDepth bound what is kept, in bytes and in messages, all partitions together: each partition has its
	// share.
	MaxBytes int64 `json:"max_bytes"`
	MaxDepth int64 `json:"max_depth"`
	// Overflow is what happens at either bound under retention work: reject the new message, or drop_oldest. Retention log
	// drops the oldest.
	Overflow string `json:"overflow"`
	// Lease is how long a consumer may take to settle a message before it is delivered again; 0: for ever.
	Lease Duration `json:"lease"`
	// MaxDeliveries is how often a message is delivered to a group before it goes to the dead-letter queue; 0: no limit.
	MaxDeliveries int64 `json:"max_deliveries"`
	// Backoff is the pause before a message is delivered again that a consumer refused. It doubles with every refusal, up to
	// MaxBackoff.
	Backoff    Duration `json:"backoff"`
	MaxBackoff Duration `json:"max_backoff"`
	// Dispatch: shared gives the next message to any member with room; key_ordered keeps those of a key in order, one at a
	// time.
	Dispatch string `json:"dispatch"`
	// DedupWindow is how long a dedup-id keeps a second message out; 0: not at all.
	DedupWindow Duration `json:"dedup_window"`
	// MaxMessageSize bounds topic, properties and payload of a message together, in bytes.
	MaxMessageSize int64 `json:"max_message_size"`
	// Paused stops deliveries, not publishes.
	Paused bool `json:"paused"`
}

// Duration is a time span whose text is that of time.Duration.
type Duration time.Duration

// MarshalText writes it as 1m30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes it as 1m30s, whole minutes and hours without the zeros behind them.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// UnmarshalText reads what MarshalText writes, and other forms that time.ParseDuration knows.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

func (d Duration) milliseconds() int64 { return time.Duration(d).Milliseconds() }

// DefaultSettings are those of a queue that nobody configured.
func DefaultSettings() Settings {
	return Settings{
		Partitions: 1, ReplicaSync: "quorum", Retention: "work", Overflow: "reject",
		Lease: Duration(30 * time.Second), MaxDeliveries: 5,
		Backoff: Duration(time.Second), MaxBackoff: Duration(time.Minute),
		Dispatch: "shared", DedupWindow: Duration(5 * time.Minute), MaxMessageSize: 1 << 20,
	}
}

// Bounds of settings.
const (
	MaxPartitions = 10_000
	maxReplicas   = 7
	maxCaptures   = 100
)

var (
	retentions = map[string]queue.Retention{"work": queue.RetainWork, "log": queue.RetainLog}
	overflows  = map[string]queue.Overflow{"reject": queue.Reject, "drop_oldest": queue.DropOldest}
	dispatches = map[string]queue.Dispatch{"shared": queue.Shared, "key_ordered": queue.KeyOrdered}
	modes      = map[string]replog.Mode{"quorum": replog.ModeQuorum, "all": replog.ModeAll, "leader": replog.ModeLeader}
)

// Check tells what is wrong with the settings, each with the name of the setting.
func (s *Settings) Check() error {
	var errs []error
	bad := func(setting, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", setting, fmt.Sprintf(format, args...)))
	}
	between := func(setting string, n, least, most int64) {
		if n < least || n > most {
			bad(setting, "%d is not within %d and %d", n, least, most)
		}
	}
	between("partitions", int64(s.Partitions), 1, MaxPartitions)
	between("replication_factor", int64(s.ReplicationFactor), 0, maxReplicas)
	between("min_isr", int64(s.MinISR), 0, maxReplicas)
	if s.ReplicationFactor > 0 && s.MinISR > s.ReplicationFactor {
		bad("min_isr", "%d is more than there are replicas, %d", s.MinISR, s.ReplicationFactor)
	}
	word(bad, "replica_sync", s.ReplicaSync, modes)
	word(bad, "retention", s.Retention, retentions)
	word(bad, "overflow", s.Overflow, overflows)
	word(bad, "dispatch", s.Dispatch, dispatches)
	between("capture", int64(len(s.Capture)), 0, maxCaptures)
	for _, f := range s.Capture {
		if err := topic.ValidateFilter([]byte(f), 0); err != nil || f[0] == '$' {
			bad("capture", "%q is no filter of ordinary topics", f)
		}
	}
	if len(errs) == 0 {
		p := s.partition("")
		if err := p.Check(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func word[T any](bad func(string, string, ...any), setting, value string, words map[string]T) {
	if _, ok := words[value]; !ok {
		bad(setting, "%q is no such word", value)
	}
}

// partition gives the settings of one partition of the queue with the name.
func (s *Settings) partition(name string) queue.Settings {
	p := queue.Settings{
		Retention: retentions[s.Retention], Overflow: overflows[s.Overflow], Dispatch: dispatches[s.Dispatch],
		MaxAge: s.MaxAge.milliseconds(), MaxBytes: share(s.MaxBytes, s.Partitions), MaxDepth: share(s.MaxDepth, s.Partitions),
		MaxMessageSize: s.MaxMessageSize, Lease: s.Lease.milliseconds(), MaxDeliveries: s.MaxDeliveries,
		Backoff: s.Backoff.milliseconds(), BackoffMax: s.MaxBackoff.milliseconds(),
		DeadLetters: true, DedupWindow: s.DedupWindow.milliseconds(), Paused: s.Paused,
	}
	if IsDeadLetterQueue(name) {
		p.DeadLetters, p.MaxDeliveries = false, 0 // nothing is lost here for having been looked at
	}
	return p
}

// share is what each of n partitions may have of a limit.
func share(limit int64, n int) int64 { return (limit + int64(n) - 1) / int64(n) }

func (s *Settings) replication() Replication {
	return Replication{Factor: s.ReplicationFactor, MinInSync: s.MinISR, Mode: modes[s.ReplicaSync]}
}

// deadLetters are the settings of the dead-letter queue of a queue with these settings: what it holds waits for a person.
func (s *Settings) deadLetters() Settings {
	d := DefaultSettings()
	d.ReplicationFactor, d.MinISR, d.ReplicaSync = s.ReplicationFactor, s.MinISR, s.ReplicaSync
	d.MaxMessageSize = 0 // the letter is longer than the message by its properties
	return d
}
