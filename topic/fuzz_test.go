package topic_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/topic"
)

func seeds(f *testing.F) {
	for _, c := range matchCases {
		f.Add([]byte(c.filter), []byte(c.name))
	}
	f.Add([]byte("a\x00"), []byte("\xed\xa0\x80"))
	f.Add([]byte("+a/#/"), []byte(strings.Repeat("/", 100)))
}

// valid says in the words of section 4.7 what a name, or a filter, is.
func valid(s string, wildcards bool) bool {
	if s == "" || len(s) > topic.MaxLength || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return false
	}
	if !wildcards {
		return !strings.ContainsAny(s, "+#")
	}
	levels := strings.Split(s, "/")
	for i, level := range levels {
		if strings.Contains(level, "+") && level != "+" || strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return false
		}
	}
	return true
}

func FuzzValidate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, filter, name []byte) {
		for _, b := range [][]byte{filter, name} {
			if err := topic.ValidateName(b, 0); (err == nil) != valid(string(b), false) {
				t.Errorf("ValidateName(%q) = %v", b, err)
			}
			if err := topic.ValidateFilter(b, 0); (err == nil) != valid(string(b), true) {
				t.Errorf("ValidateFilter(%q) = %v", b, err)
			}
			depth := 1 + strings.Count(string(b), "/")
			if valid(string(b), true) && (topic.ValidateFilter(b, depth) != nil || depth > 1 && topic.ValidateFilter(b, depth-1) == nil) {
				t.Errorf("%q has %d levels", b, depth)
			}
			if group, rest, shared, err := topic.ParseShared(string(b)); err == nil && shared && "$share/"+group+"/"+rest != string(b) {
				t.Errorf("ParseShared(%q) = %q, %q", b, group, rest)
			}
		}
	})
}

// expression says what a filter matches as a regular expression.
func expression(filter string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i, level := range strings.Split(filter, "/") {
		switch {
		case level == "#" && i == 0:
			b.WriteString(`.*`)
			continue
		case level == "#":
			b.WriteString(`(/.*)?`)
			continue
		case i > 0:
			b.WriteString(`/`)
		}
		if level == "+" {
			b.WriteString(`[^/]*`)
		} else {
			b.WriteString(regexp.QuoteMeta(level))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

// FuzzMatch holds Match and the router to a regular expression.
func FuzzMatch(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, filter, name []byte) {
		if len(filter) > 500 || len(name) > 500 {
			return // regular expressions have a limit of their own
		}
		got := topic.Match(filter, name) // must end well, whatever it is given
		if !valid(string(filter), true) || !valid(string(name), false) {
			return
		}
		want := expression(string(filter)).Match(name) && !(name[0] == '$' && (filter[0] == '+' || filter[0] == '#'))
		if got != want {
			t.Errorf("Match(%q, %q) = %v", filter, name, got)
		}
		r := topic.NewRouter[sub]()
		s := &sub{1}
		r.Subscribe(string(filter), s)
		var m topic.Matches[sub]
		if r.Match(name, &m); (len(m.Sets) == 1) != want {
			t.Errorf("router: %q, %q: %d sets", filter, name, len(m.Sets))
		}
		if !r.Unsubscribe(string(filter), s) {
			t.Errorf("%q is not there", filter)
		}
		if r.Match(name, &m); len(m.Sets) != 0 || r.Counts() != (topic.Counts{}) {
			t.Errorf("%q is still there", filter)
		}
	})
}
