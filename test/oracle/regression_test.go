package oracle

import (
	"math"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// The smallest cases of what was wrong once.
func TestWhatWasWrongOnce(t *testing.T) {
	labelled := func(name string, labels map[string]string) placement.Node {
		return placement.Node{Name: name, Capacity: placement.Resources{gpu: 8}, Labels: labels}
	}
	selecting := func(r placement.Role, key, op string, values ...string) placement.Role {
		r.Shape.Selector = []placement.Term{{{Key: key, Op: op, Values: values}}}
		return r
	}
	zones := []placement.Node{labelled("n1", map[string]string{"zone": "a"}), labelled("n2", map[string]string{"zone": "b"})}
	named := []placement.Node{labelled("n1", map[string]string{"metadata.name": "x"}), labelled("n2", nil)}
	cases := map[string]struct {
		nodes   []placement.Node
		request placement.Request
		// want is the node of the first pod.
		want string
	}{
		"a gang of one role selects by a label that no request selected by before": {
			zones, within(0, selecting(pods("r", 1, 1), "zone", "In", "b")), "n2"},
		"a gang of one role that avoids it": {
			zones, within(0, selecting(pods("r", 1, 1), "zone", "NotIn", "a")), "n2"},
		"a gang of two roles that select by it": {
			zones, within(0, selecting(pods("r", 1, 1), "zone", "In", "b"), pods("s", 1, 8)), "n2"},
		"a label is named like the field of the node's name": {
			named, within(0, selecting(pods("r", 1, 1), "metadata.name", "In", "x")), "n1"},
		"a label named like the field, and a node without it": {
			named, within(0, selecting(pods("r", 1, 1), "metadata.name", "DoesNotExist")), "n2"},
		"all of the largest number of pods is taken": {
			[]placement.Node{
				{Name: "n1", Capacity: placement.Resources{gpu: 1, "pods": math.MaxInt64}, Used: placement.Resources{"pods": math.MaxInt64}},
				{Name: "n2", Capacity: placement.Resources{gpu: 8}},
			}, within(0, pods("r", 1, 1)), "n2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := Case{Nodes: tc.nodes, Request: tc.request}
			s := snapshot(t, c)
			// The second answer comes from what the first one has left behind.
			for range 2 {
				v := placement.Place(s, tc.request)
				if v.Placement == nil || v.Placement.Roles[0].Nodes[0] != tc.want {
					t.Fatalf("Place() = %+v %+v, want it on %s", v.Placement, v.Refusal, tc.want)
				}
			}
		})
	}
}

// Which of equal nodes a gang gets depends on what they hold now, and not on what
// happened to them before.
func TestHistoryDoesNotDecideBetweenEquals(t *testing.T) {
	domains := []topology.Vertex{{Name: "d", Level: topology.Leaf}}
	node := func(name string, gpus, nics int64) placement.Node {
		return placement.Node{Name: name, Domain: "d", Capacity: placement.Resources{gpu: gpus, nic: nics}}
	}
	final := []placement.Node{node("n1", 4, 1), node("n2", 2, 4), node("n3", 4, 1), node("n4", 2, 4)}
	request := within(topology.Leaf, pods("r", 3, 2), func() placement.Role {
		r := pods("s", 2, 0)
		r.Shape.Resources[nic] = 2
		return r
	}())
	want := place(t, Case{Domains: domains, Nodes: final, Request: request})
	state, err := placement.NewState(domains)
	if err != nil {
		t.Fatal(err)
	}
	for i := range final {
		// In falling order, and as another kind of node first.
		n := final[len(final)-1-i]
		for _, now := range []placement.Node{node(n.Name, 1, 1), n} {
			if err := state.SetNode(now); err != nil {
				t.Fatal(err)
			}
			placement.Place(state.Snapshot(), request)
		}
	}
	got := placement.Place(state.Snapshot(), request)
	if g, w := got.Placement, want.Placement; g == nil || w == nil || !equalRoles(g.Roles, w.Roles) {
		t.Errorf("a State that changed says %+v, one built anew says %+v", g, w)
	}
}

func equalRoles(a, b []placement.RolePlacement) bool {
	for i := range a {
		for k := range a[i].Nodes {
			if a[i].Nodes[k] != b[i].Nodes[k] {
				return false
			}
		}
	}
	return len(a) == len(b)
}
