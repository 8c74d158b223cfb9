package retained_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/retained"
	"github.com/millrace-mq/millrace/topic"
)

// FuzzWalk stores the valid ones of some names, a line each, and holds a walk to what a naive match finds.
func FuzzWalk(f *testing.F) {
	f.Add("a/+/c", "a\na/b\na/b/c\na/b!/c\na/b/c/d\n$a/b/c")
	f.Add("#", "/\n//\n$SYS/x\na")
	f.Add("+/b/#", "a/b\n/b/\nb/a/b\na/ba\na/b/c\n\x01/b")
	f.Add("a/b", "a/b\na/b/\na/b\x01\na")
	f.Fuzz(func(t *testing.T, filter, lines string) {
		if topic.ValidateFilter([]byte(filter), 0) != nil {
			return
		}
		s, m := retained.New(retained.Limits{}), model{}
		for name := range strings.SplitSeq(lines, "\n") {
			if topic.ValidateName([]byte(name), 0) == nil {
				m[name] = msg(name, "x", 0)
				s.Set(m[name])
			}
		}
		for _, limit := range []int{1, 3, 1000} {
			if got, want := walk(s, filter, 0, limit), m.walk(filter, 0); !slices.Equal(got, want) {
				t.Errorf("%q among %q in steps of %d: %q, want %q", filter, lines, limit, got, want)
			}
		}
		for name := range m {
			s.Set(msg(name, "", 0))
		}
		if s.Len() != 0 || s.Bytes() != 0 {
			t.Errorf("%d messages of %d bytes remain", s.Len(), s.Bytes())
		}
	})
}
