package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/internal/client"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// subscriber is `millrace sub`.
type subscriber struct {
	connection
	qos               uint8
	noLocal           bool
	retainAsPublished bool
	retainHandling    uint8
	noRetained        bool
	id                uint32
	group             string
	count             int
	lasting           time.Duration
	output            string
	format            string
	topics            bool
	reconnect         bool
	properties        []string

	write      func(p *mqtt.Publish) error
	subscribed bool // once at least
	seen       int
}

func subCommand() *cobra.Command {
	o := new(subscriber)
	c := &cobra.Command{
		Use:   "sub FILTER...",
		Short: "Subscribe and print what arrives",
		Long: `Subscribe to one or more topic filters and print the messages that arrive, a line each, until
interrupted. A lost connection is made again.

--format takes: ` + formatHelp,
		Example: `  millrace sub '#'
  millrace sub -t -q 1 'readings/+' 'alerts/#'
  millrace sub -n 1 config/lamp                              # one message, then end
  millrace sub -g workers -q 1 jobs                          # shares them with other members of the group
  millrace sub -o json 'readings/#' | jq .payload
  millrace sub --format '%I %t %l' '#'
  millrace sub -i me --clean-start=false --session-expiry 1h -q 1 mail/me   # misses nothing while away
  millrace sub -b wss://broker.example.com/mqtt '#'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, filters []string) error { return o.run(c, filters) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.Uint8VarP(&o.qos, "qos", "q", 0, "highest quality of service: 0, 1 or 2")
	f.StringVarP(&o.group, "group", "g", "", "share the subscription with the other members of a `group`")
	f.BoolVarP(&o.topics, "topics", "t", false, "print the topic before each message")
	f.StringVarP(&o.output, "output", "o", "text", "text: the payload; json: everything; raw: payloads with nothing between them")
	f.StringVarP(&o.format, "format", "F", "", "print each message in this `layout`, see above")
	f.IntVarP(&o.count, "count", "n", 0, "end after so many messages; 0: never")
	f.DurationVar(&o.lasting, "for", 0, "end after so much time; 0: never")
	f.BoolVar(&o.reconnect, "reconnect", true, "connect again when the connection is lost")
	f.BoolVar(&o.noRetained, "no-retained", false, "leave out what was retained before")
	f.BoolVar(&o.noLocal, "no-local", false, "leave out what this client published (5.0)")
	f.BoolVar(&o.retainAsPublished, "retain-as-published", false, "keep the publisher's retain flag (5.0)")
	f.Uint8Var(&o.retainHandling, "retain-handling", 0, "retained messages: 0 send, 1 send to a new subscription, 2 do not (5.0)")
	f.Uint32Var(&o.id, "subscription-id", 0, "subscription `identifier` (5.0)")
	f.StringArrayVarP(&o.properties, "user-property", "D", nil, "user property of SUBSCRIBE, as `key=value` (5.0)")
	f.Uint16Var(&o.receiveMaximum, "receive-maximum", 0, "most unacknowledged messages at a time (5.0)")
	f.Uint16Var(&o.topicAliasMaximum, "topic-alias-maximum", 0, "topic aliases that the broker may use (5.0)")
	o.add(f)
	return c
}

func (o *subscriber) run(c *cobra.Command, filters []string) error {
	subscribe, err := o.subscribe(filters)
	if err != nil {
		return err
	}
	options, err := o.options(c.ErrOrStderr())
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.OutOrStdout())
	if o.write, err = o.writer(out); err != nil {
		return err
	}
	ctx, stop := interruptible(c)
	defer stop()
	if o.lasting > 0 {
		limited, cancel := context.WithTimeout(ctx, o.lasting)
		defer cancel()
		ctx = limited
	}
	options.Session = client.NewSession()
	err = o.follow(ctx, options, subscribe, out, c.ErrOrStderr())
	if err != nil && ctx.Err() != nil {
		err = nil // interrupted, or its time is over
	}
	return errors.Join(err, out.Flush())
}

// subscribe is the SUBSCRIBE packet.
func (o *subscriber) subscribe(filters []string) (*mqtt.Subscribe, error) {
	if o.qos > 2 || o.retainHandling > 2 {
		return nil, errors.New("--qos and --retain-handling: accepted are 0, 1 and 2")
	}
	if o.id > 268_435_455 {
		return nil, fmt.Errorf("--subscription-id %d: accepted is 1 to 268435455", o.id)
	}
	if o.protocol() == mqtt.V311 {
		if err := o.refuse("no-local", "retain-as-published", "retain-handling", "subscription-id", "user-property"); err != nil {
			return nil, err
		}
	}
	s := new(mqtt.Subscribe)
	if o.id > 0 {
		s.Properties.SubscriptionIDs, s.Properties.Has = []uint32{o.id}, s.Properties.Has.With(mqtt.PropSubscriptionID)
	}
	handling := o.retainHandling
	if o.noRetained {
		handling = 2 // 3.1.1 has no such flag: print drops them there
	}
	for _, f := range filters {
		if _, rest, _, err := topic.ParseShared(f); err != nil {
			return nil, fmt.Errorf("filter %q: %w", f, err)
		} else if err := topic.ValidateFilter([]byte(rest), 65535); err != nil {
			return nil, fmt.Errorf("filter %q: %w", f, err)
		}
		if o.group != "" {
			f = "$share/" + o.group + "/" + f
		}
		s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{
			Filter: []byte(f), QoS: o.qos, NoLocal: o.noLocal, RetainAsPublished: o.retainAsPublished, RetainHandling: handling,
		})
	}
	return s, addUser(&s.Properties, "user-property", o.properties)
}

// writer returns what prints one message.
func (o *subscriber) writer(out *bufio.Writer) (func(p *mqtt.Publish) error, error) {
	format := o.format
	switch {
	case format != "" && (o.output != "text" || o.topics):
		return nil, errors.New("--format goes with neither --output nor --topics")
	case o.output == "json":
		return func(p *mqtt.Publish) error { return writeJSON(out, recordOf(p, time.Now())) }, nil
	case o.output == "raw":
		return func(p *mqtt.Publish) error { _, err := out.Write(p.Payload); return err }, nil
	case o.output != "text":
		return nil, fmt.Errorf("--output %s: accepted are text, json and raw", o.output)
	case format == "" && o.topics:
		format = "%t %p"
	case format == "":
		format = "%p"
	}
	l, err := parseLayout(format)
	return func(p *mqtt.Publish) error { return l.write(out, p, time.Now()) }, err
}

// Waits between two attempts to connect again, with up to half of it more by chance, so that many do not come at once.
const (
	firstWait = time.Second
	longWait  = 30 * time.Second
)

// follow prints until it is done, over as many connections as it takes. The first one must get as far as subscribing.
func (o *subscriber) follow(ctx context.Context, options client.Options, s *mqtt.Subscribe, out *bufio.Writer, errs io.Writer) error {
	wait := firstWait
	for {
		conn, err := client.Dial(ctx, options)
		if err == nil {
			wait = firstWait
			err = o.receive(ctx, conn, s, out)
			_ = conn.Disconnect(nil) // fails when the connection is lost, which err says
		}
		var local *output
		switch {
		case err == nil || ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &local):
			return local.err
		case !o.subscribed || !o.reconnect || final(err):
			return err
		}
		delay := wait + rand.N(wait/2)
		fmt.Fprintf(errs, "millrace: %v; connecting again in %v\n", err, delay.Round(100*time.Millisecond))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, longWait)
	}
}

// refusedFilter is a filter that the broker does not let this client subscribe to.
type refusedFilter struct {
	filter string
	code   mqtt.ReasonCode
}

func (r *refusedFilter) Error() string {
	return fmt.Sprintf("subscribe to %q refused: %s (0x%02X)", r.filter, r.code, byte(r.code))
}

// output is a failure to print.
type output struct{ err error }

func (o *output) Error() string { return o.err.Error() }

// final tells whether connecting again could not help, or would only fight with another client.
func final(err error) bool {
	if refused := new(refusedFilter); errors.As(err, &refused) {
		return true
	}
	if gone := new(client.Disconnected); errors.As(err, &gone) {
		return gone.Disconnect.Code == mqtt.SessionTakenOver
	}
	if refused := new(client.Refused); errors.As(err, &refused) {
		switch refused.Connack.Code {
		case mqtt.BadUserNameOrPassword, mqtt.NotAuthorized, mqtt.Banned, mqtt.ClientIdentifierNotValid, mqtt.UnsupportedProtocolVersion:
			return true
		}
	}
	return false
}

// receive subscribes and prints until the count is full (nil) or the connection is lost.
func (o *subscriber) receive(ctx context.Context, conn *client.Client, s *mqtt.Subscribe, out *bufio.Writer) error {
	limit, cancel := context.WithTimeout(ctx, o.timeout)
	codes, err := conn.Subscribe(limit, s)
	cancel()
	if err != nil {
		return err
	}
	for i, code := range codes {
		if code.IsError() {
			return &refusedFilter{string(s.Subscriptions[i].Filter), code}
		}
	}
	o.subscribed = true
	for {
		p, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		if o.noRetained && p.Retain && !o.retainAsPublished {
			continue
		}
		if err := o.write(p); err != nil {
			return &output{err}
		}
		if err := out.Flush(); err != nil {
			return &output{err}
		}
		if o.seen++; o.seen == o.count {
			return nil
		}
	}
}
