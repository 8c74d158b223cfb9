package client

import (
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/mqtt"
)

// ErrClosed is returned once the client itself has ended the connection.
var ErrClosed = errors.New("connection closed")

var (
	errNoSubprotocol = errors.New("the server does not speak the subprotocol mqtt")
	errNoBinaryFrame = errors.New("the server sent a WebSocket message that is not binary")
	errNoPong        = errors.New("no answer to a ping within the keep alive")
)

// Refused is a CONNACK that says no.
type Refused struct{ Connack mqtt.Connack }

func (r *Refused) Error() string {
	return "connection refused: " + worded(r.Connack.Code, &r.Connack.Properties)
}

// Disconnected is a DISCONNECT from the broker.
type Disconnected struct{ Disconnect mqtt.Disconnect }

func (d *Disconnected) Error() string {
	return "disconnected by the broker: " + worded(d.Disconnect.Code, &d.Disconnect.Properties)
}

// Failed is a reason code of 0x80 or more in answer to a publish.
type Failed struct {
	Code       mqtt.ReasonCode
	Properties mqtt.Properties
}

func (f *Failed) Error() string { return "publish refused: " + worded(f.Code, &f.Properties) }

// worded is a reason code with what the broker said beside it.
func worded(code mqtt.ReasonCode, p *mqtt.Properties) string {
	s := fmt.Sprintf("%s (0x%02X)", code, byte(code))
	if p.Has.Contains(mqtt.PropReasonString) {
		s += fmt.Sprintf(": %q", p.ReasonString)
	}
	if p.Has.Contains(mqtt.PropServerReference) {
		s += fmt.Sprintf(", use %q", p.ServerReference)
	}
	return s
}
