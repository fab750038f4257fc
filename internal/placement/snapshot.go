package placement

import (
	"fmt"
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

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

// Snapshot is an immutable picture of nodes below a forest of domains. Any number
// of goroutines may use it.
type Snapshot struct {
	fleet   *fleet
	root    *domain
	columns *columns
	// indexed are the label keys that traits hold.
	indexed []string
	// emptied says that all room counts as free.
	emptied bool
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
	s, err := NewState(domains, nodes...)
	if err != nil {
		return nil, err
	}
	return s.Snapshot(), nil
}

// Generation counts the changes that a State had seen when the snapshot was
// taken.
func (s *Snapshot) Generation() uint64 { return s.generation }

// With returns the snapshot with more room taken, as State.Take takes it; s stays
// as it is.
func (s *Snapshot) With(uses ...Use) *Snapshot {
	fork := s.fork()
	fork.Take(uses...)
	out := fork.now
	out.generation = s.generation
	return &out
}

// fork returns a State that begins with the snapshot.
func (s *Snapshot) fork() *State {
	fork := &State{now: *s, edition: s.fleet.stamps.Add(1)}
	if s.emptied {
		fork.now.emptied = false
		fork.clear()
	}
	return fork
}

// clear gives back all room.
func (s *State) clear() {
	s.now.root.walk(func(old *domain) {
		d := s.edit(old.place)
		for i := range d.members {
			m := d.members[i]
			m.load = &taken{}
			m.kind = s.now.fleet.kinds.intern(m.kind.traits, m.kind.capacity, nil)
			s.put(d, i, m)
		}
	})
}

// Emptied returns the snapshot with all room free: what the fleet could hold
// if nothing ran on it. Unavailable nodes stay unavailable.
func (s *Snapshot) Emptied() *Snapshot {
	out := *s
	out.emptied = true
	return &out
}

// Node returns a node as it is in the snapshot.
func (s *Snapshot) Node(name string) (node Node, found bool) {
	home, at, found := s.locate(name)
	if !found {
		return Node{}, false
	}
	return s.nodeOf(&s.domainOf(home).members[at]), true
}

// nodeOf returns the node of a member with what is used of it now.
func (s *Snapshot) nodeOf(m *member) Node {
	out := *m.node
	out.Used = nil
	if !s.emptied {
		out.Used = s.columns.amounts(m.load.used)
	}
	return out
}

// Above lists the domains that hold a node, from the innermost outwards. It is
// empty for a node that is in no fabric or not in the snapshot.
func (s *Snapshot) Above(node string) []topology.Vertex {
	home, _, found := s.locate(node)
	if !found {
		return nil
	}
	var out []topology.Vertex
	for at := home; at.parent != nil; at = at.parent {
		out = append(out, at.vertex)
	}
	return out
}

// locate finds a node by name.
func (s *Snapshot) locate(name string) (in *place, at int, found bool) {
	if h, known := s.fleet.homes.get(name); known {
		if at, found = s.domainOf(h.place).find(name, h.at); found {
			return h.place, at, true
		}
	}
	// The State has moved or removed it since.
	s.root.walk(func(d *domain) {
		if i, here := d.find(name, 0); here {
			in, at, found = d.place, i, true
		}
	})
	return in, at, found
}

// domainOf returns the snapshot's version of a domain.
func (s *Snapshot) domainOf(at *place) *domain {
	if at.parent == nil {
		return s.root
	}
	return s.domainOf(at.parent).children[at.at]
}

// freeOf returns the room of a kind, by column.
func (s *Snapshot) freeOf(k *kind) []int64 {
	if s.emptied {
		return k.capacity
	}
	return k.free
}

// checkNode returns an error when a figure of the node is negative or too large,
// or it has no name.
func checkNode(n *Node) error {
	if n.Name == "" {
		return fmt.Errorf("a node in domain %q has no name", n.Domain)
	}
	for _, amounts := range []Resources{n.Capacity, n.Used} {
		for _, name := range slices.Sorted(maps.Keys(amounts)) {
			if amounts[name] < 0 {
				return fmt.Errorf("node %s: %s is negative", n.Name, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Islands)) {
		if len(n.Islands[name]) > MaxIslands {
			return fmt.Errorf("node %s: islands of %s: more than %d", n.Name, name, MaxIslands)
		}
		for _, devices := range n.Islands[name] {
			if devices < 0 || devices > MaxIslandDevices {
				return fmt.Errorf("node %s: islands of %s: %d devices are not in 0..%d", n.Name, name, devices, MaxIslandDevices)
			}
		}
	}
	if n.NICGbps < 0 || n.LinkGbps < 0 {
		return fmt.Errorf("node %s: a bandwidth is negative", n.Name)
	}
	return nil
}

// plus adds amounts to a vector, into a new one. Nothing falls below 0.
func (c *columns) plus(used []int64, amounts Resources) []int64 {
	out := make([]int64, len(used), max(len(used), len(c.names)))
	copy(out, used)
	for name, amount := range amounts {
		if amount == 0 {
			continue
		}
		column := c.of[name]
		for len(out) <= column {
			out = append(out, 0)
		}
		out[column] = max(0, addCapped(out[column], amount))
	}
	return out
}

// short names the first resource of which free has less than the amounts, "" for
// none.
func (c *columns) short(free []int64, amounts Resources) string {
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if amounts[name] > amountAt(free, c.column(name)) {
			return name
		}
	}
	return ""
}

// addCapped adds without overflow, for a >= 0.
func addCapped(a, b int64) int64 {
	if b > unlimited-a {
		return unlimited
	}
	return a + b
}

// mulCapped multiplies without overflow, for a >= 0 and b >= 0.
func mulCapped(a, b int64) int64 {
	if b > 0 && a > unlimited/b {
		return unlimited
	}
	return a * b
}
