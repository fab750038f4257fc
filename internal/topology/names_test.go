package topology

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A new domain renames the one that it shares a value with, and no other.
func TestNamesAreLocal(t *testing.T) {
	s := NewState()
	place := func(node, block, leaf string) {
		s.SetNode(labelled(node, gkeBlock, block, gkeLeaf, leaf), nil, NodeRoom{})
	}
	name := func(node string) string {
		p, _, _ := s.Place(node)
		return p.Path[Leaf]
	}
	for i := range 20 {
		place(fmt.Sprintf("n%d", i), "b", fmt.Sprintf("leaf%d", i))
	}
	s.Take()
	place("m", "c", "leaf7")
	if got := s.Take(); len(got.Domains) != 4 || len(got.Nodes) != 2 {
		// Block c, both leaves by their new names, and the old name.
		t.Errorf("a second leaf7 changes %v", got)
	}
	first, second := name("n7"), name("m")
	if first == second || first == "leaf7" || second == "leaf7" || name("n8") != "leaf8" {
		t.Errorf("the two leaves are %q and %q, another one is %q", first, second, name("n8"))
	}
	place("o", "d", "leaf7")
	if got := s.Take(); name("n7") != first || len(got.Domains) != 2 || len(got.Nodes) != 1 {
		t.Errorf("a third leaf7 changes %v, the first is %q", got, name("n7"))
	}
	s.RemoveNode("m")
	s.RemoveNode("o")
	if got := name("n7"); got != "leaf7" {
		t.Errorf("the only leaf7 is %q", got)
	}
	s.SetNode(Labelled{Name: "leaf7"}, nil, NodeRoom{})
	if got := name("n7"); got != first {
		t.Errorf("beside a node of its name the leaf is %q, want %q", got, first)
	}
}

// Hashes that collide end in different names, the same ones in any order.
func TestNamesOfCollidingHashes(t *testing.T) {
	names := func(order []string) map[string]string {
		s := NewState()
		s.names.hash = func(id identity, round int) string {
			if round == 0 {
				return "same"
			}
			return nameHash(id, round)
		}
		for _, block := range order {
			s.SetNode(labelled("of-"+block, gkeBlock, block, gkeLeaf, "x"), nil, NodeRoom{})
			s.Take()
		}
		out := map[string]string{}
		for _, block := range order {
			p, _, _ := s.Place("of-" + block)
			out[block] = p.Path[Leaf]
		}
		return out
	}
	got := names([]string{"a", "b", "c"})
	if len(map[string]bool{got["a"]: true, got["b"]: true, got["c"]: true}) != 3 {
		t.Errorf("names are %v", got)
	}
	if diff := cmp.Diff(got, names([]string{"c", "a", "b"})); diff != "" {
		t.Errorf("the order has a meaning:\n%s", diff)
	}
}
