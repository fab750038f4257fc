package ibfabric

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxSharing is how many adapters can have one system image GUID: more than one
// machine has room for. A GUID that more have is a default that nobody set, and
// would join machines that have nothing to do with each other.
const maxSharing = 16

// tree is the graph of the switches, and what was found out about each.
//
// The rank of a switch is its distance from the machines: 0 for a leaf switch,
// 1 for one that joins leaf switches to a block. Any switch can carry an
// adapter, because somebody plugged a management host into a spine. Leaf
// switches are therefore told by comparison, with rules that only compare a
// switch with others of the same fabric:
//
//   - A switch is a spine, whatever is plugged into it, when a quarter of its
//     cables to switches lead to such with at least twice as many adapters.
//   - A switch that would join blocks that are otherwise apart, each with a leaf
//     switch of at least twice as many adapters, is of a higher rank.
//   - A cable does not join a leaf switch to a block when no second path of the
//     same kind exists beside it, and other cables of the leaf switch have one.
//   - Where leaf switches are mostly cabled to each other, there are no ranks
//     (torus, dragonfly), and so no blocks.
//
// Cables between switches of the same rank join nothing, so that the groups of a
// dragonfly with spines stay apart.
type tree struct {
	switches []vertex
	problems *problems
	// fabrics and blocks are sets of switches.
	fabrics, blocks sets
}

// vertex is one switch.
type vertex struct {
	*section
	// adapters are the adapters that are plugged in, each once.
	adapters []*section
	// near are the other switches that it is cabled to, each once.
	near []neighbour
	// isLeaf is true as long as nothing speaks against it.
	isLeaf bool
}

type neighbour struct {
	index, cables int
}

// newTree draws the graph of sections whose links all have two ends, and counts
// into result.
func newTree(found *problems, sections []section, result *Result) *tree {
	t := &tree{problems: found}
	index := map[uint64]int{}
	systems := map[uint64]bool{}
	adapters := map[uint64]*section{}
	for i := range sections {
		s := &sections[i]
		result.Links += len(s.links)
		if s.kind == switchNode {
			index[s.guid] = len(t.switches)
			t.switches = append(t.switches, vertex{section: s})
			systems[s.guid], systems[s.system] = true, true
		}
	}
	delete(systems, 0)
	for i := range sections {
		s := &sections[i]
		if s.kind == adapter && !isInsideSwitch(s.name) && !systems[s.system] {
			adapters[s.guid] = s
		}
	}
	for i := range t.switches {
		t.switches[i].connect(i, index, adapters)
	}
	result.Links /= 2
	result.Switches, result.Adapters = len(t.switches), len(adapters)
	t.dropSharedSystems(adapters)
	return t
}

func (v *vertex) connect(self int, index map[uint64]int, adapters map[uint64]*section) {
	cables := map[int]int{}
	for _, l := range v.links {
		if a := adapters[l.far.guid]; a != nil {
			v.adapters = append(v.adapters, a)
		}
		if other, isSwitch := index[l.far.guid]; isSwitch && other != self {
			cables[other]++
		}
	}
	slices.SortFunc(v.adapters, func(a, b *section) int { return cmp.Compare(a.guid, b.guid) })
	v.adapters = slices.CompactFunc(v.adapters, func(a, b *section) bool { return a.guid == b.guid })
	for _, other := range slices.Sorted(maps.Keys(cables)) {
		v.near = append(v.near, neighbour{other, cables[other]})
	}
	v.isLeaf = len(v.adapters) > 0
}

func (t *tree) dropSharedSystems(adapters map[uint64]*section) {
	count := map[uint64]int{}
	for _, a := range adapters {
		count[a.system]++
	}
	delete(count, 0)
	maps.DeleteFunc(count, func(_ uint64, n int) bool { return n <= maxSharing })
	for _, system := range slices.Sorted(maps.Keys(count)) {
		t.problems.add("%d adapters have the system image GUID %016x; it is not used", count[system], system)
	}
	for _, a := range adapters {
		if count[a.system] > 0 {
			a.system = 0
		}
	}
}

// scan finds the leaf switches and the keys of their blocks and fabrics.
func (t *tree) scan() topology.Scan {
	t.fabrics, t.blocks = newSets(len(t.switches)), newSets(len(t.switches))
	for i := range t.switches {
		for _, n := range t.switches[i].near {
			t.fabrics.join(i, n.index)
		}
	}
	t.dropSpines()
	isFlat := t.flatFabrics()
	t.joinBlocks(isFlat)
	return t.leaves(isFlat)
}

// dropSpines takes the switches that only have stray adapters out of the leaf
// switches. All are compared before any is taken out.
func (t *tree) dropSpines() {
	var spines []int
	for i := range t.switches {
		v := &t.switches[i]
		total, toFuller := 0, 0
		for _, n := range v.near {
			total += n.cables
			if len(t.switches[n.index].adapters) >= 2*len(v.adapters) {
				toFuller += n.cables
			}
		}
		if v.isLeaf && total > 0 && toFuller*4 >= total {
			spines = append(spines, i)
		}
	}
	for _, i := range spines {
		t.switches[i].isLeaf = false
	}
}

// flatFabrics returns the fabrics without ranks. Every switch with adapters is a
// leaf switch there.
func (t *tree) flatFabrics() map[int]bool {
	all, toLeaves := map[int]int{}, map[int]int{}
	for i := range t.switches {
		v := &t.switches[i]
		if !v.isLeaf {
			continue
		}
		fabric := t.fabrics.of(i)
		for _, n := range v.near {
			all[fabric] += n.cables
			if t.switches[n.index].isLeaf {
				toLeaves[fabric] += n.cables
			}
		}
	}
	flat := map[int]bool{}
	for fabric, count := range toLeaves {
		flat[fabric] = count*2 > all[fabric]
	}
	for i := range t.switches {
		v := &t.switches[i]
		v.isLeaf = v.isLeaf || len(v.adapters) > 0 && flat[t.fabrics.of(i)]
	}
	return flat
}

// joinBlocks joins each leaf switch with the switches of rank 1 above it, the
// fullest leaf switches first, so that what a sparse one joins can be compared
// with what is there.
func (t *tree) joinBlocks(isFlat map[int]bool) {
	var order []int
	for i := range t.switches {
		if t.switches[i].isLeaf && !isFlat[t.fabrics.of(i)] {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(t.switches[b].adapters), len(t.switches[a].adapters)), cmp.Compare(t.switches[a].guid, t.switches[b].guid))
	})
	uplinks := t.uplinks(order)
	// fullest is the number of adapters on the fullest leaf switch of each block.
	fullest := make([]int, len(t.switches))
	for _, i := range order {
		count := len(t.switches[i].adapters)
		joined, most := map[int]bool{}, count
		for _, up := range uplinks[i] {
			block := t.blocks.of(up)
			most = max(most, fullest[block])
			if fullest[block] >= 2*count {
				joined[block] = true
			}
		}
		if len(joined) > 1 {
			t.switches[i].isLeaf = false
			continue
		}
		for _, up := range uplinks[i] {
			t.blocks.join(i, up)
		}
		fullest[t.blocks.of(i)] = most
	}
}

// uplinks returns the switches above each of the given leaf switches. A cable
// that leads to a switch of another block by mistake is not among them: any two
// leaf switches of a block have at least two switches above in common, which a
// single wrong cable does not bring about. A leaf switch without any such pair
// keeps all of its cables: its block then has one switch above, or it is alone.
func (t *tree) uplinks(leaves []int) map[int][]int {
	above := make([][]int, len(t.switches))
	below := make([][]int, len(t.switches))
	for _, i := range leaves {
		for _, n := range t.switches[i].near {
			if !t.switches[n.index].isLeaf {
				above[i] = append(above[i], n.index)
				below[n.index] = append(below[n.index], i)
			}
		}
	}
	uplinks := map[int][]int{}
	shared := make([]int, len(t.switches))
	for _, i := range leaves {
		clear(shared)
		for _, up := range above[i] {
			for _, other := range below[up] {
				shared[other]++
			}
		}
		isBacked := func(other int) bool {
			return other != i && shared[other] > 1 && 2*len(t.switches[other].adapters) >= len(t.switches[i].adapters)
		}
		for _, up := range above[i] {
			if slices.ContainsFunc(below[up], isBacked) {
				uplinks[i] = append(uplinks[i], up)
			}
		}
		if len(uplinks[i]) == 0 {
			uplinks[i] = above[i]
		}
	}
	return uplinks
}

// leaves makes the scan. Blocks and fabrics are called by the lowest GUID of
// their leaf switches; Keep holds on to names that were given before.
func (t *tree) leaves(isFlat map[int]bool) topology.Scan {
	fabricKey, blockKey, fabricBlocks := map[int]uint64{}, map[int]uint64{}, map[int]map[int]bool{}
	lower := func(keys map[int]uint64, at int, guid uint64) {
		if known, found := keys[at]; !found || guid < known {
			keys[at] = guid
		}
	}
	for i := range t.switches {
		v := &t.switches[i]
		if !v.isLeaf {
			continue
		}
		fabric, block := t.fabrics.of(i), t.blocks.of(i)
		lower(fabricKey, fabric, v.guid)
		lower(blockKey, block, v.guid)
		if fabricBlocks[fabric] == nil {
			fabricBlocks[fabric] = map[int]bool{}
		}
		fabricBlocks[fabric][block] = true
	}
	var scan topology.Scan
	for i := range t.switches {
		v := &t.switches[i]
		if !v.isLeaf {
			if len(v.adapters) > 0 {
				t.problems.add("switch %016x (%s) has %d adapters and is no leaf switch; they are left out", v.guid, quote(switchName(v.name)), len(v.adapters))
			}
			continue
		}
		fabric := t.fabrics.of(i)
		leaf := topology.LeafSwitch{GUID: key(v.guid), Name: switchName(v.name), Fabric: key(fabricKey[fabric]), Adapters: v.guids()}
		if !isFlat[fabric] && len(fabricBlocks[fabric]) > 1 {
			leaf.Block = key(blockKey[t.blocks.of(i)])
		}
		scan.Leaves = append(scan.Leaves, leaf)
	}
	sortLeaves(scan.Leaves)
	return scan
}

// guids returns the node GUIDs and system image GUIDs of the adapters, each once
// and in ascending order.
func (v *vertex) guids() []uint64 {
	guids := make([]uint64, 0, len(v.adapters))
	for _, a := range v.adapters {
		guids = append(guids, a.guid)
		if a.system != 0 {
			guids = append(guids, a.system)
		}
	}
	slices.Sort(guids)
	return slices.Compact(guids)
}

func sortLeaves(leaves []topology.LeafSwitch) {
	slices.SortFunc(leaves, func(a, b topology.LeafSwitch) int { return cmp.Compare(a.GUID, b.GUID) })
}

// key is the form of a GUID in a scan.
func key(guid uint64) string { return fmt.Sprintf("%016x", guid) }

// sets are disjoint sets of switches, by index.
type sets []int

func newSets(count int) sets {
	s := make(sets, count)
	for i := range s {
		s[i] = i
	}
	return s
}

// of returns the member that stands for the set.
func (s sets) of(i int) int {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

func (s sets) join(i, j int) { s[s.of(i)] = s.of(j) }
