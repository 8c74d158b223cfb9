package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update
var update = flag.Bool("update", false, "write the generated pages again")

// file writes text to a file called millrace.yaml and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Listeners["mqtt"].Address; got != ":1883" {
		t.Errorf("the default listener is on %q", got)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLayers(t *testing.T) {
	c, err := Load(Source{
		File: file(t, "limits:\n  max_inflight: 10\n  receive_maximum: 20\n  max_queued_bytes: 2GiB\n  connect_timeout: 3s\n"),
		Env:  []string{"MILLRACE_LIMITS__RECEIVE_MAXIMUM=30", "MILLRACE_LIMITS__MAX_SESSION_EXPIRY=1d12h", "MILLRACE_PORT=tcp://x"},
		Flags: []Flag{
			{"--set", "limits.max_session_expiry", "2d"},
			{"--set", "listeners.tls.type", "mqtts"},
			{"--set", "listeners.tls.tls.cert", "c"},
			{"--set", "listeners.tls.tls.key", "k"},
			{"--set", "listeners.web.type", "ws"},
			{"--set", "listeners.web.allowed_origins", "https://a, https://b"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := c.Limits
	if l.MaxInflight != 10 || l.ReceiveMaximum != 30 || l.MaxSessionExpiry != 48*time.Hour ||
		l.MaxQueuedBytes != 2*GiB || l.ConnectTimeout != 3*time.Second {
		t.Errorf("limits: %+v", l)
	}
	if got := c.ListenerNames(); !reflect.DeepEqual(got, []string{"mqtt", "tls", "web"}) {
		t.Errorf("listeners: %v", got)
	}
	if got := c.Listeners["tls"]; got.Address != ":8883" || got.TLS.Cert != "c" || got.TLS.MinVersion != "1.2" {
		t.Errorf("tls: %+v", got)
	}
	if got := c.Listeners["web"]; got.Address != ":8083" || got.Path != "/mqtt" || len(got.AllowedOrigins) != 2 {
		t.Errorf("web: %+v", got)
	}
}

func TestListenersOfTheFileReplaceTheDefault(t *testing.T) {
	path := file(t, "listeners:\n  here: {type: unix, address: /run/m.sock}\n  there: off\n")
	c, err := Load(Source{File: path, Env: []string{"MILLRACE_LISTENERS__WEB__TYPE=ws"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ListenerNames(); !reflect.DeepEqual(got, []string{"here", "web"}) {
		t.Errorf("listeners: %v", got)
	}
	c, err = Load(Source{File: path, Flags: []Flag{{"--set", "listeners.here", "off"}, {"--mqtt", "listeners.mqtt.type", "mqtt"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ListenerNames(); !reflect.DeepEqual(got, []string{"mqtt"}) {
		t.Errorf("listeners: %v", got)
	}
}

func TestSecretFromFile(t *testing.T) {
	p := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(p, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Source{Env: []string{"MILLRACE_ADMIN__TOKEN_FILE=" + p}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Token != "s3cret" {
		t.Errorf("token %q", c.Admin.Token)
	}
	var out bytes.Buffer
	if err := c.WriteYAML(&out, true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Error("the print-out shows the token")
	}
	for _, env := range []string{"MILLRACE_ADMIN__TOKEN_FILE=" + p + ".none", "MILLRACE_ADMIN__ADDRESS_FILE=" + p} {
		if _, err := Load(Source{Env: []string{env}}); err == nil {
			t.Errorf("%s was accepted", env)
		}
	}
}

// Each wrong input, and how its error must read.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, yaml, env, flag, want string }{
		{"unknown key", "limits:\n  max_packt_size: 1MiB\n", "", "",
			"millrace.yaml:2: limits.max_packt_size: no such setting; nearest: max_packet_size"},
		{"unknown section", "limitz: {}\n", "", "", "millrace.yaml:1: limitz: no such setting; nearest: limits"},
		{"key of another section", "max_packet_size: 1MiB\n", "", "",
			"millrace.yaml:1: max_packet_size: no such setting; nearest: limits.max_packet_size"},
		{"nothing near", "log:\n  zzzzzzzzzz: 1\n", "", "", "millrace.yaml:2: log.zzzzzzzzzz: no such setting; known here: level, format"},
		{"listener key", "listeners:\n  a:\n    type: mqtt\n    adress: :1\n", "", "",
			"millrace.yaml:4: listeners.a.adress: no such setting; nearest: address"},
		{"wrong type", "limits:\n  receive_maximum: many\n", "", "",
			`millrace.yaml:2: limits.receive_maximum: "many" is no whole number (accepted is 1 to 65535)`},
		{"quoted number", "limits:\n  receive_maximum: \"5\"\n", "", "",
			`millrace.yaml:2: limits.receive_maximum: wrong type, "5" is text: accepted is 1 to 65535`},
		{"list for a number", "limits:\n  receive_maximum: [1]\n", "", "",
			"millrace.yaml:2: limits.receive_maximum: wrong type: accepted is 1 to 65535"},
		{"text for a list", "listeners:\n  w: {type: ws, allowed_origins: x}\n", "", "",
			"millrace.yaml:2: listeners.w.allowed_origins: wrong type: accepted is list of text"},
		{"section for a list item", "listeners:\n  w: {type: ws, allowed_origins: [{a: b}]}\n", "", "",
			"millrace.yaml:2: listeners.w.allowed_origins: wrong type: a list of text is wanted"},
		{"scalar for a section", "limits: 5\n", "", "", "millrace.yaml:1: limits: this is a section: write its settings below it"},
		{"no value", "limits:\n  max_inflight:\n", "", "", "millrace.yaml:2: limits.max_inflight: no value: accepted is 1 to 65535"},
		{"yes is no bool", "sys:\n  enabled: yes\n", "", "", `millrace.yaml:2: sys.enabled: "yes" is neither true nor false`},
		{"out of range", "log: {level: info}\nlimits:\n  receive_maximum: 70000\n", "", "",
			"millrace.yaml:3: limits.receive_maximum: 70000 is out of range: accepted is 1 to 65535"},
		{"size out of range", "limits:\n  max_packet_size: 1GiB\n", "", "",
			"millrace.yaml:2: limits.max_packet_size: 1GiB is out of range: accepted is 128 to 256MiB"},
		{"size overflow", "limits:\n  max_packet_size: 9999999999TiB\n", "", "", `"9999999999TiB" is no size`},
		{"duration without unit", "limits:\n  connect_timeout: 10\n", "", "", `"10" is no duration: write a number and a unit`},
		{"negative duration", "limits:\n  connect_timeout: -1s\n", "", "", `"-1s" is no duration`},
		{"duration out of range", "limits:\n  connect_timeout: 1h\n", "", "", "1h is out of range: accepted is 100ms to 10m"},
		{"unknown word", "log:\n  format: jsn\n", "", "", `millrace.yaml:2: log.format: "jsn" is not accepted, only text, json; nearest: json`},
		{"twice", "log:\n  level: info\n  level: warn\n", "", "", "millrace.yaml:3: log.level: set before, in line 2"},
		{"no YAML", "log:\n  - [\n", "", "", "millrace.yaml:2: not YAML: "},
		{"two documents", "log: {}\n---\nlog: {}\n", "", "", "a second document: one file holds one"},
		{"listener without type", "listeners:\n  a: {address: ':1'}\n", "", "",
			`millrace.yaml:2: listeners.a.type: "" is not accepted, only mqtt, mqtts, ws, wss, unix`},
		{"TLS without certificate", "listeners:\n  a: {type: mqtts, tls: {key: k}}\n", "", "",
			"millrace.yaml:2: listeners.a.tls.cert: no value: a listener over TLS needs a certificate"},
		{"certificate without TLS", "listeners:\n  a:\n    type: mqtt\n    tls: {cert: c}\n", "", "",
			"millrace.yaml:4: listeners.a.tls: only for mqtts and wss, not for mqtt"},
		{"client_auth without authorities", "listeners:\n  a:\n    type: wss\n    tls: {cert: c, key: k, client_auth: require}\n", "", "",
			"millrace.yaml:4: listeners.a.tls.client_ca: no value"},
		{"authorities that nobody uses", "listeners:\n  a:\n    type: wss\n    tls: {cert: c, key: k, client_ca: x}\n", "", "",
			"listeners.a.tls.client_auth: none, so client_ca would not be used"},
		{"path without WebSocket", "listeners:\n  a: {type: mqtt, path: /x}\n", "", "", "listeners.a.path: only for ws and wss"},
		{"relative path", "listeners:\n  a: {type: ws, path: x}\n", "", "", `listeners.a.path: "x" does not begin with /`},
		{"origins without WebSocket", "listeners:\n  a: {type: mqtt, allowed_origins: [x]}\n", "", "", "listeners.a.allowed_origins: only for"},
		{"unix without a path", "listeners:\n  a: {type: unix}\n", "", "", "listeners.a.address: no value: the path of the socket"},
		{"bad address", "listeners:\n  a: {type: mqtt, address: '1883'}\n", "", "", `listeners.a.address: "1883" is no address`},
		{"bad port", "listeners:\n  a: {type: mqtt, address: ':70000'}\n", "", "", `listeners.a.address: ":70000" is no address`},
		{"one address twice", "listeners:\n  a: {type: mqtt}\n  b: {type: ws, address: ':1883'}\n", "", "",
			"millrace.yaml:3: listeners.b.address: :1883 is the address of listeners.a too"},
		{"address of admin", "listeners:\n  a: {type: mqtt, address: '127.0.0.1:18083'}\n", "", "", "is the address of admin too"},
		{"bad listener name", "listeners:\n  b: {type: mqtt}\n  'A b': {type: mqtt}\n", "", "", "a listener's name is 1 to 64 of a-z 0-9 _ -"},
		{"no listener", "listeners: {}\n", "", "", "listeners: there is none"},
		{"unknown variable", "", "MILLRACE_LIMITS__MAX_INFLIGH=1", "",
			"MILLRACE_LIMITS__MAX_INFLIGH: limits.max_infligh: no such setting; nearest: max_inflight"},
		{"variable out of range", "", "MILLRACE_LIMITS__MAX_INFLIGHT=0", "",
			"MILLRACE_LIMITS__MAX_INFLIGHT: limits.max_inflight: 0 is out of range"},
		{"variable of a section", "", "MILLRACE_LISTENERS__MQTT=x", "", "MILLRACE_LISTENERS__MQTT: listeners.mqtt: this is a section"},
		{"unknown flag key", "", "", "limits.max_inflihgt=1", "--set: limits.max_inflihgt: no such setting; nearest: max_inflight"},
		{"flag of a listener", "", "", "listeners.mqtt.adress=:1", "--set: listeners.mqtt.adress: no such setting; nearest: address"},
		{"flag too deep", "", "", "limits.max_inflight.x=1", "no such setting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := Source{File: file(t, c.yaml)}
			if c.env != "" {
				src.Env = []string{c.env}
			}
			if key, value, ok := strings.Cut(c.flag, "="); ok {
				src.Flags = []Flag{{"--set", key, value}}
			}
			_, err := Load(src)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), filepath.Dir(src.File)+"/", ""); !strings.Contains(got, c.want) || strings.Count(got, "\n") > 0 {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if one := new(Error); !errors.As(err, &one) {
				t.Errorf("%T is no *Error", err)
			}
		})
	}
}

func TestAllErrorsAtOnceInOrder(t *testing.T) {
	_, err := Load(Source{File: file(t, "limits:\n  max_inflight: 0\n  x: 1\nlog:\n  level: loud\n")})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d errors: %v", len(lines), err)
	}
	for i, want := range []string{":2: limits.max_inflight", ":3: limits.x", ":5: log.level"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("error %d is %q, want %q", i, lines[i], want)
		}
	}
}

// A program may leave out what follows from the rest.
func TestValidateCompletes(t *testing.T) {
	c := Default()
	c.Listeners = map[string]Listener{"w": {Type: TypeWS}}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Node.Name != "" || c.Listeners["w"].Address != "" {
		t.Error("Validate changed the settings")
	}
	if whole := c.Completed(); whole.Node.Name == "" || whole.Listeners["w"].Address != ":8083" || whole.Listeners["w"].Path != "/mqtt" {
		t.Errorf("%+v", whole)
	}
	c.Limits.MaxInflight = -1
	if c.Validate() == nil {
		t.Error("a value out of range is valid")
	}
}

// What is printed reads back as the same settings, with and without comments.
func TestPrintIsRead(t *testing.T) {
	c, err := Load(Source{
		Env: []string{"MILLRACE_NODE__NAME=a: 'b' #c"},
		Flags: []Flag{
			{"--set", "listeners.web.type", "ws"}, {"--set", "listeners.web.allowed_origins", "*,https://x"},
			{"--set", "limits.max_keep_alive", "1m30s"}, {"--set", "limits.max_queued_bytes", "1536"},
			{"--set", "mqtt.response_information", "true"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, comments := range []bool{false, true} {
		var out bytes.Buffer
		if err := c.WriteYAML(&out, comments); err != nil {
			t.Fatal(err)
		}
		again, err := Load(Source{File: file(t, out.String())})
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		for name, l := range again.Listeners { // no list and an empty list are the same
			if len(l.AllowedOrigins) == 0 {
				l.AllowedOrigins = nil
				again.Listeners[name] = l
			}
		}
		if !reflect.DeepEqual(again, c) {
			t.Errorf("comments %v: read back\n%+v\nwant\n%+v", comments, again, c)
		}
	}
}

// Every setting has documentation, and bounds that its own default keeps.
func TestEverySettingIsDocumented(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for _, f := range fields(v) {
			key := join(path, f.key)
			if f.key == "" || !strings.HasSuffix(f.doc, ".") {
				t.Errorf("%s: documentation %q", key, f.doc)
			}
			switch f.value.Kind() {
			case reflect.Struct:
				walk(key, f.value)
			case reflect.Int, reflect.Int64:
				if f.tag.Get("min") == "" || f.tag.Get("max") == "" {
					t.Errorf("%s has no range", key)
				}
			}
		}
	}
	walk("", reflect.ValueOf(Default()).Elem())
	walk("listeners", reflect.ValueOf(defaultListener(TypeMQTT)))
}

func TestReferenceIsCurrent(t *testing.T) {
	const page = "../../docs/configuration.md"
	var want bytes.Buffer
	if err := WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not current: make docs", page)
	}
}

func TestSizesAndDurations(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "512": 512, "64KiB": 64 * KiB, "2 MiB": 2 * MiB, "1GB": 1e9, "10B": 10, "1_000": 1000} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q is printed as %q", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "1d12h": 36 * time.Hour, "7d": 7 * day, "1.5s": 1500 * time.Millisecond} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v", text, got, err)
		}
		if again, err := parseDuration(FormatDuration(got)); err != nil || again != got {
			t.Errorf("%q is printed as %q", text, FormatDuration(got))
		}
	}
	for _, text := range []string{"", "d", "-1d", "1x", "+1s", "200000d", "106751d24h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
	}
}

// No text of a file, however odd, panics or passes with values out of bounds.
func FuzzFile(f *testing.F) {
	f.Add("limits:\n  max_inflight: 5\nlisteners:\n  a: {type: mqtt}\n")
	f.Add("a: &a [*a]\nlimits: *a\n")
	f.Add("listeners: {x: off, y: [1]}\n? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		ps := &problems{places: map[string]place{}}
		decode(c, "f", []byte(text), ps)
		c.complete()
		c.check(ps)
		if ps.err() == nil && c.Validate() != nil {
			t.Error("accepted, but not valid")
		}
	})
}
