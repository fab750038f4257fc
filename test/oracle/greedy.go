package oracle

import (
	"cmp"
	"slices"
)

// greedy places a gang by the rule of today's schedulers: of the domains of a
// level the tightest first, in it the largest group or pod first, each pod on the
// fullest node that takes it. What was placed for one sibling is not placed
// otherwise for the sake of the next; only the domains of a copy are tried one
// after another.
type greedy struct {
	fleet *fleet
	gang  *gang
	scale *scale
	rooms [MaxNodes]uint32
}

// fitsGreedily reports whether the rule finds a placement.
func fitsGreedily(f *fleet, g *gang) bool {
	s, ok := newScale(g)
	if !ok {
		return false
	}
	p := greedy{fleet: f, gang: g, scale: s}
	for i := range f.nodes {
		p.rooms[i] = s.room(&f.nodes[i])
	}
	return p.place(0, 0, len(f.nodes))
}

// place finds room for one copy of the group among the nodes [first, last).
func (p *greedy) place(id, first, last int) bool {
	type run struct{ first, last, free int }
	var runs []run
	level := p.gang.groups[id].level
	for _, v := range p.fleet.domains(level, first, last) {
		low, high := p.fleet.span(v, level)
		runs = append(runs, run{low, high, p.free(low, high)})
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.free, b.free) })
	for _, r := range runs {
		before := p.rooms
		if p.inside(id, r.first, r.last) {
			return true
		}
		p.rooms = before
	}
	return false
}

// inside places what one copy of the group consists of, the largest first.
func (p *greedy) inside(id, first, last int) bool {
	type thing struct{ role, group, times, weight int }
	var things []thing
	for i, r := range p.gang.roles {
		if r.group == id {
			things = append(things, thing{i, -1, r.count + r.in.Spares, sum(p.scale.ask(i))})
		}
	}
	for child := id + 1; child < p.gang.groups[id].last; child = p.gang.groups[child].last {
		at, weight := p.gang.groups[child], 0
		for i, r := range p.gang.roles {
			if child <= r.group && r.group < at.last {
				weight += sum(p.scale.ask(i)) * (r.count + r.in.Spares) * p.gang.groups[r.group].total / at.total
			}
		}
		things = append(things, thing{-1, child, at.copies, weight})
	}
	slices.SortStableFunc(things, func(a, b thing) int { return cmp.Compare(b.weight, a.weight) })
	for _, t := range things {
		for range t.times {
			if t.group >= 0 && !p.place(t.group, first, last) || t.group < 0 && !p.pod(t.role, first, last) {
				return false
			}
		}
	}
	return true
}

// pod puts one slot on the node with the least room that takes it.
func (p *greedy) pod(i, first, last int) bool {
	r, ask, best := p.gang.roles[i], p.scale.ask(i), -1
	for n := first; n < last; n++ {
		if !mayUse(&p.fleet.nodes[n], &r.in.Shape, r.class) || !hasRoom(p.rooms[n], ask) {
			continue
		}
		if best < 0 || p.free(n, n+1) < p.free(best, best+1) {
			best = n
		}
	}
	if best < 0 {
		return false
	}
	p.rooms[best] -= ask
	return true
}

// free weighs the room of the nodes. Pods are no measure of it: their number is
// left out where nodes do not limit it.
func (p *greedy) free(first, last int) int {
	total := 0
	for n := first; n < last; n++ {
		for i, name := range p.scale.names {
			if name != "pods" {
				total += int(p.rooms[n] >> (8 * i) & 0xff)
			}
		}
	}
	return total
}

// sum adds up the bytes of a room.
func sum(room uint32) int {
	return int(room&0xff + room>>8&0xff + room>>16&0xff + room>>24)
}
