//go:build !linux

package vfs

import (
	"errors"
	"math"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

func reserve(*os.File, int64) error { return errors.ErrUnsupported }

// diskSpace does not know: the log then fills the disk up to the error.
func diskSpace(string) (Space, error) {
	return Space{Free: math.MaxInt64, Total: math.MaxInt64}, nil
}
