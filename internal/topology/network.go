package topology

import (
	"maps"
	"slices"
	"strings"
)

// spot is where a part of a network is, by level; Fabric to Leaf are used.
type spot [NVLinkDomain]string

// network finds what machines join: vertices, such as switches or subnets, that
// are connected through machines are one part. A machine is an edge that holds
// any number of vertices, and machines with the same vertices share the edge, so
// that most changes leave the parts as they are.
type network struct {
	edges map[string]*edge
	parts map[string]*part
	// stale are parts that have to be described again.
	stale map[*part]struct{}
	// describe says where a part is.
	describe func(vertices map[string]struct{}) spot
}

type edge struct {
	key      string
	vertices []string
	nodes    map[*node]struct{}
	part     *part
	// spot is what the nodes were told last.
	spot spot
}

type part struct {
	vertices map[string]struct{}
	edges    map[*edge]struct{}
	// torn means that the part lost an edge, so that it may be several by now.
	torn bool
}

func newNetwork(describe func(map[string]struct{}) spot) *network {
	return &network{edges: map[string]*edge{}, parts: map[string]*part{}, stale: map[*part]struct{}{}, describe: describe}
}

// move takes a node from one edge, nil for none, to the edge of the given
// vertices, which are sorted. It returns that edge, nil without vertices.
func (w *network) move(n *node, from *edge, vertices []string) *edge {
	if from != nil && slices.Equal(from.vertices, vertices) {
		return from
	}
	if from != nil {
		delete(from.nodes, n)
		if len(from.nodes) == 0 {
			delete(w.edges, from.key)
			delete(from.part.edges, from)
			from.part.torn = true
			w.stale[from.part] = struct{}{}
		}
	}
	if len(vertices) == 0 {
		return nil
	}
	key := strings.Join(vertices, "\x00")
	e := w.edges[key]
	if e == nil {
		e = &edge{key: key, vertices: vertices, nodes: map[*node]struct{}{}}
		w.edges[key] = e
		w.attach(e)
	}
	e.nodes[n] = struct{}{}
	return e
}

// attach joins the parts that an edge touches. The largest one takes the others
// in, so that a vertex moves a logarithmic number of times.
func (w *network) attach(e *edge) {
	whole := &part{vertices: map[string]struct{}{}, edges: map[*edge]struct{}{}}
	for _, v := range e.vertices {
		if p := w.parts[v]; p != nil && len(p.vertices)+len(p.edges) > len(whole.vertices)+len(whole.edges) {
			whole = p
		}
	}
	for _, v := range e.vertices {
		switch p := w.parts[v]; p {
		case whole:
		case nil:
			w.parts[v] = whole
			whole.vertices[v] = struct{}{}
		default:
			w.merge(whole, p)
		}
	}
	e.part = whole
	whole.edges[e] = struct{}{}
	w.stale[whole] = struct{}{}
}

func (w *network) merge(whole, p *part) {
	for v := range p.vertices {
		whole.vertices[v] = struct{}{}
		w.parts[v] = whole
	}
	for e := range p.edges {
		whole.edges[e] = struct{}{}
		e.part = whole
	}
	whole.torn = whole.torn || p.torn
	delete(w.stale, p)
}

// refresh describes every part again.
func (w *network) refresh() {
	for _, p := range w.parts {
		w.stale[p] = struct{}{}
	}
}

// settle works out the parts that have changed, and tells the nodes whose spot
// has.
func (w *network) settle(tell func(*node)) {
	for p := range maps.Clone(w.stale) {
		if !p.torn {
			continue
		}
		delete(w.stale, p)
		for v := range p.vertices {
			delete(w.parts, v)
		}
		for e := range p.edges {
			w.attach(e)
		}
	}
	for p := range w.stale {
		where := w.describe(p.vertices)
		for e := range p.edges {
			if e.spot == where {
				continue
			}
			e.spot = where
			for n := range e.nodes {
				tell(n)
			}
		}
	}
	w.stale = map[*part]struct{}{}
}
