package placement

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func gpuUse(node string, n int64) Use {
	return Use{node, Resources{"nvidia.com/gpu": n, "pods": max(-1, min(1, n))}}
}

// stateAB has the nodes a and b of 8 GPUs in leaf x, and c in leaf y.
func stateAB(t *testing.T) *State {
	t.Helper()
	s, err := NewState([]topology.Vertex{dom("x Leaf"), dom("y Leaf")}, machine("a", "x", 0), machine("b", "x", 0), machine("c", "y", 0))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommitTakesOnlyWhatIsStillThere(t *testing.T) {
	cases := map[string]struct {
		// meanwhile happens between the snapshot and the commit.
		meanwhile func(*State)
		uses      []Use
		want      string
	}{
		"nothing happened":                    {uses: []Use{gpuUse("a", 8)}},
		"another node changed":                {meanwhile: func(s *State) { s.Take(gpuUse("b", 8)) }, uses: []Use{gpuUse("a", 8)}},
		"the room is still there":             {meanwhile: func(s *State) { s.Take(gpuUse("a", 4)) }, uses: []Use{gpuUse("a", 4)}},
		"room was given back":                 {meanwhile: func(s *State) { s.Take(gpuUse("a", 4)); s.Take(gpuUse("a", -4)) }, uses: []Use{gpuUse("a", 8)}},
		"the room is gone":                    {meanwhile: func(s *State) { s.Take(gpuUse("a", 4)) }, uses: []Use{gpuUse("a", 5)}, want: "node a has too little nvidia.com/gpu left: the room was taken meanwhile"},
		"two uses of a node need more":        {meanwhile: func(s *State) { s.Take(gpuUse("a", 4)) }, uses: []Use{gpuUse("a", 3), gpuUse("a", 3)}, want: "node a has too little nvidia.com/gpu left: the room was taken meanwhile"},
		"one of several is gone":              {meanwhile: func(s *State) { s.Take(gpuUse("b", 4)) }, uses: []Use{gpuUse("a", 8), gpuUse("b", 8)}, want: "node b has too little nvidia.com/gpu left: the room was taken meanwhile"},
		"the node was cordoned":               {meanwhile: func(s *State) { set(t, s, machine("a", "x", 0, cordoned)) }, uses: []Use{gpuUse("a", 1)}, want: "node a is cordoned: the room was taken meanwhile"},
		"the node was removed":                {meanwhile: func(s *State) { s.RemoveNode("a") }, uses: []Use{gpuUse("a", 1)}, want: "node a is gone: the room was taken meanwhile"},
		"a resource that the node never had":  {meanwhile: func(s *State) { s.Take(gpuUse("a", 1)) }, uses: []Use{{"a", Resources{"example.com/x": 1}}}, want: "node a has too little example.com/x left: the room was taken meanwhile"},
		"a node without a limit of its pods":  {meanwhile: func(s *State) { s.Take(gpuUse("a", 1)) }, uses: []Use{{"a", Resources{"pods": 1 << 40}}}},
		"the node moved and has room as well": {meanwhile: func(s *State) { set(t, s, machine("a", "y", 0)) }, uses: []Use{gpuUse("a", 8)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := stateAB(t)
			generation := s.Snapshot().Generation()
			if tc.meanwhile != nil {
				tc.meanwhile(s)
			}
			before := everything(s.Snapshot())
			err := s.Commit(generation, tc.uses...)
			got := ""
			if err != nil {
				got = err.Error()
				if !errors.Is(err, ErrStale) {
					t.Errorf("the error %v is not ErrStale", err)
				}
				if diff := cmp.Diff(before, everything(s.Snapshot())); diff != "" {
					t.Errorf("a refused commit changes the state (-before +after):\n%s", diff)
				}
			} else if s.now.generation == generation {
				t.Error("a commit is no change")
			}
			if got != tc.want {
				t.Errorf("Commit() = %q, want %q", got, tc.want)
			}
		})
	}
}

func cordoned(n *Node) { n.Unavailable = "cordoned" }

func set(t *testing.T, s *State, n Node) {
	t.Helper()
	if err := s.SetNode(n); err != nil {
		t.Fatal(err)
	}
}

// everything lists the nodes of a snapshot with what is used of them.
func everything(s *Snapshot) []Node {
	var out []Node
	s.root.walk(func(d *domain) {
		for i := range d.members {
			n := s.nodeOf(&d.members[i])
			n.Domain = d.vertex.Name
			out = append(out, n)
		}
	})
	slices.SortFunc(out, func(a, b Node) int { return topology.CompareNatural(a.Name, b.Name) })
	return out
}

// A node that the State has moved or removed is still found in an older snapshot.
func TestAnOlderSnapshotKeepsItsNodes(t *testing.T) {
	s := stateAB(t)
	old := s.Snapshot()
	want := everything(old)
	set(t, s, machine("a", "y", 3))
	s.RemoveNode("b")
	s.Take(gpuUse("c", 5))
	s.Snapshot()
	if diff := cmp.Diff(want, everything(old)); diff != "" {
		t.Errorf("the snapshot changed (-before +after):\n%s", diff)
	}
	if n, found := old.Node("b"); !found || n.Name != "b" {
		t.Errorf("Node(b) = %v, %v in the snapshot from before its removal", n, found)
	}
	if above := old.Above("a"); len(above) != 1 || above[0].Name != "x" {
		t.Errorf("Above(a) = %v in the snapshot from before its move, want leaf x", above)
	}
	if got := Place(old.With(gpuUse("a", 8)), within(0, workers(16, 1))); got.Placement == nil {
		t.Errorf("16 GPUs of b and c are not found in the older snapshot: %+v", got.Refusal)
	}
}

// A selector on a label that nothing has asked for before is answered right at
// once, and nodes are told apart by the label from the next snapshot on.
func TestLabelsAreIndexedWhenARequestSelectsByThem(t *testing.T) {
	var nodes []Node
	for i := range 3000 {
		n := machine(fmt.Sprintf("n%d", i), "", 0)
		n.Labels = map[string]string{"pool": fmt.Sprint(i % 3), "host": n.Name}
		nodes = append(nodes, n)
	}
	s, err := NewState(nil, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) Request {
		return within(0, workers(1000, 8).with(func(r *Role) { r.Shape.Selector = []Term{{{Key: key, Op: "In", Values: []string{value}}}} }))
	}
	for range 3 {
		now := s.Snapshot()
		if v := Place(now, with("pool", "1")); v.Placement == nil {
			t.Fatalf("1,000 machines of the pool are not found: %+v", v.Refusal)
		}
		if v := Place(now, with("host", "n7")); v.Refusal == nil || v.Refusal.Found != 1 {
			t.Fatalf("a selector of one host finds %+v", v)
		}
		s.Take(gpuUse("n0", 1))
		s.Take(gpuUse("n0", -1))
	}
	now := s.Snapshot()
	if diff := cmp.Diff([]string{"pool"}, now.indexed); diff != "" {
		t.Errorf("indexed labels (-want +got):\n%s", diff)
	}
	if n := len(now.root.traits); n != 3 {
		t.Errorf("nodes have %d different traits, want one per pool", n)
	}
}

// What a State remembers of nodes does not grow with the number of changes.
func TestKindsOfThePastAreForgotten(t *testing.T) {
	s := stateAB(t)
	for i := range int64(5 * minKinds) {
		s.Take(Use{"a", Resources{"memory": 1 + i%7}})
		if i%100 == 0 {
			s.Snapshot()
			if n := len(s.now.fleet.kinds.of); n > minKinds+200 {
				t.Fatalf("after %d changes %d kinds of node are remembered", i, n)
			}
			if n := s.now.fleet.kinds.next; n > minKinds+200 {
				t.Fatalf("after %d changes there are %d indexes", i, n)
			}
		}
	}
	if v := Place(s.Snapshot(), within(0, workers(24, 1))); v.Placement == nil {
		t.Errorf("24 GPUs are not found: %+v", v.Refusal)
	}
}

// A view that is asked about one fleet by many gangs at once answers them all.
func TestPlaceOnOneSnapshotAtOnce(t *testing.T) {
	s := fleetOf(512, 0.5)
	want := Place(s, within(topology.Block, workers(40, 8)))
	results := make(chan string)
	for range 8 {
		go func() {
			for range 50 {
				if diff := cmp.Diff(want, Place(s.With(gpuUse("node-1", 1)).With(gpuUse("node-1", -1)), within(topology.Block, workers(40, 8)))); diff != "" {
					results <- diff
					return
				}
			}
			results <- ""
		}()
	}
	for range 8 {
		if diff := <-results; diff != "" {
			t.Errorf("another verdict (-want +got):\n%s", diff)
		}
	}
}

// What a fleet remembers of a request is its own: a caller may change the request
// afterwards.
func TestARequestMayChangeAfterItWasPlaced(t *testing.T) {
	s := stateAB(t)
	request := within(0, workers(3, 8))
	tolerations := []Toleration{{Key: "old", Operator: "Exists"}}
	terms := []Term{{{Key: "pool", Op: "In", Values: []string{"x"}}}}
	shape := &request.Root.Roles[0].Shape
	shape.Tolerations, shape.Selector = tolerations, terms
	pool := func(n *Node) {
		n.Labels = map[string]string{"pool": "x"}
		n.Taints = []Taint{{Key: "old", Effect: "NoSchedule"}}
	}
	for _, name := range []string{"a", "b"} {
		set(t, s, machine(name, "x", 0, pool))
	}
	shape.Resources = Resources{"nvidia.com/gpu": 8}
	request.Root.Roles[0].Count = 2
	for range 2 { // The label is indexed with the second snapshot.
		Place(s.Snapshot(), request)
	}
	tolerations[0].Key, terms[0][0].Values[0] = "new", "y"
	set(t, s, machine("c", "y", 0, pool, func(n *Node) { n.Classes = []string{"unlike a and b"} }))
	now := s.Snapshot()
	tolerations[0].Key, terms[0][0].Values[0] = "old", "x"
	request.Root.Roles[0].Count = 3
	if v := Place(now, request); v.Placement == nil {
		t.Errorf("three machines of the pool are not found: %v", v.Refusal)
	}
}
