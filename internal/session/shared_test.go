package session

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// taken writes down what a session gives back, and releases it.
func (r *rig) taken(ended bool) (log []string) {
	for _, t := range r.TakeShared(ended) {
		payload := "nothing"
		if t.Message != nil {
			payload = string(t.Message.Payload)
			t.Message.Release()
		}
		log = append(log, fmt.Sprintf("%s q%d from %v token %d sent %v", payload, t.QoS, t.Source, t.Token, t.Sent))
	}
	return log
}

// [MQTT-4.8.2-3], [MQTT-4.8.2-4], [MQTT-4.8.2-5]
func TestSharedMessagesOfAMemberThatGoes(t *testing.T) {
	group := &SubOptions{QoS: 2, More: &More{Source: "group"}}
	build := func(r *rig) {
		r.connect(connect5(false, sessionExpiry(Never), receiveMaximum(5)))
		r.Deliver(r.now, r.message("flying1", 1), group, true)
		r.deliver("own1", 1)
		r.Deliver(r.now, r.message("flying2", 2), group, true)
		r.Deliver(r.now, r.message("received2", 2), group, true)
		r.pubrec(4, mqtt.Success)
		r.deliver("own2", 2)
		r.Deliver(r.now, r.message("waiting1", 1), group, true)
		r.deliver("own waiting", 1)
		r.Deliver(r.now, r.message("waiting2", 2), group, true)
		r.Close(r.now, Lost)
	}
	t.Run("connection lost", func(t *testing.T) {
		r := newRig(t)
		build(r)
		want(t, "taken", r.taken(false), []string{
			"waiting1 q1 from group token 0 sent false", "waiting2 q2 from group token 0 sent false",
		})
		want(t, "load", r.Load(), 6)
		r.connect(connect5(false, sessionExpiry(Never)))
		want(t, "left", r.drain(), []string{
			"publish flying1 q1 id1 dup", "publish own1 q1 id2 dup", "publish flying2 q2 id3 dup", "pubrel id4", "publish own2 q2 id5 dup",
			"publish own waiting q1 id6",
		})
	})
	t.Run("session over", func(t *testing.T) {
		r := newRig(t)
		build(r)
		want(t, "taken", r.taken(true), []string{
			"flying1 q1 from group token 0 sent true", "waiting1 q1 from group token 0 sent false", "waiting2 q2 from group token 0 sent false",
		})
		want(t, "load", r.Load(), 5)
		want(t, "taken again", r.taken(true), "[]")
	})
}

func TestLeases(t *testing.T) {
	queue := &SubOptions{QoS: 2, More: &More{Source: "queue"}}
	r := newRig(t)
	keep := connect5(false, sessionExpiry(Never), receiveMaximum(4))
	want(t, "offline", r.Lease(r.now, r.message("x", 1), queue, 1).Reason, NoRoom)
	r.connect(keep)
	for token := range uint64(5) {
		d := r.Lease(r.now, r.message(fmt.Sprint("m", token), byte(1+token%2)), queue, 100+token)
		want(t, "room", d.Verdict == Send, token < 4)
	}
	want(t, "QoS 0 needs room too", r.Lease(r.now, r.message("x", 0), queue, 1).Reason, NoRoom)
	want(t, "nothing waits", r.Queued(), 0)

	done, _ := r.Puback(1, mqtt.QuotaExceeded)
	want(t, "PUBACK", done, Settled{Done: true, Code: mqtt.QuotaExceeded, Token: 100, Source: "queue"})
	rel, done, _ := r.Pubrec(2, mqtt.Success)
	want(t, "PUBREC settles nothing", fmt.Sprint(rel.Send, done.Done), "true false")
	done, _ = r.Pubcomp(2, mqtt.Success)
	want(t, "PUBCOMP", done, Settled{Done: true, Token: 101, Source: "queue"})
	want(t, "QoS 0", r.Lease(r.now, r.message("x", 0), queue, 1).Verdict, Send)

	r.Lease(r.now, r.message("m5", 2), queue, 105)
	r.pubrec(1, mqtt.Success)
	r.Close(r.now, Lost)
	want(t, "connection lost", r.taken(false), "[m2 q1 from queue token 102 sent true]")
	// QoS 2 stays until the session is over, so that its identifier is not used for anything else.
	want(t, "session over", r.taken(true), []string{"m3 q2 from queue token 103 sent true", "nothing q2 from queue token 105 sent true"})
	want(t, "load", r.Load(), 0)

	r.connect(keep)
	expired := r.message("late", 1)
	expired.Expires = r.now
	want(t, "expired", r.Lease(r.now, expired, queue, 9).Reason, Expired)
	r.Deliver(r.now, r.message("before", 1), &SubOptions{QoS: 1}, false)
	want(t, "behind what waits", r.Lease(r.now, r.message("x", 1), queue, 9).Reason, NoRoom)
}

func TestTakeSharedOfAnEmptySession(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	r.Close(r.now, Lost)
	want(t, "taken", r.taken(true), "[]")
}
