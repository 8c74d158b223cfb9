package bench

import (
	"slices"
	"strings"
	"time"
)

// pointLeast is how many seconds an interval must have to become a point of the plots: the last one of a stage may be a splinter.
const pointLeast = 0.2

// recorder merges the samples of all workers of one stage.
type recorder struct {
	c           *coordinator
	index       int
	stage       *Stage
	start       int64
	from, to    int64 // what is measured
	end         int64 // the latest sample
	counts      counters
	timed       latencies
	connected   []int
	progress    []float64
	cpu         time.Duration // of the workers
	points      map[int64]*merged
	uses        []moment
	first, last moment // at the borders of what is measured
	interrupted bool
}

// merged is one interval over all workers.
type merged struct {
	from, to  int64
	counts    counters
	timed     latencies
	connected []int // by worker
}

// moment is what the broker used at a time.
type moment struct {
	at  int64
	use Use
}

func newRecorder(c *coordinator, index int, start int64) *recorder {
	s := &c.plans[0].Stages[index]
	r := &recorder{
		c: c, index: index, stage: s, start: start, from: start + int64(s.WarmUp), to: far, timed: newLatencies(),
		connected: make([]int, len(c.plans)), progress: make([]float64, len(c.plans)),
		points: map[int64]*merged{},
	}
	if s.Duration > 0 {
		r.to = r.from + int64(s.Duration)
	}
	if len(c.options.PIDs) > 0 {
		r.uses = append(r.uses, moment{start, *processUse(c.options.PIDs)})
		r.first = r.uses[0]
	}
	return r
}

// inside says that an interval belongs to what is measured. Intervals end at its borders or some microseconds later.
func (r *recorder) inside(s *sample) bool {
	return s.From >= r.from && s.From < r.to
}

func (r *recorder) sample(w int, s sample) {
	for text, n := range s.Errors {
		r.c.result.Errors[text] += n
	}
	r.end = max(r.end, s.To)
	r.connected[w], r.progress[w] = s.Connected, s.Progress
	if r.inside(&s) {
		r.counts.add(s.Counters)
		r.cpu += s.CPU
	}
	r.timed.merge(s.Latencies)
	if s.Broker != nil && len(r.uses) > 0 {
		r.uses = append(r.uses, moment{s.To, *s.Broker})
		if s.From < r.from {
			r.first = r.uses[len(r.uses)-1]
		} else if r.inside(&s) {
			r.last = r.uses[len(r.uses)-1]
		}
		r.c.gone = r.c.gone || s.Broker.Gone
	}
	second := (s.From - r.start + int64(sampleEvery)/2) / int64(sampleEvery)
	m := r.points[second]
	if m == nil {
		m = &merged{from: s.From, timed: newLatencies(), connected: make([]int, len(r.connected))}
		r.points[second] = m
	}
	m.to = max(m.to, s.To)
	m.counts.add(s.Counters)
	m.timed.merge(s.Latencies)
	m.connected[w] = s.Connected
	if r.c.options.Progress != nil && w == 0 {
		r.c.options.Progress(r.now(m, s))
	}
}

func (r *recorder) now(m *merged, s sample) Progress {
	p := Progress{
		Stage: r.stage.Name, Index: r.index, Stages: len(r.c.plans[0].Stages), Elapsed: time.Duration(s.To - r.start),
		Errors: r.c.result.Errors, Point: r.point(m),
	}
	for w := range r.connected {
		p.Connected += r.connected[w]
		p.Done += r.progress[w] / float64(len(r.connected))
	}
	if p.Done > 0.02 {
		p.Left = time.Duration(float64(p.Elapsed) * (1 - p.Done) / p.Done)
	}
	return p
}

func (r *recorder) point(m *merged) Point {
	sec := float64(m.to-m.from) / 1e9
	p := Point{At: float64(m.from+m.to)/2e9 - float64(r.start)/1e9, Seconds: sec, Measured: m.from >= r.from && m.from < r.to}
	for _, n := range m.connected {
		p.Connected += n
	}
	if sec > 0 {
		p.Sent, p.Received = float64(m.counts.Sent)/sec, float64(m.counts.Received)/sec
		p.Acked, p.Opened = float64(m.counts.Acked)/sec, float64(m.counts.Opened)/sec
	}
	for _, h := range []histogram{m.timed.Delivery, m.timed.Ack, m.timed.Connect, m.timed.Ping} {
		if h.TotalCount() > 0 {
			p.P50, p.P99, p.Max = h.ValueAtPercentile(50), h.ValueAtPercentile(99), h.Max()
			break
		}
	}
	for i := 1; i < len(r.uses); i++ {
		a, b := r.uses[i-1], r.uses[i]
		if b.at > m.from && b.at <= m.to+int64(time.Millisecond) && b.at-a.at > int64(sampleEvery)/10 {
			p.Cores = float64(b.use.CPU-a.use.CPU) / float64(b.at-a.at)
			p.RSS = b.use.RSS
		}
	}
	return p
}

// finish adds the stage to the result, if it is measured.
func (r *recorder) finish() {
	if !r.stage.Measured {
		return
	}
	to := min(r.to, r.end)
	s := StageResult{
		Name: r.stage.Name, Unit: r.stage.Unit, Seconds: max(0, float64(to-r.from)/1e9), Counts: r.counts, Interrupted: r.interrupted, ToolCPU: r.cpu.Seconds(),
		Latency: summarize(r.timed.Delivery), AckLatency: summarize(r.timed.Ack),
		ConnectTime: summarize(r.timed.Connect), PingLatency: summarize(r.timed.Ping),
	}
	for _, n := range r.connected {
		s.Connected += n
	}
	switch r.stage.Unit {
	case "deliveries":
		s.Units = r.counts.Received
	case "acks":
		s.Units = r.counts.Acked
		if r.c.options.Scenario.QoS == 0 {
			s.Units, s.Unit = r.counts.Sent, "sent"
		}
	case "connections":
		s.Units = r.counts.Opened
	case "pings":
		s.Units = r.counts.Pings
	}
	r.useOf(&s)
	if s.Units > 0 {
		s.BrokerPerM, s.ToolPerM = s.BrokerCPU/float64(s.Units)*1e6, s.ToolCPU/float64(s.Units)*1e6
	}
	seconds := make([]int64, 0, len(r.points))
	for k := range r.points {
		seconds = append(seconds, k)
	}
	slices.Sort(seconds)
	for _, k := range seconds {
		if p := r.point(r.points[k]); p.Seconds >= pointLeast || len(seconds) == 1 {
			s.Series = append(s.Series, p)
		}
	}
	r.c.result.Stages = append(r.c.result.Stages, s)
}

// useOf fills in what the broker used between the borders of what is measured.
func (r *recorder) useOf(s *StageResult) {
	if r.last.at == 0 {
		return
	}
	s.BrokerCPU = (r.last.use.CPU - r.first.use.CPU).Seconds()
	s.RSSBefore, s.RSSAfter, s.BrokerThreads = r.first.use.RSS, r.last.use.RSS, r.last.use.Threads
	if r.stage.Op == opOpen && r.counts.Opened > 0 {
		s.BytesPerOne = (s.RSSAfter - s.RSSBefore) / int64(r.counts.Opened)
	}
}

// ErrorCount is one kind of error.
type ErrorCount struct {
	Text  string
	Count uint64
}

// sortedErrors returns the most frequent first.
func sortedErrors(m map[string]uint64) []ErrorCount {
	var all []ErrorCount
	for text, n := range m {
		all = append(all, ErrorCount{text, n})
	}
	slices.SortFunc(all, func(a, b ErrorCount) int {
		if a.Count != b.Count {
			return int(min(1, max(-1, int64(b.Count)-int64(a.Count))))
		}
		return strings.Compare(a.Text, b.Text)
	})
	return all
}
