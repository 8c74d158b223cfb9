package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/internal/bench"
)

const (
	atLeast = 5.0 // percent, of a function that is worth a line
	most    = 12  // lines of the other lists
)

// entry is a line of pprof's list.
type entry struct {
	flat        string
	flatPercent float64
	cumPercent  float64
	name        string
}

// entries parses what `pprof -top` prints: flat flat% sum% cum cum% name.
func entries(text string) []entry {
	var all []entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[1], "%") || !strings.HasSuffix(f[4], "%") {
			continue
		}
		flat, err1 := strconv.ParseFloat(strings.TrimSuffix(f[1], "%"), 64)
		cum, err2 := strconv.ParseFloat(strings.TrimSuffix(f[4], "%"), 64)
		if err1 == nil && err2 == nil {
			all = append(all, entry{f[0], flat, cum, strings.Join(f[5:], " ")})
		}
	}
	return all
}

// summarize writes summary.txt and result.txt and prints the first.
func (t *taker) summarize(s bench.Scenario, r *bench.Result) error {
	var table, b bytes.Buffer
	if err := bench.WriteTable(&table, r); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.dir, "result.txt"), table.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(&b, "millrace under %s: %s\n", s.Name, s.About)
	for i := range r.Stages {
		st := &r.Stages[i]
		fmt.Fprintf(&b, "%s: %d %s, %.3g CPU-s per million\n", st.Name, st.Units, st.Unit, st.BrokerPerM)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM: %s\n", p)
	}
	if err := t.packages(&b); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		args  []string
		keep  func(entry) bool
		show  func(entry) string
	}{
		{
			"processor: functions with 5 % or more of their own", []string{"cpu.prof"},
			func(e entry) bool { return e.flatPercent >= atLeast },
			func(e entry) string {
				return fmt.Sprintf("%5.1f %%  (with callees %5.1f %%)  %s", e.flatPercent, e.cumPercent, e.name)
			},
		},
		{
			"processor: functions with 5 % or more with what they call", []string{"-cum", "cpu.prof"},
			func(e entry) bool { return e.cumPercent >= atLeast },
			func(e entry) string { return fmt.Sprintf("%5.1f %%  %s", e.cumPercent, e.name) },
		},
		{
			"allocated objects during the load, by site", []string{"-sample_index=alloc_objects", "-base=allocs-before.prof", "allocs.prof"},
			func(e entry) bool { return e.flatPercent >= 1 },
			func(e entry) string { return fmt.Sprintf("%12s  %5.1f %%  %s", e.flat, e.flatPercent, e.name) },
		},
		{
			"memory in use at the end, by site", []string{"-sample_index=inuse_space", "heap.prof"},
			func(e entry) bool { return e.flatPercent >= atLeast },
			func(e entry) string { return fmt.Sprintf("%12s  %5.1f %%  %s", e.flat, e.flatPercent, e.name) },
		},
		{
			"contended locks: time that others waited", []string{"mutex.prof"}, func(e entry) bool { return e.flatPercent >= 1 },
			func(e entry) string { return fmt.Sprintf("%12s  %5.1f %%  %s", e.flat, e.flatPercent, e.name) },
		},
		{
			"blocked: time that goroutines waited", []string{"block.prof"}, func(e entry) bool { return e.flatPercent >= 1 },
			func(e entry) string { return fmt.Sprintf("%12s  %5.1f %%  %s", e.flat, e.flatPercent, e.name) },
		},
	} {
		text, err := t.top(t.inDir(part.args)...)
		if err != nil {
			return fmt.Errorf("%s: %w", part.title, err)
		}
		fmt.Fprintf(&b, "\n%s\n", part.title)
		n := 0
		for _, e := range entries(text) {
			if part.keep(e) && n < most {
				fmt.Fprintf(&b, "  %s\n", part.show(e))
				n++
			}
		}
		if n == 0 {
			fmt.Fprintln(&b, "  none")
		}
	}
	fmt.Printf("%s\nprofiles: %s\n", b.String(), t.dir)
	return os.WriteFile(filepath.Join(t.dir, "summary.txt"), b.Bytes(), 0o644)
}

// packages writes which package the processor's time was spent in; what the kernel did is named by the call.
func (t *taker) packages(b *bytes.Buffer) error {
	text, err := t.top(t.inDir([]string{"-nodecount=100000", "-nodefraction=0", "cpu.prof"})...)
	if err != nil {
		return err
	}
	share := map[string]float64{}
	kernel := 0.0
	for _, e := range entries(text) {
		share[packageOf(e.name)] += e.flatPercent
		if call, ok := systemCalls[e.name[strings.LastIndexByte(e.name, '/')+1:]]; ok {
			share[call] += e.cumPercent
			kernel += e.cumPercent
		}
	}
	const raw = "internal/runtime/syscall/linux" // counted by the call above
	share["kernel: other calls"] = max(0, share[raw]-kernel)
	delete(share, raw)
	names := slices.SortedFunc(maps.Keys(share), func(x, y string) int { return cmp.Compare(share[y], share[x]) })
	fmt.Fprintln(b, "\nprocessor, by package")
	for _, n := range names {
		if share[n] >= 0.5 {
			fmt.Fprintf(b, "  %5.1f %%  %s\n", share[n], n)
		}
	}
	return nil
}

// systemCalls are the functions of netpoll that do nothing but enter the kernel.
var systemCalls = map[string]string{
	"netpoll.sysWrite": "kernel: write", "netpoll.sysWritev": "kernel: writev", "netpoll.sysRead": "kernel: read",
	"netpoll.(*epoll).poll": "kernel: epoll_wait", "netpoll.(*epoll).control": "kernel: epoll_ctl",
	"linux.EpollWait": "kernel: epoll_wait of a parked loop", "netpoll.sysAccept": "kernel: accept", "netpoll.sysClose": "kernel: close",
}

// packageOf cuts a function's name after its package.
func packageOf(name string) string {
	name, _, _ = strings.Cut(name, "[") // type arguments name packages too
	slash := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[slash:], '.'); dot >= 0 {
		name = name[:slash+dot]
	}
	return strings.TrimPrefix(name, "github.com/millrace-mq/millrace/")
}

// inDir puts the folder before file names.
func (t *taker) inDir(args []string) []string {
	var all []string
	for _, a := range args {
		switch base, isBase := strings.CutPrefix(a, "-base="); {
		case isBase:
			a = "-base=" + filepath.Join(t.dir, base)
		case !strings.HasPrefix(a, "-"):
			a = filepath.Join(t.dir, a)
		}
		all = append(all, a)
	}
	return all
}
