package placement

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// podsResource counts pods. A node that does not offer it takes any number.
const podsResource = "pods"

// unlimited is the room of a resource that does not bound a node.
const unlimited = math.MaxInt64

// Node is one machine as placement sees it.
type Node struct {
	Name string
	// Domain is the innermost topology domain that holds the node, "" when the
	// node is in no fabric.
	Domain string
	// Classes are the accelerator classes of the node's devices.
	Classes []string
	Labels  map[string]string
	Taints  []Taint
	// Capacity is what the node offers to pods. Without the resource "pods" it
	// takes any number of them.
	Capacity Resources
	// Used is what is taken. It may exceed Capacity; then nothing is free.
	Used Resources
	// Unavailable says why the node takes no new pods, such as "cordoned",
	// "not ready" or "unhealthy". Empty means that it does.
	Unavailable string
	// Islands gives, per extended resource, how many devices each NUMA or NVLink
	// island of the node has, free or not. A missing resource means that islands
	// are not known. At most MaxIslands of at most MaxIslandDevices each.
	Islands map[string][]int64
	// NICGbps is what all network adapters of the node carry together, and
	// LinkGbps what one device exchanges with the others of its node or NVLink
	// domain, in gigabits per second and direction. 0 means not known.
	NICGbps, LinkGbps int64
}

// Limits of Node.Islands.
const (
	MaxIslands       = 16
	MaxIslandDevices = 64
)

// Use is room taken on a node. It counts pods only under the resource "pods".
type Use struct {
	Node      string
	Resources Resources
}

// Snapshot is an immutable picture of nodes below a forest of domains.
type Snapshot struct {
	// nodes are in natural order of their names.
	nodes  []Node
	forest *forest
	// resources are the names that any node offers, sorted, and "pods".
	resources []string
	// free is the room per node and resource, in the order of resources, >= 0.
	free [][]int64
	// generation is that of the State.
	generation uint64
}

// NewSnapshot checks and takes the picture. domains are all domains above the
// nodes, levels Fabric to NVLinkDomain. It returns an error that names the
// entry when a name is missing or used twice among the domains or among the
// nodes, a parent or domain does not exist or is not wider than its child, or a
// figure is negative. The maps and slices inside nodes are not copied: the
// caller leaves them as they are.
func NewSnapshot(domains []topology.Vertex, nodes []Node) (*Snapshot, error) {
	levels, err := checkDomains(domains)
	if err != nil {
		return nil, err
	}
	domains, nodes = slices.Clone(domains), slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b Node) int { return topology.CompareNatural(a.Name, b.Name) })
	names := map[string]bool{podsResource: true}
	for i, n := range nodes {
		if err := checkNode(n, levels); err != nil {
			return nil, err
		}
		if i > 0 && nodes[i-1].Name == n.Name {
			return nil, fmt.Errorf("node %s: the name is used twice", n.Name)
		}
		for name := range n.Capacity {
			names[name] = true
		}
	}
	s := &Snapshot{
		nodes:     nodes,
		forest:    newForest(domains, nodes),
		resources: slices.Sorted(maps.Keys(names)),
		free:      make([][]int64, len(nodes)),
	}
	for i := range nodes {
		s.free[i] = s.roomOn(&nodes[i])
	}
	return s, nil
}

// With returns the snapshot with more room taken; s stays as it is. A use on a
// node that does not exist has no effect. A negative amount gives room back,
// but never more than was taken.
func (s *Snapshot) With(uses ...Use) *Snapshot {
	out := *s
	out.nodes, out.free = slices.Clone(s.nodes), slices.Clone(s.free)
	for _, use := range uses {
		i, found := s.nodeIndex(use.Node)
		if !found {
			continue
		}
		used := maps.Clone(out.nodes[i].Used)
		if used == nil {
			used = Resources{}
		}
		for name, amount := range use.Resources {
			if sum := addCapped(used[name], amount); sum > 0 {
				used[name] = sum
			} else {
				delete(used, name)
			}
		}
		out.nodes[i].Used = used
		out.free[i] = s.roomOn(&out.nodes[i])
	}
	return &out
}

// Emptied returns the snapshot with all room free: what the fleet could hold
// if nothing ran on it. Unavailable nodes stay unavailable.
func (s *Snapshot) Emptied() *Snapshot {
	out := *s
	out.nodes, out.free = slices.Clone(s.nodes), slices.Clone(s.free)
	for i := range out.nodes {
		if len(out.nodes[i].Used) > 0 {
			out.nodes[i].Used = nil
			out.free[i] = s.roomOn(&out.nodes[i])
		}
	}
	return &out
}

// Node returns a node as it is in the snapshot.
func (s *Snapshot) Node(name string) (node Node, found bool) {
	i, found := s.nodeIndex(name)
	if !found {
		return Node{}, false
	}
	return s.nodes[i], true
}

// Above lists the domains that hold a node, from the innermost outwards. It is
// empty for a node that is in no fabric or not in the snapshot.
func (s *Snapshot) Above(node string) []topology.Vertex {
	i, found := s.nodeIndex(node)
	if !found {
		return nil
	}
	var out []topology.Vertex
	for v := s.forest.vertices[s.forest.ofNode[i]].parent; v > 0; v = s.forest.vertices[v].parent {
		out = append(out, s.forest.vertices[v].domain)
	}
	return out
}

// roomOn returns what is free on the node, per resource of the snapshot.
func (s *Snapshot) roomOn(n *Node) []int64 {
	free := make([]int64, len(s.resources))
	for i, name := range s.resources {
		capacity, offered := n.Capacity[name]
		if !offered && name == podsResource {
			free[i] = unlimited
			continue
		}
		free[i] = max(0, capacity-n.Used[name])
	}
	return free
}

// nodeIndex finds a node by name.
func (s *Snapshot) nodeIndex(name string) (int, bool) {
	return sort.Find(len(s.nodes), func(i int) int { return topology.CompareNatural(name, s.nodes[i].Name) })
}

// checkNode returns an error when the node breaks the rules of NewSnapshot.
func checkNode(n Node, levels map[string]topology.Level) error {
	if n.Name == "" {
		return fmt.Errorf("a node in domain %q has no name", n.Domain)
	}
	if _, known := levels[n.Domain]; n.Domain != "" && !known {
		return fmt.Errorf("node %s: domain %s does not exist", n.Name, n.Domain)
	}
	for _, amounts := range []Resources{n.Capacity, n.Used} {
		for _, name := range slices.Sorted(maps.Keys(amounts)) {
			if amounts[name] < 0 {
				return fmt.Errorf("node %s: %s is negative", n.Name, name)
			}
		}
	}
	return nil
}

// addCapped adds without overflow, for a >= 0.
func addCapped(a, b int64) int64 {
	if b > unlimited-a {
		return unlimited
	}
	return a + b
}
