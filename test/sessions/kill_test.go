package sessions

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var rounds = flag.Int("kills", 0, "how often the node is killed; 0: a few times")

// A node is killed at random moments under load, and started again on what is on the disk. Clients go on as the protocol
// says. At the end everything that was acknowledged is there, QoS 2 has had one effect, and nothing is retained that
// was overwritten.
func TestKillUnderLoad(t *testing.T) {
	kills := *rounds
	if kills == 0 {
		kills = 8
		if testing.Short() {
			kills = 3
		}
	}
	n := newNode(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLoad(t, n.addr)
	for range kills {
		l.begin(n.addr)
		time.Sleep(time.Duration(rng.IntN(250)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			l.reader.drop() // offline for the rest of the round
		}
		time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
		n.kill()
		l.end()
		n.start()
	}
	l.check(n)
}

// load is publishers of every quality of service, and two subscribers.
type load struct {
	t *testing.T
	// twice publishes at QoS 2, once at QoS 1, keeper retained messages at QoS 1.
	once, twice, keeper *peer
	// reader comes and goes, sleeper comes at the end only.
	reader, sleeper *peer
	sent            map[string]*int // by kind: the number of the last message
	acked           []int           // of QoS 1, by the publisher's reader
	slots           [retainedTopics]struct{ sent, acked int }
	wg              sync.WaitGroup
	started         bool
}

const retainedTopics = 7

func newLoad(t *testing.T, addr string) *load {
	l := &load{
		t: t, once: newPeer(t, "once"), twice: newPeer(t, "twice"), keeper: newPeer(t, "keeper"),
		reader: newPeer(t, "reader"), sleeper: newPeer(t, "sleeper"),
		sent: map[string]*int{"one": new(int), "two": new(int)},
	}
	for _, p := range []*peer{l.reader, l.sleeper} {
		p.mustConnect(addr, true, false)
		p.subscribe("m/#", 2)
		p.drop()
	}
	return l
}

// begin connects everybody and starts to publish, until the connections break.
func (l *load) begin(addr string) {
	for _, p := range []*peer{l.once, l.twice, l.keeper} {
		if err := p.connect(addr, false); err != nil {
			l.t.Fatal(err)
		}
		if l.started && !p.present {
			l.t.Fatalf("%s: the session is gone", p.id)
		}
	}
	l.reader.mustConnect(addr, false, true)
	l.started = true
	l.wg.Go(func() { l.publish(l.once, "one", 1) })
	l.wg.Go(func() { l.publish(l.twice, "two", 2) })
	l.wg.Go(l.retain)
}

func (l *load) publish(p *peer, kind string, qos byte) {
	n := l.sent[kind]
	for p.window(32) {
		*n++
		number := *n
		var done func()
		if qos == 1 {
			done = func() { l.acked = append(l.acked, number) }
		}
		p.send("m/"+kind, strconv.Itoa(number), qos, false, done)
	}
}

func (l *load) retain() {
	for i := 0; l.keeper.window(16); i++ {
		slot := &l.slots[i%retainedTopics]
		slot.sent++
		number := slot.sent
		l.keeper.send(fmt.Sprint("r/", i%retainedTopics), strconv.Itoa(number), 1, true, func() { slot.acked = max(slot.acked, number) })
	}
}

// end waits until everybody has noticed that the node is gone.
func (l *load) end() {
	l.wg.Wait()
	for _, p := range []*peer{l.once, l.twice, l.keeper, l.reader} {
		p.drop()
	}
}

func (l *load) check(n *node) {
	t := l.t
	for _, p := range []*peer{l.once, l.twice, l.keeper} {
		p.mustConnect(n.addr, false, true)
		p.settle()
	}
	l.twice.send("m/end", "2", 2, false, nil)
	l.once.send("m/end", "1", 1, false, nil)
	for _, p := range []*peer{l.reader, l.sleeper} {
		p.mustConnect(n.addr, false, true)
		p.await("m/end 2")
		p.await("m/end 1")
		l.checkGot(p)
	}
	fresh := newPeer(t, "fresh")
	fresh.mustConnect(n.addr, true, false)
	fresh.subscribe("r/#", 1)
	l.once.send("m/end", "3", 1, false, nil)
	fresh.subscribe("m/end", 1)
	l.once.settle()
	l.once.send("m/end", "4", 1, false, nil)
	fresh.await("m/end 4")
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	for i := range l.slots {
		have, _ := strconv.Atoi(fresh.retained[fmt.Sprint("r/", i)])
		if s := l.slots[i]; have < s.acked || have > s.sent {
			t.Errorf("retained in r/%d is %d; %d was acknowledged, %d sent", i, have, s.acked, s.sent)
		}
	}
	t.Logf("%d of QoS 1, %d of QoS 2, %d retained; reader: %d again", *l.sent["one"], *l.sent["two"], l.slots[0].sent*retainedTopics, l.reader.dups)
}

func (l *load) checkGot(p *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := map[string]int{}
	last := 0
	for _, text := range p.got {
		count[text]++
		if s, ok := strings.CutPrefix(text, "m/two "); ok {
			n, _ := strconv.Atoi(s)
			if n < last {
				l.t.Errorf("%s: of QoS 2, %d came after %d", p.id, n, last)
			}
			last = n
		}
	}
	problems := 0
	problem := func(format string, args ...any) {
		if problems++; problems <= 10 {
			l.t.Errorf(p.id+": "+format, args...)
		}
	}
	for _, n := range l.acked {
		if count["m/one "+strconv.Itoa(n)] == 0 {
			problem("%d was acknowledged at QoS 1, and is lost", n)
		}
	}
	for n := 1; n <= *l.sent["two"]; n++ {
		if c := count["m/two "+strconv.Itoa(n)]; c != 1 {
			problem("%d came %d times at QoS 2", n, c)
		}
	}
	if problems > 0 {
		l.t.Errorf("%s: %d problems", p.id, problems)
	}
}
