package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// tooMany is more pods than any fleet has.
const tooMany = 1 << 31

// root is a sound request of one pod with a change.
func root(change func(g *placement.Group)) placement.Request {
	r := within(0, pods("r", 1, 1))
	change(&r.Root)
	return r
}

// inside is a sound request of two copies with a change of their group.
func inside(change func(g *placement.Group)) placement.Request {
	r := copies(0, 2, 0, pods("r", 1, 1))
	change(&r.Root.Groups[0])
	return r
}

// shaped is a sound request with a change of what its pods need.
func shaped(change func(s *placement.Shape)) placement.Request {
	return root(func(g *placement.Group) { change(&g.Roles[0].Shape) })
}

// selecting is a request with one requirement.
func selecting(r placement.Requirement) placement.Request {
	return shaped(func(s *placement.Shape) { s.Selector = []placement.Term{{r}} })
}

// nested is a request of that depth, with n copies at every step.
func nested(depth, n int) placement.Request {
	g := placement.Group{Name: "g", Copies: n, Roles: []placement.Role{pods("r", n, 1)}}
	for range depth - 1 {
		g = placement.Group{Name: "g", Copies: n, Groups: []placement.Group{g}}
	}
	g.Copies = 1
	return placement.Request{Root: g}
}

// manyRoles is a request of that many roles.
func manyRoles(n int) placement.Request {
	return root(func(g *placement.Group) {
		g.Roles = nil
		for i := range n {
			g.Roles = append(g.Roles, pods(fmt.Sprint("r", i), 1, 1))
		}
	})
}

func TestABadRequestIsInvalidAndItsFieldIsNamed(t *testing.T) {
	cases := map[string]struct {
		request placement.Request
		// want begins the verdict: the path of the field.
		want string
	}{
		"no pods":                       {root(func(g *placement.Group) { g.Roles[0].Count = 0 }), "roles[r].count: "},
		"2^31 pods":                     {root(func(g *placement.Group) { g.Roles[0].Count = tooMany }), "roles[r].count: "},
		"as many pods as there are":     {root(func(g *placement.Group) { g.Roles[0].Count = math.MaxInt }), "roles[r].count: "},
		"a negative number of pods":     {root(func(g *placement.Group) { g.Roles[0].Count = math.MinInt }), "roles[r].count: "},
		"no role":                       {root(func(g *placement.Group) { g.Roles = nil }), "roles: "},
		"a group without a role":        {inside(func(g *placement.Group) { g.Roles = nil }), "groups[copy].roles: "},
		"a role without a name":         {root(func(g *placement.Group) { g.Roles[0].Name = "" }), "roles[0].name: "},
		"a group without a name":        {inside(func(g *placement.Group) { g.Name = "" }), "groups[0].name: "},
		"two roles of one name":         {root(func(g *placement.Group) { g.Roles = append(g.Roles, g.Roles[0]) }), "roles[r].name: "},
		"65 roles":                      {manyRoles(65), "roles[r64].name: "},
		"a million roles":               {manyRoles(1 << 20), "roles[r64].name: "},
		"depth 5":                       {nested(5, 1), "groups[g].groups[g].groups[g].groups: "},
		"depth 50":                      {nested(50, 1), "groups[g].groups[g].groups[g].groups: "},
		"depth 100000":                  {nested(100000, 1), "groups[g].groups[g].groups[g].groups: "},
		"2^31 copies":                   {inside(func(g *placement.Group) { g.Copies = tooMany }), "groups[copy].copies: "},
		"as many copies as there are":   {inside(func(g *placement.Group) { g.Copies = math.MaxInt }), "groups[copy].copies: "},
		"a negative number of copies":   {inside(func(g *placement.Group) { g.Copies = -1 }), "groups[copy].copies: "},
		"copies of the root":            {root(func(g *placement.Group) { g.Copies = 2 }), "copies: "},
		"2^31 copies at least":          {inside(func(g *placement.Group) { g.MinCopies = tooMany }), "groups[copy].minCopies: "},
		"more copies at least than all": {inside(func(g *placement.Group) { g.MinCopies = 3 }), "groups[copy].minCopies: "},
		"a product of copies that overflows": {
			nested(4, placement.MaxPods), "groups[g].groups[g].copies: "},
		"a product of copies and pods that overflows": {
			inside(func(g *placement.Group) { g.Copies, g.Roles[0].Count = placement.MaxPods, placement.MaxPods }), "groups[copy].roles[r].count: "},
		"a sum of roles that overflows": {
			root(func(g *placement.Group) {
				g.Roles[0].Count = placement.MaxPods
				g.Roles = append(g.Roles, pods("s", 1, 1))
			}), "roles[s].count: "},
		"2^31 spares":             {root(func(g *placement.Group) { g.Roles[0].Spares = tooMany }), "roles[r].spares: "},
		"negative spares":         {root(func(g *placement.Group) { g.Roles[0].Spares = -1 }), "roles[r].spares: "},
		"more at least than all":  {root(func(g *placement.Group) { g.Roles[0].MinCount = tooMany }), "roles[r].minCount: "},
		"a negative least":        {root(func(g *placement.Group) { g.Roles[0].MinCount = math.MinInt }), "roles[r].minCount: "},
		"a least count in copies": {inside(func(g *placement.Group) { g.Roles[0].MinCount = 1 }), "groups[copy].roles[r].minCount: "},
		"preferred wider than required": {
			inside(func(g *placement.Group) { g.Required, g.Preferred = topology.Leaf, topology.Block }), "groups[copy].preferred: "},
		"a level that does not exist":           {root(func(g *placement.Group) { g.Required = topology.Node + 1 }), "required: "},
		"a negative level":                      {root(func(g *placement.Group) { g.Required = -1 }), "required: "},
		"a preferred level that does not exist": {root(func(g *placement.Group) { g.Preferred = 127 }), "preferred: "},
		"an unknown pattern":                    {root(func(g *placement.Group) { g.Pattern = "Star" }), "pattern: "},
		"a negative resource":                   {shaped(func(s *placement.Shape) { s.Resources[gpu] = -1 }), "roles[r].shape.resources[x.io/gpu]: "},
		"the most negative resource":            {shaped(func(s *placement.Shape) { s.Resources[gpu] = math.MinInt64 }), "roles[r].shape.resources[x.io/gpu]: "},
		"a class named twice":                   {shaped(func(s *placement.Shape) { s.Classes = []string{"h", "h"} }), "roles[r].shape.classes[1]: "},
		"a class without a name":                {shaped(func(s *placement.Shape) { s.Classes = []string{""} }), "roles[r].shape.classes[0]: "},
		"a requirement without a key":           {selecting(placement.Requirement{Op: "Exists"}), "roles[r].shape.selector[0][0].key: "},
		"a requirement of a long number":        {selecting(placement.Requirement{Key: "a", Op: "Gt", Values: []string{strings.Repeat("9", 1<<20)}}), "roles[r].shape.selector[0][0].values: "},
		"a requirement without values":          {selecting(placement.Requirement{Key: "a", Op: "In"}), "roles[r].shape.selector[0][0].values: "},
		"an unknown operator":                   {selecting(placement.Requirement{Key: "a", Op: "~"}), "roles[r].shape.selector[0][0].op: "},
		"an unknown field":                      {selecting(placement.Requirement{Key: "spec.x", Op: "In", Values: []string{"a"}, Field: true}), "roles[r].shape.selector[0][0].key: "},
		"an unknown effect":                     {shaped(func(s *placement.Shape) { s.Tolerations = []placement.Toleration{{Key: "a", Effect: "x"}} }), "roles[r].shape.tolerations[0].effect: "},
	}
	s := snapshot(t, Random(1))
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := placement.Place(s, tc.request)
			if !strings.HasPrefix(v.Invalid, tc.want) || tc.want == "" || v.Placement != nil || v.Refusal != nil {
				t.Errorf("Place() = %+v, want it invalid with %q", v, tc.want)
			}
			if len(v.Invalid) > 4096 {
				t.Errorf("the verdict has %d characters", len(v.Invalid))
			}
		})
	}
}

// What is large and sound is answered, in time that its size bounds.
func TestALargeRequestIsAnswered(t *testing.T) {
	figures := func(n int) placement.Resources {
		out := placement.Resources{}
		for i := range n {
			out[fmt.Sprintf("x.io/r%d", i)] = math.MaxInt64
		}
		return out
	}
	names := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprint("name", i))
		}
		return out
	}
	requirements := func(n int) placement.Term {
		out := placement.Term{}
		for range n {
			out = append(out, placement.Requirement{Key: "zone", Op: "NotIn", Values: []string{"x"}})
		}
		return out
	}
	cases := map[string]struct {
		request placement.Request
		// want is "placed", "refused" or the beginning of what is invalid.
		want string
	}{
		"the most pods":                    {root(func(g *placement.Group) { g.Roles[0].Count = placement.MaxPods }), "refused"},
		"the most pods that ask for all":   {root(func(g *placement.Group) { g.Roles[0] = pods("r", placement.MaxPods, math.MaxInt64) }), "refused"},
		"the most pods of nothing":         {root(func(g *placement.Group) { g.Roles[0] = pods("r", placement.MaxPods, 0) }), "placed"},
		"64 roles":                         {manyRoles(placement.MaxRoles), "refused"},
		"the most copies":                  {inside(func(g *placement.Group) { g.Copies = placement.MaxPods }), "refused"},
		"the most sizes":                   {inside(func(g *placement.Group) { g.Copies, g.MinCopies = placement.MaxPods, 1 }), "placed"},
		"depth 4":                          {nested(4, 1), "placed"},
		"a nested level that is wider":     {copies(topology.Node, 2, topology.Fabric, pods("r", 1, 1)), "placed"},
		"a term of a million requirements": {shaped(func(s *placement.Shape) { s.Selector = []placement.Term{requirements(1 << 20)} }), "placed"},
		"a million terms": {shaped(func(s *placement.Shape) {
			s.Selector = slices.Repeat([]placement.Term{{{Key: "zone", Op: "Exists"}}}, 1<<20)
		}), "refused"},
		"a term without requirements": {shaped(func(s *placement.Shape) { s.Selector = []placement.Term{{}} }), "refused"},
		"a million values":            {selecting(placement.Requirement{Key: "zone", Op: "In", Values: names(1 << 20)}), "refused"},
		"a million tolerations": {shaped(func(s *placement.Shape) {
			s.Tolerations = slices.Repeat([]placement.Toleration{{Key: "a", Operator: "Exists"}}, 1<<20)
		}), "placed"},
		"a name of a megabyte": {root(func(g *placement.Group) { g.Roles[0].Name = strings.Repeat("r", 1<<20) }), "placed"},
		"20000 classes":        {shaped(func(s *placement.Shape) { s.Classes = names(20000) }), "roles[r].shape.classes: "},
		"300 resources":        {shaped(func(s *placement.Shape) { s.Resources = figures(300) }), "roles[r].shape.resources: "},
		"300 resources, two roles": {root(func(g *placement.Group) {
			g.Roles[0].Shape.Resources = figures(300)
			g.Roles = append(g.Roles, pods("s", 1, 1))
		}), "roles[r].shape.resources: "},
	}
	c := blocks(placement.Request{}, 2, 2, 4, 4, 2)
	s := snapshot(t, c)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := placement.Place(s, tc.request)
			got := v.Invalid
			switch {
			case v.Placement != nil:
				got = "placed"
			case v.Refusal != nil:
				got = "refused"
			}
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("Place() says %.200q, want %q", got, tc.want)
			}
		})
	}
}

func TestABadFleetIsRefusedAndItsEntryIsNamed(t *testing.T) {
	domain := func(name string, level topology.Level, parent string) topology.Vertex {
		return topology.Vertex{Name: name, Level: level, Parent: parent}
	}
	ring := []topology.Vertex{domain("a", topology.Fabric, "c"), domain("b", topology.Block, "a"), domain("c", topology.Leaf, "b")}
	node := func(change func(n *placement.Node)) Case {
		n := placement.Node{Name: "n", Capacity: placement.Resources{gpu: 8}}
		change(&n)
		return Case{Nodes: []placement.Node{n}}
	}
	var chain Case
	for i := range 1 << 16 {
		chain.Domains = append(chain.Domains, domain(fmt.Sprint("d", i), topology.Leaf, fmt.Sprint("d", i+1)))
	}
	cases := map[string]struct {
		c    Case
		want []string
	}{
		"domains in a ring":            {Case{Domains: ring}, []string{"domain a", "parent c"}},
		"a domain in itself":           {Case{Domains: []topology.Vertex{domain("a", topology.Leaf, "a")}}, []string{"domain a"}},
		"a long chain of equal levels": {chain, []string{"domain d0", "parent d1"}},
		"a domain twice":               {Case{Domains: []topology.Vertex{domain("a", topology.Leaf, ""), domain("a", topology.Leaf, "")}}, []string{"domain a", "twice"}},
		"a domain without a parent":    {Case{Domains: []topology.Vertex{domain("a", topology.Leaf, "b")}}, []string{"domain a", "parent b"}},
		"a domain without a name":      {Case{Domains: []topology.Vertex{domain("", topology.Leaf, "")}}, []string{"no name"}},
		"a domain of no level":         {Case{Domains: []topology.Vertex{domain("a", 99, "")}}, []string{"domain a", "level"}},
		"a negative uplink":            {Case{Domains: []topology.Vertex{{Name: "a", Level: topology.Leaf, UplinkGbps: math.MinInt64}}}, []string{"domain a", "uplink"}},
		"a node twice":                 {Case{Nodes: []placement.Node{{Name: "n"}, {Name: "m"}, {Name: "n"}}}, []string{"node n", "twice"}},
		"a node twice, in two domains": {
			Case{Domains: []topology.Vertex{domain("a", topology.Leaf, "")}, Nodes: []placement.Node{{Name: "n"}, {Name: "n", Domain: "a"}}},
			[]string{"node n", "twice"}},
		"a node without a name":      {node(func(n *placement.Node) { n.Name = "" }), []string{"no name"}},
		"a node in no known domain":  {node(func(n *placement.Node) { n.Domain = "x" }), []string{"node n", "domain x"}},
		"a negative capacity":        {node(func(n *placement.Node) { n.Capacity[gpu] = math.MinInt64 }), []string{"node n", gpu}},
		"a negative use":             {node(func(n *placement.Node) { n.Used = placement.Resources{gpu: -1} }), []string{"node n", gpu}},
		"a negative island":          {node(func(n *placement.Node) { n.Islands = map[string][]int64{gpu: {4, -4}} }), []string{"node n", gpu}},
		"an island beyond its bound": {node(func(n *placement.Node) { n.Islands = map[string][]int64{gpu: {1 << 40}} }), []string{"node n", gpu}},
		"too many islands": {
			node(func(n *placement.Node) {
				n.Islands = map[string][]int64{gpu: make([]int64, placement.MaxIslands+1)}
			}), []string{"node n", gpu}},
		"a negative bandwidth of its adapters": {node(func(n *placement.Node) { n.NICGbps = -1 }), []string{"node n", "bandwidth"}},
		"a negative bandwidth of its links":    {node(func(n *placement.Node) { n.LinkGbps = -1 }), []string{"node n", "bandwidth"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := tc.c.Snapshot()
			if err == nil || s != nil {
				t.Fatalf("NewSnapshot() = %v, %v, want an error", s, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("NewSnapshot() says %q, want %q in it", err, want)
				}
			}
			// A State takes no node that a snapshot would not take.
			state, err := placement.NewState(tc.c.Domains)
			for i := 0; err == nil && i < len(tc.c.Nodes); i++ {
				err = state.SetNode(tc.c.Nodes[i])
			}
			if err == nil && !strings.HasPrefix(name, "a node twice") {
				t.Error("a State takes it")
			}
		})
	}
}

// Figures at the ends of their range do not wrap around.
func TestTheLargestFiguresDoNotOverflow(t *testing.T) {
	huge := placement.Resources{gpu: math.MaxInt64, nic: math.MaxInt64, cpu: math.MaxInt64, "pods": math.MaxInt64}
	none := placement.Resources{}
	node := func(name string, used placement.Resources) placement.Node {
		return placement.Node{Name: name, Capacity: huge, Used: used}
	}
	s := snapshot(t, Case{Nodes: []placement.Node{node("a", none), node("b", huge), node("c", placement.Resources{gpu: 1})}})
	role := func(name string, count int, amount int64) placement.Role {
		r := pods(name, count, amount)
		r.Shape.Resources[nic] = amount
		return r
	}
	cases := map[string]struct {
		request placement.Request
		placed  bool
	}{
		"all of a node":                    {within(0, role("r", 1, math.MaxInt64)), true},
		"all of two nodes":                 {within(0, role("r", 2, math.MaxInt64)), false},
		"two halves of a node":             {within(topology.Node, role("r", 2, math.MaxInt64/2)), true},
		"three halves of two nodes":        {within(0, role("r", 3, math.MaxInt64/2)), true},
		"two roles that have a node each":  {within(0, role("r", 1, math.MaxInt64), role("s", 1, math.MaxInt64-1)), true},
		"two roles, one with little":       {within(0, role("r", 1, math.MaxInt64), role("s", 2, math.MaxInt64/2)), true},
		"more than there is, in many pods": {within(0, role("r", placement.MaxPods, math.MaxInt64/1000)), false},
		"as many pods as can be":           {within(0, role("r", placement.MaxPods, math.MaxInt64/placement.MaxPods)), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := placement.Place(s, tc.request)
			if v.Invalid != "" || (v.Placement != nil) != tc.placed {
				t.Errorf("Place() = %+v %+v, want it placed: %v", v.Placement, v.Refusal, tc.placed)
			}
		})
	}
	taken := s.With(placement.Use{Node: "a", Resources: huge}, placement.Use{Node: "a", Resources: huge},
		placement.Use{Node: "c", Resources: placement.Resources{gpu: math.MinInt64}})
	if v := placement.Place(taken, within(0, role("r", 1, math.MaxInt64))); v.Placement == nil || v.Placement.Roles[0].Nodes[0] != "c" {
		t.Errorf("Place() = %+v %+v, want it on c", v.Placement, v.Refusal)
	}
}
