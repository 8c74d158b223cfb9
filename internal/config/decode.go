package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A decoder lays one YAML document over a Config.
type decoder struct {
	root   *Config
	source string
	*problems
}

// decode lays the text of a file over c.
func decode(c *Config, source string, text []byte, ps *problems) {
	d := &decoder{c, source, ps}
	reader := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	switch err := reader.Decode(&document); {
	case errors.Is(err, io.EOF):
		return // empty: nothing is set
	case err != nil:
		d.syntax(err)
		return
	}
	var second yaml.Node
	if err := reader.Decode(&second); err == nil {
		d.at(d.place(&second), "", "a second document: one file holds one")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	d.section(document.Content[0], reflect.ValueOf(c).Elem(), "")
}

// syntax notes what the YAML parser says, which names a line in its text.
func (d *decoder) syntax(err error) {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(reason, "line "); ok {
		if number, after, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, reason = n, after
			}
		}
	}
	d.at(place{d.source, line}, "", "not YAML: "+reason)
}

func (d *decoder) place(n *yaml.Node) place { return place{d.source, n.Line} }

func join(above, key string) string {
	if above == "" {
		return key
	}
	return above + "." + key
}

// pairs calls visit with each key and value of a mapping, and refuses what is none, and keys that come twice.
func (d *decoder) pairs(n *yaml.Node, path string, visit func(key string, at, value *yaml.Node)) {
	n = target(n)
	if isNull(n) {
		return // "limits:" with nothing below
	}
	if n.Kind != yaml.MappingNode {
		d.at(d.place(n), path, "this is a section: write its settings below it, as key: value")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, key := n.Content[i], n.Content[i].Value
		if at.Kind != yaml.ScalarNode {
			d.at(d.place(at), path, "a key must be a word")
			continue
		}
		if line, twice := seen[key]; twice {
			d.at(d.place(at), join(path, key), fmt.Sprintf("set before, in line %d", line))
			continue
		}
		seen[key] = at.Line
		visit(key, at, n.Content[i+1])
	}
}

// section decodes a mapping into a struct.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string) {
	d.came(path, d.place(n))
	known := fields(v)
	var entries []func() // last, as they begin with settings of the section
	d.pairs(n, path, func(key string, at, value *yaml.Node) {
		for _, f := range known {
			if f.key == key {
				d.came(join(path, key), d.place(at))
				if f.value.Kind() == reflect.Map {
					entries = append(entries, func() { d.entries(value, f.value, join(path, key)) })
					return
				}
				d.field(value, f, join(path, key))
				return
			}
		}
		d.at(d.place(at), join(path, key), unknown(key, path, v))
	})
	for _, decode := range entries {
		decode()
	}
}

func (d *decoder) field(n *yaml.Node, f field, path string) {
	switch {
	case f.value.Kind() == reflect.Struct:
		d.section(n, f.value, path)
	case f.value.Kind() == reflect.Slice && target(n).Kind == yaml.SequenceNode:
		list := []string{}
		for _, item := range target(n).Content {
			item = target(item)
			if item.Kind != yaml.ScalarNode || isNull(item) {
				d.at(d.place(item), path, "wrong type: a list of text is wanted")
				return
			}
			list = append(list, item.Value)
		}
		f.value.Set(reflect.ValueOf(list))
	default:
		d.scalar(n, f, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, f field, path string) {
	n = target(n)
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	wantsPlain := f.value.Kind() == reflect.Bool || f.value.Kind() == reflect.Int
	switch {
	case n.Kind != yaml.ScalarNode || f.value.Kind() == reflect.Slice:
		d.at(d.place(n), path, "wrong type: accepted is "+f.accepted())
	case isNull(n):
		d.at(d.place(n), path, "no value: accepted is "+f.accepted())
	case quoted && wantsPlain:
		d.at(d.place(n), path, fmt.Sprintf("wrong type, %q is text: accepted is %s", n.Value, f.accepted()))
	default:
		if err := assign(f.value, n.Value); err != nil {
			d.at(d.place(n), path, err.Error()+" (accepted is "+f.accepted()+")")
		}
	}
}

// entries decodes a section whose keys are names. It replaces what was there.
func (d *decoder) entries(n *yaml.Node, into reflect.Value, path string) {
	into.Set(reflect.MakeMap(into.Type()))
	t := into.Type().Elem()
	d.pairs(n, path, func(name string, at, value *yaml.Node) {
		if v := target(value); v.Kind == yaml.ScalarNode && v.Value == off {
			return
		}
		if reason := badEntry(t, name); reason != "" {
			d.at(d.place(at), join(path, name), reason)
			return
		}
		entry := d.root.newEntry(t)
		d.section(value, entry, join(path, name))
		d.came(join(path, name), d.place(at))
		into.SetMapIndex(reflect.ValueOf(name), entry)
	})
}

// off in place of a listener removes it.
const off = "off"

// badName says why a listener may not be called so, or nothing.
func badName(name string) string {
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			name = ""
			break
		}
	}
	if name == "" || len(name) > 64 {
		return "a listener's name is 1 to 64 of a-z 0-9 _ -"
	}
	return ""
}

// unknown words the error for a key that a section does not have.
func unknown(key, path string, section reflect.Value) string {
	if near := nearestOf(key, keys(section)); near != "" {
		return "no such setting; nearest: " + near
	}
	for _, s := range fields(reflect.ValueOf(Default()).Elem()) {
		if s.value.Kind() != reflect.Struct {
			continue
		}
		for _, k := range keys(s.value) {
			if k == key && s.key != path {
				return "no such setting; nearest: " + s.key + "." + k
			}
		}
	}
	return "no such setting; known here: " + strings.Join(keys(section), ", ")
}

// target follows aliases.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
