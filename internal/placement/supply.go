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
	// space counts slots per role: at a node every group is open.
	space *space
	// resources are the names that the gang asks for, sorted, with "pods".
	resources []string
	// column is where the snapshot keeps a resource, -1 where no node has it.
	column []int
	// asks is what one slot takes, per item of space and resource.
	asks [][]int64
	// nodes has the frontier of every node.
	nodes []*frontier
	// rooms is the room below every vertex of the forest.
	rooms []room
}

// room orders domains by how much would be left over in them. It is not cut at
// the demand.
type room struct {
	// slots counts, role by role, how many slots would fit on their own.
	slots int64
	// devices are the free extended resources that the gang asks for.
	devices int64
}

func (r room) compare(other room) int {
	if r.slots != other.slots {
		return int(max(-1, min(1, r.slots-other.slots)))
	}
	return int(max(-1, min(1, r.devices-other.devices)))
}

// newSupply looks at every node of the vertices [low, high). Resources in ample
// count as if nodes had no end of them.
func newSupply(s *Snapshot, g *gang, low, high int, ample []string, e *effort) *supply {
	u := &supply{
		snapshot: s,
		gang:     g,
		space:    newSpace(g.open(topology.Node, g.requiredLevels()), e),
		nodes:    make([]*frontier, len(s.nodes)),
		rooms:    make([]room, len(s.forest.vertices)),
	}
	u.readShapes(ample)
	type known struct {
		holds *frontier
		room  room
	}
	seen := map[string]known{}
	free, eligible, key := make([]int64, len(u.resources)), make([]bool, len(u.asks)), []byte(nil)
	for v := high - 1; v >= low; v-- {
		at := s.forest.vertices[v]
		if at.node >= 0 {
			u.look(at.node, free, eligible)
			key = describe(key[:0], free, eligible)
			k, again := seen[string(key)]
			if !again {
				k = known{u.fitsOn(free, eligible), u.roomOf(free, eligible)}
				seen[string(key)] = k
			}
			u.nodes[at.node], u.rooms[v] = k.holds, k.room
		}
		if v > low {
			up := &u.rooms[at.parent]
			up.slots = addCapped(up.slots, u.rooms[v].slots)
			up.devices = addCapped(up.devices, u.rooms[v].devices)
		}
	}
	return u
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
		at, found := slices.BinarySearch(u.snapshot.resources, name)
		if !found {
			at = -1
		}
		u.column[i] = at
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

// look reads the room of a node and which items may use it.
func (u *supply) look(node int, free []int64, eligible []bool) {
	for i, column := range u.column {
		free[i] = 0
		if column >= 0 {
			free[i] = u.snapshot.free[node][column]
		}
	}
	for i, it := range u.space.items {
		role := &u.gang.roles[it.role]
		eligible[i] = ineligible(&u.snapshot.nodes[node], role.shape, role.class) == ""
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
func (u *supply) fitsOn(free []int64, eligible []bool) *frontier {
	k := len(u.asks)
	extents := make([]int, k-1)
	for i := range extents {
		extents[i] = u.count(i, free, eligible, u.space.demand[i])
	}
	size, small := tableSize(extents)
	if !small || !u.space.effort.spend(size*k*len(free)) {
		u.space.effort.giveUp()
		return u.space.nothing
	}
	last, x := make([]int32, size), make([]int, k-1)
	rest := make([]int64, len(free))
	for at := range last {
		last[at] = -1
		copy(rest, free)
		if u.take(x, rest) {
			last[at] = int32(u.count(k-1, rest, eligible, u.space.demand[k-1]))
		}
		next(x, extents)
	}
	return u.space.intern(extents, last)
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
