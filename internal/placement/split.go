package placement

import (
	"cmp"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// share is a child of a domain, or a node in it, that takes a share of the demand.
type share struct {
	domain *domain
	node   *Node
	// at is the position in the order of the fabric.
	at int
	// holds is in the space of the domain around it.
	holds *frontier
	room  room
	// reach weighs the most that it can take.
	reach int64
	takes []int
}

// assign gives every slot of the demand a node below d, depth first. The demand is
// in the space of d's level and d holds it.
func (y *survey) assign(d *domain, demand []int, out slots) {
	space := y.stages[d.level]
	shares := y.shares(d, demand)
	y.shareOut(space, shares, demand)
	// Ranks follow the fabric: siblings are in their natural order again.
	slices.SortFunc(shares, func(a, b share) int { return a.at - b.at })
	for i := range shares {
		p := &shares[i]
		switch {
		case p.takes == nil:
		case p.node != nil:
			y.take(p.node, d.place, space.into(y.stages[topology.Node], p.takes), out)
		default:
			y.assign(p.domain, space.into(y.stages[p.domain.level], p.takes), out)
		}
	}
}

// into rewrites counts for a finer space.
func (s *space) into(finer *space, x []int) []int {
	if finer == s {
		return x
	}
	out := make([]int, len(finer.items))
	s.shapes[finer].expand(x, out)
	return out
}

// take gives slots of a node to the roles.
func (y *survey) take(n *Node, home *place, demand []int, out slots) {
	for i, it := range y.stages[topology.Node].items {
		for range demand[i] {
			out[it.role] = append(out[it.role], slot{n, home})
		}
	}
}

// shares lists the children and nodes of d that can take anything of the demand:
// those that reach furthest first, and among equals the tightest.
func (y *survey) shares(d *domain, demand []int) []share {
	space := y.stages[d.level]
	reaches := map[*frontier]int64{}
	var out []share
	add := func(s share) {
		reach, known := reaches[s.holds]
		if !known {
			s.holds.each(func(peak []int) { reach = max(reach, space.weigh(peak, demand)) })
			reaches[s.holds] = reach
		}
		if reach > 0 {
			s.reach = reach
			out = append(out, s)
		}
	}
	for i, child := range d.children {
		add(share{domain: child, at: i, holds: y.seenFrom(d.level, child), room: y.rooms[child.id]})
	}
	for i := range d.members {
		m := &d.members[i]
		add(share{node: m.node, at: len(d.children) + i, holds: y.nodeFrom(d.level, m.kind), room: y.kinds[m.kind].room})
	}
	slices.SortFunc(out, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.reach, a.reach), a.holds.compare(b.holds), a.room.compare(b.room), cmp.Compare(a.at, b.at))
	})
	return out
}

// shareOut splits the demand over the shares. One that holds all that remains gets
// it, the tightest such; otherwise the furthest reaching one takes as much as
// leaves a rest that those after it can hold.
func (y *survey) shareOut(s *space, shares []share, demand []int) {
	tail := newTail(s, shares)
	rest := slices.Clone(demand)
	for i := 0; i < len(shares) && s.weigh(rest, rest) > 0; i++ {
		if last := tightestFor(s, shares[i:], rest); last >= 0 {
			shares[i+last].takes = rest
			return
		}
		shares[i].takes = s.largestTake(shares[i].holds, rest, tail.after(i))
		for j, taken := range shares[i].takes {
			rest[j] -= taken
		}
	}
}

// largestTake returns the heaviest member of f, cut at rest, that leaves what
// after can hold. A nil after holds everything. Only peaks need a look: a
// member below one leaves more behind.
func (s *space) largestTake(f *frontier, rest []int, after *frontier) []int {
	var best []int
	var heaviest int64
	taken, left := make([]int, len(rest)), make([]int, len(rest))
	f.each(func(peak []int) {
		for i := range rest {
			taken[i] = min(peak[i], rest[i])
			left[i] = rest[i] - taken[i]
		}
		weight := s.weigh(taken, rest)
		if weight > heaviest && (after == nil || after.holds(left)) {
			best, heaviest = slices.Clone(taken), weight
		}
	})
	return best
}

// tightestFor returns the share with the least room that holds all of rest, -1
// for none. Shares are in falling order of reach.
func tightestFor(s *space, shares []share, rest []int) int {
	best, needed := -1, s.weigh(rest, rest)
	for i := range shares {
		p := &shares[i]
		if p.reach < needed {
			break
		}
		if p.holds.holds(rest) && (best < 0 || p.room.compare(shares[best].room) < 0) {
			best = i
		}
	}
	return best
}

// weigh sums the weights of x, cut at the demand.
func (s *space) weigh(x, demand []int) int64 {
	var sum int64
	for i := range x {
		sum += int64(min(x[i], demand[i])) * s.items[i].weight
	}
	return sum
}

// tail knows what the parts from any position on hold together.
type tail struct {
	space *space
	parts []share
	// run is the number of equal parts from a position on, itself included.
	run []int
	// beyond is what the parts after the run of a position hold, once known.
	beyond []*frontier
}

func newTail(s *space, parts []share) *tail {
	t := &tail{space: s, parts: parts}
	if len(s.items) == 1 {
		return t
	}
	t.run, t.beyond = make([]int, len(parts)), make([]*frontier, len(parts))
	sum := s.nothing
	for i := len(parts) - 1; i >= 0; i-- {
		if i+1 < len(parts) && parts[i+1].holds == parts[i].holds {
			t.run[i], t.beyond[i] = t.run[i+1]+1, t.beyond[i+1]
			continue
		}
		if i+1 < len(parts) {
			sum = s.sum(t.beyond[i+1], s.times(parts[i+1].holds, t.run[i+1]))
		}
		t.run[i], t.beyond[i] = 1, sum
	}
	return t
}

// after returns what the parts after i hold together. It is nil for a single
// item, where taking the most never spoils the rest.
func (t *tail) after(i int) *frontier {
	if t.run == nil {
		return nil
	}
	return t.space.sum(t.beyond[i], t.space.times(t.parts[i].holds, t.run[i]-1))
}
