package queueing

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// crew is a placed gang, copy by copy, while it is repaired.
type crew struct {
	// before is the snapshot as given, room what is left while slots are placed.
	before, room *placement.Snapshot
	request      *placement.Request
	failed       []string
	// groups and roles are in depth-first order, roles of a group before its groups.
	groups []crewGroup
	roles  []crewRole
	// blind says that a copy has no node that can stand for its domain.
	blind bool
}

type crewGroup struct {
	of     *placement.Group
	parent int
	// total counts the copies over all copies of the parents.
	total int
	// level is never wider than that of the group around it.
	level         topology.Level
	roles, groups []int
}

type crewRole struct {
	name  string
	of    *placement.Role
	group int
	class string
	// nodes and alive have one entry per rank; per of them make one copy.
	nodes []string
	alive []bool
	per   int
	// from has the nodes of the ranks that were lost, onto those of them that go to
	// spares.
	from map[int]string
	onto map[int]bool
	// spares are those on nodes that survive.
	spares []spare
}

// spare is room that is held for a role.
type spare struct {
	node string
	// copy is the copy that it was placed for, -1 when that is not known.
	copy  int
	taken bool
}

// spareOf is a spare by its role.
type spareOf struct {
	role, index int
	node        string
}

// newCrew takes a placed gang apart. problem says why it is not what its request
// describes.
func newCrew(s *placement.Snapshot, running *Running, failed []string) (c *crew, problem string) {
	c = &crew{before: s, room: s, request: &running.Request, failed: slices.Compact(sortedNames(failed))}
	placed := map[string]placement.RolePlacement{}
	for _, role := range running.Roles {
		if _, twice := placed[role.Name]; twice {
			return nil, fmt.Sprintf("roles[%s]: is placed twice", role.Name)
		}
		placed[role.Name] = role
	}
	if !c.split(&running.Request.Root, -1, 1, placed) {
		return nil, "roles: their sizes are none that the request allows"
	}
	if len(placed) != len(c.roles) {
		return nil, "roles: there are some that the request does not have"
	}
	for r := range c.roles {
		c.findLost(r, placed[c.roles[r].name])
	}
	for _, name := range c.failed {
		node, _ := s.Node(name)
		c.room = c.room.With(placement.Use{Node: name, Resources: node.Capacity})
	}
	return c, ""
}

func sortedNames(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return out
}

// split adds a group of which outer copies of the parent are placed. A group that
// allows fewer copies has the most for which all sizes below it are whole.
func (c *crew) split(g *placement.Group, parent, outer int, placed map[string]placement.RolePlacement) bool {
	most := max(1, g.Copies)
	least := most
	if g.MinCopies > 0 {
		least = g.MinCopies
	}
	groups, roles := len(c.groups), len(c.roles)
	for n := most; n >= least; n-- {
		if c.splitInto(g, parent, outer*n, placed) {
			return true
		}
		c.groups, c.roles = c.groups[:groups], c.roles[:roles]
	}
	return false
}

func (c *crew) splitInto(g *placement.Group, parent, total int, placed map[string]placement.RolePlacement) bool {
	id := len(c.groups)
	group := crewGroup{of: g, parent: parent, total: total, level: g.Required}
	if parent >= 0 {
		group.level = max(group.level, c.groups[parent].level)
	}
	for i := range g.Roles {
		role := &g.Roles[i]
		got, found := placed[role.Name]
		least := role.Count
		if role.MinCount > 0 {
			least = role.MinCount
		}
		n := len(got.Nodes)
		if !found || n%total != 0 || n < total*least || n > total*role.Count {
			return false
		}
		group.roles = append(group.roles, len(c.roles))
		c.roles = append(c.roles, crewRole{
			name: role.Name, of: role, group: id, class: got.Class,
			nodes: slices.Clone(got.Nodes), per: n / total,
		})
	}
	c.groups = append(c.groups, group)
	for i := range g.Groups {
		child := len(c.groups)
		if !c.split(&g.Groups[i], id, total, placed) {
			return false
		}
		c.groups[id].groups = append(c.groups[id].groups, child)
	}
	return true
}

// findLost marks what is on failed nodes.
func (c *crew) findLost(r int, got placement.RolePlacement) {
	role := &c.roles[r]
	role.from, role.onto = map[int]string{}, map[int]bool{}
	for rank, node := range role.nodes {
		alive := !c.isFailed(node)
		role.alive = append(role.alive, alive)
		if !alive {
			role.from[rank] = node
		}
	}
	total := c.groups[role.group].total
	whole := role.of.Spares > 0 && len(got.Spares) == total*role.of.Spares
	for i, node := range got.Spares {
		if c.isFailed(node) {
			continue
		}
		s := spare{node: node, copy: -1}
		if whole {
			s.copy = i / role.of.Spares
		}
		role.spares = append(role.spares, s)
	}
}

func (c *crew) isFailed(node string) bool {
	_, failed := slices.BinarySearch(c.failed, node)
	if failed {
		return true
	}
	_, exists := c.before.Node(node)
	return !exists
}

// takesPods reports whether the node can stand for its domain in a request.
func (c *crew) takesPods(node string) bool {
	n, found := c.before.Node(node)
	return found && n.Unavailable == "" && !c.isFailed(node)
}

// move gives a lost rank its new node.
func (r *crewRole) move(rank int, node string, ontoSpare bool) {
	r.nodes[rank], r.alive[rank], r.onto[rank] = node, true, ontoSpare
}

// lostIn lists the lost ranks of a role in one copy of its group.
func (c *crew) lostIn(r, n int) []int {
	role := &c.roles[r]
	var out []int
	for rank := n * role.per; rank < (n+1)*role.per; rank++ {
		if !role.alive[rank] {
			out = append(out, rank)
		}
	}
	return out
}

// below lists the roles of a group and the groups in it, each with the number of
// copies of its group in one copy of g.
func (c *crew) below(g int) (roles, each []int) {
	for r := range c.roles {
		at := c.roles[r].group
		for at > g {
			at = c.groups[at].parent
		}
		if at == g {
			roles = append(roles, r)
			each = append(each, c.groups[c.roles[r].group].total/c.groups[g].total)
		}
	}
	return roles, each
}

// ranks is the range of ranks of a role in copy n of a group around it.
func (c *crew) ranks(r, each, n int) (from, to int) {
	size := c.roles[r].per * each
	return n * size, (n + 1) * size
}

// survives reports whether any pod of the copy is alive.
func (c *crew) survives(g, n int) bool {
	roles, each := c.below(g)
	for i, r := range roles {
		from, to := c.ranks(r, each[i], n)
		if slices.Contains(c.roles[r].alive[from:to], true) {
			return true
		}
	}
	return false
}

// anchor is a node that stands for the domain of a copy: that of the pod of the
// role nearest in rank, on a tie of the one nearer to the lost node, else that of
// any pod. It is "" when there is none, as when all are on nodes that take no
// pods.
func (c *crew) anchor(g, n, role, rank int) string {
	best := ""
	roles, each := c.below(g)
	for i, r := range roles {
		from, to := c.ranks(r, each[i], n)
		nearest := -1
		for at := from; at < to; at++ {
			if !c.roles[r].alive[at] || !c.takesPods(c.roles[r].nodes[at]) {
				continue
			}
			if nearest < 0 || c.closer(r, rank, at, nearest) {
				nearest = at
			}
		}
		if nearest >= 0 && (best == "" || r == role) {
			best = c.roles[r].nodes[nearest]
		}
	}
	return best
}

// closer reports whether rank a is closer to a rank than b is.
func (c *crew) closer(r, to, a, b int) bool {
	near, far := max(a-to, to-a), max(b-to, to-b)
	if near != far {
		return near < far
	}
	lost, nodes := c.roles[r].from[to], c.roles[r].nodes
	return shared(c.before, lost, nodes[a]) > shared(c.before, lost, nodes[b])
}

// closest gives for every rank of a role in a copy the node of the surviving rank
// closest to it, whether or not that takes further pods; where the role has none,
// that of any pod of the copy.
func (c *crew) closest(l loss, r int) []string {
	role := &c.roles[r]
	from, to := c.ranks(r, 1, l.copy)
	out, before := make([]string, role.per), -1
	ranks := make([]int, role.per)
	for at := from; at < to; at++ {
		if role.alive[at] {
			before = at
		}
		ranks[at-from] = before
	}
	after := -1
	for at := to - 1; at >= from; at-- {
		if role.alive[at] {
			after = at
		}
		best := ranks[at-from]
		if best < 0 || (after >= 0 && c.closer(r, at, after, best)) {
			best = after
		}
		if best < 0 {
			out[at-from] = c.anyPod(l.group, l.copy)
		} else {
			out[at-from] = role.nodes[best]
		}
	}
	return out
}

// anyPod is the node of some pod of the copy that is alive.
func (c *crew) anyPod(g, n int) string {
	roles, each := c.below(g)
	for i, r := range roles {
		from, to := c.ranks(r, each[i], n)
		for at := from; at < to; at++ {
			if c.roles[r].alive[at] {
				return c.roles[r].nodes[at]
			}
		}
	}
	return ""
}

// domainOf is the domain in which survivors keep a copy.
func (c *crew) domainOf(g, n int) place {
	return domainAt(c.before, c.anyPod(g, n), c.groups[g].level)
}

// parentCopy is the number of the copy around a lost one.
func (c *crew) parentCopy(l loss) int {
	parent := c.groups[l.group].parent
	return l.copy / (c.groups[l.group].total / c.groups[parent].total)
}

// refusal names the copy.
func (c *crew) refusal(l loss) *RepairRefusal {
	out := &RepairRefusal{Group: c.groups[l.group].of.Name, Copy: l.copy, Level: c.groups[l.group].level}
	if !l.whole {
		out.Domain = c.domainOf(l.group, l.copy).name
		return out
	}
	if parent := c.groups[l.group].parent; parent >= 0 {
		out.Domain = c.domainOf(parent, c.parentCopy(l)).name
	}
	roles, each := c.below(l.group)
	for i, r := range roles {
		out.Needed += c.roles[r].per * each[i]
	}
	return out
}
