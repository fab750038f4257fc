package oracle

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// untrue says which figure of the refusal is not what the fleet shows, "" for
// none. A refusal is about the least size, with one way to settle the classes.
func (j *judge) untrue(c Case, f *fleet, r *placement.Refusal) string {
	least := size{0, sizesOf(&c.Request.Root)}
	first := ""
	for _, classes := range classChoices(newGang(&c.Request.Root, least, nil)) {
		problem := j.untrueFor(f, newGang(&c.Request.Root, least, classes), r)
		if problem == "" {
			return ""
		}
		if first == "" {
			first = problem
		}
	}
	return first
}

func (j *judge) untrueFor(f *fleet, g *gang, r *placement.Refusal) string {
	if r.Found >= r.Needed {
		return fmt.Sprintf("%d of %d are found", r.Found, r.Needed)
	}
	id := 0
	if r.Group != "" {
		id = slices.IndexFunc(g.groups, func(g group) bool { return g.in.Name == r.Group })
	}
	if id < 0 || r.Group != "" && id == 0 {
		return fmt.Sprintf("there is no group %q inside of the gang", r.Group)
	}
	part := g.only(id)
	each := 1
	if r.Unit != "" {
		unit := slices.IndexFunc(part.groups, func(g group) bool { return g.in.Name == r.Unit })
		if unit <= 0 {
			return fmt.Sprintf("there is no group %q inside of %q", r.Unit, r.Group)
		}
		each = part.slots(unit)
	}
	if got := part.slots(0); r.Needed*each != got || r.Level != part.groups[0].level {
		return fmt.Sprintf("%d slots are needed in one %s", got, part.groups[0].level)
	}
	if problem := j.untrueBest(f, part, placement.LevelBest{Level: r.Level, Domain: r.Domain, Found: r.Found * each}, false); problem != "" {
		return problem
	}
	if problem := untrueExclusions(f, g, r.Excluded); problem != "" {
		return problem
	}
	return j.untrueLevels(f, g, r.Levels)
}

// untrueLevels compares the best domain of each level from the required one
// inwards. Only domains of just that level count, and a level at which none holds
// anything may be left out. At every level, groups that ask for a narrower one than
// the gang count in whole copies.
func (j *judge) untrueLevels(f *fleet, g *gang, listed []placement.LevelBest) string {
	for level := g.groups[0].level; level <= topology.Node; level++ {
		got := placement.LevelBest{Level: level, Needed: g.slots(0)}
		if len(listed) > 0 && listed[0].Level == level {
			got, listed = listed[0], listed[1:]
		}
		if got.Needed != g.slots(0) {
			return fmt.Sprintf("the whole gang is %d slots, not %d", g.slots(0), got.Needed)
		}
		if problem := j.untrueBest(f, g, got, true); problem != "" {
			return problem
		}
	}
	if len(listed) > 0 {
		return fmt.Sprintf("level %s was not asked for, or is out of order", listed[0].Level)
	}
	return ""
}

// untrueBest says whether another domain of the level holds more of the gang, or
// this one less. exactly leaves out what stands in for a domain of the level.
func (j *judge) untrueBest(f *fleet, g *gang, best placement.LevelBest, exactly bool) string {
	j.prepare(f, g)
	highest, here := 0, 0
	for _, v := range f.domains(best.Level, 0, len(f.nodes)) {
		if exactly && f.levels[v] != best.Level {
			continue
		}
		first, last := f.span(v, best.Level)
		n := j.solve(most, first, last)
		if highest = max(highest, n); f.names[v] == best.Domain {
			here = n
		}
	}
	switch {
	case best.Found != highest:
		return fmt.Sprintf("the best %s has %d slots, not %d", best.Level, highest, best.Found)
	case best.Found > 0 && here != highest, best.Found == 0 && best.Domain != "":
		return fmt.Sprintf("%s %q has %d slots, the best %d", best.Level, best.Domain, here, highest)
	}
	return ""
}

// untrueExclusions compares the nodes that are left out with those that take no
// pod of any role: because it may not use them, or because there is no room.
func untrueExclusions(f *fleet, g *gang, got []placement.Exclusion) string {
	s, _ := newScale(g)
	want, listed := 0, 0
	for i := range f.nodes {
		useful := false
		for k, r := range g.roles {
			useful = useful || mayUse(&f.nodes[i], &r.in.Shape, r.class) && hasRoom(s.room(&f.nodes[i]), s.ask(k))
		}
		if !useful {
			want++
		}
	}
	for _, e := range got {
		listed += e.Nodes
	}
	if want != listed {
		return fmt.Sprintf("%d nodes are of no use, %d are listed as left out", want, listed)
	}
	return ""
}
