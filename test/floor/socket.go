//go:build linux

package main

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newServer(addr string) (*server, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(l, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(l, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		return nil, err
	}
	if err := unix.Listen(l, 4096); err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	s := &server{epoll: ep, listener: l, topics: map[string]*subscribers{}, read: make([]byte, 256<<10)}
	return s, unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, l, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l)})
}

// accept takes all that waits.
func (s *server) accept() {
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.listener), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno != 0 {
			return
		}
		c := &conn{fd: int(fd)}
		for len(s.conns) <= c.fd {
			s.conns = append(s.conns, nil)
		}
		s.conns[c.fd] = c
		_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.control(unix.EPOLL_CTL_ADD, c, unix.EPOLLIN)
	}
}

// flush writes what c has waiting, in one system call.
func (s *server) flush(c *conn) {
	n, err := write(c.fd, c.out)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		n = 0
	case err != nil:
		s.close(c)
		return
	}
	if n < len(c.out) {
		c.out = c.out[:copy(c.out, c.out[n:])]
		if !c.blocked {
			c.blocked = true
			s.control(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN|unix.EPOLLOUT)
		}
		return
	}
	c.out = c.out[:0]
	if c.blocked {
		c.blocked = false
		s.control(unix.EPOLL_CTL_MOD, c, unix.EPOLLIN)
	}
}

func (s *server) close(c *conn) {
	if c.fd < 0 {
		return
	}
	s.conns[c.fd] = nil
	_ = unix.Close(c.fd)
	c.fd = -1
	s.forget(c)
}

func (s *server) control(op int, c *conn, events uint32) {
	e := unix.EpollEvent{Events: events, Fd: int32(c.fd)}
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(s.epoll), uintptr(op), uintptr(c.fd), uintptr(unsafe.Pointer(&e)), 0, 0)
}

// epollWait blocks without telling the scheduler, as a C program would: there is nothing else to run.
func epollWait(ep int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), ^uintptr(0), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func write(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
