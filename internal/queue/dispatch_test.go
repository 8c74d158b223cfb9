package queue

import "testing"

func TestSettlingOneLeavesTheNextAlone(t *testing.T) {
	r := newRig(t, Settings{Lease: 1000})
	r.group("g")
	m := r.join("g", 1, 10)
	r.texts(0, 5)
	got := r.pump()
	want(t, "delivered", payloads(got), []string{"0>1#1", "1>1#1", "2>1#1", "3>1#1", "4>1#1"})
	want(t, "ack 2", r.d.Ack(got[2].Token), true)
	want(t, "ack 2 again", r.d.Ack(got[2].Token), false)
	r.commit()
	info, _ := r.m.Group("g")
	want(t, "unsettled", info.Unsettled, 4)
	want(t, "floor", info.Floor, 0)
	want(t, "nothing new", len(r.pump()), 0)
	r.d.Leave(m)
	r.join("g", 2, 10)
	want(t, "the others", payloads(r.pump()), []string{"0>2#2", "1>2#2", "3>2#2", "4>2#2"})
	r.now += 1000
	want(t, "lease over", payloads(r.pump()), []string{"0>2#3", "1>2#3", "3>2#3", "4>2#3"})
}
