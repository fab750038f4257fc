package topology

import (
	"cmp"
	"maps"
	"slices"
)

// Source is the evidence that a domain comes from.
type Source string

const (
	// Declared: the platform team says so.
	Declared Source = "Declared"
	// Reported: the driver of at least one of its nodes says so.
	Reported Source = "Reported"
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
}

// Input is all evidence about the upper levels. The order of its lists has no
// meaning.
type Input struct {
	Declared []Declaration
	Nodes    []Labelled
	// Reports count for nodes of the cluster only.
	Reports []Report
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

// Assemble builds the fabric from what was declared, what drivers report and
// what labels say, in this order of strength.
//
// A declared domain is complete outwards: labels never add a parent to it.
// Inwards they may, at levels that the declaration leaves open: a Leaf from a
// label hangs below a declared Block when all its nodes are in that Block. A
// node whose declaration cannot be trusted is outside, labels or not.
//
// A domain from labels is identified by its provider and its whole path, an
// NVLink domain by its value alone.
func Assemble(in Input) Assembly {
	nodes, problems := distinctNodes(in.Nodes)
	declared, found := declare(in.Declared, nodes)
	problems = append(problems, found...)
	facts, found := gather(nodes, in.Reports)
	problems = append(problems, found...)
	problems = append(problems, disagreements(declared, facts)...)

	d := derive(declared, facts)
	problems = append(problems, d.problems...)
	assignNames(d.groups, takenNames(in.Declared, nodes))

	sources := map[string]Source{}
	vertices := declared.Vertices()
	for _, v := range vertices {
		sources[v.Name] = Declared
	}
	for _, g := range d.groups {
		vertices = append(vertices, g.vertex())
		sources[g.name] = g.source
	}
	// Derived groups hang on what exists, so that this adds no problem; the
	// check stays so that no Assembly is anything but a forest.
	tree, found := NewTree(vertices, d.memberships())
	problems = append(problems, found...)
	return present(tree, nodes, sources, problems)
}

// distinctNodes sorts the nodes. One that is given twice with different labels
// keeps none of them.
func distinctNodes(given []Labelled) ([]Labelled, []Problem) {
	byName := map[string]Labelled{}
	contradicted := map[string]bool{}
	for _, n := range given {
		first, twice := byName[n.Name]
		if twice && !maps.Equal(first.Labels, n.Labels) {
			contradicted[n.Name] = true
		}
		byName[n.Name] = n
	}
	var nodes []Labelled
	var problems []Problem
	for _, name := range sortedKeys(byName) {
		n := byName[name]
		if name == "" {
			continue
		}
		if contradicted[name] {
			problems = append(problems, nodeProblem(DuplicateNode, name, "the node is given twice with different labels"))
			n.Labels = nil
		}
		nodes = append(nodes, n)
	}
	return nodes, problems
}

// declare builds the forest of what was declared, with the nodes that exist.
func declare(declarations []Declaration, nodes []Labelled) (*Tree, []Problem) {
	exists := map[string]bool{}
	for _, n := range nodes {
		exists[n.Name] = true
	}
	var problems []Problem
	var vertices []Vertex
	var listed []Membership
	for _, d := range declarations {
		vertices = append(vertices, d.Vertex)
		absent := map[string]bool{}
		for _, node := range d.Members {
			if exists[node] {
				listed = append(listed, Membership{Node: node, Domain: d.Name})
			} else {
				absent[node] = true
			}
		}
		if len(absent) > 0 {
			facts := sortedKeys(absent)
			for i := range facts {
				facts[i] = "node " + quote(facts[i]) + " does not exist"
			}
			problems = append(problems, domainProblem(UnknownNode, d.Name, facts...))
		}
		if exists[d.Name] {
			problems = append(problems, domainProblem(NameOfNode, d.Name, "a node has the same name"))
		}
	}
	tree, found := NewTree(vertices, listed)
	return tree, append(problems, found...)
}

// gather reads each node's labels and report.
func gather(nodes []Labelled, reports []Report) ([]evidence, []Problem) {
	fabrics := map[string][]NVLinkFabric{}
	for _, r := range reports {
		if r.Fabric != nil {
			fabrics[r.Node] = append(fabrics[r.Node], *r.Fabric)
		}
	}
	var facts []evidence
	var problems []Problem
	for _, n := range nodes {
		e, found := readLabels(n.Name, n.Labels)
		problems = append(problems, found...)
		clique, settled, found := gatherNVLink(n, fabrics[n.Name])
		problems = append(problems, found...)
		provided := e.at[NVLinkDomain]
		if settled && clique.key == "" && provided.key != "" {
			problems = append(problems, nodeProblem(Disagreement, n.Name, noCliqueFact, provided.String()))
		}
		if settled || clique.key != "" {
			e.at[NVLinkDomain] = clique
		}
		facts = append(facts, e)
	}
	return facts, problems
}

const noCliqueFact = "NVML says that there is no clique"

// gatherNVLink weighs the driver against the clique label, which both name the
// domain by the same pair of ids. settled means that the driver has spoken, so
// that an empty hint is knowledge and not the lack of it.
func gatherNVLink(n Labelled, fabrics []NVLinkFabric) (h hint, settled bool, problems []Problem) {
	label, problems := readClique(n.Name, n.Labels)
	for _, f := range fabrics {
		if f != fabrics[0] {
			fact := "its reports name different NVLink fabrics"
			return label, false, append(problems, nodeProblem(DuplicateNode, n.Name, fact))
		}
	}
	if len(fabrics) == 0 {
		return label, false, problems
	}
	driver, settled, found := readFabric(n.Name, fabrics[0])
	problems = append(problems, found...)
	if !settled {
		return label, false, problems
	}
	if label.key != "" && label.value != driver.value {
		fact := noCliqueFact
		if driver.key != "" {
			fact = driver.String()
		}
		problems = append(problems, nodeProblem(Disagreement, n.Name, fact, label.String()))
	}
	return driver, true, problems
}

// takenNames are the names that a derived domain cannot have. Domains that were
// left out are among them, since their objects exist.
func takenNames(declarations []Declaration, nodes []Labelled) map[string]bool {
	taken := map[string]bool{}
	for _, d := range declarations {
		taken[d.Name] = true
	}
	for _, n := range nodes {
		taken[n.Name] = true
	}
	return taken
}

// present lists the forest with its nodes.
func present(tree *Tree, nodes []Labelled, sources map[string]Source, problems []Problem) Assembly {
	var a Assembly
	direct, all := map[string][]string{}, map[string][]string{}
	for _, n := range nodes {
		path := tree.Path(n.Name)
		domain := tree.Domain(n.Name)
		a.Nodes = append(a.Nodes, Place{Node: n.Name, Domain: domain, Path: path, Labels: mirrored(path)})
		if domain != "" {
			direct[domain] = append(direct[domain], n.Name)
		}
		for _, d := range path[Fabric:Node] {
			if d != "" {
				all[d] = append(all[d], n.Name)
			}
		}
	}
	for _, v := range tree.Vertices() {
		a.Domains = append(a.Domains, Domain{Vertex: v, Source: sources[v.Name], Nodes: direct[v.Name], AllNodes: all[v.Name]})
		if mirrors[v.Level] != "" && len(v.Name) > maxLabelValue {
			problems = append(problems, domainProblem(NameTooLong, v.Name, "the name is longer than a label value of 63 bytes"))
		}
	}
	a.Problems = tidy(problems)
	return a
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

// strength orders sources, strongest first.
func strength(s Source) int {
	return slices.Index([]Source{Declared, Reported, Labels}, s)
}

func strongest(a, b Source) Source {
	if cmp.Compare(strength(a), strength(b)) <= 0 {
		return a
	}
	return b
}
