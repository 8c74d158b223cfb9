package session

import (
	"fmt"
	"math"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// A session that was stored and restored goes on as if nothing had been.
func TestRestoredSessionGoesOn(t *testing.T) {
	group := &SubOptions{QoS: 2, ID: 5, More: &More{Source: "group"}}
	r := newRig(t)
	c := willOf(mqtt.V5, 1000, 10)
	r.connect(c)
	for i := range subIndexFrom + 3 {
		r.Subscribe(&Subscription{Filter: fmt.Sprint("f", i), SubOptions: SubOptions{QoS: 1}})
	}
	for i := range 7 {
		r.deliver(fmt.Sprint("m", i), byte(1+i%2))
	}
	r.puback(1, mqtt.Success)
	r.puback(5, mqtt.Success)
	r.pubrec(4, mqtt.Success)
	r.Deliver(r.now, r.message("shared", 2), group, true)
	r.acknowledge(r.publish(2, 300).Ticket, mqtt.Success)
	r.publish(2, 400) // is still being stored
	r.Close(r.now, Lost)
	r.deliver("waits", 2)
	r.deliver("waits too", 1)

	s := Restore(r.now+77, &r.limits, r.Snapshot())
	want(t, "load", s.Load(), r.Load())
	want(t, "bytes that wait", s.QueuedBytes(), r.QueuedBytes())
	want(t, "subscriptions", s.Subscriptions(), subIndexFrom+3)
	at, ok := s.Due()
	want(t, "due", fmt.Sprint(at, ok), fmt.Sprint(r.now+10_000, true))
	will, ends := s.Expire(at)
	want(t, "will", fmt.Sprintf("%s %v", will.Payload, ends), "gone false")
	r.will = nil // it went with the other one
	at, _ = s.Due()
	want(t, "end", at, r.now+1_000_000)

	t.Cleanup(func() { s.End() })
	other := &rig{T: t, Session: s, limits: r.limits, now: r.now}
	keep := connect5(false, sessionExpiry(1000))
	want(t, "present", other.connect(keep).SessionPresent, true)
	r.connect(keep)
	sent := r.drain()
	want(t, "sent", other.drain(), sent)
	want(t, "how many", len(sent), 8)
	m := r.message("more", 1)
	o := &SubOptions{QoS: 1}
	seen := map[uint16]bool{}
	for range 20 {
		d := other.Deliver(r.now, m, o, true)
		if seen[d.PacketID] || d.PacketID == 0 {
			t.Fatalf("identifier %d twice", d.PacketID)
		}
		seen[d.PacketID] = true
	}
	want(t, "taken before", other.publish(2, 300).Duplicate, true)
	want(t, "was not stored", other.publish(2, 400).Duplicate, false)
	other.Close(r.now, Lost)
	want(t, "the source came along", len(other.taken(true)), 0) // QoS 2 in flight stays
}

// The node went down while the client was connected: the times begin when it is up again.
func TestSnapshotOfAConnectedSession(t *testing.T) {
	r := newRig(t)
	r.connect(willOf(mqtt.V5, 100, 10))
	n := r.Snapshot()
	want(t, "times", fmt.Sprint(n.EndsAt, n.WillAt), "0 0")
	s := Restore(5000, &r.limits, n)
	at, _ := s.Due()
	want(t, "will", at, 15_000)
	if s.Online() || s.Ended(104_999) || !s.Ended(105_000) {
		t.Error("the expiry interval does not begin with the restart")
	}
}

func TestSnapshotOfASessionWithoutEnd(t *testing.T) {
	r := newRig(t)
	r.connect(connect4(false))
	r.Close(r.now, Lost)
	n := r.Snapshot()
	want(t, "ends at", n.EndsAt, math.MaxInt64)
	if _, ok := Restore(1, &r.limits, n).Due(); ok {
		t.Error("something is due")
	}
}
