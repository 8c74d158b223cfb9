package retained

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/internal/message"
	"pgregory.net/rapid"
)

func TestCompareGoesLevelByLevel(t *testing.T) {
	level := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'b', '\x01', '!', '0', 'é'}), 0, 12, -1)
	text := rapid.Map(rapid.SliceOfN(level, 1, 4), func(l []string) string { return strings.Join(l, "/") })
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		want := slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		if got := compare([]byte(a), b); got != want {
			t.Fatalf("compare(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}

func TestRecordHoldsTheMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 0, 300)
		m := message.Message{
			Topic: bytes.Draw(t, "topic"), Props: bytes.Draw(t, "props"), Payload: bytes.Draw(t, "payload"),
			Expires: rapid.SampledFrom([]int64{0, 1, 1 << 60}).Draw(t, "expires"),
			Sender:  rapid.Uint64().Draw(t, "sender"),
			QoS:     rapid.Uint8Range(0, 2).Draw(t, "qos"), Retain: rapid.Bool().Draw(t, "retain"),
		}
		r := newRecord(&m)
		if len(r) != cap(r) {
			t.Fatalf("%d bytes in %d", len(r), cap(r))
		}
		var got message.Message
		r.lend(&got)
		same := string(got.Topic) == string(m.Topic) && string(got.Props) == string(m.Props) && string(got.Payload) == string(m.Payload) &&
			got.Expires == m.Expires && got.Sender == m.Sender && got.QoS == m.QoS && got.Retain == m.Retain
		if !same || r.expires() != m.Expires || r.size() != int64(m.Size()) || string(r.topic()) != string(m.Topic) {
			t.Fatalf("stored %+v, got %+v", &m, &got)
		}
	})
}

func rec(topic string) record {
	return newRecord(&message.Message{Topic: []byte(topic), Payload: []byte("x")})
}

// check walks the whole tree and fails unless it is what its comments say it is, and holds just the topics in want, in order.
func check(t *testing.T, tr *tree, want []string) {
	t.Helper()
	if tr.size != len(want) {
		t.Fatalf("size %d, want %d", tr.size, len(want))
	}
	if tr.root == nil {
		if len(want) > 0 {
			t.Fatal("no root")
		}
		return
	}
	var got []string
	var before *node
	depth := -1
	var walk func(n *node, low, high string, level int)
	walk = func(n *node, low, high string, level int) {
		heads := slices.Clone(n.heads)
		n.heads = nil
		if n.fence(fences{low, high}); !slices.Equal(n.heads, heads) || n.skip != (fences{low, high}).common() {
			t.Fatalf("the heads of a node between %q and %q are not those of its topics", low, high)
		}
		if n.leaf() {
			if depth < 0 {
				depth = level
			}
			if level != depth || n.prev != before || before != nil && before.next != n || len(n.records) > fanout {
				t.Fatalf("leaf at level %d of %d, %d records, or its links are wrong", level, depth, len(n.records))
			}
			before = n
			for _, r := range n.records {
				if compare(r.topic(), low) < 0 || high != "" && compare(r.topic(), high) >= 0 {
					t.Fatalf("%q is not between %q and %q", r.topic(), low, high)
				}
				got = append(got, string(r.topic()))
			}
			return
		}
		if len(n.kids) != len(n.keys)+1 || len(n.kids) > fanout {
			t.Fatalf("%d children, %d keys", len(n.kids), len(n.keys))
		}
		for i, kid := range n.kids {
			l, h := low, high
			if i > 0 {
				l = n.keys[i-1]
			}
			if i < len(n.keys) {
				h = n.keys[i]
			}
			walk(kid, l, h, level+1)
		}
	}
	walk(tr.root, "", "", 0)
	if before.next != nil {
		t.Fatal("a leaf after the last")
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d topics, want %d", len(got), len(want))
	}
}

// TestTree fills and empties a tree in several orders.
func TestTree(t *testing.T) {
	const n = 20_000
	var topics []string
	for i := range n {
		topics = append(topics, fmt.Sprintf("%c/%d/%d", 'a'+i%3, i%17, i))
	}
	slices.SortFunc(topics, func(a, b string) int { return compare(a, b) })
	rnd := rand.New(rand.NewPCG(1, 2))
	orders := map[string]func([]string){
		"forward":  func([]string) {},
		"backward": slices.Reverse[[]string],
		"random":   func(s []string) { rnd.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) },
	}
	for in, fill := range orders {
		for out, empty := range orders {
			t.Run(in+"-"+out, func(t *testing.T) {
				var tr tree
				order := slices.Clone(topics)
				fill(order)
				for i, topic := range order {
					if tr.set(rec(topic)) != nil {
						t.Fatalf("%q was there", topic)
					}
					if again := rec(topic); i%100 == 0 && (tr.set(again) == nil || &tr.get([]byte(topic))[0] != &again[0]) {
						t.Fatalf("%q was not replaced", topic)
					}
				}
				check(t, &tr, topics)
				order = slices.Clone(topics)
				empty(order)
				for i, topic := range order {
					if r := tr.remove([]byte(topic)); string(r.topic()) != topic || tr.remove([]byte(topic)) != nil || tr.get([]byte(topic)) != nil {
						t.Fatalf("%q: removing", topic)
					}
					if i%2000 == 0 {
						left := slices.Clone(order[i+1:])
						slices.SortFunc(left, func(a, b string) int { return compare(a, b) })
						check(t, &tr, left)
						if leaves := countLeaves(&tr); leaves > 8+4*len(left)/(fanout/2) {
							t.Fatalf("%d leaves for %d records", leaves, len(left))
						}
					}
				}
				check(t, &tr, nil)
			})
		}
	}
}

func countLeaves(tr *tree) (n int) {
	leaf, _ := tr.seek(nil)
	for ; leaf != nil; leaf = leaf.next {
		n++
	}
	return n
}
