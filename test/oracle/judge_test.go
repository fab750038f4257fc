package oracle

import (
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// placedOn is a verdict with one role, and with the quality that its nodes have.
func placedOn(c Case, role string, nodes ...string) placement.Verdict {
	p := &placement.Placement{Roles: []placement.RolePlacement{{Name: role, Nodes: nodes}}}
	f := newFleet(c)
	read, problem := check(c, f, p)
	if problem == "" {
		all := read.slots[0]
		p.Quality.Level, p.Quality.Domain = f.levels[f.common(all)], f.names[f.common(all)]
		p.Quality.Domains[topology.Cluster] = 1
		for level := topology.Fabric; level <= topology.Node; level++ {
			p.Quality.Domains[level] = digit(f.byLevel(all), int(level-topology.Fabric))
		}
		for i := 1; i < len(read.gang.groups); i++ {
			widest := topology.Node
			for n := range read.gang.groups[i].total {
				widest = min(widest, f.levels[f.common(read.nodesOf(i, n))])
			}
			p.Quality.Groups = append(p.Quality.Groups, placement.GroupQuality{Name: read.gang.groups[i].in.Name, Level: widest})
		}
	}
	return placement.Verdict{Placement: p, Proof: placement.Exact}
}

func refused(r placement.Refusal, levels ...placement.LevelBest) placement.Verdict {
	r.Levels = levels
	return placement.Verdict{Refusal: &r, Proof: placement.Exact}
}

func TestJudge(t *testing.T) {
	slices := blocks(copies(0, 2, topology.Leaf, pods("r", 2, 2)), 2, 2, 4, 4, 2)
	pair := blocks(within(topology.Block, pods("r", 2, 2)), 2, 2, 4, 4, 2)
	spread := blocks(within(0, pods("r", 3, 2)), 2, 2, 4, 0, 2)
	tooMuch := blocks(within(topology.Block, pods("r", 5, 2)), 2, 2, 4, 4, 2)
	elastic := blocks(within(topology.Leaf, placement.Role{Name: "r", Count: 4, MinCount: 1, Shape: pods("", 1, 1).Shape}), 2, 1, 1, 1, 1)
	inBlock, inLeaf, onNode := placement.LevelBest{Level: topology.Block, Domain: "a", Found: 4, Needed: 5},
		placement.LevelBest{Level: topology.Leaf, Domain: "a2", Found: 2, Needed: 5},
		placement.LevelBest{Level: topology.Node, Domain: "n3", Found: 2, Needed: 5}
	copyTooLarge := blocks(copies(0, 2, topology.Leaf, pods("r", 3, 2)), 2, 2, 2, 0, 2)
	full := []placement.Exclusion{{Reason: "full", Nodes: 1}}
	tainted := blocks(within(0, pods("r", 1, 1)), 2, 2, 2, 2, 2)
	tainted.Nodes[0].Taints = []placement.Taint{{Key: "t", Effect: "NoSchedule"}}
	tainted.Nodes[1].Unavailable = "cordoned"
	classes := blocks(within(0, pods("r", 1, 1)), 2, 2, 2, 2, 2)
	classes.Request.Root.Roles[0].Shape.Classes = []string{"b", "h"}
	classes.Nodes[0].Classes, classes.Nodes[1].Classes = []string{"h"}, []string{"b", "h"}
	preferring := blocks(copies(0, 1, 0, pods("r", 2, 2)), 2, 2, 2, 2, 2)
	preferring.Request.Root.Groups[0].Preferred = topology.Leaf

	// Cluster, block, leaf, node: the nodes are the third step below the cluster.
	deep := blocks(within(0, pods("r", 5, 2)), 2, 2, 4, 4, 0)

	onClass := func(class, node string) placement.Verdict {
		v := placedOn(classes, "r", node)
		v.Placement = &placement.Placement{
			Roles:   []placement.RolePlacement{{Name: "r", Class: class, Nodes: []string{node}}},
			Quality: placement.Quality{Level: topology.Node, Domain: node, Domains: [6]int{1, 1, 1, 1, 1, 1}},
		}
		return v
	}
	unproven := refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a"}, inBlock, inLeaf, onNode)
	unproven.Proof = placement.None
	boastful := placedOn(pair, "r", "n3", "n3")
	boastful.Placement.Quality.Domains[topology.Leaf] = 2

	cases := map[string]struct {
		c       Case
		verdict placement.Verdict
		// want is "missed", "wrong", "worse" or "untrue" with the reason, "" for a
		// verdict that stands.
		want string
	}{
		"copies in two blocks":               {slices, placedOn(slices, "r", "n3", "n3", "n4", "n4"), "worse: the gang is in one Cluster, and fits into one Fabric"},
		"a sound placement":                  {slices, placedOn(slices, "r", "n1", "n2", "n3", "n3"), ""},
		"a placement and a refusal":          {pair, placement.Verdict{Proof: placement.Exact}, "wrong: not one of"},
		"a sound gang that is invalid":       {pair, placement.Verdict{Invalid: "count: is odd", Proof: placement.Exact}, "wrong: not one of"},
		"too few pods":                       {pair, placedOn(pair, "r", "n3"), "wrong: the placement is of none of the sizes"},
		"another role":                       {pair, placedOn(pair, "x", "n3", "n3"), "wrong: the placement is of none of the sizes"},
		"an unknown node":                    {pair, placedOn(pair, "r", "n3", "n9"), `wrong: role r may not use node "n9"`},
		"a tainted node":                     {tainted, placedOn(tainted, "r", "n1"), `wrong: role r may not use node "n1"`},
		"a cordoned node":                    {tainted, placedOn(tainted, "r", "n2"), `wrong: role r may not use node "n2"`},
		"more than a node has":               {pair, placedOn(pair, "r", "n1", "n1"), "wrong: node n1 gives 4 of x.io/gpu and has 2"},
		"out of the block":                   {pair, placedOn(pair, "r", "n1", "n4"), `wrong: copy 0 of group "" is in more than one Block`},
		"a copy in two leaves":               {slices, placedOn(slices, "r", "n1", "n3", "n3", "n4"), `wrong: copy 0 of group "copy" is in more than one Leaf`},
		"ranks out of order":                 {pair, placedOn(pair, "r", "n2", "n1"), "wrong: the ranks of role r jump"},
		"a class of another node":            {classes, onClass("b", "n1"), `wrong: role r may not use node "n1"`},
		"no class":                           {classes, onClass("", "n1"), `wrong: role r has class ""`},
		"false figures":                      {pair, boastful, "wrong: the gang is in 1 of Leaf and not in 2"},
		"a later class":                      {classes, onClass("h", "n2"), `worse: role r is on class "h", and "b" lets the gang fit`},
		"the first class":                    {classes, onClass("b", "n2"), ""},
		"a wider domain":                     {pair, placedOn(pair, "r", "n1", "n2"), "worse: the gang is in one Leaf, and fits into one NVLinkDomain"},
		"more domains":                       {spread, placedOn(spread, "r", "n1", "n2", "n5"), "worse: the gang is in one Cluster, and fits into one Fabric"},
		"more nodes":                         {spread, placedOn(spread, "r", "n1", "n2", "n3"), `worse: the gang is in 3 children of children of Block "a", and fits into 2`},
		"more nodes of as many leaves":       {deep, placedOn(deep, "r", "n1", "n2", "n3", "n4", "n4"), "deeper: the gang is in 22344 domains per level, and fits into 22333"},
		"the fewest nodes of as many leaves": {deep, placedOn(deep, "r", "n1", "n3", "n3", "n4", "n4"), ""},
		"less than preferred":                {preferring, placedOn(preferring, "r", "n1", "n3"), "worse: group copy is in one Block, and fits into one Leaf"},
		"what is preferred":                  {preferring, placedOn(preferring, "r", "n1", "n2"), ""},
		"a gang smaller than it fits":        {elastic, placedOn(elastic, "r", "n1", "n1"), "missed: size 2 fits, 1 of 3 is placed"},
		"a gang as large as it fits":         {elastic, placedOn(elastic, "r", "n1", "n1", "n2"), ""},
		"a gang that fits":                   {pair, refused(placement.Refusal{Level: topology.Block, Needed: 2, Found: 1}), "missed: size 0 of 0 fits"},
		"a true refusal":                     {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a"}, inBlock, inLeaf, onNode), ""},
		"a refusal without proof":            {tooMuch, unproven, "not proven"},
		"a level is missing":                 {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a"}, inBlock, onNode), "untrue: the best Leaf has 2 slots, not 0"},
		"levels out of order":                {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a"}, inBlock, inLeaf, onNode, inBlock), "untrue: level Block was not asked for"},
		"enough is found":                    {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 5, Domain: "a"}), "untrue: 5 of 5 are found"},
		"less is found":                      {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 3, Domain: "a"}), "untrue: the best Block has 4 slots, not 3"},
		"another domain":                     {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "b"}), `untrue: Block "b" has 2 slots, the best 4`},
		"another level":                      {tooMuch, refused(placement.Refusal{Level: topology.Leaf, Needed: 5, Found: 2, Domain: "a1"}), "untrue: 5 slots are needed in one Block"},
		"an unknown group":                   {tooMuch, refused(placement.Refusal{Group: "g", Level: topology.Block, Needed: 5, Found: 4}), `untrue: there is no group "g"`},
		"nodes are called useless":           {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a", Excluded: []placement.Exclusion{{Reason: "cordoned", Nodes: 1}}}), "untrue: 0 nodes are of no use, 1 are listed"},
		"a copy that nothing holds":          {copyTooLarge, refused(placement.Refusal{Group: "copy", Level: topology.Leaf, Needed: 3, Found: 2, Domain: "a1", Excluded: full}), ""},
		"a copy, and no unit of that":        {copyTooLarge, refused(placement.Refusal{Unit: "x", Needed: 2}), `untrue: there is no group "x" inside`},
		"copies are counted":                 {copyTooLarge, refused(placement.Refusal{Unit: "copy", Needed: 2, Excluded: full}), ""},
		"a full node is useful":              {copyTooLarge, refused(placement.Refusal{Unit: "copy", Needed: 2}), "untrue: 1 nodes are of no use, 0 are listed"},
		"another size":                       {copyTooLarge, refused(placement.Refusal{Unit: "copy", Needed: 2, Excluded: full}, placement.LevelBest{Needed: 5}), "untrue: the whole gang is 6 slots, not 5"},
		"a level with a worse domain": {tooMuch, refused(placement.Refusal{Level: topology.Block, Needed: 5, Found: 4, Domain: "a"},
			placement.LevelBest{Level: topology.Block, Domain: "b", Found: 4, Needed: 5}), `untrue: Block "b" has 2 slots, the best 4`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, ok := Judge(tc.c, tc.verdict)
			if !ok {
				t.Fatal("too large")
			}
			got := ""
			for kind, problem := range map[string]string{
				"missed: ": found.Missed, "wrong: ": found.Wrong, "worse: ": found.Worse, "untrue: ": found.Untrue, "deeper: ": found.Deeper,
			} {
				if problem != "" {
					got += kind + problem
				}
			}
			if found.NotProven {
				got += "not proven"
			}
			if !strings.HasPrefix(got, tc.want) || (tc.want == "") != (got == "") {
				t.Errorf("Judge() says %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJudgeTellsWhatTheGreedyRuleMisses(t *testing.T) {
	// The large pod goes to the leaf with the least room, where it takes what the
	// pair of small ones would need.
	c := Case{
		Domains: []topology.Vertex{{Name: "a", Level: topology.Leaf}, {Name: "b", Level: topology.Leaf}},
		Nodes: []placement.Node{
			{Name: "n1", Domain: "a", Capacity: placement.Resources{gpu: 4}},
			{Name: "n2", Domain: "a", Capacity: placement.Resources{gpu: 1}},
			{Name: "n3", Domain: "b", Capacity: placement.Resources{gpu: 6}},
		},
		Request: placement.Request{Root: placement.Group{
			Groups: []placement.Group{
				{Name: "large", Required: topology.Leaf, Roles: []placement.Role{pods("l", 1, 4)}},
				{Name: "small", Copies: 1, Required: topology.Leaf, Roles: []placement.Role{pods("s", 3, 1)}},
			},
		}},
	}
	cases := map[string]struct {
		change func(c *Case)
		missed bool
	}{
		"it finds what is simple": {func(*Case) {}, false},
		"it takes the tight leaf": {func(c *Case) {
			c.Nodes[2].Capacity[gpu] = 5
			c.Nodes[1].Capacity[gpu] = 0
			c.Nodes[0].Capacity[gpu] = 4
			c.Request.Root.Groups[1].Roles[0].Count = 5
		}, false},
		"it does not go back": {func(c *Case) {
			c.Nodes[0].Capacity[gpu], c.Nodes[1].Capacity[gpu] = 4, 1
			c.Nodes[2].Capacity[gpu] = 5
			c.Nodes[2].Capacity["pods"] = 1
			c.Request.Root.Groups[1].Roles[0].Count = 2
		}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := c
			c.Nodes = nil
			for i, g := range []int64{4, 1, 6} {
				c.Nodes = append(c.Nodes, placement.Node{Name: "n" + string(rune('1'+i)), Domain: []string{"a", "a", "b"}[i], Capacity: placement.Resources{gpu: g}})
			}
			tc.change(&c)
			s, err := c.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			found, ok := Judge(c, placement.Place(s, c.Request))
			if !ok || !found.Feasible || found.GreedyMissed != tc.missed {
				t.Errorf("Judge() = %+v, want it feasible and missed %v", found, tc.missed)
			}
		})
	}
}
