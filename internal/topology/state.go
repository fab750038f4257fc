package topology

import (
	"maps"
	"slices"
)

// State is a fabric that follows its evidence: what was declared, what drivers
// report, what a scan shows, what labels say and which subnets ports share, in this
// order of strength. It is the same for the same evidence, whatever the order in
// which that came.
//
// A declared domain is complete outwards: other evidence never adds a parent to
// it. Inwards it may, at levels that the declaration leaves open: a Leaf from a
// label hangs below a declared Block when all its nodes are in that Block. A
// node whose declaration cannot be trusted is outside, labels or not.
//
// The path of a node down to its leaf comes from one source. A domain from labels
// is identified by its provider and its whole path, an NVLink domain by its value
// alone, a leaf of a scan by its lowest switch.
//
// A change of one node costs the domains above the node before and after, and
// beyond that only what the change really changes: when it brings two domains of
// one name into the fabric, or turns a vote, the nodes that are concerned are
// worked on, too. A change of declarations or of the scan costs every node.
//
// Changes are collected and worked out when the State is asked. It is not safe
// for use by several goroutines.
type State struct {
	nodes map[string]*node
	// declared are the declared domains, those that are left out among them.
	declared map[string]*domain
	forest   *forest
	// listed are the domains that name a node.
	listed map[string][]string
	groups map[identity]*domain
	// derived are the groups that are domains, by name.
	derived map[string]*domain
	names   *naming

	scan            atlas
	guids           registry
	subnets         map[string]map[*node]struct{}
	switches, rails *network
	votes           *votes

	// dirty are nodes whose evidence is to be read again, moved those whose path
	// is, and doubted those whose problems are.
	dirty, moved, doubted map[*node]struct{}
	// changed is what Take returns.
	changedDomains, changedNodes map[string]struct{}
}

// node is one node of the cluster, with what it has contributed to the rest.
type node struct {
	name string
	// in are the declared domains whose selector takes the node.
	in   []string
	gone bool
	read reading
	room NodeRoom

	// home is the innermost declared domain, lost means that what is declared of
	// the node cannot be trusted.
	home    *domain
	lost    bool
	homing  []Problem
	plugged *edge
	routed  *edge
	claims  []claim
	ballots []ballot
	// member and inner are indexed by level.
	member [Node]member
	inner  [Node]*domain

	// path are the domains that count the node, with the room that they count.
	path    [Node]*domain
	counted NodeRoom
	known   bool
	// problems are told by the domains of telling, too.
	problems []Problem
	telling  []string
}

// NewState returns the State of an empty cluster.
func NewState() *State {
	s := &State{
		nodes: map[string]*node{}, declared: map[string]*domain{}, forest: grow(nil), listed: map[string][]string{},
		groups: map[identity]*domain{}, derived: map[string]*domain{}, names: newNaming(),
		scan: newAtlas(Scan{}), guids: registry{}, subnets: map[string]map[*node]struct{}{}, votes: newVotes(),
		dirty: map[*node]struct{}{}, moved: map[*node]struct{}{}, doubted: map[*node]struct{}{},
		changedDomains: map[string]struct{}{}, changedNodes: map[string]struct{}{},
	}
	s.switches = newNetwork(func(switches map[string]struct{}) spot { return s.scan.locate(switches) })
	s.rails = newNetwork(leastRail)
	return s
}

// SetNode says what is known of a node: its labels, its report, nil for none, and
// its room. The node of report and of room is the labelled one. A node without a
// name is ignored.
func (s *State) SetNode(labelled Labelled, report *Report, room NodeRoom) {
	if labelled.Name == "" {
		return
	}
	n := s.nodes[labelled.Name]
	if n == nil {
		n = &node{name: labelled.Name, gone: true}
		s.nodes[n.name] = n
	}
	if n.gone {
		n.gone = false
		s.appear(n.name, true)
	}
	s.enlist(n, false)
	n.read = read(labelled, report)
	s.enlist(n, true)
	n.in = slices.Clone(labelled.In)
	n.room = room.clamped()
	s.touch(n)
}

// RemoveNode says that a node has left the cluster.
func (s *State) RemoveNode(name string) {
	n := s.nodes[name]
	if n == nil || n.gone {
		return
	}
	s.enlist(n, false)
	n.gone, n.read, n.in = true, reading{}, nil
	s.appear(name, false)
	s.touch(n)
}

// appear tells what a node's coming or going means for names, and for the
// domains that list it.
func (s *State) appear(name string, here bool) {
	by := 1
	if !here {
		by = -1
	}
	s.names.take(name, by)
	if d := s.declared[name]; d != nil {
		s.markDomain(d)
	}
	for _, listing := range s.listed[name] {
		d := s.declared[listing]
		if here {
			delete(d.absent, name)
		} else {
			d.absent[name] = true
		}
		s.markDomain(d)
	}
}

// SetScan replaces the scan of the InfiniBand fabric.
func (s *State) SetScan(scan Scan) {
	s.scan = newAtlas(scan)
	s.switches.refresh()
	for _, n := range s.nodes {
		s.touch(n)
	}
}

// Declare replaces what is declared. Nodes that a selector takes are not among
// the members: their Labelled.In says so.
func (s *State) Declare(declared []Declaration) {
	vertices := make([]Vertex, len(declared))
	for i, d := range declared {
		vertices[i] = d.Vertex
	}
	s.forest = grow(vertices)
	problems := map[string][]Problem{}
	for _, p := range s.forest.problems {
		problems[p.Domain] = append(problems[p.Domain], p)
	}
	was := s.declared
	s.declared = map[string]*domain{}
	for _, d := range declared {
		if d.Name == "" || s.declared[d.Name] != nil {
			continue
		}
		s.declared[d.Name] = s.redeclare(was[d.Name], d.Vertex, tidy(problems[d.Name]))
	}
	for name, d := range s.declared {
		var parent *domain
		if v, ok := s.forest.vertices[name]; ok && v.Parent != "" {
			parent = s.declared[v.Parent]
		}
		if parent != d.parent {
			d.parent = parent
			s.markDomain(d)
		}
	}
	for name, d := range was {
		if s.declared[name] == nil {
			s.names.take(name, -1)
		}
		if s.declared[name] != d {
			s.markDomain(d)
		}
	}
	s.list(declared)
	for _, n := range s.nodes {
		s.touch(n)
	}
}

// redeclare is a declared domain as it is now. A domain that stays on its level
// keeps what it counts.
func (s *State) redeclare(was *domain, v Vertex, problems []Problem) *domain {
	trusted, accepted := s.forest.vertices[v.Name]
	if was == nil {
		s.names.take(v.Name, 1)
	}
	if was == nil || was.level != v.Level || was.accepted != accepted {
		d := &domain{
			level: v.Level, name: v.Name, accepted: accepted, isDeclared: true, source: Declared, uplinkGbps: trusted.UplinkGbps, problems: problems,
			absent: map[string]bool{}, troubled: map[*node]struct{}{}, spanned: map[*domain]struct{}{},
		}
		if was != nil {
			// Nodes that are in trouble stay so, or are judged anew.
			d.troubled = was.troubled
		}
		s.markDomain(d)
		return d
	}
	if was.uplinkGbps != trusted.UplinkGbps || !slices.EqualFunc(was.problems, problems, Problem.equal) {
		was.uplinkGbps, was.problems = trusted.UplinkGbps, problems
		s.markDomain(was)
	}
	return was
}

// list notes which domains name which nodes, and which of these do not exist.
func (s *State) list(declared []Declaration) {
	s.listed = map[string][]string{}
	absent := map[string]map[string]bool{}
	for name := range s.declared {
		absent[name] = map[string]bool{}
	}
	for _, d := range declared {
		for _, member := range d.Members {
			if d.Name == "" {
				continue
			}
			if !slices.Contains(s.listed[member], d.Name) {
				s.listed[member] = append(s.listed[member], d.Name)
			}
			if n := s.nodes[member]; n == nil || n.gone {
				absent[d.Name][member] = true
			}
		}
	}
	for name, d := range s.declared {
		if !maps.Equal(d.absent, absent[name]) {
			s.markDomain(d)
		}
		d.absent = absent[name]
	}
}

// Changes names what differs from the last time.
type Changes struct {
	// Domains are domains that came or went, or whose vertex, source, summary or
	// problems have changed.
	Domains []string
	// Nodes are nodes that came or went, or whose place, room or problems have
	// changed.
	Nodes []string
}

// Take returns what has changed since the last call, in natural order. It may
// name something that has changed and changed back.
func (s *State) Take() Changes {
	s.settle()
	out := Changes{Domains: sortedKeys(s.changedDomains), Nodes: sortedKeys(s.changedNodes)}
	s.changedDomains, s.changedNodes = map[string]struct{}{}, map[string]struct{}{}
	return out
}

// DomainState is one domain with what is known of it.
type DomainState struct {
	Vertex
	// Source is the strongest evidence for the domain.
	Source Source
	// Accepted is false for a declared domain that is left out of the fabric.
	Accepted bool
	Summary  Summary
	// Problems are those of the domain, and those of nodes that it declares and
	// that are declared elsewhere, too, or that other evidence places elsewhere.
	Problems []Problem
}

// Domain looks up a domain; found is false for a name that nobody declares and
// no derived domain has.
func (s *State) Domain(name string) (out DomainState, found bool) {
	s.settle()
	d := s.declared[name]
	if d == nil {
		d = s.derived[name]
	}
	if d == nil {
		return DomainState{}, false
	}
	problems := s.domainProblems(d)
	for n := range d.troubled {
		for _, p := range n.problems {
			if isToldByDomain(p) {
				problems = append(problems, p)
			}
		}
	}
	return DomainState{Vertex: d.vertex(), Source: d.source, Accepted: d.accepted, Summary: d.tally.summary(), Problems: tidy(problems)}, true
}

// Place looks up a node, with the problems that concern it.
func (s *State) Place(name string) (place Place, problems []Problem, found bool) {
	s.settle()
	n := s.nodes[name]
	if n == nil {
		return Place{}, nil, false
	}
	return n.place(), slices.Clone(n.problems), true
}

func (n *node) place() Place {
	p := Place{Node: n.name, Path: Path{Node: n.name}}
	for level := Fabric; level < Node; level++ {
		if d := n.path[level]; d != nil {
			p.Path[level], p.Domain = d.name, d.name
		}
	}
	p.Labels = mirrored(p.Path)
	return p
}

// Assembly is the whole fabric.
func (s *State) Assembly() Assembly {
	s.settle()
	var a Assembly
	direct, all := map[string][]string{}, map[string][]string{}
	problems := slices.Clone(s.forest.problems)
	problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Domain != "" })
	for _, name := range sortedKeys(s.nodes) {
		n := s.nodes[name]
		place := n.place()
		a.Nodes = append(a.Nodes, place)
		if place.Domain != "" {
			direct[place.Domain] = append(direct[place.Domain], name)
		}
		for _, d := range place.Path[Fabric:Node] {
			if d != "" {
				all[d] = append(all[d], name)
			}
		}
		problems = append(problems, n.problems...)
	}
	for _, domains := range []map[string]*domain{s.declared, s.derived} {
		for name, d := range domains {
			problems = append(problems, s.domainProblems(d)...)
			if d.accepted {
				a.Domains = append(a.Domains, Domain{Vertex: d.vertex(), Source: d.source, Nodes: direct[name], AllNodes: all[name]})
			}
		}
	}
	slices.SortFunc(a.Domains, func(x, y Domain) int { return compareVertices(x.Vertex, y.Vertex) })
	a.Problems = tidy(problems)
	return a
}
