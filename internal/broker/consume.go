package broker

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/internal/depot"
	"github.com/millrace-mq/millrace/internal/netpoll"
	"github.com/millrace-mq/millrace/internal/queue"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
	"github.com/millrace-mq/millrace/topic"
)

// User properties of a SUBSCRIBE.
const (
	propGroup  = "consumer-group"
	propStart  = "start"
	propStream = "stream-offset"
)

// defaultGroup is the group of those who name none.
const defaultGroup = "default"

// consumer is a subscription to a queue: the source (session.More.Source) of what is delivered because of it.
type consumer struct {
	client *client
	// sub is the subscription in the session; guarded by client.mu.
	sub    *subscription
	depot  *depot.Consumer
	prefix string // of the topics that messages are delivered on
	stream bool
}

// partition finds the partition of a lease, nil when there is none.
func (cs *consumer) partition(token uint64) (*depot.Partition, queue.Token) {
	n, t := depot.Unpack(token)
	if parts := cs.depot.Queue.Partitions; t != 0 && n < len(parts) {
		return parts[n], t
	}
	return nil, 0
}

// departure is a consumer that goes, on its way out of its client's lock.
type departure struct {
	cs *consumer
	// keep: the session goes on, and may settle what it has.
	keep bool
}

func (d *departure) carryOut() {
	d.cs.depot.Detach(d.keep)
	if d.cs.stream && !d.keep {
		d.cs.depot.Queue.DeleteGroup(d.cs.depot.Group, func(error) {}) // a cursor ends with its session
	}
}

// depart notes that all consumers of a client go. The caller holds c.mu.
func (c *client) depart(moved []session.Taken, keep bool) []session.Taken {
	g := c.consuming
	if g == nil {
		return moved
	}
	for _, cs := range g.list {
		moved = append(moved, session.Taken{Source: &departure{cs, keep}})
	}
	g.blocked = nil
	if !keep {
		c.consuming = nil
	}
	return moved
}

// rejoin lets the consumers of a session that goes on take messages again.
func (w *worker) rejoin(c *client) {
	c.mu.Lock()
	if c.consuming == nil {
		c.mu.Unlock()
		return
	}
	list := slices.Clone(c.consuming.list)
	window := c.sess.Window()
	c.mu.Unlock()
	for _, cs := range list {
		cs.depot.Window = window
		cs.depot.Attach()
	}
}

// queueFilter is a filter of a queue or a stream, taken apart.
type queueFilter struct {
	name   string
	filter string // below the queue; "" for everything
	group  string // "" when the filter does not say
	stream bool
	prefix string // $queue/<name>
}

// queueFilter takes a filter apart that is a queue's.
func (l *link) queueFilter(f *mqtt.Subscription) (queueFilter, bool) {
	if l.b.queues == nil || len(f.Filter) == 0 || f.Filter[0] != '$' {
		return queueFilter{}, false
	}
	return parseQueueFilter(string(f.Filter))
}

// parseQueueFilter gives false when the filter is an ordinary one.
func parseQueueFilter(filter string) (f queueFilter, ok bool) {
	group, rest, shared, err := topic.ParseShared(filter)
	if err != nil {
		return f, false
	}
	prefix := depot.Prefix
	if !strings.HasPrefix(rest, prefix) {
		if prefix = depot.StreamPrefix; shared || !strings.HasPrefix(rest, prefix) {
			return f, false
		}
		f.stream = true
	}
	f.group = group
	f.name, f.filter, _ = strings.Cut(rest[len(prefix):], "/")
	f.prefix = prefix + f.name
	return f, true
}

// subscribing is a SUBSCRIBE with filters of queues, whose SUBACK waits until groups are made.
type subscribing struct {
	l      *link
	id     uint16
	codes  []mqtt.ReasonCode
	reason string
	jobs   []*subscribeJob
	left   atomic.Int32
}

// subscribeJob is one of the filters.
type subscribeJob struct {
	place int // in codes
	sub   *subscription
	f     queueFilter
	group queue.NewGroup
	seek  bool // a stream that exists moves
	q     *depot.Queue
	err   error // set before the job ends
}

// consume begins to subscribe to a queue. An answer of its own is an error that was found at once.
func (l *link) consume(w *worker, s *subscribing, place int, f *mqtt.Subscription, id uint32, qf queueFilter) {
	j := &subscribeJob{place: place, f: qf}
	j.sub = &subscription{Filter: string(f.Filter), Owner: l.client}
	j.sub.QoS, j.sub.NoLocal, j.sub.ID, j.sub.RetainAsPublished = f.QoS, f.NoLocal, id, f.RetainAsPublished
	s.jobs = append(s.jobs, j)
	j.err = l.checkQueueFilter(w, j)
}

// checkQueueFilter refuses what may not be subscribed to, and says what group is wanted.
func (l *link) checkQueueFilter(w *worker, j *subscribeJob) error {
	_, rest, _, _ := topic.ParseShared(j.sub.Filter)
	if err := topic.ValidateFilter([]byte(rest), w.b.o.MaxTopicLevels); err != nil {
		return &mqtt.Error{Code: mqtt.TopicFilterInvalid, Reason: err.Error()}
	}
	if err := depot.CheckName(j.f.name); err != nil {
		return &mqtt.Error{Code: mqtt.TopicFilterInvalid, Reason: "a queue's name is 1 to 128 of A-Z a-z 0-9 . _ -"}
	}
	if a := w.b.o.Access; a != nil {
		if err := a.Subscribe(l.peer(), rest); err != nil {
			return err
		}
	}
	g := &j.group
	g.Name, g.Filter, g.Stream = j.f.group, j.f.filter, j.f.stream
	if g.Stream {
		g.Name = streamGroup(l.client.id(), j.f.filter)
	}
	if err := j.properties(l.version, &w.subscribe.Properties); err != nil {
		return err
	}
	if g.Name == "" {
		g.Name = defaultGroup
	}
	return nil
}

// streamGroup is the name of a stream's cursor. No group that clients name has a slash.
func streamGroup(clientID, filter string) string {
	return depot.StreamPrefix + strconv.Itoa(len(clientID)) + "/" + clientID + "/" + filter
}

// properties reads the user properties of the SUBSCRIBE.
func (j *subscribeJob) properties(v mqtt.Version, p *mqtt.Properties) error {
	if v != mqtt.V5 || !p.Has.Contains(mqtt.PropUser) {
		return nil
	}
	for key, value := range p.User.All() {
		k, text := string(key), string(value)
		var err error
		switch {
		case k == propGroup && !j.f.stream && j.f.group == "":
			if text == "" || strings.ContainsAny(text, "/+#") {
				err = badProperty(k, "a name without / + #")
			}
			j.group.Name = text
		case k == propStart && !j.f.stream:
			j.group.From, err = parseStart(text)
		case k == propStream && j.f.stream:
			j.group.From, err = parseOffset(text)
			j.seek = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func badProperty(key, want string) error {
	return &mqtt.Error{Code: mqtt.ImplementationSpecificError, Reason: "user property " + key + ": " + want + " is wanted"}
}

// parseStart reads earliest, latest, offset:N or time:T.
func parseStart(text string) (queue.From, error) {
	kind, value, _ := strings.Cut(text, ":")
	switch kind {
	case "offset", "time":
		if f, ok := parsePosition(value, kind == "time"); ok {
			return f, nil
		}
	default:
		if f, ok := parseWord(text); ok {
			return f, nil
		}
	}
	return queue.From{}, badProperty(propStart, "earliest, latest, offset:N or time:T")
}

// parseOffset reads earliest, latest, a number or a time.
func parseOffset(text string) (queue.From, error) {
	if f, ok := parseWord(text); ok {
		return f, nil
	}
	if f, ok := parsePosition(text, false); ok {
		return f, nil
	}
	if f, ok := parsePosition(text, true); ok {
		return f, nil
	}
	return queue.From{}, badProperty(propStream, "earliest, latest, an offset or an RFC 3339 time")
}

func parseWord(text string) (queue.From, bool) {
	switch text {
	case "earliest":
		return queue.From{Kind: queue.Earliest}, true
	case "latest":
		return queue.From{Kind: queue.Latest}, true
	}
	return queue.From{}, false
}

// parsePosition reads an offset, or a time: RFC 3339 or Unix milliseconds.
func parsePosition(text string, isTime bool) (queue.From, bool) {
	f := queue.From{Kind: queue.AtOffset}
	if isTime {
		f.Kind = queue.AtTime
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			f.Value = uint64(max(0, t.UnixMilli()))
			return f, true
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	f.Value = n
	return f, err == nil && n <= math.MaxInt64
}

// begin makes the queues and groups that are missing. The link is not read until the SUBACK has been sent.
func (s *subscribing) begin(w *worker) {
	s.l.halt(stopAnswer)
	s.left.Store(int32(len(s.jobs)) + 1)
	for _, j := range s.jobs {
		if j.err != nil {
			s.left.Add(-1)
			continue
		}
		w.b.queues.Use(j.f.name, func(q *depot.Queue, err error) {
			if j.q, j.err = q, err; err != nil {
				s.ended()
				return
			}
			moves := j.seek && q.HasGroup(j.group.Name)
			q.Group(&j.group, func(err error) {
				if j.err = err; err != nil || !moves {
					s.ended()
					return
				}
				q.Seek(j.group.Name, j.group.From, func(err error) {
					j.err = err
					s.ended()
				})
			})
		})
	}
	if s.left.Add(-1) == 0 {
		s.finish(w)
	}
}

// ended tells that a job has.
func (s *subscribing) ended() {
	if s.left.Add(-1) == 0 {
		s.l.conn.Loop().Post(s)
	}
}

func (s *subscribing) Mail(t *netpoll.Turn) { s.finish(s.l.b.worker(t)) }

// finish answers.
func (s *subscribing) finish(w *worker) {
	l := s.l
	if l.state != linkLive {
		return
	}
	for _, j := range s.jobs {
		code, err := mqtt.Success, j.err
		if err == nil {
			if code, err = l.join(w, j); err != nil {
				_ = l.fail(w, err) // the connection ends
				return
			}
		} else {
			var reason string
			code, reason = subscribeRefusal(err)
			s.reason = reason
			l.log(slog.LevelInfo, "subscribe refused", "filter", j.sub.Filter, "reason", code.String(), "detail", err)
			if l.version != mqtt.V5 {
				code = mqtt.UnspecifiedError
			}
		}
		s.codes[j.place] = code
	}
	ack := mqtt.Suback{PacketID: s.id, Codes: s.codes}
	if s.reason != "" && l.version == mqtt.V5 && l.client.sess.ProblemInformation() {
		ack.Properties.ReasonString = []byte(s.reason)
		ack.Properties.Has = ack.Properties.Has.With(mqtt.PropReasonString)
	}
	if l.subackLater(w, &ack, func(*worker) { l.proceed(stopAnswer) }) {
		return
	}
	l.sendPacket(w, &ack)
	l.proceed(stopAnswer)
	l.pump(w)
}

// subscribeRefusal is what the client is told. Where PUBLISH has a code of its own, SUBACK has only that the filter is not allowed.
func subscribeRefusal(err error) (mqtt.ReasonCode, string) {
	if code, reason := consequence(err); code != mqtt.UnspecifiedError {
		return code, reason
	}
	switch err {
	case queue.ErrFilter:
		return mqtt.TopicFilterInvalid, "the group has another filter"
	case queue.ErrTooManyGroups:
		return mqtt.QuotaExceeded, "the queue has too many groups"
	}
	r := refusedWith(err)
	code := r.answer.Code
	if code == mqtt.TopicNameInvalid {
		code = mqtt.TopicFilterInvalid
	}
	return code, reasonOf(r.answer)
}

// join makes the subscription of a job whose group is there.
func (l *link) join(w *worker, j *subscribeJob) (mqtt.ReasonCode, error) {
	c := l.client
	cs := &consumer{client: c, sub: j.sub, prefix: j.f.prefix, stream: j.f.stream}
	c.mu.Lock()
	var replaced *consumer
	at := -1
	if c.consuming != nil {
		at = slices.IndexFunc(c.consuming.list, func(o *consumer) bool { return o.sub.Filter == j.sub.Filter })
	}
	same := false
	if at >= 0 {
		replaced = c.consuming.list[at]
		same = replaced.depot.Queue == j.q && replaced.depot.Group == j.group.Name && !replaced.depot.Queue.Gone()
	}
	if same {
		cs = replaced
	} else {
		cs.depot = &depot.Consumer{Queue: j.q, Group: j.group.Name, Window: c.sess.Window(), Owner: cs}
	}
	j.sub.More = &session.More{Source: cs}
	code, old, err := c.sess.Subscribe(j.sub)
	if err != nil || code.IsError() {
		c.mu.Unlock()
		return code, err
	}
	if old != nil {
		cs.sub = old
	}
	if c.consuming == nil {
		c.consuming = new(consuming)
	}
	switch {
	case same:
	case at >= 0:
		c.consuming.list[at] = cs
	default:
		c.consuming.list = append(c.consuming.list, cs)
	}
	if c.durable != nil {
		c.durable.subscribing(w, j.sub, false, j.place, j.group.Name)
	}
	c.mu.Unlock()
	w.count(Subscribes, 1)
	if same {
		return code, nil
	}
	if replaced != nil {
		replaced.depot.Detach(false)
	}
	cs.depot.Attach()
	return code, nil
}

// leaveQueue takes a consumer out whose subscription ended; nil when the subscription is an ordinary one. The caller holds c.mu and
// has the departure carried out after it.
func (c *client) leaveQueue(s *subscription) *departure {
	if s.More == nil {
		return nil
	}
	cs, ok := s.More.Source.(*consumer)
	if !ok || c.consuming == nil {
		return nil
	}
	c.consuming.list = slices.DeleteFunc(c.consuming.list, func(o *consumer) bool { return o == cs })
	c.consuming.blocked = slices.DeleteFunc(c.consuming.blocked, func(b blockedAt) bool { return b.cs == cs })
	if len(c.consuming.list) == 0 {
		c.consuming = nil
	}
	return &departure{cs: cs}
}
