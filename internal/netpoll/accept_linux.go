package netpoll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxAccepts is how many connections a loop takes from one listener before it looks at the others again.
	maxAccepts = 64
	// listenBacklog is the length of the kernel's queue; it cuts it to net.core.somaxconn.
	listenBacklog = 4096
)

// listenEpoll opens the sockets of a listener and waits for connections at them.
func (p *Poller) listenEpoll(ln *Listener) error {
	if err := ln.bind(); err != nil {
		return err
	}
	p.add(ln)
	for i, fd := range ln.sockets {
		if err := p.loops.all[i].poll.(*epoll).control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, listenerEvents|uint64(ln.index)); err != nil {
			ln.Close()
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	return nil
}

// bind opens the sockets: one for each loop, between which the kernel distributes connections, except that unix sockets
// have no such thing.
func (ln *Listener) bind() error {
	if ln.cfg.Network == "unix" {
		if err := removeStale(ln.cfg.Address); err != nil {
			return err
		}
		fd, addr, err := listenSocket("unix", ln.cfg.Address, false)
		if err != nil {
			return err
		}
		ln.sockets, ln.addr = []int32{fd}, addr
		return os.Chmod(ln.cfg.Address, ln.cfg.UnixMode)
	}
	// SO_REUSEPORT would let a second process of the same user share the address without a word, so ask without it first.
	probe, addr, err := listenSocket(ln.cfg.Network, ln.cfg.Address, false)
	if err != nil {
		return err
	}
	sysClose(probe)
	ln.addr = addr
	for range ln.poller.loops.all {
		fd, _, err := listenSocket(ln.cfg.Network, addr.String(), true)
		if err != nil {
			for _, fd := range ln.sockets {
				sysClose(fd)
			}
			return err
		}
		ln.sockets = append(ln.sockets, fd)
	}
	return nil
}

// controlReuse sets SO_REUSEPORT before a socket is bound.
func controlReuse(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}

// listenSocket opens one socket. The standard library resolves names and zones and chooses between IPv4 and IPv6; its
// descriptor is duplicated, since its own stays in the runtime's poller.
func listenSocket(network, address string, reuse bool) (int32, net.Addr, error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	if reuse {
		lc.Control = controlReuse
	}
	std, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return -1, nil, err
	}
	defer std.Close()
	var file *os.File
	switch std := std.(type) {
	case *net.TCPListener:
		file, err = std.File()
	case *net.UnixListener:
		std.SetUnlinkOnClose(false)
		file, err = std.File()
	default:
		return -1, nil, fmt.Errorf("network %s is not served", network)
	}
	if err != nil {
		return -1, nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	if err := prepareSocket(fd, network); err != nil {
		sysClose(int32(fd))
		return -1, nil, err
	}
	return int32(fd), std.Addr(), nil
}

// prepareSocket sets what accepted connections inherit, and the length of the queue.
func prepareSocket(fd int, network string) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	if network != "unix" {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	return unix.Listen(fd, listenBacklog)
}

// closeEpoll has the loops close their sockets.
func (ln *Listener) closeEpoll() {
	for i := range ln.sockets {
		if !ln.poller.loops.all[i].Post(&closeSocket{ln, i}) {
			sysClose(ln.sockets[i]) // the loop has ended
		}
	}
	if ln.cfg.Network == "unix" {
		_ = os.Remove(ln.cfg.Address) // someone else may have removed it, or put theirs in its place: not ours to report
	}
}

// closeSocket has the loop close its own socket, so that it is not in the middle of accepting from it.
type closeSocket struct {
	ln *Listener
	i  int
}

func (m *closeSocket) Mail(*Turn) {
	sysClose(m.ln.sockets[m.i])
	m.ln.sockets[m.i] = -1
}

// acceptAll takes what waits at a listener.
func (l *Loop) acceptAll(index int) {
	ln := (*l.poller.listeners.all.Load())[index]
	for range maxAccepts {
		fd := ln.sockets[l.index]
		if fd < 0 || ln.closed.Load() {
			return
		}
		if ln.cfg.Pace != nil {
			if d := ln.cfg.Pace(time.Now()); d > 0 {
				l.rest(ln, d)
				return
			}
		}
		conn, err := sysAccept(fd)
		switch {
		case err == nil:
			l.welcome(ln, conn)
		case err == errAgain:
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			l.exhausted(ln, err)
			return
		default: // the connection broke before it was accepted
		}
	}
}

// exhausted handles a lack of descriptors or memory: it turns one client away rather than let it hang, and rests.
func (l *Loop) exhausted(ln *Listener, err error) {
	if now, last := time.Now().Unix(), ln.warned.Load(); now-last >= 10 && ln.warned.CompareAndSwap(last, now) {
		l.poller.options.Logger.Error("connections are refused for want of descriptors or memory; raise the limit of open files",
			"listener", ln.addr.String(), "connections", l.poller.Connections(), "err", err)
	}
	e := l.poll.(*epoll)
	if e.spare > 0 {
		sysClose(e.spare)
		if fd, err := sysAccept(ln.sockets[l.index]); err == nil {
			ln.refused.Add(1)
			sysClose(fd)
		}
	}
	e.spare = openSpare()
	l.rest(ln, emfilePause)
}

// openSpare opens the descriptor that is kept in reserve; 0 if there is none to be had.
func openSpare() int32 {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	return int32(fd)
}

// rest does not look at a listener for a while.
func (l *Loop) rest(ln *Listener, d time.Duration) {
	e := l.poll.(*epoll)
	if e.control(unix.EPOLL_CTL_DEL, ln.sockets[l.index], 0, 0) != nil {
		return
	}
	c := &Conn{loop: l, fd: -1}
	c.handler = &resting{ln: ln}
	l.wheel.set(c, d)
}

// resting is the handler of the alarm at which a listener is looked at again.
type resting struct {
	Handler
	ln *Listener
}

func (r *resting) Alarm(t *Turn) {
	l := t.loop
	if fd := r.ln.sockets[l.index]; fd >= 0 {
		// If it fails, for want of memory, nothing would be accepted again: so keep trying.
		if l.poll.(*epoll).control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, listenerEvents|uint64(r.ln.index)) != nil {
			l.rest(r.ln, time.Second)
		}
	}
}

// welcome gives an accepted connection to a loop: this one, unless another has notably fewer.
func (l *Loop) welcome(ln *Listener, fd int32) {
	if !ln.admit() {
		sysClose(fd)
		return
	}
	least := l
	for _, other := range l.poller.loops.all {
		if other.conns.Load() < least.conns.Load() {
			least = other
		}
	}
	mine, theirs := l.conns.Load(), least.conns.Load()
	if mine-theirs <= imbalance+theirs/16 {
		l.adopt(ln, fd)
		return
	}
	least.conns.Add(1)
	if !least.Post(&handOver{ln, fd}) {
		least.conns.Add(-1)
		ln.released()
		sysClose(fd)
	}
}

// imbalance is by how many connections loops may differ without one giving new ones to another. The kernel distributes
// them at random, so with few connections the difference would matter, and with many it evens out.
const imbalance = 4

// handOver gives a connection to another loop, which has counted it already.
type handOver struct {
	ln *Listener
	fd int32
}

func (m *handOver) Mail(t *Turn) {
	t.loop.conns.Add(-1)
	t.loop.adopt(m.ln, m.fd)
}

// adopt makes a descriptor a connection of this loop.
func (l *Loop) adopt(ln *Listener, fd int32) {
	l.gens = max(1, (l.gens+1)&(1<<31-1))
	c := &Conn{loop: l, fd: fd, gen: l.gens}
	c.flags.Store(uint32(ln.index) << listenerShift)
	if !l.poller.table.set(c) {
		sysClose(fd)
		ln.released()
		return
	}
	l.conns.Add(1)
	l.wheel.set(c, ln.cfg.ConnectTimeout)
	if l.proceed(c, stepAccepted); c.handler == nil {
		l.release(c)
		return
	}
	if err := c.register(); err != nil {
		l.gone(c, fmt.Errorf("netpoll: epoll_ctl: %w", err))
	}
}
