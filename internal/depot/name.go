package depot

import (
	"bytes"
	"errors"
	"strings"
)

// What the addresses of queues begin with.
const (
	Prefix       = "$queue/"
	StreamPrefix = "$stream/"
)

// maxName bounds the names of queues, in bytes.
const maxName = 128

// DeadLetterSuffix makes the name of a queue's dead-letter queue.
const DeadLetterSuffix = ".dlq"

// ErrName: it is no name for a queue.
var ErrName = errors.New("depot: a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -")

// CheckName tells whether a queue may have the name. Names of dead-letter queues may be longer by their suffix.
func CheckName(name string) error {
	if len(strings.TrimSuffix(name, DeadLetterSuffix)) > maxName {
		return ErrName
	}
	return checkName(name)
}

func checkName[T string | []byte](name T) error {
	if len(name) == 0 {
		return ErrName
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return ErrName
		}
	}
	return nil
}

// Split takes what follows Prefix or StreamPrefix apart: the name of the queue, and what follows it, without the slash between
// them.
func Split(rest []byte) (name, levels []byte) {
	if i := bytes.IndexByte(rest, '/'); i >= 0 {
		return rest[:i], rest[i+1:]
	}
	return rest, nil
}

// IsDeadLetterQueue tells whether the name is that of a dead-letter queue. Such a queue has none of its own.
func IsDeadLetterQueue(name string) bool { return strings.HasSuffix(name, DeadLetterSuffix) }
