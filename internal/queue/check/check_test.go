package check

import (
	"strings"
	"testing"
)

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	for seed := range uint64(100) {
		log, deliveries := newWorld(seed, noBug).live()
		if len(log)+len(deliveries) > 0 {
			t.Fatalf("seed %d:\n%s\n%s", seed, strings.Join(log, "\n"), strings.Join(deliveries, "\n"))
		}
	}
}

// Every rule has a bug that breaks it, and finds it.
func TestPlantedBugsAreFound(t *testing.T) {
	words := [bugs]string{
		ackBeforeStore: "is lost", storeTwice: "is stored at", storeRefused: "was refused and is stored", storeStranger: "never sent",
		wrongOffset: "and is stored at", swapBatches: "behind its message", settleTwo: "never got", settleLost: "was committed",
		silentRedeliver: "again while it is out", tooOften: "are allowed", burialForgotten: "has not finished", keysIgnored: "of key",
		resurrect: "which is in the dead-letter queue", skipMessage: "never got", rejectedAgain: "which it has rejected",
	}
	for b := noBug + 1; b < bugs; b++ {
		t.Run(bugNames[b], func(t *testing.T) {
			var last []string
			for seed := range uint64(20) {
				log, deliveries := newWorld(seed, b).live()
				last = append(log, deliveries...)
				for _, finding := range last {
					if strings.Contains(finding, words[b]) {
						return
					}
				}
			}
			t.Errorf("not found in 20 histories; the last one:\n%s", strings.Join(last, "\n"))
		})
	}
}

func TestReplicas(t *testing.T) {
	a := []Record{{1, "a"}, {2, "b"}, {3, "c"}}
	for _, c := range []struct {
		b    []Record
		good bool
	}{
		{a, true}, {a[:2], true}, {a[1:], true}, {nil, true}, {[]Record{{2, "x"}}, false}, {[]Record{{1, "a"}, {3, "b"}}, false},
	} {
		if found := Same(a, c.b); (len(found) == 0) != c.good {
			t.Errorf("%v and %v: %v", a, c.b, found)
		}
	}
}

// What is not in the world of the other tests.
func TestLogHistories(t *testing.T) {
	for name, c := range map[string]struct {
		play func(l *Log)
		want string
	}{
		"a hole":               {func(l *Log) { l.Sent(1, 1, 1); l.Sent(2, 1, 2); l.Stored(1, Place{0, 0}); l.Stored(2, Place{0, 2}) }, "goes on with offset 2"},
		"dropped by retention": {func(l *Log) { l.Sent(1, 1, 1); l.Acknowledged(1, Place{0, 0}); l.KeptFrom(0, 1) }, ""},
		"two acknowledgements": {func(l *Log) { l.Sent(1, 1, 1); l.Acknowledged(1, Place{0, 0}); l.Acknowledged(1, Place{0, 1}) }, "is acknowledged at"},
		"unknown, never there": {func(l *Log) { l.Sent(1, 1, 1) }, ""},
		"unknown, there once":  {func(l *Log) { l.Sent(1, 1, 1); l.Stored(1, Place{0, 0}) }, ""},
		"unsent":               {func(l *Log) { l.Acknowledged(1, Place{0, 0}) }, "was not sent"},
		"refused, then stored": {func(l *Log) { l.Sent(1, 1, 1); l.Refused(1); l.Unknown(1); l.Stored(1, Place{0, 0}) }, ""},
		"one number twice":     {func(l *Log) { l.Sent(1, 1, 1); l.Sent(1, 2, 1) }, "the history is wrong"},
	} {
		l := NewLog()
		c.play(l)
		found := strings.Join(l.Done(), "\n")
		if (found == "") != (c.want == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
	}
}

func TestDeliveryHistories(t *testing.T) {
	at := Place{0, 5}
	for name, c := range map[string]struct {
		play func(d *Deliveries)
		want string
	}{
		"dropped by retention": {func(d *Deliveries) { d.Dropped(0, 6) }, ""},
		"another offset":       {func(d *Deliveries) { d.Delivered("g", 1, Place{0, 6}, "", 1); d.Ended("g", 1, Settled) }, "it was acknowledged at"},
		"a wrong count":        {func(d *Deliveries) { d.Delivered("g", 1, at, "", 2); d.Ended("g", 1, Settled) }, "is told 2"},
		"settled again": {func(d *Deliveries) {
			d.Delivered("g", 1, at, "", 1)
			d.Ended("g", 1, Settled)
			d.Delivered("g", 1, at, "", 2)
		}, "which it has settled"},
		"after a failover": {func(d *Deliveries) {
			d.Delivered("g", 1, at, "", 1)
			d.Failover(0)
			d.Delivered("g", 1, at, "", 1)
			d.Ended("g", 1, Settled)
		}, ""},
		"unknown group":   {func(d *Deliveries) { d.Delivered("x", 1, at, "", 1); d.Dropped(0, 6) }, "was not expected"},
		"buried twice":    {func(d *Deliveries) { d.Buried("g", 1); d.Buried("g", 1) }, "twice in the dead-letter queue"},
		"buried unread":   {func(d *Deliveries) { d.Buried("g", 1) }, ""},
		"ended, not got":  {func(d *Deliveries) { d.Ended("g", 1, Nacked); d.Dropped(0, 6) }, "never got"},
		"not finished":    {func(d *Deliveries) { d.Delivered("g", 1, at, "", 1); d.Ended("g", 1, Nacked) }, "has not finished"},
		"stranger buried": {func(d *Deliveries) { d.Buried("x", 1); d.Dropped(0, 6) }, "was not expected"},
	} {
		d := NewDeliveries(Rules{}, "g")
		d.Published(1, at, "")
		c.play(d)
		found := strings.Join(d.Done(), "\n")
		if (found == "") != (c.want == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
	}
}

// A million messages that went wrong do not fill the memory with findings.
func TestFindingsAreBounded(t *testing.T) {
	l := NewLog()
	for i := range uint64(1000) {
		l.Stored(i, Place{0, i})
	}
	found := l.Done()
	if len(found) != maxFindings+1 || found[maxFindings] != "and 950 more" {
		t.Errorf("%d findings, the last %q", len(found), found[len(found)-1])
	}
}
