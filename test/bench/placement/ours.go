package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const fabricName = "fabric"

// planner keeps a State as the manager's planner does.
type planner struct {
	fabric *Fabric
	state  *placement.State
	random *rand.Rand
	// where is the node of every pod now, and free what is free on every node.
	where, free []int
	// moved are the moves that the next churn takes back.
	moved []move
}

// move is a pod that is unbound from one node and bound to another.
type move struct{ pod, from, to int }

// newPlanner tells a State of a fabric with all its pods.
func newPlanner(f *Fabric) (*planner, error) {
	p := &planner{fabric: f, random: rand.New(rand.NewPCG(3, uint64(len(f.Nodes))))}
	used := f.used()
	nodes := make([]placement.Node, 0, len(f.Nodes))
	for i := range f.Nodes {
		nodes = append(nodes, placement.Node{
			Name: f.Nodes[i].Name, Domain: f.Nodes[i].Rack, Labels: f.labels(&f.Nodes[i]), Capacity: f.Capacity, Used: used[i],
			Taints: []placement.Taint{{Key: f.Taint.Key, Value: f.Taint.Value, Effect: "NoSchedule"}},
		})
		p.free = append(p.free, devicesPerNode)
	}
	var err error
	if p.state, err = placement.NewState(f.vertices(), nodes...); err != nil {
		return nil, fmt.Errorf("starting a state: %w", err)
	}
	for _, pod := range f.Pods {
		p.where = append(p.where, pod.Node)
		p.free[pod.Node] -= pod.Devices
	}
	return p, nil
}

// vertices are the domains of the fabric.
func (f *Fabric) vertices() []topology.Vertex {
	out := []topology.Vertex{{Name: fabricName, Level: topology.Fabric}}
	for _, block := range f.blocks() {
		out = append(out, topology.Vertex{Name: block, Level: topology.Block, Parent: fabricName})
	}
	racks, blocks := f.racks()
	for i, rack := range racks {
		out = append(out, topology.Vertex{Name: rack, Level: topology.Leaf, Parent: blocks[i]})
	}
	return out
}

// ask is a gang in the engine's terms. Every seed but 0 makes a shape of its own,
// which differs by so many bytes of memory from what the pods of a gang need.
func (f *Fabric) ask(g Gang, seed int64) placement.Request {
	var terms []placement.Requirement
	for key, value := range f.Selector {
		terms = append(terms, placement.Requirement{Key: key, Op: "In", Values: []string{value}})
	}
	shape := placement.Shape{
		Resources: f.requests(devicesPerNode), Selector: []placement.Term{terms},
		Tolerations: []placement.Toleration{{Key: f.Taint.Key, Operator: "Exists"}},
	}
	shape.Resources[memory] -= seed
	role := placement.Role{Name: "worker", Count: g.Pods, Shape: shape}
	root := placement.Group{Required: topology.Block, Preferred: topology.Leaf, Roles: []placement.Role{role}}
	switch g.Kind {
	case anywhere:
		root.Required = topology.Cluster
	case sliced:
		role.Count = sliceSize
		root = placement.Group{Required: topology.Block, Groups: []placement.Group{
			{Name: "slice", Copies: g.Pods / sliceSize, Required: topology.Leaf, Roles: []placement.Role{role}},
		}}
	}
	return placement.Request{Root: root}
}

// answerOf is a verdict as every engine's answer is compared. It returns an error
// for a verdict on which a benchmark has nothing to measure.
func answerOf(v placement.Verdict) (Answer, error) {
	switch {
	case v.Invalid != "":
		return Answer{}, fmt.Errorf("the request is invalid: %s", v.Invalid)
	case v.Refusal != nil && v.Proof != placement.Exact:
		return Answer{}, fmt.Errorf("the engine gave up: %s", v.Refusal)
	case v.Refusal != nil:
		return Answer{Reason: v.Refusal.String()}, nil
	}
	return Answer{Nodes: v.Placement.Roles[0].Nodes}, nil
}

// churn prepares one round of changes: pods that move to another node in one
// round, and back in the next, so that the fabric stays what its case is named
// after. On a fabric without pods, small ones come and go. It returns two uses
// for every move, unbind and bind.
func (p *planner) churn(changes int) []placement.Use {
	var uses []placement.Use
	if len(p.moved) > 0 {
		for i := len(p.moved) - 1; i >= 0; i-- {
			back := p.moved[i]
			uses = p.apply(uses, move{back.pod, back.to, back.from})
		}
		p.moved = nil
		return uses
	}
	if len(p.where) == 0 {
		for range changes / 2 {
			name := p.fabric.Nodes[p.random.IntN(len(p.fabric.Nodes))].Name
			uses = append(uses, p.use(name, 1, 1), p.use(name, 1, -1))
		}
		return uses
	}
	for range changes / 2 {
		m := p.pick()
		p.moved = append(p.moved, m)
		uses = p.apply(uses, m)
	}
	return uses
}

// pick chooses a small pod, and a node in use that has room for it; its own if
// none is found in a few looks.
func (p *planner) pick() move {
	pod := p.random.IntN(len(p.where))
	for p.fabric.Pods[pod].Devices == devicesPerNode {
		pod = p.random.IntN(len(p.where))
	}
	size, from := p.fabric.Pods[pod].Devices, p.where[pod]
	for range 32 {
		if to := p.random.IntN(len(p.free)); p.free[to] >= size && p.free[to] < devicesPerNode && to != from {
			return move{pod, from, to}
		}
	}
	return move{pod, from, from}
}

// apply does a move in the books, and adds what the State hears of it.
func (p *planner) apply(uses []placement.Use, m move) []placement.Use {
	size := p.fabric.Pods[m.pod].Devices
	p.where[m.pod] = m.to
	p.free[m.from] += size
	p.free[m.to] -= size
	return append(uses, p.use(p.fabric.Nodes[m.from].Name, size, -1), p.use(p.fabric.Nodes[m.to].Name, size, 1))
}

// use takes, or with sign -1 gives back, what one pod needs.
func (p *planner) use(node string, devices int, sign int64) placement.Use {
	amounts := placement.Resources(p.fabric.requests(devices))
	amounts[pods] = 1
	for name := range amounts {
		amounts[name] *= sign
	}
	return placement.Use{Node: node, Resources: amounts}
}
