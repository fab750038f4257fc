package placement

import (
	"slices"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// gang is a request with its sizes and classes settled: flat lists instead of
// a tree. Only the nodes are open.
type gang struct {
	// roles are in depth-first order, roles of a group before its groups.
	roles []roleDemand
	// groups are in depth-first order; groups[0] is the root.
	groups []groupDemand
}

// roleDemand is one role. A slot is the room of one pod or one spare.
type roleDemand struct {
	name  string
	group int
	// count and spares are per copy of the group.
	count, spares int
	// total is the number of slots over all copies.
	total int
	shape *Shape
	// class is the accelerator class that all slots are on, "" for any.
	class string
	// weight compares slots of different roles: the devices of one, in
	// 1..maxWeight.
	weight int64
}

// maxWeight keeps sums of weights over MaxPods slots far from overflow.
const maxWeight = 1 << 40

// groupDemand is one group.
type groupDemand struct {
	name string
	// parent is the number of the parent group, -1 for the root.
	parent int
	// total is the number of copies over all copies of the parents.
	total int
	// slots and weight are sums over the roles of one copy, nested ones included.
	slots  int
	weight int64
	// required is never wider than the parent's: a group inside a leaf is in one
	// leaf, whatever it asks for itself.
	required, preferred topology.Level
	// demands is set when the group itself narrows what the parent requires.
	demands bool
}

// scale is a uniform size between the least and the full request: step 0 is
// the least, step of is the full one.
type scale struct{ step, of int }

// steps is the number of sizes above the least one: 0 for a request that
// allows nothing less than everything.
func steps(g *Group) int {
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
		most = max(most, steps(&g.Groups[i]))
	}
	return most
}

// between returns the size that the scale gives to something of which least
// is enough. least 0 means that only full is.
func (s scale) between(least, full int) int {
	if least == 0 || s.of == 0 {
		return full
	}
	return least + (full-least)*s.step/s.of
}

// newGang flattens a sound request. classes names the class of each role.
func newGang(r *Request, size scale, classes []string) *gang {
	g := &gang{}
	g.add(&r.Root, -1, size)
	for i := range g.roles {
		role := &g.roles[i]
		role.class = classes[i]
		for at, per := role.group, role.count+role.spares; at >= 0; at = g.groups[at].parent {
			g.groups[at].slots += per * g.groups[role.group].total / g.groups[at].total
			g.groups[at].weight += int64(per*g.groups[role.group].total/g.groups[at].total) * role.weight
		}
	}
	return g
}

func (g *gang) add(in *Group, parent int, size scale) {
	id := len(g.groups)
	out := groupDemand{
		name:      in.Name,
		parent:    parent,
		total:     size.between(in.MinCopies, max(1, in.Copies)),
		required:  in.Required,
		preferred: in.Preferred,
		demands:   in.Required > topology.Cluster,
	}
	if parent >= 0 {
		out.total *= g.groups[parent].total
		out.demands = in.Required > g.groups[parent].required
		out.required = max(in.Required, g.groups[parent].required)
	}
	g.groups = append(g.groups, out)
	for i := range in.Roles {
		role := &in.Roles[i]
		count := size.between(role.MinCount, role.Count)
		g.roles = append(g.roles, roleDemand{
			name:   role.Name,
			group:  id,
			count:  count,
			spares: role.Spares,
			total:  (count + role.Spares) * out.total,
			shape:  &role.Shape,
			weight: min(max(1, devices(role.Shape.Resources)), maxWeight),
		})
	}
	for i := range in.Groups {
		g.add(&in.Groups[i], id, size)
	}
}

// requiredLevels returns the level of each group that must be met.
func (g *gang) requiredLevels() []topology.Level {
	levels := make([]topology.Level, len(g.groups))
	for i := range g.groups {
		levels[i] = g.groups[i].required
	}
	return levels
}

// inherit makes no group wider than its parent.
func (g *gang) inherit(levels []topology.Level) []topology.Level {
	out := slices.Clone(levels)
	for i := 1; i < len(out); i++ {
		out[i] = max(out[i], out[g.groups[i].parent])
	}
	return out
}

// contains reports whether group inner is outer or nested in it.
func (g *gang) contains(outer, inner int) bool {
	for inner > outer {
		inner = g.groups[inner].parent
	}
	return inner == outer
}

// devices sums the amounts of extended resources, which are the ones whose
// name has a domain, such as nvidia.com/gpu.
func devices(amounts Resources) int64 {
	var sum int64
	for name, amount := range amounts {
		if isDevice(name) {
			sum = addCapped(sum, amount)
		}
	}
	return sum
}

func isDevice(resource string) bool { return strings.Contains(resource, "/") }

// classChoices lists the alternatives of every role of the request, in the
// order of gang.roles. A role without classes has the one alternative "".
func classChoices(g *Group) [][]string {
	var out [][]string
	for i := range g.Roles {
		if classes := g.Roles[i].Shape.Classes; len(classes) > 0 {
			out = append(out, classes)
		} else {
			out = append(out, []string{""})
		}
	}
	for i := range g.Groups {
		out = append(out, classChoices(&g.Groups[i])...)
	}
	return out
}
