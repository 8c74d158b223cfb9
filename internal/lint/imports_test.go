package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// floor returns the layer of a package and the listed path that gave it.
func floor(pkg string) (l layer, listed string, ok bool) {
	for p := pkg; p != ""; {
		if l, ok := layers[p]; ok {
			return l, p, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	if pkg == "" {
		return layers[""], "", true
	}
	return 0, "", false
}

func TestImportLaw(t *testing.T) {
	used := map[sideways]bool{}
	for _, s := range sources(t) {
		from, listed, ok := floor(s.pkg)
		if !ok {
			t.Errorf("%s: package %q has no layer: give it one in internal/lint/laws.go", s.path, s.pkg)
			continue
		}
		if s.test {
			continue // a test may stand its package on the real things around it
		}
		own, foreign := s.imports()
		for _, to := range own {
			target, toListed, ok := floor(to)
			switch {
			case !ok:
				t.Errorf("%s: imports %q, which has no layer", s.path, to)
			case toListed == listed && from != command && from != proof, target < from:
			default:
				pair := sideways{listed, toListed}
				used[pair] = true
				if sidewaysAllowed[pair] == "" {
					t.Errorf("%s: %s may not import %s: not a lower layer, and no line in sidewaysAllowed", s.path, listed, to)
				}
			}
			if only, ok := onlyImports[listed]; ok && toListed != listed && !slices.Contains(only, toListed) {
				t.Errorf("%s: %s may import of this module only %q, not %s", s.path, listed, only, to)
			}
		}
		if from == pure {
			for _, to := range foreign {
				if slices.Contains(pureStandard, to) {
					t.Errorf("%s: a pure package may not import %s", s.path, to)
				}
			}
		}
	}
	for pair := range sidewaysAllowed {
		if !used[pair] {
			t.Errorf("sidewaysAllowed: no file of %s imports %s any more: remove the line", pair.from, pair.to)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, s := range sources(t) {
		if name := strings.TrimSuffix(s.file.Name.Name, "_test"); slices.Contains(forbiddenNames, name) {
			t.Errorf("%s: a package named %s says nothing about what is inside", s.path, name)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	documented := map[string]int{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		documented[s.pkg] += 0
		if doc := s.file.Doc.Text(); doc != "" {
			documented[s.pkg]++
			want := "Package " + s.file.Name.Name + " "
			if s.file.Name.Name == "main" {
				want = "Command "
			}
			if !strings.HasPrefix(doc, want) {
				t.Errorf("%s: the package comment must begin with %q", s.path, want)
			}
		}
	}
	for pkg, n := range documented {
		if n != 1 {
			t.Errorf("package %q has %d package comments, want one", pkg, n)
		}
	}
}

// Every direct dependency stands in ARCHITECTURE.md with its reason, and nothing else does.
func TestDependenciesHaveReasons(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	_, section, ok := strings.Cut(text, "\n## Dependencies\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section Dependencies")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `?([^`| ]+/[^`| ]+)`? \\|").FindAllStringSubmatch(section, -1) {
		listed[m[1]] = true
	}
	direct := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+) v\S+$`)
	for _, m := range direct.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		if !listed[m[1]] {
			t.Errorf("go.mod requires %s, which has no line with its reason in ARCHITECTURE.md, Dependencies", m[1])
		}
		delete(listed, m[1])
	}
	for m := range listed {
		t.Errorf("ARCHITECTURE.md gives a reason for %s, which go.mod does not require directly", m)
	}
}

func read(t *testing.T, p string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, p))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
