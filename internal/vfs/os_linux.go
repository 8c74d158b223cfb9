package vfs

import (
	"errors"
	"os"
	"syscall"
)

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// syncData flushes the data and the metadata that is needed to read it back,
// not the times: in a preallocated file that saves a journal commit.
func syncData(f *os.File) error {
	return control(f, "fdatasync", syscall.Fdatasync)
}

func reserve(f *os.File, size int64) error {
	return control(f, "fallocate", func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
}

// control calls fn with the file's descriptor while f cannot be closed.
func control(f *os.File, op string, fn func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = c.Control(func(fd uintptr) { inner = retry(func() error { return fn(int(fd)) }) })
	if err == nil {
		err = inner
	}
	if err != nil {
		return &os.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func diskSpace(dir string) (Space, error) {
	var st syscall.Statfs_t
	if err := retry(func() error { return syscall.Statfs(dir, &st) }); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return Space{Free: int64(st.Bavail) * st.Bsize, Total: int64(st.Blocks) * st.Bsize}, nil
}
