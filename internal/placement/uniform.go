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

// slotsOf turns units of a level into slots of one copy of a group, of which only
// whole units of the group's own level count.
func (u *uniform) slotsOf(units int64, level topology.Level, group int) int {
	at := u.levels[group]
	per := u.units[at]
	return int(min(units/u.ratio(at, level)*per, int64(u.gang.groups[group].slots)))
}

// without implements counter.
func (u *uniform) without(top *domain, names []string) (counter, bool) {
	out := *u
	out.view = &view{profile: newProfile(u.snapshot, u.gang, u.levels, names), places: make([]placeView, len(u.snapshot.fleet.places))}
	most := out.see(top).most
	for l := topology.Node; l >= u.levels[0]; l-- {
		if most[l] >= u.needed(l) {
			return &out, true
		}
	}
	return &out, false
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

// candidate is a place for the whole of a demand: a domain, or a node in it.
type candidate struct {
	domain *domain
	node   *Node
	// parts is how many children of the domain the demand needs.
	parts int
	room  room
}

// finding is an answer of tightest.
type finding struct {
	stamp uint64
	level topology.Level
	n     int64
	best  candidate
}

// deepest is an answer of deeper.
type deepest struct {
	stamp uint64
	n     int64
	count int
}

// tightest returns the place of exactly the level below d that holds n units and
// splits them over the fewest parts, then over the fewest parts of those, then has
// the least room. Of equals it is the first below the domain with the least room.
// Its domain is nil when there is none. Answers are kept until the domain changes.
func (u *uniform) tightest(d *domain, level topology.Level, n int64) candidate {
	y := u.see(d)
	switch {
	case y.most[level] < n:
		return candidate{}
	case level == topology.Node:
		if c, found := u.remembered(y, level, n); found {
			return c
		}
	case d.level == level:
		return candidate{domain: d, parts: fewest(u.partsOf(d), n), room: y.room}
	default:
		if c, found := u.remembered(y, level, n); found {
			return c
		}
	}
	var best candidate
	var around room
	for _, child := range d.children {
		c := u.tightest(child, level, n)
		if c.domain == nil {
			continue
		}
		here := u.see(child).room
		if best.domain == nil || u.better(&c, here, &best, around, n) {
			best, around = c, here
		}
	}
	if level == topology.Node {
		if c := u.tightestMember(d, n); c.domain != nil && (best.domain == nil || c.room.compare(best.room) < 0) {
			best = c
		}
	}
	y.found[0], y.found[1] = finding{d.stamp, level, n, best}, y.found[0]
	return best
}

// remembered returns an earlier answer about the same version of the domain.
func (u *uniform) remembered(y *placeView, level topology.Level, n int64) (candidate, bool) {
	for i := range y.found {
		if f := &y.found[i]; f.stamp == y.stamp && f.level == level && f.n == n {
			return f.best, true
		}
	}
	return candidate{}, false
}

// better says whether candidate a, in a child with room hereA, comes before b.
func (u *uniform) better(a *candidate, hereA room, b *candidate, hereB room, n int64) bool {
	if a.parts != b.parts {
		return a.parts < b.parts
	}
	if a.node == nil {
		if x, y := u.deeper(a.domain, n), u.deeper(b.domain, n); x != y {
			return x < y
		}
	}
	if c := a.room.compare(b.room); c != 0 {
		return c < 0
	}
	return hereA.compare(hereB) < 0
}

// deeper is how many parts of its parts a domain opens for n units.
func (u *uniform) deeper(d *domain, n int64) int {
	if len(d.children) == 0 {
		return 0
	}
	y := u.see(d)
	if y.deeper.stamp != d.stamp || y.deeper.n != n {
		parts, inner := u.listParts(d)
		y.deeper = deepest{d.stamp, n, spread(parts, n, inner)}
	}
	return y.deeper.count
}

// tightestMember returns the node directly in d that holds n slots with the least
// room.
func (u *uniform) tightestMember(d *domain, n int64) candidate {
	best := candidate{}
	for _, t := range d.tallies {
		if r := u.hold(t.kind); r.slots >= n && (best.domain == nil || r.compare(best.room) < 0) {
			best = candidate{domain: d, room: r}
		}
	}
	if best.domain == nil {
		return best
	}
	for i := range d.members {
		if u.hold(d.members[i].kind) == best.room {
			best.node = d.members[i].node
			break
		}
	}
	return best
}

// listParts lists the children and nodes of d that hold anything, and says whether
// their own parts count in the same units.
func (u *uniform) listParts(d *domain) (out []part, inner bool) {
	out, inner = make([]part, 0, len(d.children)+len(d.members)), true
	for i, child := range d.children {
		ratio := u.ratio(d.level, child.level)
		y := u.see(child)
		if units := y.units / ratio; units > 0 {
			out = append(out, part{at: i, units: units, runs: u.partsOf(child), room: y.room})
			inner = inner && ratio == 1
		}
	}
	for i := range d.members {
		if units := u.hold(d.members[i].kind).slots / u.ratio(d.level, topology.Node); units > 0 {
			out = append(out, part{at: len(d.children) + i, units: units, room: u.hold(d.members[i].kind)})
		}
	}
	return out, inner
}

// assign gives n units of d their nodes, in the order of the fabric.
func (u *uniform) assign(d *domain, n int64) {
	if len(d.children) == 0 {
		u.fill(d, n)
		return
	}
	parts, inner := u.listParts(d)
	spread(parts, n, inner)
	slices.SortFunc(parts, func(a, b part) int { return a.at - b.at })
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
	rest := shareBins(bins, n)
	for i := range d.members {
		r := u.hold(d.members[i].kind)
		at := slices.IndexFunc(bins, func(b bin) bool { return b.room == r })
		if at < 0 {
			continue
		}
		switch b := &bins[at]; {
		case b.full > 0:
			b.full--
			u.take(d.members[i].node, d.place, b.units*ratio)
		case b.partly:
			b.partly = false
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
