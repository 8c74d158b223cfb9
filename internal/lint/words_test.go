package lint

import (
	"bytes"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// A goroutine that nobody stops is a leak that waits for its day. Beside each go statement of the product, on its line,
// right above it or as the first thing inside the function it starts, a comment says what ends it; or the documentation
// of the function does.
func TestGoroutinesNameTheirEnd(t *testing.T) {
	ends := regexp.MustCompile(`(?i)\b(stop|end|return|clos|exit|finish|until|done|cancel|leav|wait)`)
	all := sources(t)
	docs := map[string]string{} // by package and name of the function; methods of one name share theirs
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && !s.test {
				docs[s.pkg+"."+f.Name.Name] += f.Doc.Text()
			}
		}
	}
	for _, s := range all {
		if s.test {
			continue
		}
		comments := map[int]string{} // by the line where the comment ends
		for _, group := range s.file.Comments {
			comments[s.set.Position(group.End()).Line] = group.Text()
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			g, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			line := s.line(g)
			text := comments[line] + comments[line-1] + comments[line+1]
			switch f := g.Call.Fun.(type) {
			case *ast.Ident:
				text += docs[s.pkg+"."+f.Name]
			case *ast.SelectorExpr:
				text += docs[s.pkg+"."+f.Sel.Name]
			}
			if !ends.MatchString(text) {
				t.Errorf("%s:%d: say beside the go statement what ends the goroutine", s.path, line)
			}
			return true
		})
	}
}

// No file speaks of the machine that it was written on, or promises work that was not done.
func TestWords(t *testing.T) {
	bad := []struct {
		why     string
		pattern *regexp.Regexp
		goOnly  bool
	}{
		{"a path of somebody's machine", regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(work|root|home/[a-z]+)/`), false},
		{"the address of a registry", regexp.MustCompile(`(proxy\.` + `golang\.org|registry\.` + `npmjs\.org|deb\.` + `debian\.org)`), false},
		{"an unfinished thing", regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`), true},
	}
	files(t, func(p string) {
		if info, err := os.Stat(filepath.Join(root, p)); err != nil || info.Size() > 1<<20 {
			return
		}
		text := []byte(read(t, p))
		if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
			return // not text
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, b := range bad {
				if b.goOnly && !strings.HasSuffix(p, ".go") {
					continue
				}
				if m := b.pattern.FindString(line); m != "" {
					t.Errorf("%s:%d: %q is %s", p, i+1, m, b.why)
				}
			}
		}
	})
}
