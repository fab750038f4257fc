package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// Scan is the switch tree of an InfiniBand fabric, as far as it places machines.
type Scan struct {
	// Leaves are the switches that adapters are plugged into.
	Leaves []LeafSwitch
}

// LeafSwitch is one switch with adapters.
type LeafSwitch struct {
	// GUID is the switch's node GUID in 16 lower-case hexadecimal digits.
	GUID string
	// Name is what the switch calls itself, "" when it has no name.
	Name string
	// Block names the group of switches that the next rank of switches joins, ""
	// when the whole fabric is joined there.
	Block string
	// Fabric names the connected fabric.
	Fabric string
	// Adapters are the node GUIDs of the adapters on the switch, and their system
	// image GUIDs where these differ.
	Adapters []uint64
}

// atlas is a scan that can be asked.
type atlas struct {
	// switches are the leaf switches of an adapter, by GUID.
	switches map[uint64][]string
	// above has the blocks and fabrics of a leaf switch, without repetition: a
	// switch that is given twice has both.
	above map[string]*[Leaf][]string
}

func newAtlas(scan Scan) atlas {
	a := atlas{switches: map[uint64][]string{}, above: map[string]*[Leaf][]string{}}
	for _, leaf := range scan.Leaves {
		if leaf.GUID == "" {
			continue
		}
		above := a.above[leaf.GUID]
		if above == nil {
			above = &[Leaf][]string{}
			a.above[leaf.GUID] = above
		}
		for level, value := range map[Level]string{Fabric: leaf.Fabric, Block: leaf.Block} {
			if !slices.Contains(above[level], value) {
				above[level] = append(above[level], value)
			}
		}
		for _, guid := range leaf.Adapters {
			if guid != 0 && !slices.Contains(a.switches[guid], leaf.GUID) {
				a.switches[guid] = append(a.switches[guid], leaf.GUID)
			}
		}
	}
	return a
}

// locate describes a group of leaf switches that machines join.
//
// The group is called after its lowest GUID. It gets another name only when that
// very switch goes; the loss of any other one, such as one rail of eight, leaves
// it alone. Blocks and fabrics count as sets: where each rail has a spine of its
// own, groups with the same spines are near, and a machine that is plugged into
// two blocks by mistake makes no one block of them.
func (a atlas) locate(switches map[string]struct{}) spot {
	var out spot
	for level := Fabric; level < Leaf; level++ {
		values := map[string]struct{}{}
		for guid := range switches {
			if above := a.above[guid]; above != nil {
				for _, value := range above[level] {
					values[value] = struct{}{}
				}
			}
		}
		out[level] = joined(values)
	}
	out[Leaf] = least(switches)
	return out
}

// joined names a set: its only member, or the lowest with a hash of all. A set
// with "" in it says nothing.
func joined(values map[string]struct{}) string {
	if _, unknown := values[""]; unknown || len(values) < 2 {
		return least(values)
	}
	hash := sha256.New()
	for _, value := range slices.Sorted(maps.Keys(values)) {
		hash.Write([]byte(value + "\x00"))
	}
	return least(values) + "-" + hex.EncodeToString(hash.Sum(nil)[:8])
}

// least is the first of a set, "" of an empty one.
func least(values map[string]struct{}) string {
	first, found := "", false
	for value := range values {
		if !found || value < first {
			first, found = value, true
		}
	}
	return first
}

// leastRail describes machines that share subnets. They reach each other, which
// says nothing of how near they are: they have a fabric in common and no more.
func leastRail(subnets map[string]struct{}) spot { return spot{Fabric: least(subnets)} }

// link finds the switches that a node is plugged into, by its GUIDs, and the
// subnets that it shares. A GUID that two machines report counts for neither,
// and a subnet that only one machine has joins nothing.
func (s *State) link(n *node) {
	var switches, subnets []string
	for _, guid := range n.read.guids {
		if len(s.guids[guid]) == 1 {
			switches = append(switches, s.scan.switches[guid]...)
		}
	}
	for _, subnet := range n.read.subnets {
		if len(s.subnets[subnet]) > 1 {
			subnets = append(subnets, subnet)
		}
	}
	slices.Sort(switches)
	n.plugged = s.switches.move(n, n.plugged, slices.Compact(switches))
	n.routed = s.rails.move(n, n.routed, subnets)
}

// enlist takes a node's GUIDs and subnets into the registries, or out of them.
// Nodes for which that changes what counts have to be looked at again.
func (s *State) enlist(n *node, add bool) {
	for _, guid := range n.read.guids {
		before := slices.Clone(s.guids.first(guid))
		s.guids.change(guid, n, add)
		if slices.Equal(before, s.guids.first(guid)) {
			continue
		}
		// Whom it is shared with is told to all that share it.
		for _, owner := range s.guids[guid] {
			s.touch(owner)
		}
		for _, owner := range before {
			s.touch(owner)
		}
	}
	for _, subnet := range n.read.subnets {
		owners := s.subnets[subnet]
		if owners == nil {
			owners = map[*node]struct{}{}
			s.subnets[subnet] = owners
		}
		before := len(owners)
		if add {
			owners[n] = struct{}{}
		} else {
			delete(owners, n)
		}
		if len(owners) == 0 {
			delete(s.subnets, subnet)
		}
		if (before > 1) != (len(owners) > 1) {
			for owner := range owners {
				s.touch(owner)
			}
		}
	}
}

// registry knows which nodes have a GUID. Owners are in natural order.
type registry map[uint64][]*node

func (r registry) change(guid uint64, n *node, add bool) {
	owners := r[guid]
	at, found := slices.BinarySearchFunc(owners, n, compareNodes)
	switch {
	case add && !found:
		r[guid] = slices.Insert(owners, at, n)
	case !add && found && len(owners) == 1:
		delete(r, guid)
	case !add && found:
		r[guid] = slices.Delete(owners, at, at+1)
	}
}

// first are the owners that a problem names.
func (r registry) first(guid uint64) []*node { return r[guid][:min(2, len(r[guid]))] }

func compareNodes(a, b *node) int { return CompareNatural(a.name, b.name) }

// shared are the problems of GUIDs that other machines report, too.
func (r registry) shared(n *node) []Problem {
	var out []Problem
	for _, guid := range n.read.guids {
		owners := r.first(guid)
		if len(owners) < 2 {
			continue
		}
		other := owners[0]
		if other == n {
			other = owners[1]
		}
		out = append(out, nodeProblem(DuplicateGUID, n.name, "GUID "+formatGUID(guid)+" is on node "+quote(other.name)+", too"))
	}
	return out
}
