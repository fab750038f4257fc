package main

import "fmt"

// sliceSize is how many pods of a gang of kind slices share a rack.
const sliceSize = 8

// The kinds of gangs.
const (
	// single needs one block, and prefers one rack.
	single = "single"
	// anywhere needs nothing, and prefers one rack.
	anywhere = "any"
	// sliced needs one block, and one rack for every slice.
	sliced = "slices"
)

// Gang is so many pods that take all devices of a node each.
type Gang struct {
	Pods int    `json:"pods"`
	Kind string `json:"kind"`
}

// Answer is what an engine says to a gang.
type Answer struct {
	// Nodes has the name of a node for every pod; empty for a refusal.
	Nodes []string `json:"nodes,omitempty"`
	// Reason is the refusal in the engine's words.
	Reason string `json:"reason,omitempty"`
}

func (a *Answer) placed() bool { return len(a.Nodes) > 0 }

// spread counts the racks and blocks of an answer.
func (f *Fabric) spread(a Answer) (racks, blocks int) {
	inRack, inBlock := map[string]int{}, map[string]int{}
	at := f.byName()
	for _, name := range a.Nodes {
		inRack[f.Nodes[at[name]].Rack]++
		inBlock[f.Nodes[at[name]].Block]++
	}
	return len(inRack), len(inBlock)
}

func (f *Fabric) byName() map[string]int {
	at := make(map[string]int, len(f.Nodes))
	for i, n := range f.Nodes {
		at[n.Name] = i
	}
	return at
}

// check returns an error when an answer breaks what the gang or the nodes
// demand. It knows nothing of any engine.
func (f *Fabric) check(g Gang, a Answer) error {
	if !a.placed() {
		return nil
	}
	if len(a.Nodes) != g.Pods {
		return fmt.Errorf("%d pods have a node, the gang has %d", len(a.Nodes), g.Pods)
	}
	at, used := f.byName(), f.used()
	asked := f.requests(devicesPerNode)
	inRack := map[string]int{}
	for _, name := range a.Nodes {
		i, known := at[name]
		if !known {
			return fmt.Errorf("there is no node %q", name)
		}
		inRack[f.Nodes[i].Rack]++
		used[i][pods]++
		for resource, amount := range asked {
			used[i][resource] += amount
		}
		for resource, amount := range used[i] {
			if amount > f.Capacity[resource] {
				return fmt.Errorf("node %s has %d %s, %d are taken", name, f.Capacity[resource], resource, amount)
			}
		}
	}
	if _, blocks := f.spread(a); g.Kind != anywhere && blocks != 1 {
		return fmt.Errorf("the gang is in %d blocks and needs one", blocks)
	}
	// The pods are alike, so slices exist where the counts of the racks divide.
	for rack, n := range inRack {
		if g.Kind == sliced && n%sliceSize != 0 {
			return fmt.Errorf("rack %s has %d pods, no number of slices of %d", rack, n, sliceSize)
		}
	}
	return nil
}

func (g Gang) String() string { return fmt.Sprintf("%d pods as %s", g.Pods, g.Kind) }

// checkRanks returns an error when the pods of a slice are not in one rack, in
// the order in which an answer lists them.
func (f *Fabric) checkRanks(a Answer) error {
	at := f.byName()
	for i, name := range a.Nodes {
		first := a.Nodes[i-i%sliceSize]
		if f.Nodes[at[name]].Rack != f.Nodes[at[first]].Rack {
			return fmt.Errorf("rank %d is in another rack than the first of its slice", i)
		}
	}
	return nil
}
