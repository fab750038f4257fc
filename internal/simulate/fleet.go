package simulate

import (
	"fmt"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Fleet is what placement.NewSnapshot takes: all domains above the nodes, and the
// nodes. Room that nodes have in use stays in use for the whole run, so an
// empty fleet is one whose nodes have no Used.
type Fleet struct {
	Domains []topology.Vertex
	Nodes   []placement.Node
}

// Uniform returns one fabric of equal nodes that offer nothing but devices of
// DefaultDevice: nodes below leaves, leaves below blocks. The last leaf and the
// last block hold what is left over. Figures below 1 count as 1.
func Uniform(nodes, nodesPerLeaf, leavesPerBlock, devicesPerNode int) Fleet {
	nodes, devicesPerNode = max(1, nodes), max(1, devicesPerNode)
	nodesPerLeaf, leavesPerBlock = max(1, nodesPerLeaf), max(1, leavesPerBlock)
	f := Fleet{Domains: []topology.Vertex{{Name: "fabric", Level: topology.Fabric}}}
	var block, leaf string
	for i := range nodes {
		if rack := i / nodesPerLeaf; i%nodesPerLeaf == 0 {
			if rack%leavesPerBlock == 0 {
				block = fmt.Sprintf("block-%d", rack/leavesPerBlock)
				f.Domains = append(f.Domains, topology.Vertex{Name: block, Level: topology.Block, Parent: "fabric"})
			}
			leaf = fmt.Sprintf("leaf-%d", rack)
			f.Domains = append(f.Domains, topology.Vertex{Name: leaf, Level: topology.Leaf, Parent: block})
		}
		f.Nodes = append(f.Nodes, placement.Node{
			Name:     fmt.Sprintf("node-%d", i),
			Domain:   leaf,
			Capacity: placement.Resources{DefaultDevice: int64(devicesPerNode)},
		})
	}
	return f
}
