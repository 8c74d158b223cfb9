package wire

import (
	"net"
	"testing"
)

// The transports that a test can ask for.
const (
	TCP = "tcp"
	WS  = "ws"
)

// Path is where servers offer MQTT over WebSocket.
const Path = "/mqtt"

// Dial opens a connection to addr over TCP, or over WebSocket on TCP.
func Dial(tb testing.TB, transport, addr string, version byte, name string) *Conn {
	tb.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	if transport == TCP {
		return New(tb, c, version, name)
	}
	ws, err := Upgrade(c, addr, Path, []string{"mqtt"}, nil)
	if err != nil {
		c.Close()
		tb.Fatalf("%s: WebSocket: %v", name, err)
	}
	return New(tb, ws, version, name)
}
