package oracle

import (
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// The oracle's own oracle: every node for every slot, kept when the check finds
// nothing wrong.
func TestTheSolverAgreesWithEveryAssignment(t *testing.T) {
	tried, fit := 0, 0
	for seed := uint64(0); tried < 1500; seed++ {
		c := Random(seed)
		g := newGang(&c.Request.Root, size{}, nil)
		if len(classChoices(g)) > 1 || sizesOf(&c.Request.Root) > 0 || power(len(c.Nodes), g.slots(0)) > 700 {
			continue
		}
		tried++
		f := newFleet(c)
		for i := range g.roles {
			if classes := g.roles[i].in.Shape.Classes; len(classes) > 0 {
				g.roles[i].class = classes[0]
			}
		}
		exists, fewestDomains := everyAssignment(c, f, g)
		s := &solver{}
		if !s.prepare(f, g) {
			t.Fatalf("seed %d is too large", seed)
		}
		if got := s.holds(); got != exists {
			t.Fatalf("seed %d: the solver says %v, every assignment says %v", seed, got, exists)
		}
		if got := s.solve(fewest, 0, len(f.nodes)); exists && got != fewestDomains {
			t.Fatalf("seed %d: the fewest domains are %x, every assignment says %x", seed, -got, -fewestDomains)
		}
		if got := s.solve(most, 0, len(f.nodes)) == g.slots(0); got != exists && g.groups[0].level == topology.Cluster {
			t.Fatalf("seed %d: all slots have room is %v, every assignment says %v", seed, got, exists)
		}
		if exists {
			fit++
		}
	}
	if fit < tried/5 || fit > tried*4/5 {
		t.Errorf("%d of %d cases fit: they say little", fit, tried)
	}
}

func power(base, exponent int) int {
	out := 1
	for range exponent {
		if out *= base; out > 1<<20 {
			break
		}
	}
	return out
}

// everyAssignment counts through all nodes of all slots.
func everyAssignment(c Case, f *fleet, g *gang) (exists bool, fewestDomains int) {
	fewestDomains = impossible
	slots := make([]int, g.slots(0))
	for {
		p := &placement.Placement{}
		rest := slots
		take := func(n int) []string {
			var out []string
			for _, i := range rest[:n] {
				out = append(out, f.nodes[i].Name)
			}
			rest = rest[n:]
			return out
		}
		for _, r := range g.roles {
			total := g.groups[r.group].total
			p.Roles = append(p.Roles, placement.RolePlacement{
				Name: r.in.Name, Class: r.class, Nodes: take(r.count * total), Spares: take(r.in.Spares * total),
			})
		}
		if _, problem := check(c, f, p); problem == "" {
			exists, fewestDomains = true, max(fewestDomains, -f.byLevel(slots))
		}
		i := 0
		for ; i < len(slots); i++ {
			if slots[i]++; slots[i] < len(f.nodes) {
				break
			}
			slots[i] = 0
		}
		if i == len(slots) {
			return exists, fewestDomains
		}
	}
}

// two blocks: a with the leaves a1 (n1 n2) and a2 (n3), b without a leaf (n4), and
// n5 in no fabric. Every node has the GPUs of free.
func blocks(request placement.Request, free ...int64) Case {
	c := Case{Request: request, Domains: []topology.Vertex{
		{Name: "a", Level: topology.Block}, {Name: "a1", Level: topology.Leaf, Parent: "a"},
		{Name: "a2", Level: topology.Leaf, Parent: "a"}, {Name: "b", Level: topology.Block},
	}}
	for i, domain := range []string{"a1", "a1", "a2", "b", ""} {
		c.Nodes = append(c.Nodes, placement.Node{
			Name: "n" + string(rune('1'+i)), Domain: domain, Capacity: placement.Resources{gpu: free[i]},
		})
	}
	return c
}

func pods(name string, count int, gpus int64) placement.Role {
	return placement.Role{Name: name, Count: count, Shape: placement.Shape{Resources: placement.Resources{gpu: gpus}}}
}

func within(level topology.Level, roles ...placement.Role) placement.Request {
	return placement.Request{Root: placement.Group{Required: level, Roles: roles}}
}

func copies(outer topology.Level, n int, inner topology.Level, roles ...placement.Role) placement.Request {
	return placement.Request{Root: placement.Group{Required: outer, Groups: []placement.Group{
		{Name: "copy", Copies: n, Required: inner, Roles: roles},
	}}}
}

func TestTheSolverOnFleetsWorkedOutByHand(t *testing.T) {
	const no = impossible
	cases := map[string]struct {
		c    Case
		fits int
		// fewest is in hexadecimal digits: fabrics, blocks, leaves, NVLink domains, nodes.
		fewest int
		most   int
	}{
		"one pod":                                {blocks(within(0, pods("r", 1, 2)), 2, 2, 2, 2, 2), 0, -0x11111, 1},
		"a leaf is enough":                       {blocks(within(0, pods("r", 4, 1)), 2, 2, 2, 2, 2), 0, -0x11122, 4},
		"a block is enough":                      {blocks(within(0, pods("r", 6, 1)), 2, 2, 2, 2, 2), 0, -0x11233, 6},
		"the fabric above the blocks is missing": {blocks(within(topology.Fabric, pods("r", 7, 1)), 2, 2, 2, 2, 2), no, no, 7},
		"the whole cluster":                      {blocks(within(0, pods("r", 10, 1)), 2, 2, 2, 2, 2), 0, -0x33455, 10},
		"more than the cluster":                  {blocks(within(0, pods("r", 11, 1)), 2, 2, 2, 2, 2), no, no, 10},
		"leaves before nodes":                    {blocks(within(topology.Block, pods("r", 4, 1)), 2, 2, 4, 1, 1), 0, -0x11111, 4},
		"copies in leaves":                       {blocks(copies(0, 3, topology.Leaf, pods("r", 2, 2)), 2, 2, 4, 4, 2), 0, -0x22344, 6},
		"a copy does not cross leaves":           {blocks(copies(0, 2, topology.Leaf, pods("r", 2, 2)), 2, 2, 2, 2, 2), no, no, 2},
		"roles share what is left":               {blocks(within(topology.Leaf, pods("r", 1, 3), pods("s", 3, 1)), 3, 3, 3, 3, 3), 0, -0x11122, 4},
		"spares take room": {blocks(within(topology.Leaf, placement.Role{
			Name: "r", Count: 3, Spares: 2, Shape: pods("", 1, 1).Shape}), 2, 2, 2, 2, 2), no, no, 5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, s := newFleet(tc.c), &solver{}
			if !s.prepare(f, newGang(&tc.c.Request.Root, size{}, nil)) {
				t.Fatal("too large")
			}
			for what, want := range map[goal]int{fits: tc.fits, fewest: tc.fewest, most: tc.most} {
				if got := s.solve(what, 0, len(f.nodes)); got != want {
					t.Errorf("goal %d gives %x, want %x", what, got, want)
				}
			}
		})
	}
}
