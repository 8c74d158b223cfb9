package lint

import (
	"go/ast"
	"strings"
	"testing"
)

// A setting that is accepted is enforced: each field of the configuration is read by the node or by the command that starts it.
// A setting that nobody reads would be checked, documented, and have no effect.
func TestSettingsAreUsed(t *testing.T) {
	read := map[string]bool{}
	var schema *source
	for _, s := range sources(t) {
		if s.path == "internal/config/schema.go" {
			schema = s
		}
		if s.test || s.pkg != "" && s.pkg != "cmd/millrace" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok {
				read[x.Sel.Name] = true
			}
			return true
		})
	}
	if schema == nil {
		t.Fatal("internal/config/schema.go is gone")
	}
	settings := 0
	ast.Inspect(schema.file, func(n ast.Node) bool {
		f, ok := n.(*ast.Field)
		if !ok || f.Tag == nil || !strings.Contains(f.Tag.Value, "yaml:") {
			return true
		}
		settings++
		for _, name := range f.Names {
			if !read[name.Name] {
				t.Errorf("%s:%d: neither the node nor its command reads %s: a setting that has no effect", schema.path, schema.line(f), name.Name)
			}
		}
		return true
	})
	if settings < 40 {
		t.Errorf("only %d settings found", settings)
	}
}
