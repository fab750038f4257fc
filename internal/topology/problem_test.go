package topology

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFactsAreBounded(t *testing.T) {
	var members []string
	for i := range 20 {
		members = append(members, fmt.Sprintf("n%d", i))
	}
	a := Assemble(Input{Declared: []Declaration{declaredLeaf("r", "", members...), declaredLeaf("s", strings.Repeat("\x00", 1000))}})
	for _, p := range a.Problems {
		for _, fact := range p.Facts {
			if len(fact) > maxFactBytes {
				t.Errorf("%s has a fact of %d bytes", p.Kind, len(fact))
			}
		}
	}
	var facts []string
	for _, p := range a.Problems {
		if p.Domain == "r" {
			facts = p.Facts
			break
		}
	}
	want := []string{`node "n0" does not exist`, `node "n1" does not exist`, `node "n2" does not exist`, `node "n3" does not exist`,
		`node "n4" does not exist`, `node "n5" does not exist`, `node "n6" does not exist`, "and 13 more"}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestAVertexListIsThatOfTheDomains(t *testing.T) {
	a := Assemble(Input{Nodes: []Labelled{labelled("n", gkeBlock, "b", gkeLeaf, "s")}})
	want := []Vertex{{Name: "b", Level: Block}, {Name: "s", Level: Leaf, Parent: "b"}}
	if diff := cmp.Diff(want, a.Vertices()); diff != "" {
		t.Errorf("Vertices() (-want +got):\n%s", diff)
	}
}

func TestALongCycleIsShortened(t *testing.T) {
	var ring []Vertex
	for i := range 10 {
		ring = append(ring, Vertex{Name: fmt.Sprintf("v%d", i), Level: Block, Parent: fmt.Sprintf("v%d", (i+1)%10)})
	}
	f := grow(ring)
	problems := tidy(f.problems)
	if len(f.vertices) != 0 || len(problems) != 10 {
		t.Fatalf("%d vertices, %d problems", len(f.vertices), len(problems))
	}
	want := []string{`"v0" in "v1" in "v2" in "v3" in (6 more) in "v0"`}
	if diff := cmp.Diff(want, problems[9].Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestParseLevel(t *testing.T) {
	for _, l := range append([]Level{Cluster}, Levels[:]...) {
		if got, ok := ParseLevel(l.String()); got != l || !ok {
			t.Errorf("ParseLevel(%q) = %v, %v", l.String(), got, ok)
		}
	}
	if got, ok := ParseLevel(""); got != Cluster || !ok {
		t.Errorf("ParseLevel of nothing = %v, %v", got, ok)
	}
	if _, ok := ParseLevel("leaf"); ok {
		t.Error("ParseLevel accepts lower case")
	}
}
