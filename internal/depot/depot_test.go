package depot_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/queue"
)

func TestWhatIsSettledStaysSettledAcrossARestart(t *testing.T) {
	r := newRig(t, nil)
	q := r.use("orders")
	for i := range 4 {
		if o := r.store(q, "k", fmt.Sprint("m", i)); o.Offset != uint64(i) {
			t.Errorf("message %d has the offset %d", i, o.Offset)
		}
	}
	r.consume(q, queue.NewGroup{Name: "g"}, 10)
	all := r.want("first", "m0#1", "m1#1", "m2#1", "m3#1")
	r.settle(all[1], depot.Done)
	r.settle(all[3], depot.Done)
	r.unsettled(q, "g", 2)
	r.restart()
	q = r.use("orders")
	r.consume(q, queue.NewGroup{Name: "g"}, 10)
	r.want("after a restart", "m0#1", "m2#1")
}

// A consumer that begins far behind reads from the disk, in the order of the offsets.
func TestBacklogIsReadFromTheDisk(t *testing.T) {
	r := newRig(t, func(o *depot.Options) { o.Memory = 1 })
	q := r.use("orders")
	filler := strings.Repeat("x", 10_000)
	const n = 200
	var wanted []string
	for i := range n {
		payload := fmt.Sprint(i, filler)
		r.store(q, "k", payload)
		wanted = append(wanted, payload+"#1")
	}
	for _, name := range []string{"a", "b", "c"} {
		r.consume(q, queue.NewGroup{Name: name}, n)
		r.want(name, wanted...)
	}
}

func TestDisconnectReleasesAtOnce(t *testing.T) {
	r := newRig(t, func(o *depot.Options) { o.Defaults.Lease = depot.Duration(time.Hour) })
	q := r.use("orders")
	a := r.consume(q, queue.NewGroup{Name: "g"}, 10)
	r.store(q, "k", "m")
	r.want("the first member", "m#1")
	b := r.consume(q, queue.NewGroup{Name: "g"}, 10)
	a.Detach(false)
	if got := r.want("the second member", "m#2"); got[0].to != b {
		t.Error("the message came to the member that went")
	}
}

func TestLeaseEndBringsTheMessageBack(t *testing.T) {
	r := newRig(t, func(o *depot.Options) { o.Defaults.Lease = depot.Duration(30 * time.Millisecond) })
	q := r.use("orders")
	r.consume(q, queue.NewGroup{Name: "g"}, 10)
	r.store(q, "k", "m")
	r.want("two deliveries", "m#1", "m#2")
}

func TestRejectedMessagesGoToTheDeadLetterQueue(t *testing.T) {
	r := newRig(t, nil)
	q := r.use("orders")
	r.consume(q, queue.NewGroup{Name: "g"}, 10)
	r.store(q, "k", "m")
	r.settle(r.want("delivery", "m#1")[0], depot.Rejected)
	r.unsettled(q, "g", 0)
	dlq := r.Find([]byte("orders.dlq"))
	if dlq == nil {
		t.Fatal("there is no dead-letter queue")
	}
	r.consume(dlq, queue.NewGroup{Name: "g"}, 10)
	l := r.want("letter", "m#1")[0]
	if l.topic != "k" || !strings.Contains(l.props, "rejected") || !strings.Contains(l.props, "orders") {
		t.Errorf("letter on %q with %q", l.topic, l.props)
	}
}
