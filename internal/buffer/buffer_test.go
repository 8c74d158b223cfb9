package buffer

import "testing"

func TestGetGivesTheSmallestClassThatFits(t *testing.T) {
	for _, c := range []struct{ n, capacity int }{
		{0, 256}, {1, 256}, {256, 256}, {257, 1024}, {1024, 1024}, {1025, 4096}, {4096, 4096}, {4097, 16384},
		{16384, 16384}, {16385, 65536}, {65536, 65536}, {65537, 65537}, {1 << 20, 1 << 20},
	} {
		b := Get(c.n)
		if len(b) != 0 || cap(b) != c.capacity {
			t.Errorf("Get(%d): length %d capacity %d, want 0 and %d", c.n, len(b), cap(b), c.capacity)
		}
		Put(b)
	}
}

func TestPutIgnoresForeignSlices(t *testing.T) {
	for range 100 {
		Put(make([]byte, 300)) // of no class: were it pooled as 1 KiB, the next Get would run past its end
		if b := Get(300); cap(b) != 1024 {
			t.Fatalf("Get(300) has a capacity of %d", cap(b))
		}
	}
}

func TestGrowKeepsContentsAndDoubles(t *testing.T) {
	b := Get(10)
	moves := 0
	for i := range 1 << 18 {
		before := cap(b)
		b = append(Grow(b, 1), byte(i))
		if cap(b) != before {
			moves++
		}
	}
	for i := range b {
		if b[i] != byte(i) {
			t.Fatalf("byte %d was lost", i)
		}
	}
	if moves > 8 {
		t.Errorf("moved %d times while growing to %d bytes", moves, len(b))
	}
}

func BenchmarkGetPut(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Put(Get(1000))
	}
}
