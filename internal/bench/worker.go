package bench

import (
	"encoding/json"
	"errors"
	"io"
	"runtime"
)

// order is what the coordinator sends to a worker, one JSON value each.
type order struct {
	Plan  *Plan    `json:"plan,omitempty"`  // the first one
	Stage *int     `json:"stage,omitempty"` // begin it at Start
	Start int64    `json:"start,omitempty"`
	Stop  bool     `json:"stop,omitempty"`  // end the stage early
	Sent  []uint32 `json:"sent,omitzero"`   // what all publishers sent so far
	Check bool     `json:"check,omitempty"` // say what the subscribers found
}

// notice is what a worker sends to the coordinator.
type notice struct {
	Worker int      `json:"worker"`
	Ready  bool     `json:"ready,omitempty"`
	Sample *sample  `json:"sample,omitempty"`
	Sent   []uint32 `json:"sent,omitzero"`
	Done   *int     `json:"done,omitempty"` // the stage that ended
	Check  *Check   `json:"check,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Work is a worker: it obeys the orders on r until they end, and reports to w. It is what the hidden command `bench worker` runs, and
// what a run with a single worker does within the process.
func Work(r io.Reader, w io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	orders := make(chan order, 16)
	go func() { // ends when r does
		defer close(orders)
		for d := json.NewDecoder(r); ; {
			var o order
			if d.Decode(&o) != nil {
				return
			}
			orders <- o
		}
	}()
	first, ok := <-orders
	if !ok || first.Plan == nil {
		return errors.New("no plan")
	}
	k := &worker{orders: orders, out: json.NewEncoder(w), number: first.Plan.Worker}
	e, err := newEngine(*first.Plan)
	if err != nil {
		k.tell(notice{Error: err.Error()})
		return err
	}
	defer e.close()
	k.engine = e
	e.announce = func(sent []uint32) { k.tell(notice{Sent: sent}) }
	k.tell(notice{Ready: true})
	for {
		o, ok := <-orders
		if !ok || k.err != nil {
			return k.err
		}
		k.obey(o)
	}
}

type worker struct {
	orders <-chan order
	out    *json.Encoder
	engine *engine
	number int
	stop   bool
	err    error // the coordinator is gone
}

func (k *worker) tell(n notice) {
	n.Worker = k.number
	if err := k.out.Encode(n); err != nil {
		k.err = err
	}
}

func (k *worker) obey(o order) {
	switch {
	case o.Stage != nil:
		k.stop = false
		k.engine.run(*o.Stage, o.Start, k.interrupted, func(s sample) { k.tell(notice{Sample: &s}) })
		k.tell(notice{Done: o.Stage, Sent: k.engine.sentHere()})
	case o.Check:
		k.engine.sent = o.Sent
		c := k.engine.check()
		k.tell(notice{Check: &c})
	case o.Sent != nil:
		k.engine.sent = o.Sent
	}
}

// interrupted reads orders that come in the middle of a stage.
func (k *worker) interrupted() bool {
	for {
		select {
		case o, ok := <-k.orders:
			switch {
			case !ok:
				k.stop = true
				k.err = io.EOF
				k.engine.sent = k.engine.sentHere() // nobody will tell
				return true
			case o.Stop:
				k.stop = true
			case o.Sent != nil:
				k.engine.sent = o.Sent
			}
		default:
			return k.stop || k.err != nil
		}
	}
}

// check is what the subscribers of this worker found.
func (e *engine) check() Check {
	var all Check
	for i := range e.groups {
		if k := e.groups[i].checker; k != nil {
			all.add(k.settle(e.sent))
		}
	}
	return all
}
