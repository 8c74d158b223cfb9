package netpoll

import (
	"errors"
	"log/slog"
	"time"
)

// Handler is the owner's side of one connection. Its methods are called by the loop of the connection and never two at
// once; what they need no lock for is therefore whatever only they touch. They must not block.
type Handler interface {
	// Data is given all bytes that came and were not used yet, and returns how many it used. The rest is presented again
	// with more behind it. b belongs to the loop and is valid until Data returns. An error ends the connection once
	// what was sent before it is flushed (see Conn.Close); io.EOF means that the peer said it was done, and closes
	// without waiting for it.
	Data(t *Turn, b []byte) (n int, err error)
	// Drained tells that the backlog of the connection fell from more than zero to zero.
	Drained(t *Turn)
	// Alarm is called once, after the time set by Conn.SetAlarm.
	Alarm(t *Turn)
	// Closed is the last call and comes exactly once for every connection that got a handler. err is io.EOF if the peer
	// closed, ErrClosed after Conn.Close and Conn.Abort, what Data returned, or what the network reported.
	Closed(t *Turn, err error)
}

// Mail is work for a loop, see Loop.Post.
type Mail interface {
	Mail(t *Turn)
}

// Backend selects how connections are driven.
type Backend byte

const (
	// BackendAuto is BackendEpoll on Linux and BackendPortable elsewhere.
	BackendAuto Backend = iota
	// BackendEpoll drives connections from event loops over epoll. Linux only.
	BackendEpoll
	// BackendPortable has a goroutine per connection that reads, and one that writes when there is something to write.
	BackendPortable
)

// Options configures a Poller. The zero value is ready for use.
type Options struct {
	// Loops is the number of event loops; 0 means one per processor.
	Loops int
	// Backend selects how connections are driven.
	Backend Backend
	// Linger bounds how long a closed connection may take to accept what was sent before Close, and to close its own
	// side; 0 means 2 s.
	Linger time.Duration
	// Logger gets what an administrator should know (descriptors ran out, a listener failed); nil means slog.Default().
	Logger *slog.Logger
}

// Errors that Handler.Closed and the functions of this package report, beside those of the operating system.
var (
	// ErrClosed: the connection was closed from this side.
	ErrClosed = errors.New("netpoll: connection closed by the server")
	// ErrStopped: the poller was stopped.
	ErrStopped = errors.New("netpoll: stopped")
)

const (
	// readSize is the size of a loop's read buffer: the most that one connection may take in one turn before others
	// have theirs.
	readSize = 64 << 10
	// maxMoved is the largest rest of input that is copied to the read buffer rather than read on in its own.
	maxMoved = 4 << 10
	// chunkSize is the size of a piece of a turn's arena: as a rule a turn has one, so that what is sent to one connection
	// in a row is one run of bytes.
	chunkSize = 256 << 10
	// maxSpare is how many empty chunks a turn keeps.
	maxSpare = 2
	// arenaLimit is how many bytes a turn encodes before it writes what is pending, between two calls of handlers. It
	// bounds memory, and keeps what is written in the processor's cache.
	arenaLimit = chunkSize - 64<<10
	// dirtyLimit is how many connections may wait for the end of a turn.
	dirtyLimit = 16 << 10
)
