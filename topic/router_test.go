package topic_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/topic"
	"pgregory.net/rapid"
)

type sub struct{ id int }

// found lists what a match brings: plain subscribers as "id", groups as "name(ids)", sorted.
func found(r *topic.Router[sub], name string, m *topic.Matches[sub]) []string {
	r.Match([]byte(name), m)
	var all []string
	for _, set := range m.Sets {
		for s := range set.Each {
			all = append(all, strconv.Itoa(s.id))
		}
	}
	for _, g := range m.Groups {
		var ids []string
		for s := range g.Members.Each {
			ids = append(ids, strconv.Itoa(s.id))
		}
		slices.Sort(ids)
		all = append(all, g.Filter+" "+g.Name+"("+strings.Join(ids, ",")+")")
	}
	slices.Sort(all)
	return all
}

func TestRouterMatch(t *testing.T) {
	for _, c := range matchCases {
		r := topic.NewRouter[sub]()
		r.Subscribe(c.filter, &sub{1})
		r.SubscribeShared("g", c.filter, &sub{2})
		var m topic.Matches[sub]
		got := found(r, c.name, &m)
		var want []string
		if c.want {
			want = []string{"1", c.filter + " g(2)"}
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("filter %q, name %q: found %q, want %q", c.filter, c.name, got, want)
		}
	}
}

// model is the router as a list.
type model struct {
	plain  map[string]map[*sub]bool            // filter
	shared map[string]map[string]map[*sub]bool // filter, group
}

func (m *model) found(name string) []string {
	var all []string
	for filter, subs := range m.plain {
		if topic.Match([]byte(filter), []byte(name)) {
			for s := range subs {
				all = append(all, strconv.Itoa(s.id))
			}
		}
	}
	for filter, groups := range m.shared {
		if !topic.Match([]byte(filter), []byte(name)) {
			continue
		}
		for group, subs := range groups {
			var ids []string
			for s := range subs {
				ids = append(ids, strconv.Itoa(s.id))
			}
			slices.Sort(ids)
			all = append(all, filter+" "+group+"("+strings.Join(ids, ",")+")")
		}
	}
	slices.Sort(all)
	return all
}

func (m *model) counts() topic.Counts {
	var c topic.Counts
	for _, subs := range m.plain {
		c.Filters++
		c.Subscriptions += len(subs)
	}
	for _, groups := range m.shared {
		c.Filters += len(groups)
		c.Groups += len(groups)
		for _, subs := range groups {
			c.Subscriptions += len(subs)
		}
	}
	return c
}

var (
	levels  = rapid.SampledFrom([]string{"", "a", "b", "c", "$x"})
	names   = rapid.Map(rapid.SliceOfN(levels, 1, 5), func(l []string) string { return strings.Join(l, "/") }).Filter(func(s string) bool { return s != "" })
	filters = rapid.Custom(func(t *rapid.T) string {
		l := rapid.SliceOfN(rapid.OneOf(levels, rapid.Just("+")), 0, 4).Draw(t, "levels")
		if len(l) == 0 || rapid.Bool().Draw(t, "multi") {
			l = append(l, "#")
		}
		return strings.Join(l, "/")
	}).Filter(func(s string) bool { return s != "" })
)

// TestRouterAgainstModel does the same to a router and to a list, and compares what they find, and what they count.
func TestRouterAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := topic.NewRouter[sub]()
		m := &model{map[string]map[*sub]bool{}, map[string]map[string]map[*sub]bool{}}
		subs := make([]*sub, rapid.SampledFrom([]int{1, 3, 80}).Draw(t, "subscribers"))
		for i := range subs {
			subs[i] = &sub{i}
		}
		someSub := rapid.SampledFrom(subs)
		someGroup := rapid.SampledFrom([]string{"g", "h"})
		someFilter := rapid.OneOf(filters, rapid.SampledFrom([]string{"a", "+", "#", "a/b", "a/+"}))
		var matches topic.Matches[sub]
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				f, s := someFilter.Draw(t, "filter"), someSub.Draw(t, "sub")
				r.Subscribe(f, s)
				if m.plain[f] == nil {
					m.plain[f] = map[*sub]bool{}
				}
				m.plain[f][s] = true
			},
			"unsubscribe": func(t *rapid.T) {
				f, s := someFilter.Draw(t, "filter"), someSub.Draw(t, "sub")
				if got, want := r.Unsubscribe(f, s), m.plain[f][s]; got != want {
					t.Fatalf("Unsubscribe(%q, %d) = %v", f, s.id, got)
				}
				if delete(m.plain[f], s); len(m.plain[f]) == 0 {
					delete(m.plain, f)
				}
			},
			"join": func(t *rapid.T) {
				f, g, s := someFilter.Draw(t, "filter"), someGroup.Draw(t, "group"), someSub.Draw(t, "sub")
				if got := r.SubscribeShared(g, f, s); got.Name != g || got.Filter != f {
					t.Fatalf("joined %q on %q, want %q on %q", got.Name, got.Filter, g, f)
				}
				if m.shared[f] == nil {
					m.shared[f] = map[string]map[*sub]bool{}
				}
				if m.shared[f][g] == nil {
					m.shared[f][g] = map[*sub]bool{}
				}
				m.shared[f][g][s] = true
			},
			"leave": func(t *rapid.T) {
				f, g, s := someFilter.Draw(t, "filter"), someGroup.Draw(t, "group"), someSub.Draw(t, "sub")
				if got, want := r.UnsubscribeShared(g, f, s), m.shared[f][g][s]; got != want {
					t.Fatalf("UnsubscribeShared(%q, %q, %d) = %v", g, f, s.id, got)
				}
				if delete(m.shared[f][g], s); len(m.shared[f][g]) == 0 {
					if delete(m.shared[f], g); len(m.shared[f]) == 0 {
						delete(m.shared, f)
					}
				}
			},
			"": func(t *rapid.T) {
				name := names.Draw(t, "name")
				if got, want := found(r, name, &matches), m.found(name); !slices.Equal(got, want) {
					t.Fatalf("%q: found %q, want %q", name, got, want)
				}
				if got, want := r.Counts(), m.counts(); got != want {
					t.Fatalf("counts %+v, want %+v", got, want)
				}
			},
		})
	})
}
