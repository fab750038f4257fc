package placement

import (
	"cmp"
	"slices"
)

// slots lists the nodes of every role, by index, one entry per slot. Slots of
// one copy follow each other.
type slots [][]int

// part is a child of a domain that takes a share of the demand.
type part struct {
	vertex int
	// holds is in the space of the domain, not of the child.
	holds *frontier
	// reach weighs the most that the child can take.
	reach int64
	share []int
}

// assign gives every slot of the demand a node below v, depth first. The
// demand is in the space of v's level and v holds it.
func (y *survey) assign(v int, demand []int, out slots) {
	at := y.snapshot.forest.vertices[v]
	space := y.stages[at.level]
	if at.node >= 0 {
		for i, it := range space.items {
			for range demand[i] {
				out[it.role] = append(out[it.role], at.node)
			}
		}
		return
	}
	parts := y.parts(v, demand)
	y.share(space, parts, demand)
	// Ranks follow the fabric: siblings are in their natural order again.
	slices.SortFunc(parts, func(a, b part) int { return a.vertex - b.vertex })
	for _, p := range parts {
		if p.share == nil {
			continue
		}
		finer := y.stages[y.snapshot.forest.vertices[p.vertex].level]
		share := p.share
		if finer != space {
			share = make([]int, len(finer.items))
			space.shapes[finer].expand(p.share, share)
		}
		y.assign(p.vertex, share, out)
	}
}

// parts lists the children of v that can take anything of the demand: those
// that reach furthest first, and among equals the tightest.
func (y *survey) parts(v int, demand []int) []part {
	at := y.snapshot.forest.vertices[v]
	space := y.stages[at.level]
	reaches := map[*frontier]int64{}
	var out []part
	for _, child := range at.children {
		f := y.seenFrom(at.level, child)
		reach, known := reaches[f]
		if !known {
			f.each(func(peak []int) { reach = max(reach, space.weigh(peak, demand)) })
			reaches[f] = reach
		}
		if reach > 0 {
			out = append(out, part{vertex: child, holds: f, reach: reach})
		}
	}
	slices.SortFunc(out, func(a, b part) int {
		return cmp.Or(
			cmp.Compare(b.reach, a.reach),
			cmp.Compare(a.holds.id, b.holds.id),
			y.rooms[a.vertex].compare(y.rooms[b.vertex]),
			cmp.Compare(a.vertex, b.vertex),
		)
	})
	return out
}

// share splits the demand over the parts. A part that holds all that remains
// gets it, the tightest such; otherwise the furthest reaching part takes as
// much as leaves a rest that the parts after it can hold. For one item this
// takes the fewest parts.
func (y *survey) share(s *space, parts []part, demand []int) {
	tail := newTail(s, parts)
	rest := slices.Clone(demand)
	for i := 0; i < len(parts) && s.weigh(rest, rest) > 0; i++ {
		if last := y.tightestFor(s, parts[i:], rest); last >= 0 {
			parts[i+last].share = rest
			return
		}
		parts[i].share = s.largestTake(parts[i].holds, rest, tail.after(i))
		for j, taken := range parts[i].share {
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

// tightestFor returns the part with the least room that holds all of rest, -1
// for none. Parts are in falling order of reach.
func (y *survey) tightestFor(s *space, parts []part, rest []int) int {
	best, needed := -1, s.weigh(rest, rest)
	for i, p := range parts {
		if p.reach < needed {
			break
		}
		if p.holds.holds(rest) && (best < 0 || y.rooms[p.vertex].compare(y.rooms[parts[best].vertex]) < 0) {
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
	parts []part
	// run is the number of equal parts from a position on, itself included.
	run []int
	// beyond is what the parts after the run of a position hold, once known.
	beyond []*frontier
}

func newTail(s *space, parts []part) *tail {
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
