package session

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// 4.3.2, 4.3.3 as a sender.
func TestAcknowledgementsOfTheClient(t *testing.T) {
	for _, c := range []struct {
		name string
		qos  byte
		acks func(r *rig, id uint16) []string
		want []string
		load int
	}{
		{"PUBACK", 1, func(r *rig, id uint16) []string { return r.puback(id, mqtt.Success) }, []string{"done Success"}, 0},
		{"PUBACK refuses", 1, func(r *rig, id uint16) []string { return r.puback(id, mqtt.QuotaExceeded) }, []string{"done Quota exceeded"}, 0},
		{"PUBACK of nothing", 1, func(r *rig, id uint16) []string { return r.puback(id+1, mqtt.Success) }, []string{"nothing"}, 1},
		{"PUBREC", 2, func(r *rig, id uint16) []string { return r.pubrec(id, mqtt.Success) }, []string{"pubrel Success"}, 1},
		{"PUBREC twice", 2, func(r *rig, id uint16) []string {
			return append(r.pubrec(id, mqtt.Success), r.pubrec(id, mqtt.Success)...)
		},
			[]string{"pubrel Success", "pubrel Success"}, 1},
		{"PUBREC refuses", 2, func(r *rig, id uint16) []string { return r.pubrec(id, mqtt.QuotaExceeded) }, []string{"done Quota exceeded"}, 0},
		{"PUBREC of nothing", 2, func(r *rig, id uint16) []string { return r.pubrec(id+1, mqtt.Success) },
			[]string{"pubrel Packet Identifier not found"}, 1},
		{"PUBREC of nothing refuses", 2, func(r *rig, id uint16) []string { return r.pubrec(id+1, mqtt.QuotaExceeded) }, []string{"nothing"}, 1},
		{"PUBREC and PUBCOMP", 2, func(r *rig, id uint16) []string {
			return append(r.pubrec(id, mqtt.Success), r.pubcomp(id, mqtt.Success)...)
		},
			[]string{"pubrel Success", "done Success"}, 0},
		{"PUBCOMP not found", 2, func(r *rig, id uint16) []string {
			return append(r.pubrec(id, mqtt.Success), r.pubcomp(id, mqtt.PacketIdentifierNotFound)...)
		}, []string{"pubrel Success", "done Success"}, 0},
		{"PUBCOMP of nothing", 2, func(r *rig, id uint16) []string { return r.pubcomp(id+1, mqtt.Success) }, []string{"nothing"}, 1},
		{"PUBACK for QoS 2", 2, func(r *rig, id uint16) []string { return r.puback(id, mqtt.Success) }, []string{"Protocol Error"}, 1},
		{"PUBREC for QoS 1", 1, func(r *rig, id uint16) []string { return r.pubrec(id, mqtt.Success) }, []string{"Protocol Error"}, 1},
		{"PUBCOMP for QoS 1", 1, func(r *rig, id uint16) []string { return r.pubcomp(id, mqtt.Success) }, []string{"Protocol Error"}, 1},
		{"PUBCOMP before PUBREC", 2, func(r *rig, id uint16) []string { return r.pubcomp(id, mqtt.Success) }, []string{"Protocol Error"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.connect(connect5(true))
			id := r.deliver("x", c.qos).PacketID
			want(t, "result", c.acks(r, id), c.want)
			want(t, "load", r.Load(), c.load)
			want(t, "in flight", r.Inflight(), c.load)
		})
	}
}

func (r *rig) puback(id uint16, code mqtt.ReasonCode) []string {
	return outcome(r.Puback(id, code))
}

func (r *rig) pubcomp(id uint16, code mqtt.ReasonCode) []string {
	return outcome(r.Pubcomp(id, code))
}

func (r *rig) pubrec(id uint16, code mqtt.ReasonCode) []string {
	rel, done, err := r.Pubrec(id, code)
	if rel.Send {
		return []string{"pubrel " + rel.Code.String()}
	}
	return outcome(done, err)
}

func outcome(done Settled, err error) []string {
	switch {
	case err != nil:
		return []string{err.(*mqtt.Error).Code.String()}
	case done.Done:
		return []string{"done " + done.Code.String()}
	}
	return []string{"nothing"}
}

// [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1], [MQTT-3.3.1-3]
func TestReconnectSendsAgainInOrder(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.connect(kind())
			for i := range 6 {
				r.deliver(fmt.Sprint("m", i), byte(1+i%2))
			}
			r.puback(3, mqtt.Success) // m2
			r.pubrec(2, mqtt.Success) // m1
			r.pubrec(4, mqtt.Success) // m3
			r.pubcomp(4, mqtt.Success)
			want(t, "the same connection", r.drain(), "[]")
			r.reconnect(kind())
			want(t, "delivery behind", r.deliver("m6", 1).Verdict, Queued)
			want(t, "sent again", r.drain(), []string{
				"publish m0 q1 id1 dup", "pubrel id2", "publish m4 q1 id5 dup", "publish m5 q2 id6 dup", "publish m6 q1 id7",
			})
			want(t, "only once", r.drain(), "[]")
			r.reconnect(kind())
			want(t, "and again", len(r.drain()), 5)
		})
	}
}

func TestNothingIsSentAgainOfACleanSession(t *testing.T) {
	r := newRig(t)
	r.connect(connect4(true))
	r.deliver("x", 1)
	r.deliver("y", 2)
	r.Close(r.now, Lost)
	r.End()
	r.connect(connect4(false))
	want(t, "sent again", r.drain(), "[]")
	want(t, "first identifier", r.deliver("z", 1).PacketID, 1)
}

// The client acknowledges on the new connection what it got on the old, before it is sent again.
func TestAcknowledgedBeforeSentAgain(t *testing.T) {
	r := newRig(t)
	keep := kinds["5.0"]
	r.connect(keep())
	for i := range 4 {
		r.deliver(fmt.Sprint("m", i), 2)
	}
	r.deliver("m4", 1)
	r.reconnect(keep())
	want(t, "PUBREC", r.pubrec(1, mqtt.Success), "[pubrel Success]")
	want(t, "PUBREC", r.pubrec(3, mqtt.Success), "[pubrel Success]")
	want(t, "PUBACK", r.puback(5, mqtt.Success), "[done Success]")
	want(t, "the rest", r.drain(), []string{"publish m1 q2 id2 dup", "publish m3 q2 id4 dup"})
	want(t, "room", r.Room(), int(r.window)-4)
}

// [MQTT-3.3.4-9], 4.9
func TestWindowOfTheClient(t *testing.T) {
	for _, c := range []struct {
		connect *mqtt.Connect
		server  uint16
		window  int
	}{
		{connect5(true, receiveMaximum(3)), 0, 3},
		{connect5(true, receiveMaximum(3)), 2, 2},
		{connect5(true, receiveMaximum(3)), 10, 3},
		{connect5(true), 4, 4},
		{connect4(true), 4, 4},
	} {
		r := newRig(t)
		r.limits.MaxInflight = c.server
		r.connect(c.connect)
		sent := 0
		for i := range 20 {
			want(t, "room", r.Room() > 0, i < c.window)
			if r.deliver(fmt.Sprint(i), byte(1+i%2)).Verdict == Send {
				sent++
			}
		}
		want(t, "sent at first", sent, c.window)
		want(t, "QoS 0 has no window", r.deliver("zero", 0).Verdict, Send)
		r.pubrec(2, mqtt.Success)
		want(t, "after PUBREC", r.drain(), "[]")
		r.pubcomp(2, mqtt.Success)
		r.puback(1, mqtt.Success)
		want(t, "after PUBCOMP and PUBACK", len(r.drain()), 2)
	}
}

func TestPubrecThatRefusesOpensTheWindow(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true, receiveMaximum(1)))
	r.deliver("a", 2)
	r.deliver("b", 2)
	r.pubrec(1, mqtt.QuotaExceeded)
	want(t, "next", r.drain(), "[publish b q2 id2]")
}

func TestTheWidestWindowUsesEveryIdentifier(t *testing.T) {
	r := newRig(t)
	r.limits.MaxInflight = 0
	r.connect(connect5(true))
	seen := make([]bool, maxPacketID+1)
	m, o := r.message("x", 1), &SubOptions{QoS: 1}
	for range maxPacketID {
		d := r.Deliver(r.now, m, o, true)
		if d.Verdict != Send || d.PacketID == 0 || seen[d.PacketID] {
			t.Fatalf("%+v", d)
		}
		seen[d.PacketID] = true
	}
	want(t, "one more", r.Deliver(r.now, m, o, true).Verdict, Queued)
	r.puback(40_000, mqtt.Success)
	d, _, _ := r.Next(r.now)
	want(t, "the one that is free", d.PacketID, 40_000)
}

// [MQTT-2.2.1-3]; identifiers come again as late as possible.
func TestIdentifiersInUseAreSkipped(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	r.deliver("stays", 1)
	var ids []uint16
	for range 9 {
		d := r.deliver("x", 1)
		ids = append(ids, d.PacketID)
		r.puback(d.PacketID, mqtt.Success)
	}
	want(t, "identifiers", ids, []uint16{2, 3, 4, 2, 3, 4, 2, 3, 4})
}

// A client that comes back with a smaller window is sent no more than that at a time.
func TestSmallerWindowAfterReconnect(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false, sessionExpiry(Never)))
	for i := range 5 {
		r.deliver(fmt.Sprint("m", i), 1)
	}
	r.reconnect(connect5(false, sessionExpiry(Never), receiveMaximum(2)))
	want(t, "first", r.drain(), []string{"publish m0 q1 id1 dup", "publish m1 q1 id2 dup"})
	want(t, "room", r.Room(), 0)
	r.puback(2, mqtt.Success)
	want(t, "next", r.drain(), "[publish m2 q1 id3 dup]")
	want(t, "new ones wait", r.deliver("m5", 1).Verdict, Queued)
	r.puback(1, mqtt.Success)
	r.puback(3, mqtt.Success)
	want(t, "next", r.drain(), []string{"publish m3 q1 id4 dup", "publish m4 q1 id5 dup"})
	r.puback(4, mqtt.Success)
	want(t, "the queue", len(r.drain()), 1)
}

func TestPubrelsAreSentAgainWhateverTheWindow(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false, sessionExpiry(Never)))
	for range 3 {
		r.pubrec(r.deliver("x", 2).PacketID, mqtt.Success)
	}
	r.deliver("y", 1)
	r.reconnect(connect5(false, sessionExpiry(Never), receiveMaximum(1)))
	want(t, "sent again", r.drain(), []string{"pubrel id1", "pubrel id2", "pubrel id3"})
	for id := range uint16(3) {
		want(t, "not yet", r.drain(), "[]")
		r.pubcomp(id+1, mqtt.Success)
	}
	want(t, "now", r.drain(), "[publish y q1 id4 dup]")
}

// What waits is in order of arrival, whatever its QoS ([MQTT-4.6.0-6]).
func TestQueueKeepsTheOrder(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["3.1.1"]())
	r.Close(r.now, Lost)
	for i := range 1000 {
		r.deliver(fmt.Sprint(i), byte(1+i%2))
	}
	r.connect(connect5(false, receiveMaximum(7)))
	for i := 0; i < 1000; {
		d, m, ok := r.Next(r.now)
		if !ok {
			t.Fatalf("the queue stands still after %d messages", i)
		}
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %q in place %d", m.Payload, i)
		}
		if d.QoS == 1 {
			r.puback(d.PacketID, mqtt.Success)
		} else {
			r.pubrec(d.PacketID, mqtt.Success)
			r.pubcomp(d.PacketID, mqtt.Success)
		}
		i++
	}
}

func TestMemoryGoesBackWhenNothingIsOpen(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false, sessionExpiry(Never), receiveMaximum(1000)))
	for i := range 5000 {
		r.deliver(fmt.Sprint(i), 1)
	}
	for r.Inflight() > 0 {
		r.puback(r.out.first, mqtt.Success)
		r.drain()
	}
	if n := len(r.out.queue.ring); n > queueKeep {
		t.Errorf("an empty queue keeps %d places", n)
	}
	r.Close(r.now, Lost)
	if r.out != nil {
		t.Error("a session without messages keeps tables for them")
	}
}
