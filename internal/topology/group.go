package topology

import (
	"maps"
	"slices"
)

// domain is one vertex of the fabric, declared or derived. A derived one is a
// group of nodes that evidence names together.
type domain struct {
	level Level
	// name is "" for a group that is no vertex.
	name string
	// accepted says that the domain is a part of the forest, below parent or as a
	// root.
	accepted bool
	parent   *domain
	tally    tally

	// isDeclared, uplinkGbps and problems come from a declaration. absent are
	// listed nodes that the cluster does not have, troubled the nodes of whose
	// problems the domain tells, and spanned the groups that are cut because some
	// of their nodes are here.
	isDeclared bool
	uplinkGbps int64
	problems   []Problem
	absent     map[string]bool
	troubled   map[*node]struct{}
	spanned    map[*domain]struct{}

	// id, key and what follows are of a group. nodes are those that the evidence
	// names, around counts them by the domain that holds each of them. More than
	// one such domain means that the group cannot be trusted: it is cut.
	id       identity
	key      string
	nodes    map[*node]struct{}
	around   map[*domain]int
	bySource map[Source]int
	source   Source
	// facts say why the group is cut, over are the domains that it spans.
	facts []string
	over  []*domain
	asked []string
}

// String is the domain as a problem names it.
func (d *domain) String() string {
	switch {
	case d == nil:
		return "no domain"
	case d.isDeclared:
		return "declared domain " + quote(d.name)
	}
	return describeGroup(d.id, d.key)
}

func (d *domain) vertex() Vertex {
	v := Vertex{Name: d.name, Level: d.level, UplinkGbps: d.uplinkGbps}
	if d.parent != nil {
		v.Parent = d.parent.name
	}
	return v
}

// member is a node's part in a group.
type member struct {
	group  *domain
	around *domain
	source Source
}

// fill settles the groups of one level for the nodes that are dirty. Nodes whose
// surroundings change by that are dirty from then on, for the levels inside.
func (s *State) fill(level Level) {
	touched := map[*domain]struct{}{}
	for n := range s.dirty {
		now := s.membership(n, level)
		was := n.member[level]
		if was == now {
			continue
		}
		n.member[level] = now
		if was.group != nil {
			was.group.leave(n, was)
			touched[was.group] = struct{}{}
		}
		if now.group != nil {
			now.group.join(n, now)
			touched[now.group] = struct{}{}
		}
	}
	for g := range touched {
		s.resolve(g)
	}
	for n := range s.dirty {
		n.inner[level] = n.member[level].group
		if g := n.inner[level]; g == nil || !g.accepted {
			n.inner[level] = n.outside(level)
		}
	}
}

// outside is the innermost domain of a node beyond a level.
func (n *node) outside(level Level) *domain {
	if level == Fabric {
		return n.home
	}
	return n.inner[level-1]
}

// membership finds the group that a node is in by its evidence. A declaration
// leaves the levels inside of it open; outwards it is complete.
func (s *State) membership(n *node, level Level) member {
	if n.gone || n.lost || n.home != nil && level <= n.home.level {
		return member{}
	}
	c := deciding(n.claims, level)
	if c == nil {
		return member{}
	}
	g := s.groups[c.id]
	if g == nil {
		g = &domain{level: level, id: c.id, key: c.hint.key, nodes: map[*node]struct{}{}, around: map[*domain]int{}, bySource: map[Source]int{}}
		s.groups[c.id] = g
	}
	return member{group: g, around: n.outside(level), source: c.hint.source}
}

func (d *domain) join(n *node, as member) {
	d.nodes[n] = struct{}{}
	d.around[as.around]++
	d.bySource[as.source]++
}

func (d *domain) leave(n *node, as member) {
	delete(d.nodes, n)
	if d.around[as.around]--; d.around[as.around] == 0 {
		delete(d.around, as.around)
	}
	if d.bySource[as.source]--; d.bySource[as.source] == 0 {
		delete(d.bySource, as.source)
	}
}

// resolve decides whether a group whose nodes have changed is a domain, and where
// it hangs.
func (s *State) resolve(g *domain) {
	wasAccepted, wasParent := g.accepted, g.parent
	g.accepted, g.parent = len(g.around) == 1, nil
	if g.accepted {
		for around := range g.around {
			g.parent = around
		}
	}
	switch {
	case g.accepted != wasAccepted:
		for n := range g.nodes {
			s.dirty[n] = struct{}{}
		}
	case g.parent != wasParent:
		// The seats of what is inside stay, and their paths change.
		for n := range g.nodes {
			s.moved[n] = struct{}{}
		}
		s.markDomain(g)
	}
	source := Labels
	for _, stronger := range []Source{Scanned, Reported} {
		if g.bySource[stronger] > 0 {
			source = stronger
		}
	}
	if source != g.source {
		g.source = source
		s.markDomain(g)
	}
	s.names.want(g, g.accepted)
	s.cut(g)
	if len(g.nodes) == 0 {
		delete(s.groups, g.id)
	}
}

// cut tells the nodes of a group that spans domains, and the declared ones of
// these, or takes that back.
func (s *State) cut(g *domain) {
	var facts []string
	var over []*domain
	if len(g.around) > 1 {
		facts = append(facts, g.String())
		for _, around := range slices.Collect(maps.Keys(g.around)) {
			facts = append(facts, "has nodes in "+around.String())
			if around != nil && around.isDeclared {
				over = append(over, around)
			}
		}
		slices.Sort(facts[1:])
		facts = boundFacts(facts)
	}
	sameFacts := slices.Equal(facts, g.facts)
	g.facts = facts
	for _, d := range g.over {
		if delete(d.spanned, g); !slices.Contains(over, d) || !sameFacts {
			s.markDomain(d)
		}
	}
	for _, d := range over {
		if d.spanned[g] = struct{}{}; !slices.Contains(g.over, d) || !sameFacts {
			s.markDomain(d)
		}
	}
	g.over = over
	if !sameFacts {
		for n := range g.nodes {
			s.doubt(n)
		}
	}
}
