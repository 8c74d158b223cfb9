package lint

import (
	"go/ast"
	"slices"
	"testing"
)

func p95(n []int) int {
	if len(n) == 0 {
		return 0
	}
	slices.Sort(n)
	return n[(len(n)*95-1)/100]
}

func TestFileBudget(t *testing.T) {
	var sizes []int
	for _, s := range sources(t) {
		if s.lines > fileMax {
			t.Errorf("%s has %d lines, more than %d: split it by noun", s.path, s.lines, fileMax)
		}
		if !s.test {
			sizes = append(sizes, s.lines)
		}
	}
	if got := p95(sizes); got > fileP95 {
		t.Errorf("95th percentile of file lengths is %d lines, more than %d", got, fileP95)
	}
}

func TestFunctionBudget(t *testing.T) {
	var sizes []int
	long := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := s.set.Position(f.End()).Line - s.line(f) + 1
			sizes = append(sizes, n)
			name := s.path + ":" + f.Name.Name
			if n <= functionMax {
				continue
			}
			long[name] = true
			if longFunctions[name] == "" {
				t.Errorf("%s has %d lines, more than %d", name, n, functionMax)
			}
		}
	}
	for name := range longFunctions {
		if !long[name] {
			t.Errorf("longFunctions: %s is within the budget or gone: remove the line", name)
		}
	}
	if got := p95(sizes); got > functionP95 {
		t.Errorf("95th percentile of function lengths is %d lines, more than %d", got, functionP95)
	}
}
