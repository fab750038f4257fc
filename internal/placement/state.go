package placement

import (
	"errors"
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// ErrStale is returned by Commit when the room is no longer there.
var ErrStale = errors.New("the room was taken meanwhile")

// State is the changing picture of a fleet from which Snapshots are taken. A
// change costs the height of the tree, a Snapshot what has changed since the last. It has one owner: no
// two methods may run at once. Snapshots may be used while it changes, by any
// number of goroutines.
type State struct {
	now Snapshot
	// edition marks the domains that no snapshot has yet.
	edition uint64
}

// NewState starts with domains and nodes. It returns the errors of NewSnapshot.
func NewState(domains []topology.Vertex, nodes ...Node) (*State, error) {
	if _, err := checkDomains(domains); err != nil {
		return nil, err
	}
	fleet, root := newFleet(slices.Clone(domains))
	s := &State{now: Snapshot{fleet: fleet, root: root, columns: newColumns()}}
	s.edition = fleet.stamps.Add(1)
	for i := range nodes {
		if err := s.check(&nodes[i]); err != nil {
			return nil, err
		}
	}
	if err := s.fill(nodes); err != nil {
		return nil, err
	}
	return s, nil
}

// fill adds many nodes to a State without any.
func (s *State) fill(nodes []Node) error {
	in := make([][]*Node, len(s.now.fleet.places))
	for i := range nodes {
		n := &nodes[i]
		at := s.now.fleet.placeOf(n.Domain)
		in[at.id] = append(in[at.id], n)
	}
	names := make(map[string]bool, len(nodes))
	for id, list := range in {
		slices.SortFunc(list, func(a, b *Node) int { return topology.CompareNatural(a.Name, b.Name) })
		for _, n := range list {
			if names[n.Name] {
				return fmt.Errorf("node %s: the name is used twice", n.Name)
			}
			names[n.Name] = true
			s.insert(s.now.fleet.places[id], *n)
		}
	}
	return nil
}

// check returns an error when the node breaks the rules of NewSnapshot.
func (s *State) check(n *Node) error {
	if n.Name != "" && s.now.fleet.placeOf(n.Domain) == nil {
		return fmt.Errorf("node %s: domain %s does not exist", n.Name, n.Domain)
	}
	return checkNode(n)
}

// SetNode adds a node or replaces the one of its name, all of it. It returns the
// errors of NewSnapshot and then changes nothing. The maps and slices of the node
// are not copied: the caller leaves them as they are.
func (s *State) SetNode(n Node) error {
	if err := s.check(&n); err != nil {
		return err
	}
	s.now.generation++
	to := s.now.fleet.placeOf(n.Domain)
	was, exists := s.now.fleet.homes.get(n.Name)
	switch {
	case exists && was.place != to:
		s.remove(n.Name, was)
		s.insert(to, n)
	case exists:
		at, _ := s.now.domainOf(to).find(n.Name, was.at)
		s.put(s.edit(to), at, s.memberOf(n))
	default:
		s.insert(to, n)
	}
	return nil
}

// RemoveNode removes a node. One that does not exist is no change.
func (s *State) RemoveNode(name string) {
	if was, exists := s.now.fleet.homes.get(name); exists {
		s.now.generation++
		s.remove(name, was)
	}
}

// Take takes more room. A use on a node that does not exist has no effect. A
// negative amount gives room back, but never more than was taken.
func (s *State) Take(uses ...Use) {
	s.now.generation++
	for i := range uses {
		use := &uses[i]
		home, at, found := s.now.locate(use.Node)
		if !found {
			continue
		}
		if !s.now.columns.covers(use.Resources) {
			s.now.columns = s.now.columns.including(use.Resources)
		}
		d := s.edit(home)
		m := d.members[at]
		m.load = &taken{s.now.columns.plus(m.load.used, use.Resources), s.now.generation}
		m.kind = s.now.fleet.kinds.intern(m.kind.traits, m.kind.capacity, m.load.used)
		s.put(d, at, m)
	}
}

// Commit takes the room of a placement that was found on a snapshot of the given
// generation. Where nodes changed since, it takes it only if all of it is still
// free and every node still available; otherwise it takes nothing and returns an
// error that wraps ErrStale and names the node.
func (s *State) Commit(generation uint64, uses ...Use) error {
	needs := map[string]Resources{}
	for _, use := range uses {
		if needs[use.Node] == nil {
			needs[use.Node] = Resources{}
		}
		for name, amount := range use.Resources {
			needs[use.Node][name] = addCapped(needs[use.Node][name], amount)
		}
	}
	for _, use := range uses {
		home, at, found := s.now.locate(use.Node)
		if !found {
			return fmt.Errorf("node %s is gone: %w", use.Node, ErrStale)
		}
		m := &s.now.domainOf(home).members[at]
		if m.load.changed <= generation {
			continue
		}
		if why := m.kind.traits.like.Unavailable; why != "" {
			return fmt.Errorf("node %s is %s: %w", use.Node, why, ErrStale)
		}
		if short := s.now.columns.short(m.kind.free, needs[use.Node]); short != "" {
			return fmt.Errorf("node %s has too little %s left: %w", use.Node, short, ErrStale)
		}
	}
	s.Take(uses...)
	return nil
}

// Snapshot returns the picture as it is now. It brings what recent requests asked
// of the fleet up to date where that has changed since, so that they find it done.
func (s *State) Snapshot() *Snapshot {
	if keys := s.now.fleet.wanted.take(s.now.indexed); keys != nil {
		s.reindex(keys)
	}
	if s.now.fleet.kinds.crowded() {
		s.now.fleet.kinds.keep(s.kindsInUse())
	}
	s.edition = s.now.fleet.stamps.Add(1)
	s.now.fleet.views.follow(s.now.root)
	out := s.now
	return &out
}

// memberOf turns a node into a member.
func (s *State) memberOf(n Node) member {
	s.now.columns = s.now.columns.including(n.Capacity).including(n.Used)
	capacity := s.now.columns.vector(n.Capacity)
	if _, limited := n.Capacity[podsResource]; !limited {
		if len(capacity) == 0 {
			capacity = make([]int64, 1)
		}
		capacity[podsColumn] = unlimited
	} else if len(capacity) > podsColumn {
		capacity[podsColumn] = min(capacity[podsColumn], unlimited-1)
	}
	m := member{node: &n, load: &taken{s.now.columns.vector(n.Used), s.now.generation}}
	m.kind = s.now.fleet.kinds.intern(s.now.fleet.kinds.internTraits(&n, s.now.indexed), capacity, m.load.used)
	return m
}

// insert adds a node that is nowhere yet.
func (s *State) insert(to *place, n Node) {
	d := s.edit(to)
	at := len(d.members)
	// Nodes mostly arrive in order.
	if at > 0 && topology.CompareNatural(d.members[at-1].node.Name, n.Name) > 0 {
		at, _ = d.find(n.Name, at)
	}
	m := s.memberOf(n)
	d.members = slices.Insert(d.members, at, m)
	d.count(m.kind, 1)
	s.countTraits(d, m.kind.traits, 1)
	s.now.fleet.homes.set(n.Name, home{to, at})
}

// remove takes a node out of its home.
func (s *State) remove(name string, from home) {
	d := s.edit(from.place)
	at, _ := d.find(name, from.at)
	m := d.members[at]
	d.members = slices.Delete(d.members, at, at+1)
	d.count(m.kind, -1)
	s.countTraits(d, m.kind.traits, -1)
	s.now.fleet.homes.drop(name)
}

// put replaces a member of a domain that may be written.
func (s *State) put(d *domain, at int, m member) {
	old := d.members[at]
	d.members[at] = m
	if old.kind != m.kind {
		d.count(old.kind, -1)
		d.count(m.kind, 1)
	}
	if old.kind.traits != m.kind.traits {
		s.countTraits(d, old.kind.traits, -1)
		s.countTraits(d, m.kind.traits, 1)
	}
}

// countTraits counts nodes in d and in all domains around it.
func (s *State) countTraits(d *domain, t *traits, n int) {
	for at := d.place; at != nil; at = at.parent {
		s.now.domainOf(at).countTraits(t, n)
	}
}

// edit returns a version of the domain that may be written, and makes all domains
// around it such versions too.
func (s *State) edit(to *place) *domain {
	if to.parent == nil {
		s.now.root = s.own(s.now.root)
		return s.now.root
	}
	parent := s.edit(to.parent)
	d := s.own(parent.children[to.at])
	parent.children[to.at] = d
	return d
}

// own returns d, or a copy when a snapshot has d, with a stamp of its own.
func (s *State) own(d *domain) *domain {
	if d.edition != s.edition {
		d = &domain{
			place: d.place, edition: s.edition, children: slices.Clone(d.children),
			members: slices.Clone(d.members), tallies: slices.Clone(d.tallies), traits: slices.Clone(d.traits),
		}
	}
	d.stamp = s.now.fleet.stamps.Add(1)
	return d
}

// kindsInUse collects the kinds of all nodes.
func (s *State) kindsInUse() map[*kind]bool {
	used := map[*kind]bool{}
	s.now.root.walk(func(d *domain) {
		for _, t := range d.tallies {
			used[t.kind] = true
		}
	})
	return used
}
