package fleet

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// counts are what a person expects of a ready-made fleet.
type counts struct {
	Nodes, GPUs                   int64
	Blocks, Leaves, Racks         int
	Declared, Reports, FirstNICs  int
	FirstNode, LastNode, Provider string
}

func TestReadyMadeFleets(t *testing.T) {
	cases := map[string]counts{
		"hgx-64": {
			Nodes: 64, GPUs: 512, Blocks: 2, Leaves: 4, Reports: 64, FirstNICs: 8,
			FirstNode: "hgx-a-0-00", LastNode: "hgx-b-1-15", Provider: "gke",
		},
		"nvl72-4racks": {
			Nodes: 72, GPUs: 288, Blocks: 2, Racks: 4, Declared: 1 + 2 + 4, Reports: 72, FirstNICs: 4,
			FirstNode: "gb200-a-0-00", LastNode: "gb200-b-1-17", Provider: "none",
		},
		"doks-rails-32": {
			Nodes: 32, GPUs: 256, Blocks: 2, Leaves: 4, Declared: 1 + 2 + 4, Reports: 32, FirstNICs: 8,
			FirstNode: "doks-a-0-00", LastNode: "doks-b-1-07", Provider: "doks",
		},
		"mixed-1k": {
			Nodes: 1064, GPUs: (256+128)*8 + 216*4 + 128*4 + 200, Blocks: 10, Leaves: 32, Racks: 12,
			Declared: 1 + 10 + 32 + 12, Reports: 1064 - 136, FirstNICs: 8,
			FirstNode: "h100-a-0-00", LastNode: "cpu-135", Provider: "none",
		},
		"hgx-10k": {
			Nodes: 10240, GPUs: 81920, Blocks: 20, Leaves: 320, Reports: 10240, FirstNICs: 8,
			FirstNode: "hgx-a-0-00", LastNode: "hgx-t-15-31", Provider: "gke",
		},
	}
	if len(cases) != len(Names()) {
		t.Errorf("%d fleets are tested, %v exist", len(cases), Names())
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			f := mustLoad(t, name)
			if f.Name != name {
				t.Errorf("the fleet in %s.yaml is called %s", name, f.Name)
			}
			if diff := cmp.Diff(want, count(f)); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func count(f *Fleet) counts {
	machines, nodes, reports := f.Machines(), f.Nodes(), f.Reports()
	blocks, leaves, racks := map[string]bool{}, map[string]bool{}, map[string]bool{}
	got := counts{
		Nodes: int64(len(nodes)), Declared: len(f.Domains()), Reports: len(reports),
		FirstNICs: len(reports[0].Status.Node.NICs), Provider: string(f.Provider),
		FirstNode: nodes[0].Name, LastNode: nodes[len(nodes)-1].Name,
	}
	for i := range machines {
		blocks[machines[i].Block], leaves[machines[i].Leaf], racks[machines[i].Rack] = true, true, true
		gpus := nodes[i].Status.Allocatable[resourceNVIDIA]
		got.GPUs += gpus.Value()
	}
	delete(blocks, "")
	delete(leaves, "")
	delete(racks, "")
	got.Blocks, got.Leaves, got.Racks = len(blocks), len(leaves), len(racks)
	return got
}

func TestProviderStyles(t *testing.T) {
	cases := map[string]struct {
		node    string
		labels  map[string]string
		absent  []string
		rdma    bool
		tainted bool
	}{
		"hgx-64": {
			node: "hgx-b-1-15",
			labels: map[string]string{
				"cloud.google.com/gce-topology-block":    "block-b",
				"cloud.google.com/gce-topology-subblock": "block-b-leaf-1",
				"cloud.google.com/gce-topology-host":     "hgx-b-1-15",
				"cloud.google.com/gke-accelerator":       "nvidia-h100-80gb",
				"nvidia.com/gpu.product":                 "NVIDIA-H100-80GB-HBM3",
				"nvidia.com/gpu.memory":                  "81559",
				"nvidia.com/gpu.count":                   "8",
			},
			absent: []string{"nvidia.com/gpu.clique"},
		},
		"nvl72-4racks": {
			node: "gb200-a-1-00",
			labels: map[string]string{
				"nvidia.com/gpu.clique": uuid("nvl72-4racks", "block-a-rack-1") + ".32766",
				"kubernetes.io/arch":    "arm64",
			},
			absent: []string{"cloud.google.com/gce-topology-block"},
		},
		"doks-rails-32": {
			node:    "doks-a-0-00",
			labels:  map[string]string{"doks.digitalocean.com/gpu-brand": "nvidia", "doks.digitalocean.com/gpu-model": "h100"},
			absent:  []string{"cloud.google.com/gce-topology-block", "nvidia.com/gpu.product", "nvidia.com/gpu.clique"},
			rdma:    true,
			tainted: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			node := mustNode(t, name, tc.node)
			for key, want := range tc.labels {
				if got := node.Labels[key]; got != want {
					t.Errorf("label %s is %q, want %q", key, got, want)
				}
			}
			for _, key := range tc.absent {
				if value, found := node.Labels[key]; found {
					t.Errorf("label %s is %q, want it absent", key, value)
				}
			}
			if _, got := node.Status.Allocatable["rdma/fabric7"]; got != tc.rdma {
				t.Errorf("rdma/fabric7 allocatable: %v, want %v", got, tc.rdma)
			}
			if got := len(node.Spec.Taints) > 0; got != tc.tainted {
				t.Errorf("taints are %v", node.Spec.Taints)
			}
		})
	}
}

// Every label, name and address of every ready-made fleet is one that the API
// server takes, and no two devices share an identity.
func TestReadyMadeFleetsAreValid(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			f := mustLoad(t, name)
			unique := map[string]string{}
			claim := func(id, owner string) {
				if other, taken := unique[id]; taken {
					t.Fatalf("%s belongs to %s and %s", id, other, owner)
				}
				unique[id] = owner
			}
			for _, node := range f.Nodes() {
				claim(node.Name, "node")
				claim(node.Status.Addresses[0].Address, node.Name)
				if address := node.Status.Addresses[0].Address; net.ParseIP(address) == nil {
					t.Fatalf("%s is not an address", address)
				}
				for key, value := range node.Labels {
					if errs := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(errs) > 0 {
						t.Fatalf("label %s=%s of %s: %v", key, value, node.Name, errs)
					}
				}
			}
			for _, report := range f.Reports() {
				for _, gpu := range report.Status.Node.Accelerators {
					claim(gpu.UUID, report.Name)
				}
				for _, nic := range report.Status.Node.NICs {
					claim(nic.GUID, report.Name)
				}
			}
		})
	}
}

func TestDomainsAreOneTree(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			f := mustLoad(t, name)
			known, members := map[string]bool{"": true}, map[string]bool{}
			domains := f.Domains()
			for _, domain := range domains {
				if !known[domain.Spec.ParentName] {
					t.Errorf("%s comes before its parent %s", domain.Name, domain.Spec.ParentName)
				}
				known[domain.Name] = true
				if domain.Spec.Members == nil {
					continue
				}
				for _, node := range domain.Spec.Members.NodeNames {
					if members[node] {
						t.Errorf("node %s is declared twice", node)
					}
					members[node] = true
				}
			}
			for _, m := range f.Machines() {
				if len(domains) > 0 && members[m.Name] != (m.Block != "") {
					t.Errorf("node %s: declared %v, in block %q", m.Name, members[m.Name], m.Block)
				}
			}
		})
	}
}

func TestReport(t *testing.T) {
	report := mustLoad(t, "nvl72-4racks").Reports()[0].Status.Node
	if len(report.PCIeRelations) > 0 {
		t.Errorf("relations %v of a machine where every device has a PCI domain of its own", report.PCIeRelations)
	}
	links := map[string]int32{}
	for _, link := range report.NVLinks {
		links[link.From] += link.Links
	}
	for _, gpu := range report.Accelerators {
		if links[gpu.UUID] != 18 {
			t.Errorf("GPU %d has %d NVLink connections, want 18", *gpu.Index, links[gpu.UUID])
		}
	}
	virtual := mustLoad(t, "doks-rails-32").Reports()[0].Status.Node
	if virtual.PCITopology != v1alpha1.PCITopologyVirtualized || virtual.Accelerators[0].NUMANode != nil || len(virtual.NUMANodes) != 1 {
		t.Errorf("a virtual machine reports %s, NUMA %v and %v", virtual.PCITopology, virtual.Accelerators[0].NUMANode, virtual.NUMANodes)
	}
}

// Two loads are equal: tests and plans name devices.
func TestDeterministic(t *testing.T) {
	if diff := cmp.Diff(mustLoad(t, "mixed-1k").Reports(), mustLoad(t, "mixed-1k").Reports()); diff != "" {
		t.Error(diff)
	}
}

const goodFile = `
name: small
provider: none
fabric: {name: fabric-a, linkLayer: InfiniBand}
pools:
- {name: hgx, shape: HGX-H100x8, blocks: 1, leaves: 2, nodes: 4, nicGbps: 400}
`

func TestParseRefuses(t *testing.T) {
	cases := map[string]struct {
		replace, with string
		want          string // a part of the message that names the field
	}{
		"unknown field":                {"provider: none", "provider: none\nregion: x", `unknown field "region"`},
		"unknown field of a pool":      {"nodes: 4", "nodes: 4, racs: 2", `unknown field "pools[0].racs"`},
		"wrong type":                   {"nodes: 4", "nodes: four", "pools.nodes"},
		"no name":                      {"name: small", "name: ''", "name: Required"},
		"name that is not a DNS label": {"name: hgx", "name: HGX_", "pools[0].name"},
		"unknown provider":             {"provider: none", "provider: aws", "provider: Unsupported"},
		"unknown shape":                {"HGX-H100x8", "HGX-H100x9", "pools[0].shape: Unsupported"},
		"unknown link layer":           {"InfiniBand", "Infiniband", "fabric.linkLayer"},
		"no fabric":                    {"fabric: {name: fabric-a, linkLayer: InfiniBand}", "", "fabric.name: Required"},
		"negative count":               {"blocks: 1", "blocks: -1", "pools[0].blocks"},
		"zero nodes":                   {"nodes: 4", "nodes: 0", "pools[0].nodes"},
		"too many nodes":               {"leaves: 2", "leaves: 20000", "pools: Invalid"},
		"no speed":                     {", nicGbps: 400", "", "pools[0].nicGbps"},
		"speed of nothing":             {"HGX-H100x8", "CPU", "pools[0].nicGbps"},
		"racks of a shape without":     {"leaves: 2", "racks: 2", "pools[0].racks"},
		"rack shape without racks":     {"HGX-H100x8", "GB200-NVL72", "pools[0].nodes"},
		"leaves outside blocks":        {"blocks: 1", "blocks: 0", "pools[0].blocks: Required"},

		"same pool twice":               {"pools:", "pools:\n- {name: hgx, shape: CPU, nodes: 1}", "pools[1].name: Duplicate"},
		"two pools with the same nodes": {"pools:", "pools:\n- {name: hgx-a-0, shape: CPU, nodes: 1}", "pools: Invalid"},
	}
	const bare = "name: small\nprovider: gke\n"
	for text, want := range map[string]string{
		bare + "pools: []": "pools: Required",
		bare + "pools: [{name: p, shape: L40S, nodes: 1}]": "pools[0].shape: Invalid",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v; want an error that says %q", text, err, want)
		}
	}
	if _, err := Parse([]byte(goodFile)); err != nil {
		t.Fatalf("the file that the cases change is refused: %v", err)
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(strings.Replace(goodFile, tc.replace, tc.with, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse() = %v; want an error that says %q", err, tc.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	if err := os.WriteFile(path, []byte(goodFile), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path)
	if err != nil || f.NodeCount() != 8 {
		t.Errorf("Load(path) = %v, %v; want 8 nodes", f, err)
	}
	if _, err := Load("hgx-63"); err == nil || !strings.Contains(err.Error(), "hgx-64") {
		t.Errorf("Load of a wrong name = %v; want the names that exist", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("#", MaxFileBytes+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("Load of a huge file = %v; want it refused", err)
	}
}

func TestLetters(t *testing.T) {
	for n, want := range map[int]string{0: "a", 25: "z", 26: "aa", 27: "ab", 701: "zz"} {
		if got := letters(n); got != want {
			t.Errorf("letters(%d) = %s, want %s", n, got, want)
		}
	}
}

func mustLoad(t *testing.T, name string) *Fleet {
	t.Helper()
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustNode(t *testing.T, fleet, name string) corev1.Node {
	t.Helper()
	for _, node := range mustLoad(t, fleet).Nodes() {
		if node.Name == name {
			return node
		}
	}
	t.Fatalf("fleet %s has no node %s", fleet, name)
	return corev1.Node{}
}
