package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	gkeBlock  = "cloud.google.com/gce-topology-block"
	gkeLeaf   = "cloud.google.com/gce-topology-subblock"
	awsLeaf   = "topology.k8s.aws/network-node-layer-3"
	uuid      = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	otherUUID = "8c1f0f6e-6c2b-4f43-9b0d-1a2b3c4d5e6f"
)

// labelled builds a node from key, value, key, value.
func labelled(name string, pairs ...string) Labelled {
	n := Labelled{Name: name, Labels: map[string]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Labels[pairs[i]] = pairs[i+1]
	}
	return n
}

func declaredLeaf(name, parent string, members ...string) Declaration {
	return Declaration{Vertex: Vertex{Name: name, Level: Leaf, Parent: parent}, Members: members}
}

func completed(node, uuid string, clique uint32) Report {
	return Report{Node: node, Fabric: &NVLinkFabric{ClusterUUID: uuid, CliqueID: clique, State: FabricCompleted}}
}

// outline writes each domain as "Level path (source): nodes" and each node
// outside of every domain as "outside: node".
func outline(a Assembly) []string {
	var out []string
	for _, d := range a.Domains {
		parent := ""
		if d.Parent != "" {
			parent = d.Parent + " > "
		}
		out = append(out, fmt.Sprintf("%s %s%s (%s): %s", d.Level, parent, d.Name, d.Source, strings.Join(d.Nodes, " ")))
	}
	for _, n := range a.Nodes {
		if n.Domain == "" {
			out = append(out, "outside: "+n.Node)
		}
	}
	return out
}

func TestAssemble(t *testing.T) {
	clique := uuid + ".7"
	cases := map[string]assembleCase{
		"provider labels make blocks and leaves, nodes in natural order": {
			input: Input{Nodes: []Labelled{
				labelled("n10", gkeBlock, "b1", gkeLeaf, "s1"),
				labelled("n2", gkeBlock, "b1", gkeLeaf, "s1"),
				labelled("n3", gkeBlock, "b1", gkeLeaf, "s2"),
				labelled("n4"),
			}},
			want: []string{
				"Block b1 (Labels): ",
				"Leaf b1 > s1 (Labels): n2 n10",
				"Leaf b1 > s2 (Labels): n3",
				"outside: n4",
			},
		},
		"a leaf value that occurs in two blocks gets a hash in both": {
			input: Input{Nodes: []Labelled{
				labelled("n1", gkeBlock, "b1", gkeLeaf, "s1"),
				labelled("n2", gkeBlock, "b2", gkeLeaf, "s1"),
				labelled("n3", gkeBlock, "b2", gkeLeaf, "s2"),
			}},
			want: []string{
				"Block b1 (Labels): ", "Block b2 (Labels): ",
				"Leaf b1 > s1-bd3d59be (Labels): n1", "Leaf b2 > s1-d0657b16 (Labels): n2", "Leaf b2 > s2 (Labels): n3",
			},
		},
		"a changed value and a taken name get a hash": {
			input: Input{
				Declared: []Declaration{declaredLeaf("rack", "", "n9")},
				Nodes: []Labelled{
					labelled("n1", gkeLeaf, "Rack_1"), labelled("n2", gkeLeaf, "rack"),
					labelled("n3", gkeBlock, "n1"), labelled("n4", gkeLeaf, "___"), labelled("n9"),
				},
			},
			want: []string{
				"Block n1-7340dcb0 (Labels): n3",
				"Leaf leaf-8a530e8e (Labels): n4",
				"Leaf rack (Declared): n9",
				"Leaf rack-1-4504780f (Labels): n1",
				"Leaf rack-3199d2c8 (Labels): n2",
			},
		},
		"the first provider with any key gives the path": {
			input: Input{Nodes: []Labelled{labelled("n1", gkeBlock, "b1", awsLeaf, "nn-1")}},
			want:  []string{"Block b1 (Labels): n1"},
		},
		"mirrored labels are no evidence": {
			input: Input{Nodes: []Labelled{labelled("n1", BlockLabel, "b", LeafLabel, "l", NVLinkDomainLabel, "v")}},
			want:  []string{"outside: n1"},
		},
		"a clique hangs below the declared leaf that holds all of it": {
			input: Input{
				Declared: []Declaration{
					{Vertex: Vertex{Name: "b", Level: Block}, Members: []string{"n1", "n2", "n3"}},
					declaredLeaf("rack", "b", "n1", "n2", "n3"),
				},
				Nodes: []Labelled{labelled("n1", cliqueKey, clique), labelled("n2", cliqueKey, clique), labelled("n3")},
			},
			want: []string{
				"Block b (Declared): ", "Leaf b > rack (Declared): n3",
				"NVLinkDomain rack > " + clique + " (Labels): n1 n2",
			},
		},
		"a clique across two leaves is left out": {
			input: Input{
				Declared: []Declaration{declaredLeaf("r1", "", "n1"), declaredLeaf("r2", "", "n2")},
				Nodes:    []Labelled{labelled("n1", cliqueKey, clique), labelled("n2", cliqueKey, clique)},
			},
			want: []string{"Leaf r1 (Declared): n1", "Leaf r2 (Declared): n2"},
			wantProblems: []string{
				`SpansDomains node "n1": NVLinkDomain "` + clique + `" of nvidia.com/gpu.clique; has nodes in declared domain "r1"; has nodes in declared domain "r2"`,
				`SpansDomains node "n2": NVLinkDomain "` + clique + `" of nvidia.com/gpu.clique; has nodes in declared domain "r1"; has nodes in declared domain "r2"`,
				`SpansDomains domain "r1": NVLinkDomain "` + clique + `" of nvidia.com/gpu.clique; has nodes in declared domain "r1"; has nodes in declared domain "r2"`,
				`SpansDomains domain "r2": NVLinkDomain "` + clique + `" of nvidia.com/gpu.clique; has nodes in declared domain "r1"; has nodes in declared domain "r2"`,
			},
		},
		"a leaf from labels hangs below a declared block": {
			input: Input{
				Declared: []Declaration{{Vertex: Vertex{Name: "pod", Level: Block}, Members: []string{"n1", "n2"}}},
				Nodes:    []Labelled{labelled("n1", gkeBlock, "x", gkeLeaf, "s1"), labelled("n2", gkeBlock, "x", gkeLeaf, "s1")},
			},
			want: []string{"Block pod (Declared): ", "Leaf pod > s1 (Labels): n1 n2"},
		},
		"a declared leaf wins over the label and the node says both": {
			input: Input{
				Declared: []Declaration{declaredLeaf("s1", "", "n1", "n2", "n3")},
				Nodes:    []Labelled{labelled("n1", gkeLeaf, "s1"), labelled("n2", gkeLeaf, "s1"), labelled("n3", gkeLeaf, "s2")},
			},
			want:         []string{"Leaf s1 (Declared): n1 n2 n3"},
			wantProblems: []string{`Disagreement node "n3": declared Leaf "s1"; label ` + gkeLeaf + ` says "s2"`},
		},
		"other names for the same groups are no disagreement": {
			input: Input{
				Declared: []Declaration{declaredLeaf("rack-a", "", "n1", "n2"), declaredLeaf("rack-b", "", "n3")},
				Nodes:    []Labelled{labelled("n1", gkeLeaf, "6f"), labelled("n2", gkeLeaf, "6f"), labelled("n3", gkeLeaf, "7a")},
			},
			want: []string{"Leaf rack-a (Declared): n1 n2", "Leaf rack-b (Declared): n3"},
		},
		"a node declared in two leaves is outside, whatever its labels": {
			input: Input{
				Declared: []Declaration{declaredLeaf("r1", "", "n1"), declaredLeaf("r2", "", "n1")},
				Nodes:    []Labelled{labelled("n1", gkeLeaf, "s1", cliqueKey, clique)},
			},
			want:         []string{"Leaf r1 (Declared): ", "Leaf r2 (Declared): ", "outside: n1"},
			wantProblems: []string{`DoublyParented node "n1": listed in "r1"; listed in "r2"`},
		},
		"the driver and the label name the same clique": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, clique), labelled("n2")},
				Reports: []Report{completed("n2", strings.ToUpper(uuid), 7), completed("gone", uuid, 7)},
			},
			want: []string{"NVLinkDomain " + clique + " (Reported): n1 n2"},
		},
		"the driver wins over the clique label": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, clique)},
				Reports: []Report{completed("n1", uuid, 8)},
			},
			want:         []string{"NVLinkDomain " + uuid + ".8 (Reported): n1"},
			wantProblems: []string{`Disagreement node "n1": NVML says clique "` + uuid + `.8"; label nvidia.com/gpu.clique says "` + clique + `"`},
		},
		"a driver that is not ready leaves the word to the label": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, clique)},
				Reports: []Report{{Node: "n1", Fabric: &NVLinkFabric{State: FabricInProgress, Health: Unhealthy}}},
			},
			want:         []string{"NVLinkDomain " + clique + " (Labels): n1"},
			wantProblems: []string{`FabricUnhealthy node "n1": NVML says the NVLink fabric is Unhealthy`},
		},
		"a fabric that is Completed and Unhealthy keeps its place and is told": {
			input: Input{Nodes: []Labelled{labelled("n1")}, Reports: []Report{
				{Node: "n1", Fabric: &NVLinkFabric{ClusterUUID: uuid, CliqueID: 1, State: FabricCompleted, Health: Unhealthy}},
			}},
			want:         []string{"NVLinkDomain " + uuid + ".1 (Reported): n1"},
			wantProblems: []string{`FabricUnhealthy node "n1": NVML says the NVLink fabric is Unhealthy`},
		},
		"a driver that says there is no clique is told beside a label that names one": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, clique), labelled("n2", "topology.k8s.aws/ultraserver-id", "u1")},
				Reports: []Report{{Node: "n1", Fabric: &NVLinkFabric{State: FabricNotSupported}}, {Node: "n2", Fabric: &NVLinkFabric{State: FabricNotSupported}}},
			},
			want: []string{"outside: n1", "outside: n2"},
			wantProblems: []string{
				`Disagreement node "n1": NVML says that there is no clique; label nvidia.com/gpu.clique says "` + clique + `"`,
				`Disagreement node "n2": NVML says that there is no clique; label topology.k8s.aws/ultraserver-id says "u1"`,
			},
		},
		"cliques of one rack that a provider names as a whole are no disagreement": {
			input: Input{
				Nodes: []Labelled{
					labelled("n1", "topology.k8s.aws/ultraserver-id", "u1"), labelled("n2", "topology.k8s.aws/ultraserver-id", "u1"), labelled("n3", "topology.k8s.aws/ultraserver-id", "u1"),
				},
				Reports: []Report{completed("n1", uuid, 1), completed("n2", uuid, 1), completed("n3", uuid, 2)},
			},
			want: []string{"NVLinkDomain " + uuid + ".1 (Reported): n1 n2", "NVLinkDomain " + uuid + ".2 (Reported): n3"},
		},
		"reports of one node that differ count for nothing": {
			input:        Input{Nodes: []Labelled{labelled("n1")}, Reports: []Report{completed("n1", uuid, 1), completed("n1", uuid, 2), completed("n1", uuid, 1)}},
			want:         []string{"outside: n1"},
			wantProblems: []string{`DuplicateNode node "n1": its reports name different fabrics`},
		},
		"a node that is in a domain by its own word": {
			input: Input{Declared: []Declaration{declaredLeaf("r1", "")}, Nodes: []Labelled{{Name: "n1", In: []string{"r1"}}}},
			want:  []string{"Leaf r1 (Declared): n1"},
		},
		"a zero cluster is no domain": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, "00000000-0000-0000-0000-000000000000.1"), labelled("n2")},
				Reports: []Report{completed("n2", "00000000-0000-0000-0000-000000000000", 0)},
			},
			want: []string{"outside: n1", "outside: n2"},
		},
		"racks with the default clique id differ in their cluster": {
			input: Input{
				Nodes:   []Labelled{labelled("n1", cliqueKey, uuid+".32766"), labelled("n2")},
				Reports: []Report{completed("n2", otherUUID, 32766)},
			},
			want: []string{"NVLinkDomain " + uuid + ".32766 (Labels): n1", "NVLinkDomain " + otherUUID + ".32766 (Reported): n2"},
		},
		"a clique label of another form does not count": {
			input:        Input{Nodes: []Labelled{labelled("n1", cliqueKey, "what")}},
			want:         []string{"outside: n1"},
			wantProblems: []string{`InvalidValue node "n1": label nvidia.com/gpu.clique is "what", not <cluster UUID>.<clique id>`},
		},
		"an absurdly long value does not count": {
			input:        Input{Nodes: []Labelled{labelled("n1", gkeBlock, "b", gkeLeaf, strings.Repeat("x", 1025))}},
			want:         []string{"Block b (Labels): n1"},
			wantProblems: []string{`ValueTooLong node "n1": label ` + gkeLeaf + ` has 1025 bytes, at most 1024 count`},
		},
		"a declared node that does not exist is named": {
			input:        Input{Declared: []Declaration{declaredLeaf("r1", "", "n1", "typo")}, Nodes: []Labelled{labelled("n1")}},
			want:         []string{"Leaf r1 (Declared): n1"},
			wantProblems: []string{`UnknownNode domain "r1": node "typo" does not exist`},
		},
		"a domain with the name of a node is named": {
			input:        Input{Declared: []Declaration{declaredLeaf("n1", "", "n1")}, Nodes: []Labelled{labelled("n1")}},
			want:         []string{"Leaf n1 (Declared): n1"},
			wantProblems: []string{`NameOfNode domain "n1": a node has the same name`},
		},
		"a node given twice with different labels keeps none": {
			input:        Input{Nodes: []Labelled{labelled("n1", gkeLeaf, "a"), labelled("n1", gkeLeaf, "b")}},
			want:         []string{"outside: n1"},
			wantProblems: []string{`DuplicateNode node "n1": the node is given twice with different labels`},
		},
	}
	for name, tc := range cases {
		t.Run(name, tc.run)
	}
}

func TestEveryProviderKeyGivesItsLevel(t *testing.T) {
	for _, p := range providers {
		for _, k := range p.keys {
			t.Run(k.key, func(t *testing.T) {
				a := Assemble(Input{Nodes: []Labelled{labelled("n", k.key, "v")}})
				want := Path{Node: "n"}
				want[k.level] = "v"
				if diff := cmp.Diff(want, a.Nodes[0].Path); diff != "" {
					t.Errorf("Path (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestMirroredLabels(t *testing.T) {
	long := strings.Repeat("l", 64)
	cases := map[string]struct {
		input Input
		want  map[string]string
	}{
		"each level that the node has is mirrored": {
			input: Input{Nodes: []Labelled{labelled("n", gkeBlock, "b", gkeLeaf, "s", cliqueKey, uuid+".1")}},
			want:  map[string]string{BlockLabel: "b", LeafLabel: "s", NVLinkDomainLabel: uuid + ".1"},
		},
		"a level that the fabric does not have is not": {
			input: Input{Nodes: []Labelled{labelled("n", gkeLeaf, "s")}},
			want:  map[string]string{LeafLabel: "s"},
		},
		"a node outside of the fabric is to have none": {
			input: Input{Nodes: []Labelled{labelled("n", LeafLabel, "old")}},
		},
		"a name that is no label value is not mirrored": {
			input: Input{Nodes: []Labelled{labelled("n")}, Declared: []Declaration{declaredLeaf(long, "", "n")}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Assemble(tc.input).Nodes[0].Labels); diff != "" {
				t.Errorf("Labels (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAssembleKeepsItsInput(t *testing.T) {
	n := labelled("n2", gkeBlock, "b", gkeLeaf, "S")
	in := Input{
		Declared: []Declaration{declaredLeaf("z", "", "n9", "n2"), declaredLeaf("a", "")},
		Nodes:    []Labelled{n, labelled("n1")},
		Reports:  []Report{completed("n2", strings.ToUpper(uuid), 7)},
	}
	Assemble(in)
	want := Input{
		Declared: []Declaration{declaredLeaf("z", "", "n9", "n2"), declaredLeaf("a", "")},
		Nodes:    []Labelled{{Name: "n2", Labels: maps.Clone(n.Labels)}, labelled("n1")},
		Reports:  []Report{completed("n2", strings.ToUpper(uuid), 7)},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("input after Assemble (-want +got):\n%s", diff)
	}
}

func TestSummarise(t *testing.T) {
	a := Assemble(Input{Nodes: []Labelled{
		labelled("n1", gkeBlock, "b", gkeLeaf, "s1"),
		labelled("n2", gkeBlock, "b", gkeLeaf, "s2"),
		labelled("n3", gkeBlock, "b", gkeLeaf, "s2"),
	}})
	got := Summarise(a, []NodeRoom{
		{Node: "n1", Ready: true, Accelerators: Accelerators{Total: 8, Free: 3}},
		{Node: "n2", Ready: true, Accelerators: Accelerators{Total: 8, Free: 99, Unhealthy: 1}, Reasons: []string{"XidError", "NICDown", "XidError"}},
		{Node: "elsewhere", Accelerators: Accelerators{Total: 8}},
	})
	reasons := []ReasonCount{{"NICDown", 1}, {"XidError", 1}}
	want := map[string]Summary{
		"b":  {Nodes: 3, ReadyNodes: 2, Accelerators: Accelerators{16, 11, 1}, Reasons: reasons},
		"s1": {Nodes: 1, ReadyNodes: 1, Accelerators: Accelerators{8, 3, 0}, Healthy: true},
		"s2": {Nodes: 2, ReadyNodes: 1, Accelerators: Accelerators{8, 8, 1}, Reasons: reasons},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Summarise() (-want +got):\n%s", diff)
	}
}

func BenchmarkAssemble(b *testing.B) {
	var in Input
	for i := range 10000 {
		in.Nodes = append(in.Nodes, labelled(fmt.Sprintf("node-%d", i),
			gkeBlock, fmt.Sprintf("b%d", i/512), gkeLeaf, fmt.Sprintf("s%d", i/32), cliqueKey, fmt.Sprintf("%s.%d", uuid, i/16)))
	}
	for b.Loop() {
		Assemble(in)
	}
}

// Most of the fuzz corpus is small; this is many whole assemblies of the same
// kind, with the same sentences checked.
func TestAssembleOfRandomEvidence(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 3000 {
		data := make([]byte, 160)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		in := fuzzInput(&choices{data})
		a := Assemble(in)
		checkForest(t, in, a)
		if diff := cmp.Diff(a, Assemble(shuffled(in, r.Uint64()))); diff != "" {
			t.Fatalf("the order of the input has a meaning (-first +shuffled):\n%s", diff)
		}
	}
}
