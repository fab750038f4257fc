package queueing

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// nodeName is the field that a requirement on the name of a node compares.
const nodeName = "metadata.name"

// anchorRole is a pod that can only be on the node and needs nothing there: it
// makes Place look for the rest around that node.
func anchorRole(name, node string) placement.Role {
	return placement.Role{Name: name, Count: 1, Shape: placement.Shape{
		Selector:    []placement.Term{{{Key: nodeName, Op: "In", Values: []string{node}, Field: true}}},
		Tolerations: []placement.Toleration{{Operator: "Exists"}},
	}}
}

// withAnchor leaves the node room for one pod, that of the anchor. A pod of the
// gang is there that is no longer to be placed.
func withAnchor(s *placement.Snapshot, node string) *placement.Snapshot {
	if node == "" {
		return s
	}
	return s.With(placement.Use{Node: node, Resources: placement.Resources{podsResource: -1}})
}

// elsewhere is the shape of a role's pods, kept to the class that the role has
// and away from what failed. The room of failed nodes is taken; only pods that
// ask for nothing have to be told.
func (c *crew) elsewhere(r int) placement.Shape {
	shape := c.roles[r].of.Shape
	if c.roles[r].class != "" {
		shape.Classes = []string{c.roles[r].class}
	}
	for _, amount := range shape.Resources {
		if amount > 0 {
			return shape
		}
	}
	if len(c.failed) == 0 {
		return shape
	}
	away := placement.Requirement{Key: nodeName, Op: "NotIn", Values: c.failed, Field: true}
	if len(shape.Selector) == 0 {
		shape.Selector = []placement.Term{{away}}
		return shape
	}
	terms := make([]placement.Term, len(shape.Selector))
	for i, term := range shape.Selector {
		// A term without requirements selects nothing, and has to stay so.
		if len(term) > 0 {
			terms[i] = append(slices.Clone(term), away)
		}
	}
	shape.Selector = terms
	return shape
}

// nearest takes up to n slots for a role in the domain of the level around the
// anchor, those in the narrowest domains first. For Cluster no anchor is needed.
func (c *crew) nearest(r int, anchor string, level topology.Level, n int) []string {
	if anchor == "" && level > topology.Cluster {
		return nil
	}
	var out []string
	tried := map[place]bool{}
	for at := topology.Node; at >= level && len(out) < n; at-- {
		in := domainAt(c.before, anchor, at)
		if anchor == "" {
			at = topology.Cluster
		} else if tried[in] {
			// The fabric has no domain of this level here.
			continue
		}
		tried[in] = true
		root := placement.Group{Required: at, Roles: []placement.Role{
			{Name: "lost", Count: n - len(out), MinCount: 1, Shape: c.elsewhere(r)}}}
		if anchor != "" {
			root.Roles = append(root.Roles, anchorRole("anchor", anchor))
		}
		v := placement.Place(withAnchor(c.room, anchor), placement.Request{Root: root})
		if v.Placement != nil {
			got := v.Placement.Roles[0].Nodes
			c.take(r, got)
			out = append(out, got...)
		}
	}
	return out
}

// take takes the room of slots of a role.
func (c *crew) take(r int, nodes []string) {
	c.room = c.room.With(c.usesAt(r, nodes)...)
}

func (c *crew) usesAt(r int, nodes []string) []placement.Use {
	role := placement.RolePlacement{Name: c.roles[r].name, Nodes: nodes}
	return Uses(*c.request, []placement.RolePlacement{role})
}

// sparesOf lists the spares of a role that are left: of copy n, or of all
// for -1.
func (c *crew) sparesOf(r, n int) []spareOf {
	var out []spareOf
	for i, s := range c.roles[r].spares {
		if !s.taken && (n < 0 || s.copy == n) {
			out = append(out, spareOf{r, i, s.node})
		}
	}
	return out
}

// ownSpares lists the spares of a copy and of the groups in it.
func (c *crew) ownSpares(l loss) []spareOf {
	var out []spareOf
	roles, each := c.below(l.group)
	for i, r := range roles {
		for n := l.copy * each[i]; n < (l.copy+1)*each[i]; n++ {
			out = append(out, c.sparesOf(r, n)...)
		}
	}
	return out
}

func (c *crew) usesOf(spares []spareOf) []placement.Use {
	var out []placement.Use
	for _, s := range spares {
		out = append(out, c.usesAt(s.role, []string{s.node})...)
	}
	return out
}

// drop gives up spares whose room is asked for otherwise.
func (c *crew) drop(spares []spareOf) {
	for _, s := range spares {
		c.roles[s.role].spares[s.index].taken = true
	}
}

// lostSlots are ranks of one role that one role of a request stands for. role is
// -1 for an anchor.
type lostSlots struct {
	role  int
	ranks []int
	copy  int
}

// slotsOfCopy lists the ranks of a lost copy in the order of wholeCopy.
func (c *crew) slotsOfCopy(l loss) []lostSlots {
	var out []lostSlots
	roles, each := c.below(l.group)
	for i, r := range roles {
		from, to := c.ranks(r, each[i], l.copy)
		s := lostSlots{role: r, copy: l.copy * each[i]}
		for rank := from; rank < to; rank++ {
			s.ranks = append(s.ranks, rank)
		}
		out = append(out, s)
	}
	return out
}

// wholeCopy is a group as a request for one copy of the size that it has.
func (c *crew) wholeCopy(g int, spares bool) placement.Group {
	group := &c.groups[g]
	out := placement.Group{Name: fmt.Sprintf("group%d", g), Required: group.level}
	if group.of.Preferred > group.level {
		out.Preferred = group.of.Preferred
	}
	for _, r := range group.roles {
		role := placement.Role{Name: fmt.Sprintf("role%d", r), Count: c.roles[r].per, Shape: c.elsewhere(r)}
		if spares {
			role.Spares = c.roles[r].of.Spares
		}
		out.Roles = append(out.Roles, role)
	}
	for _, child := range group.groups {
		inner := c.wholeCopy(child, spares)
		inner.Copies = c.groups[child].total / group.total
		out.Groups = append(out.Groups, inner)
	}
	return out
}

// settle moves ranks to a placement whose roles are the given slots, after an
// anchor that is left out. Ranks that get the room of a freed spare of their role
// are told so.
func (c *crew) settle(slots []lostSlots, at *placement.Placement, freed []spareOf, anchored bool) {
	roles := at.Roles
	if anchored {
		roles = roles[1:]
	}
	was := map[spareOf]int{}
	for _, s := range freed {
		was[spareOf{role: s.role, node: s.node}]++
	}
	for i, s := range slots {
		if s.role < 0 {
			continue
		}
		role := &c.roles[s.role]
		for j, rank := range s.ranks {
			key := spareOf{role: s.role, node: roles[i].Nodes[j]}
			role.move(rank, key.node, was[key] > 0)
			was[key]--
		}
		c.take(s.role, roles[i].Nodes)
		c.take(s.role, roles[i].Spares)
		for j, node := range roles[i].Spares {
			role.spares = append(role.spares, spare{node: node, copy: s.copy + j/role.of.Spares})
		}
	}
}

// joint builds one request for all that is lost.
type joint struct {
	crew *crew
	// slots are what the roles of the request stand for, in its order.
	slots   []lostSlots
	anchors []string
	roles   int
}

// group is a copy with survivors: what it lost, around an anchor. ok is false
// when it needs one and has none.
func (b *joint) group(g, n int) (out placement.Group, ok bool) {
	c := b.crew
	out = placement.Group{Name: fmt.Sprintf("group%d-%d", g, n), Required: c.groups[g].level}
	if !c.survives(g, n) {
		// Only the whole gang gets here.
		b.add(c.slotsOfCopy(loss{g, n, true})...)
		return c.wholeCopy(g, false), true
	}
	anchor := c.anchor(g, n, -1, 0)
	if anchor == "" && out.Required > topology.Cluster {
		return out, false
	}
	if anchor != "" {
		out.Roles = append(out.Roles, anchorRole(fmt.Sprintf("anchor%d-%d", g, n), anchor))
		b.anchors = append(b.anchors, anchor)
		b.add(lostSlots{role: -1})
	}
	for _, r := range c.groups[g].roles {
		if lost := c.lostIn(r, n); len(lost) > 0 {
			out.Roles = append(out.Roles, placement.Role{
				Name: fmt.Sprintf("role%d-%d", r, n), Count: len(lost), Shape: c.elsewhere(r)})
			b.add(lostSlots{role: r, ranks: lost})
		}
	}
	for _, child := range c.groups[g].groups {
		each := c.groups[child].total / c.groups[g].total
		for i := n * each; i < (n+1)*each; i++ {
			inner, ok := b.inner(child, i)
			if !ok {
				return out, false
			}
			out.Groups = append(out.Groups, inner...)
		}
	}
	return out, true
}

// inner is nothing, or one copy that lost something.
func (b *joint) inner(g, n int) (out []placement.Group, ok bool) {
	c := b.crew
	lost := false
	roles, each := c.below(g)
	for i, r := range roles {
		from, to := c.ranks(r, each[i], n)
		lost = lost || slices.Contains(c.roles[r].alive[from:to], false)
	}
	if !lost || b.roles > placement.MaxRoles {
		return nil, true
	}
	if c.survives(g, n) {
		group, ok := b.group(g, n)
		return []placement.Group{group}, ok
	}
	whole := c.wholeCopy(g, false)
	rename(&whole, n)
	b.add(c.slotsOfCopy(loss{g, n, true})...)
	return []placement.Group{whole}, true
}

// rename tells the roles of several lost copies apart.
func rename(g *placement.Group, n int) {
	g.Name = fmt.Sprintf("%s-%d", g.Name, n)
	for i := range g.Roles {
		g.Roles[i].Name = fmt.Sprintf("%s-%d", g.Roles[i].Name, n)
	}
	for i := range g.Groups {
		rename(&g.Groups[i], n)
	}
}

func (b *joint) add(slots ...lostSlots) {
	b.slots = append(b.slots, slots...)
	b.roles += len(slots)
}

// repaired holds spares anew and is the outcome.
func (c *crew) repaired() Repaired {
	out := Repaired{Proof: placement.Exact}
	for r := range c.roles {
		role := &c.roles[r]
		missing := 0
		var spares []string
		if role.of.Spares > 0 {
			for n := range c.groups[role.group].total {
				held := c.holdSpares(r, n)
				missing += role.of.Spares - len(held)
				spares = append(spares, held...)
			}
		}
		out.Roles = append(out.Roles, placement.RolePlacement{Name: role.name, Class: role.class, Nodes: role.nodes, Spares: spares})
		if missing > 0 {
			out.Missing = append(out.Missing, MissingSpares{Role: role.name, Count: missing})
		}
		for rank, node := range role.nodes {
			if from, lost := role.from[rank]; lost {
				out.Replaced = append(out.Replaced, Replacement{Role: role.name, Rank: rank, From: from, To: node, Spare: role.onto[rank]})
			}
		}
	}
	return out
}

// holdSpares keeps the spares of one copy: its own that are still in its domain,
// then what others do not have, then free room near its pods.
func (c *crew) holdSpares(r, n int) []string {
	role := &c.roles[r]
	domain := c.domainOf(role.group, n)
	var out []string
	for _, own := range []bool{true, false} {
		for i, s := range role.spares {
			mine := s.copy == n || (!own && s.copy < 0)
			if len(out) < role.of.Spares && !s.taken && mine && domainAt(c.before, s.node, c.groups[role.group].level) == domain {
				role.spares[i].taken = true
				out = append(out, s.node)
			}
		}
	}
	last := (n+1)*role.per - 1
	anchor := c.anchor(role.group, n, r, last)
	return append(out, c.nearest(r, anchor, c.groups[role.group].level, role.of.Spares-len(out))...)
}
