package bench

import (
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/mqtt"
)

// sessionExpiry of sessions that must outlive their connection: long enough for any run, and short enough not to stay for good.
const sessionExpiry = 3600

// planner turns a scenario into the plan of one worker.
type planner struct {
	s       Scenario
	workers int
	worker  int
	plan    Plan
}

// part is this worker's share of n things, which come in units of size that stay together.
func (p *planner) part(n, size int) (first, count int) {
	units := n / max(1, size)
	from, to := units*p.worker/p.workers, units*(p.worker+1)/p.workers
	if units == 1 { // the only one is where the first publisher is
		from, to = 0, 0
		if p.worker == 0 {
			to = 1
		}
	}
	return from * size, (to - from) * size
}

func (p *planner) group(g Group, n, size int) int {
	g.First, g.Count = p.part(n, size)
	g.QoS = p.s.QoS
	p.plan.Groups = append(p.plan.Groups, g)
	return len(p.plan.Groups) - 1
}

func (p *planner) base() string {
	if p.s.Kind == KindQueue {
		return "$queue/" + p.queue()
	}
	return "bench/" + p.plan.Run
}

func (p *planner) queue() string {
	if p.s.Queue != "" {
		return p.s.Queue
	}
	return "bench-" + p.plan.Run
}

func (p *planner) publishers() int {
	return p.group(Group{
		Name: "pub", Clean: true, Publisher: true, Base: p.base(), Payload: p.s.payload(),
		Retain: p.s.Kind == KindRetained, PerMessage: p.s.Kind == KindRetained,
	}, p.s.Publishers, 1)
}

func (p *planner) subscribers() int {
	g := Group{Name: "sub", Clean: true, Base: p.base(), Subscribe: p.s.Subscribe, Members: p.s.Members, Share: "bench" + p.plan.Run + "-"}
	if g.Subscribe == "" {
		g.Subscribe = "own"
	}
	switch p.s.Kind {
	case KindOffline:
		g.Clean, g.Expiry = false, sessionExpiry
	case KindRetained:
		g.Subscribe, g.Unordered = "all", true
	case KindQueue:
		g.Subscribe, g.Filter = "all", p.base()
		g.Members = max(1, g.Members)
	}
	return p.group(g, p.s.Subscribers, max(1, p.s.Members))
}

// population is a group that is only there.
func (p *planner) population(name string, n int) int {
	g := Group{Name: name, Clean: true, Ignore: true, Base: p.base() + "/" + name}
	if p.s.Subscribed || p.s.Kind == KindConnect {
		g.Subscribe = "self"
	}
	return p.group(g, n, 1)
}

func (p *planner) stage(s Stage) {
	s.Drain = p.s.Drain
	if s.Drain == 0 {
		s.Drain = 3 * time.Second
	}
	p.plan.Stages = append(p.plan.Stages, s)
}

// share of a rate that is this worker's.
func (p *planner) share(rate float64, groups ...int) float64 {
	n, all := 0, 0
	for _, i := range groups {
		g := &p.plan.Groups[i]
		n += g.Count
		all += map[string]int{"pub": p.s.Publishers, "sub": p.s.Subscribers}[g.Name]
		if g.Ignore {
			all += p.s.Clients
		}
	}
	if all == 0 {
		return 0
	}
	return rate * float64(n) / float64(all)
}

func (p *planner) open(name string, measured bool, groups ...int) {
	p.stage(Stage{Name: name, Op: opOpen, Groups: groups, Rate: p.share(p.s.ConnectRate, groups...), Measured: measured, Unit: "connections"})
}

// flow is the stage that most scenarios are about.
func (p *planner) flow(name string, pubs int, deliver bool) Stage {
	s := Stage{Name: name, Op: opFlow, Groups: []int{pubs}, Measured: true, Unit: "deliveries", Deliver: deliver, Window: uint32(p.s.Window)}
	if !deliver {
		s.Unit = "acks"
	}
	if p.s.Rate > 0 {
		s.Interval = time.Duration(1e9 / p.s.Rate)
	}
	if p.s.Messages > 0 {
		s.Messages = uint32(p.s.Messages)
	} else {
		s.WarmUp, s.Duration = p.s.WarmUp, p.s.Duration
	}
	return s
}

// build makes the plan of one worker.
func build(s Scenario, target Target, run string, worker, workers int) (Plan, error) {
	p := &planner{s: s, worker: worker, workers: workers}
	target.Version = mqtt.V311
	if s.Version == "5" {
		target.Version = mqtt.V5
	}
	target.KeepAlive = 60
	if s.KeepAlive > 0 {
		target.KeepAlive = uint16(s.KeepAlive)
	}
	p.plan = Plan{Run: run, Worker: worker, Target: target, Publishers: s.Publishers, Topics: s.topics()}
	switch s.Kind {
	case KindFlow:
		p.buildFlow()
	case KindIdle:
		p.buildIdle()
	case KindConnect:
		g := p.population("conn", s.Clients)
		p.stage(Stage{Name: "connect", Op: opCycle, Groups: []int{g}, Rate: p.share(s.ConnectRate, g), WarmUp: s.WarmUp, Duration: s.Duration,
			Messages: uint32(float64(s.Messages) * p.share(1, g)), Measured: true, Unit: "connections"})
	case KindRetained:
		p.buildRetained()
	case KindOffline:
		p.buildOffline()
	case KindChurn, KindStorm:
		p.buildCrowd()
	case KindQueue:
		p.buildQueue()
	default:
		return Plan{}, fmt.Errorf("kind is %q", s.Kind)
	}
	return p.plan, nil
}

func (p *planner) buildFlow() {
	all := []int{p.publishers()}
	if p.s.Subscribers > 0 {
		subs := p.subscribers()
		p.open("subscribe", false, subs)
		all = append(all, subs)
	}
	p.open("connect", false, all[0])
	p.stage(p.flow("flow", all[0], p.s.Subscribers > 0))
	p.stage(Stage{Name: "close", Op: opClose, Groups: all})
}

func (p *planner) buildIdle() {
	g := p.population("idle", p.s.Clients)
	p.open("connect", true, g)
	p.stage(Stage{Name: "idle", Op: opHold, Groups: []int{g}, Duration: max(p.s.Duration, time.Second), Measured: true, Unit: "pings"})
	p.stage(Stage{Name: "close", Op: opClose, Groups: []int{g}})
}

func (p *planner) buildRetained() {
	pubs, subs := p.publishers(), p.subscribers()
	p.open("connect", false, pubs)
	p.stage(p.flow("store", pubs, false))
	p.stage(Stage{Name: "replay", Op: opOpen, Groups: []int{subs}, Deliver: true, Measured: true, Unit: "deliveries"})
	p.stage(Stage{Name: "leave", Op: opClose, Groups: []int{subs}})
	clearing := p.flow("remove", pubs, false)
	clearing.Clear, clearing.Measured = true, false
	p.stage(clearing)
	p.stage(Stage{Name: "close", Op: opClose, Groups: []int{pubs}})
}

func (p *planner) buildOffline() {
	pubs, subs := p.publishers(), p.subscribers()
	p.open("subscribe", false, subs)
	p.stage(Stage{Name: "leave", Op: opClose, Groups: []int{subs}})
	p.open("connect", false, pubs)
	p.stage(p.flow("store", pubs, false))
	p.stage(Stage{Name: "drain", Op: opOpen, Groups: []int{subs}, Deliver: true, Measured: true, Unit: "deliveries"})
	p.stage(Stage{Name: "close", Op: opClose, Groups: []int{pubs, subs}})
	p.stage(Stage{Name: "forget", Op: opOpen, Groups: []int{subs}, Purge: true})
	p.stage(Stage{Name: "close", Op: opClose, Groups: []int{subs}})
}

// buildCrowd is a flow beside which a population comes and goes.
func (p *planner) buildCrowd() {
	pubs, subs := p.publishers(), p.subscribers()
	crowd := p.population("crowd", p.s.Clients)
	p.open("subscribe", false, subs)
	p.open("connect", false, pubs)
	f := p.flow("churn", pubs, true)
	f.Beside, f.Rate = []int{crowd}, p.share(p.s.ChurnRate, crowd)
	if p.s.Kind == KindStorm {
		p.open("crowd", true, crowd)
		p.stage(Stage{Name: "loss", Op: opClose, Groups: []int{crowd}, Abrupt: true})
		f.Name, f.Stay, f.Rate = "storm", true, 0
	}
	p.stage(f)
	p.stage(Stage{Name: "close", Op: opClose, Groups: []int{crowd, pubs, subs}})
}

func (p *planner) buildQueue() {
	pubs := p.publishers()
	all := []int{pubs}
	p.open("connect", false, pubs)
	if p.s.Messages > 0 {
		p.stage(p.flow("enqueue", pubs, false))
	}
	if p.s.Subscribers > 0 {
		subs := p.subscribers()
		all = append(all, subs)
		if p.s.Messages > 0 {
			p.stage(Stage{Name: "dequeue", Op: opOpen, Groups: []int{subs}, Deliver: true, Measured: true, Unit: "deliveries"})
		} else {
			p.open("subscribe", false, subs)
		}
	}
	if p.s.Duration > 0 {
		p.s.Messages = 0
		p.stage(p.flow("both", pubs, p.s.Subscribers > 0))
	}
	p.stage(Stage{Name: "close", Op: opClose, Groups: all})
}
