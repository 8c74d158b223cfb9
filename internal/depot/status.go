package depot

import "github.com/millrace-mq/millrace/internal/queue"

// PartitionStatus describes a partition at a moment.
type PartitionStatus struct {
	Partition  int
	Leads      bool
	Start, End uint64 // offsets of the oldest message that is kept and of the next to come
	Depth      uint64 // what max_depth bounds
	Bytes      uint64
	Dropped    uint64
	Groups     []GroupStatus
}

// GroupStatus describes a group in a partition.
type GroupStatus struct {
	queue.GroupInfo
	queue.GroupStatus // zero where the partition does not lead
}

// Status describes every partition of the queue.
func (q *Queue) Status() []PartitionStatus {
	list := make([]PartitionStatus, len(q.Partitions))
	for i, p := range q.Partitions {
		list[i] = p.Status()
	}
	return list
}

// Status describes the partition.
func (p *Partition) Status() PartitionStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mu.machine
	s := PartitionStatus{
		Partition: p.Number, Leads: p.mu.dispatcher != nil, Depth: m.Depth(), Bytes: m.Bytes(), Dropped: m.Dropped(),
	}
	s.Start, s.End = m.Offsets()
	for _, info := range m.Groups(nil) {
		g := GroupStatus{GroupInfo: info}
		if p.mu.dispatcher != nil {
			g.GroupStatus, _ = p.mu.dispatcher.Status(info.Name)
		}
		s.Groups = append(s.Groups, g)
	}
	return s
}
