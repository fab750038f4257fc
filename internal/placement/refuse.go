package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Reasons of an Exclusion that are not about eligibility.
const (
	reasonFull       = "full"
	reasonFragmented = "fragmented"
)

// eligibleNodes is what Refusal.Limiting names when no node may be used.
const eligibleNodes = "eligible nodes"

// counter tells how much of a gang a place holds, for a gang that no place holds
// all of. Both ways of working that out explain themselves through it.
type counter interface {
	// inDomain and onNode count the slots of one copy of a group.
	inDomain(d *domain, group int) int
	onNode(k *kind, group int) int
	// bestAt returns the place of exactly the level that holds the most of the gang.
	// Its domain is nil when none holds anything.
	bestAt(level topology.Level) spot
	// without returns, for each set of names, the most slots of one copy of the group
	// that a place below top would hold if these resources had no limit.
	without(top *domain, group int, sets [][]string) []int
}

// refusal explains a refusal.
type refusal struct {
	snapshot *Snapshot
	gang     *gang
	// levels is the level of every group.
	levels []topology.Level
	count  counter
}

// spot is a domain, or a node in it.
type spot struct {
	domain *domain
	node   *Node
	found  int
}

func (s spot) name() string {
	if s.node != nil {
		return s.node.Name
	}
	if s.domain == nil {
		return ""
	}
	return s.domain.vertex.Name
}

// explain says why no domain holds the gang: by the innermost group of which no
// domain holds even one copy, else by the gang as a whole.
func (r *refusal) explain() *Refusal {
	groups := r.gang.groups
	for i := len(groups) - 1; i > 0; i-- {
		if !groups[i].demands {
			continue
		}
		if best := r.nearest(i, r.snapshot.root); best.found < groups[i].slots {
			return r.fill(i, best)
		}
	}
	return r.fill(0, r.nearest(0, r.snapshot.root))
}

// fill writes the refusal of a group whose nearest place is best.
func (r *refusal) fill(group int, best spot) *Refusal {
	out := &Refusal{
		Group:    r.gang.groups[group].name,
		Level:    r.levels[group],
		Domain:   best.name(),
		Needed:   r.gang.groups[group].slots,
		Found:    best.found,
		Excluded: excluded(r.snapshot, r.gang),
		Levels:   r.perLevel(),
	}
	if group == 0 {
		out.Group = ""
		if unit := r.gang.unit(r.levels); unit > 0 {
			out.Unit = r.gang.groups[unit].name
			out.Needed = r.gang.groups[unit].total
			out.Found = best.found / r.gang.groups[unit].slots
		}
	}
	if best.domain == nil {
		best.domain = r.snapshot.root
	}
	out.Limiting = r.limiting(group, best)
	return out
}

// nearest returns the place of the group's level below top that holds the most of
// one copy of the group. Its domain is nil when none holds anything.
func (r *refusal) nearest(group int, top *domain) (best spot) {
	level := r.levels[group]
	top.walk(func(d *domain) {
		if d.isLocalAt(level) {
			if n := r.count.inDomain(d, group); n > best.found {
				best = spot{domain: d, found: n}
			}
		}
		if d.level < level {
			best = r.nearestNode(group, d, best)
		}
	})
	return best
}

// nearestNode returns the node directly in d that holds more of the group than
// best, or best.
func (r *refusal) nearestNode(group int, d *domain, best spot) spot {
	most := best.found
	for _, t := range d.tallies {
		most = max(most, r.count.onNode(t.kind, group))
	}
	if most == best.found {
		return best
	}
	at := slices.IndexFunc(d.members, func(m member) bool { return r.count.onNode(m.kind, group) == most })
	return spot{domain: d, node: d.members[at].node, found: most}
}

// perLevel lists the best place of each level from the required one inwards.
func (r *refusal) perLevel() []LevelBest {
	var out []LevelBest
	for l := r.levels[0]; l <= topology.Node; l++ {
		if best := r.count.bestAt(l); best.domain != nil || l == r.levels[0] {
			out = append(out, LevelBest{Level: l, Domain: best.name(), Found: best.found, Needed: r.gang.groups[0].slots})
		}
	}
	return out
}

// limiting names what keeps the count of the group in a place down: the resource
// without whose limit it would grow most. Where several run out at once, it is the
// one that alone leaves the least.
func (r *refusal) limiting(group int, best spot) string {
	if !r.anyEligible(group, best) {
		return eligibleNodes
	}
	resources := r.gang.resources(group)
	var one, others [][]string
	for i, name := range resources {
		one = append(one, []string{name})
		others = append(others, slices.Delete(slices.Clone(resources), i, i+1))
	}
	limit, most := "", best.found
	for i, n := range r.count.without(best.domain, group, one) {
		if n > most {
			limit, most = resources[i], n
		}
	}
	if limit != "" {
		return limit
	}
	least := -1
	for i, n := range r.count.without(best.domain, group, others) {
		if least < 0 || n < least {
			limit, least = resources[i], n
		}
	}
	return limit
}

// anyEligible reports whether every role of the group has a node in the place that
// it may use.
func (r *refusal) anyEligible(group int, at spot) bool {
	for i := range r.gang.roles {
		role := &r.gang.roles[i]
		if !r.gang.contains(group, role.group) {
			continue
		}
		if !slices.ContainsFunc(at.domain.traits, func(t traitTally) bool { return ineligible(&t.traits.like, role.shape, role.class) == "" }) {
			return false
		}
	}
	return true
}

// unit is the group whose copies are counted when the root is refused, 0 when
// slots are.
func (g *gang) unit(levels []topology.Level) int {
	if items := g.open(levels[0], levels); len(items) == 1 && items[0].role < 0 {
		return items[0].group
	}
	return 0
}

// resources lists what the pods of a group ask for, sorted, with "pods".
func (g *gang) resources(group int) []string {
	names := map[string]bool{podsResource: true}
	for i := range g.roles {
		if !g.contains(group, g.roles[i].group) {
			continue
		}
		for name, amount := range g.roles[i].shape.Resources {
			if amount > 0 {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// excluded counts the nodes that no role may use, by what keeps the first role
// away, and the nodes that have no room for one pod of any role.
func excluded(s *Snapshot, g *gang) []Exclusion {
	counts := map[string]int{}
	eligible := map[*traits]bool{}
	for _, t := range s.root.traits {
		if reason := g.excludes(&t.traits.like); reason != "" {
			counts[reason] += t.n
		} else {
			eligible[t.traits] = true
		}
	}
	asks := make([][]ask, len(g.roles))
	for i := range g.roles {
		asks[i] = asksOf(s, g.roles[i].shape, nil)
	}
	for _, t := range s.kindCounts() {
		if eligible[t.kind.traits] {
			if reason := g.crowdedOut(s.freeOf(t.kind), t.kind.traits, asks); reason != "" {
				counts[reason] += t.n
			}
		}
	}
	out := make([]Exclusion, 0, len(counts))
	for reason, nodes := range counts {
		out = append(out, Exclusion{Reason: reason, Nodes: nodes})
	}
	slices.SortFunc(out, func(a, b Exclusion) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}

// kindCounts counts all nodes by kind.
func (s *Snapshot) kindCounts() []tally {
	var out []tally
	s.root.walk(func(d *domain) {
		for _, t := range d.tallies {
			if i := t.kind.index; i >= len(out) {
				out = append(out, make([]tally, i+1-len(out))...)
			}
			switch one := &out[t.kind.index]; one.kind {
			case nil, t.kind:
				one.kind, one.n = t.kind, one.n+t.n
			default: // Another kind has the same index.
				out = append(out, t)
			}
		}
	})
	return slices.DeleteFunc(out, func(t tally) bool { return t.kind == nil })
}

// excludes says what keeps the first role off a node that no role may use.
func (g *gang) excludes(n *Node) string {
	first := ""
	for i := range g.roles {
		reason := ineligible(n, g.roles[i].shape, g.roles[i].class)
		if reason == "" {
			return ""
		}
		if first == "" {
			first = reason
		}
	}
	return first
}

// crowdedOut says why no pod of any role that may use a node fits on it: "full"
// when no device is left, "fragmented" when some are, but too few, else which
// resource is short. It is empty when a pod fits.
func (g *gang) crowdedOut(free []int64, t *traits, asks [][]ask) string {
	why := ""
	for i := range g.roles {
		if ineligible(&t.like, g.roles[i].shape, g.roles[i].class) != "" {
			continue
		}
		short := ""
		for _, a := range asks[i] {
			have := amountAt(free, a.column)
			switch {
			case have >= a.amount:
				continue
			case a.device && have == 0:
				short = reasonFull
			case a.device && short != reasonFull:
				short = reasonFragmented
			case short == "":
				short = "short of " + a.name
			}
		}
		if short == "" {
			return ""
		}
		if why == "" {
			why = short
		}
	}
	return why
}
