package ibfabric

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// twoBlocks is the regular fabric: leaf switches a1 a2 a3 and b1 b2 b3 with 8
// adapters each, two spines for each block, two cores.
func twoBlocks() *drawing {
	return draw().plug(8, "a1 a2 a3 b1 b2 b3").
		mesh("a1 a2 a3", "sa1 sa2").mesh("b1 b2 b3", "sb1 sb2").
		mesh("sa1 sa2 sb1 sb2", "c1 c2")
}

func TestBlocks(t *testing.T) {
	cases := map[string]struct {
		fabric *drawing
		want   string
		// leftOut are the switches whose adapters are in no leaf.
		leftOut string
	}{
		"one switch":                        {draw().plug(4, "a"), "one(a)", ""},
		"leaf switches and spines":          {draw().plug(4, "a b c").mesh("a b c", "s1 s2"), "one(a b c)", ""},
		"two blocks":                        {twoBlocks(), "(a1 a2 a3) (b1 b2 b3)", ""},
		"fabrics that are apart":            {draw().plug(4, "a b").mesh("a", "s1").mesh("b", "s2"), "one(a); one(b)", ""},
		"one spine for each block":          {draw().plug(4, "a1 a2 b1 b2").mesh("a1 a2", "sa").mesh("b1 b2", "sb").mesh("sa sb", "c"), "(a1 a2) (b1 b2)", ""},
		"management host on a spine":        {twoBlocks().plug(1, "sa1"), "(a1 a2 a3) (b1 b2 b3)", "sa1"},
		"hosts on all spines":               {twoBlocks().plug(2, "sa1 sa2 sb1 sb2"), "(a1 a2 a3) (b1 b2 b3)", "sa1 sa2 sb1 sb2"},
		"host on the only spine of a block": {draw().plug(8, "a1 a2 b1 b2").mesh("a1 a2", "sa").mesh("b1 b2", "sb").mesh("sa sb", "c").plug(1, "sa"), "(a1 a2) (b1 b2)", "sa"},
		"management host on a core":         {twoBlocks().plug(1, "c1"), "(a1 a2 a3) (b1 b2 b3)", "c1"},
		"hosts on cores and spines":         {twoBlocks().plug(1, "c1 c2 sa1 sb2"), "(a1 a2 a3) (b1 b2 b3)", "c1 c2 sa1 sb2"},
		"sparse leaf switch":                {twoBlocks().plug(1, "a4").mesh("a4", "sa1 sa2"), "(a1 a2 a3 a4) (b1 b2 b3)", ""},
		"block of sparse leaf switches":     {twoBlocks().plug(1, "d1 d2").mesh("d1 d2", "sd1 sd2").mesh("sd1 sd2", "c1 c2"), "(a1 a2 a3) (b1 b2 b3) (d1 d2)", ""},
		"leaf switch on the cores":          {twoBlocks().plug(8, "x").mesh("x", "c1 c2"), "(a1 a2 a3) (b1 b2 b3) (x)", ""},
		"cable to a spine of another block": {twoBlocks().cable("a1", "sb1"), "(a1 a2 a3) (b1 b2 b3)", ""},
		"wrong cable and host on a core":    {twoBlocks().cable("a1", "sb1").plug(1, "c1"), "(a1 a2 a3) (b1 b2 b3)", "c1"},
		"cable between leaf switches":       {twoBlocks().cable("a1", "b1"), "(a1 a2 a3) (b1 b2 b3)", ""},
		"cable between leaf switches of blocks with one spine": {
			draw().plug(8, "a1 a2 b1 b2").mesh("a1 a2", "sa").mesh("b1 b2", "sb").mesh("sa sb", "c").cable("a1", "b1"), "(a1 a2) (b1 b2)", "",
		},
		"leaf switches that overlap": {draw().plug(8, "a b c").mesh("a", "s1 s2").mesh("b", "s3 s4").mesh("c", "s2 s3"), "one(a b c)", ""},
		"sparse leaf switches and a host on a core": {
			draw().plug(8, "a1 a2 b1 b2").plug(1, "a3 b3").mesh("a1 a2 a3", "sa1 sa2").mesh("b1 b2 b3", "sb1 sb2").mesh("sa1 sa2 sb1 sb2", "c1 c2").plug(1, "c1"),
			"(a1 a2 a3) (b1 b2 b3)", "c1",
		},
		"cable between spines":           {twoBlocks().cable("sa1", "sb1"), "(a1 a2 a3) (b1 b2 b3)", ""},
		"dead spine":                     {twoBlocks().dead("sa1"), "(a1 a2 a3) (b1 b2 b3)", ""},
		"dead core":                      {twoBlocks().dead("c2"), "(a1 a2 a3) (b1 b2 b3)", ""},
		"all cores dead":                 {twoBlocks().dead("c1 c2"), "one(a1 a2 a3); one(b1 b2 b3)", ""},
		"ring of switches without ranks": {draw().plug(2, "a b c d").cable("a", "b").cable("b", "c").cable("c", "d").cable("d", "a"), "one(a b c d)", ""},
		"two switches back to back":      {draw().plug(2, "a b").cable("a", "b"), "one(a b)", ""},
		"dragonfly, every switch with adapters": {
			draw().plug(2, "a1 a2 a3 b1 b2 b3").cable("a1", "a2").cable("a2", "a3").cable("a3", "a1").
				cable("b1", "b2").cable("b2", "b3").cable("b3", "b1").cable("a1", "b1").cable("a2", "b2"),
			"one(a1 a2 a3 b1 b2 b3)", "",
		},
		"dragonfly with spines": {
			draw().plug(4, "a1 a2 b1 b2").mesh("a1 a2", "sa1 sa2").mesh("b1 b2", "sb1 sb2").mesh("sa1 sa2", "sb1 sb2"),
			"(a1 a2) (b1 b2)", "",
		},
		"rails with spines of their own": {
			draw().plug(4, "a-r0 a-r1 b-r0 b-r1").mesh("a-r0 b-r0", "s0 t0").mesh("a-r1 b-r1", "s1 t1").mesh("s0 t0 s1 t1", "c1 c2"),
			"(a-r0 b-r0) (a-r1 b-r1)", "",
		},
		"empty switch": {draw().plug(4, "a b").mesh("a b empty", "s1 s2"), "one(a b)", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result := mustRead(t, c.fabric.text())
			if result.Incomplete != "" {
				t.Fatal(result.Incomplete)
			}
			if diff := cmp.Diff(c.want, blocks(result.Scan)); diff != "" {
				t.Errorf("blocks (-want +got):\n%s", diff)
			}
			for s := range strings.FieldsSeq(c.leftOut) {
				if !strings.Contains(strings.Join(result.Problems, "\n"), "("+quote(s)+")") {
					t.Errorf("no problem names %s: %q", s, result.Problems)
				}
			}
			if count := len(strings.Fields(c.leftOut)); len(result.Problems) != count {
				t.Errorf("got %d problems, want %d: %q", len(result.Problems), count, result.Problems)
			}
		})
	}
}

// Names of blocks and fabrics stay whichever switch or cable fails.
func TestKeysStay(t *testing.T) {
	before := Keep(twoBlocks().scan(t), twoBlocks().scan(t))
	keys := blockKeys(before)
	if distinct(keys) != 2 {
		t.Fatalf("blocks are %v, want two", keys)
	}
	fabric := before.Leaves[0].Fabric
	for _, dead := range []string{"a1", "a2", "a3", "b1", "b2", "b3", "sa1", "sa2", "sb1", "sb2", "c1", "c2"} {
		t.Run(dead, func(t *testing.T) {
			after := Keep(before, twoBlocks().dead(dead).scan(t))
			for _, leaf := range after.Leaves {
				if leaf.Block != keys[leaf.Name] || leaf.Fabric != fabric {
					t.Errorf("leaf switch %s is now in block %s of fabric %s, was in %s of %s", leaf.Name, leaf.Block, leaf.Fabric, keys[leaf.Name], fabric)
				}
			}
			if diff := cmp.Diff(before, Keep(after, twoBlocks().scan(t))); diff != "" {
				t.Errorf("after the repair (-before +now):\n%s", diff)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	cases := map[string]struct {
		before, now *drawing
		// same maps leaf switches to the leaf switch whose block's former name
		// they have; "" stands for a new name and "-" for none.
		same map[string]string
	}{
		"block falls into two": {
			twoBlocks(),
			draw().plug(8, "a1 a2 a3 b1 b2 b3").mesh("a1", "sx").mesh("a2 a3", "sa1 sa2").mesh("b1 b2 b3", "sb1 sb2").mesh("sx sa1 sa2 sb1 sb2", "c1 c2"),
			map[string]string{"a1": "", "a2": "a1", "a3": "a1", "b1": "b1", "b2": "b1", "b3": "b1"},
		},
		"blocks become one": {
			twoBlocks(),
			draw().plug(8, "a1 a2 a3 b1 b2 b3").mesh("a1 a2 a3 b1 b2 b3", "sa1 sa2"),
			map[string]string{"a1": "a1", "a2": "a1", "a3": "a1", "b1": "a1", "b2": "a1", "b3": "a1"},
		},
		"cores fail": {
			twoBlocks(), twoBlocks().dead("c1 c2"),
			map[string]string{"a1": "a1", "a2": "a1", "a3": "a1", "b1": "b1", "b2": "b1", "b3": "b1"},
		},
		"one block, and nothing before": {
			draw().plug(1, "z"), draw().plug(8, "z2 a1 a2").mesh("a1 a2 z2", "s1 s2"),
			map[string]string{"a1": "-", "a2": "-", "z2": "-"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := blockKeys(c.before.scan(t))
			now := blockKeys(Keep(c.before.scan(t), c.now.scan(t)))
			got := map[string]string{}
			for leaf, block := range now {
				for _, old := range []string{"b1", "a1"} {
					if block != "" && before[old] == block {
						got[leaf] = old
					}
				}
				switch {
				case block == "":
					got[leaf] = "-"
				case got[leaf] == "":
					got[leaf] = ""
				}
			}
			if diff := cmp.Diff(c.same, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	compute, storage := twoBlocks().scan(t), draw().plug(1, "other").plug(3, "x1 x2").mesh("x1 x2 other", "s1").scan(t)
	for i := range storage.Leaves {
		storage.Leaves[i].GUID = fmt.Sprintf("f%015d", i)
	}
	both := Merge(compute, storage, compute)
	if got, want := len(both.Leaves), len(compute.Leaves)+len(storage.Leaves); got != want {
		t.Errorf("got %d leaf switches, want %d", got, want)
	}
	if diff := cmp.Diff(both, Merge(storage, compute)); diff != "" {
		t.Errorf("the order matters:\n%s", diff)
	}
}
