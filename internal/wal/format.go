package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Format of a segment file; docs/format-wal.md draws it. All integers are
// little endian.
//
//	0         1024      4096                                          size
//	+---------+---------+--------+--------+-----+--------+-----+--------+
//	| slot 0  | slot 1  | record | record | ... | record | End | old... |
//	+---------+---------+--------+--------+-----+--------+-----+--------+
//
// A slot holds a header and, 512 bytes on, perhaps a stamp. The sound header
// with the higher epoch counts; each new use writes the other slot, so that an
// interrupted one leaves what was there.
//
// Record, aligned to 8 bytes:
//
//	0      4      8       12      14     15    16      24     32      40
//	+------+------+-------+-------+------+-----+-------+------+-------+---------+-----+
//	| crc  | len  | epoch | batch | kind | tag | group | term | index | payload | pad |
//	+------+------+-------+-------+------+-----+-------+------+-------+---------+-----+
//
// crc is CRC32C over the log's salt and everything from len to the end of the
// payload. epoch is the low half of the segment's epoch: a segment is used
// again and again without being cleared, and what an earlier use left behind
// has another epoch. batch counts the writes to the segment; the first record
// of a write has firstOfBatch set in kind.
const (
	recordHeader = 40
	headerPage   = 4096 // the first record is here
	slotSize     = 1024
	stampAt      = 512 // in the slot of the header that it belongs to
	align        = 8

	formatVersion = 1

	headerMagic = "MRWALSEG"
	stampMagic  = "MRCOLDSG"

	headerLen = 60
	stampLen  = 20
)

// kind says what a record is. Numbers are part of the format.
type kind byte

const (
	kindEntry    kind = 1  // a log entry; tag is the caller's
	kindState    kind = 2  // hard state: term, index = commit, payload = vote
	kindBase     kind = 3  // entries up to index (of term) are dropped; tag 1: and all others too
	kindChunk    kind = 4  // part of the snapshot at index; term = number of the part
	kindSnapshot kind = 5  // end of the snapshot at index; term = number of parts, payload = length
	kindRemove   kind = 6  // the group is gone; term = the highest epoch of a cold segment before
	kindVoid     kind = 7  // the horizon of entries (index, term) and that of snapshots (payload)
	kindOldest   kind = 8  // index = epoch of the oldest hot segment that recovery needs
	kindEnd      kind = 9  // the segment ends here
	kindCarry    kind = 10 // an entry that stands in an older segment, again; replaces nothing
	kindLast          = kindCarry
	firstOfBatch      = 0x80
	resetTag          = 1
	chunkSize         = 1 << 20
	statePayload      = 8
	voteSize          = 8
	stateSize         = recordHeader + voteSize
	endSize           = recordHeader
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saltOf starts the checksum of every record of a log: a client cannot put
// bytes into a message that pass for a record, since it does not know the salt.
func saltOf(salt uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], salt)
	return crc32.Update(0, castagnoli, b[:])
}

// record is a decoded record. payload aliases the buffer it was decoded from.
type record struct {
	kind    kind
	tag     byte
	first   bool // first of its batch
	batch   uint16
	epoch   uint32
	group   uint64
	term    uint64
	index   uint64
	payload []byte
}

func (r *record) isEntry() bool { return r.kind == kindEntry || r.kind == kindCarry }

// padded is the space that a payload of n bytes takes with its header.
func padded(n int) int { return (recordHeader + n + align - 1) &^ (align - 1) }

// appendRecord appends the encoded record, padding included.
func appendRecord(b []byte, salt uint32, r *record) []byte {
	at := len(b)
	k := byte(r.kind)
	if r.first {
		k |= firstOfBatch
	}
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.payload)))
	b = binary.LittleEndian.AppendUint32(b, r.epoch)
	b = binary.LittleEndian.AppendUint16(b, r.batch)
	b = append(b, k, r.tag)
	b = binary.LittleEndian.AppendUint64(b, r.group)
	b = binary.LittleEndian.AppendUint64(b, r.term)
	b = binary.LittleEndian.AppendUint64(b, r.index)
	b = append(b, r.payload...)
	crc := crc32.Update(salt, castagnoli, b[at+4:])
	binary.LittleEndian.PutUint32(b[at:], crc)
	for len(b)%align != at%align {
		b = append(b, 0)
	}
	return b
}

// fault says why bytes are not a record. The empty fault means that they are one.
type fault string

const (
	sound         fault = ""
	faultShort    fault = "record reaches beyond the segment"
	faultEpoch    fault = "record of another epoch"
	faultKind     fault = "unknown kind of record"
	faultChecksum fault = "checksum does not match"
)

// decodeRecord decodes the record at the start of b, which must be of epoch.
// n is the space it takes. The checks are ordered so that remains of an earlier
// epoch, which are what usually stands after the last record, cost nothing.
func decodeRecord(b []byte, salt, epoch uint32) (r record, n int, f fault) {
	if len(b) < recordHeader {
		return record{}, 0, faultShort
	}
	r.epoch = binary.LittleEndian.Uint32(b[8:])
	if r.epoch != epoch {
		return record{}, 0, faultEpoch
	}
	size := uint64(binary.LittleEndian.Uint32(b[4:]))
	if size > uint64(len(b)-recordHeader) {
		return record{}, 0, faultShort
	}
	k := b[14]
	r.first = k&firstOfBatch != 0
	r.kind = kind(k &^ firstOfBatch)
	if r.kind == 0 || r.kind > kindLast {
		return record{}, 0, faultKind
	}
	end := recordHeader + int(size)
	if crc32.Update(salt, castagnoli, b[4:end]) != binary.LittleEndian.Uint32(b) {
		return record{}, 0, faultChecksum
	}
	r.batch = binary.LittleEndian.Uint16(b[12:])
	r.tag = b[15]
	r.group = binary.LittleEndian.Uint64(b[16:])
	r.term = binary.LittleEndian.Uint64(b[24:])
	r.index = binary.LittleEndian.Uint64(b[32:])
	r.payload = b[recordHeader:end:end]
	return r, padded(int(size)), sound
}

// class says what a segment is used for. Numbers are part of the format.
type class uint32

const (
	classHot  class = 0 // part of the shared log
	classCold class = 1 // holds long-lived entries that were copied out of the log
	classFree class = 2 // holds nothing
)

// header says what a segment is used for. A segment without a sound header is
// free. Epochs are given out one after the other, to every use of any segment.
type header struct {
	class  class
	epoch  uint64
	prev   uint64 // epoch of the hot segment before this one; 0 for the first, and in cold ones
	oldest uint64 // the oldest hot segment that was needed when this one was prepared
	salt   uint64
	size   int64 // length of the file
}

func (h *header) append(b []byte) []byte {
	at := len(b)
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.class))
	b = binary.LittleEndian.AppendUint64(b, h.epoch)
	b = binary.LittleEndian.AppendUint64(b, h.prev)
	b = binary.LittleEndian.AppendUint64(b, h.oldest)
	b = binary.LittleEndian.AppendUint64(b, h.salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// decodeHeader decodes a header. ok is false when there is none. The error is
// for a sound header of a format that this version does not know.
func decodeHeader(b []byte) (h header, ok bool, err error) {
	if len(b) < headerLen || string(b[:8]) != headerMagic {
		return header{}, false, nil
	}
	if crc32.Checksum(b[:headerLen-4], castagnoli) != binary.LittleEndian.Uint32(b[headerLen-4:]) {
		return header{}, false, nil
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return header{}, false, fmt.Errorf("%w: format %d, this program knows %d", ErrFormat, v, formatVersion)
	}
	h.class = class(binary.LittleEndian.Uint32(b[12:]))
	h.epoch = binary.LittleEndian.Uint64(b[16:])
	h.prev = binary.LittleEndian.Uint64(b[24:])
	h.oldest = binary.LittleEndian.Uint64(b[32:])
	h.salt = binary.LittleEndian.Uint64(b[40:])
	h.size = int64(binary.LittleEndian.Uint64(b[48:]))
	return h, true, nil
}

// appendStamp appends the mark that makes a hot segment of this epoch a cold
// one in place. It has a sector of its own, so that writing it cannot harm the
// header.
func appendStamp(b []byte, epoch uint64) []byte {
	at := len(b)
	b = append(b, stampMagic...)
	b = binary.LittleEndian.AppendUint64(b, epoch)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

func isStamped(b []byte, epoch uint64) bool {
	return len(b) >= stampLen && string(b[:8]) == stampMagic &&
		binary.LittleEndian.Uint64(b[8:]) == epoch &&
		crc32.Checksum(b[:16], castagnoli) == binary.LittleEndian.Uint32(b[16:])
}
