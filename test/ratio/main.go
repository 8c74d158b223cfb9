// Command ratio measures brokers against the floor: CPU seconds of the broker's process per million units, as a multiple of what a
// bare epoll loop (test/floor) needs for the same traffic in the same run. Run it from anywhere in the repository:
//
//	go run ./test/ratio                        every workload, three rounds, floor, Millrace and Mosquitto
//	go run ./test/ratio -only fanout,pairs -rounds 5
//	go run ./test/ratio -brokers floor,millrace -only pairs-qos1 -seconds 10 -o json
//
// Brokers take turns within each round, each in a fresh process on loopback. A run that lost, repeated or reordered messages has no
// figure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	var o options
	flag.StringVar(&o.only, "only", "", "workloads whose names contain one of these, comma separated")
	brokers := flag.String("brokers", "floor,millrace,mosquitto", "who takes part, in this order")
	flag.IntVar(&o.rounds, "rounds", 3, "times that every broker runs every workload")
	flag.Float64Var(&o.seconds, "seconds", 3, "measured time of one run")
	flag.StringVar(&o.format, "o", "table", "output: table, markdown or json")
	flag.StringVar(&o.millrace, "millrace", "", "this binary instead of one built from the tree")
	flag.StringVar(&o.args, "args", "", "more arguments for millrace serve, separated by spaces")
	flag.StringVar(&o.report, "report", "", "folder for README.md, results.json and charts")
	flag.BoolVar(&o.add, "add", false, "add to the results that the folder of -report holds")
	flag.BoolVar(&o.list, "list", false, "name the workloads and end")
	flag.BoolVar(&o.quiet, "q", false, "no line per run")
	flag.Parse()
	o.brokers = strings.Split(*brokers, ",")
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "ratio:", err)
		os.Exit(1)
	}
}

type options struct {
	only, format, millrace, args, report string
	brokers                              []string
	rounds                               int
	seconds                              float64
	list, quiet, add                     bool
}

func run(ctx context.Context, o options) error {
	chosen := choose(o)
	if o.list {
		for _, w := range chosen {
			fmt.Printf("%-16s %s\n", w.name, w.scenario.About)
		}
		return nil
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no workload is called like %q", o.only)
	}
	h, err := peers.NewHouse()
	if err != nil {
		return err
	}
	defer h.Close()
	h.Binary, h.Args = o.millrace, strings.Fields(o.args)
	for _, name := range o.brokers {
		if err := h.Build(ctx, name); err != nil {
			return err
		}
	}
	t := &table{brokers: slices.Clone(o.brokers)}
	var before stored
	if o.add {
		if before, err = earlier(o.report); err != nil {
			return err
		}
		t.add(before)
	}
	this := invocation{
		Began: time.Now(), Command: "go run ./test/ratio " + strings.Join(os.Args[1:], " "), Seconds: o.seconds, Machine: bench.ThisMachine(),
		Brokers: o.brokers, Versions: map[string]string{},
	}
	for _, b := range o.brokers {
		this.Versions[b] = h.Version(b)
	}
	finish := func() error {
		if o.report != "" {
			r := &report{table: t, dir: o.report, runs: before.Runs}
			if len(t.rows) > len(before.Rows) || this.Rounds > 0 { // else: only written again
				r.runs = append(r.runs, this)
			}
			if err := r.write(); err != nil {
				return err
			}
		}
		return print(t, o)
	}
	for round := range o.rounds {
		for _, w := range chosen {
			for _, name := range o.brokers {
				if ctx.Err() != nil {
					return finish()
				}
				if name == "floor" && w.stores || name != "millrace" && w.over != "" {
					continue
				}
				r, err := measure(ctx, h, name, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", name, w.name, err)
				}
				t.record(w, name, r)
				if !o.quiet {
					fmt.Fprintf(os.Stderr, "%5.0fs round %d  %-16s %-10s %s\n", time.Since(this.Began).Seconds(), round+1, w.name, name, line(w, r))
				}
			}
		}
		this.Rounds++
	}
	return finish()
}

// measure runs one workload against a fresh process of one broker.
func measure(ctx context.Context, h *peers.House, name string, w workload) (*bench.Result, error) {
	start, at := func() (*peers.Running, error) { return h.Start(ctx, name) }, func(b *peers.Running) string { return b.Addr }
	if w.over != "" {
		start = func() (*peers.Running, error) { return h.StartSecure(ctx) }
		at = func(b *peers.Running) string { return w.over + "://" + b.Other[w.over] + "/mqtt" }
	}
	b, err := start()
	if err != nil {
		return nil, err
	}
	defer b.Stop()
	target, err := bench.ParseTarget(at(b))
	if err != nil {
		return nil, err
	}
	target.Insecure = true // the certificate signs itself
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bench.Run(ctx, bench.Options{
		Scenario: w.scenario, Target: target, PIDs: []int{b.PID}, Label: name, Command: []string{self, "worker"},
	})
}
