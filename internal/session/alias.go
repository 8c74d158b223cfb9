package session

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/millrace-mq/millrace/mqtt"
)

// aliases are the topic aliases of one connection, in both directions (3.3.2.3.4).
type aliases struct {
	in [][]byte // topics by alias less one, as far as the client has used them

	// out is a cache of the topics that have an alias towards the client: sets of aliasWays, found by hash. A topic
	// gets a free place at once and an occupied one when it came twice, so that a stream of topics that never
	// come again does not drive out those that do.
	out    []alias
	outMax uint16
	clock  uint32 // counts uses
}

type alias struct {
	topic []byte // nil: free
	hash  uint32
	used  uint32 // when last
	next  uint32 // hash of the topic that came last and found no place here
}

const (
	aliasWays = 4
	// aliasFrom is the length of the shortest topic that gets an alias. The property takes three bytes.
	aliasFrom = 5
	// aliasGrowth is how much longer a PUBLISH may become by a Topic Alias: the property, and a byte more for each of
	// the two lengths.
	aliasGrowth = 5
)

var (
	errAliasRange   = refuse(mqtt.TopicAliasInvalid, "topic alias is zero or beyond the maximum")
	errAliasUnknown = refuse(mqtt.ProtocolError, "topic alias stands for no topic")
)

// resolve gives an inbound PUBLISH its topic and remembers a new alias. That there is one or the other, the codec has seen.
func (s *Session) resolve(p *mqtt.Publish) error {
	if s.version != mqtt.V5 || !p.Properties.Has.Contains(mqtt.PropTopicAlias) {
		return nil
	}
	n := p.Properties.TopicAlias
	if n == 0 || n > s.limits.TopicAliasMaximum {
		return errAliasRange // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
	}
	if s.aliases == nil {
		s.aliases = new(aliases)
	}
	a := s.aliases
	if len(p.Topic) == 0 {
		if int(n) > len(a.in) || a.in[n-1] == nil {
			return errAliasUnknown // 3.3.4: a Protocol Error
		}
		p.Topic = a.in[n-1]
		return nil
	}
	for int(n) > len(a.in) {
		a.in = append(a.in, nil)
	}
	// Never written in place: a message of this turn may still refer to the old topic.
	if !bytes.Equal(a.in[n-1], p.Topic) {
		a.in[n-1] = bytes.Clone(p.Topic)
	}
	return nil
}

// assign gives the alias for a topic towards the client, 0 for none, and whether the client knows it already, so that
// the topic itself can stay away.
func (a *aliases) assign(topic []byte) (n uint16, known bool) {
	if a == nil || a.outMax == 0 || len(topic) < aliasFrom {
		return 0, false
	}
	ways := min(aliasWays, int(a.outMax))
	if a.out == nil {
		a.out = make([]alias, int(a.outMax)/ways*ways)
	}
	h := hash(topic)
	set := int(h>>8) % (len(a.out) / ways) * ways
	a.clock++
	victim := set
	for i := set; i < set+ways; i++ {
		e := &a.out[i]
		if e.topic != nil && e.hash == h && bytes.Equal(e.topic, topic) {
			e.used = a.clock
			return uint16(i + 1), true
		}
		if e.topic == nil || a.out[victim].topic != nil && a.clock-e.used > a.clock-a.out[victim].used {
			victim = i
		}
	}
	e := &a.out[victim]
	first := &a.out[set]
	if e.topic != nil && first.next != h {
		first.next = h
		return 0, false
	}
	e.topic, e.hash, e.used = append(e.topic[:0], topic...), h, a.clock
	return uint16(victim + 1), false
}

// hash mixes eight bytes at a time. It is the same in every process, so that a run can be repeated; topics that collide
// cost their sender the aliases and nobody anything else.
func hash(b []byte) uint32 {
	const k = 0x9E3779B97F4A7C15
	h := uint64(len(b)) * k
	for ; len(b) >= 8; b = b[8:] {
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(b), k)
		h = hi ^ lo
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	hi, lo := bits.Mul64(h^tail, k)
	return uint32(hi ^ lo)
}
