package main

import "slices"

// bound is the least that any answer uses.
type bound struct {
	feasible      bool
	blocks, racks int
}

// lowerBound finds the fewest blocks that hold a gang, and the fewest racks in so
// few blocks. It is exact: every pod takes a whole node, so a fabric is no more
// than a number of free nodes, or of slices, per rack.
func (f *Fabric) lowerBound(g Gang) bound {
	slots, need := f.freeNodes(), g.Pods
	if g.Kind == sliced {
		need /= sliceSize
		for _, block := range slots {
			for i := range block {
				block[i] /= sliceSize
			}
		}
	}
	most := bestOf(slots)
	widest := len(slots)
	if g.Kind != anywhere {
		widest = 1
	}
	for blocks := 1; blocks <= widest; blocks++ {
		for racks, held := range most[blocks] {
			if held >= need {
				return bound{true, blocks, racks}
			}
		}
	}
	return bound{}
}

// freeNodes counts the nodes without pods, by block and rack.
func (f *Fabric) freeNodes() [][]int {
	busy := make([]bool, len(f.Nodes))
	for _, p := range f.Pods {
		busy[p.Node] = true
	}
	out := make([][]int, len(f.blocks()))
	block, rack := -1, ""
	for i, n := range f.Nodes {
		if n.Rack != rack {
			if i == 0 || n.Block != f.Nodes[i-1].Block {
				block++
			}
			rack = n.Rack
			out[block] = append(out[block], 0)
		}
		if !busy[i] {
			out[block][len(out[block])-1]++
		}
	}
	return out
}

// bestOf returns, for every number of blocks and of racks, the most slots that so
// many blocks and racks hold. A block gives its fullest racks first.
func bestOf(slots [][]int) [][]int {
	racks := 0
	for _, block := range slots {
		racks += len(block)
	}
	most := make([][]int, len(slots)+1)
	for i := range most {
		most[i] = make([]int, racks+1)
		for r := range most[i] {
			most[i][r] = -1
		}
	}
	most[0][0] = 0
	for _, block := range slots {
		best := slices.Sorted(slices.Values(block))
		slices.Reverse(best)
		for blocks := len(slots) - 1; blocks >= 0; blocks-- {
			for before := racks; before >= 0; before-- {
				sum := most[blocks][before]
				for i := 0; sum >= 0 && i < len(best); i++ {
					sum += best[i]
					most[blocks+1][before+i+1] = max(most[blocks+1][before+i+1], sum)
				}
			}
		}
	}
	return most
}
