package placement

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// supply is what every node can hold of one gang, before any level is asked.
type supply struct {
	snapshot *Snapshot
	gang     *gang
	// top is the domain that is looked at, with everything below it.
	top *domain
	// space counts slots per role: at a node every group is open.
	space *space
	// resources are the names that the gang asks for, sorted, with "pods".
	resources []string
	// column is where the snapshot keeps a resource, -1 where no node has it.
	column []int
	// asks is what one slot takes, per item of space and resource.
	asks [][]int64
	// kinds has what a node of each kind holds, and alike the same by what matters
	// to the gang.
	kinds map[*kind]nodeSupply
	alike map[string]nodeSupply
	// rooms is the room below every domain, by id, alone says whether one node
	// directly in it holds the whole gang, and stamps of which version that is.
	rooms  []room
	alone  []bool
	stamps []uint64
	// atLevel lists the domains of each level in the order of the fabric.
	atLevel [topology.Node][]*domain
	// surveys are those that were made, by the levels of their groups.
	surveys map[string]*survey
	effort  *effort
	// scratch of hold.
	free     []int64
	eligible []bool
	key      []byte
}

// nodeSupply is what one node holds.
type nodeSupply struct {
	holds *frontier
	room  room
}

// newSupply prepares a look at a fleet. Resources in ample count as if nodes had
// no end of them.
func newSupply(s *Snapshot, g *gang, ample []string, e *effort) *supply {
	all := len(s.fleet.places)
	u := &supply{
		snapshot: s,
		gang:     g,
		space:    newSpace(g.open(topology.Node, g.requiredLevels()), e),
		kinds:    map[*kind]nodeSupply{},
		alike:    map[string]nodeSupply{},
		rooms:    make([]room, all),
		alone:    make([]bool, all),
		stamps:   make([]uint64, all),
		surveys:  map[string]*survey{},
		effort:   e,
	}
	u.readShapes(ample)
	u.free, u.eligible = make([]int64, len(u.resources)), make([]bool, len(u.asks))
	return u
}

// below looks at everything below top, as far as it has changed since it did.
func (u *supply) below(top *domain) *supply {
	u.top = top
	for l := range u.atLevel {
		u.atLevel[l] = u.atLevel[l][:0]
	}
	u.visit(top)
	return u
}

func (u *supply) visit(d *domain) {
	u.atLevel[d.level] = append(u.atLevel[d.level], d)
	for _, child := range d.children {
		u.visit(child)
	}
	if u.stamps[d.id] == d.stamp {
		return
	}
	u.stamps[d.id], u.rooms[d.id], u.alone[d.id] = d.stamp, room{}, false
	for _, child := range d.children {
		u.rooms[d.id].add(u.rooms[child.id], 1)
	}
	for _, t := range d.tallies {
		n := u.hold(t.kind)
		u.rooms[d.id].add(n.room, int64(t.n))
		u.alone[d.id] = u.alone[d.id] || n.holds.holds(u.space.demand)
	}
}

// hold returns what a node of the kind holds.
func (u *supply) hold(k *kind) nodeSupply {
	known, again := u.kinds[k]
	if again {
		return known
	}
	u.look(k.traits, u.snapshot.freeOf(k), u.free, u.eligible)
	u.key = describe(u.key[:0], u.free, u.eligible)
	if known, again = u.alike[string(u.key)]; !again || u.usesIslands(k) {
		known = nodeSupply{u.fitsOn(k, u.free, u.eligible), u.roomOf(u.free, u.eligible)}
		u.alike[string(u.key)] = known
	}
	u.kinds[k] = known
	return known
}

// readShapes lists the resources of all roles and what each item takes.
func (u *supply) readShapes(ample []string) {
	names := map[string]bool{podsResource: true}
	for i := range u.gang.roles {
		for name, amount := range u.gang.roles[i].shape.Resources {
			if amount > 0 {
				names[name] = true
			}
		}
	}
	u.resources = slices.Sorted(maps.Keys(names))
	u.column = make([]int, len(u.resources))
	for i, name := range u.resources {
		u.column[i] = u.snapshot.columns.column(name)
	}
	for _, it := range u.space.items {
		asks := make([]int64, len(u.resources))
		for i, name := range u.resources {
			asks[i] = u.gang.roles[it.role].shape.Resources[name]
			if name == podsResource {
				asks[i] = addCapped(asks[i], 1)
			}
			if slices.Contains(ample, name) {
				asks[i] = 0
			}
		}
		u.asks = append(u.asks, asks)
	}
}

// look reads the room of a node, and which items may use it.
func (u *supply) look(t *traits, room, free []int64, eligible []bool) {
	for i, column := range u.column {
		free[i] = amountAt(room, column)
	}
	for i, it := range u.space.items {
		role := &u.gang.roles[it.role]
		eligible[i] = ineligible(&t.like, role.shape, role.class) == ""
	}
}

// describe writes a key that is equal for nodes that hold the same.
func describe(key []byte, free []int64, eligible []bool) []byte {
	for _, amount := range free {
		key = binary.LittleEndian.AppendUint64(key, uint64(amount))
	}
	for _, may := range eligible {
		if may {
			key = append(key, 1)
		} else {
			key = append(key, 0)
		}
	}
	return key
}

// count returns how many slots of the item fit into free, at most limit.
func (u *supply) count(i int, free []int64, eligible []bool, limit int) int {
	if !eligible[i] {
		return 0
	}
	most := int64(limit)
	for r, ask := range u.asks[i] {
		if ask > 0 {
			most = min(most, free[r]/ask)
		}
	}
	return int(most)
}

// roomOf measures a node.
func (u *supply) roomOf(free []int64, eligible []bool) room {
	var out room
	for i := range u.asks {
		out.slots += int64(u.count(i, free, eligible, MaxPods))
	}
	for i, name := range u.resources {
		if isDevice(name) {
			out.devices = addCapped(out.devices, free[i])
		}
	}
	return out
}

// fitsOn lists the count vectors that a node with this room can hold.
func (u *supply) fitsOn(k *kind, free []int64, eligible []bool) *frontier {
	islands := u.islandsOf(k)
	last := len(u.asks) - 1
	extents := make([]int, last)
	for i := range extents {
		extents[i] = islands.alone(i, len(u.asks), u.count(i, free, eligible, u.space.demand[i]))
	}
	size, small := tableSize(extents)
	if !small || !u.space.effort.spend(size*len(u.asks)*len(free)) {
		u.space.effort.giveUp()
		return u.space.nothing
	}
	table, x := make([]int32, size), make([]int, last)
	rest := make([]int64, len(free))
	for at := range table {
		table[at] = -1
		copy(rest, free)
		if u.take(x, rest) {
			most := u.count(last, rest, eligible, u.space.demand[last])
			table[at] = int32(islands.limit(x, most))
		}
		next(x, extents)
	}
	return u.space.intern(extents, table)
}

// take subtracts x slots of the leading items from rest and reports whether
// they fit. The extents keep each product below the node's room.
func (u *supply) take(x []int, rest []int64) bool {
	for i, n := range x {
		for r, ask := range u.asks[i] {
			if ask == 0 {
				continue
			}
			if rest[r] -= ask * int64(n); rest[r] < 0 {
				return false
			}
		}
	}
	return true
}
