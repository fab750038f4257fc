package topology

import (
	"cmp"
	"fmt"
	"slices"
)

// identity tells two domains apart that labels or reports name. values hold the
// path of label values from Fabric to the domain's own level, "" where there is
// none. An NVLink domain has its key as provider and its value in the last
// place only: its name is unique by itself.
type identity struct {
	level    Level
	provider string
	values   [Node]string
}

func (id identity) value() string { return id.values[id.level] }

func compareIdentities(a, b identity) int {
	return cmp.Or(
		cmp.Compare(a.level, b.level),
		cmp.Compare(a.provider, b.provider),
		slices.Compare(a.values[:], b.values[:]),
	)
}

// identify names the domain that the evidence gives for a level; ok is false
// when it gives none.
func (e evidence) identify(level Level) (id identity, ok bool) {
	h := e.at[level]
	if h.key == "" {
		return identity{}, false
	}
	id = identity{level: level, provider: e.provider}
	if level == NVLinkDomain {
		id.provider = h.key
		id.values[level] = h.value
		return id, true
	}
	for l := Fabric; l <= level; l++ {
		id.values[l] = e.at[l].value
	}
	return id, true
}

// seat is a place in the fabric while it is being built: a derived group, or a
// declared domain, or neither.
type seat struct {
	group  *group
	anchor string
}

func (s seat) name() string {
	if s.group != nil {
		return s.group.name
	}
	return s.anchor
}

func (s seat) String() string {
	switch {
	case s.group != nil:
		return s.group.String()
	case s.anchor != "":
		return "declared domain " + quote(s.anchor)
	default:
		return "no domain"
	}
}

// group is a domain in the making, from labels or reports.
type group struct {
	id     identity
	key    string
	source Source
	parent seat
	// parents are the seats that its nodes have around it. More than one means
	// that the group cannot be trusted.
	parents []seat
	nodes   []string
	name    string
}

func (g *group) String() string {
	return fmt.Sprintf("%s %s of %s", g.id.level, quote(g.id.value()), g.key)
}

func (g *group) vertex() Vertex {
	return Vertex{Name: g.name, Level: g.id.level, Parent: g.parent.name()}
}

func (g *group) add(node string, h hint, parent seat) {
	g.nodes = append(g.nodes, node)
	g.key = h.key
	g.source = strongest(g.source, h.source)
	if !slices.Contains(g.parents, parent) {
		g.parents = append(g.parents, parent)
	}
}

// derivation finds the domains that fill the levels inside the declared ones.
type derivation struct {
	declared *Tree
	facts    []evidence
	byID     map[identity]*group
	// groups are ordered outer levels first, then by identity.
	groups []*group
	// innermost is where each node ends up.
	innermost map[string]seat
	problems  []Problem
}

// derive works from the outside in: a group's parent is settled before the
// group is.
func derive(declared *Tree, facts []evidence) *derivation {
	d := &derivation{declared: declared, byID: map[identity]*group{}, innermost: map[string]seat{}}
	for _, e := range facts {
		if declared.Lost(e.node) {
			continue
		}
		d.facts = append(d.facts, e)
		d.innermost[e.node] = seat{anchor: declared.Domain(e.node)}
	}
	for level := Fabric; level <= NVLinkDomain; level++ {
		d.fill(level)
	}
	return d
}

// open reports whether the declaration says nothing about that level of a node.
// The levels outside of a declared domain are not open: what was declared is
// complete outwards.
func (d *derivation) open(node string, level Level) bool {
	v, ok := d.declared.Vertex(d.declared.Domain(node))
	return !ok || level > v.Level
}

// fill adds the groups of one level. A group keeps its nodes only if they all
// have the same seat around it.
func (d *derivation) fill(level Level) {
	var groups []*group
	for _, e := range d.facts {
		id, ok := e.identify(level)
		if !ok || !d.open(e.node, level) {
			continue
		}
		g := d.byID[id]
		if g == nil {
			g = &group{id: id, source: Labels}
			d.byID[id] = g
			groups = append(groups, g)
		}
		g.add(e.node, e.at[level], d.innermost[e.node])
	}
	slices.SortFunc(groups, func(a, b *group) int { return compareIdentities(a.id, b.id) })
	for _, g := range groups {
		if len(g.parents) > 1 {
			d.cut(g)
			continue
		}
		g.parent = g.parents[0]
		d.groups = append(d.groups, g)
		for _, node := range g.nodes {
			d.innermost[node] = seat{group: g}
		}
	}
}

// cut reports a group that spans seats, to its nodes and to the declared
// domains that it spans.
func (d *derivation) cut(g *group) {
	facts := []string{g.String()}
	for _, p := range g.parents {
		facts = append(facts, "has nodes in "+p.String())
	}
	slices.Sort(facts[1:])
	for _, p := range g.parents {
		if p.anchor != "" {
			d.problems = append(d.problems, domainProblem(SpansDomains, p.anchor, facts...))
		}
	}
	for _, node := range g.nodes {
		d.problems = append(d.problems, nodeProblem(SpansDomains, node, facts...))
	}
}

// memberships lists where the nodes ended up.
func (d *derivation) memberships() []Membership {
	var out []Membership
	for _, e := range d.facts {
		if name := d.innermost[e.node].name(); name != "" {
			out = append(out, Membership{Node: e.node, Domain: name})
		}
	}
	return out
}
