package placement

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestNewSnapshotNamesTheBadEntry(t *testing.T) {
	cases := map[string]struct {
		domains []topology.Vertex
		nodes   []Node
		want    string
	}{
		"a domain without a name":        {domains: []topology.Vertex{{Level: topology.Leaf}}, want: "a domain of level Leaf has no name"},
		"a domain twice":                 {domains: []topology.Vertex{dom("a Leaf"), dom("a Block")}, want: "domain a: the name is used twice"},
		"a domain of level Node":         {domains: []topology.Vertex{dom("a Node")}, want: "domain a: level Node is not one of Fabric to NVLinkDomain"},
		"a domain without a level":       {domains: []topology.Vertex{{Name: "a"}}, want: "domain a: level Cluster is not one of Fabric to NVLinkDomain"},
		"a negative uplink":              {domains: []topology.Vertex{{Name: "a", Level: topology.Leaf, UplinkGbps: -1}}, want: "domain a: the uplink is negative"},
		"an unknown parent":              {domains: []topology.Vertex{dom("a Leaf b")}, want: "domain a: parent b does not exist"},
		"a parent of the same level":     {domains: []topology.Vertex{dom("a Leaf b"), dom("b Leaf")}, want: "domain a: parent b is not wider"},
		"a domain that is its parent":    {domains: []topology.Vertex{dom("a Leaf a")}, want: "domain a: parent a is not wider"},
		"a node without a name":          {nodes: []Node{{}}, want: `a node in domain "" has no name`},
		"a node twice":                   {nodes: []Node{{Name: "n"}, {Name: "m"}, {Name: "n"}}, want: "node n: the name is used twice"},
		"a node in an unknown domain":    {nodes: []Node{{Name: "n", Domain: "a"}}, want: "node n: domain a does not exist"},
		"a node with negative capacity":  {nodes: []Node{{Name: "n", Capacity: Resources{"cpu": -1}}}, want: "node n: cpu is negative"},
		"a node with negative use":       {nodes: []Node{{Name: "n", Used: Resources{"cpu": -1}}}, want: "node n: cpu is negative"},
		"a node named like its domain":   {domains: []topology.Vertex{dom("a Leaf")}, nodes: []Node{{Name: "a", Domain: "a"}}},
		"a node that is used beyond all": {nodes: []Node{{Name: "n", Used: Resources{"cpu": 1}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if _, err := NewSnapshot(tc.domains, tc.nodes); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("NewSnapshot() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWithTakesRoomAndLeavesTheOriginal(t *testing.T) {
	empty := world{nodes: []Node{machine("a", "", 0), machine("b", "", 4)}}.snapshot()
	pod := func(node string, gpus int64) Use { return Use{node, Resources{"nvidia.com/gpu": gpus}} }
	cases := map[string]struct {
		snapshot *Snapshot
		want     int
	}{
		"nothing taken":                    {empty.With(), 6},
		"a use takes room":                 {empty.With(pod("a", 4)), 4},
		"uses of one node add up":          {empty.With(pod("a", 1), pod("a", 3)), 4},
		"a use on an unknown node":         {empty.With(pod("c", 8)), 6},
		"a use beyond the capacity":        {empty.With(pod("a", 1<<62), pod("a", 1<<62)), 2},
		"room given back":                  {empty.With(pod("b", -2)), 7},
		"no more than what was taken":      {empty.With(pod("a", 2), pod("a", -8)), 6},
		"a snapshot of a snapshot":         {empty.With(pod("a", 2)).With(pod("b", 2)), 4},
		"emptied":                          {empty.Emptied(), 8},
		"emptied after a use":              {empty.With(pod("a", 8)).Emptied(), 8},
		"the original after all the above": {empty, 6},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Place(tc.snapshot, within(0, workers(100, 2))).Refusal.Found; got != tc.want {
				t.Errorf("%d slots are free, want %d", got, tc.want)
			}
		})
	}
}

func TestNewSnapshotLeavesItsInput(t *testing.T) {
	domains := []topology.Vertex{dom("b Leaf"), dom("a Leaf")}
	nodes := []Node{{Name: "n2", Domain: "b"}, {Name: "n1", Domain: "a"}}
	domainsBefore, nodesBefore := slices.Clone(domains), slices.Clone(nodes)
	if _, err := NewSnapshot(domains, nodes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(domainsBefore, domains) + cmp.Diff(nodesBefore, nodes); diff != "" {
		t.Errorf("NewSnapshot() changes its input (-before +after):\n%s", diff)
	}
}
