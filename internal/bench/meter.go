package bench

import "time"

// sampleEvery is the distance of two points in the plots.
const sampleEvery = time.Second

// meter cuts a stage into intervals and reports each. The beginning and the end of what is measured are borders of intervals, so that
// sums over whole intervals are exact.
type meter struct {
	e      *engine
	stage  int
	from   int64
	next   int64
	report func(sample)
	before counters
	cpu    time.Duration
}

func newMeter(e *engine, stage int, start int64, report func(sample)) *meter {
	m := &meter{e: e, stage: stage, from: start, report: report, before: e.reported, cpu: cpuOfSelf()}
	m.next = m.border(start)
	return m
}

// border is the end of the interval that begins at now.
func (m *meter) border(now int64) int64 {
	next := now + int64(sampleEvery)
	for _, edge := range []int64{m.e.from, m.e.to} {
		if now < edge {
			next = min(next, edge)
		}
	}
	return next
}

func (m *meter) tick(now int64, end bool) {
	if now < m.next && !end || now <= m.from && end {
		return
	}
	s := sample{
		Stage: m.stage, From: m.from, To: now, Counters: m.e.counters.minus(m.before), Latencies: m.e.timed,
		Connected: m.e.up,
	}
	cpu := cpuOfSelf()
	s.CPU, m.cpu = cpu-m.cpu, cpu
	if m.e.driver != nil {
		s.Progress = m.e.driver.progress(now)
	}
	if len(m.e.errors) > 0 {
		s.Errors = m.e.errors
	}
	if len(m.e.plan.PIDs) > 0 {
		s.Broker = processUse(m.e.plan.PIDs)
	}
	m.report(s)
	clear(m.e.errors)
	m.e.timed.reset()
	m.before, m.from = m.e.counters, now
	m.next = m.border(now)
}
