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
	// holds is the frontier of every domain inside the root's level, by id, in the
	// space of the domain's level, and stamps of which version it is.
	holds  []*frontier
	stamps []uint64
	// fits is the innermost level at which one domain holds the whole gang, and
	// feasible whether there is one. Wider domains are not worked out then.
	fits     topology.Level
	feasible bool
	// trusted is false when the effort ran out on the way.
	trusted bool
}

// survey works everything out from the nodes outwards, as far as it has changed
// since it did.
func (u *supply) survey(levels []topology.Level) *survey {
	levels = u.gang.inherit(levels)
	key := make([]byte, len(levels))
	for i, l := range levels {
		key[i] = byte(l)
	}
	y := u.surveys[string(key)]
	if y == nil {
		y = &survey{supply: u, levels: levels, holds: make([]*frontier, len(u.rooms)), stamps: make([]uint64, len(u.rooms))}
		for l := topology.Node; l >= levels[0]; l-- {
			y.stages[l] = y.stage(l)
		}
		u.surveys[string(key)] = y
	}
	y.feasible = false
	for l := topology.Node; l >= levels[0] && !y.feasible; l-- {
		y.fits, y.feasible = l, y.look(l)
	}
	y.trusted = !u.effort.exhausted()
	return y
}

// look works out the domains of a level, and says whether one holds the gang.
func (y *survey) look(l topology.Level) bool {
	if l == topology.Node {
		found := false
		y.top.walk(func(d *domain) { found = found || y.alone[d.id] })
		return found
	}
	found := false
	for _, d := range y.atLevel[l] {
		if y.stamps[d.id] != d.stamp {
			y.stamps[d.id], y.holds[d.id] = d.stamp, y.together(d)
		}
		found = found || y.fitsAll(d)
	}
	return found
}

// stage returns the space of a level, shared with the next finer one where no
// group ends between the two.
func (y *survey) stage(l topology.Level) *space {
	if l == topology.Node {
		return y.space
	}
	finer := y.stages[l+1]
	out := newSpace(y.gang.open(l, y.levels), y.effort)
	if slices.Equal(out.items, finer.items) {
		return finer
	}
	for below := l + 1; below <= topology.Node; below++ {
		out.shapes[y.stages[below]] = y.gang.project(y.stages[below].items, out.items)
	}
	return out
}

// together adds up what the children and nodes of a domain hold.
func (y *survey) together(d *domain) *frontier {
	space := y.stages[d.level]
	counts := map[*frontier]int{}
	var different []*frontier
	count := func(f *frontier, n int) {
		if counts[f] == 0 {
			different = append(different, f)
		}
		counts[f] += n
	}
	for _, child := range d.children {
		count(y.seenFrom(d.level, child), 1)
	}
	for _, t := range d.tallies {
		count(y.nodeFrom(d.level, t.kind), t.n)
	}
	// Equal racks meet the same sums in the same order and share them.
	slices.SortFunc(different, func(a, b *frontier) int { return a.id - b.id })
	sum := space.nothing
	for _, f := range different {
		sum = space.sum(sum, space.times(f, counts[f]))
	}
	return sum
}

// seenFrom returns what d holds in the terms of a wider level.
func (y *survey) seenFrom(level topology.Level, d *domain) *frontier {
	return y.stages[level].lift(y.holds[d.id], y.stages[d.level])
}

// nodeFrom returns what a node of the kind holds in the terms of a wider level.
func (y *survey) nodeFrom(level topology.Level, k *kind) *frontier {
	return y.stages[level].lift(y.kinds[k].holds, y.stages[topology.Node])
}

// fitsAll reports whether one domain holds the whole gang.
func (y *survey) fitsAll(d *domain) bool {
	return y.holds[d.id].holds(y.stages[d.level].demand)
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

// surveyCounter explains a survey that is not feasible.
type surveyCounter struct{ *survey }

// inDomain implements counter.
func (y surveyCounter) inDomain(d *domain, group int) int {
	return y.count(y.seenFrom(y.levels[group], d), group)
}

// onNode implements counter.
func (y surveyCounter) onNode(k *kind, group int) int {
	return y.count(y.nodeFrom(y.levels[group], k), group)
}

// bestAt implements counter.
func (y surveyCounter) bestAt(level topology.Level) (best spot) {
	r := refusal{gang: y.gang, levels: y.levels, count: y}
	y.top.walk(func(d *domain) {
		if level == topology.Node {
			best = r.nearestNode(0, d, best)
		} else if d.level == level {
			if n := y.inDomain(d, 0); n > best.found {
				best = spot{domain: d, found: n}
			}
		}
	})
	return best
}

// count returns the most slots of one copy of the group that a place holds.
func (y surveyCounter) count(f *frontier, group int) int {
	stage := y.stages[y.levels[group]]
	most := 0
	f.each(func(peak []int) {
		n := 0
		for i, it := range stage.items {
			if y.gang.contains(group, it.group) {
				n += min(peak[i], it.demand/y.gang.groups[group].total) * it.slots
			}
		}
		most = max(most, n)
	})
	return most
}

// without implements counter. Each question is worth an effort of its own: the
// search is over.
func (y surveyCounter) without(top *domain, group int, sets [][]string) []int {
	out := make([]int, len(sets))
	for i, ample := range sets {
		without := newSupply(y.snapshot, y.gang, ample, &effort{left: maxFrontierSteps}).below(top).survey(y.levels)
		if out[i] = y.gang.groups[group].slots; !without.feasible {
			r := refusal{gang: y.gang, levels: y.levels, count: surveyCounter{without}}
			out[i] = r.nearest(group, top).found
		}
	}
	return out
}
