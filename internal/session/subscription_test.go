package session

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

func TestSubscribeIsChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		sub   Subscription
		limit func(*Limits)
		code  mqtt.ReasonCode
		fatal bool
	}{
		{"granted", Subscription{Filter: "a/+", SubOptions: SubOptions{QoS: 2}}, func(*Limits) {}, mqtt.GrantedQoS2, false},
		{"maximum QoS", Subscription{Filter: "a", SubOptions: SubOptions{QoS: 2}}, func(l *Limits) { l.MaximumQoS = 1 }, mqtt.GrantedQoS1, false},
		{"no wildcards", Subscription{Filter: "a/+"}, func(l *Limits) { l.WildcardAvailable = false }, mqtt.WildcardSubscriptionsNotSupported, false},
		{"no wildcards, plain", Subscription{Filter: "a"}, func(l *Limits) { l.WildcardAvailable = false }, mqtt.GrantedQoS0, false},
		{"no shared", Subscription{Filter: "$share/g/a"}, func(l *Limits) { l.SharedAvailable = false }, mqtt.SharedSubscriptionsNotSupported, false},
		{"no identifiers", Subscription{Filter: "a", SubOptions: SubOptions{ID: 1}}, func(l *Limits) { l.SubscriptionIDAvailable = false },
			mqtt.SubscriptionIdentifiersNotSupported, true},
		{"shared and no local", Subscription{Filter: "$share/g/a", SubOptions: SubOptions{NoLocal: true}}, func(*Limits) {}, mqtt.ProtocolError, true}, // [MQTT-3.8.3-4]
		{"too many", Subscription{Filter: "a"}, func(l *Limits) { l.MaxSubscriptions = 1 }, mqtt.QuotaExceeded, false},
		{"the same again", Subscription{Filter: "before"}, func(l *Limits) { l.MaxSubscriptions = 1 }, mqtt.GrantedQoS0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.connect(connect5(true))
			r.Subscribe(&Subscription{Filter: "before"})
			c.limit(&r.limits)
			code, _, err := r.Subscribe(&c.sub)
			if c.fatal {
				wantCode(t, err, c.code)
			} else if err != nil || code != c.code {
				t.Errorf("code %v, %v; want %v", code, err, c.code)
			}
			has := r.Subscription(c.sub.Filter) != nil && (c.sub.Filter == "before" || r.Subscription(c.sub.Filter) == &c.sub)
			if has != (!c.fatal && !code.IsError()) {
				t.Errorf("subscribed: %v", has)
			}
		})
	}
}

// [MQTT-3.8.4-3]
func TestTheSameFilterReplaces(t *testing.T) {
	for _, before := range []int{0, 5, subIndexFrom + 5} {
		r := newRig(t)
		r.connect(connect5(true))
		for i := range before {
			r.Subscribe(&Subscription{Filter: fmt.Sprint("f", i)})
		}
		first, second := &Subscription{Filter: "same"}, &Subscription{Filter: "same", SubOptions: SubOptions{QoS: 1}}
		r.Subscribe(first)
		for i := range before {
			r.Subscribe(&Subscription{Filter: fmt.Sprint("g", i)})
		}
		_, old, _ := r.Subscribe(second)
		if old != first || r.Subscription("same") != first || first.QoS != 1 || r.Subscriptions() != 2*before+1 {
			t.Errorf("with %d others: changed %v, %d subscriptions", before, old, r.Subscriptions())
		}
	}
}

// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11], 4.8.2
func TestRetainHandling(t *testing.T) {
	for _, c := range []struct {
		filter       string
		handling     byte
		fresh, again bool
	}{{"a", 0, true, true}, {"a", 1, true, false}, {"a", 2, false, false}, {"$share/g/a", 0, false, false}} {
		s := Subscription{Filter: c.filter, SubOptions: SubOptions{RetainHandling: c.handling}}
		if s.WantsRetained(false) != c.fresh || s.WantsRetained(true) != c.again {
			t.Errorf("%+v: new %v, existed %v", c, s.WantsRetained(false), s.WantsRetained(true))
		}
	}
}

func TestSubscriptionsAgainstAMap(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	model := map[string]*Subscription{}
	check := func() {
		t.Helper()
		if r.Subscriptions() != len(model) {
			t.Fatalf("%d subscriptions, want %d", r.Subscriptions(), len(model))
		}
		n := 0
		for s := range r.All() {
			n++
			if model[s.Filter] != s {
				t.Fatalf("%q is not the one that was made first", s.Filter)
			}
		}
		if n != len(model) {
			t.Fatalf("All gives %d of %d", n, len(model))
		}
	}
	for step := range 4000 {
		// Up and down across the size from which there is an index.
		filter := fmt.Sprint("f", (step*step*31+step)%(5+step/50%40))
		if step%7 < 4 {
			s := &Subscription{Filter: filter}
			_, old, _ := r.Subscribe(s)
			if old != model[filter] {
				t.Fatalf("step %d: changed %v, want %v", step, old, model[filter])
			}
			if old == nil {
				model[filter] = s
			}
		} else {
			if s := r.Unsubscribe(filter); s != model[filter] {
				t.Fatalf("step %d: took out %v, want %v", step, s, model[filter])
			}
			delete(model, filter)
		}
		check()
	}
	for filter := range model {
		r.Unsubscribe(filter)
		delete(model, filter)
		check()
	}
	if r.index != nil {
		t.Error("an index of nothing stays")
	}
	for s := range r.All() {
		t.Errorf("%q is left", s.Filter)
	}
}

// A subscription that was taken out or replaced may be made again.
func TestSubscriptionsThatComeBack(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	subs := []*Subscription{{Filter: "a"}, {Filter: "b"}, {Filter: "c"}}
	for _, s := range subs {
		r.Subscribe(s)
	}
	order := func() (filters []string) {
		for s := range r.All() {
			if filters = append(filters, s.Filter); len(filters) > 9 {
				break
			}
		}
		return filters
	}
	r.Unsubscribe("b")
	r.Subscribe(subs[1])
	want(t, "taken out", order(), "[a c b]")
	r.Subscribe(&Subscription{Filter: "a"})
	r.Unsubscribe("a")
	r.Subscribe(subs[0])
	want(t, "replaced", order(), "[c b a]")
}

func TestAllMayBeLeftEarly(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	for i := range 2 * subIndexFrom {
		r.Subscribe(&Subscription{Filter: fmt.Sprint(i)})
		for range r.All() {
			break
		}
	}
}
