package bench

import (
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// Plan is what one worker does. It is data: the coordinator sends it to the worker's process as JSON.
type Plan struct {
	Epoch  int64  `json:"epoch"` // reading of the machine's monotonic clock that all times of the run count from
	Run    string `json:"run"`   // part of topics and client identifiers, so that runs do not meet
	Worker int    `json:"worker"`
	Target Target `json:"target"`
	// Publishers and Topics of all workers together.
	Publishers int     `json:"publishers"`
	Topics     int     `json:"topics"`
	PIDs       []int   `json:"pids,omitempty"` // the broker's processes; the first worker watches them
	Groups     []Group `json:"groups"`
	Stages     []Stage `json:"stages"`
}

// Target is the broker and how to speak to it.
type Target struct {
	Address    string       `json:"address"`   // host:port, the host as a number
	Transport  string       `json:"transport"` // tcp, tls, ws or wss
	Host       string       `json:"host"`      // as the user wrote it: the name for TLS and the Host header
	Path       string       `json:"path,omitempty"`
	Insecure   bool         `json:"insecure,omitempty"`
	CA         string       `json:"ca,omitempty"` // file names
	Cert       string       `json:"cert,omitempty"`
	Key        string       `json:"key,omitempty"`
	Version    mqtt.Version `json:"version"`
	Username   string       `json:"username,omitempty"`
	Password   string       `json:"password,omitempty"`
	KeepAlive  uint16       `json:"keep_alive"`
	Locals     []string     `json:"locals,omitempty"` // local addresses, taken in turn
	MaxPending int          `json:"max_pending"`      // connections being established at a time
	// Timeout of establishing one connection, from connect to SUBACK.
	Timeout time.Duration `json:"timeout"`
}

// Group is a number of like clients of one worker.
type Group struct {
	Name   string `json:"name"`
	First  int    `json:"first"` // number of its first client among those of all workers
	Count  int    `json:"count"`
	Clean  bool   `json:"clean"`
	Expiry uint32 `json:"expiry,omitempty"`
	QoS    byte   `json:"qos"`
	// Publisher says that each client publishes; client n on topic n modulo Topics.
	Publisher bool `json:"publisher,omitempty"`
	// PerMessage gives each message a topic of its own, below the publisher's.
	PerMessage bool   `json:"per_message,omitempty"`
	Retain     bool   `json:"retain,omitempty"`
	Payload    int    `json:"payload,omitempty"`
	Base       string `json:"base,omitempty"` // what topics begin with
	// Subscribe says what each client subscribes to: "" nothing, "own" one topic, "each" every topic by itself, "all" a wildcard,
	// "self" a topic of its own where nobody publishes.
	Subscribe string `json:"subscribe,omitempty"`
	// Members of each shared group; 0: not shared. Client n is in group n / Members.
	Members int    `json:"members,omitempty"`
	Share   string `json:"share,omitempty"` // what group names begin with
	// Unordered says that messages may arrive in any order, each once.
	Unordered bool `json:"unordered,omitempty"`
	// Ignore says that what arrives is not checked: these clients come and go.
	Ignore bool `json:"ignore,omitempty"`
	// Filter replaces what Subscribe would ask for.
	Filter string `json:"filter,omitempty"`
}

// Operations of a stage.
const (
	opOpen  = "open"  // connect (and subscribe) the clients of Groups
	opClose = "close" // disconnect them
	opFlow  = "flow"  // publish
	opHold  = "hold"  // stay connected, with pings
	opCycle = "cycle" // connect, subscribe, disconnect, again and again
)

// Stage is one step of a plan, done by all workers at once.
type Stage struct {
	Name   string `json:"name"`
	Op     string `json:"op"`
	Groups []int  `json:"groups,omitempty"` // indexes into Plan.Groups
	// Unit names what is counted: deliveries, acks, connections, pings.
	Unit string `json:"unit,omitempty"`
	// Measured stages appear in the result.
	Measured bool `json:"measured,omitempty"`
	// Rate of connections per second of this worker (open, cycle, and the cycle in the background of a flow), 0: as fast as possible.
	Rate float64 `json:"rate,omitempty"`
	// Messages per publisher; 0: until Duration is over.
	Messages uint32 `json:"messages,omitempty"`
	// Interval between two messages of a publisher; 0: as the window allows.
	Interval time.Duration `json:"interval,omitempty"`
	// Window is how many messages of a publisher may be unconfirmed: not yet acknowledged, or not yet received by all of this worker's
	// subscribers. 0: no bound but the protocol's.
	Window   uint32        `json:"window,omitempty"`
	WarmUp   time.Duration `json:"warm_up,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	// Drain is how long to wait, after the last sign of life, for what is missing.
	Drain time.Duration `json:"drain,omitempty"`
	// Deliver says that the stage waits until the subscribers have what was published in it, or before it.
	Deliver bool `json:"deliver,omitempty"`
	// Purge opens with a clean session and no subscription, so that nothing stays behind at the broker.
	Purge bool `json:"purge,omitempty"`
	// Stay keeps the clients of Beside connected once they are.
	Stay   bool `json:"stay,omitempty"`
	Abrupt bool `json:"abrupt,omitempty"` // close: without DISCONNECT
	Clear  bool `json:"clear,omitempty"`  // flow: empty payloads, which remove retained messages
	// Beside are groups whose clients connect and disconnect while a flow runs.
	Beside []int `json:"beside,omitempty"`
}
