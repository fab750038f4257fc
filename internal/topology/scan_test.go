package topology

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ported is a node whose InfiniBand adapters have the given GUIDs.
func ported(name string, guids ...int) Report {
	r := Report{Node: name}
	for _, guid := range guids {
		r.NICs = append(r.NICs, NIC{Name: fmt.Sprintf("mlx5_%d", len(r.NICs)), LinkLayer: "InfiniBand", GUID: fmt.Sprintf("0000:0000:0000:%04x", guid)})
	}
	return r
}

// routed is a node whose RoCE ports are in the given subnets.
func routed(name string, subnets ...string) Report {
	r := Report{Node: name}
	for _, subnet := range subnets {
		r.NICs = append(r.NICs, NIC{Name: fmt.Sprintf("mlx5_%d", len(r.NICs)), LinkLayer: "Ethernet", GUID: "0000:0000:0000:0001", Subnet: subnet})
	}
	return r
}

func leafSwitch(guid, block string, adapters ...uint64) LeafSwitch {
	return LeafSwitch{GUID: guid, Block: block, Fabric: "f", Adapters: adapters}
}

func unlabelled(names ...string) []Labelled {
	var out []Labelled
	for _, name := range names {
		out = append(out, Labelled{Name: name})
	}
	return out
}

// assembleCase is evidence, with what Assemble makes of it.
type assembleCase struct {
	input        Input
	want         []string
	wantProblems []string
}

func (tc assembleCase) run(t *testing.T) {
	t.Helper()
	got := Assemble(tc.input)
	if diff := cmp.Diff(tc.want, outline(got)); diff != "" {
		t.Errorf("domains (-want +got):\n%s", diff)
	}
	var problems []string
	for _, p := range got.Problems {
		problems = append(problems, p.String())
	}
	if diff := cmp.Diff(tc.wantProblems, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAssembleOfAScan(t *testing.T) {
	twoLeaves := Scan{Leaves: []LeafSwitch{leafSwitch("0a", "x", 1, 2), leafSwitch("0b", "x", 3)}}
	cases := map[string]assembleCase{
		"machines are found by GUID": {
			input: Input{Nodes: unlabelled("n1", "n2", "n3", "n4"), Scan: twoLeaves, Reports: []Report{ported("n1", 1), ported("n2", 2), ported("n3", 3), ported("n4", 9)}},
			want: []string{
				"Fabric fabric-f (Scanned): ", "Block fabric-f > block-x (Scanned): ",
				"Leaf block-x > leaf-0a (Scanned): n1 n2", "Leaf block-x > leaf-0b (Scanned): n3", "outside: n4",
			},
		},
		"the GUID of the card counts as well": {
			input: Input{Nodes: unlabelled("n1"), Scan: twoLeaves, Reports: []Report{{Node: "n1", NICs: []NIC{{Name: "m", GUID: "0000:0000:0000:00ff", SystemGUID: "0000:0000:0000:0003"}}}}},
			want:  []string{"Fabric fabric-f (Scanned): ", "Block fabric-f > block-x (Scanned): ", "Leaf block-x > leaf-0b (Scanned): n1"},
		},
		"a fabric of one rank has no blocks": {
			input: Input{Nodes: unlabelled("n1"), Scan: Scan{Leaves: []LeafSwitch{leafSwitch("0a", "", 1)}}, Reports: []Report{ported("n1", 1)}},
			want:  []string{"Fabric fabric-f (Scanned): ", "Leaf fabric-f > leaf-0a (Scanned): n1"},
		},
		"the switches of all rails are one leaf": {
			input: Input{
				Nodes:   unlabelled("n1", "n2", "n3"),
				Scan:    Scan{Leaves: []LeafSwitch{leafSwitch("0b", "x", 1, 3), leafSwitch("0a", "x", 2, 4), leafSwitch("0c", "x", 5)}},
				Reports: []Report{ported("n1", 1, 2), ported("n2", 3), ported("n3", 5)},
			},
			want: []string{
				"Fabric fabric-f (Scanned): ", "Block fabric-f > block-x (Scanned): ",
				"Leaf block-x > leaf-0a (Scanned): n1 n2", "Leaf block-x > leaf-0c (Scanned): n3",
			},
		},
		"a machine plugged into two blocks makes no one block of them": {
			input: Input{
				Nodes: unlabelled("n1", "n2", "n3", "odd"),
				Scan: Scan{Leaves: []LeafSwitch{
					leafSwitch("0a", "x", 1), leafSwitch("0b", "x", 2, 10), leafSwitch("0c", "y", 3, 11), leafSwitch("0d", "y", 4),
				}},
				Reports: []Report{ported("n1", 1), ported("n2", 2), ported("n3", 4), ported("odd", 10, 11)},
			},
			want: []string{
				"Fabric fabric-f (Scanned): ",
				"Block fabric-f > block-x (Scanned): ", "Block fabric-f > block-x-7055937302e30e9d (Scanned): ", "Block fabric-f > block-y (Scanned): ",
				"Leaf block-x > leaf-0a (Scanned): n1", "Leaf block-x-7055937302e30e9d > leaf-0b (Scanned): n2 odd", "Leaf block-y > leaf-0d (Scanned): n3",
			},
		},
		"a GUID on two machines counts for neither": {
			input: Input{Nodes: unlabelled("n1", "n2"), Scan: twoLeaves, Reports: []Report{ported("n1", 1, 3), ported("n2", 1)}},
			want:  []string{"Fabric fabric-f (Scanned): ", "Block fabric-f > block-x (Scanned): ", "Leaf block-x > leaf-0b (Scanned): n1", "outside: n2"},
			wantProblems: []string{
				`DuplicateGUID node "n1": GUID 0000:0000:0000:0001 is on node "n2", too`,
				`DuplicateGUID node "n2": GUID 0000:0000:0000:0001 is on node "n1", too`,
			},
		},
		"the scan is stronger than labels, and both are told": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", gkeLeaf, "p"), labelled("n2", gkeLeaf, "q"), labelled("n3", gkeLeaf, "q"), labelled("n4", gkeLeaf, "p")},
				Scan:    Scan{Leaves: []LeafSwitch{leafSwitch("0a", "", 1, 2, 3), leafSwitch("0b", "", 4)}},
				Reports: []Report{ported("n1", 1), ported("n2", 2), ported("n3", 3), ported("n4", 4)},
			},
			want: []string{"Fabric fabric-f (Scanned): ", "Leaf fabric-f > leaf-0a (Scanned): n1 n2 n3", "Leaf fabric-f > leaf-0b (Scanned): n4"},
			wantProblems: []string{
				`Disagreement node "n1": the InfiniBand scan says "0a"; label ` + gkeLeaf + ` says "p"`,
				`Disagreement node "n4": the InfiniBand scan says "0b"; label ` + gkeLeaf + ` says "p"`,
			},
		},
		"a declaration is stronger than the scan, and both are told": {
			input: Input{
				Declared: []Declaration{declaredLeaf("rack-1", "", "n1", "n2"), declaredLeaf("rack-2", "", "n3", "n4", "n5")},
				Nodes:    unlabelled("n1", "n2", "n3", "n4", "n5"),
				Scan:     Scan{Leaves: []LeafSwitch{leafSwitch("0a", "", 1, 2, 3), leafSwitch("0b", "", 4, 5)}},
				Reports:  []Report{ported("n1", 1), ported("n2", 2), ported("n3", 3), ported("n4", 4), ported("n5", 5)},
			},
			want:         []string{"Leaf rack-1 (Declared): n1 n2", "Leaf rack-2 (Declared): n3 n4 n5"},
			wantProblems: []string{`Disagreement node "n3": declared Leaf "rack-2"; the InfiniBand scan says "0a"`},
		},
		"a clique hangs below the leaf of the scan": {
			input: Input{
				Nodes: unlabelled("n1"), Scan: twoLeaves,
				Reports: []Report{{Node: "n1", NICs: ported("n1", 1).NICs, Fabric: completed("n1", uuid, 7).Fabric}},
			},
			want: []string{
				"Fabric fabric-f (Scanned): ", "Block fabric-f > block-x (Scanned): ", "Leaf block-x > leaf-0a (Scanned): ",
				"NVLinkDomain leaf-0a > " + uuid + ".7 (Reported): n1",
			},
		},
		"what is no GUID is named": {
			input:        Input{Nodes: unlabelled("n1"), Reports: []Report{{Node: "n1", NICs: []NIC{{Name: "m", GUID: "0000:0000:0000:000g"}, {Name: "z", GUID: "0000:0000:0000:0000"}}}}},
			want:         []string{"outside: n1"},
			wantProblems: []string{`InvalidValue node "n1": NIC "m": "0000:0000:0000:000g" is no GUID`},
		},
		"a switch that is given twice is one": {
			input: Input{
				Nodes:   unlabelled("n1", "n2"),
				Scan:    Scan{Leaves: []LeafSwitch{leafSwitch("0a", "x", 1), leafSwitch("0a", "", 2), {Adapters: []uint64{1}}}},
				Reports: []Report{ported("n1", 1), ported("n2", 2)},
			},
			want: []string{"Fabric fabric-f (Scanned): ", "Leaf fabric-f > leaf-0a (Scanned): n1 n2"},
		},
	}
	for name, tc := range cases {
		t.Run(name, tc.run)
	}
}

func TestAssembleOfRails(t *testing.T) {
	const rail0, rail1, rail2 = "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"
	cases := map[string]assembleCase{
		"machines that share a subnet are in one fabric, and in no leaf": {
			input: Input{Nodes: unlabelled("n1", "n2", "n3"), Reports: []Report{routed("n1", rail0, rail1), routed("n2", rail0, rail1), routed("n3", rail2)}},
			want:  []string{"Fabric rails-10.0.0.0-16 (Reported): n1 n2", "outside: n3"},
		},
		"sharing goes on through others": {
			input: Input{Nodes: unlabelled("n1", "n2", "n3"), Reports: []Report{routed("n1", rail0), routed("n2", rail0, rail1), routed("n3", rail1)}},
			want:  []string{"Fabric rails-10.0.0.0-16 (Reported): n1 n2 n3"},
		},
		"networks without a machine in common are two fabrics": {
			input: Input{Nodes: unlabelled("n1", "n2", "n3", "n4"), Reports: []Report{routed("n1", rail0), routed("n2", rail0), routed("n3", rail1), routed("n4", rail1)}},
			want:  []string{"Fabric rails-10.0.0.0-16 (Reported): n1 n2", "Fabric rails-10.1.0.0-16 (Reported): n3 n4"},
		},
		"a label says more than a subnet": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", gkeBlock, "b"), labelled("n2"), labelled("n3")},
				Reports: []Report{routed("n1", rail0), routed("n2", rail0), routed("n3", rail0)},
			},
			want: []string{"Fabric rails-10.0.0.0-16 (Reported): n2 n3", "Block b (Labels): n1"},
		},
		"a declaration is complete outwards": {
			input: Input{
				Declared: []Declaration{declaredLeaf("rack", "", "n1", "n2")}, Nodes: unlabelled("n1", "n2"),
				Reports: []Report{routed("n1", rail0), routed("n2", rail0)},
			},
			want: []string{"Leaf rack (Declared): n1 n2"},
		},
		"one private range in two declared fabrics is no disagreement": {
			input: Input{
				Declared: []Declaration{
					{Vertex: Vertex{Name: "a", Level: Fabric}, Members: []string{"n1", "n2"}}, {Vertex: Vertex{Name: "b", Level: Fabric}, Members: []string{"n3", "n4"}},
				},
				Nodes:   unlabelled("n1", "n2", "n3", "n4"),
				Reports: []Report{routed("n1", rail0), routed("n2", rail0), routed("n3", rail0), routed("n4", rail0)},
			},
			want: []string{"Fabric a (Declared): n1 n2", "Fabric b (Declared): n3 n4"},
		},
		"a machine that is declared beside others than it reaches is told": {
			input: Input{
				Declared: []Declaration{
					{Vertex: Vertex{Name: "a", Level: Fabric}, Members: []string{"n1", "n2"}}, {Vertex: Vertex{Name: "b", Level: Fabric}, Members: []string{"n3", "n4", "typo"}},
				},
				Nodes:   unlabelled("n1", "n2", "n3", "n4", "typo"),
				Reports: []Report{routed("n1", rail0), routed("n2", rail0), routed("n3", rail1), routed("n4", rail1), routed("typo", rail0)},
			},
			want:         []string{"Fabric a (Declared): n1 n2", "Fabric b (Declared): n3 n4 typo"},
			wantProblems: []string{`Disagreement node "typo": declared Fabric "b"; RoCE ports reach "10.0.0.0/16"`},
		},
		"a clique hangs below the rails": {
			input: Input{
				Nodes: unlabelled("n1", "n2"),
				Reports: []Report{
					{Node: "n1", NICs: routed("n1", rail0).NICs, Fabric: completed("n1", uuid, 7).Fabric}, routed("n2", rail0),
				},
			},
			want: []string{"Fabric rails-10.0.0.0-16 (Reported): n2", "NVLinkDomain rails-10.0.0.0-16 > " + uuid + ".7 (Reported): n1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, tc.run)
	}
}

// The name of a leaf outlives machines, and every switch but one.
func TestLeavesKeepTheirNames(t *testing.T) {
	s := NewState()
	rails := func(guids ...string) Scan {
		var out Scan
		for i, guid := range guids {
			out.Leaves = append(out.Leaves, leafSwitch(guid, "x", uint64(10+i), uint64(20+i)))
		}
		return out
	}
	s.SetScan(rails("0a", "0b", "0c"))
	for i, name := range []string{"n1", "n2"} {
		r := ported(name, 10*(i+1), 10*(i+1)+1, 10*(i+1)+2)
		s.SetNode(Labelled{Name: name}, &r, NodeRoom{})
	}
	leaf := func(node string) string {
		place, _, _ := s.Place(node)
		return place.Path[Leaf]
	}
	s.RemoveNode("n1")
	if got := leaf("n2"); got != "leaf-0a" {
		t.Errorf("without n1 the leaf is %q", got)
	}
	dead := rails("0a", "0b", "0c")
	dead.Leaves = dead.Leaves[:2]
	s.SetScan(dead)
	if got := leaf("n2"); got != "leaf-0a" {
		t.Errorf("without the last switch the leaf is %q", got)
	}
	dead.Leaves = dead.Leaves[1:]
	s.SetScan(dead)
	if got := leaf("n2"); got != "leaf-0b" {
		t.Errorf("without the lowest switch the leaf is %q", got)
	}
}

func TestParseGUID(t *testing.T) {
	cases := map[string]struct {
		text string
		want uint64
		ok   bool
	}{
		"the kernel's form":  {"0a7f:bc12:0034:5678", 0x0a7fbc1200345678, true},
		"the plain form":     {"0a7fbc1200345678", 0x0a7fbc1200345678, true},
		"none":               {"", 0, true},
		"too short":          {"0a7f:bc12:0034", 0, false},
		"too long":           {"0a7f:bc12:0034:5678:9abc", 0, false},
		"not hexadecimal":    {"0a7f:bc12:0034:567x", 0, false},
		"a sign":             {"+a7fbc1200345678", 0, false},
		"nothing but colons": {":::", 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parseGUID(tc.text)
			if got != tc.want || ok != tc.ok {
				t.Errorf("parseGUID(%q) = %x, %v", tc.text, got, ok)
			}
			if ok && got != 0 && tc.text[4] == ':' && formatGUID(got) != tc.text {
				t.Errorf("formatGUID writes %s as %s", tc.text, formatGUID(got))
			}
		})
	}
}

// What is read as a GUID is written back as the same GUID.
func FuzzParseGUID(f *testing.F) {
	f.Add("0a7f:bc12:0034:5678")
	f.Add("0a7fbc1200345678")
	f.Fuzz(func(t *testing.T, text string) {
		guid, ok := parseGUID(text)
		if again, fine := parseGUID(formatGUID(guid)); !ok && guid != 0 || again != guid || !fine {
			t.Errorf("parseGUID(%q) = %x, %v; written and read again: %x, %v", text, guid, ok, again, fine)
		}
	})
}
