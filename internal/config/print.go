package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hidden stands where a secret is set.
const hidden = "<hidden>"

// WriteYAML writes every setting as a file that Load reads, each with its documentation where comments is set. Secrets are
// not shown.
func (c *Config) WriteYAML(w io.Writer, comments bool) error {
	p := &printer{bufio.NewWriter(w), comments}
	p.section(reflect.ValueOf(c).Elem(), 0)
	return p.w.Flush()
}

type printer struct {
	w        *bufio.Writer // keeps the first error for Flush
	comments bool
}

func (p *printer) section(v reflect.Value, depth int) {
	indent := strings.Repeat("  ", depth)
	for i, f := range fields(v) {
		if p.comments && (i > 0 || depth > 0) {
			p.w.WriteByte('\n')
		}
		if p.comments {
			p.comment(f, indent)
		}
		switch f.value.Kind() {
		case reflect.Struct:
			fmt.Fprintf(p.w, "%s%s:\n", indent, f.key)
			p.section(f.value, depth+1)
		case reflect.Map:
			fmt.Fprintf(p.w, "%s%s:\n", indent, f.key)
			p.entries(f.value, depth+1)
		default:
			fmt.Fprintf(p.w, "%s%s: %s\n", indent, f.key, scalar(f))
		}
	}
}

func (p *printer) entries(all reflect.Value, depth int) {
	for _, name := range entryNames(all) {
		fmt.Fprintf(p.w, "%s%s:\n", strings.Repeat("  ", depth), name)
		p.section(all.MapIndex(reflect.ValueOf(name)), depth+1)
	}
}

func (p *printer) comment(f field, indent string) {
	for _, line := range wrap(f.doc, 100-len(indent)) {
		fmt.Fprintf(p.w, "%s# %s\n", indent, line)
	}
	if f.value.Kind() != reflect.Struct && f.value.Kind() != reflect.Map {
		fmt.Fprintf(p.w, "%s# Accepted: %s.\n", indent, f.accepted())
	}
}

// scalar writes a value so that YAML reads the same one back.
func scalar(f field) string {
	var value any = format(f.value)
	switch {
	case f.tag.Get("secret") != "" && f.value.String() != "":
		value = hidden
	case f.value.Kind() == reflect.Slice:
		text, err := yaml.Marshal(&yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: items(f.value)})
		if err != nil {
			panic(err) // a list of scalars has a form in YAML
		}
		return strings.TrimSpace(string(text))
	case f.value.Kind() == reflect.String:
	default:
		return format(f.value)
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		panic(err) // text has a form in YAML
	}
	return strings.TrimSpace(string(text))
}

func items(list reflect.Value) []*yaml.Node {
	nodes := []*yaml.Node{}
	for _, s := range list.Interface().([]string) {
		nodes = append(nodes, &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: s})
	}
	return nodes
}

// wrap breaks text into lines of at most width bytes.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
