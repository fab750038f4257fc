package topology

import (
	"maps"
	"slices"
)

// touch says that a node has to be looked at from the beginning.
func (s *State) touch(n *node) { s.dirty[n] = struct{}{} }

// doubt says that a node's problems may have changed.
func (s *State) doubt(n *node) { s.doubted[n] = struct{}{} }

func (s *State) markDomain(d *domain) {
	if d.name != "" {
		s.changedDomains[d.name] = struct{}{}
	}
}

func (s *State) markNode(n *node) { s.changedNodes[n.name] = struct{}{} }

// settle works out what changes have led to: first what each node says, then the
// groups from the outside in, then names, then what domains add up to, and last
// the problems.
func (s *State) settle() {
	if len(s.dirty) == 0 && len(s.names.review) == 0 {
		return
	}
	for n := range s.dirty {
		s.link(n)
	}
	s.switches.settle(s.touch)
	s.rails.settle(s.touch)
	for n := range s.dirty {
		s.hear(n)
	}
	for level := Fabric; level <= NVLinkDomain; level++ {
		s.fill(level)
	}
	renamed := s.rename()
	for n := range s.dirty {
		s.moved[n] = struct{}{}
	}
	for n := range s.moved {
		s.count(n)
	}
	for d := range renamed {
		s.announce(d)
	}
	s.votes.settle(s.doubt)
	for n := range s.dirty {
		s.doubt(n)
	}
	for n := range s.doubted {
		s.complain(n)
	}
	for n := range s.dirty {
		if n.gone {
			delete(s.nodes, n.name)
		}
	}
	// A map keeps the size that it once had, and clearing it takes that long.
	s.dirty, s.moved, s.doubted = map[*node]struct{}{}, map[*node]struct{}{}, map[*node]struct{}{}
}

// hear settles what a node's declaration and its sources say, and its votes.
func (s *State) hear(n *node) {
	n.home, n.lost, n.homing = nil, false, nil
	var claims []claim
	if !n.gone {
		var home string
		home, n.lost, n.homing = s.forest.home(n.name, s.listing(n))
		n.home = s.declared[home]
		var scanned *spot
		if n.plugged != nil {
			scanned = &n.plugged.spot
		}
		rails := ""
		if n.routed != nil {
			rails = n.routed.spot[Fabric]
		}
		claims = claimsOf(&n.read, scanned, rails)
	}
	ballots := ballotsOf(claims, homes(n.home))
	if !slices.Equal(claims, n.claims) {
		for _, c := range n.claims {
			s.votes.count(c, false)
		}
		for _, c := range claims {
			s.votes.count(c, true)
		}
	}
	if !slices.Equal(ballots, n.ballots) {
		for _, b := range n.ballots {
			s.votes.cast(n, b, false)
		}
		for _, b := range ballots {
			s.votes.cast(n, b, true)
		}
	}
	n.claims, n.ballots = claims, ballots
}

// listing are the declared domains that a node is directly in.
func (s *State) listing(n *node) []string {
	if len(n.in) == 0 {
		return s.listed[n.name]
	}
	return append(slices.Clone(s.listed[n.name]), n.in...)
}

// homes are the declared domains around a node, by level.
func homes(home *domain) *[Node]*domain {
	var out [Node]*domain
	for ; home != nil; home = home.parent {
		out[home.level] = home
	}
	return &out
}

// said is what a source of a node says at a level, in words.
func (n *node) said(level Level, by rank) string {
	for _, c := range n.claims {
		if c.id.level == level && c.rank == by {
			return c.hint.String()
		}
	}
	return "nothing"
}

// rename gives domains their new names and returns these domains. Two domains
// may have swapped names, so that all old names go first.
func (s *State) rename() map[*domain]struct{} {
	names := map[*domain]string{}
	s.names.settle(func(d *domain, name string) { names[d] = name })
	renamed := map[*domain]struct{}{}
	for d := range names {
		if d.name != "" {
			s.markDomain(d)
			delete(s.derived, d.name)
		}
	}
	for d, name := range names {
		d.name = name
		if name != "" {
			s.derived[name] = d
			renamed[d] = struct{}{}
		}
	}
	return renamed
}

// announce marks everything that shows the name of a domain.
func (s *State) announce(d *domain) {
	s.markDomain(d)
	for n := range d.nodes {
		s.markNode(n)
		for _, inside := range n.path[d.level+1:] {
			if inside != nil && inside.parent == d {
				s.markDomain(inside)
			}
		}
	}
}

// count moves a node's room from the domains that have counted it to those that
// are above it now.
func (s *State) count(n *node) {
	var path [Node]*domain
	if !n.gone {
		for d := n.inner[NVLinkDomain]; d != nil; d = d.parent {
			path[d.level] = d
		}
	}
	sameRoom := n.room.equal(n.counted)
	for level, is := range path {
		was := n.path[level]
		if was == is && sameRoom {
			continue
		}
		if was != nil {
			was.tally.remove(n.counted)
			s.markDomain(was)
		}
		if is != nil {
			is.tally.add(n.room)
			s.markDomain(is)
		}
	}
	if n.path != path || !sameRoom || n.gone || !n.known {
		s.markNode(n)
	}
	n.path, n.counted, n.known = path, n.room, true
}

// complain works out a node's problems. Domains that tell of them are marked
// when they change.
func (s *State) complain(n *node) {
	var problems []Problem
	var telling []string
	if !n.gone {
		problems = slices.Concat(n.read.problems, n.homing, s.guids.shared(n), s.votes.disputes(n))
		for _, m := range n.member {
			if m.group != nil && len(m.group.facts) > 0 {
				problems = append(problems, Problem{Kind: SpansDomains, Node: n.name, Facts: m.group.facts})
			}
		}
		problems = tidy(problems)
		if slices.ContainsFunc(problems, isToldByDomain) {
			telling = slices.DeleteFunc(slices.Clone(s.listing(n)), func(name string) bool { return s.declared[name] == nil })
		}
	}
	same := slices.EqualFunc(problems, n.problems, Problem.equal)
	if !same {
		s.markNode(n)
	}
	for _, name := range n.telling {
		if d := s.declared[name]; d != nil && (!same || !slices.Contains(telling, name)) {
			delete(d.troubled, n)
			s.markDomain(d)
		}
	}
	for _, name := range telling {
		d := s.declared[name]
		if _, told := d.troubled[n]; !told || !same {
			d.troubled[n] = struct{}{}
			s.markDomain(d)
		}
	}
	n.problems, n.telling = problems, telling
}

// isToldByDomain says whether a problem of a node is one of the domains that
// declare it as well.
func isToldByDomain(p Problem) bool { return p.Kind == DoublyParented || p.Kind == Disagreement }

// domainProblems are the problems of a domain itself.
func (s *State) domainProblems(d *domain) []Problem {
	problems := slices.Clone(d.problems)
	if len(d.absent) > 0 {
		facts := sortedKeys(d.absent)
		for i := range facts {
			facts[i] = "node " + quote(facts[i]) + " does not exist"
		}
		problems = append(problems, domainProblem(UnknownNode, d.name, facts...))
	}
	if n := s.nodes[d.name]; d.isDeclared && n != nil && !n.gone {
		problems = append(problems, domainProblem(NameOfNode, d.name, "a node has the same name"))
	}
	for g := range maps.Keys(d.spanned) {
		problems = append(problems, Problem{Kind: SpansDomains, Domain: d.name, Facts: g.facts})
	}
	if d.accepted && mirrors[d.level] != "" && len(d.name) > maxLabelValue {
		problems = append(problems, domainProblem(NameTooLong, d.name, "the name is longer than a label value of 63 bytes"))
	}
	return problems
}
