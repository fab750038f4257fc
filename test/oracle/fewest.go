package oracle

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// wider says whether a gang of one role, which fits into no tighter domain, fits on
// fewer domains below one of that level.
func (j *judge) wider(f *fleet, g *gang, nodes []int) (worse, deeper string) {
	here := f.common(nodes)
	got := f.stepsBelow(here, nodes)
	least := got
	j.prepare(f, g)
	levels := j.cuts
	for v, level := range f.levels {
		if level != f.levels[here] {
			continue
		}
		cuts, first, last := f.cutsBelow(v)
		j.cuts = cuts
		if n := j.solve(fewest, first, last); n != impossible {
			least = min(least, -n)
		}
	}
	for i, what := range []string{"children", "children of children"} {
		if i == 1 && !f.countsAlike(g, here) {
			break
		}
		if a, b := digit(got, i), digit(least, i); a != b {
			return fmt.Sprintf("the gang is in %d %s of %s %q, and fits into %d", a, what, f.levels[here], f.names[here], b), ""
		}
	}
	j.cuts = levels
	if optimum := -j.solve(fewest, 0, len(f.nodes)); optimum != f.byLevel(nodes) {
		return "", fmt.Sprintf("the gang is in %x domains per level, and fits into %x", f.byLevel(nodes), optimum)
	}
	return "", ""
}

// digit is the count of number i of those that fewest gives.
func digit(counts, i int) int { return counts >> (16 - 4*i) & 15 }

// byLevel counts the domains of the nodes per level, as fewest does.
func (f *fleet) byLevel(nodes []int) int {
	out := 0
	for level := topology.Fabric; level <= topology.Node; level++ {
		out = out<<4 | different(nodes, func(i int) int { return f.at[i][level] })
	}
	return out
}

// stepsBelow counts the children of v that the nodes are in, the children of
// those, and so on, as fewest does.
func (f *fleet) stepsBelow(v int, nodes []int) int {
	out := 0
	for step := 1; step <= int(topology.Node); step++ {
		out = out<<4 | different(nodes, func(i int) int {
			path := f.paths[i]
			return path[min(slices.Index(path, v)+step, len(path)-1)]
		})
	}
	return out
}

func different(nodes []int, of func(int) int) int {
	seen := map[int]bool{}
	for _, i := range nodes {
		seen[of(i)] = true
	}
	return len(seen)
}

// countsAlike reports whether v and its children count the gang in equal units: no
// copies end on the way to a child that is a domain.
func (f *fleet) countsAlike(g *gang, v int) bool {
	for _, path := range f.paths {
		at := slices.Index(path, v) + 1
		if at == 0 && v != 0 || f.levels[path[at]] == topology.Node {
			continue
		}
		if g.unit(f.levels[v]) != g.unit(f.levels[path[at]]) {
			return false
		}
	}
	return true
}

// unit is the number of slots that a domain of the level takes together: those of
// a copy of the outermost group that has a narrower one.
func (g *gang) unit(level topology.Level) int {
	for id := 1; id < len(g.groups); id++ {
		if g.groups[id].level > level {
			return g.slots(id)
		}
	}
	return 1
}
