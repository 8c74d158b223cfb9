// Package buffer lends byte slices in five size classes (256 B, 1 KiB, 4 KiB, 16 KiB, 64 KiB).
//
// A slice is borrowed with Get and given back with Put; both are safe from any goroutine and allocate nothing once the
// pools are warm, slice headers included. What is larger than the largest class is allocated and left to the garbage
// collector: such buffers are rare, and keeping them would hold memory that a single large packet once needed.
//
// The pools are sync.Pools. They cache per processor, so a loop that gives back what it borrowed takes no lock, and the
// garbage collector empties them when the load is gone, which a free list of our own would have to be taught.
package buffer

import (
	"math/bits"
	"sync"
	"unsafe"
)

const (
	// Smallest and Largest are the capacities of the first and the last size class, in bytes.
	Smallest = 256
	Largest  = 64 << 10

	classes   = 5
	firstBits = 8 // 1<<8 == Smallest
	stepBits  = 2 // each class is four times the one before
)

// pools hold unsafe.Pointers to arrays of the class's size: a pointer fits an interface without an allocation, a slice
// does not.
var pools [classes]sync.Pool

// Get returns an empty slice with a capacity of at least n bytes. Its contents beyond the length are arbitrary.
func Get(n int) []byte {
	class := classOf(n)
	if class < 0 {
		return make([]byte, 0, n)
	}
	size := Smallest << (stepBits * class)
	if p, ok := pools[class].Get().(unsafe.Pointer); ok {
		return unsafe.Slice((*byte)(p), size)[:0]
	}
	return make([]byte, 0, size)
}

// Put gives back a slice that Get returned. The caller must not use it, or any slice of it, afterwards. Slices that are
// of no class (from elsewhere, or larger than Largest) are dropped; b must start where the slice from Get started.
func Put(b []byte) {
	size := cap(b)
	class := classOf(size)
	if class < 0 || size != Smallest<<(stepBits*class) {
		return
	}
	pools[class].Put(unsafe.Pointer(unsafe.SliceData(b)))
}

// Grow returns a slice with the contents of b and room for at least n more bytes, and gives b back if it had to move.
// The capacity at least doubles, so that filling a buffer in small steps copies each byte a bounded number of times.
func Grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := append(Get(max(len(b)+n, 2*cap(b))), b...)
	Put(b)
	return grown
}

// classOf returns the smallest class that holds n bytes, or -1 if none does.
func classOf(n int) int {
	if n <= Smallest {
		return 0
	}
	if n > Largest {
		return -1
	}
	return (bits.Len(uint(n-1)) - firstBits + stepBits - 1) / stepBits
}
