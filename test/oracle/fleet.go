package oracle

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// MaxNodes is the largest fleet of a Case.
const MaxNodes = 8

// Case is one fleet and one gang.
type Case struct {
	Domains []topology.Vertex
	Nodes   []placement.Node
	Request placement.Request
}

// Snapshot is the fleet as the engine takes it. It returns the errors of
// placement.NewSnapshot.
func (c Case) Snapshot() (*placement.Snapshot, error) {
	return placement.NewSnapshot(c.Domains, c.Nodes)
}

// fleet is the nodes of a case in depth-first order, siblings in natural order of
// their names, so that every domain is a run of nodes.
type fleet struct {
	nodes []placement.Node
	// names and levels are those of the cluster, of all domains and of all nodes.
	names  []string
	levels []topology.Level
	// at gives, per node and level, the number of what counts as the domain there:
	// the outermost of the node and its domains that is not wider than the level.
	at [MaxNodes][topology.Node + 1]int
	// parts is the widest level at which a node and the next one differ. It is
	// Cluster for the last node.
	parts [MaxNodes]topology.Level
	// paths lead to the nodes, from the outermost domain to the node itself.
	paths [][]int
}

func newFleet(c Case) *fleet {
	f := &fleet{names: []string{""}, levels: []topology.Level{topology.Cluster}}
	number := map[string]int{}
	for _, d := range c.Domains {
		number[d.Name] = len(f.names)
		f.names, f.levels = append(f.names, d.Name), append(f.levels, d.Level)
	}
	type located struct {
		node placement.Node
		// path is from the outermost domain to the node itself.
		path []int
	}
	all := make([]located, len(c.Nodes))
	for i, n := range c.Nodes {
		path := []int{len(f.names)}
		f.names, f.levels = append(f.names, n.Name), append(f.levels, topology.Node)
		for up := n.Domain; up != ""; up = c.Domains[number[up]-1].Parent {
			path = append(path, number[up])
		}
		slices.Reverse(path)
		all[i] = located{n, path}
	}
	slices.SortFunc(all, func(a, b located) int {
		i := 0
		for a.path[i] == b.path[i] {
			i++
		}
		if order := topology.CompareNatural(f.names[a.path[i]], f.names[b.path[i]]); order != 0 {
			return order
		}
		return a.path[i] - b.path[i]
	})
	for i, n := range all {
		f.nodes, f.paths = append(f.nodes, n.node), append(f.paths, n.path)
		for level := topology.Fabric; level <= topology.Node; level++ {
			outermost := slices.IndexFunc(n.path, func(v int) bool { return f.levels[v] >= level })
			f.at[i][level] = n.path[outermost]
		}
	}
	for i := 0; i+1 < len(all); i++ {
		for f.at[i][f.parts[i]] == f.at[i+1][f.parts[i]] {
			f.parts[i]++
		}
	}
	return f
}

// index is the position of the node of that name, -1 for none.
func (f *fleet) index(name string) int {
	return slices.IndexFunc(f.nodes, func(n placement.Node) bool { return n.Name == name })
}

// span is the run of nodes [first, last) that v is the domain of at the level.
// It is empty where v is nobody's.
func (f *fleet) span(v int, level topology.Level) (first, last int) {
	for first < len(f.nodes) && f.at[first][level] != v {
		first++
	}
	last = first
	for last < len(f.nodes) && f.at[last][level] == v {
		last++
	}
	return first, last
}

// domains lists what counts as a domain of the level for any node of
// [first, last).
func (f *fleet) domains(level topology.Level, first, last int) []int {
	var out []int
	for i := first; i < last; i++ {
		if v := f.at[i][level]; len(out) == 0 || out[len(out)-1] != v {
			out = append(out, v)
		}
	}
	return out
}

// cutsBelow gives, for each node of the domain v, at how many steps below v it and
// the next node part: 1 where they are in different children of v. A node that is
// fewer steps below counts as its own child.
func (f *fleet) cutsBelow(v int) (cuts [MaxNodes]int, first, last int) {
	isIn := func(i int) bool { return v == 0 || slices.Contains(f.paths[i], v) }
	for first < len(f.nodes) && !isIn(first) {
		first++
	}
	for last = first; last < len(f.nodes) && isIn(last); last++ {
		depth := slices.Index(f.paths[last], v) + 1
		cuts[last] = 1
		for last+1 < len(f.nodes) && depth+cuts[last] <= min(len(f.paths[last]), len(f.paths[last+1])) &&
			f.paths[last][depth+cuts[last]-1] == f.paths[last+1][depth+cuts[last]-1] {
			cuts[last]++
		}
	}
	return cuts, first, last
}

// common is the innermost vertex that holds all of the nodes.
func (f *fleet) common(nodes []int) int {
	for level := topology.Node; level > topology.Cluster; level-- {
		v := f.at[nodes[0]][level]
		if !slices.ContainsFunc(nodes, func(i int) bool { return f.at[i][level] != v }) {
			return v
		}
	}
	return 0
}
