package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes a result for people.
func WriteTable(w io.Writer, r *Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Scenario.Name, r.Scenario.About)
	fmt.Fprintf(&b, "%s over %s, MQTT %s", r.title(), r.Target.Transport, r.Target.Version)
	fmt.Fprintf(&b, ", %d worker%s, %.1f s, load before %s\n", r.Workers, plural(r.Workers), r.Seconds, r.Machine.Load)
	for i := range r.Stages {
		r.Stages[i].write(&b)
	}
	if r.Check.Expected > 0 || !r.Check.Clean() {
		c := r.Check
		fmt.Fprintf(&b, "\ncheck  %d expected, %d received, %d lost, %d duplicates, %d out of order, %d corrupt\n",
			c.Expected, c.Received, c.Lost, c.Duplicates, c.Reordered, c.Corrupt)
	}
	if len(r.Problems) == 0 {
		b.WriteString("\nno problems\n")
	} else {
		b.WriteString("\nPROBLEMS: the figures above are not those of a broker that did this work\n")
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// title is what the broker is called.
func (r *Result) title() string {
	if r.Label != "" {
		return r.Label + " at " + r.Target.Host
	}
	return r.Target.Host
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (s *StageResult) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s  %s %s in %.2f s, %s/s", s.Name, si(float64(s.Units)), s.Unit, s.Seconds, si(s.Rate()))
	if s.Counts.Received+s.Counts.Sent > 0 && s.Seconds > 0 {
		fmt.Fprintf(b, ", %.1f MB/s in, %.1f MB/s out", float64(s.Counts.BytesIn)/s.Seconds/1e6, float64(s.Counts.BytesOut)/s.Seconds/1e6)
	}
	if s.Interrupted {
		b.WriteString(", INTERRUPTED")
	}
	b.WriteByte('\n')
	if c := s.Counts; c.Sent > 0 {
		fmt.Fprintf(b, "  published   %d", c.Sent)
		if c.Acked > 0 {
			fmt.Fprintf(b, ", acknowledged %d, refused %d", c.Acked, c.Refused)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "  connections %d established, %d failed, %d lost, %d open\n", s.Counts.Opened, s.Counts.Failed, s.Counts.Dropped, s.Connected)
	s.writeLatencies(b)
	if s.BrokerCPU > 0 {
		fmt.Fprintf(b, "  broker      %s CPU-s per million %s, %.2f cores, RSS %s (%+.1f MB)", si(s.BrokerPerM), s.Unit, s.BrokerCPU/s.Seconds,
			mega(s.RSSAfter), float64(s.RSSAfter-s.RSSBefore)/1e6)
		if s.BytesPerOne != 0 {
			fmt.Fprintf(b, ", %d B per connection", s.BytesPerOne)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "  tool        %s CPU-s per million %s, %.2f cores\n", si(s.ToolPerM), s.Unit, s.ToolCPU/max(s.Seconds, 1e-9))
}

func (s *StageResult) writeLatencies(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := true
	for _, l := range s.Summaries() {
		if head {
			fmt.Fprintln(t, "  latency   \tmin\tmean\tp50\tp95\tp99\tp99.9\tmax\t")
			head = false
		}
		fmt.Fprintf(t, "  %-10s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.Name, ms(l.Min), ms(int64(l.Mean)), ms(l.P50), ms(l.P95), ms(l.P99), ms(l.P999), ms(l.Max))
	}
	_ = t.Flush() // a strings.Builder takes everything
}

// NamedSummary is one of the latencies of a stage.
type NamedSummary struct {
	Name string
	Summary
}

// Summaries returns the latencies that were measured.
func (s *StageResult) Summaries() []NamedSummary {
	var all []NamedSummary
	for _, l := range []NamedSummary{
		{"delivery", s.Latency}, {"publish", s.AckLatency}, {"connect", s.ConnectTime}, {"ping", s.PingLatency},
	} {
		if l.Count > 0 {
			all = append(all, l)
		}
	}
	return all
}

// ms shows nanoseconds as milliseconds, with three digits.
func ms(ns int64) string {
	v := float64(ns) / 1e6
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f ms", v)
	case v >= 10:
		return fmt.Sprintf("%.1f ms", v)
	case v >= 1:
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.0f us", v*1000)
}

func mega(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// si shows a number with three digits and K, M or G.
func si(v float64) string {
	unit := ""
	for _, u := range []string{"K", "M", "G"} {
		if v < 1000 {
			break
		}
		v, unit = v/1000, u
	}
	switch {
	case v >= 100 || v == float64(int64(v)) && unit == "":
		return fmt.Sprintf("%.0f%s", v, unit)
	case v >= 10:
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.2f%s", v, unit)
}

// Line is the state of a run in one line of text.
func (p Progress) Line() string {
	s := fmt.Sprintf("%s %3.0f%%  %6s", p.Stage, p.Done*100, p.Elapsed.Round(time.Second))
	if p.Left > 0 {
		s += fmt.Sprintf(" (%s left)", p.Left.Round(time.Second))
	}
	s += fmt.Sprintf("  %d connected", p.Connected)
	q := p.Point
	for _, x := range []struct {
		v    float64
		what string
	}{{q.Opened, "opened/s"}, {q.Sent, "sent/s"}, {q.Acked, "acked/s"}, {q.Received, "received/s"}} {
		if x.v > 0 {
			s += fmt.Sprintf("  %s %s", si(x.v), x.what)
		}
	}
	if q.P99 > 0 {
		s += fmt.Sprintf("  p50 %s p99 %s max %s", ms(q.P50), ms(q.P99), ms(q.Max))
	}
	if q.RSS > 0 {
		s += fmt.Sprintf("  broker %.2f cores %s", q.Cores, mega(q.RSS))
	}
	if n := p.errorCount(); n > 0 {
		s += fmt.Sprintf("  %d errors", n)
	}
	return s
}

func (p Progress) errorCount() uint64 {
	var n uint64
	for _, c := range p.Errors {
		n += c
	}
	return n
}
