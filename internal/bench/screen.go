package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Screen shows a run while it goes on: a few lines that are drawn again in place on a terminal, a line now and then elsewhere.
type Screen struct {
	w        io.Writer
	terminal bool
	title    string
	drawn    int // lines on the terminal
	history  []float64
	stage    int
	lastLine time.Time
}

// plainEvery is the distance of two lines where there is no terminal.
const plainEvery = 5 * time.Second

// NewScreen shows on f, which is a terminal or not.
func NewScreen(f *os.File, title string) *Screen {
	info, err := f.Stat()
	return &Screen{w: f, title: title, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb", stage: -1}
}

// Show is for Options.Progress.
func (s *Screen) Show(p Progress) {
	if p.Index != s.stage {
		s.stage, s.history = p.Index, nil
		s.lastLine = time.Time{}
	}
	if !s.terminal {
		if time.Since(s.lastLine) >= plainEvery {
			s.lastLine = time.Now()
			fmt.Fprintln(s.w, p.Line())
		}
		return
	}
	s.history = append(s.history, max(p.Point.Received, p.Point.Acked, p.Point.Opened))
	if n := len(s.history) - sparkWidth; n > 0 {
		s.history = s.history[n:]
	}
	s.draw(s.lines(p))
}

// Clear removes what is on the terminal.
func (s *Screen) Clear() {
	if s.terminal && s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *Screen) draw(lines []string) {
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, _ = io.WriteString(s.w, b.String()) // a terminal that is gone takes the process with it
}

const (
	barWidth   = 40
	sparkWidth = 60
)

func (s *Screen) lines(p Progress) []string {
	full := min(barWidth, max(0, int(p.Done*barWidth+0.5)))
	left := ""
	if p.Left > 0 {
		left = ", " + p.Left.Round(time.Second).String() + " left"
	}
	q := p.Point
	lines := []string{
		"\x1b[1m" + s.title + "\x1b[0m",
		fmt.Sprintf("stage %d of %d  %-10s %s%s %3.0f%%  %s%s", p.Index+1, p.Stages, p.Stage,
			strings.Repeat("█", full), strings.Repeat("░", barWidth-full), p.Done*100, p.Elapsed.Round(time.Second), left),
		fmt.Sprintf("  rate        %8s/s received  %8s/s sent  %8s/s acknowledged  %8s/s connected", si(q.Received), si(q.Sent), si(q.Acked), si(q.Opened)),
		fmt.Sprintf("  latency     p50 %s  p99 %s  max %s", ms(q.P50), ms(q.P99), ms(q.Max)),
		fmt.Sprintf("  connections %d", p.Connected),
	}
	if q.RSS > 0 {
		lines = append(lines, fmt.Sprintf("  broker      %.2f cores  %s", q.Cores, mega(q.RSS)))
	}
	if n := p.errorCount(); n > 0 {
		lines = append(lines, fmt.Sprintf("  errors      \x1b[31m%d\x1b[0m  most: %s", n, sortedErrors(p.Errors)[0].Text))
	}
	return append(lines, "  "+sparkline(s.history))
}

// sparkline draws values as bars, the highest of them full.
func sparkline(v []float64) string {
	top := 0.0
	for _, x := range v {
		top = max(top, x)
	}
	bars := []rune(" ▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, x := range v {
		i := 0
		if top > 0 {
			i = int(x/top*float64(len(bars)-1) + 0.5)
		}
		b.WriteRune(bars[i])
	}
	return b.String()
}
