package placement

import "slices"

// tighten moves the groups towards their preferred levels, the deepest groups
// first, as far as the whole gang still fits.
func tighten(y *survey) *survey {
	groups := y.gang.groups
	order := make([]int, 0, len(groups))
	for i := 1; i < len(groups); i++ {
		if groups[i].preferred > groups[i].required {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return y.gang.depth(b) - y.gang.depth(a) })
	for _, i := range order {
		for level := groups[i].preferred; level > y.levels[i]; level-- {
			levels := slices.Clone(y.levels)
			levels[i] = level
			if tighter := newSurvey(y.supply, levels, 0, len(y.holds)); tighter.feasible && tighter.trusted {
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

// tightest returns the domain for the whole gang of a feasible survey: of the
// innermost level at which one holds it, the one with the least room left over
// in it, then in the domains around it.
func (y *survey) tightest() int {
	best := -1
	for _, v := range y.snapshot.forest.atLevel[y.fits] {
		if y.fitsAll(v) && (best < 0 || y.compareRooms(v, best) < 0) {
			best = v
		}
	}
	return best
}

// compareRooms orders two vertices by their room, then by that of the domains
// around them, inner to outer.
func (y *survey) compareRooms(a, b int) int {
	vertices := y.snapshot.forest.vertices
	for a >= 0 && b >= 0 && a != b {
		if c := y.rooms[a].compare(y.rooms[b]); c != 0 {
			return c
		}
		a, b = vertices[a].parent, vertices[b].parent
	}
	return 0
}
