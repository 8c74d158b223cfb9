package bench

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Kinds of scenarios: what happens with the clients.
const (
	KindFlow     = "flow"     // publishers and subscribers, for a time
	KindIdle     = "idle"     // clients connect and stay
	KindConnect  = "connect"  // clients connect, subscribe and disconnect
	KindRetained = "retained" // store retained messages, replay them to new subscribers
	KindOffline  = "offline"  // store messages for sessions that are away, then they come back
	KindChurn    = "churn"    // a flow, while other clients come and go
	KindStorm    = "storm"    // a flow, while a whole population comes back at once
	KindQueue    = "queue"    // durable queues: fill, empty, both
)

var kinds = []string{KindFlow, KindIdle, KindConnect, KindRetained, KindOffline, KindChurn, KindStorm, KindQueue}

// Scenario is a workload. The zero value of a field means what its comment says; counts are of all workers together.
type Scenario struct {
	Name  string `yaml:"name" json:"name"`
	About string `yaml:"about" json:"about"`
	Kind  string `yaml:"kind" json:"kind"`
	// Version of MQTT, "3.1.1" (also when empty) or "5".
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	// Clients that neither publish nor receive: the population of idle, connect (how many at a time), churn and storm.
	Clients int `yaml:"clients,omitempty" json:"clients,omitempty"`
	// Subscribed gives each of Clients a subscription to a topic of its own.
	Subscribed  bool `yaml:"subscribed,omitempty" json:"subscribed,omitempty"`
	Publishers  int  `yaml:"publishers,omitempty" json:"publishers,omitempty"`
	Subscribers int  `yaml:"subscribers,omitempty" json:"subscribers,omitempty"`
	// Topics, or 0 for one per publisher. Publisher n uses topic n modulo Topics.
	Topics int `yaml:"topics,omitempty" json:"topics,omitempty"`
	// Subscribe: "own" (also when empty) subscriber n to topic n modulo Topics, "each" to every topic by name, "all" to all by a wildcard.
	Subscribe string `yaml:"subscribe,omitempty" json:"subscribe,omitempty"`
	// Members of each shared group, 0: not shared. With queues: consumers of each group.
	Members int `yaml:"members,omitempty" json:"members,omitempty"`
	// Partitions of the queue, which must exist with them: the tool speaks MQTT only. 0: whatever the queue has.
	Partitions int `yaml:"partitions,omitempty" json:"partitions,omitempty"`
	// Queue is the name of the queue, empty for a new one per run.
	Queue   string `yaml:"queue,omitempty" json:"queue,omitempty"`
	Payload int    `yaml:"payload,omitempty" json:"payload,omitempty"` // bytes, 16 at least; 0: 64
	QoS     byte   `yaml:"qos,omitempty" json:"qos,omitempty"`
	// Rate of messages per second and publisher. 0: as the window allows.
	Rate float64 `yaml:"rate,omitempty" json:"rate,omitempty"`
	// Window of unconfirmed messages per publisher. 0 without a rate: as fast as the socket takes them.
	Window int `yaml:"window,omitempty" json:"window,omitempty"`
	// Messages per publisher, instead of Duration.
	Messages int `yaml:"messages,omitempty" json:"messages,omitempty"`
	// ConnectRate per second. 0: as fast as possible.
	ConnectRate float64 `yaml:"connect_rate,omitempty" json:"connect_rate,omitempty"`
	// ChurnRate is how many of Clients connect per second beside the flow of churn.
	ChurnRate float64       `yaml:"churn_rate,omitempty" json:"churn_rate,omitempty"`
	KeepAlive int           `yaml:"keep_alive,omitempty" json:"keep_alive,omitempty"` // seconds, 0: 60
	WarmUp    time.Duration `yaml:"warm_up,omitempty" json:"warm_up,omitempty"`
	Duration  time.Duration `yaml:"duration,omitempty" json:"duration,omitempty"`
	// Drain is how long to wait for what is missing after the last sign of life, 0: 3 s.
	Drain time.Duration `yaml:"drain,omitempty" json:"drain,omitempty"`
}

//go:embed scenarios/*.yaml
var builtin embed.FS

// Scenarios returns the built-in ones by name.
func Scenarios() ([]Scenario, error) {
	files, err := fs.Glob(builtin, "scenarios/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Scenario
	for _, f := range files {
		b, err := builtin.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s, err := ParseScenario(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(f), err)
		}
		all = append(all, s...)
	}
	slices.SortFunc(all, func(a, b Scenario) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// FindScenario returns a built-in scenario, or the one in the YAML file of that name.
func FindScenario(name string) (Scenario, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		b, err := os.ReadFile(name)
		if err != nil {
			return Scenario{}, err
		}
		s, err := ParseScenario(b)
		if err != nil {
			return Scenario{}, fmt.Errorf("%s: %w", name, err)
		}
		if len(s) != 1 {
			return Scenario{}, fmt.Errorf("%s holds %d scenarios; one is run at a time", name, len(s))
		}
		return s[0], nil
	}
	all, err := Scenarios()
	if err != nil {
		return Scenario{}, err
	}
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("no scenario %q; `millrace bench list` shows them, and a file ends in .yaml", name)
}

// ParseScenario reads the YAML documents of a file, one scenario each. Unknown fields are errors.
func ParseScenario(b []byte) ([]Scenario, error) {
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	d.KnownFields(true)
	var all []Scenario
	for {
		var s Scenario
		err := d.Decode(&s)
		if err != nil {
			if err.Error() == "EOF" {
				return all, nil
			}
			return nil, err
		}
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		all = append(all, s)
	}
}

// Validate says what is wrong with a scenario.
func (s *Scenario) Validate() error {
	var errs []error
	bad := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(s.Name == "", "name is missing")
	bad(!slices.Contains(kinds, s.Kind), "kind is %q, not one of %s", s.Kind, strings.Join(kinds, ", "))
	bad(!slices.Contains([]string{"", "3.1.1", "5"}, s.Version), "version is %q, neither 3.1.1 nor 5", s.Version)
	bad(!slices.Contains([]string{"", "own", "each", "all"}, s.Subscribe), "subscribe is %q, not one of own, each, all", s.Subscribe)
	bad(s.QoS > 2, "qos is %d", s.QoS)
	bad(s.Payload != 0 && s.Payload < stampSize, "payload is %d bytes; the tool needs %d to know a message again", s.Payload, stampSize)
	bad(s.Members > 0 && s.Subscribers%s.Members != 0, "%d subscribers do not make whole groups of %d", s.Subscribers, s.Members)
	for _, n := range []int{s.Clients, s.Publishers, s.Subscribers, s.Topics, s.Members, s.Window, s.Messages, s.KeepAlive} {
		bad(n < 0, "a count is negative")
	}
	bad(s.Rate < 0 || s.ConnectRate < 0 || s.ChurnRate < 0, "a rate is negative")
	bad(s.KeepAlive > 65535, "keep_alive is %d seconds; MQTT knows no more than 65535", s.KeepAlive)
	switch s.Kind {
	case KindIdle, KindConnect:
		bad(s.Clients == 0, "%s needs clients", s.Kind)
	case KindChurn, KindStorm:
		bad(s.Clients == 0 || s.Publishers == 0 || s.Subscribers == 0, "%s needs clients, publishers and subscribers", s.Kind)
	case KindFlow:
		bad(s.Publishers == 0, "flow needs publishers")
	case KindRetained, KindOffline:
		bad(s.Publishers == 0 || s.Subscribers == 0 || s.Messages == 0, "%s needs publishers, subscribers and messages", s.Kind)
		bad(s.Kind == KindOffline && s.QoS == 0, "offline needs qos 1 or 2: messages of qos 0 are not kept")
		bad(s.Kind == KindRetained && s.Messages > 99_999_999, "retained numbers messages with eight digits")
	case KindQueue:
		bad(s.Publishers == 0, "queue needs publishers")
	}
	bad(s.Messages == 0 && s.Duration <= 0 && s.Kind != KindIdle, "neither messages nor duration says when to end")
	return errors.Join(errs...)
}

// payload with its default.
func (s *Scenario) payload() int {
	if s.Payload == 0 {
		return 64
	}
	return s.Payload
}

// topics with its default.
func (s *Scenario) topics() int {
	if s.Topics == 0 {
		return max(1, s.Publishers)
	}
	return s.Topics
}

// Sockets is how many connections are open at a time.
func (s *Scenario) Sockets() int { return s.Clients + s.Publishers + s.Subscribers }
