package spec

import (
	"strings"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Section 4.7: topic names and filters.
var topicStatements = []statement{
	{v3: "4.7.1-1", v5: "4.7.0-1", says: "Wildcards stand in filters, never in topic names.", test: wildcardTopic},
	{v3: "4.7.1-2", v5: "4.7.1-1", says: "# stands alone or behind a separator, and last.", test: multiLevel},
	{v3: "4.7.1-3", v5: "4.7.1-2", says: "+ takes a whole level.", test: singleLevel},
	{v3: "4.7.2-1", v5: "4.7.2-1", says: "Filters that begin with a wildcard do not match topics that begin with $.", test: dollarTopics},
	{v3: "4.7.3-1", v5: "4.7.3-1", says: "Names and filters have at least one character.", test: emptyTopics},
	{v3: "4.7.3-2", v5: "4.7.3-2", says: "Names and filters do not have U+0000.", test: nulTopics},
	{v3: "4.7.3-3", v5: "4.7.3-3", says: "Names and filters have at most 65,535 bytes.", test: longTopics},
	{v3: "4.7.3-4", v5: "4.7.3-4", says: "Matching does not normalize or substitute anything.", test: noNormalizing},
}

// refusedFilter expects that a filter is refused: by SUBACK or by the end.
func refusedFilter(e *env, filter string) {
	e.Helper()
	c := e.join("c")
	c.Write(wire.Subscribe(e.version, 1, []wire.Sub{{Filter: filter, Options: 1}}))
	p, err := c.Answer()
	ok := err != nil || p.Type == wire.SUBACK && p.Codes[0] >= 0x80 || e.v5() && p.Type == wire.DISCONNECT && p.Code >= 0x80
	if !ok {
		e.Errorf("SUBSCRIBE %.60q was answered with %v", filter, p)
	}
}

// matching subscribes to a filter and publishes to topics that match and that
// do not.
func matching(e *env, filter string, yes, no []string) {
	e.Helper()
	s, p := e.watch("s", e.topic(filter)), e.join("p")
	for _, topic := range no {
		p.Publish(wire.Publish{Topic: e.topic(topic), Payload: "no"})
	}
	e.absent(p, s)
	for _, topic := range yes {
		p.Publish(wire.Publish{Topic: e.topic(topic), Payload: "yes"})
		s.Deliver(e.topic(topic), "yes")
	}
	e.absent(p, s)
}

func multiLevel(e *env) {
	for _, filter := range []string{"a#", "a/b#", "#/a", "a/#/b", "##", "a/##", "/#/", "#+"} {
		refusedFilter(e, filter)
	}
	matching(e, "sport/tennis/#", []string{"sport/tennis", "sport/tennis/player1", "sport/tennis/", "sport/tennis/a/b/c"}, []string{"sport", "sport/tennisx", "sport/golf/tennis"})
	matching(e, "#", []string{"a", "/", "a/b", "//"}, nil)
	matching(e, "+/#", []string{"a", "a/b", "/"}, nil)
}

func singleLevel(e *env) {
	for _, filter := range []string{"a+", "+a", "a/b+", "a/+b/c", "++", "a/++", "+#"} {
		refusedFilter(e, filter)
	}
	matching(e, "sport/tennis/+", []string{"sport/tennis/player1", "sport/tennis/"}, []string{"sport/tennis", "sport/tennis/player1/ranking"})
	matching(e, "sport/+", []string{"sport/", "sport/x"}, []string{"sport", "sport/x/y"})
	matching(e, "+/tennis/+", []string{"sport/tennis/x", "/tennis/"}, []string{"tennis/x", "a/b/tennis/x"})
	matching(e, "/+", []string{"/finance", "/"}, []string{"finance", "//finance"})
	matching(e, "+/+", []string{"/finance", "a/b"}, []string{"finance", "a/b/c"})
}

// On a node of its own: nothing is published there but $SYS, which is retained
// and published again all the time.
func dollarTopics(e *env) {
	n := target.Start(e, e.backend)
	join := func(name string, filters ...string) *wire.Conn {
		c := e.dialTo(n, name)
		c.Join(wire.Connect{ClientID: name, Clean: true})
		for _, f := range filters {
			c.Subscribe(f, 1)
		}
		return c
	}
	filters := []string{"#", "+/#", "+/broker/#", "+/broker/+", "+/broker/clients/+", "+"}
	wild, sys := join("wild", filters...), join("sys", "$SYS/#")
	sleep(1.2)
	seen := map[string]int{}
	for again := false; !again; {
		m := sys.Message()
		if !strings.HasPrefix(m.Topic, "$SYS/") {
			e.Errorf("$SYS/# is sent %v", m)
		}
		seen[m.Topic]++
		again = seen[m.Topic] > 1 // a whole round, and a part of the next one
	}
	p := join("p")
	e.absentPrefix(p, wild, "$")
	e.absentPrefix(p, join("late", filters...), "$") // nor are retained messages sent
}

// absentPrefix publishes a marker and reads up to it: no topic may begin with
// the prefix.
func (e *env) absentPrefix(from, to *wire.Conn, prefix string) {
	e.Helper()
	for _, m := range drain(e, from, to) {
		if strings.HasPrefix(m.Topic, prefix) {
			e.Errorf("%s: %v came", to.Name, m)
		}
	}
}

func emptyTopics(e *env) {
	c := e.join("c")
	c.Write(wire.Publish{Topic: "", Payload: "x"}.Bytes(e.version))
	c.Refused(0x82, 0x81, 0x90)
	refusedFilter(e, "")
	matching(e, "/", []string{"/"}, []string{"", "a", "//"})
	matching(e, " ", []string{" "}, []string{"", "a"})
}

func nulTopics(e *env) {
	illFormedIn("topic-name")(e) // U+0000 is the first of its values
	illFormedIn("filter")(e)
}

func longTopics(e *env) {
	p := e.join("p")
	for _, n := range []int{1000, 32768, 65534, 65535} {
		topic := e.topic("")
		topic += strings.Repeat("x", n-len(topic))
		s := e.watch("s", topic)
		p.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1})
		s.Deliver(topic, "x")
		p.Publish(wire.Publish{Topic: topic[:n-1] + "y", Payload: "x", QoS: 1})
		e.absent(p, s)
	}
}

func noNormalizing(e *env) {
	p := e.join("p")
	// Each pair looks the same, or folds to the same; none is.
	for _, pair := range [][2]string{
		{"ACCOUNTS", "Accounts"}, {"e\u0301", "\u00e9"}, {"\u212b", "\u00c5"}, {"a/b", "/a/b"}, {"a/b", "a/b/"}, {"a//b", "a/b"}, {"a b", "a  b"}, {"a%2Fb", "a/b"},
		{"a/./b", "a/b"}, {"a/../b", "b"}, {"\ufb01", "fi"}, {"\u200bx", "x"}, {"ß", "ss"}, {"a\\b", "a/b"},
	} {
		one, two := e.topic(pair[0]), e.topic(pair[1])
		a, b := e.watch("a", one), e.watch("b", two)
		p.Publish(wire.Publish{Topic: one, Payload: "one"})
		a.Deliver(one, "one")
		e.absent(p, b)
		p.Publish(wire.Publish{Topic: two, Payload: "two"})
		b.Deliver(two, "two")
		e.absent(p, a)
	}
}
