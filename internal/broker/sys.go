package broker

import (
	"runtime"
	"strconv"
	"time"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/netpoll"
)

// sysTree publishes what the broker counts below $SYS/broker, in the tree that
// Mosquitto's users know. Values that did not change are not published again.
type sysTree struct {
	b     *Broker
	since time.Time
	last  map[string]string
	// loads holds, for each rate and each of 1, 5 and 15 minutes, the moving average.
	loads  map[string]*[3]float64
	before map[string]float64
}

func newSysTree(b *Broker) *sysTree {
	return &sysTree{b: b, since: time.Now(), last: map[string]string{}, loads: map[string]*[3]float64{}, before: map[string]float64{}}
}

// run publishes every interval until stop is closed.
func (s *sysTree) run(interval time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		s.publish(interval)
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func (s *sysTree) publish(interval time.Duration) {
	values := s.values()
	s.rates(values, interval)
	s.b.poller.Turn(func(t *netpoll.Turn) {
		w := s.b.worker(t)
		for name, v := range values {
			if s.last[name] == v {
				continue
			}
			s.last[name] = v
			m := &message.Message{Topic: []byte("$SYS/broker/" + name), Payload: []byte(v), Retain: true}
			_, _ = w.publishMessage(m) // a full store keeps the old value
		}
	})
}

func (s *sysTree) values() map[string]string {
	b := s.b
	v := map[string]string{
		"version": "millrace version " + b.o.Version,
		"uptime":  strconv.FormatInt(int64(time.Since(s.since).Seconds()), 10) + " seconds",
	}
	set := func(name string, n uint64) { v[name] = strconv.FormatUint(n, 10) }
	total, connected := uint64(b.clients.count()), uint64(max(0, b.connected.Load()))
	set("clients/total", total)
	set("clients/connected", connected)
	set("clients/active", connected)
	set("clients/disconnected", total-min(total, connected))
	set("clients/inactive", total-min(total, connected))
	set("clients/expired", b.Count(SessionsExpired))
	s.noteMaximum(v, "clients/maximum", connected)
	set("subscriptions/count", uint64(b.router.Counts().Subscriptions))
	set("retained messages/count", uint64(b.retained.Len()))
	set("store/messages/count", uint64(b.retained.Len()))
	set("store/messages/bytes", uint64(b.retained.Bytes()))
	set("messages/received", b.Count(PacketsReceived))
	set("messages/sent", b.Count(PacketsSent))
	set("bytes/received", b.Count(BytesReceived))
	set("bytes/sent", b.Count(BytesSent))
	set("publish/messages/received", b.Count(PublishReceived0)+b.Count(PublishReceived1)+b.Count(PublishReceived2))
	set("publish/messages/sent", b.Count(PublishSent0)+b.Count(PublishSent1)+b.Count(PublishSent2))
	set("publish/messages/dropped", b.dropped())
	set("publish/bytes/received", b.Count(PublishBytesReceived))
	set("publish/bytes/sent", b.Count(PublishBytesSent))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	set("heap/current size", m.HeapAlloc)
	s.noteMaximum(v, "heap/maximum size", m.HeapAlloc)
	return v
}

func (s *sysTree) noteMaximum(v map[string]string, name string, n uint64) {
	s.before[name] = max(s.before[name], float64(n))
	v[name] = strconv.FormatUint(uint64(s.before[name]), 10)
}

// rates adds load/...: per minute, averaged over 1, 5 and 15 minutes.
func (s *sysTree) rates(v map[string]string, interval time.Duration) {
	b := s.b
	for name, total := range map[string]uint64{
		"messages/received": b.Count(PacketsReceived),
		"messages/sent":     b.Count(PacketsSent),
		"publish/received":  b.Count(PublishReceived0) + b.Count(PublishReceived1) + b.Count(PublishReceived2),
		"publish/sent":      b.Count(PublishSent0) + b.Count(PublishSent1) + b.Count(PublishSent2),
		"publish/dropped":   b.dropped(),
		"bytes/received":    b.Count(BytesReceived),
		"bytes/sent":        b.Count(BytesSent),
		"sockets":           b.Count(ConnectsAccepted) + b.Count(ConnectsRefused),
		"connections":       b.Count(ConnectsAccepted),
	} {
		avg := s.loads[name]
		if avg == nil {
			avg = new([3]float64)
			s.loads[name] = avg
		}
		perMinute := (float64(total) - s.before["load/"+name]) * 60 / interval.Seconds()
		s.before["load/"+name] = float64(total)
		for i, minutes := range [3]float64{1, 5, 15} {
			weight := min(1, interval.Minutes()/minutes)
			avg[i] += (perMinute - avg[i]) * weight
			v["load/"+name+"/"+strconv.Itoa(int(minutes))+"min"] = strconv.FormatFloat(avg[i], 'f', 2, 64)
		}
	}
}
