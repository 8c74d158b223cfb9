package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	// localAddresses are used on loopback, so that neither ports nor their waiting times run out.
	localAddresses = 64
	maxPending     = 256
	dialTimeout    = 20 * time.Second
)

var defaultPorts = map[string]string{"tcp": "1883", "tls": "8883", "ws": "8080", "wss": "8443"}

// ParseTarget reads a broker's address: host, host:port, or a URL with the scheme tcp, mqtt, tls, ssl, mqtts, ws or wss.
func ParseTarget(s string) (Target, error) {
	t := Target{Transport: "tcp", Host: s}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return t, err
		}
		t.Host, t.Path = u.Host, u.Path
		if u.User != nil {
			t.Username = u.User.Username()
			t.Password, _ = u.User.Password()
		}
		switch u.Scheme {
		case "tcp", "mqtt":
		case "tls", "ssl", "mqtts":
			t.Transport = "tls"
		case "ws", "wss":
			t.Transport = u.Scheme
		default:
			return t, fmt.Errorf("broker %q: unknown scheme %q", s, u.Scheme)
		}
	}
	host, port, err := net.SplitHostPort(t.Host)
	if err != nil {
		host, port = strings.Trim(t.Host, "[]"), defaultPorts[t.Transport]
	}
	if host == "" {
		host = "127.0.0.1"
	}
	t.Host = net.JoinHostPort(host, port)
	return t, nil
}

// resolve finds the address and fills in defaults.
func (t *Target) resolve() error {
	host, port, err := net.SplitHostPort(t.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return err
	}
	addr := addrs[0].Unmap()
	for _, a := range addrs {
		if a.Unmap().Is4() {
			addr = a.Unmap()
			break
		}
	}
	t.Address = netip.AddrPortFrom(addr, uint16(number)).String()
	if t.MaxPending == 0 {
		t.MaxPending = maxPending
	}
	if t.Timeout == 0 {
		t.Timeout = dialTimeout
	}
	if addr.Is4() && addr.IsLoopback() && len(t.Locals) == 0 {
		for i := range localAddresses {
			t.Locals = append(t.Locals, fmt.Sprintf("127.0.%d.%d", 2+i/200, 1+i%200))
		}
	}
	return nil
}
