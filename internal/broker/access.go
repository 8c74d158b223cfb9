package broker

import (
	"crypto/x509"
	"net"

	"github.com/millrace-mq/millrace/mqtt"
)

// Peer is who is behind a connection, as far as is known.
type Peer struct {
	Listener     string
	Remote       net.Addr
	Version      mqtt.Version
	ClientID     string
	User         string
	Certificates []*x509.Certificate // of the client, verified by the listener; leaf first
}

// Access decides who may connect and what they may do. The broker calls it on its loops,
// so it must answer at once and from memory; it must be safe for concurrent use. A
// refusal is a *mqtt.Error, whose code the client is told where the protocol has a
// place for it. Without an Access everything is allowed.
type Access interface {
	// Connect checks the credentials of a CONNECT. p.ClientID is empty when the
	// broker is about to assign one. It may set p.User, to the name in a certificate for
	// one. A *session.Redirect as the error sends the client to another server.
	Connect(p *Peer, password []byte) error
	// Publish checks a topic name, also of a will, before it is published.
	Publish(p *Peer, topic []byte, qos byte, retain bool) error
	// Subscribe checks a topic filter; of a shared subscription, the filter without $share and group.
	Subscribe(p *Peer, filter string) error
}
