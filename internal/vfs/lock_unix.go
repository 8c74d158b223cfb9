//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vfs

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes flock, which the kernel gives back when the process ends,
// however it ends.
func lockFile(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = c.Control(func(fd uintptr) {
		for inner = syscall.EINTR; errors.Is(inner, syscall.EINTR); {
			inner = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
		}
	})
	return errors.Join(err, inner)
}
