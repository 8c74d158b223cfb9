package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Source says where Load reads from. Each part is laid over the ones above it.
type Source struct {
	File  string   // YAML; empty: none
	Env   []string // as os.Environ returns them; only MILLRACE_SECTION__KEY is looked at
	Flags []Flag   // in the order of the command line
}

// Flag is one setting from the command line.
type Flag struct {
	Name  string // as the user wrote it, for errors: --mqtt
	Key   string // section.key, or listeners.name.key; listeners.name with the value off removes the listener
	Value string
}

// Load returns the settings from the defaults and src. The error joins all that is wrong, each an *Error.
func Load(src Source) (*Config, error) {
	c := Default()
	ps := &problems{places: map[string]place{}}
	if src.File != "" {
		text, err := os.ReadFile(src.File)
		if err != nil {
			return nil, err // names the file
		}
		decode(c, src.File, text, ps)
	}
	c.environment(src.Env, ps)
	for _, f := range src.Flags {
		c.set(f.Key, f.Value, place{source: f.Name}, ps)
	}
	c.complete()
	c.check(ps)
	if err := ps.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Completed returns a copy with what follows from other settings, or from the machine, filled in. What Load returns is complete
// already.
func (c *Config) Completed() *Config {
	whole := *c
	whole.Listeners = maps.Clone(c.Listeners)
	whole.Queues.Declared = maps.Clone(c.Queues.Declared)
	whole.complete()
	return &whole
}

// complete fills in what follows from other settings.
func (c *Config) complete() {
	for name, l := range c.Listeners {
		l.complete()
		c.Listeners[name] = l
	}
	if c.Node.Name == "" {
		c.Node.Name, _ = os.Hostname() // empty again where there is none, which check reports
	}
	c.Limits.MaxConnectSize = min(c.Limits.MaxConnectSize, c.Limits.MaxPacketSize)
}

const envPrefix = "MILLRACE_"

// environment lays MILLRACE_SECTION__KEY variables over c, in the order of their names.
func (c *Config) environment(env []string, ps *problems) {
	env = slices.Clone(env)
	slices.Sort(env)
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || !strings.Contains(rest, "__") {
			continue // also what Kubernetes makes for a service called millrace
		}
		key := strings.ToLower(strings.ReplaceAll(rest, "__", "."))
		at := place{source: name}
		if secret, ok := strings.CutSuffix(key, "_file"); ok {
			if f, _, found := c.find(secret); found && f.tag.Get("secret") != "" {
				text, err := os.ReadFile(filepath.Clean(value))
				if err != nil {
					ps.at(at, secret, err.Error())
					continue
				}
				key, value = secret, strings.TrimRight(string(text), "\r\n")
			}
		}
		c.set(key, value, at, ps)
	}
}

// set gives one setting, named by its path, a value.
func (c *Config) set(key, value string, at place, ps *problems) {
	if name, ok := strings.CutPrefix(key, "listeners."); ok && !strings.Contains(name, ".") && value == off {
		delete(c.Listeners, name)
		return
	}
	f, store, found := c.find(key)
	if !found {
		section, last, v := c.deepest(key)
		ps.at(at, key, unknown(last, section, v))
		return
	}
	if err := assign(f.value, value); err != nil {
		ps.at(at, key, fmt.Sprintf("%v (accepted is %s)", err, f.accepted()))
		return
	}
	ps.came(key, at)
	store()
}

// find returns the setting that a path names, and a function that puts it back where that is needed: entries of a map
// are changed in a copy.
func (c *Config) find(key string) (f field, store func(), ok bool) {
	parts := strings.Split(key, ".")
	v, store := reflect.ValueOf(c).Elem(), func() {}
	for i, part := range parts {
		if v.Kind() == reflect.Map {
			t := v.Type().Elem()
			if badEntry(t, part) != "" {
				return field{}, nil, false
			}
			entry := c.newEntry(t)
			if there := v.MapIndex(reflect.ValueOf(part)); there.IsValid() {
				entry.Set(there)
			}
			all := v
			store = func() {
				if all.IsNil() {
					all.Set(reflect.MakeMap(all.Type()))
				}
				all.SetMapIndex(reflect.ValueOf(part), entry)
			}
			f, v = field{value: entry}, entry
			continue
		}
		if v.Kind() != reflect.Struct {
			return field{}, nil, false
		}
		all := fields(v)
		at := slices.IndexFunc(all, func(f field) bool { return f.key == part })
		if at < 0 {
			return field{}, nil, false
		}
		f = all[at]
		v = f.value
		if i == len(parts)-1 {
			break
		}
	}
	return f, store, true
}

// deepest returns how far a path that names nothing can be followed: the section, the word that failed, and the section's value.
func (c *Config) deepest(key string) (section, word string, v reflect.Value) {
	v = reflect.ValueOf(c).Elem()
	rest := key
	for {
		word, after, more := strings.Cut(rest, ".")
		f, _, ok := c.find(join(section, word))
		if !ok || !more || f.value.Kind() != reflect.Struct && f.value.Kind() != reflect.Map {
			return section, word, v
		}
		section, rest = join(section, word), after
		v = f.value
		if v.Kind() == reflect.Map {
			v = c.newEntry(v.Type().Elem())
		}
	}
}
