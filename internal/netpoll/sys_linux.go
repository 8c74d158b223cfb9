package netpoll

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here never block, so they are made without telling the scheduler (RawSyscall): telling it costs more than
// many of them take.

const defaultBackend = BackendEpoll

// maxGather is how many pieces one gathered write takes.
const maxGather = 64

// errAgain: nothing to read, or no room to write.
var errAgain error = unix.EAGAIN

func sysError(e syscall.Errno) error {
	if e == unix.EAGAIN {
		return errAgain // without an allocation
	}
	return e
}

// sysRead reads into b, which is not empty. 0 and nil is the end of the stream.
func sysRead(fd int32, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, sysError(e)
		}
	}
}

// sysWrite writes what the kernel takes of b.
func sysWrite(fd int32, b []byte) (int, error) {
	for {
		// sendto rather than write for MSG_NOSIGNAL: a broken connection is an error here, not a signal.
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, sysError(e)
		}
	}
}

// sysWritev writes what the kernel takes of at most maxGather pieces.
func sysWritev(fd int32, bufs [][]byte) (int, error) {
	var iov [maxGather]unix.Iovec
	count := 0
	for _, b := range bufs {
		if len(b) > 0 {
			iov[count].Base = unsafe.SliceData(b)
			iov[count].SetLen(len(b))
			count++
		}
	}
	if count == 0 {
		return 0, nil
	}
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), uintptr(count))
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, sysError(e)
		}
	}
}

// sysAccept takes a connection from a listening socket.
func sysAccept(fd int32) (int32, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e == 0 {
			return int32(n), nil
		}
		if e != unix.EINTR {
			return -1, sysError(e)
		}
	}
}

// sysClose closes a descriptor. EINTR is no error: Linux has closed it then.
func sysClose(fd int32) { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// sysShut shuts down the writing side.
func sysShut(fd int32) { syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// sysAddress asks for the remote or the local address of a socket.
func sysAddress(fd int32, remote bool, network string) net.Addr {
	var sa unix.Sockaddr
	var err error
	if remote {
		sa, err = unix.Getpeername(int(fd))
	} else {
		sa, err = unix.Getsockname(int(fd))
	}
	if err != nil {
		return nil
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port, Zone: zoneName(sa.ZoneId)}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: network}
	}
	return nil
}

// zoneName names the interface of a link-local address.
func zoneName(id uint32) string {
	if id == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		return i.Name
	}
	return ""
}
