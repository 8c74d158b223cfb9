package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/internal/client"
	"github.com/millrace-mq/millrace/mqtt"
)

// connection holds the flags that say how to connect; pub and sub share them.
type connection struct {
	flags *pflag.FlagSet

	broker, version, clientID        string
	username, password, passwordFile string
	ca, cert, key, serverName        string
	insecure                         bool
	headers                          []string

	cleanStart        bool
	sessionExpiry     time.Duration
	keepAlive         time.Duration
	timeout           time.Duration
	user              []string
	willTopic         string
	willMessage       string
	willQoS           uint8
	willRetain        bool
	willDelay         time.Duration
	receiveMaximum    uint16
	topicAliasMaximum uint16
	debug             bool
}

func (o *connection) add(f *pflag.FlagSet) {
	o.flags = f
	broker := os.Getenv("MILLRACE_BROKER")
	if broker == "" {
		broker = "mqtt://localhost:1883"
	}
	f.StringVarP(&o.broker, "broker", "b", broker, "`URL` of the broker: mqtt://, mqtts://, ws://, wss:// or unix:///path; also MILLRACE_BROKER")
	f.StringVarP(&o.version, "mqtt-version", "V", "5", "protocol version: 5 or 3.1.1")
	f.StringVarP(&o.clientID, "client-id", "i", "", "client `identifier` (default: the broker assigns one)")
	f.StringVarP(&o.username, "username", "u", "", "user `name`")
	f.StringVarP(&o.password, "password", "P", "", "password; better from MILLRACE_PASSWORD or --password-file, where nobody sees it")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` whose first line is the password")
	f.StringVar(&o.ca, "ca", "", "`file` with the authorities to trust, PEM (default: the system's)")
	f.StringVar(&o.cert, "cert", "", "`file` with the client's certificate, PEM")
	f.StringVar(&o.key, "key", "", "`file` with the client's private key, PEM")
	f.StringVar(&o.serverName, "server-name", "", "`name` to look for in the broker's certificate (default: the host of the URL)")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the broker's certificate")
	f.StringArrayVar(&o.headers, "header", nil, "HTTP `header` of the WebSocket handshake, as name: value")
	f.BoolVar(&o.cleanStart, "clean-start", true, "begin a new session (3.1.1: clean session)")
	f.DurationVar(&o.sessionExpiry, "session-expiry", 0, "how long the broker keeps the session (5.0)")
	f.DurationVarP(&o.keepAlive, "keep-alive", "k", time.Minute, "silence after which a ping is sent; 0: none")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long connecting and each answer may take")
	f.StringArrayVar(&o.user, "connect-user", nil, "user property of CONNECT, as `key=value` (5.0)")
	f.StringVar(&o.willTopic, "will-topic", "", "`topic` of the will")
	f.StringVar(&o.willMessage, "will-message", "", "payload of the will")
	f.Uint8Var(&o.willQoS, "will-qos", 0, "QoS of the will")
	f.BoolVar(&o.willRetain, "will-retain", false, "retain the will")
	f.DurationVar(&o.willDelay, "will-delay", 0, "how long after the connection is lost the will is published (5.0)")
	f.BoolVarP(&o.debug, "debug", "d", false, "show the packets on standard error")
}

// protocol is the version that was asked for, or 0 for none that there is.
func (o *connection) protocol() mqtt.Version {
	switch o.version {
	case "5", "5.0":
		return mqtt.V5
	case "3.1.1", "311", "4":
		return mqtt.V311
	}
	return 0
}

// options are what the flags say. debug goes to errs.
func (o *connection) options(errs io.Writer) (client.Options, error) {
	c := client.Options{
		URL: o.broker, ClientID: o.clientID, CleanStart: o.cleanStart, Username: o.username,
		KeepAlive: o.keepAlive, Timeout: o.timeout,
	}
	if c.Version = o.protocol(); c.Version == 0 {
		return c, fmt.Errorf("--mqtt-version %s: accepted are 5 and 3.1.1", o.version)
	}
	if c.Version == mqtt.V311 {
		if err := o.refuse("session-expiry", "connect-user", "will-delay", "receive-maximum", "topic-alias-maximum"); err != nil {
			return c, err
		}
	}
	if err := client.CheckURL(o.broker); err != nil {
		return c, err
	}
	if err := o.secrets(&c); err != nil {
		return c, err
	}
	conf, err := o.tls()
	if err != nil {
		return c, err
	}
	c.TLS = conf
	if c.Header, err = o.header(); err != nil {
		return c, err
	}
	if err := o.properties(&c); err != nil {
		return c, err
	}
	if o.debug {
		c.Trace = func(sent bool, packet []byte) { trace(errs, sent, packet) }
	}
	return c, o.will(&c)
}

// refuse fails for flags that only 5.0 has a place for.
func (o *connection) refuse(names ...string) error {
	for _, name := range names {
		if o.flags.Changed(name) {
			return fmt.Errorf("--%s: MQTT 3.1.1 does not have it", name)
		}
	}
	return nil
}

func (o *connection) secrets(c *client.Options) error {
	password := o.password
	if password == "" {
		password = os.Getenv("MILLRACE_PASSWORD")
	}
	if o.passwordFile != "" {
		text, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return err
		}
		password, _, _ = strings.Cut(string(text), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	if password == "" {
		return nil
	}
	if c.Version == mqtt.V311 && o.username == "" { // [MQTT-3.1.2-22]
		return errors.New("--password: MQTT 3.1.1 has no password without a user name")
	}
	c.Password = []byte(password)
	return nil
}

func (o *connection) tls() (*tls.Config, error) {
	conf := &tls.Config{ServerName: o.serverName, InsecureSkipVerify: o.insecure}
	if o.ca != "" {
		text, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca %s: no certificate in it", o.ca)
		}
	}
	if (o.cert == "") != (o.key == "") {
		return nil, errors.New("--cert and --key belong together")
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (o *connection) header() (http.Header, error) {
	h := http.Header{}
	for _, line := range o.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q: write name: value", line)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

func (o *connection) properties(c *client.Options) error {
	p := &c.Properties
	if o.flags.Changed("session-expiry") {
		seconds, err := wholeSeconds("session-expiry", o.sessionExpiry)
		if err != nil {
			return err
		}
		p.SessionExpiry, p.Has = seconds, p.Has.With(mqtt.PropSessionExpiry)
	}
	if o.receiveMaximum > 0 {
		p.ReceiveMaximum, p.Has = o.receiveMaximum, p.Has.With(mqtt.PropReceiveMaximum)
	}
	if o.topicAliasMaximum > 0 {
		p.TopicAliasMaximum, p.Has = o.topicAliasMaximum, p.Has.With(mqtt.PropTopicAliasMaximum)
	}
	return addUser(p, "connect-user", o.user)
}

func (o *connection) will(c *client.Options) error {
	if o.willTopic == "" {
		for _, name := range []string{"will-message", "will-qos", "will-retain", "will-delay"} {
			if o.flags.Changed(name) {
				return fmt.Errorf("--%s: there is no will without --will-topic", name)
			}
		}
		return nil
	}
	if o.willQoS > 2 {
		return fmt.Errorf("--will-qos %d: accepted are 0, 1 and 2", o.willQoS)
	}
	w := &mqtt.Will{Topic: []byte(o.willTopic), Payload: []byte(o.willMessage), QoS: o.willQoS, Retain: o.willRetain}
	if o.flags.Changed("will-delay") {
		seconds, err := wholeSeconds("will-delay", o.willDelay)
		if err != nil {
			return err
		}
		w.Properties.WillDelay, w.Properties.Has = seconds, w.Properties.Has.With(mqtt.PropWillDelay)
	}
	c.Will = w
	return nil
}

// wholeSeconds is a duration as the protocol counts them.
func wholeSeconds(flag string, d time.Duration) (uint32, error) {
	if d < 0 || d%time.Second != 0 || d/time.Second > math.MaxUint32 {
		return 0, fmt.Errorf("--%s %v: whole seconds are wanted", flag, d)
	}
	return uint32(d / time.Second), nil
}

// addUser adds key=value pairs to the user properties.
func addUser(p *mqtt.Properties, flag string, pairs []string) error {
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("--%s %q: write key=value", flag, pair)
		}
		p.AddUser(key, value)
	}
	return nil
}

// trace shows a packet: its direction, type, size and first bytes.
func trace(w io.Writer, sent bool, packet []byte) {
	arrow := "<-"
	if sent {
		arrow = "->"
	}
	head, _, _ := mqtt.ParseHeader(packet) // it went over the wire
	const shown = 48
	more := ""
	if len(packet) > shown {
		more = "..."
	}
	fmt.Fprintf(w, "%s %s %-11s %d bytes: % x%s\n", time.Now().Format("15:04:05.000"), arrow, head.Type, len(packet), packet[:min(len(packet), shown)], more)
}
