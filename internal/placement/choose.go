package placement

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// tightenable lists the groups that prefer a narrower level than they require,
// the deepest groups first.
func (g *gang) tightenable() []int {
	var order []int
	for i := 1; i < len(g.groups); i++ {
		if g.groups[i].preferred > g.groups[i].required {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return g.depth(b) - g.depth(a) })
	return order
}

// tighten moves the groups towards their preferred levels, as far as the whole
// gang still fits.
func tighten(y *survey) *survey {
	for _, i := range y.gang.tightenable() {
		for level := y.gang.groups[i].preferred; level > y.levels[i]; level-- {
			levels := slices.Clone(y.levels)
			levels[i] = level
			if tighter := y.survey(levels); tighter.feasible && tighter.trusted {
				y = tighter
				break
			}
		}
	}
	return y
}

// depth is the number of groups around group i.
func (g *gang) depth(i int) int {
	n := 0
	for ; g.groups[i].parent >= 0; i = g.groups[i].parent {
		n++
	}
	return n
}

// tightest returns the place for the whole gang of a feasible survey: of the
// innermost level at which one holds it, the one with the least room left over in
// it, then in the domains around it, the widest first.
func (y *survey) tightest() candidate {
	var best candidate
	offer := func(c candidate) {
		if best.domain == nil || c.room.compare(best.room) < 0 ||
			c.room == best.room && c.domain != best.domain && y.compareAround(c.domain.place, best.domain.place) < 0 {
			best = c
		}
	}
	if y.fits < topology.Node {
		for _, d := range y.atLevel[y.fits] {
			if y.fitsAll(d) {
				offer(candidate{domain: d, room: y.rooms[d.id]})
			}
		}
		return best
	}
	demand := y.stages[topology.Node].demand
	y.top.walk(func(d *domain) {
		for i := range d.members {
			if k := y.kinds[d.members[i].kind]; k.holds.holds(demand) {
				offer(candidate{domain: d, node: d.members[i].node, room: k.room})
			}
		}
	})
	return best
}

// compareAround orders two domains by the room of the widest domains around them
// in which they differ.
func (y *survey) compareAround(a, b *place) int {
	above := a.common(b)
	return y.rooms[a.below(above).id].compare(y.rooms[b.below(above).id])
}

// below is the domain around s directly below above, or above itself.
func (s *place) below(above *place) *place {
	for s != above && s.parent != above {
		s = s.parent
	}
	return s
}
