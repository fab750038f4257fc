package placement

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// vertex is one domain, one node, or the whole cluster.
type vertex struct {
	name  string
	level topology.Level
	// parent is the number of the next wider vertex, -1 for the cluster.
	parent int
	// end closes the subtree: it is the vertices [own number, end).
	end int
	// domain is the domain, empty for a node and for the cluster.
	domain topology.Vertex
	// node is the index of the node, -1 for a domain.
	node     int
	children []int
}

// forest holds the vertices in depth-first order, siblings in natural order of
// their names. Vertex 0 is the cluster: it stands above every fabric and every
// node outside of one. Levels grow strictly from parent to child.
type forest struct {
	vertices []vertex
	// ofNode gives the vertex of each node.
	ofNode []int
	// atLevel lists the vertices of each level in rising order.
	atLevel [topology.Node + 1][]int
}

// newForest numbers the domains and nodes. Both are in natural order and their
// parents are known to exist and to be wider.
func newForest(domains []topology.Vertex, nodes []Node) *forest {
	below := map[string][]vertex{}
	for _, d := range domains {
		below[d.Parent] = append(below[d.Parent], vertex{name: d.Name, level: d.Level, domain: d, node: -1})
	}
	for i, n := range nodes {
		below[n.Domain] = append(below[n.Domain], vertex{name: n.Name, level: topology.Node, node: i})
	}
	for _, siblings := range below {
		slices.SortStableFunc(siblings, func(a, b vertex) int { return topology.CompareNatural(a.name, b.name) })
	}
	f := &forest{
		vertices: make([]vertex, 0, 1+len(domains)+len(nodes)),
		ofNode:   make([]int, len(nodes)),
	}
	f.add(vertex{level: topology.Cluster, node: -1}, -1, below)
	return f
}

// add appends v and everything below it, and returns the number of v.
func (f *forest) add(v vertex, parent int, below map[string][]vertex) int {
	id := len(f.vertices)
	v.parent = parent
	f.vertices = append(f.vertices, v)
	f.atLevel[v.level] = append(f.atLevel[v.level], id)
	if v.node >= 0 {
		f.ofNode[v.node] = id
	} else {
		children := make([]int, 0, len(below[v.name]))
		for _, child := range below[v.name] {
			children = append(children, f.add(child, id, below))
		}
		f.vertices[id].children = children
	}
	f.vertices[id].end = len(f.vertices)
	return id
}

// isDomainAt reports whether v is what a node below it counts as its domain of
// the level: the outermost vertex above the node that is not wider than level.
func (f *forest) isDomainAt(v int, level topology.Level) bool {
	at := f.vertices[v]
	return at.level >= level && (at.parent < 0 || f.vertices[at.parent].level < level)
}

// domainAt returns the domain of the level that holds v. It is v itself where v
// is wider than the level.
func (f *forest) domainAt(v int, level topology.Level) int {
	for p := f.vertices[v].parent; p >= 0 && f.vertices[p].level >= level; p = f.vertices[v].parent {
		v = p
	}
	return v
}

// common returns the tightest vertex above both a and b.
func (f *forest) common(a, b int) int {
	for b < a || b >= f.vertices[a].end {
		a = f.vertices[a].parent
	}
	return a
}

// checkDomains returns the level of every domain by name, or an error that
// names the first domain that breaks the rules of NewSnapshot.
func checkDomains(domains []topology.Vertex) (map[string]topology.Level, error) {
	levels := make(map[string]topology.Level, len(domains))
	for _, d := range domains {
		if d.Name == "" {
			return nil, fmt.Errorf("a domain of level %s has no name", d.Level)
		}
		if _, twice := levels[d.Name]; twice {
			return nil, fmt.Errorf("domain %s: the name is used twice", d.Name)
		}
		if d.Level < topology.Fabric || d.Level > topology.NVLinkDomain {
			return nil, fmt.Errorf("domain %s: level %s is not one of Fabric to NVLinkDomain", d.Name, d.Level)
		}
		if d.UplinkGbps < 0 {
			return nil, fmt.Errorf("domain %s: the uplink is negative", d.Name)
		}
		levels[d.Name] = d.Level
	}
	for _, d := range domains {
		if d.Parent == "" {
			continue
		}
		parent, known := levels[d.Parent]
		if !known {
			return nil, fmt.Errorf("domain %s: parent %s does not exist", d.Name, d.Parent)
		}
		if parent >= d.Level {
			return nil, fmt.Errorf("domain %s: parent %s is not wider", d.Name, d.Parent)
		}
	}
	return levels, nil
}
