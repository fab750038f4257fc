package queueing

import (
	"cmp"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxProbes bounds how often one search for a set of gangs asks Place, beyond
// the first set that it finds.
const maxProbes = 256

// candidate is a gang whose room could be had at a cost.
type candidate struct {
	running *Running
	cost    float64
}

// cheapest looks for the set of candidates of least cost whose room, given back,
// is enough. Of equal costs the set of fewer gangs is better, then the one found
// first, which depends on nothing but the names.
type cheapest struct {
	// all are the candidates, dearest first, then by name.
	all []candidate
	// enough reports whether a set will do. What a set does, a larger one does too.
	enough func(set []int) bool
	// accept is a further condition on a set that is enough, nil for none. A larger
	// set may meet it where a smaller does not.
	accept func(set []int) bool
	// most is the largest size of a set.
	most int
	// left is how many more sets may be asked about.
	left int
	// best is the cheapest set so far, nil for none, in rising order.
	best []int
	// cut says that the search ended before it had seen all.
	cut bool
}

func newCheapest(all []candidate, enough func(set []int) bool) *cheapest {
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.cost, a.cost), cmp.Compare(a.running.Name, b.running.Name))
	})
	return &cheapest{all: all, enough: enough, most: len(all), left: maxProbes}
}

// cost sums in rising order, so that equal sets cost the same to the last bit.
func (c *cheapest) cost(set []int) float64 {
	var sum float64
	for _, i := range set {
		sum += c.all[i].cost
	}
	return sum
}

// consider keeps the set if it is better than the best one.
func (c *cheapest) consider(set []int) {
	if c.best == nil || cmp.Or(cmp.Compare(c.cost(set), c.cost(c.best)), cmp.Compare(len(set), len(c.best))) < 0 {
		c.best = slices.Clone(set)
	}
}

// greedy takes the candidates of the pool in order of their cost for each device
// that comes back in it, as few of them as are enough, and then leaves out every
// one that is not needed, the dearest first. It costs O(log n + k) questions for
// k of n candidates. ok is false when the whole pool is not enough.
func (c *cheapest) greedy(p *pool) (set []int, ok bool) {
	order := slices.Clone(p.members)
	slices.SortStableFunc(order, func(a, b int) int {
		// cost a / room a < cost b / room b, without dividing by no room.
		return cmp.Or(
			cmp.Compare(c.all[a].cost*p.room[b], c.all[b].cost*p.room[a]),
			cmp.Compare(p.room[b], p.room[a]), cmp.Compare(a, b))
	})
	if !c.enough(sorted(order)) {
		return nil, false
	}
	low, high := 0, len(order)
	for high-low > 1 {
		if middle := low + (high-low)/2; c.enough(sorted(order[:middle])) {
			high = middle
		} else {
			low = middle
		}
	}
	return c.reduced(sorted(order[:high])), true
}

// reduced leaves out what is not needed, the dearest first.
func (c *cheapest) reduced(set []int) []int {
	for i := 0; i < len(set); {
		if less := slices.Delete(slices.Clone(set), i, i+1); len(less) > 0 && c.enough(less) {
			set = less
		} else {
			i++
		}
	}
	return set
}

// search finds the best set within a pool that is enough as a whole, by branch
// and bound: of each candidate, dearest first, first without it and then with
// it. It sees all sets that could be better, unless c.left runs out.
func (c *cheapest) search(members []int) {
	c.visit(nil, members, false)
}

// visit decides about the first of rest. chosen and rest together are enough;
// known says that chosen alone is already known not to do.
func (c *cheapest) visit(chosen, rest []int, known bool) {
	if c.cut || len(chosen) > c.most || c.hopeless(chosen, rest, known) {
		return
	}
	if !known && len(chosen) > 0 && c.ask(chosen) && (c.accept == nil || c.accept(chosen)) {
		c.consider(chosen)
		return
	}
	if len(rest) == 0 || c.cut {
		return
	}
	if c.ask(slices.Concat(chosen, rest[1:])) {
		c.visit(chosen, rest[1:], true)
	}
	c.visit(append(slices.Clone(chosen), rest[0]), rest[1:], false)
}

// hopeless reports whether no set that grows from chosen beats the best one.
func (c *cheapest) hopeless(chosen, rest []int, known bool) bool {
	if c.best == nil {
		return false
	}
	cost, size := c.cost(chosen), len(chosen)
	if known || size == 0 {
		if len(rest) == 0 {
			return true
		}
		// At least one more is needed, and the last is the cheapest.
		cost, size = cost+c.all[rest[len(rest)-1]].cost, size+1
	}
	return cmp.Or(cmp.Compare(cost, c.cost(c.best)), cmp.Compare(size, len(c.best))) >= 0
}

// ask counts the question.
func (c *cheapest) ask(set []int) bool {
	if c.left == 0 {
		c.cut = true
		return false
	}
	c.left--
	return len(set) > 0 && c.enough(set)
}

func sorted(set []int) []int {
	out := slices.Clone(set)
	slices.Sort(out)
	return out
}

// place is one domain or node, "" is the whole cluster.
type place struct {
	level topology.Level
	name  string
}

// pool is one domain in which a gang could get its room, with the candidates
// that hold room there. Whoever holds none there is of no use in it.
type pool struct {
	in      place
	members []int
	// room is how many devices each candidate holds there, by candidate; at least
	// one, so that a gang without devices counts.
	room map[int]float64
}

// pools lists the domains of the level that hold room of candidates, those
// whose room is cheapest first. For Cluster it is the whole cluster.
func (c *cheapest) pools(s *placement.Snapshot, level topology.Level) []*pool {
	at := map[place]*pool{}
	for i, candidate := range c.all {
		for _, use := range candidate.running.Uses {
			in := domainAt(s, use.Node, level)
			p := at[in]
			if p == nil {
				p = &pool{in: in, room: map[int]float64{}}
				at[in] = p
			}
			if len(p.members) == 0 || p.members[len(p.members)-1] != i {
				p.members = append(p.members, i)
				p.room[i] = 1
			}
			p.room[i] += devices([]placement.Use{use})
		}
	}
	price := func(p *pool) float64 {
		var room float64
		for _, i := range p.members {
			room += p.room[i]
		}
		return c.cost(p.members) / room
	}
	out := slices.Collect(maps.Values(at))
	slices.SortFunc(out, func(a, b *pool) int {
		return cmp.Or(
			cmp.Compare(price(a), price(b)),
			cmp.Compare(a.in.level, b.in.level), topology.CompareNatural(a.in.name, b.in.name))
	})
	return out
}

// domainAt is the domain that stands for the node at the level: the outermost
// above it that is not wider, in the last resort the node itself.
func domainAt(s *placement.Snapshot, node string, level topology.Level) place {
	if level <= topology.Cluster {
		return place{}
	}
	out := place{topology.Node, node}
	for _, v := range s.Above(node) {
		if v.Level < level {
			break
		}
		out = place{v.Level, v.Name}
	}
	return out
}

// unique drops gangs that share their name with another, since a decision about
// such a name says nothing. running is sorted by name.
func unique(running []Running) []*Running {
	var out []*Running
	for i := range running {
		twice := (i > 0 && running[i-1].Name == running[i].Name) ||
			(i+1 < len(running) && running[i+1].Name == running[i].Name)
		if !twice && len(running[i].Uses) > 0 {
			out = append(out, &running[i])
		}
	}
	return out
}

// holdersOf are the chosen candidates as holders of room.
func (c *cheapest) holdersOf(set []int) []holder {
	out := make([]holder, len(set))
	for i, n := range set {
		out[i] = holder{name: c.all[n].running.Name, uses: c.all[n].running.Uses}
	}
	return out
}
