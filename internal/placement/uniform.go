package placement

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// uniform places gangs of one role. What a domain holds of such a gang is one
// number, its units: slots, or whole copies of the outermost group that ends below
// its level. Units add up exactly: whatever is left of one copy in a domain is of
// no use to another.
type uniform struct {
	*view
	snapshot *Snapshot
	gang     *gang
	// levels is the level of every group; levels[0] is the root's.
	levels []topology.Level
	// total is the number of slots of the gang.
	total int64
	// fits is the innermost level at which one domain holds the gang.
	fits topology.Level
	out  []slot
}

// slot is the room of one pod or spare: a node, and the domain that it is in.
type slot struct {
	node *Node
	home *place
}

// placeUniform places a gang of one role, whose sizes and classes are settled.
func (p *planner) placeUniform(g *gang) Verdict {
	u := newUniform(p.snapshot, g, g.requiredLevels())
	defer func() { u.giveBack() }()
	if !u.feasible() {
		r := refusal{snapshot: p.snapshot, gang: g, levels: u.levels, count: u}
		return Verdict{Refusal: r.explain(), Proof: Exact}
	}
	for _, i := range g.tightenable() {
		for level := g.groups[i].preferred; level > u.levels[i]; level-- {
			levels := slices.Clone(u.levels)
			levels[i] = level
			tighter := newUniform(p.snapshot, g, g.inherit(levels))
			if tighter.feasible() {
				u.giveBack()
				u = tighter
				break
			}
			tighter.giveBack()
		}
	}
	u.out = make([]slot, 0, g.roles[0].total)
	u.remember(question{u.fits, u.needed(u.fits)})
	best := u.tightest(p.snapshot.root, u.fits, u.needed(u.fits))
	if best.node != nil {
		u.take(best.node, best.domain.place, u.total)
	} else {
		u.assign(best.domain, u.needed(best.domain.level))
	}
	return Verdict{Placement: placementOf(g, slots{u.out}), Proof: Exact}
}

// newUniform looks at the fleet with groups at these levels.
func newUniform(s *Snapshot, g *gang, levels []topology.Level) *uniform {
	return &uniform{
		view:     s.fleet.views.lend(newProfile(s, g, levels, nil), len(s.fleet.places)),
		snapshot: s, gang: g, levels: levels, total: int64(g.groups[0].slots),
	}
}

// inDomain implements counter.
func (u *uniform) inDomain(d *domain, group int) int {
	return u.slotsOf(u.see(d).units, d.level, group)
}

// onNode implements counter.
func (u *uniform) onNode(k *kind, group int) int {
	return u.slotsOf(u.hold(k).slots, topology.Node, group)
}

// bestAt implements counter. It follows the largest number of units downwards.
func (u *uniform) bestAt(level topology.Level) spot {
	d := u.snapshot.root
	most := u.see(d).most[level]
	found := u.slotsOf(most, level, 0)
	if found == 0 {
		return spot{}
	}
	for d.level != level {
		at := slices.IndexFunc(d.children, func(child *domain) bool { return u.see(child).most[level] == most })
		if at < 0 {
			at = slices.IndexFunc(d.members, func(m member) bool { return u.hold(m.kind).slots == most })
			return spot{domain: d, node: d.members[at].node, found: found}
		}
		d = d.children[at]
	}
	return spot{domain: d, found: found}
}

// slotsOf turns units of a level into slots of one copy of a group, of which only
// whole units of the group's own level count.
func (u *uniform) slotsOf(units int64, level topology.Level, group int) int {
	at := u.levels[group]
	per := u.units[at]
	return int(min(units/u.ratio(at, level)*per, int64(u.gang.groups[group].slots)))
}

// without implements counter. All sets are looked at in one walk.
func (u *uniform) without(top *domain, group int, sets [][]string) []int {
	r := relaxed{uniform: u, group: group, best: make([]int, len(sets))}
	for _, ample := range sets {
		r.views = append(r.views, &view{profile: newProfile(u.snapshot, u.gang, u.levels, ample)})
	}
	r.visit(top)
	return r.best
}

// relaxed counts what places would hold without the limits of some resources.
type relaxed struct {
	*uniform
	group int
	// views have one set each, and best what the best place holds with it.
	views []*view
	best  []int
	// kinds is what a node of each kind holds with each set, by index.
	kinds []relaxedKind
	// units is scratch of visit, by level.
	units [topology.Node][]int64
}

type relaxedKind struct {
	kind  *kind
	slots []int64
}

// visit returns the units of a domain for each set, until it visits another domain
// of that level.
func (r *relaxed) visit(d *domain) []int64 {
	if r.units[d.level] == nil {
		r.units[d.level] = make([]int64, len(r.views))
	}
	units := r.units[d.level]
	clear(units)
	level := r.levels[r.group]
	for _, child := range d.children {
		ratio := r.ratio(d.level, child.level)
		for i, n := range r.visit(child) {
			units[i] += n / ratio
		}
	}
	ratio := r.ratio(d.level, topology.Node)
	for _, t := range d.tallies {
		for i, slots := range r.slots(t.kind) {
			if ratio > 1 {
				units[i] += slots / ratio * int64(t.n)
			} else { // Dividing takes longer than all else here.
				units[i] += slots * int64(t.n)
			}
			if d.level < level {
				r.best[i] = max(r.best[i], r.slotsOf(slots, topology.Node, r.group))
			}
		}
	}
	if d.isLocalAt(level) {
		for i := range units {
			r.best[i] = max(r.best[i], r.slotsOf(units[i], d.level, r.group))
		}
	}
	return units
}

// slots is what a node of the kind holds with each set.
func (r *relaxed) slots(k *kind) []int64 {
	if k.index >= len(r.kinds) {
		r.kinds = append(r.kinds, make([]relaxedKind, k.index+1-len(r.kinds))...)
	}
	known := &r.kinds[k.index]
	if known.kind != k {
		*known = relaxedKind{kind: k}
		for _, v := range r.views {
			known.slots = append(known.slots, v.holdOf(k).slots)
		}
	}
	return known.slots
}

// needed is the demand in units of a domain of the level.
func (u *uniform) needed(level topology.Level) int64 { return u.total / u.units[level] }

// feasible finds the innermost level, not wider than required, at which one domain
// holds the whole gang.
func (u *uniform) feasible() bool {
	most := u.see(u.snapshot.root).most
	for l := topology.Node; l >= u.levels[0]; l-- {
		if most[l] >= u.needed(l) {
			u.fits = l
			return true
		}
	}
	return false
}

// assign gives n units of d their nodes, in the order of the fabric.
func (u *uniform) assign(d *domain, n int64) {
	if len(d.children) == 0 {
		u.fill(d, n)
		return
	}
	parts, inner := u.listParts(d)
	spread(pointers(parts), n, inner)
	for i := range parts {
		p := &parts[i]
		switch {
		case p.share == 0:
		case p.at < len(d.children):
			child := d.children[p.at]
			u.assign(child, p.share*u.ratio(d.level, child.level))
		default:
			u.take(d.members[p.at-len(d.children)].node, d.place, p.share*u.ratio(d.level, topology.Node))
		}
	}
}

// bin is a number of nodes that hold the same and have the same room.
type bin struct {
	room room
	// units is what one of them holds, and n how many there are.
	units int64
	n     int
	// full is how many are used up, and partly says that one more gets the rest.
	full   int
	partly bool
}

// fill gives n units to the fewest nodes directly in d, the tightest of those.
func (u *uniform) fill(d *domain, n int64) {
	ratio := u.ratio(d.level, topology.Node)
	var few [16]bin
	bins := few[:0]
	for _, t := range d.tallies {
		r := u.hold(t.kind)
		if units := r.slots / ratio; units > 0 {
			at := slices.IndexFunc(bins, func(b bin) bool { return b.room == r })
			if at < 0 {
				at, bins = len(bins), append(bins, bin{room: r, units: units})
			}
			bins[at].n += t.n
		}
	}
	slices.SortFunc(bins, func(a, b bin) int {
		if a.units != b.units {
			return int(b.units - a.units)
		}
		return a.room.compare(b.room)
	})
	left, rest := n, shareBins(bins, n)
	for i := 0; i < len(d.members) && left > 0; i++ {
		r := u.hold(d.members[i].kind)
		at := slices.IndexFunc(bins, func(b bin) bool { return b.room == r })
		if at < 0 {
			continue
		}
		switch b := &bins[at]; {
		case b.full > 0:
			b.full--
			left -= b.units
			u.take(d.members[i].node, d.place, b.units*ratio)
		case b.partly:
			b.partly = false
			left -= rest
			u.take(d.members[i].node, d.place, rest*ratio)
		}
	}
}

// shareBins settles how many nodes of each bin are used up, and which bin has the
// node that gets the rest, which it returns.
func shareBins(bins []bin, n int64) (rest int64) {
	for i := range bins {
		b := &bins[i]
		// The last node is the tightest that holds what is left.
		if need := (n + b.units - 1) / b.units; need <= int64(b.n) {
			b.full = int(need - 1)
			n -= int64(b.full) * b.units
			last := i
			for j := i + 1; j < len(bins) && bins[j].units >= n; j++ {
				last = j
			}
			// Among bins of equal units the first is the tightest.
			for last > 0 && bins[last-1].units == bins[last].units && bins[last-1].n > bins[last-1].full {
				last--
			}
			bins[last].partly = true
			return n
		}
		b.full = b.n
		n -= int64(b.n) * b.units
	}
	return n
}

// take gives slots of a node to the gang.
func (u *uniform) take(n *Node, home *place, slots int64) {
	for range slots {
		u.out = append(u.out, slot{n, home})
	}
}
