package queueing

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestDefragment(t *testing.T) {
	// Three nodes in leaf0, two in leaf1.
	half := func(name, node string, more ...func(*Running)) Running {
		return runsWith(4, name, []string{node}, more...)
	}
	cases := map[string]struct {
		gang    Gang
		running []Running
		moves   int
		want    string
	}{
		"it fits anyway":         {waits("new", 1), []Running{half("a", "n0")}, 8, ""},
		"two halves join":        {waits("new", 4), []Running{half("a", "n0"), half("b", "n1")}, 8, "a>n1"},
		"the fewest devices":     {waits("new", 4), []Running{runsWith(5, "a", []string{"n0"}), runsWith(3, "b", []string{"n1"})}, 8, "b>n0"},
		"not a fixed one":        {waits("new", 4), []Running{half("a", "n0"), half("b", "n1", fixed)}, 8, "a>n1"},
		"no fixed one":           {waits("new", 4), []Running{half("a", "n0", fixed), half("b", "n1", fixed)}, 8, ""},
		"not one that stops":     {waits("new", 4), []Running{half("a", "n0", stopping), half("b", "n1", stopping)}, 8, ""},
		"no room for them":       {waits("new", 5), []Running{half("a", "n0"), half("b", "n1")}, 8, ""},
		"out of the leaf":        {waits("new", 3, within(topology.Leaf)), []Running{half("a", "n0"), half("b", "n1")}, 8, "a>n3 b>n3"},
		"one move is not enough": {waits("new", 3, within(topology.Leaf)), []Running{half("a", "n0"), half("b", "n1")}, 1, ""},
		"none allowed":           {waits("new", 4), []Running{half("a", "n0"), half("b", "n1")}, 0, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			moves, ok := Defragment(holding(fleet(8, 3, 2), tc.running), tc.gang, tc.running, tc.moves)
			var got []string
			for _, m := range moves {
				got = append(got, m.Gang+">"+strings.Join(slotsIn(m.To.Roles), "+"))
			}
			if text := strings.Join(got, " "); text != tc.want || ok != (tc.want != "") {
				t.Errorf("Defragment() = %q, %v, want %q", text, ok, tc.want)
			}
		})
	}
}

// Proposed moves leave room for everybody, and no cheaper set of movable gangs of
// the domain does so.
func TestDefragmentAgainstBruteForce(t *testing.T) {
	cases := 3000
	if testing.Short() {
		cases = 600
	}
	found, dearer, missed := 0, 0, 0
	for seed := range uint64(cases) {
		s, g, running := crowd(rand.New(rand.NewPCG(seed, 5)), 7)
		if placement.Place(s, g.Request).Placement != nil {
			continue
		}
		var movable []int
		for i, r := range running {
			if r.Movable {
				movable = append(movable, i)
			}
		}
		best, possible := cheapestSet(movable, func(set []int) (price, bool) {
			p := price{gangs: len(set)}
			after := s
			joint := g.Request
			joint.Root = placement.Group{Groups: []placement.Group{named("new", g.Request.Root)}}
			for _, i := range set {
				p.lost += devices(running[i].Uses)
				after = after.With(returned(running[i].Uses)...)
				joint.Root.Groups = append(joint.Root.Groups, named(running[i].Name, running[i].Request.Root))
			}
			return p, placement.Place(after, joint).Placement != nil
		})
		moves, ok := Defragment(s, g, running, len(running))
		if ok && !possible {
			t.Fatalf("case %d: moves where none are possible", seed)
		}
		if !ok {
			if possible {
				missed++
			}
			continue
		}
		found++
		var moved float64
		after := s
		byName := map[string]Running{}
		for _, r := range running {
			byName[r.Name] = r
		}
		for _, m := range moves {
			moved += devices(byName[m.Gang].Uses)
			after = after.With(returned(byName[m.Gang].Uses)...)
		}
		for _, m := range moves {
			uses := Uses(byName[m.Gang].Request, m.To.Roles)
			if !fits(after, uses) {
				t.Fatalf("case %d: no room for %s", seed, m.Gang)
			}
			after = after.With(uses...)
		}
		if placement.Place(after, g.Request).Placement == nil {
			t.Fatalf("case %d: the gang still does not fit", seed)
		}
		if moved > best.lost {
			dearer++
		}
	}
	t.Logf("%d proposals, %d with more devices than needed; %d not found although they exist", found, dearer, missed)
	if found < cases/50 || missed > found/5 || dearer > found/5 {
		t.Errorf("%d found, %d missed, %d dearer", found, missed, dearer)
	}
}

// named makes a group of a whole gang, with names of its own.
func named(name string, g placement.Group) placement.Group {
	g.Name = name + g.Name
	roles := g.Roles
	g.Roles = nil
	for _, r := range roles {
		r.Name = name + r.Name
		g.Roles = append(g.Roles, r)
	}
	groups := g.Groups
	g.Groups = nil
	for _, inner := range groups {
		g.Groups = append(g.Groups, named(name, inner))
	}
	return g
}

func TestFragmentation(t *testing.T) {
	// Four nodes of 8 devices in two leaves.
	empty := fleet(8, 2, 2)
	use := func(devices int64, nodes ...string) []placement.Use {
		var out []placement.Use
		for _, n := range nodes {
			out = append(out, placement.Use{Node: n, Resources: placement.Resources{gpu: devices}})
		}
		return out
	}
	one, whole := placement.Resources{gpu: 1}, placement.Resources{gpu: 8}
	cases := map[string]struct {
		snapshot *placement.Snapshot
		pod      placement.Resources
		pods     int
		level    topology.Level
		want     float64
	}{
		"an empty fleet":                     {empty, whole, 1, topology.Node, 0},
		"a full fleet":                       {empty.With(use(8, "n0", "n1", "n2", "n3")...), whole, 1, topology.Node, 0},
		"half of every node":                 {empty.With(use(4, "n0", "n1", "n2", "n3")...), whole, 1, topology.Node, 1},
		"half of every node, for small pods": {empty.With(use(4, "n0", "n1", "n2", "n3")...), one, 1, topology.Node, 0},
		"one node of each leaf":              {empty.With(use(8, "n0", "n2")...), whole, 2, topology.Leaf, 1},
		"one leaf":                           {empty.With(use(8, "n0", "n1")...), whole, 2, topology.Leaf, 0},
		"a node beside a leaf":               {empty.With(use(8, "n0")...), whole, 2, topology.Leaf, 1 - 2.0/3},
		"the cluster is one domain":          {empty.With(use(8, "n0", "n2")...), whole, 2, topology.Cluster, 0},
		"no pods at a time are one":          {empty.With(use(8, "n0", "n2")...), whole, 0, topology.Leaf, 0},
		"pods without devices":               {empty, placement.Resources{"cpu": 1}, 1, topology.Node, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Fragmentation(tc.snapshot, append(nodesOf(4), "unknown"), tc.pod, tc.pods, tc.level); math.Abs(got-tc.want) > 1e-12 {
				t.Errorf("Fragmentation() = %v, want %v", got, tc.want)
			}
		})
	}
}
