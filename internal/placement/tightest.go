package placement

import "github.com/k8s4ai/k8s4ai/internal/topology"

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
func (v *view) tightest(d *domain, level topology.Level, n int64) candidate {
	y := v.see(d)
	switch {
	case y.most[level] < n:
		return candidate{}
	case level == topology.Node:
		if c, found := v.remembered(y, level, n); found {
			return c
		}
	case d.level == level:
		return candidate{domain: d, parts: fewest(v.partsOf(d), n), room: y.room}
	default:
		if c, found := v.remembered(y, level, n); found {
			return c
		}
	}
	var best candidate
	var around room
	for _, child := range d.children {
		c := v.tightest(child, level, n)
		if c.domain == nil {
			continue
		}
		here := v.see(child).room
		if best.domain == nil || v.better(&c, here, &best, around, n) {
			best, around = c, here
		}
	}
	if level == topology.Node {
		if c := v.tightestMember(d, n); c.domain != nil && (best.domain == nil || c.room.compare(best.room) < 0) {
			best = c
		}
	}
	if y.found == nil {
		y.found = make([]finding, maxAsked)
	}
	copy(y.found[1:], y.found)
	y.found[0] = finding{d.stamp, level, n, best}
	return best
}

// remembered returns an earlier answer about the same version of the domain.
func (v *view) remembered(y *placeView, level topology.Level, n int64) (candidate, bool) {
	for i := range y.found {
		if f := &y.found[i]; f.stamp == y.stamp && f.level == level && f.n == n {
			return f.best, true
		}
	}
	return candidate{}, false
}

// better says whether candidate a, in a child with room hereA, comes before b.
func (v *view) better(a *candidate, hereA room, b *candidate, hereB room, n int64) bool {
	if a.parts != b.parts {
		return a.parts < b.parts
	}
	if a.node == nil {
		if x, y := v.deeper(a.domain, n), v.deeper(b.domain, n); x != y {
			return x < y
		}
	}
	if c := a.room.compare(b.room); c != 0 {
		return c < 0
	}
	return hereA.compare(hereB) < 0
}

// deeper is how many parts of its parts a domain opens for n units.
func (v *view) deeper(d *domain, n int64) int {
	if len(d.children) == 0 {
		return 0
	}
	y := v.see(d)
	if y.deeper.stamp != d.stamp || y.deeper.n != n {
		parts, inner := v.listParts(d)
		y.deeper = deepest{d.stamp, n, spread(pointers(parts), n, inner)}
	}
	return y.deeper.count
}

// tightestMember returns the node directly in d that holds n slots with the least
// room.
func (v *view) tightestMember(d *domain, n int64) candidate {
	best := candidate{}
	for _, t := range d.tallies {
		if r := v.hold(t.kind); r.slots >= n && (best.domain == nil || r.compare(best.room) < 0) {
			best = candidate{domain: d, room: r}
		}
	}
	if best.domain == nil {
		return best
	}
	for i := range d.members {
		if v.hold(d.members[i].kind) == best.room {
			best.node = d.members[i].node
			break
		}
	}
	return best
}

// listParts lists the children and nodes of d that hold anything, and says whether
// their own parts count in the same units.
func (v *view) listParts(d *domain) (out []part, inner bool) {
	out, inner = make([]part, 0, len(d.children)+len(d.members)), true
	for i, child := range d.children {
		ratio := v.ratio(d.level, child.level)
		y := v.see(child)
		if units := y.units / ratio; units > 0 {
			out = append(out, part{at: i, units: units, runs: v.partsOf(child), room: y.room})
			inner = inner && ratio == 1
		}
	}
	for i := range d.members {
		if units := v.hold(d.members[i].kind).slots / v.ratio(d.level, topology.Node); units > 0 {
			out = append(out, part{at: len(d.children) + i, units: units, room: v.hold(d.members[i].kind)})
		}
	}
	return out, inner
}
