package bench

import (
	"net/netip"
	"os"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// States of a client.
const (
	stateClosed     = iota
	stateDialling   // TCP
	stateSecuring   // TLS handshake, on a goroutine of its own
	stateUpgrading  // WebSocket handshake
	stateConnecting // CONNECT sent
	stateSubscribing
	stateUp
)

// client is one connection. It is small because there may be half a million; what only some need at some times is in *wait.
type client struct {
	fd    int32 // -1: none
	state uint8
	group uint8
	flags uint8
	_     uint8
	index uint32 // within its group
	since int64  // when the connection was due, or the last PINGREQ was sent
	wait  *wait
}

const (
	flagBlocked  = 1 << iota // the socket was full: EPOLLOUT is asked for
	flagPinged               // PINGRESP is due
	flagRedirect             // its due time was counted already
)

// wait is what a client has to keep: bytes that are incomplete or not written, and its transport when that is not plain TCP.
type wait struct {
	in, out []byte
	codec   codec
}

// codec stands between the socket and MQTT.
type codec interface {
	// unwrap takes bytes of the socket and returns those of MQTT, valid until the next call. replies must be sent as they are.
	unwrap(b []byte) (plain, replies []byte, err error)
	// wrap does the opposite.
	wrap(dst, plain []byte) []byte
}

// group is a Group at work.
type group struct {
	Group
	first   uint32 // its first client in engine.clients
	filler  []byte
	checker *checker // nil: what arrives is not checked
	pubs    []publisher
}

// engine is one worker: an event loop on one thread.
type engine struct {
	clock
	plan    Plan
	remote  netip.AddrPort
	locals  []netip.Addr
	poll    *poller
	clients []client
	groups  []group
	dialer  securer

	now     int64 // read once per batch of bytes
	in      []byte
	out     []byte   // packets on their way to one socket
	acks    []byte   // acknowledgements of the bytes being read
	framed  []byte   // out, as the transport wants it
	dirty   []uint32 // publishers (as clients) whose window opened
	pending []uint32 // clients being established

	packet   packets
	stage    *Stage
	driver   driver
	from, to int64 // the messages that were due then are timed
	counters counters
	reported counters // at the end of the last stage: what came since belongs to the next one
	timed    latencies
	errors   map[string]uint64
	up       int
	lastLife int64 // when a message, an acknowledgement or a connection last arrived
	pinged   int   // PINGREQs that were due so far
	pingFrom int64
	// sent is how many messages each publisher of all workers sent in earlier stages and this one; nil until all know.
	sent     []uint32
	announce func(sent []uint32) // tells the coordinator, which answers by setting sent
}

// packets that are encoded and decoded again and again.
type packets struct {
	connect   mqtt.Connect
	connack   mqtt.Connack
	subscribe mqtt.Subscribe
	suback    mqtt.Suback
}

// driver is a stage at work.
type driver interface {
	// step does what is due and says when it wants to be called again at the latest; done ends the stage.
	step(now int64) (next int64, done bool)
	// changed is told of a client that came up or went down.
	changed(c *client, up bool)
	progress(now int64) float64
	// interrupt asks the stage to end early. It may be called again and again; false: there is nothing to wait for.
	interrupt() bool
}

func newEngine(p Plan) (*engine, error) {
	remote, err := netip.ParseAddrPort(p.Target.Address)
	if err != nil {
		return nil, err
	}
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	DescriptorLimit()
	e := &engine{
		clock: newClock(p.Epoch), plan: p, remote: remote, poll: poll, in: make([]byte, 256<<10),
		timed: newLatencies(), errors: map[string]uint64{},
	}
	for _, l := range p.Target.Locals {
		a, err := netip.ParseAddr(l)
		if err != nil {
			return nil, err
		}
		e.locals = append(e.locals, a)
	}
	if err := e.dialer.init(e); err != nil {
		return nil, err
	}
	e.populate()
	return e, nil
}

// populate lays out the clients of all groups in one slab.
func (e *engine) populate() {
	total := 0
	for _, g := range e.plan.Groups {
		total += g.Count
	}
	e.clients = make([]client, 0, total)
	e.groups = make([]group, len(e.plan.Groups))
	for i := range e.groups {
		g := &e.groups[i]
		g.Group = e.plan.Groups[i]
		g.first = uint32(len(e.clients))
		for n := range g.Count {
			e.clients = append(e.clients, client{fd: -1, group: uint8(i), index: uint32(n)})
		}
		if (g.Subscribe != "" || g.Filter != "") && !g.Ignore {
			g.checker = newChecker(&g.Group, e.plan.Publishers, e.plan.Topics)
		}
	}
	for i := range e.groups {
		if g := &e.groups[i]; g.Publisher {
			e.populatePublishers(g)
		}
		e.groups[i].filler = filler(e.payload())
	}
}

// payload is the size of every message of the plan.
func (e *engine) payload() int {
	for i := range e.plan.Groups {
		if g := &e.plan.Groups[i]; g.Payload > 0 {
			return g.Payload
		}
	}
	return stampSize
}

// close drops everything.
func (e *engine) close() {
	for i := range e.clients {
		if c := &e.clients[i]; c.fd >= 0 {
			closeSocket(c.fd, false)
		}
	}
	e.poll.close()
}

// run goes through one stage, which begins at start, and reports each interval. stop is asked now and then
// whether to end early.
func (e *engine) run(index int, start int64, stop func() bool, report func(sample)) {
	e.stage = &e.plan.Stages[index]
	e.from, e.to = start+int64(e.stage.WarmUp), int64(1)<<62
	if e.stage.Duration > 0 {
		e.to = e.from + int64(e.stage.Duration)
	}
	for now := e.clock.now(); now < start; now = e.clock.now() {
		e.turn(start)
	}
	e.lastLife = start
	e.driver = e.newDriver(start)
	meter := newMeter(e, index, start, report)
	for {
		now := e.clock.now()
		next, done := e.driver.step(now)
		next = min(next, e.ping(now))
		e.expire(now)
		meter.tick(now, done)
		if !done && stop() {
			done = !e.driver.interrupt()
		}
		if done {
			meter.tick(e.clock.now(), true)
			break
		}
		e.turn(min(next, meter.next))
	}
	e.driver = nil
	e.reported = e.counters
}

// turn polls once, until something happens or the time is until, and handles it.
func (e *engine) turn(until int64) {
	n := e.poll.wait(time.Duration(until - e.clock.now()))
	for i := range n {
		ev := e.poll.event(i)
		if ev.client == wakeup {
			e.poll.awake()
			continue
		}
		c := &e.clients[ev.client]
		if c.fd < 0 {
			continue
		}
		if ev.out {
			e.ready(c)
		}
		if ev.in && c.fd >= 0 && c.state != stateSecuring {
			e.receive(c)
		}
	}
	e.dialer.collect(e)
	for _, i := range e.dirty {
		e.send(&e.clients[i])
	}
	e.dirty = e.dirty[:0]
}

// ready handles a socket that can be written.
func (e *engine) ready(c *client) {
	switch {
	case c.state == stateDialling:
		if no := dialled(c.fd); no != 0 {
			e.fail(c, "connect: "+no.Error())
			return
		}
		e.poll.modify(c.fd, e.number(c), readable)
		e.established(c)
	case c.flags&flagBlocked != 0:
		e.drain(c)
	}
}

// number is the client's place in the slab.
func (e *engine) number(c *client) uint32 { return e.groups[c.group].first + c.index }

// fail ends a connection that was not asked to end, and says why in the result.
func (e *engine) fail(c *client, why string) {
	e.errors[why]++
	if c.state == stateUp {
		e.counters.Dropped++
	} else {
		e.counters.Failed++
	}
	e.hangUp(c, false)
}

// hangUp closes the socket.
func (e *engine) hangUp(c *client, abruptly bool) {
	if c.fd < 0 {
		return
	}
	closeSocket(c.fd, abruptly)
	was := c.state
	c.fd, c.state, c.flags, c.wait = -1, stateClosed, 0, nil
	if was == stateUp {
		e.up--
	}
	if e.driver != nil {
		e.driver.changed(c, false)
	}
}

func cpuOfSelf() time.Duration {
	d, _ := processCPU(os.Getpid())
	return d
}
