package placement

import (
	"cmp"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxVisits bounds the nodes that a call of Place looks at while it searches.
const maxVisits = 1 << 24

// search places copies one by one and goes back where that leads nowhere. It is
// for gangs whose frontiers are too large: what it finds is sound, but what it
// does not find may exist.
type search struct {
	*supply
	flat *flat
	// free is the room left per node, in the order of supply.resources.
	free [][]int64
	// may says per item of the supply's space which nodes it may use.
	may [][]bool
	// upTo sums, per item, what the vertices before v could hold at the start.
	upTo   [][]int64
	choice map[[2]int][]int
	visits *int
	// out lists the nodes of every role, by index, one entry per slot. Slots of one
	// copy follow each other.
	out    [][]int
	placed int
	// root is the domain under trial. nearest is the one of the required level
	// in which the most slots were placed, found is their number.
	root, nearest, found int
}

// task is a piece of work: one copy of a group, or the slots of one role in one
// copy, somewhere below a vertex. next are the tasks that wait for it.
type task struct {
	// item is the place of the role in the supply's space, -1 for a group.
	item, group int
	below       int
	next        *task
}

// search tries the gang against the room of the supply.
func (p *planner) search(u *supply) Verdict {
	h := newSearch(u, &p.visits)
	// What pods inside islands leave on a node depends on all of them together, which
	// placing copies one by one does not look at.
	if !u.gang.hasIslands() && h.run(&task{item: -1}) {
		return Verdict{Placement: placementOf(u.gang, h.slots()), Proof: Exact}
	}
	h.countSingles()
	r := &Refusal{
		Level:    u.gang.groups[0].required,
		Needed:   u.gang.groups[0].slots,
		Found:    h.found,
		Excluded: excluded(p.snapshot, u.gang),
	}
	nearest := spot{domain: p.snapshot.root}
	if h.found > 0 {
		r.Domain = h.flat.name(h.nearest)
		nearest.domain = p.snapshot.domainOf(h.flat.vertices[h.nearest].place)
	}
	if why := (&refusal{snapshot: p.snapshot, gang: u.gang}); !why.anyEligible(0, nearest) {
		r.Limiting = eligibleNodes
	}
	// Without a domain that has room for every role alone, there is nothing that
	// the search could have missed.
	if len(h.candidates(0, 0)) == 0 {
		return Verdict{Refusal: r, Proof: Exact}
	}
	return Verdict{Refusal: r, Proof: None}
}

// slots names what the search has found.
func (h *search) slots() slots {
	out := make(slots, len(h.out))
	for i, nodes := range h.out {
		for _, node := range nodes {
			out[i] = append(out[i], h.flat.nodes[node].slot)
		}
	}
	return out
}

// countSingles raises found to what the best domain holds of one role alone,
// levels of nested groups aside, and so short of the whole gang.
func (h *search) countSingles() {
	short := h.gang.groups[0].slots - 1
	for v, at := range h.flat.vertices {
		if !h.flat.isDomainAt(v, h.gang.groups[0].required) {
			continue
		}
		for i := range h.space.items {
			room := h.upTo[i][at.end] - h.upTo[i][v]
			if n := int(min(room, int64(min(h.space.demand[i], short)))); n > h.found {
				h.nearest, h.found = v, n
			}
		}
	}
}

func newSearch(u *supply, visits *int) *search {
	f := u.snapshot.flatten()
	h := &search{
		supply: u,
		flat:   f,
		free:   make([][]int64, len(f.nodes)),
		choice: map[[2]int][]int{},
		visits: visits,
		out:    make([][]int, len(u.gang.roles)),
	}
	eligible := make([]bool, len(u.asks))
	for range u.asks {
		h.may = append(h.may, make([]bool, len(f.nodes)))
		h.upTo = append(h.upTo, make([]int64, len(f.vertices)+1))
	}
	for v, at := range f.vertices {
		for i := range u.asks {
			h.upTo[i][v+1] = h.upTo[i][v]
		}
		if at.node < 0 {
			continue
		}
		h.free[at.node] = make([]int64, len(u.resources))
		node := &f.nodes[at.node]
		u.look(node.kind.traits, u.snapshot.freeOf(node.kind), h.free[at.node], eligible)
		for i := range u.asks {
			h.may[i][at.node] = eligible[i]
			h.upTo[i][v+1] += int64(u.count(i, h.free[at.node], eligible, u.space.demand[i]))
		}
	}
	return h
}

// run does the task and all that wait for it, or nothing.
func (h *search) run(t *task) bool {
	switch {
	case t == nil:
		return true
	case *h.visits <= 0:
		return false
	case t.item >= 0:
		return h.placeRole(t)
	}
	for _, domain := range h.candidates(t.group, t.below) {
		if t.group == 0 {
			h.root = domain
		}
		if h.run(h.inside(t.group, domain, t.next)) {
			return true
		}
	}
	return false
}

// inside lists what one copy of the group in the domain consists of, heavy
// slots first, ahead of the tasks in rest.
func (h *search) inside(group, domain int, rest *task) *task {
	groups := h.gang.groups
	for i := len(groups) - 1; i > 0; i-- {
		if groups[i].parent == group {
			for range groups[i].total / groups[group].total {
				rest = &task{item: -1, group: i, below: domain, next: rest}
			}
		}
	}
	var items []int
	for i, it := range h.space.items {
		if it.group == group {
			items = append(items, i)
		}
	}
	slices.SortStableFunc(items, func(a, b int) int {
		return cmp.Compare(h.space.items[a].weight, h.space.items[b].weight)
	})
	for _, i := range items {
		rest = &task{item: i, group: group, below: domain, next: rest}
	}
	return rest
}

// candidates lists the domains below a vertex that might hold a copy of the
// group, tight levels first, then those with the least room.
func (h *search) candidates(group, below int) []int {
	key := [2]int{group, below}
	if known, ok := h.choice[key]; ok {
		return known
	}
	f, g := h.flat, &h.gang.groups[group]
	tightest := max(g.preferred, g.required)
	if group == 0 {
		tightest = topology.Node
	}
	var out []int
	for v := below; v < f.vertices[below].end; v++ {
		*h.visits--
		level := f.vertices[v].level
		outermost := v == below || f.vertices[f.vertices[v].parent].level < tightest
		if level >= g.required && outermost && h.mightHold(group, v) {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(f.vertices[b].level, f.vertices[a].level),
			h.roomAt(a).compare(h.roomAt(b)),
		)
	})
	h.choice[key] = out
	return out
}

// roomAt is the room of a vertex.
func (h *search) roomAt(v int) room {
	at := &h.flat.vertices[v]
	if at.node < 0 {
		return h.rooms[at.place.id]
	}
	return h.kinds[h.flat.nodes[at.node].kind].room
}

// mightHold is false where the snapshot has too little room from the start, role by
// role, for a copy of the group.
func (h *search) mightHold(group, v int) bool {
	for i, it := range h.space.items {
		if !h.gang.contains(group, it.group) {
			continue
		}
		room := h.upTo[i][h.flat.vertices[v].end] - h.upTo[i][v]
		if room < int64(it.demand/h.gang.groups[group].total) {
			return false
		}
	}
	return true
}

// offer is a node with the number of slots that it can take.
type offer struct {
	vertex, node, fits int
	devices            int64
}

// placeRole gives the slots of a role in one copy to nodes: first to the nodes
// with the most room, and if that leads nowhere to those with the least.
func (h *search) placeRole(t *task) bool {
	it := h.space.items[t.item]
	needed := it.demand / h.gang.groups[it.group].total
	offers, total := h.offers(t)
	if total < needed {
		if h.placed+total > h.found {
			h.nearest = h.flat.domainAt(h.root, h.gang.groups[0].required)
			h.found = h.placed + total
		}
		return false
	}
	slices.SortStableFunc(offers, func(a, b offer) int {
		return cmp.Or(cmp.Compare(b.fits, a.fits), cmp.Compare(a.devices, b.devices))
	})
	if h.takeAndRun(t, fewestOffers(offers, needed), needed) {
		return true
	}
	slices.Reverse(offers)
	return h.takeAndRun(t, offers, needed)
}

// offers lists the nodes that the task may use, and how much they take together.
func (h *search) offers(t *task) (offers []offer, total int) {
	vertices := h.flat.vertices
	for v := t.below; v < vertices[t.below].end; v++ {
		*h.visits--
		node := vertices[v].node
		if node < 0 || !h.may[t.item][node] {
			continue
		}
		o := offer{vertex: v, node: node, fits: h.fitting(t.item, node)}
		if o.fits == 0 {
			continue
		}
		for i, name := range h.resources {
			if isDevice(name) {
				o.devices = addCapped(o.devices, h.free[node][i])
			}
		}
		total = min(MaxPods, total+o.fits)
		offers = append(offers, o)
	}
	return offers, total
}

// fitting counts the slots of an item that fit into what is left of a node.
func (h *search) fitting(item, node int) int {
	most := int64(h.space.demand[item])
	for r, ask := range h.asks[item] {
		if ask > 0 {
			most = min(most, h.free[node][r]/ask)
		}
	}
	return int(most)
}

// fewestOffers cuts offers, which fall, to as few as hold what is needed; the last
// one is the smallest that does.
func fewestOffers(offers []offer, needed int) []offer {
	for i, o := range offers {
		if o.fits < needed {
			needed -= o.fits
			continue
		}
		last := i
		for last+1 < len(offers) && offers[last+1].fits >= needed {
			last++
		}
		return append(slices.Clone(offers[:i]), offers[last])
	}
	return offers
}

// takeAndRun takes the needed slots from the offers in order, and takes them
// back when the tasks that wait cannot be done after that.
func (h *search) takeAndRun(t *task, offers []offer, needed int) bool {
	role := h.space.items[t.item].role
	before := len(h.out[role])
	var taken []offer
	for _, o := range offers {
		o.fits = min(o.fits, before+needed-len(h.out[role]))
		for range o.fits {
			h.out[role] = append(h.out[role], o.node)
		}
		h.charge(t.item, o.node, int64(o.fits))
		taken = append(taken, o)
	}
	slices.SortFunc(h.out[role][before:], func(a, b int) int { return a - b })
	h.placed += needed
	if h.run(t.next) {
		return true
	}
	h.placed -= needed
	h.out[role] = h.out[role][:before]
	for _, o := range taken {
		h.charge(t.item, o.node, -int64(o.fits))
	}
	return false
}

// charge takes n slots of the item from a node.
func (h *search) charge(item, node int, n int64) {
	for r, ask := range h.asks[item] {
		h.free[node][r] -= ask * n
	}
}

// hasIslands says whether pods of any role have to stay inside an island.
func (g *gang) hasIslands() bool {
	return slices.ContainsFunc(g.roles, func(r roleDemand) bool { return r.shape.WithinIsland })
}
