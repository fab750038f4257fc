package queueing

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Preempt chooses whole gangs that stop so that the gang fits: Preemptible ones
// of lower priority, and none that could be left out. ok is false when the gang
// fits anyway, also once the gangs that are Stopping have gone, and when evicting
// everything that it may evict is not enough.
//
// Sets compare by the highest priority among the victims, the lower the better,
// then by what is lost: for each victim, its devices times the time since its
// last checkpoint and for its restart. So no work of higher priority is lost to
// save any amount of work of lower priority. Equal sets compare by the number of
// gangs.
//
// The limit on the priority is exact, by halving. Below it every domain of the
// gang's required level gets its cheapest set: a greedy one, then branch and
// bound over all, 256 questions to Place for the call. Proof is Exact when that
// saw everything.
func Preempt(s *placement.Snapshot, g Gang, running []Running, now time.Duration) (eviction Eviction, ok bool) {
	running = byName(running)
	var stopping []holder
	var lower []candidate
	for _, r := range unique(running) {
		switch {
		case r.Stopping:
			stopping = append(stopping, holder{uses: r.Uses})
		case r.Preemptible && r.Priority < g.Priority && r.Name != g.Name:
			lower = append(lower, candidate{r, lost(r, now)})
		}
	}
	base := without(s, stopping)
	if v := placement.Place(base, g.Request); v.Refusal == nil {
		return Eviction{}, false
	}
	lower, ok = leastPriority(base, &g, lower)
	if !ok {
		return Eviction{}, false
	}
	c := newCheapest(lower, nil)
	c.enough = func(set []int) bool {
		return placement.Place(without(base, c.holdersOf(set)), g.Request).Placement != nil
	}
	if !c.run(c.pools(s, g.Request.Root.Required)) {
		return Eviction{}, false
	}
	return c.eviction(base, &g, now), true
}

// leastPriority keeps the candidates up to the lowest priority that has to be
// touched. ok is false when all of them are not enough.
func leastPriority(s *placement.Snapshot, g *Gang, all []candidate) (lower []candidate, ok bool) {
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.running.Priority, b.running.Priority) })
	upTo := func(p int32) []candidate {
		return all[:sort.Search(len(all), func(i int) bool { return all[i].running.Priority > p })]
	}
	var priorities []int32
	for _, c := range all {
		priorities = append(priorities, c.running.Priority)
	}
	priorities = slices.Compact(priorities)
	i := sort.Search(len(priorities), func(i int) bool {
		var gone []holder
		for _, c := range upTo(priorities[i]) {
			gone = append(gone, holder{uses: c.running.Uses})
		}
		return placement.Place(without(s, gone), g.Request).Placement != nil
	})
	if i == len(priorities) {
		return nil, false
	}
	return slices.Clone(upTo(priorities[i])), true
}

// run looks through the pools and reports whether any is enough. The first that
// is gets its greedy set whatever it costs; all others share c.left.
func (c *cheapest) run(pools []*pool) (found bool) {
	var good []*pool
	for _, p := range pools {
		if c.best != nil && c.left == 0 {
			c.cut = true
			break
		}
		if set, ok := c.greedy(p); ok {
			c.left = max(0, c.left-len(set))
			c.consider(set)
			good = append(good, p)
		}
		c.left = max(0, c.left-1)
	}
	for _, p := range good {
		c.search(p.members)
	}
	return c.best != nil
}

// eviction is the decision of a search. A search that was cut short may hold a
// gang that is not needed.
func (c *cheapest) eviction(base *placement.Snapshot, g *Gang, now time.Duration) Eviction {
	if c.cut {
		c.best = c.reduced(c.best)
	}
	at := placement.Place(without(base, c.holdersOf(c.best)), g.Request).Placement
	out := Eviction{For: g.Name, Domain: at.Quality.Domain, Placement: at, Proof: placement.Exact}
	if c.cut {
		out.Proof = placement.None
	}
	for _, i := range c.best {
		r := c.all[i].running
		out.Victims = append(out.Victims, Victim{Gang: r.Name, Priority: r.Priority, Lost: lost(r, now)})
	}
	slices.SortFunc(out.Victims, func(a, b Victim) int { return cmp.Compare(a.Gang, b.Gang) })
	return out
}
