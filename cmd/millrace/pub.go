package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/internal/client"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// publisher is `millrace pub`.
type publisher struct {
	connection
	qos      uint8
	retain   bool
	lines    bool
	file     string
	empty    bool
	count    int
	interval time.Duration
	output   string

	contentType, responseTopic, correlation string
	expiry                                  time.Duration
	text                                    bool
	properties                              []string

	waiting []*client.Token // in the order of publishing
	report  func(*client.Token) error
}

func pubCommand() *cobra.Command {
	o := new(publisher)
	c := &cobra.Command{
		Use:   "pub TOPIC [MESSAGE]",
		Short: "Publish messages",
		Long: `Publish a message, or a message for each line of standard input, and wait until the broker has
taken them all.`,
		Example: `  millrace pub greetings/world hello
  millrace pub -q 1 -r config/lamp '{"on":true}'
  millrace pub -r --empty config/lamp                        # removes the retained message
  sensors | millrace pub -q 1 -l readings/kitchen
  millrace pub -f picture.jpg --content-type image/jpeg camera/1
  millrace pub -b mqtts://broker.example.com -u me --password-file pw alerts fire
  millrace pub -q 1 -D partition-key=42 -o json orders '{"id":7}'`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.Uint8VarP(&o.qos, "qos", "q", 0, "quality of service: 0, 1 or 2")
	f.BoolVarP(&o.retain, "retain", "r", false, "retain the message")
	f.BoolVarP(&o.lines, "lines", "l", false, "publish each line of standard input as a message")
	f.StringVarP(&o.file, "file", "f", "", "publish the contents of a `file`; -: of standard input")
	f.BoolVar(&o.empty, "empty", false, "publish a message without payload")
	f.IntVarP(&o.count, "count", "n", 1, "publish the message so many times; 0: until interrupted")
	f.DurationVar(&o.interval, "interval", 0, "time between two messages")
	f.StringVarP(&o.output, "output", "o", "text", "text: nothing unless it fails; json: a line for each message taken")
	f.StringVar(&o.contentType, "content-type", "", "content type (5.0)")
	f.StringVar(&o.responseTopic, "response-topic", "", "`topic` for replies (5.0)")
	f.StringVar(&o.correlation, "correlation", "", "correlation data (5.0)")
	f.DurationVarP(&o.expiry, "expiry", "e", 0, "how long the message is good for (5.0)")
	f.BoolVar(&o.text, "utf8", false, "declare the payload to be UTF-8 text (5.0)")
	f.StringArrayVarP(&o.properties, "user-property", "D", nil, "user property, as `key=value`; may be repeated (5.0)")
	o.add(f)
	return c
}

func (o *publisher) run(c *cobra.Command, args []string) error {
	template, err := o.template(args[0])
	if err != nil {
		return err
	}
	options, err := o.options(c.ErrOrStderr())
	if err != nil {
		return err
	}
	next, err := o.source(args[1:], c.InOrStdin())
	if err != nil {
		return err
	}
	if o.report, err = o.reporter(args[0], c.OutOrStdout()); err != nil {
		return err
	}
	ctx, stop := interruptible(c)
	defer stop()
	conn, err := client.Dial(ctx, options)
	if err != nil {
		return err
	}
	err = o.publish(ctx, conn, template, next)
	if err == nil || errors.Is(err, context.Canceled) {
		return errors.Join(err, conn.Disconnect(nil))
	}
	_ = conn.Disconnect(nil) // what failed is what counts
	return err
}

// template is the message without its payload.
func (o *publisher) template(name string) (*mqtt.Publish, error) {
	if err := topic.ValidateName([]byte(name), 65535); err != nil {
		return nil, fmt.Errorf("topic %q: %w", name, err)
	}
	if o.qos > 2 {
		return nil, fmt.Errorf("--qos %d: accepted are 0, 1 and 2", o.qos)
	}
	if o.count < 0 {
		return nil, fmt.Errorf("--count %d: a number of messages is wanted", o.count)
	}
	m := &mqtt.Publish{Topic: []byte(name), QoS: o.qos, Retain: o.retain}
	p := &m.Properties
	if o.protocol() == mqtt.V311 {
		if err := o.refuse("content-type", "response-topic", "correlation", "expiry", "utf8", "user-property"); err != nil {
			return nil, err
		}
	}
	if o.contentType != "" {
		p.ContentType, p.Has = []byte(o.contentType), p.Has.With(mqtt.PropContentType)
	}
	if o.responseTopic != "" {
		p.ResponseTopic, p.Has = []byte(o.responseTopic), p.Has.With(mqtt.PropResponseTopic)
	}
	if o.correlation != "" {
		p.CorrelationData, p.Has = []byte(o.correlation), p.Has.With(mqtt.PropCorrelationData)
	}
	if o.text {
		p.PayloadFormat, p.Has = 1, p.Has.With(mqtt.PropPayloadFormat)
	}
	if o.flags.Changed("expiry") {
		seconds, err := wholeSeconds("expiry", o.expiry)
		if err != nil {
			return nil, err
		}
		p.MessageExpiry, p.Has = seconds, p.Has.With(mqtt.PropMessageExpiry)
	}
	return m, addUser(p, "user-property", o.properties)
}

// source returns a function that gives one payload after the other, io.EOF at the end.
func (o *publisher) source(message []string, in io.Reader) (func() ([]byte, error), error) {
	given := 0
	for _, b := range []bool{len(message) > 0, o.lines, o.file != "", o.empty} {
		if b {
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("what to publish: one of MESSAGE, --lines, --file and --empty is wanted")
	}
	if o.lines {
		reader := bufio.NewReader(in)
		return func() ([]byte, error) {
			line, err := reader.ReadBytes('\n')
			if err == io.EOF && len(line) > 0 {
				return line, nil // the last one without its end
			}
			if err != nil {
				return nil, err
			}
			return line[:len(line)-1], nil
		}, nil
	}
	var payload []byte
	var err error
	switch {
	case len(message) > 0:
		payload = []byte(message[0])
	case o.file == "-":
		payload, err = io.ReadAll(in)
	case o.file != "":
		payload, err = os.ReadFile(o.file)
	}
	left := o.count
	return func() ([]byte, error) {
		if left--; left < 0 && o.count > 0 {
			return nil, io.EOF
		}
		return payload, nil
	}, err
}

// reporter returns what is done with each message that was taken.
func (o *publisher) reporter(name string, out io.Writer) (func(*client.Token) error, error) {
	switch o.output {
	case "text":
		return func(*client.Token) error { return nil }, nil
	case "json":
		return func(t *client.Token) error {
			return writeJSON(out, struct {
				Topic      string            `json:"topic"`
				QoS        byte              `json:"qos"`
				Code       byte              `json:"code"`
				Reason     string            `json:"reason"`
				Properties *recordProperties `json:"properties,omitempty"`
			}{name, o.qos, byte(t.Code()), t.Code().String(), recorded(t.Properties())})
		}, nil
	}
	return nil, fmt.Errorf("--output %s: accepted are text and json", o.output)
}

// publish sends all messages, many at a time, and waits for their answers in order.
func (o *publisher) publish(ctx context.Context, conn *client.Client, template *mqtt.Publish, next func() ([]byte, error)) error {
	for first := true; ; first = false {
		payload, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !first && o.interval > 0 {
			select {
			case <-time.After(o.interval):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		m := *template
		m.Payload = payload
		t, err := conn.Start(ctx, &m)
		if err != nil {
			return err
		}
		o.waiting = append(o.waiting, t)
		if err := o.collect(ctx, false); err != nil {
			return err
		}
	}
	return o.collect(ctx, true)
}

// collect reports the messages that were answered, from the first on; all waits for the rest.
func (o *publisher) collect(ctx context.Context, all bool) error {
	for len(o.waiting) > 0 {
		t := o.waiting[0]
		select {
		case <-t.Done():
		default:
			if !all {
				return nil
			}
		}
		limit, cancel := context.WithTimeout(ctx, o.timeout)
		err := t.Wait(limit)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("the broker did not answer a publish within %v", o.timeout)
		}
		if err != nil {
			return err
		}
		if err := o.report(t); err != nil {
			return err
		}
		o.waiting = o.waiting[1:]
	}
	return nil
}
