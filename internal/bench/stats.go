package bench

import (
	"encoding/json"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in nanoseconds up to two minutes, to three digits; below a microsecond they are all alike.
const (
	latencyLowest  = 1000
	latencyHighest = int64(2 * time.Minute)
	latencyDigits  = 3
)

// histogram of latencies that travels as JSON (base64 of the compressed V2 encoding that all HdrHistogram libraries read).
type histogram struct{ *hdrhistogram.Histogram }

func newHistogram() histogram {
	return histogram{hdrhistogram.New(latencyLowest, latencyHighest, latencyDigits)}
}

// record takes a latency; what is out of range counts as the nearest that is within.
func (h histogram) record(ns int64) {
	_ = h.RecordValue(max(0, min(ns, latencyHighest)))
}

// merge adds o, which may be empty.
func (h histogram) merge(o histogram) {
	if o.Histogram != nil {
		h.Merge(o.Histogram)
	}
}

// MarshalJSON encodes it; an empty one is null.
func (h histogram) MarshalJSON() ([]byte, error) {
	if h.Histogram == nil || h.TotalCount() == 0 {
		return []byte("null"), nil
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON decodes what MarshalJSON wrote.
func (h *histogram) UnmarshalJSON(b []byte) error {
	var s string
	if string(b) == "null" {
		return nil
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	d, err := hdrhistogram.Decode([]byte(s))
	h.Histogram = d
	return err
}

// counters of one worker. All but connected only grow.
type counters struct {
	Sent      uint64 `json:"sent"`     // PUBLISH packets written
	Acked     uint64 `json:"acked"`    // of these, acknowledged
	Refused   uint64 `json:"refused"`  // of these, with a reason that means failure
	Received  uint64 `json:"received"` // PUBLISH packets read
	BytesOut  uint64 `json:"bytes_out"`
	BytesIn   uint64 `json:"bytes_in"`
	Opened    uint64 `json:"opened"`      // connections established, with their subscriptions
	Failed    uint64 `json:"failed"`      // connections that were not
	Dropped   uint64 `json:"dropped"`     // established connections that the broker ended
	Pings     uint64 `json:"pings"`       // answered
	Stalls    uint64 `json:"stalls"`      // windows that were given up because nothing moved
	Redeliver uint64 `json:"redelivered"` // received with the DUP flag
}

// minus returns the growth since o.
func (c counters) minus(o counters) counters {
	c.Sent -= o.Sent
	c.Acked -= o.Acked
	c.Refused -= o.Refused
	c.Received -= o.Received
	c.BytesOut -= o.BytesOut
	c.BytesIn -= o.BytesIn
	c.Opened -= o.Opened
	c.Failed -= o.Failed
	c.Dropped -= o.Dropped
	c.Pings -= o.Pings
	c.Stalls -= o.Stalls
	c.Redeliver -= o.Redeliver
	return c
}

func (c *counters) add(o counters) {
	c.Sent += o.Sent
	c.Acked += o.Acked
	c.Refused += o.Refused
	c.Received += o.Received
	c.BytesOut += o.BytesOut
	c.BytesIn += o.BytesIn
	c.Opened += o.Opened
	c.Failed += o.Failed
	c.Dropped += o.Dropped
	c.Pings += o.Pings
	c.Stalls += o.Stalls
	c.Redeliver += o.Redeliver
}

// latencies of the four things that are timed.
type latencies struct {
	Delivery histogram `json:"delivery"` // due to received
	Ack      histogram `json:"ack"`      // due to acknowledged (PUBACK, PUBCOMP)
	Connect  histogram `json:"connect"`  // due to CONNACK, or SUBACK where there is a subscription
	Ping     histogram `json:"ping"`     // PINGREQ to PINGRESP
}

func newLatencies() latencies {
	return latencies{newHistogram(), newHistogram(), newHistogram(), newHistogram()}
}

func (l *latencies) reset() {
	l.Delivery.Reset()
	l.Ack.Reset()
	l.Connect.Reset()
	l.Ping.Reset()
}

func (l *latencies) merge(o latencies) {
	l.Delivery.merge(o.Delivery)
	l.Ack.merge(o.Ack)
	l.Connect.merge(o.Connect)
	l.Ping.merge(o.Ping)
}

// sample is what one worker did in one interval of a stage.
type sample struct {
	Stage     int               `json:"stage"`
	From      int64             `json:"from"` // nanoseconds of the run
	To        int64             `json:"to"`
	Counters  counters          `json:"counters"`
	Latencies latencies         `json:"latencies"`
	Connected int               `json:"connected"`
	Progress  float64           `json:"progress"` // 0 to 1
	Errors    map[string]uint64 `json:"errors,omitempty"`
	CPU       time.Duration     `json:"cpu"` // of the worker's process, in this interval
	Broker    *Use              `json:"broker,omitempty"`
}
