package placement

import "slices"

// traffic is what the copies of one group exchange, all at once, at a bus
// bandwidth of 1.
type traffic struct {
	burdens map[where]*burden
}

// burden is what one place carries.
type burden struct {
	where
	// uplink is Vertex.UplinkGbps, 0 for a node.
	uplink int64
	// isRoot is set for a place with nothing around it but the cluster.
	isRoot bool
	// isUnit is set for a place whose devices exchange over their own links.
	isUnit bool
	// in and out are what crosses the border, all copies together.
	in, out float64
	// among is what the busiest device exchanges with others of the unit.
	among float64
	// stands are those on the nodes of a unit.
	stands []*stand
}

// stand is what a group has on one node.
type stand struct {
	traffic *traffic
	node    *Node
	// around are the burdens of the places of the site.
	around  []*burden
	devices float64
	// resources are the kinds of device that the group uses.
	resources []string
}

func newTraffic() *traffic { return &traffic{burdens: map[where]*burden{}} }

// stand returns what the group has on a site.
func (t *traffic) stand(at *site) *stand {
	if at.stand != nil && at.stand.traffic == t {
		return at.stand
	}
	st := &stand{traffic: t, node: &at.node, around: make([]*burden, len(at.places))}
	for i, p := range at.places {
		b := t.burdens[p]
		if b == nil {
			b = &burden{where: p, uplink: at.uplinks[i], isRoot: i == len(at.places)-1, isUnit: p == at.unit}
			t.burdens[p] = b
		}
		if b.isUnit {
			b.stands = append(b.stands, st)
		}
		st.around[i] = b
	}
	at.stand = st
	return st
}

// add adds one copy of a group.
func (t *traffic) add(pattern Pattern, entries []entry) {
	var members []peer
	for _, e := range entries {
		for _, role := range e.roles {
			members = append(members, withDevices(role)...)
		}
	}
	n := devicesOf(members)
	if n < 2 {
		return
	}
	for _, m := range members {
		st := t.stand(m.at)
		st.devices += m.devices
		if !slices.Contains(st.resources, m.resource) {
			st.resources = append(st.resources, m.resource)
		}
	}
	switch {
	case pattern == Tree:
		t.tree(members, n)
	case pattern == Pipeline:
		t.pipeline(entries)
	case pattern == PrefillDecode && len(entries) > 1:
		t.prefillDecode(entries)
	case pattern == AllToAll, pattern == PrefillDecode:
		t.allToAll(members, n)
	default:
		t.ring(members)
	}
}

// withDevices leaves out pods without devices.
func withDevices(members []peer) []peer {
	return slices.DeleteFunc(slices.Clone(members), func(m peer) bool { return m.devices <= 0 })
}

func devicesOf(members []peer) float64 {
	sum := 0.0
	for _, m := range members {
		sum += m.devices
	}
	return sum
}

// tally counts the devices of members in each place around them.
func (t *traffic) tally(members []peer) map[*burden]float64 {
	out := map[*burden]float64{}
	for _, m := range members {
		for _, b := range t.stand(m.at).around {
			out[b] += m.devices
		}
	}
	return out
}

// cross sends w from one site to another: out of every place that holds only the
// first, into every one that holds only the second.
func (t *traffic) cross(from, to *site, w float64) {
	if from == to {
		return
	}
	sends, takes := t.stand(from).around, t.stand(to).around
	for _, b := range sends {
		if !slices.Contains(takes, b) {
			b.out += w
		}
	}
	for _, b := range takes {
		if !slices.Contains(sends, b) {
			b.in += w
		}
	}
}

// ring is an all-reduce, or a gather or scatter, along a ring in rank order. At
// bus bandwidth 1 every device sends 1 to the next (Patarasuk and Yuan,
// "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009;
// NCCL tests, PERFORMANCE.md). The parallel rings of a node, one per adapter,
// count as one that has all adapters: a place that the ring leaves k times
// carries k, and ranks that follow the fabric leave each place once. The same
// holds when the devices of a place first reduce among themselves and each then
// only its share with the other places.
func (t *traffic) ring(members []peer) {
	for i, m := range members {
		t.cross(m.at, members[(i+1)%len(members)].at, 1)
	}
	t.amongUnits(members, 1)
}

// amongUnits loads the links of every device that shares its unit with another.
func (t *traffic) amongUnits(members []peer, w float64) {
	for b, devices := range t.tally(members) {
		if b.isUnit && devices > 1 {
			b.among = max(b.among, w)
		}
	}
}

// tree is an all-reduce over two binary trees, each of which reduces one half of
// the data to its root and broadcasts it back (Sanders, Speck and Träff,
// "Two-tree algorithms for full bandwidth broadcast, reduction and scan", 2009;
// NCCL since 2.4). The trees join units, the devices of a unit form a chain.
//
// For S bytes the bus bandwidth is 2(n-1)/n of S per time. Each edge carries S/2
// in each direction, so at bus bandwidth 1 it carries n/4(n-1). In a chain every
// device sends S towards the root and S away from it: n/(n-1).
func (t *traffic) tree(members []peer, n float64) {
	var units []*site
	for i, m := range members {
		if i == 0 || members[i-1].at.unit != m.at.unit {
			units = append(units, m.at)
		}
	}
	for i := 1; i < len(units); i++ {
		up := parentInTree(i, len(units))
		for _, edge := range [][2]int{{i, up}, {inSecondTree(i, len(units)), inSecondTree(up, len(units))}} {
			t.cross(units[edge[0]], units[edge[1]], n/(4*(n-1)))
			t.cross(units[edge[1]], units[edge[0]], n/(4*(n-1)))
		}
	}
	t.amongUnits(members, n/(n-1))
}

// parentInTree is the parent of vertex i > 0 in a binary tree over 0..n-1 in
// which everything left of a vertex is numbered before it. The root is 0, every
// odd vertex is a leaf, and one whose number ends in b zero bits has its parent
// 2^b away.
func parentInTree(i, n int) int {
	lowest := i & -i
	if up := i&^lowest | lowest<<1; up < n {
		return up
	}
	return i &^ lowest
}

// inSecondTree is the vertex that takes the place of i in the second tree. Its
// parity differs, so that the leaves of one tree are not those of the other.
func inSecondTree(i, n int) int {
	if n%2 == 0 {
		return n - 1 - i
	}
	return (i + 1) % n
}

// allToAll is an exchange of equal parts between all pairs of n devices. Each
// sends 1/n of its data to each other one, and bus bandwidth is the (n-1)/n of
// its data that a device sends, per time (NCCL tests, PERFORMANCE.md). A place
// with m of the devices sends m(n-m)/n parts in all: at bus bandwidth 1 it
// carries m(n-m)/(n-1), and a device exchanges (m-1)/(n-1) inside its unit.
func (t *traffic) allToAll(members []peer, n float64) {
	for b, m := range t.tally(members) {
		b.out += m * (n - m) / (n - 1)
		b.in += m * (n - m) / (n - 1)
		if b.isUnit {
			b.among = max(b.among, (m-1)/(n-1))
		}
	}
}

// pipeline sends data from each stage to the next one, all stages at once, as
// the schedules of pipeline parallelism do (Narayanan et al., "Efficient
// large-scale language model training on GPU clusters using Megatron-LM", 2021).
// Stages are the copies of the nested groups, or the pods of roles, in order.
// Each device sends to the one in the same position of the next stage; where
// stages differ in size, the smaller one's devices serve several. Bus bandwidth
// is what each device sends, as in NCCL's sendrecv test. What returns on the way
// back uses the other direction of the links.
func (t *traffic) pipeline(entries []entry) {
	var stages [][]peer
	for _, e := range entries {
		for _, part := range e.parts {
			if members := withDevices(part); len(members) > 0 {
				stages = append(stages, members)
			}
		}
	}
	for i := 1; i < len(stages); i++ {
		t.hand(stages[i-1], stages[i])
	}
}

// hand sends from the devices of one stage to those of the next. Both are laid
// over the stretch from 0 to 1, and what lies side by side exchanges.
func (t *traffic) hand(from, to []peer) {
	sends, takes := devicesOf(from), devicesOf(to)
	flows := max(sends, takes)
	at, sent, taken := 0.0, from[0].devices, to[0].devices
	// outside of their unit, devices use adapters; inside it each their links.
	outOf, into := 0.0, 0.0
	for i, j := 0, 0; ; {
		end := min(sent/sends, taken/takes)
		flow := (end - at) * flows
		t.cross(from[i].at, to[j].at, flow)
		if from[i].at.unit == to[j].at.unit {
			outOf, into = outOf+flow, into+flow
			unit := t.burdens[from[i].at.unit]
			unit.among = max(unit.among, outOf/from[i].devices, into/to[j].devices)
		}
		at = end
		// Comparing products keeps rounding from skipping or repeating a pod.
		endsFrom, endsTo := sent*takes <= taken*sends, taken*sends <= sent*takes
		if (endsFrom && i+1 == len(from)) || (endsTo && j+1 == len(to)) {
			return
		}
		if endsFrom {
			i++
			sent, outOf = sent+from[i].devices, 0
		}
		if endsTo {
			j++
			taken, into = taken+to[j].devices, 0
		}
	}
}

// prefillDecode sends the cache of what was read by the first role or group of
// the entries to the others, from every device to every one in equal parts
// (Zhong et al., "DistServe", 2024; Patel et al., "Splitwise", 2024). Bus
// bandwidth is what a prefill device sends. With p of P prefill and q of Q decode
// devices a place sends p(Q-q)/Q and receives q(P-p)/Q.
func (t *traffic) prefillDecode(entries []entry) {
	var prefill, decode []peer
	for i, e := range entries {
		for _, role := range e.roles {
			if i == 0 {
				prefill = append(prefill, withDevices(role)...)
			} else {
				decode = append(decode, withDevices(role)...)
			}
		}
	}
	sends, takes := devicesOf(prefill), devicesOf(decode)
	if sends == 0 || takes == 0 {
		return
	}
	from, to := t.tally(prefill), t.tally(decode)
	for b, p := range from {
		q := to[b]
		b.out += p * (takes - q) / takes
		if b.isUnit && q > 0 {
			b.among = max(b.among, q/takes, p/takes)
		}
	}
	for b, q := range to {
		b.in += q * (sends - from[b]) / takes
	}
}
