//go:build linux

package bench

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// queueBroker keeps the messages of one queue and gives every group all of them, each to the member whose turn it is: as much of
// docs on queues as the tool depends on.
type queueBroker struct {
	mu       sync.Mutex
	messages []mqtt.Publish
	groups   map[string]*queueGroup
}

type queueGroup struct {
	next    int // message
	members []*queueMember
}

type queueMember struct {
	c  net.Conn
	id uint16
}

func startQueueBroker(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	q := &queueBroker{groups: map[string]*queueGroup{}}
	var conns sync.WaitGroup
	conns.Go(func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { q.serve(c) }) // ends with the connection
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

func (q *queueBroker) serve(c net.Conn) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		h, body, err := mqtt.ReadPacket(r, 1<<20)
		if err != nil || h.Type == mqtt.DISCONNECT {
			return
		}
		q.mu.Lock()
		switch h.Type {
		case mqtt.CONNECT:
			_, _ = c.Write((&mqtt.Connack{}).Append(nil, mqtt.V5))
		case mqtt.PINGREQ:
			_, _ = c.Write((&mqtt.Pingresp{}).Append(nil, mqtt.V5))
		case mqtt.PUBLISH:
			var p mqtt.Publish
			if p.Decode(mqtt.V5, h.Flags, body) == nil {
				q.messages = append(q.messages, p)
				_, _ = c.Write(mqtt.AppendAck(nil, mqtt.V5, mqtt.PUBACK, p.PacketID, mqtt.Success))
			}
		case mqtt.SUBSCRIBE:
			q.subscribe(c, h, body)
		}
		q.deliver()
		q.mu.Unlock()
	}
}

func (q *queueBroker) subscribe(c net.Conn, h mqtt.Header, body []byte) {
	var s mqtt.Subscribe
	if s.Decode(mqtt.V5, h.Flags, body) != nil {
		return
	}
	ack := mqtt.Suback{PacketID: s.PacketID, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS1}}
	group, isQueue := strings.CutSuffix(string(s.Subscriptions[0].Filter), "/$queue/orders")
	if !isQueue {
		ack.Codes[0] = mqtt.TopicFilterInvalid
	} else {
		g := q.groups[group]
		if g == nil {
			g = &queueGroup{}
			q.groups[group] = g
		}
		g.members = append(g.members, &queueMember{c: c})
	}
	_, _ = c.Write(ack.Append(nil, mqtt.V5))
}

func (q *queueBroker) deliver() {
	for _, g := range q.groups {
		for ; g.next < len(q.messages); g.next++ {
			p, m := &q.messages[g.next], g.members[g.next%len(g.members)]
			m.id++
			head := mqtt.PublishHead{QoS: 1, PacketID: m.id, Expiry: -1}
			_, _ = m.c.Write(mqtt.AppendPublish(nil, mqtt.V5, head, p.Topic, nil, p.Payload))
		}
	}
}

func TestQueues(t *testing.T) {
	for name, c := range map[string]struct {
		s      Scenario
		stages string
		last   uint64
	}{
		"fill and empty": {Scenario{Messages: 100, Subscribers: 4, Members: 4}, "enqueue dequeue", 300},
		"groups":         {Scenario{Messages: 100, Subscribers: 6, Members: 2}, "enqueue dequeue", 900},
		"only fill":      {Scenario{Messages: 100}, "enqueue", 300},
		"both":           {Scenario{Duration: 500 * time.Millisecond, Rate: 200, Subscribers: 2, Members: 2}, "both", 300},
	} {
		for _, workers := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				addr := startQueueBroker(t)
				s := c.s
				s.Kind, s.Version, s.Publishers, s.QoS, s.Window, s.Queue = KindQueue, "5", 3, 1, 16, "orders"
				r := mustRun(t, addr, s, func(o *Options) { o.Workers = workers })
				if len(r.Problems) > 0 {
					t.Fatalf("problems %q", r.Problems)
				}
				var stages []string
				for _, st := range r.Stages {
					stages = append(stages, st.Name)
				}
				last := r.Stages[len(r.Stages)-1].Units
				if got := strings.Join(stages, " "); got != c.stages || last < c.last*95/100 || last > c.last {
					t.Errorf("stages %s, want %s; the last did %d, want %d", got, c.stages, last, c.last)
				}
			})
		}
	}
}
