//go:build linux

// Command floor is the yardstick that TARGETS and docs/benchmarks divide by: the least that any broker has to do for the same
// traffic. One thread, one epoll instance, no state beyond who subscribed to which very topic. A PUBLISH is copied byte for byte
// into the output buffer of each subscriber and every connection is written once per turn of the loop; acknowledgements are
// answered, never remembered. It has no wildcards, no retained messages, no sessions, no limits, and it believes what it is sent.
//
// It is not an optimum: a broker that gathers more into one write can be cheaper than this.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:1899", "IPv4 address and port to listen on")
	flag.Parse()
	quiet()
	runtime.LockOSThread()
	s, err := newServer(*addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	debug.SetGCPercent(-1) // buffers only grow, and nothing else allocates
	fmt.Println("floor: listening on", *addr)
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// quiet starts the program again without preemption signals, which would interrupt epoll_wait for nothing: there is one goroutine.
func quiet() {
	const setting = "GODEBUG=asyncpreemptoff=1"
	if os.Getenv("GODEBUG") == "asyncpreemptoff=1" {
		return
	}
	if exe, err := os.Executable(); err == nil {
		_ = unix.Exec(exe, os.Args, append(os.Environ(), setting))
	}
}

// server is the loop and everything it knows.
type server struct {
	epoll    int
	listener int
	conns    []*conn // by descriptor
	topics   map[string]*subscribers
	dirty    []*conn
	read     []byte
}

// conn is one client. in holds an incomplete packet, out what is not written yet.
type conn struct {
	fd      int
	v5      bool
	dirty   bool
	blocked bool // the socket was full: wait for EPOLLOUT
	in, out []byte
	topics  []string
}

// subscribers of one topic: everyone, and one member in turn of each group.
type subscribers struct {
	all    []*conn
	groups map[string]*group
}

type group struct {
	members []*conn
	next    int
}

func (s *server) run() error {
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := epollWait(s.epoll, events)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if int(e.Fd) == s.listener {
				s.accept()
				continue
			}
			c := s.conns[e.Fd]
			if c == nil {
				continue
			}
			if e.Events&unix.EPOLLOUT != 0 {
				s.flush(c)
			}
			if e.Events&^unix.EPOLLOUT != 0 {
				s.receive(c)
			}
		}
		for _, c := range s.dirty {
			c.dirty = false
			if c.fd >= 0 && !c.blocked {
				s.flush(c)
			}
		}
		s.dirty = s.dirty[:0]
	}
}

// receive reads once and handles every whole packet.
func (s *server) receive(c *conn) {
	n, err := read(c.fd, s.read)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 || err != nil {
		s.close(c)
		return
	}
	b := s.read[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	for len(b) >= 2 {
		head, body := packet(b)
		if head == 0 || head+body > len(b) {
			break
		}
		s.handle(c, b[:head+body], head)
		b = b[head+body:]
	}
	c.in = append(c.in[:0], b...)
}

// packet gives the sizes of the fixed header and of what follows it; head is 0 when the length is incomplete.
func packet(b []byte) (head, body int) {
	for i, shift := 1, 0; i < len(b) && i < 5; i, shift = i+1, shift+7 {
		body |= int(b[i]&0x7f) << shift
		if b[i] < 0x80 {
			return i + 1, body
		}
	}
	return 0, 0
}

func (s *server) handle(c *conn, p []byte, head int) {
	body := p[head:]
	switch p[0] >> 4 {
	case 1: // CONNECT
		c.v5 = len(body) > 6 && body[6] == 5
		if c.v5 {
			s.send(c, 0x20, 3, 0, 0, 0)
		} else {
			s.send(c, 0x20, 2, 0, 0)
		}
	case 3: // PUBLISH
		s.publish(c, p, body)
	case 5: // PUBREC
		s.send(c, 0x62, 2, body[0], body[1])
	case 6: // PUBREL
		s.send(c, 0x70, 2, body[0], body[1])
	case 8: // SUBSCRIBE
		s.subscribe(c, body)
	case 10: // UNSUBSCRIBE
		if c.v5 {
			s.send(c, 0xb0, 4, body[0], body[1], 0, 0)
		} else {
			s.send(c, 0xb0, 2, body[0], body[1])
		}
	case 12: // PINGREQ
		s.send(c, 0xd0, 0)
	case 14: // DISCONNECT
		s.close(c)
	}
}

func (s *server) publish(c *conn, p, body []byte) {
	n := int(body[0])<<8 | int(body[1])
	switch qos := p[0] >> 1 & 3; qos {
	case 1:
		s.send(c, 0x40, 2, body[2+n], body[3+n])
	case 2:
		s.send(c, 0x50, 2, body[2+n], body[3+n])
	}
	subs := s.topics[string(body[2:2+n])]
	if subs == nil {
		return
	}
	for _, r := range subs.all {
		s.send(r, p...)
	}
	for _, g := range subs.groups {
		g.next++
		if g.next >= len(g.members) {
			g.next = 0
		}
		s.send(g.members[g.next], p...)
	}
}

// send copies p into the buffer of c; the end of the turn writes it.
func (s *server) send(c *conn, p ...byte) {
	c.out = append(c.out, p...)
	if !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}
