package netpoll

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one connection. All methods but SetAlarm are safe from any goroutine, before and after it is closed.
//
// An idle plain connection is this struct (96 bytes) and 8 bytes in the descriptor table: state that only some connections
// have, or that a connection has only while bytes are on the way, hangs on pointers.
type Conn struct {
	loop *Loop
	ext  *extra // TLS, WebSocket, portable back end; nil for a plain connection

	// Owned by the loop.
	handler Handler // nil before the connection is ready and after Closed
	in      *input  // bytes that the handler did not use yet; nil if there are none
	next    *Conn   // in the slot of the timing wheel
	prev    *Conn
	due     uint32 // tick of the alarm; 0: none
	slot    uint32 // tick whose slot the connection is in; 0: in none

	// Written under mu, readable without.
	flags atomic.Uint32
	waits atomic.Int32 // bytes that the kernel would not take

	mu  sync.Mutex
	out *output // guarded by mu; nil if nothing is pending
	fd  int32   // guarded by mu; -1: closed, or not driven by epoll
	gen uint32  // constant
}

// Bits of Conn.flags. The upper half holds the number of the listener.
const (
	flagClosing   uint32 = 1 << iota // Close was called: nothing is sent any more, and input is discarded
	flagAborting                     // to be closed at once
	flagClosed                       // gone
	flagBusy                         // someone writes outside mu
	flagFull                         // the kernel would take no more: EPOLLOUT is armed
	flagShut                         // our side is shut down, the peer's is awaited
	flagPaused                       // input is not read
	flagAttend                       // on the attend list of the loop
	flagPeerDone                     // close without waiting for the peer
	flagPortable                     // driven by goroutines
	flagBroken                       // a write failed
	listenerShift = 16

	flagsMute = flagClosing | flagAborting | flagBroken | flagClosed // nothing is sent any more
)

// input is what was read and not used. It is its own allocation since few connections have any at a given time.
type input struct {
	buf []byte
}

// Loop returns the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Send queues the bytes of s. They are written in the order of the calls of Send, when the turn ends or earlier; after
// Close they are dropped. Send never blocks: what the kernel does not take waits in memory, see Backlog.
func (c *Conn) Send(t *Turn, s Segment) {
	if s.from == s.to {
		return
	}
	c.mu.Lock()
	if c.flags.Load()&flagsMute != 0 {
		c.mu.Unlock()
		return
	}
	o := c.out
	if o == nil {
		o = t.takeOutput()
		c.out = o
	}
	mine := false
	if n := len(o.segs); n > 0 {
		last := &o.segs[n-1]
		if mine = last.chunk.turn == t; mine && last.chunk == s.chunk && last.to == s.from {
			last.to = s.to
			c.mu.Unlock()
			return
		}
	}
	o.segs = append(o.segs, s)
	c.mu.Unlock()
	if !mine { // else it is on the list already
		t.dirty = append(t.dirty, c)
		if len(t.dirty) >= dirtyLimit {
			t.Flush()
		}
	}
}

// Backlog returns how many bytes wait because the kernel would not take them. Handler.Drained is called when it falls
// to zero.
func (c *Conn) Backlog() int { return int(c.waits.Load()) }

// Close ends the connection after what was sent is written: its side is shut down, and the descriptor is closed when the
// peer has closed its own side or after Options.Linger. (Closing at once would make the kernel answer bytes that are on
// their way with a reset, which destroys what the peer has not read yet.) Handler.Closed follows as soon as the loop
// gets to it; Data, Drained and Alarm are not called any more.
func (c *Conn) Close(*Turn) { c.end(flagClosing) }

// Abort ends the connection at once; what was sent and not written is dropped.
func (c *Conn) Abort() { c.end(flagAborting) }

func (c *Conn) end(how uint32) {
	c.mu.Lock()
	attend := false
	if c.flags.Load()&(how|flagAborting|flagClosed) == 0 {
		attend = c.set(how | flagAttend)
	}
	c.mu.Unlock()
	if attend {
		c.loop.attend(c)
	}
}

// set sets bits and reports whether flagAttend was clear before. The caller holds mu.
func (c *Conn) set(bits uint32) bool { return c.flags.Or(bits)&flagAttend == 0 }

// SetAlarm has Handler.Alarm called once after d (resolution 100 ms, never early, at most 13 years); it replaces the one
// before, and 0 stops it. It costs a few nanoseconds, so it may be called for each packet. To be called by the loop of
// the connection only.
func (c *Conn) SetAlarm(d time.Duration) { c.loop.wheel.set(c, d) }

// Pause stops reading. What the peer sends waits in its and our kernel.
func (c *Conn) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags.Load()&(flagPaused|flagClosed) == 0 {
		c.flags.Or(flagPaused)
		c.watch()
	}
}

// Resume undoes Pause. Bytes that Data left unused are presented again even if no more have come.
func (c *Conn) Resume() {
	c.mu.Lock()
	attend := false
	if c.flags.Load()&(flagPaused|flagClosed) == flagPaused {
		c.flags.And(^flagPaused)
		c.watch()
		attend = c.set(flagAttend)
	}
	c.mu.Unlock()
	if attend {
		c.loop.attend(c)
	}
}

// ReadNow presents what has come and was not read yet, up to a few reads, so that a connection that is about to be
// given up has had its say. By the loop of the connection only, from mail or an alarm. The portable back end has read
// already what its goroutine got; it reads no more here.
func (c *Conn) ReadNow() {
	for i := 0; i < readNow && c.handler != nil && (c.ext == nil || c.ext.std == nil); i++ {
		c.loop.input(c)
	}
}

// readNow is the number of reads of ReadNow, of readSize bytes each.
const readNow = 4

// RemoteAddr returns the address of the peer: the one that a PROXY header named, if any. It asks the kernel, and returns
// nil once the connection is gone.
func (c *Conn) RemoteAddr() net.Addr {
	if c.ext != nil && c.ext.remote != nil {
		return c.ext.remote
	}
	return c.address(true)
}

// LocalAddr returns the address that the peer connected to, or nil once the connection is gone.
func (c *Conn) LocalAddr() net.Addr { return c.address(false) }

// address returns one of the two addresses of the socket.
func (c *Conn) address(remote bool) net.Addr {
	if c.ext != nil && c.ext.std != nil {
		return c.ext.std.address(remote)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	return sysAddress(c.fd, remote, c.loop.poller.listener(c).cfg.Network)
}

// TLS returns the state of the TLS connection, or nil if it is none.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.ext == nil || c.ext.tls == nil {
		return nil
	}
	state := c.ext.tls.conn.ConnectionState()
	return &state
}
