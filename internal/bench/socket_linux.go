package bench

import (
	"io"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below go to the kernel without telling the Go scheduler: none of them blocks, but for the poll, whose timeout is at most
// pollMax and whose thread has nothing else to do.

const (
	readable = unix.EPOLLIN
	writable = unix.EPOLLOUT
	// pollMax bounds how long a poll holds up a garbage collection and the coordinator's messages.
	pollMax = 10 * time.Millisecond

	again       = unix.EAGAIN
	interrupted = unix.EINTR
	inProgress  = unix.EINPROGRESS
)

type errno = unix.Errno

// event is one ready client.
type event struct {
	client uint32
	in     bool
	out    bool
}

// wakeup is the number that an event has when it comes from wake.
const wakeup = ^uint32(0)

// poller is an epoll instance whose entries carry the number of a client.
type poller struct {
	fd, wakeFD int
	events     [1024]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &poller{fd: fd}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	p.add(int32(p.wakeFD), wakeup, readable)
	return p, nil
}

func (p *poller) close() {
	_ = unix.Close(p.fd)
	_ = unix.Close(p.wakeFD)
}

// wake ends a wait; any goroutine may call it while the poller is open.
func (p *poller) wake() {
	_, _ = unix.Write(p.wakeFD, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// awake takes note of a wake.
func (p *poller) awake() {
	var b [8]byte
	_, _ = unix.Read(p.wakeFD, b[:])
}

func (p *poller) remove(fd int32) { p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *poller) control(op int, fd int32, client, events uint32) errno {
	e := unix.EpollEvent{Events: events, Fd: int32(client)}
	_, _, no := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return no
}

func (p *poller) add(fd int32, client, events uint32) errno {
	return p.control(unix.EPOLL_CTL_ADD, fd, client, events)
}

func (p *poller) modify(fd int32, client, events uint32) errno {
	return p.control(unix.EPOLL_CTL_MOD, fd, client, events)
}

// wait returns how many events are ready after at most timeout.
func (p *poller) wait(timeout time.Duration) int {
	ts := unix.NsecToTimespec(int64(max(0, min(timeout, pollMax))))
	n, _, no := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if no == unix.ENOSYS { // before Linux 5.11: milliseconds
		n, _, no = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
			uintptr((timeout+time.Millisecond-1)/time.Millisecond), 0, 0)
	}
	if no != 0 {
		return 0
	}
	return int(n)
}

func (p *poller) event(i int) event {
	e := &p.events[i]
	return event{uint32(e.Fd), e.Events&^unix.EPOLLOUT != 0, e.Events&unix.EPOLLOUT != 0}
}

// dial starts a connection from local (any address when it is not valid) and returns inProgress while it is not established.
func dial(local netip.Addr, remote netip.AddrPort) (int32, errno) {
	domain := unix.AF_INET
	if remote.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err.(errno)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if local.IsValid() {
		// The port is chosen at connect, when the whole pair is known: a port may then serve several local addresses.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, 0))); err != nil {
			_ = unix.Close(fd)
			return -1, err.(errno)
		}
	}
	err = unix.Connect(fd, sockaddr(remote))
	if err == nil {
		return int32(fd), 0
	}
	if no := err.(errno); no == inProgress {
		return int32(fd), inProgress
	}
	_ = unix.Close(fd)
	return -1, err.(errno)
}

func sockaddr(ap netip.AddrPort) unix.Sockaddr {
	if ap.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
}

// dialled returns how a connection that was in progress ended.
func dialled(fd int32) errno {
	v, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err.(errno)
	}
	return errno(v)
}

// closeSocket closes it; abruptly means with a reset, and without a port left in TIME_WAIT.
func closeSocket(fd int32, abruptly bool) {
	if abruptly {
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(int(fd))
}

func sysRead(fd int32, b []byte) (int, errno) {
	n, _, no := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), no
}

func sysWrite(fd int32, b []byte) (int, errno) {
	n, _, no := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), no
}

// setBlocking makes reads and writes wait, for at most timeout each, or not.
func setBlocking(fd int32, blocking bool, timeout time.Duration) {
	_ = unix.SetNonblock(int(fd), !blocking)
	tv := unix.NsecToTimeval(int64(timeout))
	_ = unix.SetsockoptTimeval(int(fd), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	_ = unix.SetsockoptTimeval(int(fd), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}

func blockingRead(fd int32, b []byte) (int, error) {
	n, err := unix.Read(int(fd), b)
	if n == 0 && err == nil && len(b) > 0 {
		err = io.EOF
	}
	return max(0, n), err
}

func blockingWrite(fd int32, b []byte) (int, error) {
	n, err := unix.Write(int(fd), b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return max(0, n), err
}

// monotonic is the kernel's clock, the same in every process of the machine.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// processCPU is the CPU time that a process used so far, user and system, all its threads, those that ended too.
func processCPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|2), &ts) // CPUCLOCK_SCHED of a process, see clock_getcpuclockid(3)
	return time.Duration(ts.Nano()), err
}

// DescriptorLimit raises the soft limit of open files to the hard one and returns it.
func DescriptorLimit() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	}
	return int(min(l.Cur, 1<<30))
}
