package netpoll

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxEvents is how many events a loop takes at once.
const maxEvents = 256

// Numbers of events that are not those of connections. Connections have generations from 1 to 1<<31-1.
const (
	wakeEvent      = ^uint64(0)
	listenerEvents = 1 << 63 // plus the index of the listener
	guestEvents    = 3 << 62 // plus the index of the loop
)

// epoll is the waiter of the epoll back end.
type epoll struct {
	fd     int32
	event  int32 // eventfd
	events [maxEvents]unix.EpollEvent
	found  int
	closed bool
	file   *os.File // fd, known to the runtime's poller
	raw    syscall.RawConn
	look   func(uintptr) bool // poll, as a value made once
	looks  int                // calls of look in the last wait
	busy   bool               // events are likely to be there
	alarm  time.Time          // read deadline of file; zero: none
	// spare is a descriptor kept for when there are no more: given up, it lets a connection be accepted and closed, where
	// the peer would otherwise wait for its own timeout.
	spare int32
}

func newWaiter(b Backend) (waiter, error) {
	if b == BackendPortable {
		return newSleeper(), nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &epoll{fd: int32(fd), event: int32(event), spare: openSpare()}
	if err := e.park(); err != nil {
		e.close()
		return nil, err
	}
	if err := e.control(unix.EPOLL_CTL_ADD, e.event, unix.EPOLLIN|unix.EPOLLET, wakeEvent); err != nil {
		e.close()
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return e, nil
}

// park makes the set known to the runtime's poller.
func (e *epoll) park() error {
	if err := unix.SetNonblock(int(e.fd), true); err != nil { // else the runtime would not poll it
		return fmt.Errorf("epoll: %w", err)
	}
	e.file = os.NewFile(uintptr(e.fd), "epoll")
	e.look = func(uintptr) bool {
		e.looks++
		return e.poll()
	}
	var err error
	e.raw, err = e.file.SyscallConn()
	return err
}

// poll takes the events that are there, and reports whether there are any.
func (e *epoll) poll() bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events)), maxEvents, 0, 0, 0)
	if errno == 0 {
		e.found = int(n)
	}
	return e.found > 0
}

// wait takes events, and parks the goroutine if there are none. The way into the runtime's poller looks for them too, so a
// loop looks for itself before only if it is likely to find some: with little to do, each call that finds nothing shows.
func (e *epoll) wait(now time.Time, timeout int64) bool {
	e.found, e.looks = 0, 0
	if (e.busy || timeout == 0) && e.poll() || timeout == 0 {
		e.busy = e.found > 0
		return false
	}
	e.setAlarm(now, timeout)
	// The only error is that the deadline has passed.
	err := e.raw.Read(e.look)
	if err != nil {
		e.alarm = time.Time{}
		e.file.SetReadDeadline(e.alarm)
	}
	slept := e.looks > 1 || err != nil
	e.busy = !slept || e.found >= busyEvents
	return slept
}

// busyEvents is the number of events at once from which on a loop is likely to find more soon.
const busyEvents = 4

func (e *epoll) invite(guest waiter, index int) error {
	return e.control(unix.EPOLL_CTL_ADD, guest.(*epoll).fd, unix.EPOLLIN, guestEvents|uint64(index))
}

func (e *epoll) dismiss(guest waiter) {
	// It is there, so this cannot fail.
	_ = e.control(unix.EPOLL_CTL_DEL, guest.(*epoll).fd, 0, 0)
}

// setAlarm sees to it that wait ends timeout milliseconds after now. An alarm that is set and comes earlier is left: it wakes
// the loop once more than needed, which is cheaper than to set it anew for each wait.
func (e *epoll) setAlarm(now time.Time, timeout int64) {
	if timeout < 0 {
		return
	}
	due := now.Add(time.Duration(timeout) * time.Millisecond)
	if e.alarm.IsZero() || e.alarm.After(due) {
		e.alarm = due
		e.file.SetReadDeadline(due)
	}
}

func (e *epoll) dispatch(l *Loop) {
	for i := range e.found {
		ev := &e.events[i]
		number := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
		switch {
		case number == wakeEvent: // edge-triggered: the counter need not be read
		case number&guestEvents == guestEvents:
			l.guestReady(int(number &^ guestEvents))
		case number&listenerEvents != 0:
			l.acceptAll(int(number &^ listenerEvents))
		default:
			if c := l.poller.table.get(ev.Fd, uint32(ev.Pad)); c != nil {
				l.event(c, ev.Events)
			}
		}
	}
}

// event handles what epoll reported about a connection.
func (l *Loop) event(c *Conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		c.drain(&l.turn)
		l.turn.Cycle()
		if c.fd < 0 {
			return
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	if flags := c.flags.Load(); flags&flagPaused == 0 {
		l.input(c)
	} else if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.gone(c, errBroken) // paused: nobody would read the rest
	}
}

func (e *epoll) wake() {
	one := uint64(1)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(e.event), uintptr(unsafe.Pointer(&one)), 8)
}

func (e *epoll) close() {
	if e.closed {
		return
	}
	e.closed = true
	sysClose(e.event)
	e.file.Close()
	if e.spare > 0 {
		sysClose(e.spare)
	}
}

// control calls epoll_ctl; number comes back with each event.
func (e *epoll) control(op int, fd int32, events uint32, number uint64) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(number)), Pad: int32(uint32(number >> 32))}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// interest returns the events that a connection with these flags waits for.
func interest(flags uint32) uint32 {
	var events uint32
	if flags&flagPaused == 0 {
		events = unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if flags&flagFull != 0 {
		events |= unix.EPOLLOUT
	}
	return events
}

// number is that of the connection's events.
func (c *Conn) number() uint64 { return uint64(uint32(c.fd)) | uint64(c.gen)<<32 }

// register begins to wait for the events of a connection.
func (c *Conn) register() error {
	return c.loop.poll.(*epoll).control(unix.EPOLL_CTL_ADD, c.fd, interest(c.flags.Load()), c.number())
}

// sysWatch waits for what the flags of c say now. The caller holds mu.
func sysWatch(c *Conn) {
	// It can fail for want of memory only if events are added, which this does not.
	_ = c.loop.poll.(*epoll).control(unix.EPOLL_CTL_MOD, c.fd, interest(c.flags.Load()), c.number())
}
