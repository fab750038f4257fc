package placement

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// survey is what every domain can hold of a gang when each group has to meet
// its level.
//
// A vertex inside the domain of a group counts the group's own slots and
// smaller groups. Above the group's domain only whole copies count.
type survey struct {
	*supply
	// levels is the level of every group; levels[0] is the root's.
	levels []topology.Level
	// stages are the spaces by level of the vertex. Equal ones are shared.
	stages [topology.Node + 1]*space
	// holds is the frontier of every vertex inside the root's level, in the
	// space of the vertex' level. Wider vertices have none.
	holds []*frontier
	// fits is the innermost level at which one domain holds the whole gang, and
	// feasible whether there is one. Wider domains are not worked out then.
	fits     topology.Level
	feasible bool
	// trusted is false when the effort ran out on the way.
	trusted bool
}

// newSurvey works out the vertices [low, high) from the nodes outwards.
func newSurvey(u *supply, levels []topology.Level, low, high int) *survey {
	y := &survey{supply: u, levels: u.gang.inherit(levels), holds: make([]*frontier, len(u.rooms))}
	for l := topology.Node; l >= y.levels[0] && !y.feasible; l-- {
		y.stages[l] = y.stage(l)
		for _, v := range u.snapshot.forest.atLevel[l] {
			if v < low || v >= high {
				continue
			}
			if node := u.snapshot.forest.vertices[v].node; node >= 0 {
				y.holds[v] = u.nodes[node]
			} else {
				y.holds[v] = y.together(v)
			}
			if y.fitsAll(v) {
				y.fits, y.feasible = l, true
			}
		}
	}
	y.trusted = !u.space.effort.exhausted()
	return y
}

// stage returns the space of a level, shared with the next finer one where no
// group ends between the two.
func (y *survey) stage(l topology.Level) *space {
	if l == topology.Node {
		return y.space
	}
	finer := y.stages[l+1]
	out := newSpace(y.gang.open(l, y.levels), y.space.effort)
	if slices.Equal(out.items, finer.items) {
		return finer
	}
	for below := l + 1; below <= topology.Node; below++ {
		out.shapes[y.stages[below]] = y.gang.project(y.stages[below].items, out.items)
	}
	return out
}

// together adds up what the children of a domain hold.
func (y *survey) together(v int) *frontier {
	at := y.snapshot.forest.vertices[v]
	space := y.stages[at.level]
	counts := map[*frontier]int{}
	var kinds []*frontier
	for _, child := range at.children {
		f := y.seenFrom(at.level, child)
		if counts[f] == 0 {
			kinds = append(kinds, f)
		}
		counts[f]++
	}
	// Equal racks meet the same sums in the same order and share them.
	slices.SortFunc(kinds, func(a, b *frontier) int { return a.id - b.id })
	sum := space.nothing
	for _, f := range kinds {
		sum = space.sum(sum, space.times(f, counts[f]))
	}
	return sum
}

// seenFrom returns what v holds in the terms of a wider level.
func (y *survey) seenFrom(level topology.Level, v int) *frontier {
	return y.stages[level].lift(y.holds[v], y.stages[y.snapshot.forest.vertices[v].level])
}

// fitsAll reports whether one domain at v holds the whole gang.
func (y *survey) fitsAll(v int) bool {
	return y.holds[v].holds(y.stages[y.snapshot.forest.vertices[v].level].demand)
}

// open lists the items of a vertex of the level.
func (g *gang) open(level topology.Level, levels []topology.Level) []item {
	var out []item
	for i := range g.groups {
		group := &g.groups[i]
		// The copies of a group count where its parent is open and it is not.
		if i > 0 && level < levels[i] && (group.parent == 0 || level >= levels[group.parent]) {
			out = append(out, item{role: -1, group: i, demand: group.total, slots: group.slots, weight: group.weight})
		}
	}
	for i := range g.roles {
		if role := &g.roles[i]; role.group == 0 || level >= levels[role.group] {
			out = append(out, item{role: i, group: role.group, demand: role.total, slots: 1, weight: role.weight})
		}
	}
	return out
}

// project relates the items of a finer stage to those of a coarser one.
func (g *gang) project(fine, coarse []item) projection {
	var p projection
	for _, f := range fine {
		to := slices.IndexFunc(coarse, func(c item) bool {
			return c.role == f.role && c.group == f.group || c.role < 0 && g.contains(c.group, f.group)
		})
		p.to = append(p.to, to)
		p.per = append(p.per, f.demand/coarse[to].demand)
	}
	return p
}
