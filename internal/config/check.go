package config

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
)

// Validate checks settings that a program made or changed by itself, as Load does. The error joins all that is wrong,
// each an *Error.
func (c *Config) Validate() error {
	ps := &problems{places: map[string]place{}}
	c.Completed().check(ps)
	return ps.err()
}

// check finds values out of bounds, and settings that contradict each other.
func (c *Config) check(ps *problems) {
	checkBounds(ps, "", reflect.ValueOf(c).Elem())
	names := c.ListenerNames()
	for _, name := range names {
		l := c.Listeners[name]
		key := "listeners." + name
		if reason := badName(name); reason != "" {
			ps.with(key, reason)
		}
		checkBounds(ps, key, reflect.ValueOf(l))
		l.check(ps, key)
	}
	c.checkAddresses(ps, names)
	c.Queues.check(ps)
	if len(names) == 0 {
		ps.with("listeners", "there is none: clients could not connect")
	}
	if c.Node.Name == "" {
		ps.with("node.name", "no value, and the host has no name either")
	}
	if c.Node.DataDir == "" {
		ps.with("node.data_dir", "no value: a folder is wanted")
	}
	if c.Admin.Address != "" {
		if reason := badAddress(c.Admin.Address); reason != "" {
			ps.with("admin.address", reason)
		}
	}
}

// ListenerNames returns the names of the listeners in a stable order.
func (c *Config) ListenerNames() []string {
	names := make([]string, 0, len(c.Listeners))
	for name := range c.Listeners {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func checkBounds(ps *problems, path string, section reflect.Value) {
	for _, f := range fields(section) {
		switch f.value.Kind() {
		case reflect.Struct:
			checkBounds(ps, join(path, f.key), f.value)
		case reflect.Map:
		default:
			if reason := f.outOfBounds(); reason != "" {
				ps.with(join(path, f.key), reason)
			}
		}
	}
}

// check finds settings that do not fit the listener's type.
func (l *Listener) check(ps *problems, key string) {
	switch l.Type {
	case TypeMQTT, TypeMQTTS, TypeWS, TypeWSS:
		if reason := badAddress(l.Address); reason != "" {
			ps.with(key+".address", reason)
		}
	case TypeUnix:
		if l.Address == "" {
			ps.with(key+".address", "no value: the path of the socket is wanted")
		}
		if l.ProxyProtocol {
			ps.with(key+".proxy_protocol", "not for a unix socket")
		}
	default:
		return // the type itself was reported
	}
	if !l.Type.WebSocket() && l.Path != "" {
		ps.with(key+".path", fmt.Sprintf("only for ws and wss, not for %s", l.Type))
	}
	if l.Type.WebSocket() && (l.Path == "" || l.Path[0] != '/') {
		ps.with(key+".path", fmt.Sprintf("%q does not begin with /", l.Path))
	}
	if !l.Type.WebSocket() && len(l.AllowedOrigins) > 0 {
		ps.with(key+".allowed_origins", fmt.Sprintf("only for ws and wss, not for %s", l.Type))
	}
	l.checkTLS(ps, key+".tls")
}

func (l *Listener) checkTLS(ps *problems, key string) {
	t := l.TLS
	if !l.Type.Secure() {
		if t.Cert != "" || t.Key != "" || t.ClientCA != "" || t.ClientAuth != ClientAuthNone {
			ps.with(key, fmt.Sprintf("only for mqtts and wss, not for %s", l.Type))
		}
		return
	}
	if t.Cert == "" {
		ps.with(key+".cert", "no value: a listener over TLS needs a certificate")
	}
	if t.Key == "" {
		ps.with(key+".key", "no value: a listener over TLS needs a private key")
	}
	if t.ClientAuth != ClientAuthNone && t.ClientCA == "" {
		ps.with(key+".client_ca", fmt.Sprintf("no value: client_auth %s needs authorities to check against", t.ClientAuth))
	}
	if t.ClientAuth == ClientAuthNone && t.ClientCA != "" {
		ps.with(key+".client_auth", "none, so client_ca would not be used: accepted with it is optional or require")
	}
}

// checkAddresses finds two uses of one address.
func (c *Config) checkAddresses(ps *problems, names []string) {
	taken := map[string]string{}
	if c.Admin.Address != "" {
		taken[c.Admin.Address] = "admin"
	}
	for _, name := range names {
		l := c.Listeners[name]
		if _, port, err := net.SplitHostPort(l.Address); err == nil && port == "0" {
			continue // any free port
		}
		if other, ok := taken[l.Address]; ok && l.Address != "" {
			ps.with("listeners."+name+".address", fmt.Sprintf("%s is the address of %s too", l.Address, other))
			continue
		}
		taken[l.Address] = "listeners." + name
	}
}

// badAddress says why s is not HOST:PORT, or nothing. Names are not looked up here.
func badAddress(s string) string {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(port, 10, 16); err == nil && n <= 65535 {
			return ""
		}
	}
	return fmt.Sprintf("%q is no address: write HOST:PORT, like 127.0.0.1:1883, [::1]:1883 or :1883 for every address", s)
}
