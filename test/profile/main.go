// Command profile takes profiles of a running broker under a scenario of millrace bench: processor, heap (allocations), mutex and
// block, and a summary in words. Run it as `make profile SCENARIO=fanout`, or
//
//	go run ./test/profile -scenario pairs -seconds 20 -o profiles/pairs
//
// The folder then holds cpu.prof, allocs.prof, heap.prof, mutex.prof and block.prof for `go tool pprof`, the result of the load
// (result.txt), and summary.txt: functions above 5 % of the processor, allocation sites per unit of work, contended locks.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/millrace-mq/millrace/internal/bench"
	"github.com/millrace-mq/millrace/test/peers"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if err := bench.Work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	name := flag.String("scenario", "fanout", "scenario of millrace bench, or a YAML file")
	seconds := flag.Int("seconds", 10, "how long to profile")
	dir := flag.String("o", "", "folder for the profiles; default: profiles/SCENARIO")
	flag.Parse()
	if *dir == "" {
		*dir = filepath.Join("profiles", *name)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, *name, *seconds, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

// warmUp passes before the profile begins.
const warmUp = 2 * time.Second

func run(ctx context.Context, name string, seconds int, dir string) error {
	s, err := bench.FindScenario(name)
	if err != nil {
		return err
	}
	if s.Messages == 0 {
		s.WarmUp, s.Duration = warmUp, time.Duration(seconds)*time.Second+warmUp
	}
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	h, err := peers.NewHouse()
	if err != nil {
		return err
	}
	defer h.Close()
	h.Args = []string{"--admin", admin, "--set", "admin.pprof=true"}
	if err := h.Build(ctx, "millrace"); err != nil {
		return err
	}
	b, err := h.Start(ctx, "millrace")
	if err != nil {
		return err
	}
	defer b.Stop()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t := &taker{url: "http://" + admin + "/debug/pprof/", dir: dir}
	if err := t.take(ctx, "allocs", "allocs-before.prof"); err != nil {
		return err
	}
	cpu := make(chan error, 1)
	started := make(chan struct{})
	go func() { // ends when the profile's seconds are over
		<-started
		cpu <- t.take(ctx, fmt.Sprintf("profile?seconds=%d", seconds), "cpu.prof")
	}()
	r, err := load(ctx, s, b, started)
	if err != nil {
		return err
	}
	if err := <-cpu; err != nil {
		return err
	}
	for _, p := range []string{"allocs", "heap", "mutex", "block"} {
		if err := t.take(ctx, p, p+".prof"); err != nil {
			return err
		}
	}
	return t.summarize(s, r)
}

// load drives the scenario, and closes started when what is measured begins.
func load(ctx context.Context, s bench.Scenario, b *peers.Running, started chan struct{}) (*bench.Result, error) {
	target, err := bench.ParseTarget(b.Addr)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	begun := false
	begin := func() {
		if !begun {
			begun = true
			close(started)
		}
	}
	if s.Messages > 0 || s.WarmUp == 0 {
		begin() // stages of unknown length: profile all of them
	}
	o := bench.Options{
		Scenario: s, Target: target, PIDs: []int{b.PID}, Label: "millrace", Command: []string{self, "worker"},
		Progress: func(p bench.Progress) {
			if p.Point.Measured && p.Elapsed >= s.WarmUp {
				begin()
			}
		},
	}
	r, err := bench.Run(ctx, o)
	begin() // whatever happened: nobody may wait for it
	return r, err
}

// taker fetches profiles from the admin listener.
type taker struct{ url, dir string }

func (t *taker) take(ctx context.Context, profile, file string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+profile, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", profile, r.Status)
	}
	f, err := os.Create(filepath.Join(t.dir, file))
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r.Body); err != nil {
		return err
	}
	return f.Close()
}

// top asks pprof for its list.
func (t *taker) top(args ...string) (string, error) {
	out, err := exec.Command("go", append([]string{"tool", "pprof", "-top"}, args...)...).Output()
	return string(out), err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
