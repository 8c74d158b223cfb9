package netpoll

import (
	"runtime"
	"sync"
)

// processors counts by how much GOMAXPROCS was raised for loops that keep theirs while they sleep.
var processors struct {
	mu     sync.Mutex
	raised int // guarded by mu
}

// reserveProcessors raises GOMAXPROCS by n, or lowers it again if n is negative.
func reserveProcessors(n int) {
	processors.mu.Lock()
	defer processors.mu.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	processors.raised += n
}

// ownProcessors returns GOMAXPROCS as it would be without loops.
func ownProcessors() int {
	processors.mu.Lock()
	defer processors.mu.Unlock()
	return runtime.GOMAXPROCS(0) - processors.raised
}
