package topology

// Two sources name domains differently, and what counts is which nodes are
// together. So nodes vote: where most nodes of one source's domain are by the
// other source, and the other way round. A node disagrees where its own pair of
// domains is not the winner of both polls.
//
// Votes are counted as they come and go. A node's change costs the polls that it
// takes part in, and more only where a winner changes.

// ballot is what a node says to the comparison of two sources at one level.
type ballot struct {
	matter matter
	// a is the domain of the stronger source.
	a, b identity
}

// matter is one comparison.
type matter struct {
	level Level
	a, b  rank
}

// isSoft says that a node disagrees only where both polls have a winner, and
// both are somewhere else. It holds for sources of which one may be finer than
// the other without a contradiction: cliques are parts of a rack, and machines
// of one network need not share a subnet.
func (m matter) isSoft() bool {
	return m.level == NVLinkDomain && m.a >= 0 || m.level != NVLinkDomain && m.b == railRank
}

// pairing counts one comparison.
type pairing struct {
	matter matter
	as, bs map[identity]*poll
}

// cell holds the nodes that name the same two domains.
type cell struct {
	pairing *pairing
	a, b    identity
	nodes   map[*node]struct{}
	// disputed is what the nodes were told.
	disputed bool
}

// poll counts the votes that one domain gets.
type poll struct {
	cells map[identity]*cell
	// bySize has the cells by number of nodes, most is the largest number.
	bySize map[int]map[*cell]struct{}
	most   int
}

func newPoll() *poll { return &poll{cells: map[identity]*cell{}, bySize: map[int]map[*cell]struct{}{}} }

// winner is the cell with the most votes, nil if another one has as many.
func (p *poll) winner() *cell {
	if p == nil || len(p.bySize[p.most]) != 1 {
		return nil
	}
	for c := range p.bySize[p.most] {
		return c
	}
	return nil
}

// resize moves a cell whose number of nodes has changed by one.
func (p *poll) resize(c *cell, other identity, from, to int) {
	if from > 0 {
		if delete(p.bySize[from], c); len(p.bySize[from]) == 0 {
			delete(p.bySize, from)
		}
	}
	if to == 0 {
		delete(p.cells, other)
	} else {
		p.cells[other] = c
		if p.bySize[to] == nil {
			p.bySize[to] = map[*cell]struct{}{}
		}
		p.bySize[to][c] = struct{}{}
	}
	if p.most = max(p.most, to); len(p.bySize[p.most]) == 0 {
		p.most = to
	}
}

// votes is every comparison, and what is left to judge.
type votes struct {
	pairings map[matter]*pairing
	// values count the nodes that have a value, by level and source.
	values  map[valueKey]int
	pending map[*cell]struct{}
}

type valueKey struct {
	level Level
	rank  rank
	value string
}

func newVotes() *votes {
	return &votes{pairings: map[matter]*pairing{}, values: map[valueKey]int{}, pending: map[*cell]struct{}{}}
}

// cast adds a node's ballot, or takes it back.
func (v *votes) cast(n *node, b ballot, add bool) {
	p := v.pairings[b.matter]
	if p == nil {
		p = &pairing{matter: b.matter, as: map[identity]*poll{}, bs: map[identity]*poll{}}
		v.pairings[b.matter] = p
	}
	forA, forB := p.as[b.a], p.bs[b.b]
	if forA == nil {
		forA = newPoll()
		p.as[b.a] = forA
	}
	if forB == nil {
		forB = newPoll()
		p.bs[b.b] = forB
	}
	c := forA.cells[b.b]
	if c == nil {
		c = &cell{pairing: p, a: b.a, b: b.b, nodes: map[*node]struct{}{}}
	}
	wonA, wonB := forA.winner(), forB.winner()
	from := len(c.nodes)
	if add {
		c.nodes[n] = struct{}{}
	} else {
		delete(c.nodes, n)
	}
	forA.resize(c, b.b, from, len(c.nodes))
	forB.resize(c, b.a, from, len(c.nodes))
	v.pending[c] = struct{}{}
	v.recount(p, forA, wonA)
	v.recount(p, forB, wonB)
	if len(forA.cells) == 0 {
		delete(p.as, b.a)
	}
	if len(forB.cells) == 0 {
		delete(p.bs, b.b)
	}
}

// recount puts the cells on the list that a change of winner concerns.
func (v *votes) recount(p *pairing, of *poll, won *cell) {
	now := of.winner()
	switch {
	case now == won:
	case p.matter.isSoft():
		for _, c := range of.cells {
			v.pending[c] = struct{}{}
		}
	default:
		for _, c := range []*cell{won, now} {
			if c != nil {
				v.pending[c] = struct{}{}
			}
		}
	}
}

// count notes that one node more, or less, has a value. A declared domain of
// that name cannot mean other nodes, so that its members are judged anew when
// the value comes or goes.
func (v *votes) count(c claim, add bool) {
	key := valueKey{c.id.level, c.rank, c.id.value()}
	before := v.values[key]
	if add {
		v.values[key]++
	} else if v.values[key]--; v.values[key] == 0 {
		delete(v.values, key)
	}
	if (before > 0) == (v.values[key] > 0) {
		return
	}
	if p := v.pairings[matter{c.id.level, declaredRank, c.rank}]; p != nil {
		if of := p.as[declaredID(c.id.level, c.id.value())]; of != nil {
			for _, c := range of.cells {
				v.pending[c] = struct{}{}
			}
		}
	}
}

func declaredID(level Level, name string) identity { return alone(level, "", name) }

// isDisputed judges the nodes of a cell.
func (v *votes) isDisputed(c *cell) bool {
	p := c.pairing
	wonA, wonB := p.as[c.a].winner(), p.bs[c.b].winner()
	if p.matter.isSoft() {
		return wonA != nil && wonB != nil && wonA != c && wonB != c
	}
	if wonA != c || wonB != c {
		return true
	}
	name := c.a.value()
	return p.matter.a == declaredRank && name != c.b.value() && v.values[valueKey{p.matter.level, p.matter.b, name}] > 0
}

// settle judges what is pending, and tells the nodes for which the verdict has
// changed.
func (v *votes) settle(tell func(*node)) {
	for c := range v.pending {
		if len(c.nodes) == 0 {
			continue
		}
		if disputed := v.isDisputed(c); disputed != c.disputed {
			c.disputed = disputed
			for n := range c.nodes {
				tell(n)
			}
		}
	}
	v.pending = map[*cell]struct{}{}
}

// ballotsOf compares all sources of a node with each other. homes are the
// declared domains of the node, by level.
func ballotsOf(claims []claim, homes *[Node]*domain) []ballot {
	var out []ballot
	for i, c := range claims {
		level := c.id.level
		if home := homes[level]; home != nil {
			out = append(out, ballot{matter{level, declaredRank, c.rank}, declaredID(level, home.name), c.id})
		}
		for _, weaker := range claims[i+1:] {
			if weaker.id.level == level {
				out = append(out, ballot{matter{level, c.rank, weaker.rank}, c.id, weaker.id})
			}
		}
	}
	return out
}

// disputes are the problems of a node whose sources disagree.
func (v *votes) disputes(n *node) []Problem {
	var out []Problem
	for _, b := range n.ballots {
		p := v.pairings[b.matter]
		if p == nil || p.as[b.a] == nil || p.as[b.a].cells[b.b] == nil || !p.as[b.a].cells[b.b].disputed {
			continue
		}
		stronger := "declared " + b.matter.level.String() + " " + quote(b.a.value())
		if b.matter.a != declaredRank {
			stronger = n.said(b.matter.level, b.matter.a)
		}
		out = append(out, nodeProblem(Disagreement, n.name, stronger, n.said(b.matter.level, b.matter.b)))
	}
	return out
}
