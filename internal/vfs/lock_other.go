//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package vfs

import (
	"errors"
	"os"
	"sync"
)

// locks holds the locks of this process: without flock the lock file
// keeps out a second holder in the same process only.
var locks struct {
	sync.Mutex
	held map[string]*os.File
}

func lockFile(f *os.File) error {
	locks.Lock()
	defer locks.Unlock()
	if old := locks.held[f.Name()]; old != nil {
		if _, err := old.Stat(); err == nil { // still open
			return errors.New("held by this process")
		}
	}
	if locks.held == nil {
		locks.held = make(map[string]*os.File)
	}
	locks.held[f.Name()] = f
	return nil
}
