package netpoll

import (
	"io"
	"net"
)

// extra is what only some connections have.
type extra struct {
	std    *portable
	tls    *tlsLayer
	ws     *wsLayer
	remote net.Addr // from a PROXY header
}

// steps are what a connection goes through before its handler gets it. Each is a Handler of its own, so they share the
// buffering of incomplete input, the alarm that bounds all of them together, and the ways in which a connection ends.
type step byte

const (
	stepAccepted step = iota
	stepProxied
	stepSecured
	stepUpgraded
)

// preliminary is what the handlers of the steps have in common.
type preliminary struct{ c *Conn }

func (preliminary) Drained(*Turn)       {}
func (p preliminary) Alarm(*Turn)       { p.c.Abort() } // ListenConfig.ConnectTimeout
func (preliminary) Closed(*Turn, error) {}

// proceed gives c the handler of what comes after a step: nil if it is not wanted.
func (l *Loop) proceed(c *Conn, done step) {
	l.moved = true
	cfg := &l.poller.listener(c).cfg
	switch {
	case done < stepProxied && cfg.ProxyProtocol:
		c.handler = &proxyHeader{preliminary{c}}
	case done < stepSecured && cfg.TLS != nil:
		c.handler = startTLS(c, cfg.TLS)
	case done < stepUpgraded && cfg.WebSocket != nil:
		c.handler = &upgrade{preliminary{c}, cfg.WebSocket}
	default:
		c.handler = cfg.Open(c)
	}
}

// extend returns the extra state of c. Only before its handler gets the connection, so that others may read it.
func (c *Conn) extend() *extra {
	if c.ext == nil {
		c.ext = new(extra)
	}
	return c.ext
}

// received takes bytes as they came from the network; b is valid during the call only.
func (l *Loop) received(c *Conn, b []byte) {
	if c.ext.tls != nil && c.ext.tls.active {
		l.decrypt(c, b)
		return
	}
	dst, have := l.room(c, len(b))
	l.arrived(c, dst, have, copy(dst[have:], b))
}

// arrived takes n more bytes at b[have:], where b[:have] was not used before; b is from room.
func (l *Loop) arrived(c *Conn, b []byte, have, n int) {
	var wrong *wsError
	if c.ext != nil && c.ext.ws != nil {
		n, wrong = c.ext.ws.decode(c, &l.turn, b[have:have+n])
	}
	if c.in != nil {
		c.in.buf = b[:have+n]
	}
	if n > 0 {
		l.present(c, b, have+n)
	} else {
		l.unread(c, b, have)
	}
	if wrong != nil && c.handler != nil && c.flags.Load()&flagsMute == 0 {
		c.ext.ws.code = wrong.code
		if wrong.closing {
			l.fail(c, io.EOF)
			return
		}
		l.fail(c, wrong)
	}
}

// unread undoes room.
func (l *Loop) unread(c *Conn, b []byte, have int) {
	if c.in == nil && have > 0 {
		c.keepInput(b[:have])
	}
}

// farewell sends what the layers say at the end of the stream, and reports whether it did.
func (l *Loop) farewell(c *Conn) bool {
	said := false
	if x := c.ext; x != nil && x.ws != nil && !x.ws.left {
		x.ws.left = true
		said = true
		c.sendRaw(&l.turn, x.ws.closeFrame())
	}
	if x := c.ext; x != nil && x.tls != nil && x.tls.active && !x.tls.left {
		x.tls.left = true
		said = true
		x.tls.notify(&l.turn)
	}
	return said
}

// sendRaw sends b as it is, after what was sent before; for frames of the layers themselves.
func (c *Conn) sendRaw(t *Turn, b []byte) {
	c.flush(t)
	if c.ext != nil && c.ext.tls != nil && c.ext.tls.active {
		c.ext.tls.encrypt(t, b)
		return
	}
	c.push(t, b)
}

// dropLayers lets go of what the layers hold.
func (c *Conn) dropLayers() {
	if c.ext == nil {
		return
	}
	if c.ext.tls != nil {
		c.ext.tls.end()
	}
	if c.ext.ws != nil {
		c.ext.ws.drop()
	}
}
