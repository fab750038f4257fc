package placement

import (
	"maps"
	"slices"
)

// eligibleNodes is what Refusal.Limiting names when no node may be used.
const eligibleNodes = "eligible nodes"

// refuse explains why no domain holds the gang of the survey: by the innermost
// group of which no domain holds even one copy, else by the gang as a whole.
func (p *planner) refuse(y *survey) *Refusal {
	groups := y.gang.groups
	for i := len(groups) - 1; i > 0; i-- {
		if !groups[i].demands {
			continue
		}
		if best, found := y.nearest(i, 0); found < groups[i].slots {
			return p.explain(y, i, best, found)
		}
	}
	best, found := y.nearest(0, 0)
	return p.explain(y, 0, best, found)
}

// nearest returns the domain below top that holds the most of one copy of the
// group, and how much that is: slots, or copies where unit names a group. The
// domain is -1 when none holds anything.
func (y *survey) nearest(group, top int) (best, found int) {
	best = -1
	vertices := y.snapshot.forest.vertices
	level := y.levels[group]
	for v := top; v < vertices[top].end; v++ {
		if !y.snapshot.forest.isDomainAt(v, level) {
			continue
		}
		if n := y.countIn(v, group); n > found {
			best, found = v, n
		}
	}
	return best, found
}

// countIn returns the most slots of one copy of the group that v holds, or the
// most copies for a gang that is nothing but copies.
func (y *survey) countIn(v, group int) int {
	stage := y.stages[y.levels[group]]
	most := 0
	y.seenFrom(y.levels[group], v).each(func(peak []int) {
		n := 0
		for i, it := range stage.items {
			if !y.gang.contains(group, it.group) {
				continue
			}
			n += min(peak[i], it.demand/y.gang.groups[group].total) * it.slots
		}
		most = max(most, n)
	})
	if unit := y.unit(group); unit > 0 {
		return most / y.gang.groups[unit].slots
	}
	return most
}

// unit is the group whose copies are counted when the root is refused, 0 when
// slots are.
func (y *survey) unit(group int) int {
	items := y.gang.open(y.levels[0], y.levels)
	if group == 0 && len(items) == 1 && items[0].role < 0 {
		return items[0].group
	}
	return 0
}

// needed is the demand of one copy of the group, in what countIn counts.
func (y *survey) needed(group int) int {
	if unit := y.unit(group); unit > 0 {
		return y.gang.groups[unit].total
	}
	return y.gang.groups[group].slots
}

// explain fills the refusal of a group whose nearest domain is best.
func (p *planner) explain(y *survey, group, best, found int) *Refusal {
	g := y.gang
	r := &Refusal{
		Group:    g.groups[group].name,
		Level:    y.levels[group],
		Needed:   y.needed(group),
		Found:    found,
		Excluded: excluded(p.snapshot, g),
	}
	if group == 0 {
		r.Group = ""
	}
	if unit := y.unit(group); unit > 0 {
		r.Unit = g.groups[unit].name
	}
	top := max(0, best)
	r.Domain = p.snapshot.forest.vertices[top].name
	r.Limiting = p.limiting(y, group, top, found)
	return r
}

// limiting names what keeps the count of the group below top down: the
// resource without whose limit it would grow most. Where several run out at
// once, it is the one that alone leaves the least.
func (p *planner) limiting(y *survey, group, top, found int) string {
	if !p.anyEligible(y.gang, group, top) {
		return eligibleNodes
	}
	// The question is worth an effort of its own: the search is over.
	left := p.effort.left
	p.effort.left = maxFrontierSteps
	defer func() { p.effort.left = left }()
	limit := ""
	for _, name := range y.resources {
		if n := p.countWithout(y, group, top, []string{name}); n > found {
			limit, found = name, n
		}
	}
	if limit != "" {
		return limit
	}
	least := -1
	for i, name := range y.resources {
		others := slices.Delete(slices.Clone(y.resources), i, i+1)
		if n := p.countWithout(y, group, top, others); least < 0 || n < least {
			limit, least = name, n
		}
	}
	return limit
}

// countWithout returns how much of the group the nearest domain below top would
// hold if the named resources had no limit.
func (p *planner) countWithout(y *survey, group, top int, names []string) int {
	end := p.snapshot.forest.vertices[top].end
	supply := newSupply(p.snapshot, y.gang, top, end, names, p.effort)
	without := newSurvey(supply, y.levels, top, end)
	if without.feasible {
		return y.needed(group)
	}
	_, found := without.nearest(group, top)
	return found
}

// anyEligible reports whether every role of the group has a node below top that
// it may use.
func (p *planner) anyEligible(g *gang, group, top int) bool {
	vertices := p.snapshot.forest.vertices
	for i := range g.roles {
		role := &g.roles[i]
		if !g.contains(group, role.group) {
			continue
		}
		usable := slices.ContainsFunc(vertices[top:vertices[top].end], func(v vertex) bool {
			return v.node >= 0 && ineligible(&p.snapshot.nodes[v.node], role.shape, role.class) == ""
		})
		if !usable {
			return false
		}
	}
	return true
}

// excluded counts the nodes that no role may use, by what keeps the first role
// away.
func excluded(s *Snapshot, g *gang) []Exclusion {
	counts := map[string]int{}
	for i := range s.nodes {
		reason := ""
		for j := range g.roles {
			why := ineligible(&s.nodes[i], g.roles[j].shape, g.roles[j].class)
			if why == "" {
				reason = ""
				break
			}
			if reason == "" {
				reason = why
			}
		}
		if reason != "" {
			counts[reason]++
		}
	}
	var out []Exclusion
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, Exclusion{Reason: reason, Nodes: counts[reason]})
	}
	return out
}
