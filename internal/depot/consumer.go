package depot

import "github.com/millrace-mq/millrace/internal/queue"

// Consumer is somebody who takes messages from all partitions of a queue, as a member of a group. Its fields are constant.
type Consumer struct {
	Queue *Queue
	Group string
	// Window bounds the messages that it has at a time from each partition.
	Window int
	// Owner is the one who made it.
	Owner any
	// seats are the numbers of its places, by partition. Owned by whoever calls Attach and Detach, one at a time.
	seats []int
}

// Attach begins to deliver to c. Its group should be there (Depot.Group); where it is not, nothing is delivered. Pump runs soon.
func (c *Consumer) Attach() {
	parts := c.Queue.Partitions
	c.seats = make([]int, len(parts))
	for i, p := range parts {
		c.seats[i] = p.attach(c)
	}
}

// Detach takes c out; what it has is released at once. keep says that it may still settle what it has: then the places stay
// where it has something, without room for more, until Detach is called without keep.
func (c *Consumer) Detach(keep bool) {
	for i, p := range c.Queue.Partitions {
		if c.seats != nil && c.seats[i] >= 0 && p.detach(c.seats[i], keep) {
			c.seats[i] = -1
		}
	}
}

// Room says that c, or its connection, may have room again after queue.NoRoom in partition p. Pump follows.
func (c *Consumer) Room(p *Partition) {
	if c.seats == nil || c.seats[p.Number] < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.mu.seats[c.seats[p.Number]]
	if s.consumer == c && s.member != nil && p.mu.dispatcher != nil {
		p.mu.dispatcher.Room(s.member)
	}
}

func (p *Partition) attach(c *Consumer) int {
	p.mu.Lock()
	i := len(p.mu.seats)
	if n := len(p.mu.free); n > 0 {
		i = p.mu.free[n-1]
		p.mu.free = p.mu.free[:n-1]
		p.mu.seats[i] = seat{consumer: c}
	} else {
		p.mu.seats = append(p.mu.seats, seat{consumer: c})
	}
	p.mu.taken++
	p.sit(i)
	p.mu.Unlock()
	p.Wake()
	return i
}

// detach gives true when the seat is free.
func (p *Partition) detach(i int, keep bool) bool {
	p.mu.Lock()
	s := &p.mu.seats[i]
	if m := s.member; m != nil && p.mu.dispatcher != nil {
		if keep && m.Leased() > 0 {
			p.mu.dispatcher.Resize(m, 0)
			p.mu.Unlock()
			return false
		}
		p.mu.dispatcher.Leave(m)
	}
	*s = seat{}
	p.mu.free = append(p.mu.free, i)
	if p.mu.taken--; p.mu.taken == 0 {
		p.mu.recent.clear(p.depot.memory)
	}
	p.mu.Unlock()
	p.Wake()
	return true
}

// Pack makes one number of a delivery's token and the partition, for session.Lease; Unpack takes it apart.
func Pack(p *Partition, t queue.Token) uint64 { return uint64(p.Number)<<48 | uint64(t) }

// Unpack gives what Pack was given: the number of the partition within its queue, and the token.
func Unpack(n uint64) (partition int, t queue.Token) {
	return int(n >> 48), queue.Token(n & (1<<48 - 1))
}
