package topology

import (
	"maps"
	"slices"
)

// Source is the evidence that a domain comes from.
type Source string

const (
	// Declared: the platform team says so.
	Declared Source = "Declared"
	// Reported: agents say so, by the driver of at least one of its nodes or by
	// the subnets of its nodes' RoCE ports.
	Reported Source = "Reported"
	// Scanned: a scan of the InfiniBand fabric shows it.
	Scanned Source = "Scanned"
	// Labels: node labels say so.
	Labels Source = "Labels"
)

// The labels that mirror a node's place. They are written, never read.
const (
	BlockLabel        = "topology.k8s4ai.io/block"
	LeafLabel         = "topology.k8s4ai.io/leaf"
	NVLinkDomainLabel = "topology.k8s4ai.io/nvlink-domain"
)

// mirrors is indexed by level.
var mirrors = [Node]string{Block: BlockLabel, Leaf: LeafLabel, NVLinkDomain: NVLinkDomainLabel}

// maxLabelValue is the longest value that the API server accepts for a label.
const maxLabelValue = 63

// Declaration is a domain that the platform team has declared.
type Declaration struct {
	Vertex
	// Members are the nodes that are listed or selected, by name. A node that is
	// also listed further inside belongs to the innermost domain.
	Members []string
}

// Labelled is a node of the cluster with its labels.
type Labelled struct {
	Name   string
	Labels map[string]string
	// In are declared domains that the node is in beyond those that list it as a
	// member: a selector takes it, or its own TopologyDomain says so.
	In []string
}

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

// Domain is one domain above the nodes.
type Domain struct {
	Vertex
	// Source is the strongest evidence for the domain.
	Source Source
	// Nodes are directly in the domain, AllNodes at any depth, both in natural
	// order.
	Nodes    []string
	AllNodes []string
}

// Place is where a node sits.
type Place struct {
	Node string
	// Domain is the innermost domain, "" for a node outside of every fabric.
	Domain string
	Path   Path
	// Labels are all mirrored labels that the node is to have. A mirrored label
	// that is not in it is to be removed. It is nil when there are none.
	Labels map[string]string
}

// Assembly is the fabric as far as the evidence carries.
type Assembly struct {
	// Domains are ordered outer levels first, then by name.
	Domains []Domain
	// Nodes has one entry per node of the cluster, in natural order.
	Nodes    []Place
	Problems []Problem
}

// Vertices lists the domains without their nodes, parents first.
func (a Assembly) Vertices() []Vertex {
	out := make([]Vertex, len(a.Domains))
	for i, d := range a.Domains {
		out[i] = d.Vertex
	}
	return out
}

// Assemble builds the fabric from what was declared, what drivers report, what a
// scan shows, what labels say and which subnets ports share, in this order of
// strength.
//
// A declared domain is complete outwards: other evidence never adds a parent to
// it. Inwards it may, at levels that the declaration leaves open: a Leaf from a
// label hangs below a declared Block when all its nodes are in that Block. A
// node whose declaration cannot be trusted is outside, labels or not.
//
// The path of a node down to its leaf comes from one source. A domain from labels
// is identified by its provider and its whole path, an NVLink domain by its value
// alone, a leaf of a scan by its lowest switch.
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

func mirrored(path Path) map[string]string {
	var labels map[string]string
	for level, key := range mirrors {
		name := path[level]
		if key == "" || name == "" || len(name) > maxLabelValue {
			continue
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = name
	}
	return labels
}
