package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/config"
)

// pages are what users read, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range append(paths, "../../README.md") {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all[p] = string(text)
	}
	return all
}

// words splits a command line as a shell would, as far as the pages need it.
func words(line string) []string {
	var all []string
	line = regexp.MustCompile(`\$\([^)]*\)`).ReplaceAllString(line, "1") // some number
	for _, m := range regexp.MustCompile(`(?:'[^']*'|[^\s'#])+|#.*`).FindAllString(line, -1) {
		if m[0] == '#' || m == "|" || m == ">" || m == "&" {
			break
		}
		all = append(all, strings.ReplaceAll(m, "'", ""))
	}
	return all
}

// Each command in the documentation and in the help texts is one that there is, with flags that there are.
func TestCommandsOfThePages(t *testing.T) {
	texts := pages(t)
	for _, c := range rootCommand().Commands() {
		texts["help of "+c.Name()] = c.Example
		for _, sub := range c.Commands() {
			texts["help of "+c.Name()+" "+sub.Name()] = sub.Example
		}
	}
	command := regexp.MustCompile(`(?m)^ {2,4}(?:[^\n|]*\| *|[A-Z_]+=\S+ )*(?:go run \./cmd/millrace|millrace) (.*)$`)
	seen := 0
	for page, text := range texts {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			seen++
			c, rest, err := rootCommand().Find(words(m[1]))
			if err == nil {
				err = c.ParseFlags(rest)
			}
			if err == nil {
				err = c.ValidateArgs(c.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: millrace %s: %v", page, m[1], err)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d commands found", seen)
	}
}

// Each piece of configuration in the documentation is valid.
func TestConfigurationOfThePages(t *testing.T) {
	block := regexp.MustCompile(`(?m)^    (?:listeners|limits|mqtt|log|admin|node|sys|network):\n(?:    .*\n)+`)
	seen := 0
	for page, text := range pages(t) {
		for _, m := range block.FindAllString(text, -1) {
			seen++
			path := filepath.Join(t.TempDir(), "page.yaml")
			if err := os.WriteFile(path, []byte(m), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(config.Source{File: path}); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, m)
			}
		}
	}
	if seen < 3 {
		t.Errorf("only %d pieces found", seen)
	}
}

// Links to files of the repository, and to headings in them, lead somewhere.
func TestLinksOfThePages(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#([^)]*))?\)`)
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := filepath.Join(filepath.Dir(page), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			if m[2] == "" {
				continue
			}
			other, err := os.ReadFile(target)
			heading := regexp.MustCompile(`(?mi)^#+ ` + strings.ReplaceAll(regexp.QuoteMeta(m[2]), "-", "[ -]") + `$`)
			if err != nil || !heading.Match(other) {
				t.Errorf("%s: no heading %q in %s", page, m[2], m[1])
			}
		}
	}
}
