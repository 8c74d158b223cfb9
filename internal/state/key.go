package state

import "encoding/binary"

// Shards is the number of shards, part of the format.
const Shards = 64

// formatKey holds the version of the format of everything in the store.
var formatKey = []byte{0xFF, 'V'}

// formatVersion is what this code reads and writes.
const formatVersion = 1

// What a key is about: the byte after the shard's.
const (
	kindApplied  = 'A' // index of the last applied entry, last number
	kindLane     = 'L' // lane -> last place used in the outbox
	kindMessage  = 'M' // number -> message that several sessions refer to
	kindOutbox   = 'O' // lane, place -> message of QoS 2 on its way to other shards
	kindRetained = 'R' // topic -> message
	kindSession  = 'S' // number of the session, part, ...
	kindOrigin   = 'W' // shard, lane -> last place that was here
)

// Parts of a session, in the order in which they are read.
const (
	partHead     = 1 + iota // the session itself
	partFilter              // filter -> subscription options
	partReceived            // packet identifier of QoS 2 from the client
	partAssigned            // number of a message -> its packet identifier and how far it is
	partItem                // number of a message -> how it is delivered, and the message
)

// filterLimit is the longest topic filter, as MQTT has it.
const filterLimit = 1<<16 - 1

func keyOf(shard int, kind byte) []byte { return []byte{byte(shard), kind} }

// appendNumber keeps the order of numbers in the order of keys.
func appendNumber(dst []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(dst, n) }

func appendSessionKey(dst []byte, shard int, session uint64, part byte) []byte {
	dst = append(dst, byte(shard), kindSession)
	dst = appendNumber(dst, session)
	return append(dst, part)
}

// ShardOf is the shard of a client identifier or of a topic. It is part of the format: FNV-1a, folded to 6 bits.
func ShardOf[T ~string | ~[]byte](name T) int {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h ^= h >> 32
	return int((h ^ h>>16 ^ h>>8) % Shards)
}
