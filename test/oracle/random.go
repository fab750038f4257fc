package oracle

import (
	"fmt"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// The resources of random cases. CPUs are told in thousandths and come with
// remainders, so that sums are not all that divides.
const (
	gpu = "x.io/gpu"
	nic = "x.io/nic"
	cpu = "cpu"
)

// Random makes the case of a seed: it is small enough for Judge, and near the
// border between what fits and what does not.
func Random(seed uint64) Case { return (&dice{state: seed}).roll() }

// Read makes a case of any bytes. Like those of Random it is small enough for
// Judge. Equal bytes give equal cases, and bytes that are not there count as 0.
func Read(data []byte) Case { return (&dice{data: data, reads: true}).roll() }

// dice makes choices, from a state or from bytes.
type dice struct {
	state uint64
	data  []byte
	reads bool
}

// upTo returns one of 0..n-1.
func (d *dice) upTo(n int) int {
	if d.reads {
		if len(d.data) == 0 {
			return 0
		}
		b := d.data[0]
		d.data = d.data[1:]
		return int(b) % n
	}
	d.state += 0x9e3779b97f4a7c15
	z := (d.state ^ d.state>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// one is true once in n times.
func (d *dice) one(n int) bool { return d.upTo(n) == n-1 }

// among returns one of the values.
func among[T any](d *dice, values ...T) T { return values[d.upTo(len(values))] }

func (d *dice) roll() Case {
	// Neighbouring seeds are steps of the same sequence: they have to part first.
	for range 4 {
		d.state = d.state<<17 ^ uint64(d.upTo(1<<30))
	}
	var c Case
	c.Domains = d.domains()
	d.nodes(&c)
	d.request(&c)
	for isTooLarge(&c.Request.Root) {
		halve(&c.Request.Root)
	}
	return c
}

// isTooLarge reports whether the oracle has no numbers for what the gang asks.
func isTooLarge(root *placement.Group) bool {
	of := sizesOf(root)
	_, ok := newScale(newGang(root, size{of, of}, nil))
	return !ok
}

// halve takes away half of the pods of every role, and its spares.
func halve(g *placement.Group) {
	for i := range g.Roles {
		r := &g.Roles[i]
		r.Count, r.Spares = max(1, r.Count/2), 0
		r.MinCount = min(r.MinCount, r.Count)
	}
	for i := range g.Groups {
		halve(&g.Groups[i])
	}
}

// domains makes up to 6 of them, on up to 3 levels, with and without gaps.
func (d *dice) domains() []topology.Vertex {
	levels := among(d,
		[]topology.Level{topology.Block, topology.Leaf},
		[]topology.Level{topology.Fabric, topology.Block, topology.Leaf},
		[]topology.Level{topology.Fabric, topology.Leaf, topology.NVLinkDomain},
		[]topology.Level{topology.Block, topology.NVLinkDomain},
		[]topology.Level{topology.Leaf},
	)
	var out []topology.Vertex
	for i := range d.upTo(7) {
		v := topology.Vertex{Name: fmt.Sprintf("d%d", i), Level: levels[min(d.upTo(len(levels)), i)]}
		for _, up := range out {
			if up.Level < v.Level && !d.one(3) {
				v.Parent = up.Name
			}
		}
		out = append(out, v)
	}
	return out
}

// nodes makes 1 to 8 of them. Most fleets are of one kind of machine, with what is
// used at random.
func (d *dice) nodes(c *Case) {
	m := d.model()
	for i := range min(MaxNodes, 1+d.upTo(4)+d.upTo(6)) {
		c.Nodes = append(c.Nodes, d.node(fmt.Sprintf("n%d", i), m, c.Domains))
	}
}

// model is what the nodes of a fleet have in common.
type model struct {
	gpus, busy                               int
	tight, limited, classed, labelled, taint bool
}

func (d *dice) model() model {
	return model{
		gpus: among(d, 2, 4, 8, 8), busy: d.upTo(3), tight: d.one(4), limited: d.one(4),
		classed: d.one(6), labelled: d.one(6), taint: d.one(6),
	}
}

// node makes one node in any of the domains, or in none.
func (d *dice) node(name string, m model, domains []topology.Vertex) placement.Node {
	n := placement.Node{
		Name:     name,
		Capacity: placement.Resources{gpu: int64(m.gpus), cpu: int64(16000 + d.upTo(1000))},
		Used:     placement.Resources{},
	}
	for range m.busy {
		n.Used[gpu] += int64(d.upTo(m.gpus))
	}
	if d.one(4) {
		n.Used[gpu] = 0
	}
	if m.tight {
		n.Used[cpu] = int64(d.upTo(15000))
	}
	if m.limited || d.one(12) {
		n.Capacity["pods"] = int64(d.upTo(5))
	}
	if !d.one(8) {
		n.Capacity[nic] = int64(d.upTo(5))
	}
	if len(domains) > 0 && !d.one(10) {
		n.Domain = among(d, domains...).Name
	}
	if d.one(14) {
		n.Unavailable = "cordoned"
	}
	if m.classed {
		n.Classes = among(d, []string{"h"}, []string{"b"}, []string{"b", "h"}, nil)
	}
	if m.labelled {
		n.Labels = map[string]string{"zone": among(d, "a", "b"), "age": fmt.Sprint(d.upTo(4))}
	}
	if m.taint && d.one(3) {
		n.Taints = []placement.Taint{{Key: "t", Value: among(d, "x", "y"), Effect: among(d, "NoSchedule", "NoExecute", "PreferNoSchedule")}}
	}
	return n
}

// bud is a group before it is put into its parent.
type bud struct {
	placement.Group
	parent, copies int
	// filled is set where a role is inside.
	filled bool
}

// request makes 1 to 3 roles in 1 to 4 groups.
func (d *dice) request(c *Case) {
	roles := among(d, 1, 1, 1, 2, 2, 3)
	buds := []bud{{copies: 1, parent: -1}}
	buds[0].Required = topology.Level(min(d.upTo(6), d.upTo(6), d.upTo(6)))
	for i := 1; i < among(d, 1, 2, 2, 3, 4); i++ {
		b := bud{parent: i - 1}
		if d.one(3) {
			b.parent = d.upTo(i)
		}
		b.Name, b.Copies = fmt.Sprintf("g%d", i), d.upTo(min(4, 6/buds[b.parent].copies)+1)
		b.copies = max(1, b.Copies) * buds[b.parent].copies
		if b.Required = topology.Level(min(d.upTo(6), d.upTo(6))); d.one(4) {
			b.Required = topology.Cluster
		}
		if d.one(3) {
			b.Preferred = b.Required + topology.Level(d.upTo(int(topology.Node-b.Required)+1))
		}
		if b.Copies > 1 && d.one(4) {
			b.MinCopies = 1 + d.upTo(b.Copies)
		}
		buds = append(buds, b)
	}
	room := 2 + d.upTo(4)
	left := maxParts
	for i := range roles {
		// The innermost group gets the first role, and so every chain has one.
		in := len(buds) - 1
		if i > 0 {
			in = d.upTo(len(buds))
		}
		if buds[in].copies > left {
			in = 0
		}
		left -= buds[in].copies
		buds[in].Roles = append(buds[in].Roles, d.role(c, i, buds[in].copies, roles*room))
		for at := in; at >= 0; at = buds[at].parent {
			buds[at].filled = true
		}
	}
	for i := len(buds) - 1; i > 0; i-- {
		if up := &buds[buds[i].parent]; buds[i].filled {
			up.Groups = append([]placement.Group{buds[i].Group}, up.Groups...)
		}
	}
	c.Request.Root = buds[0].Group
}

// maxSlots bounds the slots of one role of a random case.
const maxSlots = 10

// role makes a role that takes about two parts in shares of what the fleet has
// for it, if that is not too many slots.
func (d *dice) role(c *Case, i, copies, shares int) placement.Role {
	shape := d.shape(c)
	fit := c.fitting(&shape)
	if fit == 0 && !d.one(8) {
		shape = placement.Shape{Resources: placement.Resources{gpu: 1}}
		fit = c.fitting(&shape)
	}
	r := placement.Role{Name: fmt.Sprintf("r%d", i), Shape: shape}
	r.Count = max(1, min(maxSlots, (fit*2+d.upTo(shares))/shares)/copies)
	if d.one(5) {
		r.Count = max(1, d.upTo(maxSlots)/copies)
	}
	if r.Count > 1 && d.one(5) {
		r.Spares = 1
		r.Count--
	}
	if copies == 1 && r.Count > 1 && d.one(4) {
		r.MinCount = 1 + d.upTo(r.Count)
	}
	return r
}

// shape makes what one pod needs. It selects, tolerates and asks for a class only
// where nodes of the fleet have something of that kind.
func (d *dice) shape(c *Case) placement.Shape {
	shape := placement.Shape{Resources: placement.Resources{gpu: int64(among(d, 1, 1, 2, 2, 3, 4, 8, 0))}}
	if d.one(3) {
		shape.Resources[cpu] = 1000 * int64(1+d.upTo(6))
	}
	if d.one(5) {
		shape.Resources[nic] = int64(d.upTo(3))
	}
	for _, n := range c.Nodes {
		switch {
		case len(shape.Classes) == 0 && n.Classes != nil && d.one(2):
			shape.Classes = among(d, []string{"h"}, []string{"b", "h"}, []string{"h", "b"})
		case shape.Selector == nil && n.Labels != nil && d.one(3):
			shape.Selector = d.selector()
		case shape.Tolerations == nil && n.Taints != nil && d.one(3):
			shape.Tolerations = []placement.Toleration{d.toleration()}
		}
	}
	return shape
}

func (d *dice) toleration() placement.Toleration {
	return among(d,
		placement.Toleration{Operator: "Exists"},
		placement.Toleration{Key: "t", Value: "x"},
		placement.Toleration{Key: "t", Operator: "Exists", Effect: "NoExecute"},
		placement.Toleration{Key: "u", Operator: "Exists"},
	)
}

// fitting is the number of pods that the fleet has room for, at most maxSlots a
// node.
func (c *Case) fitting(shape *placement.Shape) int {
	total := 0
	for i := range c.Nodes {
		n, most := &c.Nodes[i], int64(maxSlots)
		for name, amount := range shape.Resources {
			if amount > 0 {
				most = min(most, max(0, n.Capacity[name]-n.Used[name])/amount)
			}
		}
		if mayUse(n, shape, "") {
			total += int(most)
		}
	}
	return total
}

func (d *dice) selector() []placement.Term {
	one := func() placement.Requirement {
		return among(d,
			placement.Requirement{Key: "zone", Op: "In", Values: []string{"a"}},
			placement.Requirement{Key: "zone", Op: "NotIn", Values: []string{"a", "c"}},
			placement.Requirement{Key: "age", Op: "Gt", Values: []string{"1"}},
			placement.Requirement{Key: "age", Op: "Lt", Values: []string{"3"}},
			placement.Requirement{Key: "age", Op: "Exists"},
			placement.Requirement{Key: "zone", Op: "DoesNotExist"},
			placement.Requirement{Key: "metadata.name", Op: "NotIn", Values: []string{"n1"}, Field: true},
		)
	}
	out := []placement.Term{{one()}}
	if d.one(2) {
		out[0] = append(out[0], one())
	}
	if d.one(3) {
		out = append(out, placement.Term{one()})
	}
	return out
}
