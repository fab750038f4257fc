package topology

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForest(t *testing.T) {
	block := Vertex{Name: "b", Level: Block}
	cases := map[string]struct {
		vertices     []Vertex
		nodes        map[string][]string
		wantVertices []Vertex
		wantDomains  map[string]string
		wantProblems []Problem
	}{
		"a sound forest has its nodes in their leaves": {
			vertices:     []Vertex{{Name: "l", Level: Leaf, Parent: "b", UplinkGbps: 400}, block},
			nodes:        map[string][]string{"n1": {"l"}, "n2": {"b"}},
			wantVertices: []Vertex{block, {Name: "l", Level: Leaf, Parent: "b", UplinkGbps: 400}},
			wantDomains:  map[string]string{"n1": "l", "n2": "b"},
		},
		"a node listed in a leaf and in the leaf's block is in the leaf": {
			vertices:     []Vertex{{Name: "l", Level: Leaf, Parent: "b"}, block},
			nodes:        map[string][]string{"n1": {"b", "l", "l", ""}},
			wantVertices: []Vertex{block, {Name: "l", Level: Leaf, Parent: "b"}},
			wantDomains:  map[string]string{"n1": "l"},
		},
		"a node in two leaves is in none": {
			vertices:     []Vertex{{Name: "l1", Level: Leaf}, {Name: "l2", Level: Leaf}},
			nodes:        map[string][]string{"n1": {"l2", "l1"}, "n2": {"l1"}},
			wantVertices: []Vertex{{Name: "l1", Level: Leaf}, {Name: "l2", Level: Leaf}},
			wantDomains:  map[string]string{"n1": "", "n2": "l1"},
			wantProblems: []Problem{{Kind: DoublyParented, Node: "n1", Facts: []string{`listed in "l1"`, `listed in "l2"`}}},
		},
		"a node in a leaf and in a domain that does not exist is in none": {
			vertices:     []Vertex{{Name: "l1", Level: Leaf}},
			nodes:        map[string][]string{"n1": {"l1", "typo"}},
			wantVertices: []Vertex{{Name: "l1", Level: Leaf}},
			wantDomains:  map[string]string{"n1": ""},
			wantProblems: []Problem{
				{Kind: DoublyParented, Node: "n1", Facts: []string{`listed in "l1"`, `listed in "typo"`}},
				{Kind: UnknownDomain, Node: "n1", Facts: []string{`domain "typo" does not exist`}},
			},
		},
		"a cycle is left out with everything below it": {
			vertices: []Vertex{
				{Name: "x", Level: Block, Parent: "y"}, {Name: "y", Level: Fabric, Parent: "x"},
				{Name: "l", Level: Leaf, Parent: "x"}, {Name: "k", Level: Leaf, Parent: "b"}, block,
			},
			nodes:        map[string][]string{"n1": {"l"}, "n2": {"k"}},
			wantVertices: []Vertex{block, {Name: "k", Level: Leaf, Parent: "b"}},
			wantDomains:  map[string]string{"n1": "", "n2": "k"},
			wantProblems: []Problem{
				{Kind: DomainLeftOut, Node: "n1", Facts: []string{`domain "l" is left out`}},
				{Kind: ParentLeftOut, Domain: "l", Facts: []string{`parent "x" is left out`}},
				{Kind: Cycle, Domain: "x", Facts: []string{`"x" in "y" in "x"`}},
				{Kind: Cycle, Domain: "y", Facts: []string{`"x" in "y" in "x"`}},
			},
		},
		"a domain inside itself is a cycle of one": {
			vertices:     []Vertex{{Name: "x", Level: Block, Parent: "x"}},
			wantVertices: []Vertex{},
			wantProblems: []Problem{{Kind: Cycle, Domain: "x", Facts: []string{`"x" in "x"`}}},
		},
		"a domain without its parent stands as a root": {
			vertices:     []Vertex{{Name: "l", Level: Leaf, Parent: "gone"}},
			nodes:        map[string][]string{"n1": {"l"}},
			wantVertices: []Vertex{{Name: "l", Level: Leaf}},
			wantDomains:  map[string]string{"n1": "l"},
			wantProblems: []Problem{{Kind: MissingParent, Domain: "l", Facts: []string{`parent "gone" does not exist`}}},
		},
		"a parent of the same level is not wider": {
			vertices:     []Vertex{block, {Name: "c", Level: Block, Parent: "b"}},
			nodes:        map[string][]string{"n1": {"c"}},
			wantVertices: []Vertex{block},
			wantDomains:  map[string]string{"n1": ""},
			wantProblems: []Problem{
				{Kind: DomainLeftOut, Node: "n1", Facts: []string{`domain "c" is left out`}},
				{Kind: ParentNotWider, Domain: "c", Facts: []string{`Block "c"`, `parent Block "b"`}},
			},
		},
		"of two domains with one name neither is taken": {
			vertices:     []Vertex{{Name: "b", Level: Leaf}, block},
			wantVertices: []Vertex{},
			wantProblems: []Problem{{Kind: DuplicateDomain, Domain: "b", Facts: []string{`Block "b" with parent ""`, `Leaf "b" with parent ""`}}},
		},
		"a Node is no domain above nodes": {
			vertices:     []Vertex{{Name: "n", Level: Node}, {Level: Leaf}},
			wantVertices: []Vertex{},
			wantProblems: []Problem{
				{Kind: InvalidDomain, Facts: []string{"a domain has no name"}},
				{Kind: InvalidDomain, Domain: "n", Facts: []string{"level 5 (Node) is not one of Fabric, Block, Leaf, NVLinkDomain"}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := grow(tc.vertices)
			vertices := slices.AppendSeq([]Vertex{}, maps.Values(f.vertices))
			slices.SortFunc(vertices, compareVertices)
			if diff := cmp.Diff(tc.wantVertices, vertices); diff != "" {
				t.Errorf("vertices (-want +got):\n%s", diff)
			}
			problems := f.problems
			for node, listed := range tc.nodes {
				got, lost, found := f.home(node, listed)
				if want := tc.wantDomains[node]; got != want || lost != (want == "") {
					t.Errorf("home(%q) = %q, lost %v, want %q", node, got, lost, want)
				}
				problems = append(problems, found...)
			}
			problems = tidy(problems)
			if diff := cmp.Diff(tc.wantProblems, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathAt(t *testing.T) {
	whole := Path{Fabric: "f", Block: "b", Leaf: "l", NVLinkDomain: "v", Node: "n"}
	type at struct {
		Level Level
		Name  string
	}
	cases := map[string]struct {
		path  Path
		level Level
		want  at
	}{
		"the cluster has no name":                              {whole, Cluster, at{Cluster, ""}},
		"a level of the fabric is itself":                      {whole, Leaf, at{Leaf, "l"}},
		"a missing level is the widest domain inside of it":    {Path{Fabric: "f", Leaf: "l", NVLinkDomain: "v", Node: "n"}, Block, at{Leaf, "l"}},
		"without a domain inside the level the node stands in": {Path{Fabric: "f", Block: "b", Node: "n"}, Leaf, at{Node, "n"}},
		"a node outside of every fabric is its own fabric":     {Path{Node: "n"}, Fabric, at{Node, "n"}},
		"a level that does not exist is treated as the node":   {whole, Level(100), at{Node, "n"}},
		"a negative level is treated as the cluster":           {whole, Level(-3), at{Cluster, ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			level, domain := tc.path.At(tc.level)
			if diff := cmp.Diff(tc.want, at{level, domain}); diff != "" {
				t.Errorf("At(%s) (-want +got):\n%s", tc.level, diff)
			}
		})
	}
}

func TestCompareNatural(t *testing.T) {
	ascending := []string{"", "01", "1", "1a", "2", "10", "a", "a-2", "a-10", "a02", "a2", "a2b", "a10", "b"}
	for i, a := range ascending {
		for j, b := range ascending {
			got, want := CompareNatural(a, b), i-j
			if (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("CompareNatural(%q, %q) = %d", a, b, got)
			}
		}
	}
}
