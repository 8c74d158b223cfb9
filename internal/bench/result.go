package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Result is all that a run found out. It is written by -o json and read by compare and by test/ratio.
type Result struct {
	Scenario Scenario          `json:"scenario"`
	Label    string            `json:"label,omitempty"` // what the user calls this broker or this build
	Target   Target            `json:"target"`
	Workers  int               `json:"workers"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"`
	Machine  Machine           `json:"machine"`
	Command  string            `json:"command,omitempty"`
	Stages   []StageResult     `json:"stages"`
	Check    Check             `json:"check"`
	Errors   map[string]uint64 `json:"errors,omitempty"`
	// Problems in words: what makes the figures doubtful or shows that the broker did not do the work. Empty: none.
	Problems []string `json:"problems,omitempty"`
}

// StageResult is what one measured stage did, in the time that was measured: warm-up and drain are left out of counts and rates.
type StageResult struct {
	Name    string   `json:"name"`
	Unit    string   `json:"unit"`
	Seconds float64  `json:"seconds"`
	Units   uint64   `json:"units"`
	Counts  counters `json:"counts"`
	// CPU seconds of the broker and of the tool, and per million units. Zero where the broker's process is not known.
	BrokerCPU     float64 `json:"broker_cpu,omitempty"`
	BrokerPerM    float64 `json:"broker_cpu_per_million,omitempty"`
	ToolCPU       float64 `json:"tool_cpu"`
	ToolPerM      float64 `json:"tool_cpu_per_million"`
	RSSBefore     int64   `json:"rss_before,omitempty"`
	RSSAfter      int64   `json:"rss_after,omitempty"`
	Connected     int     `json:"connected"`
	Latency       Summary `json:"latency,omitzero"` // of deliveries
	AckLatency    Summary `json:"ack_latency,omitzero"`
	ConnectTime   Summary `json:"connect_time,omitzero"`
	PingLatency   Summary `json:"ping_latency,omitzero"`
	Series        []Point `json:"series,omitempty"`
	Interrupted   bool    `json:"interrupted,omitempty"`
	BytesPerOne   int64   `json:"rss_bytes_per_client,omitempty"` // growth of RSS per connection that the stage opened
	BrokerThreads int     `json:"broker_threads,omitempty"`
}

// Rate is units per second.
func (s *StageResult) Rate() float64 {
	if s.Seconds <= 0 {
		return 0
	}
	return float64(s.Units) / s.Seconds
}

// Summary of a latency distribution, in nanoseconds. Histogram is the whole of it, as HdrHistogram encodes it.
type Summary struct {
	Count     int64     `json:"count"`
	Min       int64     `json:"min"`
	Mean      float64   `json:"mean"`
	P50       int64     `json:"p50"`
	P90       int64     `json:"p90"`
	P95       int64     `json:"p95"`
	P99       int64     `json:"p99"`
	P999      int64     `json:"p999"`
	Max       int64     `json:"max"`
	Histogram histogram `json:"histogram"`
}

func summarize(h histogram) Summary {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return Summary{}
	}
	q := h.ValueAtPercentile
	return Summary{h.TotalCount(), h.Min(), h.Mean(), q(50), q(90), q(95), q(99), q(99.9), h.Max(), h}
}

// Point is one interval of the plots.
type Point struct {
	At        float64 `json:"at"` // seconds from the stage's beginning to the interval's middle
	Seconds   float64 `json:"seconds"`
	Sent      float64 `json:"sent"` // per second
	Received  float64 `json:"received"`
	Acked     float64 `json:"acked"`
	Opened    float64 `json:"opened"`
	Connected int     `json:"connected"`
	P50       int64   `json:"p50"` // of deliveries, or of acknowledgements, connections, pings where there are none
	P99       int64   `json:"p99"`
	Max       int64   `json:"max"`
	Cores     float64 `json:"cores,omitempty"` // of the broker
	RSS       int64   `json:"rss,omitempty"`
	Measured  bool    `json:"measured"`
}

// WriteResults writes results as JSON, one value after the other.
func WriteResults(w io.Writer, results ...*Result) error {
	e := json.NewEncoder(w)
	for _, r := range results {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// ReadResults reads what WriteResults wrote, once or many times over.
func ReadResults(file string) ([]*Result, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []*Result
	for d := json.NewDecoder(f); ; {
		var r Result
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) && len(all) > 0 {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, &r)
	}
}
