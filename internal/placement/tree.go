package placement

import (
	"slices"
	"sync/atomic"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// place is what never changes of a domain. Place 0 is the cluster: it stands above
// every fabric and every node outside of one.
type place struct {
	// id is dense, in depth-first order.
	id     int
	level  topology.Level
	vertex topology.Vertex
	parent *place
	// at is the position among the children of the parent.
	at int
}

// domain is one version of a domain and of everything below it. It does not
// change once a Snapshot has been taken of it: a State copies the path from a
// node to the cluster before it writes to it.
type domain struct {
	*place
	// stamp is of no other content, of this or any other domain.
	stamp uint64
	// edition is that of the State that may still write to this version.
	edition uint64
	// children are in natural order of their names.
	children []*domain
	// members are the nodes directly in the domain, in natural order, and tallies
	// how many of them are of each kind, in order of the kinds' index.
	members []member
	tallies []tally
	// traits count the nodes below the domain, at any depth, in order of their id.
	traits []traitTally
}

// member is a node in its innermost domain.
type member struct {
	// node is as it was set; what is used of it now is in load.
	node *Node
	kind *kind
	load *taken
}

// taken is what is taken of a node. It does not change.
type taken struct {
	// used is by column. Columns beyond its length are 0.
	used []int64
	// changed is the generation of the State at the node's last change.
	changed uint64
}

type tally struct {
	kind *kind
	n    int
}

type traitTally struct {
	traits *traits
	n      int
}

// isLocalAt reports whether a node below d counts d as its domain of the level:
// whether d is the outermost vertex above the node that is not wider.
func (s *place) isLocalAt(level topology.Level) bool {
	return s.level >= level && (s.parent == nil || s.parent.level < level)
}

// common is the tightest domain around both.
func (s *place) common(other *place) *place {
	for s != other {
		if s.level >= other.level && s.parent != nil {
			s = s.parent
		} else {
			other = other.parent
		}
	}
	return s
}

// walk visits d and every domain below it, outer ones first.
func (d *domain) walk(visit func(*domain)) {
	visit(d)
	for _, child := range d.children {
		child.walk(visit)
	}
}

// count adds n nodes of the kind to the tallies of a domain that may be written.
func (d *domain) count(k *kind, n int) {
	at, found := slices.BinarySearchFunc(d.tallies, k, func(t tally, k *kind) int { return t.kind.index - k.index })
	for found && d.tallies[at].kind != k {
		// Two kinds share an index while one of them is of an older snapshot only.
		if at++; at == len(d.tallies) || d.tallies[at].kind.index != k.index {
			found = false
		}
	}
	switch {
	case !found:
		d.tallies = slices.Insert(d.tallies, at, tally{k, n})
	case d.tallies[at].n+n == 0:
		d.tallies = slices.Delete(d.tallies, at, at+1)
	default:
		d.tallies[at].n += n
	}
}

// countTraits adds n nodes to the counts of a domain that may be written.
func (d *domain) countTraits(t *traits, n int) {
	at, found := slices.BinarySearchFunc(d.traits, t, func(have traitTally, t *traits) int { return have.traits.id - t.id })
	switch {
	case !found:
		d.traits = slices.Insert(d.traits, at, traitTally{t, n})
	case d.traits[at].n+n == 0:
		d.traits = slices.Delete(d.traits, at, at+1)
	default:
		d.traits[at].n += n
	}
}

// find returns the position of a node among the members, and where it would be.
func (d *domain) find(name string, hint int) (at int, found bool) {
	if hint < len(d.members) && d.members[hint].node.Name == name {
		return hint, true
	}
	return slices.BinarySearchFunc(d.members, name, func(m member, name string) int {
		return topology.CompareNatural(m.node.Name, name)
	})
}

// fleet is what all versions of one tree share: its fixed part, and tables that
// save work and change no answer.
type fleet struct {
	places []*place
	byName map[string]*place
	// stamps hands out stamps and editions.
	stamps   atomic.Uint64
	homes    homes
	kinds    kinds
	views    views
	supplies supplies
	wanted   wanted
}

// newFleet numbers the domains, which are known to be a forest, and returns the
// tree without nodes.
func newFleet(domains []topology.Vertex) (*fleet, *domain) {
	f := &fleet{byName: make(map[string]*place, len(domains))}
	f.homes.of = map[string]home{}
	f.kinds.reset()
	f.views.reset()
	f.supplies.reset()
	f.wanted.reset()
	below := make(map[string][]topology.Vertex, len(domains))
	for _, d := range domains {
		below[d.Parent] = append(below[d.Parent], d)
	}
	for _, siblings := range below {
		slices.SortFunc(siblings, func(a, b topology.Vertex) int { return topology.CompareNatural(a.Name, b.Name) })
	}
	return f, f.plant(topology.Vertex{Level: topology.Cluster}, nil, 0, below)
}

// plant makes the domain and everything below it.
func (f *fleet) plant(v topology.Vertex, parent *place, at int, below map[string][]topology.Vertex) *domain {
	s := &place{id: len(f.places), level: v.Level, vertex: v, parent: parent, at: at}
	f.places = append(f.places, s)
	if parent != nil {
		f.byName[v.Name] = s
	}
	d := &domain{place: s, stamp: f.stamps.Add(1)}
	for i, child := range below[v.Name] {
		d.children = append(d.children, f.plant(child, s, i, below))
	}
	return d
}

// placeOf is where nodes of a named domain live, nil for a domain that does not
// exist. The empty name is the cluster.
func (f *fleet) placeOf(domain string) *place {
	if domain == "" {
		return f.places[0]
	}
	return f.byName[domain]
}
