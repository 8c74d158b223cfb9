package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/internal/bench"
)

// workload is a scenario and the figures that are taken from it.
type workload struct {
	name     string
	scenario bench.Scenario
	figures  []figure
	stores   bool   // needs what the floor does not have
	over     string // tls, ws: of Millrace alone; empty: TCP
}

// figure is one number of a result.
type figure struct {
	name   string
	unit   string
	ratio  bool    // shown as a multiple of the floor
	target float64 // of TARGETS.md; 0: none
	of     func(*bench.Result) float64
}

func stage(r *bench.Result, name string) *bench.StageResult {
	for i := range r.Stages {
		if r.Stages[i].Name == name {
			return &r.Stages[i]
		}
	}
	return &bench.StageResult{}
}

// cost is CPU seconds of the broker per million units of a stage.
func cost(name, of string, ratio bool, target float64) figure {
	return figure{name, "CPU-s/M", ratio, target, func(r *bench.Result) float64 { return stage(r, of).BrokerPerM }}
}

func flow(name, about string, target float64, s bench.Scenario) workload {
	s.Name, s.About, s.Kind, s.WarmUp = name, about, bench.KindFlow, time.Second
	p99 := figure{name + " p99", "ms p99", false, 0, func(r *bench.Result) float64 { return float64(stage(r, "flow").Latency.P99) / 1e6 }}
	figures := []figure{cost(name, "flow", true, target), p99}
	if s.Rate == 0 {
		figures = append(figures, figure{name + " rate", "/s", false, 0, func(r *bench.Result) float64 { return stage(r, "flow").Rate() }})
	}
	return workload{name: name, scenario: s, figures: figures}
}

func fanout(name, about string, target float64, payload, window int, rate float64) workload {
	return flow(name, about, target, bench.Scenario{Publishers: 1, Subscribers: 1000, Payload: payload, Window: window, Rate: rate})
}

func pairs(name, about string, target float64, payload int, qos byte, rate float64) workload {
	s := bench.Scenario{Publishers: 50, Subscribers: 50, Payload: payload, QoS: qos, Rate: rate}
	if rate == 0 {
		s.Window = 16
	}
	return flow(name, about, target, s)
}

// workloads are the rows of TARGETS.md, section "one node, pub/sub".
func workloads() []workload {
	return []workload{
		fanout("fanout-64", "1 to 1000, 64 B, 16 in flight", 1.5, 64, 16, 0),
		fanout("fanout-1k", "1 to 1000, 1 KiB, 16 in flight", 1.5, 1024, 16, 0),
		fanout("fanout-single", "1 to 1000, 64 B, 1 in flight", 1.15, 64, 1, 0),
		fanout("fanout-20", "1 to 1000, 64 B, 20 per second", 1.15, 64, 0, 20),
		pairs("pairs-64", "50 pairs, QoS 0, 64 B", 1.8, 64, 0, 0),
		pairs("pairs-1k", "50 pairs, QoS 0, 1 KiB", 1.8, 1024, 0, 0),
		pairs("pairs-qos1", "50 pairs, QoS 1, 64 B", 1.8, 64, 1, 0),
		pairs("pairs-qos2", "50 pairs, QoS 2, 64 B", 2.0, 64, 2, 0),
		pairs("pairs-5000", "50 pairs, QoS 0, 5,000 per second in all", 1.1, 64, 0, 100),
		flow("shared", "50 publishers to one shared group of 4", 2.0,
			bench.Scenario{Publishers: 50, Topics: 1, Subscribers: 4, Members: 4, Window: 16}),
		connects(), idle("idle", "19,000 idle clients", false, 500), idle("idle-sub", "19,000 idle clients with a subscription each", true, 750),
		idleOver("tls", 10_000, 8500), idleOver("ws", idleClients, 600),
		retained(), offline(),
	}
}

func connects() workload {
	return workload{
		name: "connect",
		scenario: bench.Scenario{
			Name: "connect", About: "connect, subscribe, disconnect", Kind: bench.KindConnect, Clients: 64, WarmUp: time.Second,
		},
		figures: []figure{cost("connect", "connect", true, 1.1), {"connect rate", "/s", false, 0, func(r *bench.Result) float64 {
			return stage(r, "connect").Rate()
		}}},
	}
}

const idleClients = 19_000

func idle(name, about string, subscribed bool, target float64) workload {
	return workload{
		name: name,
		scenario: bench.Scenario{
			Name: name, About: about, Kind: bench.KindIdle, Clients: idleClients, Subscribed: subscribed, KeepAlive: 600,
			Duration: 3 * time.Second,
		},
		figures: []figure{
			{name + " memory", "B each", false, target, func(r *bench.Result) float64 {
				return float64(stage(r, "idle").RSSAfter-stage(r, "connect").RSSBefore) / float64(max(1, stage(r, "connect").Units))
			}},
			{name + " connects", "/s", false, 0, func(r *bench.Result) float64 { return stage(r, "connect").Rate() }},
		},
	}
}

// idleOver is about transports that not every peer has.
func idleOver(transport string, clients int, target float64) workload {
	w := idle("idle-"+transport, fmt.Sprintf("%d idle clients over %s", clients, transport), false, target)
	w.scenario.Clients, w.over = clients, transport
	return w
}

const storedMessages = 100_000

func retained() workload {
	return workload{
		name: "retained", stores: true,
		scenario: bench.Scenario{
			Name: "retained", About: "100,000 retained messages: store, replay", Kind: bench.KindRetained, Publishers: 4, Subscribers: 1,
			Messages: storedMessages / 4, QoS: 1, Window: 256,
		},
		figures: []figure{
			cost("retained store", "store", false, 3), cost("retained replay", "replay", false, 1.5),
			{"retained memory", "B each", false, 400, func(r *bench.Result) float64 {
				s := stage(r, "store")
				return float64(s.RSSAfter-s.RSSBefore) / storedMessages
			}},
		},
	}
}

func offline() workload {
	return workload{
		name: "offline", stores: true,
		scenario: bench.Scenario{
			Name: "offline", About: "100,000 messages of QoS 1 for 100 absent sessions: store, drain", Kind: bench.KindOffline,
			Publishers: 100, Subscribers: 100, Messages: storedMessages / 100, QoS: 1, Window: 16,
		},
		figures: []figure{cost("offline store", "store", false, 5), cost("offline drain", "drain", false, 2)},
	}
}

// choose returns the workloads that the options ask for.
func choose(o options) []workload {
	var all []workload
	for _, w := range workloads() {
		ok := o.only == ""
		for _, part := range strings.Split(o.only, ",") {
			ok = ok || part != "" && strings.Contains(w.name, part)
		}
		if !ok {
			continue
		}
		if s := &w.scenario; s.Messages == 0 && s.Kind != bench.KindIdle {
			s.Duration = time.Duration(o.seconds * float64(time.Second))
		}
		all = append(all, w)
	}
	return all
}
