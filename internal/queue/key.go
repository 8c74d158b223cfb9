package queue

import "crypto/sha256"

// Key is the hash of a partition key, the same on every node and in every
// version. 0 means that a message has no key. Two keys with one hash are kept in
// order together, which is more than they ask for.
type Key uint64

// KeyOf hashes a partition key. An empty one is no key.
func KeyOf(b []byte) Key {
	if len(b) == 0 {
		return 0
	}
	// FNV-1a, then the finalizer of MurmurHash3, since the partition is taken
	// from one end of the hash and the member of a group from the other.
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return Key(max(h, 1))
}

// Partition is the partition of n that messages of the key go to. k must not be
// 0: where messages without a key go is the caller's choice.
func (k Key) Partition(n int) int { return int((uint64(k) >> 32) * uint64(n) >> 32) }

// DedupID is what a partition remembers of a message's dedup-id. The zero value
// means that there is none.
type DedupID [16]byte

// DedupOf makes one of the identifier that the publisher chose. An empty one is
// none. The hash is cryptographic, as publishers do not trust each other.
func DedupOf(id []byte) DedupID {
	if len(id) == 0 {
		return DedupID{}
	}
	sum := sha256.Sum256(id)
	return DedupID(sum[:16])
}
