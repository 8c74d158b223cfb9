package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with the settings.
type Error struct {
	Source string // the file, the variable or the flag that it comes from; empty: the program
	Line   int    // in the file; 0: not in a file
	Key    string // section.key; empty: the file as a whole
	Reason string // what is wrong, and what would be accepted
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// A place is where a setting got its value.
type place struct {
	source string
	line   int
}

// problems gathers errors, and remembers where each setting came from to say so.
type problems struct {
	all    []*Error
	places map[string]place
}

// came notes that the value of key, or of what is below it, stands at p.
func (ps *problems) came(key string, p place) { ps.places[key] = p }

// at notes an error at a known place.
func (ps *problems) at(p place, key, reason string) {
	ps.all = append(ps.all, &Error{p.source, p.line, key, reason})
}

// with notes an error in the value of key, whose place is that of the nearest key above that has one.
func (ps *problems) with(key, reason string) {
	for above := key; ; {
		if p, ok := ps.places[above]; ok {
			ps.at(p, key, reason)
			return
		}
		i := strings.LastIndexByte(above, '.')
		if i < 0 {
			break
		}
		above = above[:i]
	}
	ps.at(place{}, key, reason)
}

// err joins what was found, in the order of source and line.
func (ps *problems) err() error {
	slices.SortStableFunc(ps.all, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line))
	})
	errs := make([]error, len(ps.all))
	for i, e := range ps.all {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// nearestOf returns the candidate that a misspelt word most likely meant, or nothing when none is near.
func nearestOf(word string, candidates []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
