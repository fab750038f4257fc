package queueing

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// podsResource counts pods, as in placement.
const podsResource = "pods"

// Uses is the room that roles take when they are placed so: pods and spares, one
// entry per node, in the order in which the nodes come up. Roles that the request
// does not have take nothing, and sums stop at the largest number.
func Uses(r placement.Request, roles []placement.RolePlacement) []placement.Use {
	shapes := map[string]placement.Resources{}
	eachRole(&r.Root, func(role *placement.Role) { shapes[role.Name] = role.Shape.Resources })
	var out []placement.Use
	at := map[string]int{}
	for _, role := range roles {
		shape, known := shapes[role.Name]
		if !known {
			continue
		}
		for _, list := range [][]string{role.Nodes, role.Spares} {
			for _, node := range list {
				i, met := at[node]
				if !met {
					i = len(out)
					at[node] = i
					out = append(out, placement.Use{Node: node, Resources: placement.Resources{}})
				}
				addTo(out[i].Resources, shape)
				out[i].Resources[podsResource] = plus(out[i].Resources[podsResource], 1)
			}
		}
	}
	return out
}

// eachRole calls yield for the roles of a group and of the groups in it, depth
// first.
func eachRole(g *placement.Group, yield func(*placement.Role)) {
	for i := range g.Roles {
		yield(&g.Roles[i])
	}
	for i := range g.Groups {
		eachRole(&g.Groups[i], yield)
	}
}

// returned are the same uses given back.
func returned(uses []placement.Use) []placement.Use {
	out := make([]placement.Use, len(uses))
	for i, use := range uses {
		back := make(placement.Resources, len(use.Resources))
		for name, amount := range use.Resources {
			back[name] = -max(0, amount)
		}
		out[i] = placement.Use{Node: use.Node, Resources: back}
	}
	return out
}

// fits reports whether the nodes exist, take pods, and have room for all uses.
// It does not look at labels and taints.
func fits(s *placement.Snapshot, uses []placement.Use) bool {
	for _, use := range uses {
		node, found := s.Node(use.Node)
		if !found || node.Unavailable != "" {
			return false
		}
		for name := range use.Resources {
			if lacks(&node, name, use.Resources[name]) > 0 {
				return false
			}
		}
	}
	return true
}

// lacks is how much of a resource is missing on the node for the amount.
func lacks(n *placement.Node, name string, amount int64) int64 {
	capacity, offered := n.Capacity[name]
	if amount <= 0 || (!offered && name == podsResource) {
		return 0
	}
	return max(0, plus(n.Used[name], amount)-capacity)
}

// devices counts the amounts of extended resources, which are the ones whose
// name has a domain.
func devices(uses []placement.Use) float64 {
	var sum float64
	for _, use := range uses {
		for _, name := range slices.Sorted(maps.Keys(use.Resources)) {
			if strings.Contains(name, "/") {
				sum += float64(max(0, use.Resources[name]))
			}
		}
	}
	return sum
}

// lost is what stopping the gang costs, in device-seconds. Instants that cannot
// be count as now.
func lost(r *Running, now time.Duration) float64 {
	idle := max(0, now.Seconds()-r.Saved.Seconds()) + max(0, r.Restart.Seconds())
	return devices(r.Uses) * idle
}

// later adds a time to an instant and stays in range.
func later(at, by time.Duration) time.Duration {
	return time.Duration(plus(int64(at), int64(by)))
}

// plus adds without overflow.
func plus(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

func addTo(sum, amounts placement.Resources) {
	for name, amount := range amounts {
		sum[name] = plus(sum[name], amount)
	}
}

// inOrder is the order of the queue.
func inOrder(waiting []Gang) []Gang {
	out := slices.Clone(waiting)
	slices.SortStableFunc(out, func(a, b Gang) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority),
			cmp.Compare(a.Arrival, b.Arrival),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return out
}

// byName is a copy of the running gangs in the order of their names, so that no
// decision depends on the order in which a caller lists them.
func byName(running []Running) []Running {
	out := slices.Clone(running)
	slices.SortStableFunc(out, func(a, b Running) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
