package oracle

import (
	"math"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxParts is the largest number of parts of a gang: a state of the search is
// four bits for each of them.
const (
	maxParts = 13
	maxCount = 15
)

// part is the slots of one role in one copy of its group.
type part struct {
	role  int
	shift int
	// ask is what one slot takes, in the bytes of a room.
	ask uint32
	// may has one bit for each node that the slots may use.
	may uint8
	// after lists the copies that come into use before this part does: of equal
	// copies, the first is the first to be used.
	after []int
}

// copyOf is one copy of a group. It is inside one domain of its level.
type copyOf struct {
	level topology.Level
	// mask covers its parts in a state; all is what mask holds at the start.
	mask, all uint64
	// whole is set for one that is placed whole or not at all.
	whole bool
}

// goal is what a search looks for.
type goal int

const (
	// fits: the whole gang, 0 if there is a way.
	fits goal = iota
	// fewest: the whole gang on the fewest domains, as the negative of their
	// numbers: five of four bits, the widest domains in the highest bits.
	fewest
	// most: as many slots as fit, and of groups narrower than the gang whole copies.
	most
)

// impossible is worse than every result.
const impossible = math.MinInt32

// solver tries everything: it settles one node after the other, and for each of
// them every number of slots of every part. A state is what is left to place; a
// copy that was begun has to be complete where its domain ends.
type solver struct {
	fleet  *fleet
	goal   goal
	parts  []part
	copies []copyOf
	all    uint64
	// last is one more than the last node that is looked at.
	last  int
	rooms [MaxNodes]uint32
	// cuts says which of the five kinds of domain that fewest counts is the widest
	// one that ends between a node and the next: by level, unless set otherwise.
	cuts [MaxNodes]int
	seen memo
}

// prepare makes the solver ready for a gang. It reports whether the gang is
// small enough.
func (s *solver) prepare(f *fleet, g *gang) bool {
	*s = solver{fleet: f, parts: s.parts[:0], copies: s.copies[:0], seen: s.seen}
	scale, ok := newScale(g)
	if !ok {
		return false
	}
	for i := range f.nodes {
		s.rooms[i], s.cuts[i] = scale.room(&f.nodes[i]), int(f.parts[i])
	}
	return s.add(g, scale, 0, nil)
}

// add appends one copy of the group and everything inside it.
func (s *solver) add(g *gang, scale *scale, id int, after []int) bool {
	at := g.groups[id]
	own := len(s.copies)
	s.copies = append(s.copies, copyOf{level: at.level, whole: at.level > g.groups[0].level})
	first := len(s.parts)
	for i, r := range g.roles {
		if r.group != id {
			continue
		}
		n := r.count + r.in.Spares
		if len(s.parts) == maxParts || n > maxCount {
			return false
		}
		p := part{role: i, shift: 4 * len(s.parts), ask: scale.ask(i), after: after}
		for n := range s.fleet.nodes {
			if mayUse(&s.fleet.nodes[n], &r.in.Shape, r.class) {
				p.may |= 1 << n
			}
		}
		s.parts = append(s.parts, p)
		s.all |= uint64(n) << p.shift
	}
	for child := id + 1; child < at.last; child = g.groups[child].last {
		inner := after
		for range g.groups[child].copies {
			mine := len(s.copies)
			if !s.add(g, scale, child, inner) {
				return false
			}
			inner = append(append([]int(nil), after...), mine)
		}
	}
	for _, p := range s.parts[first:] {
		s.copies[own].mask |= maxCount << p.shift
	}
	s.copies[own].all = s.all & s.copies[own].mask
	return true
}

// solve looks at the nodes [first, last) only.
func (s *solver) solve(what goal, first, last int) int {
	s.goal, s.last = what, last
	s.seen.reset()
	return s.best(first, s.all, 0)
}

// holds reports whether the whole gang fits into the fleet.
func (s *solver) holds() bool { return s.solve(fits, 0, len(s.fleet.nodes)) == 0 }

// best is the best result when the nodes before node are settled. touched has a
// bit for each level at which the domain of node is in use already.
func (s *solver) best(node int, left uint64, touched uint) int {
	if node == s.last || left == 0 {
		if left != 0 && s.goal != most {
			return impossible
		}
		return 0
	}
	key := left<<7 | uint64(touched)<<3 | uint64(node)
	if known, ok := s.seen.get(key); ok {
		return known
	}
	result := s.fill(node, 0, s.rooms[node], left, state{left, touched})
	s.seen.put(key, result)
	return result
}

// state is what was left before a node was looked at.
type state struct {
	left    uint64
	touched uint
}

// fill tries every number of slots of the parts from number i on, on the node.
func (s *solver) fill(node, i int, room uint32, left uint64, before state) int {
	for ; i < len(s.parts); i++ {
		if s.mayTake(&s.parts[i], node, room, left) {
			break
		}
	}
	if i == len(s.parts) {
		return s.settle(node, left, before)
	}
	p := &s.parts[i]
	result := impossible
	for {
		result = max(result, s.fill(node, i+1, room, left, before))
		if s.isEnough(result, before.left) || !s.mayTake(p, node, room, left) {
			return result
		}
		room -= p.ask
		left -= 1 << p.shift
	}
}

// isEnough reports whether a result cannot get better.
func (s *solver) isEnough(result int, left uint64) bool {
	return s.goal == fits && result == 0 || s.goal == most && result == count(left)
}

func (s *solver) mayTake(p *part, node int, room uint32, left uint64) bool {
	if p.may>>node&1 == 0 || left>>p.shift&maxCount == 0 || !hasRoom(room, p.ask) {
		return false
	}
	for _, c := range p.after {
		if left&s.copies[c].mask == s.copies[c].all {
			return false
		}
	}
	return true
}

// settle goes on to the next node.
func (s *solver) settle(node int, left uint64, before state) int {
	ends := s.fleet.parts[node]
	if node+1 == s.last {
		ends = topology.Cluster
	}
	for i := range s.copies {
		c := &s.copies[i]
		if c.level < ends || s.goal == most && !c.whole {
			continue
		}
		if rest := left & c.mask; rest != 0 && rest != c.all {
			return impossible
		}
	}
	gain, touched := 0, before.touched
	switch {
	case s.goal == most:
		gain = count(before.left) - count(left)
	case s.goal == fewest && left != before.left:
		for level := topology.Fabric; level <= topology.Node; level++ {
			if touched>>(level-1)&1 == 0 {
				gain -= 1 << (4 * (topology.Node - level))
			}
		}
		touched = 1<<topology.NVLinkDomain - 1
	}
	if cut := s.cuts[node]; cut > 0 {
		touched &= 1<<(cut-1) - 1
	}
	rest := s.best(node+1, left, touched)
	if rest == impossible {
		return impossible
	}
	return gain + rest
}

// count sums the four-bit numbers of a state.
func count(left uint64) int {
	n := 0
	for ; left != 0; left >>= 4 {
		n += int(left & maxCount)
	}
	return n
}

// memo maps states to results. Emptying it costs nothing.
type memo struct {
	entries []memoEntry
	now     uint32
	used    int
}

type memoEntry struct {
	key    uint64
	now    uint32
	result int32
}

func (m *memo) reset() {
	if m.now++; m.now == 0 || m.entries == nil {
		m.entries, m.now = make([]memoEntry, 1<<12), 1
	}
	m.used = 0
}

// find returns the entry of the key, or the one where it belongs.
func (m *memo) find(key uint64) *memoEntry {
	mask := uint64(len(m.entries) - 1)
	for at := key * 0x9e3779b97f4a7c15 >> 20 & mask; ; at = (at + 1) & mask {
		if e := &m.entries[at]; e.now != m.now || e.key == key {
			return e
		}
	}
}

func (m *memo) get(key uint64) (result int, ok bool) {
	e := m.find(key)
	return int(e.result), e.now == m.now
}

func (m *memo) put(key uint64, result int) {
	if m.used++; 2*m.used > len(m.entries) {
		old := m.entries
		m.entries = make([]memoEntry, 2*len(old))
		for _, e := range old {
			if e.now == m.now {
				*m.find(e.key) = e
			}
		}
	}
	*m.find(key) = memoEntry{key, m.now, int32(result)}
}
