package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// The tree has the topics that Mosquitto's users know, and their values follow what happens.
func TestSysTree(t *testing.T) {
	r := newRig(t, nil)
	sys := newSysTree(r.Broker)
	p := r.dial(t, mqtt.V5, "reader", nil)
	p.subscribe("nothing", 0)
	p.write((&mqtt.Publish{Topic: []byte("nowhere"), Payload: []byte("12345"), Retain: true}).Append(nil, p.v))
	p.quiet()
	sys.publish(10 * time.Second)
	value := func(name string) string {
		m := r.retained.Get([]byte("$SYS/broker/"+name), 0)
		if m == nil {
			return "missing"
		}
		defer m.Release()
		return string(m.Payload)
	}
	for name, want := range map[string]string{
		"version": "millrace version test", "clients/connected": "1", "clients/total": "1", "clients/maximum": "1", "clients/disconnected": "0",
		"subscriptions/count": "1", "publish/messages/received": "1", "publish/bytes/received": "5", "retained messages/count": "1",
		"publish/messages/dropped": "0", "messages/received": "4", "load/connections/1min": "1.00",
	} {
		if got := value(name); got != want {
			t.Errorf("$SYS/broker/%s is %q, want %q", name, got, want)
		}
	}
	if got := value("uptime"); !strings.HasSuffix(got, " seconds") {
		t.Errorf("uptime is %q", got)
	}
	p.c.Close()
	for end := time.Now().Add(patience); r.connected.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	sys.publish(10 * time.Second)
	if got := value("clients/connected"); got != "0" {
		t.Errorf("after it has left, %s clients are connected", got)
	}
	if got := value("clients/maximum"); got != "1" {
		t.Errorf("the maximum is %s", got)
	}
}

// Wildcards do not reach $SYS ([MQTT-4.7.2-1]), a filter that names it does.
func TestSysIsSeenByName(t *testing.T) {
	r := newRig(t, nil)
	newSysTree(r.Broker).publish(time.Second)
	p := r.dial(t, mqtt.V311, "reader", nil)
	p.subscribe("#", 0)
	p.quiet()
	p.subscribe("$SYS/broker/version", 0)
	if m := p.next(); string(m.Topic) != "$SYS/broker/version" || !m.Retain {
		t.Errorf("got %s", m.Topic)
	}
}

// The janitor does what is due in the order of the times, whatever the order of asking.
func TestJanitorOrder(t *testing.T) {
	j := newJanitor()
	stop, done := make(chan struct{}), make(chan int, 8)
	defer close(stop)
	now := time.Now().UnixMilli()
	for _, n := range []int{3, 1, 4, 2} {
		j.at(now+int64(n)*20, func() { done <- n })
	}
	go j.run(stop) // ends with stop
	for want := 1; want <= 4; want++ {
		select {
		case n := <-done:
			if n != want {
				t.Fatalf("errand %d came in the place of %d", n, want)
			}
		case <-time.After(patience):
			t.Fatal("an errand is not done")
		}
	}
	j.at(time.Now().UnixMilli()-5, func() { done <- 9 }) // one that is late already
	if n := <-done; n != 9 {
		t.Fatal(n)
	}
}
