package config

import (
	"reflect"
	"slices"
)

// An entry is what a section holds whose keys are names that the user chose: a listener, a queue. These functions know
// what differs between them.

// newEntry gives the entry that settings are laid over, of the type of a section's entries.
func (c *Config) newEntry(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if t == reflect.TypeFor[Queue]() {
		q := c.Queues.Defaults
		q.Capture = slices.Clone(q.Capture)
		v.Set(reflect.ValueOf(q))
		return v
	}
	v.Set(reflect.ValueOf(defaultListener("")))
	return v
}

// badEntry says why an entry may not be called so, or nothing.
func badEntry(t reflect.Type, name string) string {
	if t == reflect.TypeFor[Queue]() {
		return badQueueName(name)
	}
	return badName(name)
}

// badQueueName says why a queue may not be called so, or nothing.
func badQueueName(name string) string {
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-') {
			name = ""
			break
		}
	}
	if name == "" || len(name) > 128 {
		return "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -"
	}
	return ""
}

// entryNames gives the keys of a section of entries in a stable order.
func entryNames(v reflect.Value) []string {
	var names []string
	for _, k := range v.MapKeys() {
		names = append(names, k.String())
	}
	slices.Sort(names)
	return names
}

// check finds settings of queues that contradict each other.
func (q *Queues) check(ps *problems) {
	q.Defaults.check(ps, "queues.defaults")
	all := reflect.ValueOf(q.Declared)
	for _, name := range entryNames(all) {
		key := "queues.declared." + name
		if reason := badQueueName(name); reason != "" {
			ps.with(key, reason)
		}
		d := q.Declared[name]
		checkBounds(ps, key, reflect.ValueOf(d))
		d.check(ps, key)
	}
}

func (q *Queue) check(ps *problems, key string) {
	if q.ReplicationFactor > 0 && q.MinISR > q.ReplicationFactor {
		ps.with(key+".min_isr", "more than replication_factor")
	}
	if q.Retention == "log" && q.Overflow == "drop_oldest" {
		ps.with(key+".overflow", "has no meaning with retention log, which always drops the oldest")
	}
	if q.MaxBackoff > 0 && q.MaxBackoff < q.Backoff {
		ps.with(key+".max_backoff", "shorter than backoff")
	}
}
