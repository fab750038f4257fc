package placement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// dom reads "name level parent"; parent may be missing.
func dom(text string) topology.Vertex {
	f := append(strings.Fields(text), "")
	level, _ := topology.ParseLevel(f[1])
	return topology.Vertex{Name: f[0], Level: level, Parent: f[2]}
}

// machine is a node with 8 GPUs of which some are used.
func machine(name, domain string, used int64, more ...func(*Node)) Node {
	n := Node{
		Name:     name,
		Domain:   domain,
		Capacity: Resources{"cpu": 100000, "memory": 1 << 40, "nvidia.com/gpu": 8, "rdma/ib": 8},
		Used:     Resources{"nvidia.com/gpu": used},
	}
	for _, change := range more {
		change(&n)
	}
	return n
}

// racks has two blocks. block-a holds the leaves a1 and a2, block-b the NVLink
// domain b1 without a leaf in between. Every leaf has two machines.
func racks(used ...int64) world {
	w := world{domains: []topology.Vertex{
		dom("fab Fabric"), dom("block-a Block fab"), dom("block-b Block fab"),
		dom("a1 Leaf block-a"), dom("a2 Leaf block-a"), dom("b1 NVLinkDomain block-b"),
	}}
	for i, leaf := range []string{"a1", "a1", "a2", "a2", "b1", "b1"} {
		taken := int64(0)
		if i < len(used) {
			taken = used[i]
		}
		w.nodes = append(w.nodes, machine(fmt.Sprintf("n%d", i+1), leaf, taken))
	}
	return w
}

// edit changes one node of the world.
func (w world) edit(name string, change func(*Node)) world {
	change(w.node(name))
	return w
}

func workers(count int, each int64) Role {
	return Role{Name: "worker", Count: count, Shape: Shape{Resources: Resources{"nvidia.com/gpu": each}}}
}

func within(level topology.Level, roles ...Role) Request {
	return Request{Root: Group{Required: level, Roles: roles}}
}

// copiesOf is a gang of copies of one role of k whole machines.
func copiesOf(copies, k int, outer, inner topology.Level) Request {
	return Request{Root: Group{Required: outer, Groups: []Group{
		{Name: "tp", Copies: copies, Required: inner, Roles: []Role{workers(k, 8)}},
	}}}
}

func (r Role) with(change func(*Role)) Role {
	change(&r)
	return r
}

// summary is a verdict in words: "role class: nodes + spares" per role, or the
// refusal.
func summary(v Verdict) string {
	switch {
	case v.Invalid != "":
		return "invalid: " + v.Invalid
	case v.Refusal != nil:
		return v.Refusal.String()
	}
	var roles []string
	for _, r := range v.Placement.Roles {
		text := r.Name
		if r.Class != "" {
			text += " on " + r.Class
		}
		text += ": " + strings.Join(r.Nodes, " ")
		if len(r.Spares) > 0 {
			text += " + " + strings.Join(r.Spares, " ")
		}
		roles = append(roles, text)
	}
	q := v.Placement.Quality
	return strings.TrimSpace(fmt.Sprintf("%s in %s %s", strings.Join(roles, ", "), q.Level, q.Domain))
}

func TestPlace(t *testing.T) {
	rdma := Role{Name: "worker", Count: 9, Shape: Shape{Resources: Resources{"nvidia.com/gpu": 1, "rdma/ib": 1, "cpu": 1}}}
	cases := map[string]struct {
		world   world
		request Request
		want    string
	}{
		"one pod goes to the machine that it fills": {
			racks(0, 0, 0, 6), within(0, workers(1, 2)), "worker: n4 in Node n4"},
		"a gang that one machine holds stays on it, where least room is around it": {
			racks(), within(0, workers(4, 2)), "worker: n5 n5 n5 n5 in Node n5"},
		"the tightest level wins over the fullest domain": {
			racks(0, 0, 4, 4), within(0, workers(2, 8)), "worker: n5 n6 in NVLinkDomain b1"},
		"of equal leaves the one with the least left over is taken": {
			racks(0, 0, 0, 4, 8, 8), within(0, workers(3, 4)), "worker: n3 n3 n4 in Leaf a2"},
		"of equal leaves the one in the fuller block is taken": {
			world{
				domains: []topology.Vertex{
					dom("x Block"), dom("y Block"),
					dom("x1 Leaf x"), dom("x2 Leaf x"), dom("y1 Leaf y"),
				},
				nodes: []Node{
					machine("x1a", "x1", 0), machine("x1b", "x1", 0), machine("x2a", "x2", 0),
					machine("y1a", "y1", 0), machine("y1b", "y1", 0),
				},
			},
			within(0, workers(2, 8)), "worker: y1a y1b in Leaf y1"},
		"a gang beyond a leaf takes the fewest leaves and fills the fuller one last": {
			racks(0, 0, 0, 4, 8, 8), within(0, workers(5, 4)), "worker: n1 n1 n2 n2 n4 in Block block-a"},
		"ranks follow natural names, not the order in which nodes are chosen": {
			world{nodes: []Node{machine("n10", "", 0), machine("n9", "", 4)}},
			within(0, workers(3, 4)), "worker: n9 n10 n10 in Cluster"},
		"nodes in no fabric hold a cluster wide gang together": {
			world{nodes: []Node{machine("a", "", 0), machine("b", "", 0)}},
			within(0, workers(2, 8)), "worker: a b in Cluster"},
		"nodes in no fabric share no block": {
			world{nodes: []Node{machine("a", "", 0), machine("b", "", 0)}},
			within(topology.Block, workers(2, 8)),
			"needs 2 slots in one Block, best is a with 1; short of nvidia.com/gpu"},
		"a missing leaf level falls back to the narrower domain": {
			racks(8, 8, 8, 8), within(topology.Leaf, workers(2, 8)), "worker: n5 n6 in NVLinkDomain b1"},
		"a missing NVLink level falls back to the node": {
			racks(0, 0, 0, 0, 8, 8), within(topology.NVLinkDomain, workers(2, 8)),
			"needs 2 slots in one NVLinkDomain, best is n1 with 1; short of nvidia.com/gpu; left out: 2 nodes full"},
		"two roles share what is left by each other": {
			racks(0, 4, 8, 8, 8, 8),
			within(topology.Leaf, workers(1, 8), workers(2, 2).with(func(r *Role) { r.Name = "loader" })),
			"worker: n1, loader: n2 n2 in Leaf a1"},
		"three roles that only fit in one way": {
			racks(0, 3, 8, 8, 8, 8),
			within(topology.Leaf, workers(1, 6), workers(1, 4).with(func(r *Role) { r.Name = "b" }), workers(3, 1).with(func(r *Role) { r.Name = "c" })),
			"worker: n1, b: n2, c: n1 n1 n2 in Leaf a1"},
		"slices stay inside a leaf while the gang spans the block": {
			racks(0, 0, 0, 0, 8, 8), copiesOf(2, 2, topology.Block, topology.Leaf), "worker: n1 n2 n3 n4 in Block block-a"},
		"a slice does not straddle leaves even when the block has the room": {
			racks(0, 8, 0, 8, 8, 8), copiesOf(1, 2, topology.Block, topology.Leaf),
			"needs 2 slots in one Leaf for a copy of tp, best is a1 with 1; short of nvidia.com/gpu; left out: 4 nodes full"},
		"slices are counted in copies": {
			racks(0, 0, 0, 8), copiesOf(3, 2, topology.Fabric, topology.Leaf),
			"needs 3 copies of tp in one Fabric, best is fab with 2; short of nvidia.com/gpu; left out: 1 node full"},
		"a preferred leaf is taken where the whole gang still fits": {
			racks(4, 4, 0, 0, 8, 8),
			Request{Root: Group{Required: topology.Block, Groups: []Group{{
				Name: "tp", Copies: 2, Required: topology.Block, Preferred: topology.Leaf, Roles: []Role{workers(3, 4)}}}}},
			"worker: n1 n2 n3 n3 n4 n4 in Block block-a"},
		"a preferred leaf gives way to room for every copy": {
			racks(4, 0, 4, 0, 8, 8),
			Request{Root: Group{Required: topology.Block, Groups: []Group{{
				Name: "tp", Copies: 3, Required: topology.Block, Preferred: topology.Leaf, Roles: []Role{workers(2, 4)}}}}},
			"worker: n1 n2 n2 n3 n4 n4 in Block block-a"},
		"a nested level that is wider than its parent asks for nothing": {
			racks(8, 8), copiesOf(2, 1, topology.Leaf, topology.Fabric), "worker: n5 n6 in NVLinkDomain b1"},
		"memory can be what is short": {
			racks().edit("n1", func(n *Node) { n.Capacity["memory"] = 4 }),
			within(topology.Node, Role{Name: "worker", Count: 1, Shape: Shape{Resources: Resources{"memory": 2 << 40}}}),
			"needs 1 slot in one Node, no Node has any; short of memory; left out: 6 nodes short of memory"},
		"every resource has to fit on the node": {
			racks(0, 0, 0, 0, 8, 8).edit("n1", func(n *Node) { n.Used["cpu"] = 90000 }).edit("n2", func(n *Node) { n.Used["rdma/ib"] = 5 }).
				edit("n3", func(n *Node) { n.Used["memory"] = 1 << 40 }),
			within(0, Role{Name: "worker", Count: 1, Shape: Shape{Resources: Resources{
				"nvidia.com/gpu": 4, "rdma/ib": 4, "cpu": 50000, "memory": 1 << 30}}}),
			"worker: n4 in Node n4"},
		"a node takes no more pods than it offers": {
			world{nodes: []Node{machine("a", "", 0, func(n *Node) { n.Capacity["pods"] = 3; n.Used["pods"] = 1 })}},
			within(0, workers(3, 1)), "needs 3 slots in the cluster, there are 2; short of pods"},
		"pods that ask for nothing are bounded by the demand alone": {
			world{nodes: []Node{machine("a", "", 8)}}, within(0, workers(3, 0)), "worker: a a a in Node a"},
		"a node that is over its capacity has no room": {
			world{nodes: []Node{machine("a", "", 9)}}, within(0, workers(1, 1)),
			"needs 1 slot in the cluster, there are none; short of nvidia.com/gpu; left out: 1 node full"},
		"unavailable nodes are left out and counted by reason": {
			racks().edit("n1", func(n *Node) { n.Unavailable = "not ready" }).edit("n2", func(n *Node) { n.Unavailable = "cordoned" }).
				edit("n3", func(n *Node) { n.Unavailable = "cordoned" }),
			within(topology.Block, workers(3, 8)),
			"needs 3 slots in one Block, best is block-b with 2; short of nvidia.com/gpu; left out: 2 nodes cordoned, 1 not ready"},
		"without an eligible node that is what is short": {
			world{nodes: []Node{machine("a", "", 0, func(n *Node) { n.Unavailable = "cordoned" })}},
			within(topology.Leaf, workers(1, 1)),
			"needs 1 slot in one Leaf, no Leaf has any; short of eligible nodes; left out: 1 node cordoned"},
		"spares are beside the pods of their copy": {
			racks(), Request{Root: Group{Groups: []Group{{Name: "tp", Copies: 2, Required: topology.Leaf,
				Roles: []Role{workers(1, 8).with(func(r *Role) { r.Spares = 1 })}}}}},
			"worker: n1 n3 + n2 n4 in Block block-a"},
		"a gang that may shrink takes the largest size that fits": {
			racks(8, 8, 0, 0, 8, 8), within(topology.Leaf, workers(6, 4).with(func(r *Role) { r.MinCount = 2 })),
			"worker: n3 n3 n4 n4 in Leaf a2"},
		"a gang that may shrink does not where it fits whole": {
			racks(), within(topology.Leaf, workers(4, 4).with(func(r *Role) { r.MinCount = 2 })), "worker: n5 n5 n6 n6 in NVLinkDomain b1"},
		"spares do not shrink": {
			racks(8, 8, 0, 0, 8, 8), within(topology.Leaf, workers(4, 4).with(func(r *Role) { r.MinCount = 1; r.Spares = 2 })),
			"worker: n3 n3 + n4 n4 in Leaf a2"},
		"copies shrink whole": {
			racks(0, 0, 0, 8, 8, 8), Request{Root: Group{Groups: []Group{{Name: "tp", Copies: 4, MinCopies: 1, Required: topology.Leaf,
				Roles: []Role{workers(2, 8)}}}}},
			"worker: n1 n2 in Leaf a1"},
		"a gang that may shrink is refused for its least size": {
			racks(4, 8, 8, 8, 8, 8), within(topology.Leaf, workers(6, 4).with(func(r *Role) { r.MinCount = 2 })),
			"needs 2 slots in one Leaf, best is a1 with 1; short of nvidia.com/gpu; left out: 5 nodes full"},
		"the whole cluster can be too small": {
			racks(), within(0, workers(80, 1)), "needs 80 slots in the cluster, there are 48; short of nvidia.com/gpu"},
		"a cluster without nodes has no eligible ones": {
			world{}, within(topology.Block, workers(2, 1)),
			"needs 2 slots in one Block, no Block has any; short of eligible nodes"},
		"several roles are counted together": {
			racks(8, 8, 8, 8, 0, 4), within(topology.Block, workers(1, 8), workers(7, 1).with(func(r *Role) { r.Name = "b" })),
			"needs 8 slots in one Block, best is block-b with 7; short of nvidia.com/gpu; left out: 4 nodes full"},
		"of several short resources the one that helps most is named": {
			world{nodes: []Node{machine("a", "", 6, func(n *Node) { n.Used["rdma/ib"] = 7 })}},
			within(0, rdma), "needs 9 slots in the cluster, there are 1; short of rdma/ib"},
		"of resources that only help together the first is named": {
			world{nodes: []Node{machine("a", "", 7, func(n *Node) { n.Used["rdma/ib"] = 7 })}},
			within(0, rdma), "needs 9 slots in the cluster, there are 1; short of nvidia.com/gpu"},
		"the preference of an inner group comes before that of an outer one": {
			world{
				domains: []topology.Vertex{
					dom("x Block"), dom("y Block"),
					dom("x1 Leaf x"), dom("x2 Leaf x"), dom("x3 Leaf x"), dom("y1 Leaf y"),
				},
				nodes: []Node{
					machine("a", "x1", 0), machine("b", "x2", 0), machine("c", "x3", 0),
					machine("d", "y1", 0), machine("e", "y1", 0),
				},
			},
			Request{Root: Group{Groups: []Group{{
				Name: "outer", Preferred: topology.Block, Roles: []Role{workers(1, 8)},
				Groups: []Group{{Name: "inner", Preferred: topology.Leaf,
					Roles: []Role{workers(2, 8).with(func(r *Role) { r.Name = "pair" })}}},
			}}}},
			"worker: a, pair: d e in Cluster"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := Place(tc.world.snapshot(), tc.request)
			if diff := cmp.Diff(tc.want, summary(v)); diff != "" {
				t.Errorf("Place() (-want +got):\n%s", diff)
			}
			if v.Proof != Exact {
				t.Errorf("Place() has proof %s", v.Proof)
			}
			if v.Placement != nil {
				if problem := validate(tc.world, tc.request, v.Placement); problem != "" {
					t.Error(problem)
				}
			}
		})
	}
}
