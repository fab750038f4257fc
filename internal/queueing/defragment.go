package queueing

import (
	"cmp"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// MaxMoves is the largest number of gangs that Next proposes to move for one.
const MaxMoves = 8

// Defragment proposes which Movable gangs go elsewhere so that the gang fits: at
// most maxMoves, those with the fewest devices in all that it finds. Every one of
// them has a place beside the gang and the others once all of them have stopped.
// The moves are sorted by name. ok is false when the gang fits anyway and when
// nothing was found.
//
// Only gangs that hold room in one domain of the required level move, so a move
// that only makes room for another move is not found. Beyond that the search sees
// everything, up to 256 questions.
func Defragment(s *placement.Snapshot, g Gang, running []Running, maxMoves int) (moves []Move, ok bool) {
	if placement.Place(s, g.Request).Refusal == nil {
		return nil, false
	}
	running = byName(running)
	var movable []candidate
	for _, r := range unique(running) {
		if r.Movable && !r.Stopping && r.Name != g.Name {
			movable = append(movable, candidate{r, devices(r.Uses)})
		}
	}
	c := newCheapest(movable, nil)
	c.most = min(c.most, maxMoves)
	c.enough = func(set []int) bool {
		return placement.Place(without(s, c.holdersOf(set)), g.Request).Placement != nil
	}
	c.accept = func(set []int) bool {
		_, ok := c.rearranged(s, &g, set)
		return ok
	}
	for _, p := range c.pools(s, g.Request.Root.Required) {
		if c.cut || c.most <= 0 {
			break
		}
		if set, ok := c.greedy(p); !ok {
			c.left = max(0, c.left-1)
			continue
		} else if len(set) <= c.most && c.accept(set) {
			c.consider(set)
		}
		c.search(p.members)
	}
	if c.best == nil {
		return nil, false
	}
	return c.rearranged(s, &g, c.best)
}

// rearranged places the gang and everything that moves for it: the gang first,
// and if that leaves one of the others out, the gang last.
func (c *cheapest) rearranged(s *placement.Snapshot, g *Gang, set []int) (moves []Move, ok bool) {
	empty := without(s, c.holdersOf(set))
	if first := placement.Place(empty, g.Request).Placement; first != nil {
		if _, moves, ok = c.moveAll(empty.With(Uses(g.Request, first.Roles)...), g, set); ok {
			return moves, true
		}
	}
	rest, moves, ok := c.moveAll(empty, g, set)
	return moves, ok && placement.Place(rest, g.Request).Placement != nil
}

// moveAll places the set on what is free, the largest first, which is the order
// of the candidates.
func (c *cheapest) moveAll(s *placement.Snapshot, g *Gang, set []int) (rest *placement.Snapshot, moves []Move, ok bool) {
	for _, i := range set {
		r := c.all[i].running
		to := placement.Place(s, r.Request).Placement
		if to == nil || len(slotsIn(to.Roles)) < len(slotsIn(r.Roles)) {
			return s, nil, false
		}
		s = s.With(Uses(r.Request, to.Roles)...)
		moves = append(moves, Move{Gang: r.Name, For: g.Name, To: to})
	}
	slices.SortFunc(moves, func(a, b Move) int { return cmp.Compare(a.Gang, b.Gang) })
	return s, moves, true
}

// slotsIn lists the nodes of all slots: a move must not make a gang smaller.
func slotsIn(roles []placement.RolePlacement) []string {
	var out []string
	for _, role := range roles {
		out = slices.Concat(out, role.Nodes, role.Spares)
	}
	return out
}

// Fragmentation is the share, 0 to 1, of the free devices on the named nodes that
// is lost to gangs of the given number of pods, each gang inside one domain of the
// level: 1 less the devices of all such gangs that fit side by side, over all
// free devices. Devices are extended resources that the pod asks for; nodes that
// take no pods or do not exist do not count. It is 0 when nothing is free, and for
// a pod without devices. Labels and taints are not looked at.
//
// It costs O(nodes x height).
func Fragmentation(s *placement.Snapshot, nodes []string, pod placement.Resources, pods int, level topology.Level) float64 {
	slots := map[place]int64{}
	var free, used float64
	asked := devices([]placement.Use{{Resources: pod}})
	for _, name := range nodes {
		node, found := s.Node(name)
		if !found || node.Unavailable != "" {
			continue
		}
		fit := int64(placement.MaxPods)
		for resource, amount := range withPod(pod) {
			if _, offered := node.Capacity[resource]; amount <= 0 || (!offered && resource == podsResource) {
				continue
			}
			room := max(0, node.Capacity[resource]-node.Used[resource])
			fit = min(fit, room/amount)
			free += devices([]placement.Use{{Resources: placement.Resources{resource: room}}})
		}
		slots[domainAt(s, name, level)] += fit
	}
	for _, n := range slots {
		// Sums of whole numbers: the order of the map does not show.
		used += float64(n-n%int64(max(1, pods))) * asked
	}
	if free == 0 || asked == 0 {
		return 0
	}
	return max(0, 1-used/free)
}

// withPod adds the pod itself to what it asks for.
func withPod(pod placement.Resources) placement.Resources {
	out := placement.Resources{podsResource: 1}
	addTo(out, pod)
	return out
}
