package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

// diary writes down what a journal is told, and what it would know after a restart.
type diary struct {
	lines []string
	next  uint64
	there map[uint64]string
}

func newDiary() *diary { return &diary{there: map[uint64]string{}} }

func (d *diary) Keep(o *Outbound) uint64 {
	d.next++
	d.note("keep %d id %d qos %d %s", d.next, o.PacketID, o.QoS, o.Message.Payload)
	d.there[d.next] = string(o.Message.Payload)
	return d.next
}

func (d *diary) Assign(number uint64, id uint16)   { d.note("assign %d id %d", number, id) }
func (d *diary) Received(number uint64, id uint16) { d.note("received %d id %d", number, id) }

func (d *diary) Drop(number uint64, id uint16, received bool) {
	d.note("drop %d id %d %v", number, id, received)
	if _, ok := d.there[number]; !ok {
		d.note("%d WAS NOT THERE", number)
	}
	delete(d.there, number)
}

func (d *diary) note(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	if !slices.Equal(d.lines, lines) {
		t.Errorf("the journal was told\n%s\nwant\n%s", strings.Join(d.lines, "\n"), strings.Join(lines, "\n"))
	}
	d.lines = nil
}

func TestJournalHearsOfEveryMessage(t *testing.T) {
	r := newRig(t)
	d := newDiary()
	r.connect(connect5(true, sessionExpiry(100), receiveMaximum(3)))
	r.SetJournal(d)
	r.deliver("a", 0)
	r.deliver("b", 1)
	held := r.deliver("c", 2)
	after := r.deliver("d", 1)
	r.deliver("e", 2)
	want(t, "QoS 1 behind QoS 2", after.Verdict, Held)
	d.want(t, "keep 1 id 1 qos 1 b", "keep 2 id 2 qos 2 c", "keep 3 id 3 qos 1 d", "keep 4 id 0 qos 2 e")
	want(t, "verdict of QoS 2", held.Verdict, Held)
	if _, _, ok := r.Release(r.now, held.PacketID, held.Number+1); ok {
		t.Error("another message was released in its place")
	}
	sent, m, ok := r.Release(r.now, held.PacketID, held.Number)
	want(t, "release", fmt.Sprintf("%v %v %d %v %s", ok, sent.Verdict, sent.PacketID, sent.Dup, m.Payload), fmt.Sprintf("true %v 2 false c", Send))
	if _, _, ok := r.Release(r.now, held.PacketID, held.Number); ok {
		t.Error("released twice")
	}
	_, m, _ = r.Release(r.now, after.PacketID, after.Number)
	want(t, "release of QoS 1", string(m.Payload), "d")

	r.puback(1, mqtt.Success)
	next, _, _ := r.Next(r.now)
	want(t, "verdict of QoS 2 that waited", next.Verdict, Held)
	want(t, "number", next.Number, uint64(4))
	d.want(t, "drop 1 id 0 false", "assign 4 id 4")
	r.pubrec(2, mqtt.Success)
	r.pubrec(2, mqtt.Success)
	r.Pubcomp(2, mqtt.Success)
	d.want(t, "received 2 id 2", "drop 2 id 2 true")
	r.pubrec(4, mqtt.UnspecifiedError)
	d.want(t, "drop 4 id 4 false")

	r.Close(r.now, Lost)
	if _, _, ok := r.Release(r.now, 3, 3); ok {
		t.Error("released without a connection")
	}
	r.limits.MaxQueued = 1
	r.deliver("f", 1)
	r.deliver("g", 1)
	d.want(t, "keep 5 id 0 qos 1 f", "drop 5 id 0 false", "keep 6 id 0 qos 1 g")
	if len(d.there) != 2 || d.there[3] != "d" || d.there[6] != "g" {
		t.Errorf("a restart would find %v", d.there)
	}
	s := Restore(r.now, &r.limits, r.Snapshot())
	t.Cleanup(func() { s.End() })
	s.SetJournal(d)
	s.Connect(r.now, connect5(false, sessionExpiry(100)), true)
	for range 2 {
		next, _, _ := s.Next(r.now)
		s.Puback(next.PacketID, mqtt.Success)
	}
	d.want(t, "drop 3 id 0 false", "drop 6 id 0 false")
}

// What expires, is too large or is given back is done as well.
func TestJournalHearsOfWhatIsNotDelivered(t *testing.T) {
	r := newRig(t)
	d := newDiary()
	r.connect(connect5(true, sessionExpiry(100), maximumPacketSize(40)))
	r.SetJournal(d)
	held := r.deliver(strings.Repeat("x", 100), 2)
	d.lines = nil
	lost, _, ok := r.Release(r.now, held.PacketID, held.Number)
	want(t, "too large", fmt.Sprint(ok, lost.Verdict, lost.Reason), fmt.Sprint(true, Dropped, TooLarge))
	d.want(t, "drop 1 id 1 false")
	r.deliver(strings.Repeat("x", 100), 1) // never kept
	d.want(t)

	r.Close(r.now, Lost)
	group := &SubOptions{QoS: 2, More: &More{Source: "group"}}
	r.Deliver(r.now, r.message("s", 2), group, true)
	old := r.message("old", 1)
	old.Expires = r.now + 10
	r.Deliver(r.now, old, &SubOptions{QoS: 1}, true)
	r.taken(false)
	r.Purge(r.now + 20)
	d.want(t, "keep 2 id 0 qos 2 s", "keep 3 id 0 qos 1 old", "drop 2 id 0 false", "drop 3 id 0 false")
}

// Messages that somebody else keeps are none of the journal's, but for identifiers that must not be forgotten.
func TestJournalAndLeases(t *testing.T) {
	r := newRig(t)
	d := newDiary()
	r.connect(connect5(true, sessionExpiry(100)))
	r.SetJournal(d)
	r.Lease(r.now, r.message("one", 1), &SubOptions{QoS: 1}, 77)
	r.Lease(r.now, r.message("two", 2), &SubOptions{QoS: 2}, 78)
	d.want(t, "keep 1 id 2 qos 2 two")
}
