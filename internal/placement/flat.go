package placement

import "github.com/k8s4ai/k8s4ai/internal/topology"

// vertex is one domain or one node of a flat fabric.
type vertex struct {
	level topology.Level
	// parent is the number of the next wider vertex, -1 for the cluster.
	parent int
	// end closes the subtree: it is the vertices [own number, end).
	end int
	// node is the index of the node, -1 for a domain.
	node  int
	place *place
}

// flat lists the domains and nodes of a snapshot in depth-first order. Vertex 0 is
// the cluster. Levels grow strictly from parent to child.
type flat struct {
	vertices []vertex
	nodes    []flatNode
}

// flatNode is a node.
type flatNode struct {
	slot
	kind *kind
}

// flatten lists everything in the snapshot. It looks at every node.
func (s *Snapshot) flatten() *flat {
	f := &flat{}
	f.add(s.root, -1)
	return f
}

func (f *flat) add(d *domain, parent int) {
	id := len(f.vertices)
	f.vertices = append(f.vertices, vertex{level: d.level, parent: parent, node: -1, place: d.place})
	for _, child := range d.children {
		f.add(child, id)
	}
	for i := range d.members {
		m := &d.members[i]
		f.vertices = append(f.vertices, vertex{level: topology.Node, parent: id, end: len(f.vertices) + 1, node: len(f.nodes), place: d.place})
		f.nodes = append(f.nodes, flatNode{slot{m.node, d.place}, m.kind})
	}
	f.vertices[id].end = len(f.vertices)
}

// isDomainAt reports whether v is what a node below it counts as its domain of
// the level: the outermost vertex above the node that is not wider than level.
func (f *flat) isDomainAt(v int, level topology.Level) bool {
	at := f.vertices[v]
	return at.level >= level && (at.parent < 0 || f.vertices[at.parent].level < level)
}

// domainAt returns the domain of the level that holds v. It is v itself where v
// is wider than the level.
func (f *flat) domainAt(v int, level topology.Level) int {
	for p := f.vertices[v].parent; p >= 0 && f.vertices[p].level >= level; p = f.vertices[v].parent {
		v = p
	}
	return v
}

// name is the name of the domain or node.
func (f *flat) name(v int) string {
	if node := f.vertices[v].node; node >= 0 {
		return f.nodes[node].node.Name
	}
	return f.vertices[v].place.vertex.Name
}
