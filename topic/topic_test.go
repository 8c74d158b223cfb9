package topic_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/topic"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", topic.MaxLength)
	for _, c := range []struct {
		text         string
		levels       int
		name, filter error
	}{
		{"a", 0, nil, nil},
		{"/", 0, nil, nil},
		{"//", 0, nil, nil},
		{"a//b", 0, nil, nil},
		{"$SYS/broker", 0, nil, nil},
		{"Köln/日本/😀", 0, nil, nil},
		{"a b/\u0001", 0, nil, nil},
		{"", 0, topic.ErrEmpty, topic.ErrEmpty},
		{long, 0, nil, nil},
		{long + "a", 0, topic.ErrTooLong, topic.ErrTooLong},
		{"a\x00b", 0, topic.ErrEncoding, topic.ErrEncoding},
		{"a\xff", 0, topic.ErrEncoding, topic.ErrEncoding},
		{"a\xc0\x80", 0, topic.ErrEncoding, topic.ErrEncoding},         // overlong U+0000
		{"a\xed\xa0\x80", 0, topic.ErrEncoding, topic.ErrEncoding},     // surrogate
		{"a\xf4\x90\x80\x80", 0, topic.ErrEncoding, topic.ErrEncoding}, // beyond U+10FFFF
		{"+", 0, topic.ErrWildcard, nil},
		{"#", 0, topic.ErrWildcard, nil},
		{"+/+/#", 0, topic.ErrWildcard, nil},
		{"/+", 0, topic.ErrWildcard, nil},
		{"+/", 0, topic.ErrWildcard, nil},
		{"/#", 0, topic.ErrWildcard, nil},
		{"a+", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"+a/b", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"a/b+/c", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"++", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"#/a", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"#/", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"a#", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"a/#b", 0, topic.ErrWildcard, topic.ErrPlacement},
		{"a+\xff", 0, topic.ErrEncoding, topic.ErrEncoding}, // malformed counts more than invalid
		{"a/b/c", 3, nil, nil},
		{"a/b/c", 2, topic.ErrTooDeep, topic.ErrTooDeep},
		{"a/b/#", 3, topic.ErrWildcard, nil},
		{"a/b/#", 2, topic.ErrWildcard, topic.ErrTooDeep},
		{strings.Repeat("/", 999), 1000, nil, nil},
		{strings.Repeat("/", 1000), 1000, topic.ErrTooDeep, topic.ErrTooDeep},
	} {
		if err := topic.ValidateName([]byte(c.text), c.levels); !errors.Is(err, c.name) {
			t.Errorf("ValidateName(%.20q, %d) = %v, want %v", c.text, c.levels, err, c.name)
		}
		if err := topic.ValidateFilter([]byte(c.text), c.levels); !errors.Is(err, c.filter) {
			t.Errorf("ValidateFilter(%.20q, %d) = %v, want %v", c.text, c.levels, err, c.filter)
		}
	}
}

// matchCases are the examples of section 4.7 and the edges around them; the router is held to them too.
var matchCases = []struct {
	filter, name string
	want         bool
}{
	{"sport/tennis/player1/#", "sport/tennis/player1", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
	{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
	{"sport/#", "sport", true},
	{"sport/#", "sport/", true},
	{"sport/#", "sports", false},
	{"#", "a", true},
	{"#", "/", true},
	{"#", "a/b/c", true},
	{"sport/tennis/+", "sport/tennis/player1", true},
	{"sport/tennis/+", "sport/tennis/player1/ranking", false},
	{"sport/+", "sport", false},
	{"sport/+", "sport/", true},
	{"+/+", "/finance", true},
	{"/+", "/finance", true},
	{"+", "/finance", false},
	{"+", "finance", true},
	{"+/+", "/", true},
	{"+/", "/", true},
	{"/+", "/", true},
	{"+//+", "a//b", true},
	{"a/+/b", "a//b", true},
	{"a/+/b", "a/b", false},
	{"+/#", "a", true},
	{"+/+/#", "a/b", true},
	{"+/+/#", "a", false},
	{"/#", "/", true},
	{"/#", "a", false},
	{"/#", "/a/b", true},
	{"a", "a", true},
	{"a", "a/", false},
	{"a/", "a", false},
	{"a/", "a/", true},
	{"a", "A", false},
	{"a/b", "a", false},
	{"#", "$SYS/monitor", false},
	{"+/monitor/Clients", "$SYS/monitor/Clients", false},
	{"+/#", "$SYS", false},
	{"+", "$SYS", false},
	{"$SYS/#", "$SYS/", true},
	{"$SYS/#", "$SYS", true},
	{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
	{"$SYS/+", "$SYS/$x", true},
	{"a/+", "a/$b", true},
	{"a/#", "a/$b/c", true},
	{"$share/g/a", "$share/g/a", true},
	{"/+", "/$b", true},
}

func TestMatch(t *testing.T) {
	for _, c := range matchCases {
		if got := topic.Match([]byte(c.filter), []byte(c.name)); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.name, got)
		}
	}
}

func TestParseShared(t *testing.T) {
	for _, c := range []struct {
		filter, group, rest string
		shared              bool
		err                 error
	}{
		{"a/b", "", "a/b", false, nil},
		{"$share", "", "$share", false, nil},
		{"$shared/g/a", "", "$shared/g/a", false, nil},
		{"a/$share/g/b", "", "a/$share/g/b", false, nil},
		{"$share/g/a", "g", "a", true, nil},
		{"$share/g/a/+/#", "g", "a/+/#", true, nil},
		{"$share/g//", "g", "/", true, nil},
		{"$share/g/$queue/orders", "g", "$queue/orders", true, nil},
		{"$share/", "", "", true, topic.ErrShare},
		{"$share//a", "", "", true, topic.ErrShare},
		{"$share/g", "", "", true, topic.ErrShare},
		{"$share/g/", "", "", true, topic.ErrShare},
		{"$share/+/a", "", "", true, topic.ErrShare},
		{"$share/g#/a", "", "", true, topic.ErrShare},
	} {
		group, rest, shared, err := topic.ParseShared(c.filter)
		if group != c.group || rest != c.rest || shared != c.shared || !errors.Is(err, c.err) {
			t.Errorf("ParseShared(%q) = %q, %q, %v, %v", c.filter, group, rest, shared, err)
		}
	}
}
