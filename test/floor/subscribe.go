//go:build linux

package main

import "strings"

func (s *server) subscribe(c *conn, body []byte) {
	id, b := body[:2], body[2:]
	ack := []byte{0x90, 2, id[0], id[1]}
	if c.v5 {
		b = b[1+int(b[0]):] // properties shorter than 128 bytes
		ack = append(ack, 0)
		ack[1]++
	}
	for len(b) > 3 {
		n := int(b[0])<<8 | int(b[1])
		s.add(c, string(b[2:2+n]))
		ack = append(ack, b[2+n]&3)
		ack[1]++
		b = b[3+n:]
	}
	s.send(c, ack...)
}

// add subscribes c to a topic, or, for $share/group/topic, to its part of one.
func (s *server) add(c *conn, filter string) {
	name, topic, shared := "", filter, false
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		name, topic, shared = strings.Cut(rest, "/")
	}
	subs := s.topics[topic]
	if subs == nil {
		subs = &subscribers{groups: map[string]*group{}}
		s.topics[topic] = subs
	}
	c.topics = append(c.topics, topic)
	if !shared {
		subs.all = append(subs.all, c)
		return
	}
	g := subs.groups[name]
	if g == nil {
		g = &group{}
		subs.groups[name] = g
	}
	g.members = append(g.members, c)
}

// forget removes c from every topic it subscribed to.
func (s *server) forget(c *conn) {
	for _, topic := range c.topics {
		subs := s.topics[topic]
		if subs == nil {
			continue
		}
		subs.all = without(subs.all, c)
		for name, g := range subs.groups {
			if g.members = without(g.members, c); len(g.members) == 0 {
				delete(subs.groups, name)
			}
		}
		if len(subs.all)+len(subs.groups) == 0 {
			delete(s.topics, topic)
		}
	}
}

// without takes c out of list; the last member takes its place.
func without(list []*conn, c *conn) []*conn {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == c {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			return list[:len(list)-1]
		}
	}
	return list
}
