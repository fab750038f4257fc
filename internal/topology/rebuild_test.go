package topology

import (
	"maps"
	"slices"
)

// DuplicateNode: a rebuild got a node twice with different facts. A State keeps the
// last ones.
const DuplicateNode ProblemKind = "DuplicateNode"

// Input is all evidence about the upper levels. The order of its lists has no
// meaning.
type Input struct {
	Declared []Declaration
	Nodes    []Labelled
	// Reports count for nodes of the cluster only.
	Reports []Report
	// Scan is the switch tree of the InfiniBand fabric.
	Scan Scan
}

// Assemble builds the fabric from scratch.
func Assemble(in Input) Assembly {
	s := NewState()
	s.Declare(in.Declared)
	s.SetScan(in.Scan)
	nodes, problems := distinctNodes(in.Nodes)
	reports, found := distinctReports(in.Reports)
	for _, n := range nodes {
		s.SetNode(n, reports[n.Name], NodeRoom{})
		problems = append(problems, found[n.Name]...)
	}
	a := s.Assembly()
	if len(problems) > 0 {
		a.Problems = tidy(append(a.Problems, problems...))
	}
	return a
}

// distinctNodes are the nodes, each once. One that is given twice with different
// facts keeps none of them.
func distinctNodes(given []Labelled) ([]Labelled, []Problem) {
	byName := map[string]Labelled{}
	contradicted := map[string]bool{}
	for _, n := range given {
		first, twice := byName[n.Name]
		if twice && (!maps.Equal(first.Labels, n.Labels) || !slices.Equal(slices.Sorted(slices.Values(first.In)), slices.Sorted(slices.Values(n.In)))) {
			contradicted[n.Name] = true
		}
		byName[n.Name] = n
	}
	var nodes []Labelled
	var problems []Problem
	for name, n := range byName {
		if contradicted[name] && name != "" {
			problems = append(problems, nodeProblem(DuplicateNode, name, "the node is given twice with different labels"))
			n = Labelled{Name: name}
		}
		nodes = append(nodes, n)
	}
	return nodes, problems
}

// distinctReports are the reports by node. Of reports that differ in what places
// the node none counts.
func distinctReports(given []Report) (map[string]*Report, map[string][]Problem) {
	out, problems := map[string]*Report{}, map[string][]Problem{}
	for i := range given {
		r := &given[i]
		first, twice := out[r.Node]
		switch {
		case !twice:
			out[r.Node] = r
		case first != nil && !samePlace(first, r):
			out[r.Node] = nil
			problems[r.Node] = append(problems[r.Node], nodeProblem(DuplicateNode, r.Node, "its reports name different fabrics"))
		}
	}
	return out, problems
}

func samePlace(a, b *Report) bool {
	sameFabric := a.Fabric == b.Fabric || a.Fabric != nil && b.Fabric != nil && *a.Fabric == *b.Fabric
	return sameFabric && slices.Equal(a.NICs, b.NICs)
}

// Summarise adds up the nodes of each domain. A node that no NodeRoom names
// counts as a node that is not ready; of several for one node the first counts.
func Summarise(a Assembly, rooms []NodeRoom) map[string]Summary {
	byNode := make(map[string]NodeRoom, len(rooms))
	for _, r := range rooms {
		if _, twice := byNode[r.Node]; !twice {
			byNode[r.Node] = r
		}
	}
	tallies := make(map[string]*tally, len(a.Domains))
	for _, d := range a.Domains {
		tallies[d.Name] = &tally{}
	}
	for _, n := range a.Nodes {
		room := byNode[n.Node].clamped()
		for _, domain := range n.Path[Fabric:Node] {
			if t := tallies[domain]; t != nil {
				t.add(room)
			}
		}
	}
	out := make(map[string]Summary, len(a.Domains))
	for name, t := range tallies {
		out[name] = t.summary()
	}
	return out
}
