//go:build !linux

package bench

import (
	"errors"
	"net/netip"
	"syscall"
	"time"
)

// Without epoll there is no loop: every call of this file refuses, the first of them (newPoller) in words.

const (
	readable = 1
	writable = 2
	pollMax  = 10 * time.Millisecond

	again       = syscall.EAGAIN
	interrupted = syscall.EINTR
	inProgress  = syscall.EINPROGRESS
)

type errno = syscall.Errno

type event struct {
	client uint32
	in     bool
	out    bool
}

const wakeup = ^uint32(0)

type poller struct{}

func newPoller() (*poller, error) { return nil, errors.New("driving load needs Linux") }

func (*poller) close()                               {}
func (*poller) add(int32, uint32, uint32) errno      { return syscall.ENOSYS }
func (*poller) modify(int32, uint32, uint32) errno   { return syscall.ENOSYS }
func (*poller) wait(time.Duration) int               { return 0 }
func (*poller) event(int) event                      { return event{} }
func dial(netip.Addr, netip.AddrPort) (int32, errno) { return -1, syscall.ENOSYS }
func dialled(int32) errno                            { return syscall.ENOSYS }
func closeSocket(int32, bool)                        {}
func sysRead(int32, []byte) (int, errno)             { return -1, syscall.ENOSYS }
func sysWrite(int32, []byte) (int, errno)            { return -1, syscall.ENOSYS }
func setBlocking(int32, bool, time.Duration)         {}
func blockingRead(int32, []byte) (int, error)        { return 0, syscall.ENOSYS }
func blockingWrite(int32, []byte) (int, error)       { return 0, syscall.ENOSYS }
func (*poller) wake()                                {}
func (*poller) awake()                               {}
func (*poller) remove(int32)                         {}
func monotonic() int64                               { return time.Now().UnixNano() }
func DescriptorLimit() int                           { return 1024 }

func processCPU(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of a process needs Linux")
}
