package oracle

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// gang is a request as flat lists, in depth-first order, at one size.
type gang struct {
	groups []group
	roles  []role
}

type group struct {
	in *placement.Group
	// parent is the number of the group around it, -1 for the root.
	parent int
	// copies are those in one copy of the parent, total those in the whole gang.
	copies, total int
	// level is that of the one domain of a copy, never wider than the parent's.
	level topology.Level
	// last is one more than the number of the last group inside.
	last int
}

type role struct {
	in    *placement.Role
	group int
	count int
	class string
}

// size is one of the uniform sizes of a request: step 0 is the least, step of is
// everything.
type size struct{ step, of int }

// sizesOf is the number of sizes above the least one: as many as the part of the
// request that may shrink furthest has.
func sizesOf(g *placement.Group) int {
	most := 0
	if g.MinCopies > 0 {
		most = max(1, g.Copies) - g.MinCopies
	}
	for _, r := range g.Roles {
		if r.MinCount > 0 {
			most = max(most, r.Count-r.MinCount)
		}
	}
	for i := range g.Groups {
		most = max(most, sizesOf(&g.Groups[i]))
	}
	return most
}

// of is how many there are at the size.
func (s size) count(least, all int) int {
	if least == 0 || s.of == 0 {
		return all
	}
	return least + (all-least)*s.step/s.of
}

// newGang flattens root. classes has one entry per role, or is nil for none.
func newGang(root *placement.Group, at size, classes []string) *gang {
	g := &gang{}
	g.add(root, -1, at)
	for i := range classes {
		g.roles[i].class = classes[i]
	}
	return g
}

func (g *gang) add(in *placement.Group, parent int, at size) {
	id := len(g.groups)
	out := group{in: in, parent: parent, copies: at.count(in.MinCopies, max(1, in.Copies)), level: in.Required}
	out.total = out.copies
	if parent >= 0 {
		out.total *= g.groups[parent].total
		out.level = max(out.level, g.groups[parent].level)
	}
	g.groups = append(g.groups, out)
	for i := range in.Roles {
		r := &in.Roles[i]
		g.roles = append(g.roles, role{in: r, group: id, count: at.count(r.MinCount, r.Count)})
	}
	for i := range in.Groups {
		g.add(&in.Groups[i], id, at)
	}
	g.groups[id].last = len(g.groups)
}

// raised is the gang with its groups at least at these levels, and what is inside
// of them too.
func (g *gang) raised(levels []topology.Level) *gang {
	out := &gang{groups: slices.Clone(g.groups), roles: g.roles}
	for i := range out.groups {
		up := &out.groups[i]
		up.level = max(up.level, levels[i])
		if up.parent >= 0 {
			up.level = max(up.level, out.groups[up.parent].level)
		}
	}
	return out
}

// only is one copy of the group as a gang of its own, at the level it has here.
func (g *gang) only(id int) *gang {
	out := &gang{groups: slices.Clone(g.groups[id:g.groups[id].last])}
	for i := range out.groups {
		up := &out.groups[i]
		up.parent -= id
		up.last -= id
		up.total /= g.groups[id].total
	}
	out.groups[0].parent, out.groups[0].copies = -1, 1
	for _, r := range g.roles {
		if id <= r.group && r.group < g.groups[id].last {
			r.group -= id
			out.roles = append(out.roles, r)
		}
	}
	return out
}

// slots is the number of pods and spares in one copy of the group.
func (g *gang) slots(id int) int {
	sum := 0
	for _, r := range g.roles {
		if id <= r.group && r.group < g.groups[id].last {
			sum += (r.count + r.in.Spares) * g.groups[r.group].total / g.groups[id].total
		}
	}
	return sum
}

// classChoices lists every way to settle the classes of the roles, in the order
// of preference: those of the first role count most.
func classChoices(g *gang) [][]string {
	out := [][]string{{}}
	for _, r := range g.roles {
		classes := r.in.Shape.Classes
		if len(classes) == 0 {
			classes = []string{""}
		}
		var longer [][]string
		for _, head := range out {
			for _, class := range classes {
				longer = append(longer, append(slices.Clone(head), class))
			}
		}
		out = longer
	}
	return out
}
