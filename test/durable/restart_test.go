package durable

import (
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// again stops the node and starts it on the same folder.
func (e *env) again(dir string, settings ...string) {
	e.Helper()
	if e.node != nil {
		e.node.Stop()
	}
	e.node = target.Start(e, target.Backends()[0], append(settings, "node.data_dir="+dir)...)
}

func TestRestartKeepsMessagesGroupsAndWhatIsSettled(t *testing.T) {
	both(t, func(e *env) {
		dir := e.TempDir()
		e.node = nil
		e.again(dir)
		c, s := e.client(), e.client()
		s.Subscribe("$share/g/"+e.topic("eu/#"), 1)
		e.fill(c, e.topic("eu/k"), 0, 5)
		for range 5 {
			p := s.Expect(wire.PUBLISH)
			if n := string(p.Payload); n == "m1" || n == "m3" {
				s.Acknowledge(p)
			}
		}
		s.Ping()
		settled()
		e.again(dir)
		e.denied(e.client(), "$share/g/"+e.topic("#"), 0x8F) // the group keeps its filter
		s = e.client()
		s.Subscribe("$share/g/"+e.topic("eu/#"), 1)
		same(e, "after the restart", take(s, 3), []string{"m0", "m2", "m4"}, false)
		e.fill(e.client(), e.topic("eu/k"), 5, 7)
		same(e, "and on", take(s, 2), numbers(5, 7), false)
		if !e.v5() {
			return
		}
		if _, o := place(e, put(e.client(), e.topic("eu/k"), "m")); o != 7 {
			e.Errorf("offsets go on at %d, want 7", o)
		}
	})
}

func TestDeclaredQueuesAreEnforced(t *testing.T) {
	only5(t, func(e *env) {
		dir := e.TempDir()
		e.node = nil
		e.again(dir, "queues.auto_create=false", "queues.declared.q.max_depth=2")
		c := e.client()
		e.fill(c, "$queue/q", 0, 2)
		e.refuses(c, wire.Publish{Topic: "$queue/q"}, 0x97)
		// Other settings take effect at the next start.
		e.again(dir, "queues.auto_create=false", "queues.declared.q.max_depth=3")
		c = e.client()
		put(c, "$queue/q", "m2")
		e.refuses(c, wire.Publish{Topic: "$queue/q"}, 0x97)
		// A queue that is no longer declared stays.
		e.again(dir, "queues.auto_create=false")
		s := e.client()
		s.Subscribe("$queue/q", 1)
		same(e, "kept", take(s, 3), numbers(0, 3), false)
		quiet(s, 30*time.Millisecond)
	})
}
