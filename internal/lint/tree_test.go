package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/millrace-mq/millrace"

// A source is one parsed Go file. Its path is relative to the module's root, with forward slashes.
type source struct {
	path  string
	pkg   string // folder below the root, "" at the root
	test  bool
	lines int
	set   *token.FileSet
	file  *ast.File
}

func (s *source) line(n ast.Node) int { return s.set.Position(n.Pos()).Line }

// imports returns the paths that the file imports: of this module relative to its root, the others as they are.
func (s *source) imports() (own, foreign []string) {
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case p == module:
			own = append(own, "")
		case strings.HasPrefix(p, module+"/"):
			own = append(own, strings.TrimPrefix(p, module+"/"))
		default:
			foreign = append(foreign, p)
		}
	}
	return own, foreign
}

const root = "../.."

// skipped folders hold nothing that we wrote.
func skipped(name string) bool {
	return name == "testdata" || name == "node_modules" || name == "bin" || strings.HasPrefix(name, ".") && name != ".ci"
}

// files calls visit with every file of the repository, path relative to its root.
func files(t *testing.T, visit func(p string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && d.Name() != ".git" { // a file in a linked work tree
			visit(filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var parsed []*source

// sources parses every Go file of the module, once for all tests.
func sources(t *testing.T) []*source {
	t.Helper()
	if parsed != nil {
		return parsed
	}
	var all []*source
	files(t, func(p string) {
		if !strings.HasSuffix(p, ".go") {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(p)
		if dir == "." {
			dir = ""
		}
		all = append(all, &source{
			path: p, pkg: dir, test: strings.HasSuffix(p, "_test.go"),
			lines: set.File(file.Pos()).LineCount(), set: set, file: file,
		})
	})
	if len(all) < 5 {
		t.Fatalf("only %d Go files found below %s: the walk is broken", len(all), root)
	}
	parsed = all
	return all
}
