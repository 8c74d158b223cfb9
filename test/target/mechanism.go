package target

import (
	"errors"

	"github.com/millrace-mq/millrace"
)

// Echo is the authentication method that every node of the tests offers. The
// client's data is Right for success at once; Ask makes the server ask once
// more, with Question, for which Right is the answer; anything else fails.
const (
	Echo     = "ECHO"
	Right    = "right"
	Ask      = "ask"
	Question = "question"
)

var errWrong = errors.New("wrong answer")

type echo struct{ asked bool }

func mechanisms(method string) (millrace.Mechanism, error) {
	if method != Echo {
		return nil, errors.New("no such method")
	}
	return &echo{}, nil
}

func (e *echo) Step(data []byte) (answer []byte, done bool, err error) {
	switch {
	case string(data) == Right:
		return []byte("welcome"), true, nil
	case string(data) == Ask && !e.asked:
		e.asked = true
		return []byte(Question), false, nil
	}
	return nil, false, errWrong
}
