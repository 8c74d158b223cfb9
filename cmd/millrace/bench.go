package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/internal/bench"
)

// load is `millrace bench`.
type load struct {
	flags    *pflag.FlagSet
	scenario bench.Scenario // what the flags say
	clients  int
	broker   string
	target   bench.Target
	pids     []int
	workers  int
	rounds   int
	label    string
	output   string
	report   string
	quiet    bool
}

func benchCommand() *cobra.Command {
	o := new(load)
	c := &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Drive load at a broker and measure what comes of it",
		Long: `Drive load at any MQTT broker and measure what comes of it: rates, latency from the moment a message
was due, losses, duplicates and order of every message, and, with --pid, what the broker's process
used. "millrace bench list" shows the scenarios; one can also be a YAML file. Flags change it.

Ctrl-C ends the load and shows the result so far.`,
		Example: `  millrace bench fanout --pid $(pidof millrace)
  millrace bench pairs --clients 200 --qos 1 --message-rate 50 --duration 30s --report out
  millrace bench idle --clients 100000 --workers 6 --broker 127.0.0.1:1883
  millrace bench fanout --rounds 5 -o json > a.json        # then the same for b.json, in turn with it
  millrace bench compare a.json b.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.add(c.Flags())
	c.AddCommand(benchListCommand(), benchCompareCommand(), benchWorkerCommand())
	return c
}

func (o *load) add(f *pflag.FlagSet) {
	o.flags = f
	f.SortFlags = false
	f.StringVarP(&o.broker, "broker", "b", "127.0.0.1:1883", "`address` or URL of the broker: mqtt://, mqtts://, ws://, wss://")
	f.IntSliceVar(&o.pids, "pid", nil, "process `number` of a broker on this machine, to measure its CPU and memory; may be repeated")
	s := &o.scenario
	f.IntVar(&o.clients, "clients", 0, "clients: of the population, or publishers and subscribers where the scenario has as many of both, or subscribers")
	f.IntVar(&s.Publishers, "publishers", 0, "publishing clients")
	f.IntVar(&s.Subscribers, "subscribers", 0, "subscribing clients")
	f.IntVar(&s.Topics, "topics", 0, "topics; 0: one per publisher")
	f.IntVar(&s.Members, "members", 0, "subscribers of each shared group")
	f.Float64Var(&s.ConnectRate, "connect-rate", 0, "connections per second; 0: as fast as possible")
	f.Float64Var(&s.Rate, "message-rate", 0, "messages per second and publisher; 0: as the window allows")
	f.IntVar(&s.Window, "window", 0, "unconfirmed messages per publisher")
	f.IntVar(&s.Messages, "messages", 0, "messages per publisher, instead of a duration")
	f.IntVar(&s.Payload, "payload-size", 64, "bytes of a message, 16 at least")
	f.Uint8VarP(&s.QoS, "qos", "q", 0, "quality of service: 0, 1 or 2")
	f.DurationVar(&s.Duration, "duration", 0, "how long to measure")
	f.DurationVar(&s.WarmUp, "warm-up", 0, "how long to run before that")
	f.DurationVar(&s.Drain, "drain", 3*time.Second, "how long to wait for what is missing after the last sign of life")
	f.Float64Var(&s.ChurnRate, "churn-rate", 0, "connections per second beside the messages of churn")
	f.BoolVar(&s.Subscribed, "subscribed", false, "give each client of the population a subscription")
	f.StringVar(&s.Queue, "queue", "", "`name` of the queue; default: a new one per run")
	f.StringVarP(&s.Version, "mqtt-version", "V", "3.1.1", "protocol version: 3.1.1 or 5")
	f.IntVarP(&s.KeepAlive, "keep-alive", "k", 60, "seconds")
	f.StringVarP(&o.target.Username, "username", "u", "", "user `name`; the password comes from MILLRACE_PASSWORD")
	f.StringVar(&o.target.CA, "ca", "", "`file` with the authorities to trust, PEM")
	f.StringVar(&o.target.Cert, "cert", "", "`file` with the clients' certificate, PEM")
	f.StringVar(&o.target.Key, "key", "", "`file` with its private key, PEM")
	f.BoolVar(&o.target.Insecure, "insecure", false, "do not check the broker's certificate")
	f.StringSliceVar(&o.target.Locals, "local", nil, "local `addresses` to connect from, in turn; default on loopback: 64 of 127.0.0.0/8")
	f.DurationVar(&o.target.Timeout, "timeout", 20*time.Second, "how long a connection may take to be established")
	f.IntVar(&o.workers, "workers", 0, "processes that drive the load; 0: as many as the limit of open files asks for")
	f.IntVar(&o.rounds, "rounds", 1, "times to run the scenario")
	f.StringVar(&o.label, "label", "", "what to call the broker in the result")
	f.StringVarP(&o.output, "output", "o", "table", "result: table or json")
	f.StringVar(&o.report, "report", "", "`folder` for a page with plots, index.html")
	f.BoolVar(&o.quiet, "quiet", false, "show nothing while it runs")
}

// apply lets the flags that were given change the scenario.
func (o *load) apply(s *bench.Scenario) {
	given, from := o.flags.Changed, &o.scenario
	if given("clients") {
		switch {
		case s.Clients > 0:
			s.Clients = o.clients
		case s.Publishers == s.Subscribers:
			s.Publishers, s.Subscribers = o.clients, o.clients
		case s.Subscribers > s.Publishers:
			s.Subscribers = o.clients
		default:
			s.Publishers = o.clients
		}
	}
	for name, change := range map[string]func(){
		"publishers": func() { s.Publishers = from.Publishers }, "subscribers": func() { s.Subscribers = from.Subscribers },
		"topics": func() { s.Topics = from.Topics }, "members": func() { s.Members = from.Members },
		"connect-rate": func() { s.ConnectRate = from.ConnectRate },
		"message-rate": func() { s.Rate, s.Window = from.Rate, 0 },
		"window":       func() { s.Window = from.Window }, "messages": func() { s.Messages = from.Messages },
		"payload-size": func() { s.Payload = from.Payload }, "qos": func() { s.QoS = from.QoS },
		"duration": func() { s.Duration = from.Duration }, "warm-up": func() { s.WarmUp = from.WarmUp },
		"drain": func() { s.Drain = from.Drain }, "churn-rate": func() { s.ChurnRate = from.ChurnRate },
		"subscribed": func() { s.Subscribed = from.Subscribed }, "queue": func() { s.Queue = from.Queue },
		"mqtt-version": func() { s.Version = from.Version }, "keep-alive": func() { s.KeepAlive = from.KeepAlive },
	} {
		if given(name) {
			change()
		}
	}
	if given("message-rate") && given("window") {
		s.Window = from.Window
	}
}

func (o *load) run(c *cobra.Command, name string) error {
	s, err := bench.FindScenario(name)
	if err != nil {
		return err
	}
	o.apply(&s)
	target, err := bench.ParseTarget(o.broker)
	if err != nil {
		return err
	}
	user, password := target.Username, target.Password
	address := target
	target = o.target
	target.Transport, target.Host, target.Path, target.Password = address.Transport, address.Host, address.Path, os.Getenv("MILLRACE_PASSWORD")
	if user != "" {
		target.Username, target.Password = user, password
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if o.output != "table" && o.output != "json" {
		return fmt.Errorf("output %q is neither table nor json", o.output)
	}
	ctx, stop := interruptible(c)
	defer stop()
	var results []*bench.Result
	for round := range o.rounds {
		screen := bench.NewScreen(os.Stderr, fmt.Sprintf("%s at %s, round %d of %d", s.Name, target.Host, round+1, o.rounds))
		options := bench.Options{
			Scenario: s, Target: target, Workers: o.workers, Command: []string{self, "bench", "worker"}, PIDs: o.pids, Label: o.label,
		}
		if !o.quiet {
			options.Progress = screen.Show
		}
		r, err := bench.Run(ctx, options)
		screen.Clear()
		if err != nil {
			return err
		}
		r.Command = "millrace " + strings.Join(os.Args[1:], " ")
		results = append(results, r)
		if err := o.show(c, r); err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return o.end(ctx, c, results)
}

func (o *load) show(c *cobra.Command, r *bench.Result) error {
	if o.output == "json" {
		return bench.WriteResults(c.OutOrStdout(), r)
	}
	return bench.WriteTable(c.OutOrStdout(), r)
}

// end writes the report. Problems make the exit status 1, so that scripts notice.
func (o *load) end(ctx context.Context, c *cobra.Command, results []*bench.Result) error {
	if o.report != "" {
		if err := bench.WriteReport(o.report, results...); err != nil {
			return err
		}
		fmt.Fprintln(c.ErrOrStderr(), "report:", filepath.Join(o.report, "index.html"))
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	for _, r := range results {
		if len(r.Problems) > 0 {
			return errors.New("there were problems, see the result")
		}
	}
	return nil
}

func benchListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Name the scenarios", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := bench.Scenarios()
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range all {
				fmt.Fprintf(t, "%s\t%s\n", s.Name, s.About)
			}
			return t.Flush()
		},
	}
}

func benchCompareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Compare two sets of results",
		Long: `Compare two files of results (-o json), of several rounds each that were run in turn: A B A B A B A B.
Ratios are of B to A. A difference counts as real when chance makes one like it in fewer than one of
twenty comparisons, which needs four rounds of each.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, files []string) error {
			a, err := bench.ReadResults(files[0])
			if err != nil {
				return err
			}
			b, err := bench.ReadResults(files[1])
			if err != nil {
				return err
			}
			all, skipped := bench.Compare(a, b)
			name := func(f string) string { return strings.TrimSuffix(filepath.Base(f), ".json") }
			return bench.WriteComparison(c.OutOrStdout(), name(files[0]), name(files[1]), all, skipped)
		},
	}
}

// benchWorkerCommand is what bench starts when one process has too few descriptors.
func benchWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return bench.Work(c.InOrStdin(), c.OutOrStdout()) },
	}
}
