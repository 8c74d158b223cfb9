package broker

// State is what the broker holds at a moment.
type State struct {
	Connections      uint64 // whether they have sent CONNECT or not
	Clients          uint64 // connected
	Sessions         uint64 // of connected clients and of those that are away
	Subscriptions    uint64
	RetainedMessages uint64
	RetainedBytes    uint64
}

// State counts what there is. Each number is right by itself; together they may be of slightly different moments.
func (b *Broker) State() State {
	return State{
		Connections:      uint64(max(0, b.links.Load())),
		Clients:          uint64(max(0, b.connected.Load())),
		Sessions:         uint64(b.clients.count()),
		Subscriptions:    uint64(b.router.Counts().Subscriptions),
		RetainedMessages: uint64(max(0, b.retained.Len())),
		RetainedBytes:    uint64(max(0, b.retained.Bytes())),
	}
}
