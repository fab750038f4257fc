package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Bandwidth is how fast the members of a placed gang can exchange data, by an
// estimate from the figures of nodes and domains, as if nothing else used them.
type Bandwidth struct {
	// Rate is that of the whole gang.
	Rate
	// Best is Bus for where the gang would go if nothing else ran, and never below
	// Bus. It is 0 where that is not known.
	Best float64
	// Groups are the rates of the request's groups, in depth-first order without
	// the root. All copies of a group are taken to communicate at once.
	Groups []GroupRate
}

// GroupRate is the rate at which the copies of one group exchange data.
type GroupRate struct {
	Name string
	Rate
}

// Rate is an estimated bus bandwidth, in gigabits per second and device: the
// speed of the collective of the group's pattern, scaled as NCCL's tests scale
// it (busbw), so that it compares with the speed of a link. The zero Rate means
// that no two devices have anything to exchange.
type Rate struct {
	// Bus is the estimate. Where Known is false it is what the links that have
	// figures allow, 0 when none has: the truth may be less.
	Bus float64
	// Known is set when every link that traffic crosses has a figure.
	Known bool
	// Bottleneck and BottleneckDomain name the domain whose links allow least; at
	// level Node, and at NVLinkDomain, those are its network adapters or the links
	// among its devices. Where Known is false they name the widest place that has no
	// figure, Cluster and "" for what joins separate fabrics.
	Bottleneck       topology.Level
	BottleneckDomain string
}

// Estimate works out how fast the members of p exchange data, where p is a
// placement that Place found for r on a snapshot with the nodes of s.
//
// The members of a group are its devices; pods without any take no part. They
// exchange data in the group's pattern, in rank order: role by role, and within
// a role as in RolePlacement.Nodes. Of what they exchange at speed 1 every domain
// carries a load over its border, which follows from the pattern alone, and every
// device one over the links to its neighbours. The estimate is the least
// capacity/load: of a domain's uplink, of the adapters of a node, of the links
// between the devices of a node. Nodes of one NVLink domain exchange over those
// links; what leaves it leaves by the adapters of all its nodes. A pod has the
// adapters of its node in the proportion in which it has the node's devices.
// Latency is left out: the estimate is that of large messages.
//
// No other order of whole copies does better than the order of the fabric in
// which Place puts them, so none is tried: a ring or a pipeline that leaves each
// domain once cannot leave it less often, and AllToAll and PrefillDecode do not
// depend on the order.
//
// The estimate is the zero Bandwidth when p is not a placement for r.
func Estimate(s *Snapshot, r Request, p *Placement) Bandwidth {
	if invalid(r) != "" {
		return Bandwidth{}
	}
	out, ok := rates(s, r, p)
	if !ok {
		return Bandwidth{}
	}
	settled := Request{Root: out.root}
	best := Rate{}
	if v := Place(s.Emptied(), settled); v.Placement != nil {
		if alone, ok := rates(s, settled, v.Placement); ok {
			best = alone.Rate
		}
	}
	if best.Known {
		out.Best = max(best.Bus, out.Bus)
	}
	return out.Bandwidth
}

// rated is a Bandwidth with the sizes of the request as they were placed.
type rated struct {
	Bandwidth
	root Group
}

// rates estimates everything but Best. ok is false when p is no placement for r.
func rates(s *Snapshot, r Request, p *Placement) (out rated, ok bool) {
	e := estimator{snapshot: s, sites: map[string]*site{}}
	root, rest, ok := settle(&r.Root, 1, p.Roles)
	if !ok || len(rest) > 0 {
		return rated{}, false
	}
	out.root = root
	ok = e.read(&root, p.Roles)
	if !ok {
		return rated{}, false
	}
	all := walk(&root, 1, e.roles)
	out.Rate = all[0].Rate
	out.Groups = append(out.Groups, all[1:]...)
	return out, true
}

// settle returns the group with the counts and copies that were placed, and
// nothing less allowed. placed are the roles of the group and of what follows
// it, of which rest is left. outer is the number of copies of the parent.
func settle(g *Group, outer int, placed []RolePlacement) (out Group, rest []RolePlacement, ok bool) {
	full := max(1, g.Copies)
	least := full
	if g.MinCopies > 0 {
		least = min(full, g.MinCopies)
	}
	for copies := full; copies >= least; copies-- {
		if out, rest, ok = settleAs(g, copies, outer*copies, placed); ok {
			return out, rest, true
		}
	}
	return Group{}, nil, false
}

// settleAs settles a group of so many copies in each of its parents, total in
// all.
func settleAs(g *Group, copies, total int, placed []RolePlacement) (out Group, rest []RolePlacement, ok bool) {
	out = *g
	out.Copies, out.MinCopies = copies, 0
	if len(placed) < len(g.Roles) {
		return out, nil, false
	}
	out.Roles = slices.Clone(g.Roles)
	for i := range out.Roles {
		role, nodes := &out.Roles[i], placed[i].Nodes
		least := role.Count
		if role.MinCount > 0 {
			least = role.MinCount
		}
		count := len(nodes) / total
		if role.Name != placed[i].Name || count*total != len(nodes) || count < least || count > role.Count {
			return out, nil, false
		}
		role.Count, role.MinCount = count, 0
	}
	out.Groups, rest = slices.Clone(g.Groups), placed[len(g.Roles):]
	for i := range out.Groups {
		if out.Groups[i], rest, ok = settle(&g.Groups[i], total, rest); !ok {
			return out, nil, false
		}
	}
	return out, rest, true
}

// estimator knows where pods are, and what joins the nodes.
type estimator struct {
	snapshot *Snapshot
	sites    map[string]*site
	// roles have the members of each role, in depth-first order and in rank order.
	roles [][]peer
}

// site is a node of the gang.
type site struct {
	node Node
	// places are the node and the domains above it, from the inside outwards.
	places []where
	// uplinks are Vertex.UplinkGbps of the places, 0 for the node.
	uplinks []int64
	// unit is the place inside which devices exchange data over their own links:
	// the NVLink domain, or else the node.
	unit where
	// stand is what the group that was looked at last has here.
	stand *stand
}

// where is a node or a domain.
type where struct {
	level topology.Level
	name  string
}

// peer is one pod that has devices.
type peer struct {
	at       *site
	devices  float64
	resource string
}

// read finds the members of every role of a group and of the groups in it. ok
// is false when a node is not in the snapshot.
func (e *estimator) read(g *Group, placed []RolePlacement) (ok bool) {
	for i := range g.Roles {
		var members []peer
		asks := g.Roles[i].Shape.Resources
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(asks)), func(name string) bool { return !isDevice(name) || asks[name] <= 0 })
		for _, name := range placed[len(e.roles)].Nodes {
			at := e.site(name)
			if at == nil {
				return false
			}
			m := peer{at: at, resource: deviceOf(names, asks, &at.node)}
			m.devices = float64(asks[m.resource])
			members = append(members, m)
		}
		e.roles = append(e.roles, members)
	}
	for i := range g.Groups {
		if !e.read(&g.Groups[i], placed) {
			return false
		}
	}
	return true
}

// site returns a node by name, nil for one that is not in the snapshot.
func (e *estimator) site(name string) *site {
	if at, known := e.sites[name]; known {
		return at
	}
	node, found := e.snapshot.Node(name)
	if !found {
		return nil
	}
	at := &site{node: node, unit: where{topology.Node, name}}
	at.places, at.uplinks = append(at.places, at.unit), append(at.uplinks, 0)
	for _, v := range e.snapshot.Above(name) {
		at.places, at.uplinks = append(at.places, where{v.Level, v.Name}), append(at.uplinks, v.UplinkGbps)
		if v.Level == topology.NVLinkDomain {
			at.unit = where{v.Level, v.Name}
		}
	}
	e.sites[name] = at
	return at
}

// deviceOf names the resource whose pieces communicate: of the extended
// resources that a pod asks for, sorted by name, the one of which it asks for
// most, and first of all one of which the node tells islands. A pod may ask for
// adapters, too. It is "" for a pod without any.
func deviceOf(names []string, asks Resources, n *Node) string {
	best, most, tells := "", int64(0), false
	for _, name := range names {
		_, isTold := n.Islands[name]
		if (isTold && !tells) || (isTold == tells && asks[name] > most) {
			best, most, tells = name, asks[name], isTold
		}
	}
	return best
}

// walk estimates a group and the groups in it, in depth-first order. roles are
// those of all of them, and outer is the number of copies of the parent.
func walk(g *Group, outer int, roles [][]peer) []GroupRate {
	total := outer * g.Copies
	t := newTraffic()
	for n := range total {
		t.add(g.Pattern, entriesOf(g, roles, n, total))
	}
	out := []GroupRate{{Name: g.Name, Rate: t.rate()}}
	at := len(g.Roles)
	for i := range g.Groups {
		inner := roles[at : at+rolesIn(&g.Groups[i])]
		out = append(out, walk(&g.Groups[i], total, inner)...)
		at += len(inner)
	}
	return out
}

// rolesIn counts the roles of a group and of the groups in it.
func rolesIn(g *Group) int {
	n := len(g.Roles)
	for i := range g.Groups {
		n += rolesIn(&g.Groups[i])
	}
	return n
}

// entry is one role of a copy, or all copies of one group in it.
type entry struct {
	// parts are the pods of the role, or the copies of the group.
	parts [][]peer
	// roles are the members, role by role.
	roles [][]peer
}

// entriesOf lists what copy n of total copies of a group consists of.
func entriesOf(g *Group, roles [][]peer, n, total int) []entry {
	var out []entry
	for _, members := range roles[:len(g.Roles)] {
		mine := portion(members, n, total)
		en := entry{roles: [][]peer{mine}}
		for i := range mine {
			en.parts = append(en.parts, mine[i:i+1])
		}
		out = append(out, en)
	}
	at := len(g.Roles)
	for i := range g.Groups {
		inner := roles[at : at+rolesIn(&g.Groups[i])]
		at += len(inner)
		var en entry
		for _, members := range inner {
			en.roles = append(en.roles, portion(members, n, total))
		}
		for part := range g.Groups[i].Copies {
			var members []peer
			for _, role := range en.roles {
				members = append(members, portion(role, part, g.Groups[i].Copies)...)
			}
			en.parts = append(en.parts, members)
		}
		out = append(out, en)
	}
	return out
}

// portion is part n of total equal parts.
func portion(members []peer, n, total int) []peer {
	each := len(members) / total
	return members[n*each : (n+1)*each]
}

// rate compares what every place carries with what it can.
func (t *traffic) rate() Rate {
	var known, unknown allowance
	isKnown, isUnknown := false, false
	for _, b := range t.burdens {
		for _, a := range b.allowances() {
			switch {
			case a.gbps > 0 && (!isKnown || a.gbps < known.gbps || (a.gbps == known.gbps && a.compare(known.where) < 0)):
				known, isKnown = a, true
			case a.gbps <= 0 && (!isUnknown || a.compare(unknown.where) < 0):
				unknown, isUnknown = a, true
			}
		}
	}
	out := Rate{Bus: known.gbps, Known: isKnown && !isUnknown, Bottleneck: known.level, BottleneckDomain: known.name}
	if isUnknown {
		out.Bottleneck, out.BottleneckDomain = unknown.level, unknown.name
	}
	return out
}

// compare orders places from the widest level inwards, and those of one level by
// name.
func (w where) compare(other where) int {
	return cmp.Or(cmp.Compare(w.level, other.level), topology.CompareNatural(w.name, other.name))
}

// allowance is the speed that one place allows, 0 where it has no figure.
type allowance struct {
	where
	gbps float64
}

// allowances lists what a place allows: by what joins it to the rest, and by what
// joins the devices in it.
func (b *burden) allowances() []allowance {
	var out []allowance
	if crossing := max(b.in, b.out); crossing > 0 {
		if b.isUnit {
			out = append(out, allowance{b.where, b.adapters() / crossing})
		} else if b.level < topology.NVLinkDomain && !b.isRoot {
			out = append(out, allowance{b.where, float64(b.uplink) / crossing})
		}
		if b.isRoot {
			out = append(out, allowance{}) // What joins this fabric with others has no figure.
		}
	}
	if b.among > 0 {
		out = append(out, allowance{b.where, b.links() / b.among})
	}
	return out
}

// adapters is what the network adapters of a unit carry for the group, 0 where
// those of a node are not known. A declared uplink of an NVLink domain bounds it.
func (b *burden) adapters() float64 {
	sum := 0.0
	for _, st := range b.stands {
		if st.node.NICGbps <= 0 {
			return 0
		}
		has := 0.0
		for _, name := range st.resources {
			has += float64(st.node.Capacity[name])
		}
		sum += float64(st.node.NICGbps) * min(1, st.devices/max(1, has))
	}
	if b.uplink > 0 {
		sum = min(sum, float64(b.uplink))
	}
	return sum
}

// links is what one device of a unit exchanges with the others, on the worst of
// its nodes, 0 where that is not known.
func (b *burden) links() float64 {
	least := b.stands[0].node.LinkGbps
	for _, st := range b.stands {
		least = min(least, st.node.LinkGbps)
	}
	return float64(max(0, least))
}
