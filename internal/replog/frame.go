package replog

import (
	"encoding/binary"
	"errors"
)

// A frame is the data of an entry: the commands of one batch.
//
//	+---------+---------------+------+---------------+------+-----
//	| version | length uvarint | data | length uvarint | data | ...
//	| u8 = 1  |               |      |               |      |
//	+---------+---------------+------+---------------+------+-----
//
// Empty data belongs to raft itself: the first entry of a leader.
const frameVersion = 1

var errFrame = errors.New("replog: entry is no frame of commands")

// frameHeader is the most that a command adds to a frame, version included.
const frameHeader = 1 + binary.MaxVarintLen32

// appendCommand adds a command to a frame, which may be empty.
func appendCommand(frame, data []byte) []byte {
	if len(frame) == 0 {
		frame = append(frame, frameVersion)
	}
	frame = binary.AppendUvarint(frame, uint64(len(data)))
	return append(frame, data...)
}

// appendCommands adds the commands of a frame to cs. Their data lies in frame.
func appendCommands(cs []Command, frame []byte) ([]Command, error) {
	if len(frame) == 0 {
		return cs, nil
	}
	if frame[0] != frameVersion {
		return cs, errFrame
	}
	for rest := frame[1:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return cs, errFrame
		}
		end := n + int(size)
		cs = append(cs, Command{Data: rest[n:end:end]})
		rest = rest[end:]
	}
	return cs, nil
}
