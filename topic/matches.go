package topic

// Matches is what [Router.Match] found: the subscribers of every ordinary filter that matches, and every shared group.
//
// A client may be in several sets; who merges overlapping subscriptions is the caller. A Matches is reused from match to match and
// then needs no allocation. It is for one goroutine at a time. The zero value is ready.
type Matches[S any] struct {
	Sets   []*Set[S]
	Groups []*Group[S]

	stack []step[S] // of the walk down the trie
}

// step is a place in the walk that is still to be visited: a node, and where in the name its children's level begins.
type step[S any] struct {
	node *entry[S]
	at   int
}

// Reset forgets what was found, so that sets and groups that are gone can be collected. Match begins with it.
func (m *Matches[S]) Reset() {
	clear(m.Sets)
	clear(m.Groups)
	m.Sets, m.Groups = m.Sets[:0], m.Groups[:0]
}

// add takes over what hangs on an entry.
func (m *Matches[S]) add(e *entry[S]) {
	if !e.set.empty() {
		m.Sets = append(m.Sets, &e.set)
	}
	if b := e.branch.Load(); b != nil {
		if g := b.groups.Load(); g != nil {
			for group := range g.set.Each {
				m.Groups = append(m.Groups, group)
			}
		}
	}
}
