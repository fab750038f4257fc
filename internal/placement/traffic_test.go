package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// In every tree each vertex reaches the root, has at most two children, and the
// second tree's leaves are not those of the first.
func TestTwoTrees(t *testing.T) {
	for n := 2; n < 130; n++ {
		children, again := make([]int, n), make([]int, n)
		for i := 1; i < n; i++ {
			steps := 0
			for v := i; v != 0; v = parentInTree(v, n) {
				if steps++; steps > 9 {
					t.Fatalf("of %d: %d does not reach the root", n, i)
				}
			}
			children[parentInTree(i, n)]++
			again[inSecondTree(parentInTree(i, n), n)]++
		}
		for i := range n {
			if children[i] > 2 || again[i] > 2 || (children[i] > 1 && again[i] > 1) {
				t.Errorf("of %d: %d has %d and %d children", n, i, children[i], again[i])
			}
		}
	}
}

// Ranks follow the fabric: the ring of a role leaves each of the k domains of a
// level that hold it once, so that it crosses k links, whatever is free.
func TestRingsLeaveDomainsOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // A test wants the same fabrics every time.
	placed := 0
	for range 300 {
		s := occupied(random, estimateFabric(t))
		copies := 1 + random.IntN(4)
		r := Request{Root: Group{
			Roles: []Role{pods("a", 1+random.IntN(6), 1+random.Int64N(4))},
			Groups: []Group{{
				Name: "g", Copies: copies, Preferred: topology.Levels[1+random.IntN(4)],
				Roles: []Role{pods("b", 1+random.IntN(3), 1+random.Int64N(4)), pods("c", 1+random.IntN(2), 1)},
			}},
		}}
		v := Place(s, r)
		if v.Placement == nil {
			continue
		}
		placed++
		for _, role := range v.Placement.Roles {
			for domain, leaves := range leavings(s, role.Nodes) {
				if leaves > 1 {
					t.Fatalf("the ring of %s leaves %s %d times: %v", role.Name, domain, leaves, role.Nodes)
				}
			}
		}
	}
	if placed < 100 {
		t.Errorf("only %d gangs were placed, which shows little", placed)
	}
}

// occupied takes random devices.
func occupied(random *rand.Rand, s *Snapshot) *Snapshot {
	var uses []Use
	for _, name := range []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "t1", "t2", "t3", "t4", "far"} {
		n, _ := s.Node(name)
		uses = append(uses, Use{Node: name, Resources: Resources{gpu: random.Int64N(n.Capacity[gpu] + 1)}})
	}
	return s.With(uses...)
}

// leavings counts how often the ring through the nodes leaves each domain.
func leavings(s *Snapshot, nodes []string) map[string]int {
	around := func(node string) []string {
		out := []string{node}
		for _, v := range s.Above(node) {
			out = append(out, v.Name)
		}
		return out
	}
	out := map[string]int{}
	for i, node := range nodes {
		next := around(nodes[(i+1)%len(nodes)])
		for _, domain := range around(node) {
			if !slices.Contains(next, domain) {
				out[domain]++
			}
		}
	}
	return out
}

// A pair that prefers a leaf shares one wherever each leaf has room for a pair.
func TestPrefillDecodePairsLandNear(t *testing.T) {
	pair := Group{Name: "pair", Copies: 4, Pattern: PrefillDecode, Preferred: topology.Leaf, Roles: []Role{pods("p", 1, 8), pods("d", 1, 8)}}
	s := estimateFabric(t, func(n *Node) {
		if n.Name[0] == 't' || n.Name == "far" {
			n.Unavailable = "not of this test"
		}
	})
	r := Request{Root: Group{Groups: []Group{pair}}}
	v := Place(s, r)
	if v.Placement == nil {
		t.Fatalf("not placed: %+v", v)
	}
	for i, prefill := range v.Placement.Roles[0].Nodes {
		decode := v.Placement.Roles[1].Nodes[i]
		if a, b := s.Above(prefill)[0], s.Above(decode)[0]; a != b {
			t.Errorf("pair %d is in %s and %s", i, a.Name, b.Name)
		}
	}
	want := []GroupRate{{"pair", rate(400, topology.Node, "n1")}}
	if diff := cmp.Diff(want, Estimate(s, r, v.Placement).Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}
