package retained

import (
	"bytes"
	"strings"
)

// verdict is what a filter says of a topic on its way through the tree.
type verdict byte

const (
	matched verdict = iota // deliver it; what matches next comes right after it
	skip                   // nothing matches from the topic up to the place that came with the verdict
	over                   // nothing matches from the topic on
)

// judge tells whether filter matches topic and, if not, where in the order of topics the next match may be: it appends that place
// to next. With it a walk looks at little more than what it delivers, and it can go on from any place at any later time, whatever
// was stored or removed meanwhile.
func judge(filter string, topic, next []byte) (verdict, []byte) {
	if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return skip, append(next, '$'+1) // [MQTT-4.7.2-1]
	}
	plus := -1 // where the last level that "+" took ends in topic
	for from := 0; ; {
		want, filterRest, filterMore := strings.Cut(filter, "/")
		if want == "#" {
			return matched, next
		}
		end, topicMore := len(topic), false
		if i := bytes.IndexByte(topic[from:], '/'); i >= 0 {
			end, topicMore = from+i, true
		}
		if want == "+" {
			plus = end
		} else if c := compare(topic[from:end], want); c < 0 {
			return skip, append(append(next, topic[:from]...), want...)
		} else if c > 0 {
			return past(topic, plus, next)
		}
		switch {
		case !topicMore && (!filterMore || filterRest == "#"): // "sport/#" matches "sport" too
			return matched, next
		case !topicMore: // the matches are below this topic
			next = append(append(next, topic...), '/')
			if level, _, _ := strings.Cut(filterRest, "/"); level != "+" {
				next = append(next, level...)
			}
			return skip, next
		case !filterMore: // this topic is below the matches
			return past(topic, plus, next)
		}
		filter, from = filterRest, end+1
	}
}

// past skips all that lies below the last level that "+" took: only another one there can lead to a match.
func past(topic []byte, plus int, next []byte) (verdict, []byte) {
	if plus < 0 {
		return over, next
	}
	return skip, append(append(next, topic[:plus]...), 1)
}

// start appends the first place in the order of topics where filter may match: its levels before the first wildcard.
func start(filter string, next []byte) []byte {
	if i := strings.IndexAny(filter, "+#"); i >= 0 {
		filter = strings.TrimSuffix(filter[:i], "/")
	}
	return append(next, filter...)
}
