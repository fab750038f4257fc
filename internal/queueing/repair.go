package queueing

import (
	"cmp"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Repaired is a gang after the failure of nodes: new Roles, or a Refusal.
type Repaired struct {
	// Roles are the whole new placement. Every pod on a surviving node is where it
	// was. Spares lists only the room that could be held, so it may be shorter.
	Roles []placement.RolePlacement
	// Replaced are the ranks that go elsewhere, by role in the order of the request,
	// then by rank.
	Replaced []Replacement
	// Missing are the spares for which there is no room any more.
	Missing []MissingSpares
	// Refusal says what cannot be repaired, nil when everything can.
	Refusal *RepairRefusal
	// Proof is Exact, or None when a Refusal comes from a search that gave up.
	Proof placement.Proof
}

// Replacement is one rank that goes elsewhere.
type Replacement struct {
	Role     string
	Rank     int
	From, To string
	// Spare says that it goes to room which the gang held as a spare.
	Spare bool
}

// MissingSpares is a number of spares of a role.
type MissingSpares struct {
	Role  string
	Count int
}

// RepairRefusal names the first copy of a group for which there is no room.
type RepairRefusal struct {
	// Invalid says why the gang is none that can be repaired: its request makes no
	// sense, or its roles do not have the sizes of the request. Nothing else is set
	// then.
	Invalid string
	// Group and Copy name the copy, "" is the whole gang. Role is empty when the
	// whole copy is lost.
	Group string
	Copy  int
	Role  string
	// Level and Domain are where its survivors keep it; Domain is "" for the
	// cluster.
	Level  topology.Level
	Domain string
	// Needed counts the lost slots, Found those for which there is room.
	Needed, Found int
}

// Repair finds new nodes for what a gang lost with some nodes. The snapshot has
// the gang's room taken.
//
// What is on other nodes stays where it is, with its rank. Every copy of a group
// stays in the domain of its required level in which its survivors are; a copy
// that is lost as a whole goes to one domain of that level, in the domain of the
// group around it, where its own spares are if they hold it. A lost rank takes
// the nearest spare of its role, else the nearest free room: in the narrowest
// domain around the surviving rank closest to it. Then spares are held anew where
// there is room.
//
// Copies are repaired one after another, narrow levels first. Where that fails,
// all lost slots are placed at once, into the room of spares of any role too, and
// a refusal is as exact as Place: not at all beyond 64 lost parts, where copies
// count one by one. For lost slots of one role whose copies all have survivors a
// refusal is Exact in any case, unless other roles have spares.
//
// A cordoned node cannot stand for the domain that it is in: a copy of which all
// survivors are on such nodes is refused.
//
// It costs up to six calls of Place for each role of each copy that lost a pod.
func Repair(s *placement.Snapshot, running Running, failed []string) Repaired {
	if v := placement.Place(s, running.Request); v.Invalid != "" {
		return Repaired{Refusal: &RepairRefusal{Invalid: v.Invalid}, Proof: placement.Exact}
	}
	first, problem := newCrew(s, &running, failed)
	if problem != "" {
		return Repaired{Refusal: &RepairRefusal{Invalid: problem}, Proof: placement.Exact}
	}
	simple := first.isSimple()
	refusal := first.repairEach()
	if refusal == nil {
		return first.repaired()
	}
	second, _ := newCrew(s, &running, failed)
	proof, ok := second.repairAtOnce()
	if ok {
		return second.repaired()
	}
	if simple && !first.blind {
		proof = placement.Exact
	}
	return Repaired{Refusal: refusal, Proof: proof}
}

// loss is what one copy of a group lost.
type loss struct {
	group, copy int
	// whole says that nothing of it survives.
	whole bool
}

// losses lists the copies that lost something, narrow levels first; of one level,
// those with survivors first. Copies inside a lost copy are not listed.
func (c *crew) losses() []loss {
	var out []loss
	var walk func(g, n int)
	walk = func(g, n int) {
		if !c.survives(g, n) {
			out = append(out, loss{g, n, true})
			return
		}
		for _, r := range c.groups[g].roles {
			if len(c.lostIn(r, n)) > 0 {
				out = append(out, loss{g, n, false})
				break
			}
		}
		for _, child := range c.groups[g].groups {
			each := c.groups[child].total / c.groups[g].total
			for i := range each {
				walk(child, n*each+i)
			}
		}
	}
	walk(0, 0)
	slices.SortStableFunc(out, func(a, b loss) int {
		whole := 0
		if a.whole != b.whole {
			whole = 1
			if b.whole {
				whole = -1
			}
		}
		return cmp.Or(cmp.Compare(c.groups[b.group].level, c.groups[a.group].level), whole)
	})
	return out
}

// isSimple reports whether one copy after another is exact: what is lost is of
// one role, every copy has survivors, and no other role has spares.
func (c *crew) isSimple() bool {
	role := -1
	for _, l := range c.losses() {
		if l.whole {
			return false
		}
		for _, r := range c.groups[l.group].roles {
			if len(c.lostIn(r, l.copy)) == 0 {
				continue
			}
			if role >= 0 && role != r {
				return false
			}
			role = r
		}
	}
	for r := range c.roles {
		if r != role && len(c.roles[r].spares) > 0 {
			return false
		}
	}
	return true
}

// repairEach repairs one copy after another. It returns what could not be.
func (c *crew) repairEach() *RepairRefusal {
	for _, l := range c.losses() {
		if l.whole {
			if refusal := c.placeCopy(l); refusal != nil {
				return refusal
			}
			continue
		}
		for _, r := range c.groups[l.group].roles {
			if refusal := c.refillRole(l, r); refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

// refillRole finds nodes for the lost pods of a role in a copy with survivors.
func (c *crew) refillRole(l loss, r int) *RepairRefusal {
	lost := c.lostIn(r, l.copy)
	if len(lost) == 0 {
		return nil
	}
	needed := len(lost)
	anchor := c.anchor(l.group, l.copy, r, lost[0])
	c.blind = c.blind || (anchor == "" && c.groups[l.group].level > topology.Cluster)
	lost = c.takeSpares(l, r, lost)
	nodes := c.nearest(r, anchor, c.groups[l.group].level, len(lost))
	for i, node := range nodes {
		c.roles[r].move(lost[i], node, false)
	}
	if len(nodes) == len(lost) {
		return nil
	}
	out := c.refusal(l)
	out.Role, out.Needed, out.Found = c.roles[r].name, needed, needed-len(lost)+len(nodes)
	return out
}

// takeSpares moves lost pods to spares of their role in the copy's domain: in the
// narrowest domain around the surviving rank closest to them first, and there to
// spares of their own copy first. It returns the pods for which there is none.
func (c *crew) takeSpares(l loss, r int, lost []int) []int {
	role := &c.roles[r]
	near := c.closest(l, r)
	for at := topology.Node; at >= c.groups[l.group].level && len(lost) > 0; at-- {
		in := map[place][]int{}
		for _, own := range []bool{true, false} {
			for i, s := range role.spares {
				if !s.taken && (s.copy == l.copy) == own {
					domain := domainAt(c.before, s.node, at)
					in[domain] = append(in[domain], i)
				}
			}
		}
		var left []int
		for _, rank := range lost {
			domain := domainAt(c.before, near[rank-l.copy*role.per], at)
			if len(in[domain]) == 0 {
				left = append(left, rank)
				continue
			}
			spare := &role.spares[in[domain][0]]
			in[domain] = in[domain][1:]
			spare.taken = true
			role.move(rank, spare.node, true)
		}
		lost = left
	}
	return lost
}

// shared counts the domains around both nodes.
func shared(s *placement.Snapshot, a, b string) int {
	n := 0
	above := s.Above(b)
	for _, x := range s.Above(a) {
		if slices.Contains(above, x) {
			n++
		}
	}
	return n
}

// placeCopy finds one domain for a copy of which nothing survives. Where its own
// spares are is tried first, and room for spares is asked for before none.
func (c *crew) placeCopy(l loss) *RepairRefusal {
	freed := c.ownSpares(l)
	room := c.room.With(returned(c.usesOf(freed))...)
	around, outer := "", topology.Cluster
	if parent := c.groups[l.group].parent; parent >= 0 {
		outer = c.groups[parent].level
		around = c.anchor(parent, c.parentCopy(l), -1, 0)
		if around == "" && outer > topology.Cluster {
			return c.refusal(l)
		}
	}
	var nearest *placement.Refusal
	for _, try := range c.tries(l, freed, around, outer) {
		v := placement.Place(withAnchor(room, try.anchor), c.copyRequest(l, try))
		if v.Placement != nil {
			c.drop(freed)
			c.room = room
			c.settle(c.slotsOfCopy(l), v.Placement, freed, try.anchor != "")
			return nil
		}
		nearest = v.Refusal
	}
	out := c.refusal(l)
	if nearest != nil {
		out.Found = min(max(0, nearest.Found-1), out.Needed-1)
	}
	return out
}

// try is one way to ask for a whole copy: around the anchor at a level.
type try struct {
	anchor string
	level  topology.Level
	spares bool
}

func (c *crew) tries(l loss, freed []spareOf, around string, outer topology.Level) []try {
	var out []try
	met := map[place]bool{}
	for _, s := range freed {
		in := domainAt(c.before, s.node, c.groups[l.group].level)
		if met[in] || !c.takesPods(s.node) || domainAt(c.before, s.node, outer) != domainAt(c.before, cmp.Or(around, s.node), outer) {
			continue
		}
		met[in] = true
		out = append(out, try{s.node, c.groups[l.group].level, true}, try{s.node, c.groups[l.group].level, false})
	}
	return append(out, try{around, outer, true}, try{around, outer, false})
}

// copyRequest asks for a whole copy in one domain of its level.
func (c *crew) copyRequest(l loss, t try) placement.Request {
	root := placement.Group{Required: t.level, Groups: []placement.Group{c.wholeCopy(l.group, t.spares)}}
	if l.group == 0 {
		root = c.wholeCopy(0, t.spares)
	}
	if t.anchor != "" {
		root.Roles = slices.Insert(root.Roles, 0, anchorRole("anchor", t.anchor))
	}
	return placement.Request{Root: root}
}

// repairAtOnce places all that is lost in one request, with the room of all
// surviving spares.
func (c *crew) repairAtOnce() (proof placement.Proof, ok bool) {
	var freed []spareOf
	for r := range c.roles {
		freed = append(freed, c.sparesOf(r, -1)...)
	}
	room := c.room.With(returned(c.usesOf(freed))...)
	b := joint{crew: c}
	root, fine := b.group(0, 0)
	if !fine || b.roles > placement.MaxRoles {
		return placement.None, false
	}
	for _, anchor := range b.anchors {
		room = withAnchor(room, anchor)
	}
	v := placement.Place(room, placement.Request{Root: root})
	if v.Placement == nil {
		return v.Proof, false
	}
	c.drop(freed)
	c.room = c.room.With(returned(c.usesOf(freed))...)
	c.settle(b.slots, v.Placement, freed, false)
	return placement.Exact, true
}
