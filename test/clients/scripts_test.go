package clients

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/test/wire"
)

// script is a client that a script of ours drives.
type script struct {
	language  language
	transport string
}

type language struct {
	name    string
	ready   func(t *testing.T, name string)
	command func() []string
}

var python = language{"paho-python", func(t *testing.T, name string) {
	if err := exec.Command(interpreter(), "-c", "import paho.mqtt.client").Run(); err != nil {
		missing(t, name, "the Debian package python3-paho-mqtt is not installed")
	}
}, func() []string { return []string{interpreter(), "client.py"} }}

// interpreter is Debian's Python, which has Debian's packages; another one may
// come first in the path.
func interpreter() string {
	const debian = "/usr/bin/python3"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return "python3"
}

var node = language{"mqttjs", func(t *testing.T, name string) {
	need(t, name, "node", "nodejs")
	if err := modules(); err != nil {
		missing(t, name, "npm ci: "+err.Error())
	}
}, func() []string { return []string{"node", "js/client.mjs"} }}

// modules installs what js/package-lock.json lists, once for each lock file.
var modules = sync.OnceValue(func() error {
	want, err := os.ReadFile("js/package-lock.json")
	if err != nil {
		return err
	}
	stamp := filepath.Join("js", "node_modules", ".installed")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == string(want) {
		return nil
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = "js"
	if out, err := cmd.CombinedOutput(); err != nil {
		return &exec.Error{Name: "npm ci", Err: errText(strings.TrimSpace(string(out)))}
	}
	return os.WriteFile(stamp, want, 0o644)
})

type errText string

func (e errText) Error() string { return string(e) }

func (c script) name() string {
	if c.transport == "ws" {
		return c.language.name + "-ws"
	}
	return c.language.name
}

func (c script) ready(t *testing.T) { c.language.ready(t, c.name()) }
func (script) speaks(byte) bool     { return true }

// client is what the scripts read.
type clientJob struct {
	URL     string        `json:"url"`
	Host    string        `json:"host"`
	Port    int           `json:"port"`
	Version int           `json:"version"` // 4 or 5
	ID      string        `json:"id"`
	Clean   bool          `json:"clean"`
	Expiry  int           `json:"expiry"` // seconds; 5.0
	Filter  string        `json:"filter,omitempty"`
	QoS     int           `json:"qos"`
	Will    *clientWill   `json:"will,omitempty"`
	Publish []clientWrite `json:"publish,omitempty"`
}

type clientWill struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     int    `json:"qos"`
	Retain  bool   `json:"retain"`
}

type clientWrite struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"` // hexadecimal
	QoS     int    `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (c script) command(j job, all []message) []string {
	addr, url := j.node.TCP, "mqtt://"+j.node.TCP
	if c.transport == "ws" {
		addr, url = j.node.WS, "ws://"+j.node.WS+wire.Path
	}
	host, number := port(addr)
	n, _ := strconv.Atoi(number)
	out := clientJob{URL: url, Host: host, Port: n, Version: int(j.version), ID: j.id, Clean: !j.keep, Filter: j.filter, QoS: j.qos}
	if j.keep {
		out.Expiry = 600
	}
	if w := j.will; w != nil {
		out.Will = &clientWill{w.topic, w.payload, w.qos, w.retain == 1}
	}
	for _, m := range all {
		out.Publish = append(out.Publish, clientWrite{m.topic, hex.EncodeToString([]byte(m.payload)), m.qos, m.retain == 1})
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return append(c.language.command(), string(text))
}

func (c script) publish(t *testing.T, j job, all []message) error {
	return once("", c.command(j, all)...)
}

func (c script) subscribe(t *testing.T, j job) *receiver {
	r := &receiver{name: c.name()}
	follow(t, r, func(_ *exec.Cmd, in io.Closer) { in.Close() }, func(line string) {
		f := strings.SplitN(line, " ", 5)
		switch {
		case f[0] == "connected" && len(f) == 2:
			r.mu.Lock()
			r.mu.present = f[1]
			r.mu.Unlock()
		case f[0] == "message" && len(f) == 5:
			qos, _ := strconv.Atoi(f[2])
			retain, _ := strconv.Atoi(f[3])
			r.add(message{payload: unhex(f[1]), qos: qos, retain: retain, topic: f[4]})
		}
	}, c.command(j, nil)...)
	return r
}
