package clients

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

// perQoS is how many messages each client publishes at each QoS.
const perQoS = 5

// batch is what one client publishes: payloads that tell the stream before the
// '#', and their place in it.
func batch(r *run, name string) []message {
	var all []message
	for qos := range 3 {
		for i := range perQoS {
			all = append(all, message{topic: r.topic("each/" + name), payload: fmt.Sprintf("%s-q%d#%d é %s", name, qos, i, strings.Repeat("x", i*40)), qos: qos})
		}
	}
	return all
}

// Every client subscribes, every client publishes: each receives exactly what
// all have sent, once, in order, at the QoS of the publisher.
func TestEachToEach(t *testing.T) {
	both(t, func(r *run) {
		all := names(r.T, r.version)
		var receivers []*receiver
		for _, name := range all {
			j := r.job("sub-" + name)
			j.filter, j.qos = r.topic("each/#"), 2
			receivers = append(receivers, kinds[name].subscribe(r.T, j))
		}
		for _, recv := range receivers {
			r.probe(recv, r.topic("each/probe"))
		}
		var want []message
		var publishing sync.WaitGroup
		for _, name := range all {
			messages := batch(r, name)
			want = append(want, messages...)
			publishing.Go(func() {
				if err := kinds[name].publish(r.T, r.job("pub-"+name), messages); err != nil {
					r.Errorf("%s publishes: %v", name, err)
				}
			})
		}
		publishing.Wait()
		for _, recv := range receivers {
			r.exactly(recv, want)
		}
	})
}

// A subscription at QoS 0 and 1 lowers what comes.
func TestLowerQoS(t *testing.T) {
	both(t, func(r *run) {
		var receivers []*receiver
		granted := map[*receiver]int{}
		for i, name := range names(r.T, r.version) {
			j := r.job("low-" + name)
			j.filter, j.qos = r.topic("low/#"), i%2
			recv := kinds[name].subscribe(r.T, j)
			receivers, granted[recv] = append(receivers, recv), i%2
		}
		for _, recv := range receivers {
			r.probe(recv, r.topic("low/probe"))
		}
		var want []message
		for qos := range 3 {
			m := message{topic: r.topic("low/a"), payload: fmt.Sprintf("low%d#0", qos), qos: qos}
			r.raw.Publish(wire.Publish{Topic: m.topic, Payload: m.payload, QoS: byte(qos)})
			want = append(want, m)
		}
		for _, recv := range receivers {
			lowered := make([]message, len(want))
			for i, m := range want {
				m.qos = min(m.qos, granted[recv])
				lowered[i] = m
			}
			r.exactly(recv, lowered)
		}
	})
}

// Every client retains a message; every client that comes later gets all of
// them, marked as retained. Every client takes its message back with an empty
// one, and nobody gets anything any more.
func TestRetained(t *testing.T) {
	both(t, func(r *run) {
		all := names(r.T, r.version)
		publish := func(payload func(name string) string) {
			var publishing sync.WaitGroup
			for i, name := range all {
				m := message{topic: r.topic("retained/" + name), payload: payload(name), qos: i % 3, retain: 1}
				publishing.Go(func() {
					if err := kinds[name].publish(r.T, r.job("ret-"+name), []message{m}); err != nil {
						r.Errorf("%s publishes: %v", name, err)
					}
				})
			}
			publishing.Wait()
			r.raw.Ping()
		}
		publish(func(name string) string { return "kept-" + name + "#0" })
		var want []message
		for i, name := range all {
			want = append(want, message{topic: r.topic("retained/" + name), payload: "kept-" + name + "#0", qos: i % 3, retain: 1})
		}
		late := func(round string, want []message) {
			var receivers []*receiver
			for _, name := range all {
				j := r.job(round + name)
				j.filter, j.qos = r.topic("retained/#"), 2
				receivers = append(receivers, kinds[name].subscribe(r.T, j))
			}
			for _, recv := range receivers {
				r.probe(recv, r.topic("retained/probe")) // behind the retained ones
				r.exactly(recv, want)
				recv.stop(false)
			}
		}
		late("first", want)
		publish(func(string) string { return "" })
		late("second", nil)
	})
}

// Every client has a will and is cut off: all others hear it once. A client that
// disconnects leaves none.
func TestWills(t *testing.T) {
	both(t, func(r *run) {
		watch := job{node: r.node, version: r.version, id: r.id("watch"), filter: r.topic("wills/#"), qos: 2}
		watcher := kinds[map[byte]string{wire.V311: "paho-go", wire.V5: "paho-go5"}[r.version]].subscribe(r.T, watch)
		type dying struct {
			job
			recv *receiver
			kill bool
		}
		var all []dying
		for i, name := range names(r.T, r.version) {
			for _, kill := range []bool{true, false} {
				j := r.job(fmt.Sprint("will-", name, kill))
				j.filter, j.qos = r.topic("wills/probe/"+j.id), 1
				j.will = &message{topic: r.topic("wills/" + name), payload: fmt.Sprintf("will-%s-%t#0", name, kill), qos: i % 3}
				all = append(all, dying{j, kinds[name].subscribe(r.T, j), kill})
			}
		}
		var want []message
		for _, d := range all {
			r.probe(d.recv, d.filter)
			d.recv.stop(d.kill)
			// mosquitto_sub leaves with reason code 4, which asks for the will, when it is interrupted.
			if d.kill || d.recv.name == "mosquitto" && r.version == wire.V5 {
				want = append(want, *d.will)
			}
		}
		r.exactly(watcher, want)
		last := message{topic: r.topic("wills/last"), payload: "last#0", qos: 1}
		r.raw.Publish(wire.Publish{Topic: last.topic, Payload: last.payload, QoS: 1})
		r.exactly(watcher, append(want, last)) // nothing else has come meanwhile
	})
}

// A client with a session of its own is cut off or leaves, and comes back: what
// was published meanwhile at QoS 1 and 2 arrives, once.
func TestSessions(t *testing.T) {
	both(t, func(r *run) {
		for i, name := range names(r.T, r.version) {
			if strings.HasPrefix(name, "paho-c") {
				continue // they always ask for a clean session
			}
			j := r.job("session-" + name)
			j.keep, j.filter, j.qos = true, r.topic("session/"+name), 2
			first := kinds[name].subscribe(r.T, j)
			r.probe(first, j.filter)
			first.stop(i%2 == 0)
			var want []message
			for n := range 10 {
				m := message{topic: j.filter, payload: fmt.Sprintf("away-q%d#%d", 1+n%2, n), qos: 1 + n%2}
				r.raw.Publish(wire.Publish{Topic: m.topic, Payload: m.payload, QoS: byte(m.qos)})
				want = append(want, m)
			}
			second := kinds[name].subscribe(r.T, j)
			r.exactly(second, want)
			second.mu.Lock()
			if second.mu.present == "0" {
				r.Errorf("%s: the session is not present", name)
			}
			second.mu.Unlock()
			last := message{topic: j.filter, payload: "last#0", qos: 1}
			r.raw.Publish(wire.Publish{Topic: last.topic, Payload: last.payload, QoS: 1})
			r.exactly(second, append(want, last))
			second.stop(false)
		}
	})
}

// Payloads of every byte, and a large one, arrive as they were.
func TestBinary(t *testing.T) {
	both(t, func(r *run) {
		var every strings.Builder
		for b := range 256 {
			every.WriteByte(byte(b))
		}
		payloads := []string{"bytes#" + every.String(), "large#" + strings.Repeat(every.String(), 200)} // 51,200 bytes; in hexadecimal it still fits a command line
		for _, name := range names(r.T, r.version) {
			if strings.HasPrefix(name, "paho-c") {
				continue // its subscriber prints lines
			}
			j := r.job("bin-" + name)
			j.filter, j.qos = r.topic("bin/"+name), 2
			recv := kinds[name].subscribe(r.T, j)
			r.probe(recv, j.filter)
			var want []message
			for _, p := range payloads {
				want = append(want, message{topic: j.filter, payload: p, qos: 1})
			}
			if err := kinds[name].publish(r.T, r.job("binp-"+name), want); err != nil {
				r.Errorf("%s publishes: %v", name, err)
				continue
			}
			r.exactly(recv, want)
			recv.stop(false)
		}
	})
}

// mosquitto_rr asks, and another client answers to the topic that it named.
func TestRequestResponse(t *testing.T) {
	both(t, func(r *run) {
		need(r.T, "mosquitto", "mosquitto_rr", "mosquitto-clients")
		server := wire.Dial(r, wire.TCP, r.node.TCP, r.version, "server")
		server.Join(wire.Connect{ClientID: r.id("server"), Clean: true})
		request, reply := r.topic("request"), r.topic("reply")
		server.Subscribe(request, 1)
		host, number := port(r.node.TCP)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "mosquitto_rr", "-h", host, "-p", number, "-V", map[byte]string{wire.V311: "mqttv311", wire.V5: "mqttv5"}[r.version],
			"-i", r.id("rr"), "-t", request, "-e", reply, "-q", "1", "-m", "question", "-W", "30")
		answer := make(chan string, 1)
		go func() { // ends with the command, which ctx bounds
			out, err := cmd.CombinedOutput()
			answer <- fmt.Sprintf("%s %v", strings.TrimSpace(string(out)), err)
		}()
		got := server.Message()
		if string(got.Payload) != "question" || r.version == wire.V5 && got.Props.Text(wire.ResponseTopic) != reply {
			r.Errorf("the request is %v", got)
		}
		server.Publish(wire.Publish{Topic: reply, Payload: "answer", QoS: 1})
		select {
		case a := <-answer:
			if a != "answer <nil>" {
				r.Errorf("mosquitto_rr says %q", a)
			}
		case <-time.After(patience):
			r.Error("mosquitto_rr does not end")
		}
	})
}
