package placement

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const gpu = "nvidia.com/gpu"

// rails is a machine with eight devices: 3,600 Gbps between any two, and eight
// adapters of 400 Gbps.
func rails(name, domain string) Node {
	return Node{Name: name, Domain: domain, Capacity: Resources{gpu: 8}, NICGbps: 3200, LinkGbps: 3600}
}

// tray is a machine with four devices in an NVLink domain.
func tray(name, domain string) Node {
	return Node{Name: name, Domain: domain, Capacity: Resources{gpu: 4}, NICGbps: 1600, LinkGbps: 7200}
}

// estimateFabric has machines n1 to n8 below leaves l1 to l4, two each, below blocks
// b1 and b2, below one fabric; trays t1 to t4 below NVLink domains r1 and r2 of
// a leaf l5; and machine far in a fabric of its own.
func estimateFabric(t *testing.T, change ...func(*Node)) *Snapshot {
	t.Helper()
	domains := []topology.Vertex{
		{Name: "f", Level: topology.Fabric}, {Name: "other", Level: topology.Fabric},
		{Name: "b1", Level: topology.Block, Parent: "f", UplinkGbps: 1600}, {Name: "b2", Level: topology.Block, Parent: "f", UplinkGbps: 1600},
		{Name: "r1", Level: topology.NVLinkDomain, Parent: "l5"}, {Name: "r2", Level: topology.NVLinkDomain, Parent: "l5"},
	}
	for i := range 5 {
		domains = append(domains, topology.Vertex{Name: fmt.Sprintf("l%d", i+1), Level: topology.Leaf, Parent: fmt.Sprintf("b%d", min(2, i/2+1)), UplinkGbps: 2400})
	}
	var nodes []Node
	for i := range 8 {
		nodes = append(nodes, rails(fmt.Sprintf("n%d", i+1), fmt.Sprintf("l%d", i/2+1)))
	}
	for i := range 4 {
		nodes = append(nodes, tray(fmt.Sprintf("t%d", i+1), fmt.Sprintf("r%d", i/2+1)))
	}
	nodes = append(nodes, rails("far", "other"))
	for i := range nodes {
		for _, c := range change {
			c(&nodes[i])
		}
	}
	s, err := NewSnapshot(domains, nodes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pods is a role whose pods take so many devices each.
func pods(name string, count int, devices int64) Role {
	return Role{Name: name, Count: count, Shape: Shape{Resources: Resources{gpu: devices}}}
}

// at is where the pods of a role are.
func at(role string, nodes ...string) RolePlacement { return RolePlacement{Name: role, Nodes: nodes} }

func rate(bus float64, level topology.Level, domain string) Rate {
	return Rate{Bus: bus, Known: true, Bottleneck: level, BottleneckDomain: domain}
}

// atMost is what is known where a place has no figure.
func atMost(bus float64, level topology.Level, domain string) Rate {
	return Rate{Bus: bus, Bottleneck: level, BottleneckDomain: domain}
}

func whole(p Pattern, roles ...Role) Group { return Group{Pattern: p, Roles: roles} }

func TestEstimateOfPatterns(t *testing.T) {
	cases := map[string]struct {
		root  Group
		roles []RolePlacement
		want  Rate
	}{
		"one pod has the links of its node": {
			whole(Ring, pods("w", 1, 8)), []RolePlacement{at("w", "n1")}, rate(3600, topology.Node, "n1"),
		},
		"a ring through two nodes has their adapters": {
			whole("", pods("w", 2, 8)), []RolePlacement{at("w", "n1", "n2")}, rate(3200, topology.Node, "n1"),
		},
		"a ring leaves each leaf once": {
			whole(Ring, pods("w", 4, 8)), []RolePlacement{at("w", "n1", "n2", "n3", "n4")}, rate(2400, topology.Leaf, "l1"),
		},
		"a ring that goes back and forth leaves each leaf twice": {
			whole(Ring, pods("w", 4, 8)), []RolePlacement{at("w", "n1", "n3", "n2", "n4")}, rate(1200, topology.Leaf, "l1"),
		},
		"a ring through both blocks": {
			whole(Ring, pods("w", 2, 8)), []RolePlacement{at("w", "n1", "n5")}, rate(1600, topology.Block, "b1"),
		},
		"two roles, one after the other, leave the leaf twice": {
			whole(Ring, pods("a", 2, 4), pods("b", 2, 4)), []RolePlacement{at("a", "n1", "n3"), at("b", "n1", "n3")}, rate(1200, topology.Leaf, "l1"),
		},
		"a quarter of the devices has a quarter of the adapters": {
			whole(Ring, pods("w", 2, 2)), []RolePlacement{at("w", "n1", "n2")}, rate(800, topology.Node, "n1"),
		},
		"four pods of a quarter have them all": {
			whole(Ring, pods("w", 8, 2)), []RolePlacement{at("w", "n1", "n1", "n1", "n1", "n2", "n2", "n2", "n2")}, rate(3200, topology.Node, "n1"),
		},
		// 2 edges of 16/60 cross; a chain carries 16/15.
		"two trees over two nodes": {
			whole(Tree, pods("w", 2, 8)), []RolePlacement{at("w", "n1", "n2")}, rate(3375, topology.Node, "n1"),
		},
		// Trees 1-2, 3-2, 2-0 and 2-1, 0-1, 1-3: n3 has 3 edges and 1, of 32/124. The
		// leaf of n1 and n2 has 1-2, 2-0 and 2-1, 1-3: 4 of 32/124.
		"two trees over four nodes in two leaves": {
			whole(Tree, pods("w", 4, 8)), []RolePlacement{at("w", "n1", "n2", "n3", "n4")}, rate(2400*31.0/32, topology.Leaf, "l1"),
		},
		// 16 devices of 32 on either side: 16*16/31 over the uplink.
		"all to all over two leaves": {
			whole(AllToAll, pods("w", 4, 8)), []RolePlacement{at("w", "n1", "n2", "n3", "n4")}, rate(2400*31.0/256, topology.Leaf, "l1"),
		},
		// 8 devices of 24 on one side: 8*16/23; a node 8*16/23, too, with more to use.
		"all to all with one node apart": {
			whole(AllToAll, pods("w", 3, 8)), []RolePlacement{at("w", "n1", "n2", "n3")}, rate(2400*23.0/128, topology.Leaf, "l1"),
		},
		"all to all inside a node": {
			whole(AllToAll, pods("w", 4, 2)), []RolePlacement{at("w", "n1", "n1", "n1", "n1")}, rate(3600, topology.Node, "n1"),
		},
		"a pipeline of two nodes: each device has its adapter": {
			whole(Pipeline, pods("w", 2, 8)), []RolePlacement{at("w", "n1", "n2")}, rate(400, topology.Node, "n1"),
		},
		"a pipeline crosses a leaf with eight flows": {
			whole(Pipeline, pods("w", 4, 8)), []RolePlacement{at("w", "n1", "n2", "n3", "n4")}, rate(300, topology.Leaf, "l1"),
		},
		"a pipeline inside a node": {
			whole(Pipeline, pods("w", 4, 2)), []RolePlacement{at("w", "n1", "n1", "n1", "n1")}, rate(3600, topology.Node, "n1"),
		},
		"a stage of two pods hands to a stage of one: 16 flows into n3": {
			Group{Pattern: Pipeline, Groups: []Group{{Name: "a", Roles: []Role{pods("a", 2, 8)}}, {Name: "b", Roles: []Role{pods("b", 1, 8)}}}},
			[]RolePlacement{at("a", "n1", "n2"), at("b", "n3")}, rate(150, topology.Leaf, "l1"),
		},
		"a smaller stage inside a node serves two devices with each of its own": {
			Group{Pattern: Pipeline, Groups: []Group{{Name: "a", Roles: []Role{pods("a", 2, 2)}}, {Name: "b", Roles: []Role{pods("b", 1, 2)}}}},
			[]RolePlacement{at("a", "n1", "n1"), at("b", "n1")}, rate(1800, topology.Node, "n1"),
		},
		"stages are the copies of a group": {
			Group{Pattern: Pipeline, Groups: []Group{{Name: "tp", Copies: 2, Roles: []Role{pods("w", 2, 8)}}}},
			[]RolePlacement{at("w", "n1", "n2", "n3", "n4")}, rate(150, topology.Leaf, "l1"),
		},
		// Each of 16 prefill devices sends all it has to the other leaf.
		"prefill in one leaf, decode in the other": {
			whole(PrefillDecode, pods("p", 2, 8), pods("d", 2, 8)), []RolePlacement{at("p", "n1", "n2"), at("d", "n3", "n4")}, rate(150, topology.Leaf, "l1"),
		},
		// Half stays in the leaf: 8*8/16 cross the uplink, 8 leave each prefill node.
		"prefill and decode in both leaves": {
			whole(PrefillDecode, pods("p", 2, 8), pods("d", 2, 8)), []RolePlacement{at("p", "n1", "n3"), at("d", "n2", "n4")}, rate(400, topology.Node, "n1"),
		},
		// 16 prefill devices for 8 that decode: n3 receives 16 at speed 1.
		"one decode node for two": {
			whole(PrefillDecode, pods("p", 2, 8), pods("d", 1, 8)), []RolePlacement{at("p", "n1", "n2"), at("d", "n3")}, rate(150, topology.Leaf, "l1"),
		},
		// Each of 6 prefill devices fills 1/2 of each of 2: a decode device takes 3.
		"prefill and decode inside a node": {
			whole(PrefillDecode, pods("p", 3, 2), pods("d", 1, 2)), []RolePlacement{at("p", "n1", "n1", "n1"), at("d", "n1")}, rate(1200, topology.Node, "n1"),
		},
		"prefill without decode is all to all": {
			whole(PrefillDecode, pods("p", 4, 8)), []RolePlacement{at("p", "n1", "n2", "n3", "n4")}, rate(2400*31.0/256, topology.Leaf, "l1"),
		},
		"a ring in an NVLink domain has its links": {
			whole(Ring, pods("w", 2, 4)), []RolePlacement{at("w", "t1", "t2")}, rate(7200, topology.NVLinkDomain, "r1"),
		},
		"a ring through two NVLink domains has the adapters of all nodes": {
			whole(Ring, pods("w", 4, 4)), []RolePlacement{at("w", "t1", "t2", "t3", "t4")}, rate(3200, topology.NVLinkDomain, "r1"),
		},
		"a ring through half of two NVLink domains has half of them": {
			whole(Ring, pods("w", 2, 4)), []RolePlacement{at("w", "t1", "t3")}, rate(1600, topology.NVLinkDomain, "r1"),
		},
		"pods without devices take no part": {
			whole(Ring, Role{Name: "driver", Count: 1, Shape: Shape{Resources: Resources{"cpu": 1000}}}, pods("w", 2, 8)),
			[]RolePlacement{at("driver", "far"), at("w", "n1", "n2")}, rate(3200, topology.Node, "n1"),
		},
		"one device has nobody to talk to": {
			whole(Ring, pods("w", 1, 1)), []RolePlacement{at("w", "n1")}, Rate{},
		},
		"fabrics that nothing joins": {
			whole(Ring, pods("w", 2, 8)), []RolePlacement{at("w", "n1", "far")}, atMost(1600, topology.Cluster, ""),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Estimate(estimateFabric(t), Request{Root: tc.root}, &Placement{Roles: tc.roles})
			if diff := cmp.Diff(tc.want, got.Rate, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
				t.Errorf("Estimate() (-want +got):\n%s", diff)
			}
		})
	}
}

// What has no figure is named, and what is left is a bound from above.
func TestEstimateOfUnknownLinks(t *testing.T) {
	cases := map[string]struct {
		change  func(*Node)
		devices int64
		nodes   []string
		want    Rate
	}{
		"no figure for the adapters":               {func(n *Node) { n.NICGbps = 0 }, 8, []string{"n1", "n2"}, atMost(3600, topology.Node, "n1")},
		"adapters are not asked for inside a node": {func(n *Node) { n.NICGbps = 0 }, 4, []string{"n1", "n1"}, rate(3600, topology.Node, "n1")},
		"no figure for the links":                  {func(n *Node) { n.LinkGbps = 0 }, 8, []string{"n1", "n2"}, atMost(3200, topology.Node, "n1")},
		"links are not asked for between single devices": {
			func(n *Node) { n.LinkGbps = 0 }, 1, []string{"n1", "n2"}, rate(400, topology.Node, "n1"),
		},
		"no figure for anything": {func(n *Node) { n.LinkGbps, n.NICGbps = 0, 0 }, 8, []string{"n1", "n2"}, atMost(0, topology.Node, "n1")},
		"the adapters of one tray of a rack have none": {
			func(n *Node) {
				if n.Name == "t2" {
					n.NICGbps = 0
				}
			}, 4, []string{"t1", "t2", "t3"}, atMost(1600, topology.NVLinkDomain, "r1"),
		},
		"a node in no fabric": {func(n *Node) { n.Domain = "" }, 8, []string{"n1", "n2"}, atMost(3200, topology.Cluster, "")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := Request{Root: whole(Ring, pods("w", len(tc.nodes), tc.devices))}
			got := Estimate(estimateFabric(t, tc.change), r, &Placement{Roles: []RolePlacement{at("w", tc.nodes...)}})
			if diff := cmp.Diff(tc.want, got.Rate); diff != "" {
				t.Errorf("Estimate() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEstimateOfAnUplinkWithoutFigure(t *testing.T) {
	s, err := NewSnapshot(
		[]topology.Vertex{{Name: "f", Level: topology.Fabric}, {Name: "l1", Level: topology.Leaf, Parent: "f"}, {Name: "l2", Level: topology.Leaf, Parent: "f"}},
		[]Node{rails("n1", "l1"), rails("n2", "l1"), rails("n3", "l2")},
	)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Root: whole(Ring, pods("w", 2, 8))}
	cases := map[string]struct {
		nodes []string
		want  Rate
	}{
		"inside a leaf the uplink does not count": {[]string{"n1", "n2"}, rate(3200, topology.Node, "n1")},
		"through two leaves it does":              {[]string{"n1", "n3"}, atMost(3200, topology.Leaf, "l1")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Estimate(s, r, &Placement{Roles: []RolePlacement{at("w", tc.nodes...)}})
			if diff := cmp.Diff(tc.want, got.Rate); diff != "" {
				t.Errorf("Estimate() (-want +got):\n%s", diff)
			}
			if got.Best != 3200 {
				t.Errorf("the best is %v, want 3200", got.Best)
			}
		})
	}
}

// An uplink that is declared for an NVLink domain bounds its adapters.
func TestEstimateOfADeclaredNVLinkDomain(t *testing.T) {
	s, err := NewSnapshot(
		[]topology.Vertex{{Name: "l", Level: topology.Leaf}, {Name: "r1", Level: topology.NVLinkDomain, Parent: "l", UplinkGbps: 1000}, {Name: "r2", Level: topology.NVLinkDomain, Parent: "l"}},
		[]Node{tray("t1", "r1"), tray("t2", "r2")},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := Estimate(s, Request{Root: whole(Ring, pods("w", 2, 4))}, &Placement{Roles: []RolePlacement{at("w", "t1", "t2")}})
	if diff := cmp.Diff(rate(1000, topology.NVLinkDomain, "r1"), got.Rate); diff != "" {
		t.Errorf("Estimate() (-want +got):\n%s", diff)
	}
}

func TestEstimateOfGroups(t *testing.T) {
	tp := Group{Name: "tp", Copies: 2, MinCopies: 1, Pattern: AllToAll, Roles: []Role{pods("w", 2, 8)}}
	pp := Group{Name: "pp", Groups: []Group{tp}, Roles: []Role{pods("d", 2, 8)}}
	pp.Roles[0].MinCount = 1
	cases := map[string]struct {
		root  Group
		roles []RolePlacement
		want  []GroupRate
	}{
		// 16 devices of a copy: 8*8/15 leave each node.
		"copies in a leaf each": {
			Group{Groups: []Group{tp}}, []RolePlacement{at("w", "n1", "n2", "n3", "n4")},
			[]GroupRate{{"tp", rate(3200*15.0/64, topology.Node, "n1")}},
		},
		// Both copies cross the same uplink at once: 2 * 8*8/15.
		"copies that share an uplink": {
			Group{Groups: []Group{tp}}, []RolePlacement{at("w", "n1", "n3", "n2", "n4")},
			[]GroupRate{{"tp", rate(2400*15.0/128, topology.Leaf, "l1")}},
		},
		"fewer copies than asked for": {
			Group{Groups: []Group{tp}}, []RolePlacement{at("w", "n1", "n3")},
			[]GroupRate{{"tp", rate(2400*15.0/64, topology.Leaf, "l1")}},
		},
		"a group in a group, and fewer pods than asked for": {
			Group{Groups: []Group{pp}}, []RolePlacement{at("d", "n1"), at("w", "n3", "n4", "n5", "n6")},
			[]GroupRate{{"pp", rate(1600, topology.Block, "b1")}, {"tp", rate(3200*15.0/64, topology.Node, "n3")}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Estimate(estimateFabric(t), Request{Root: tc.root}, &Placement{Roles: tc.roles})
			if diff := cmp.Diff(tc.want, got.Groups, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
			if !got.Known || got.Best < got.Bus {
				t.Errorf("the gang is %+v, want known and no better than the best", got)
			}
		})
	}
}

// The best is what Place finds with nothing else on the nodes, at the size that
// was placed.
func TestEstimateBest(t *testing.T) {
	role := pods("w", 4, 8)
	role.MinCount = 2
	r := Request{Root: whole(Ring, role)}
	s := estimateFabric(t)
	cases := map[string]struct {
		snapshot *Snapshot
		nodes    []string
		want     float64
	}{
		"two pods have room in a leaf":               {s, []string{"n1", "n5"}, 3200},
		"four pods need two leaves":                  {s, []string{"n1", "n3", "n5", "n7"}, 2400},
		"what others hold does not count":            {s.With(Use{Node: "n1", Resources: Resources{gpu: 8}}), []string{"n3", "n5"}, 3200},
		"a gang that sits better than Place puts it": {s, []string{"n1", "n2"}, 3200},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Estimate(tc.snapshot, r, &Placement{Roles: []RolePlacement{at("w", tc.nodes...)}}); got.Best != tc.want {
				t.Errorf("the best is %v, want %v: %+v", got.Best, tc.want, got)
			}
		})
	}
}

// What is no placement for the request has no estimate.
func TestEstimateRefuses(t *testing.T) {
	r := Request{Root: Group{Roles: []Role{pods("a", 2, 8)}, Groups: []Group{{Name: "g", Copies: 4, MinCopies: 2, Roles: []Role{pods("b", 1, 8)}}}}}
	sound := []RolePlacement{at("a", "n1", "n2"), at("b", "n3", "n4")}
	if got := Estimate(estimateFabric(t), r, &Placement{Roles: sound}); !got.Known {
		t.Fatalf("a sound placement has no estimate: %+v", got)
	}
	cases := map[string]struct {
		request Request
		roles   []RolePlacement
	}{
		"a role is missing":             {r, sound[:1]},
		"no roles":                      {r, nil},
		"a role too many":               {r, append(slices.Clone(sound), at("c", "n5"))},
		"a role of another name":        {r, []RolePlacement{sound[0], at("c", "n3", "n4")}},
		"fewer pods than allowed":       {r, []RolePlacement{at("a", "n1"), sound[1]}},
		"fewer copies than allowed":     {r, []RolePlacement{sound[0], at("b", "n3")}},
		"more copies than asked for":    {r, []RolePlacement{sound[0], at("b", "n3", "n4", "n5", "n6", "n7")}},
		"a node that does not exist":    {r, []RolePlacement{sound[0], at("b", "n3", "gone")}},
		"a request that makes no sense": {Request{Root: Group{Copies: 2, Roles: []Role{pods("a", 1, 8)}}}, []RolePlacement{at("a", "n1", "n2")}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Bandwidth{}, Estimate(estimateFabric(t), tc.request, &Placement{Roles: tc.roles})); diff != "" {
				t.Errorf("Estimate() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEstimateCountsDevices(t *testing.T) {
	cases := map[string]struct {
		asks    Resources
		islands map[string][]int64
		want    float64
	}{
		// Eight devices on each of two nodes: 8*8/15 leave a node.
		"one adapter per device":                       {Resources{gpu: 8, "rdma/fabric0": 1, "rdma/fabric1": 1}, nil, 3200 * 15.0 / 64},
		"more adapters than devices, and islands told": {Resources{gpu: 8, "example.com/efa": 32}, map[string][]int64{gpu: {4, 4}}, 3200 * 15.0 / 64},
		"equal numbers: the first by name":             {Resources{"rdma/ib": 8, gpu: 8}, nil, 3200 * 15.0 / 64},
		"islands of two kinds: the more frequent one":  {Resources{gpu: 8, "b.com/x": 1}, map[string][]int64{gpu: {4, 4}, "b.com/x": {1}}, 3200 * 15.0 / 64},
		"a device that is not asked for":               {Resources{gpu: 0, "b.com/x": 8}, map[string][]int64{gpu: {4, 4}}, 3200 * 15.0 / 64},
		"bytes and millicores are no devices":          {Resources{"cpu": 1000, "memory": 1 << 30}, nil, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			role := Role{Name: "w", Count: 2, Shape: Shape{Resources: tc.asks}}
			s := estimateFabric(t, func(n *Node) { n.Islands, n.Capacity = tc.islands, Resources{gpu: 8, "b.com/x": 8} })
			got := Estimate(s, Request{Root: whole(AllToAll, role)}, &Placement{Roles: []RolePlacement{at("w", "n1", "n2")}})
			if got.Bus != tc.want {
				t.Errorf("the estimate is %v, want %v", got.Bus, tc.want)
			}
		})
	}
}

// What an estimate costs for a gang of 512 pods on 10,240 nodes.
func BenchmarkEstimate(b *testing.B) {
	domains := []topology.Vertex{{Name: "f", Level: topology.Fabric}}
	var nodes []Node
	for leaf := range 320 {
		name, block := fmt.Sprintf("l%d", leaf), fmt.Sprintf("b%d", leaf/16)
		if leaf%16 == 0 {
			domains = append(domains, topology.Vertex{Name: block, Level: topology.Block, Parent: "f", UplinkGbps: 25600})
		}
		domains = append(domains, topology.Vertex{Name: name, Level: topology.Leaf, Parent: block, UplinkGbps: 25600})
		for n := range 32 {
			nodes = append(nodes, rails(fmt.Sprintf("n%d-%d", leaf, n), name))
		}
	}
	s, err := NewSnapshot(domains, nodes)
	if err != nil {
		b.Fatal(err)
	}
	for _, pattern := range []Pattern{Ring, Tree, AllToAll, Pipeline, PrefillDecode} {
		b.Run(string(pattern), func(b *testing.B) {
			r := Request{Root: Group{Pattern: pattern, Groups: []Group{{Name: "tp", Copies: 64, Preferred: topology.Leaf, Roles: []Role{pods("w", 8, 8)}}}}}
			v := Place(s, r)
			b.ReportAllocs()
			for b.Loop() {
				Estimate(s, r, v.Placement)
			}
		})
	}
}
