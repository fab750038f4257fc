package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func stored(t *testing.T, namespace string, generation int64, leaf string) corev1.ConfigMap {
	t.Helper()
	scan := topology.Scan{Leaves: []topology.LeafSwitch{{GUID: leaf, Fabric: "00000000000000f0", Adapters: []uint64{1}}}}
	parts, err := fabricscan.Parts(scan, fabricscan.Sets[generation%2], fabricscan.Info{Generation: generation})
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	parts[0].Namespace, parts[0].ResourceVersion = namespace, leaf
	return parts[0]
}

// The last scan that could be read stays, until another one can be or all is
// gone.
func TestScanMemory(t *testing.T) {
	first, second := stored(t, "own", 1, "000000000000000a"), stored(t, "own", 2, "000000000000000b")
	torn := second.DeepCopy()
	torn.ResourceVersion, torn.BinaryData = "torn", nil
	loose := first.DeepCopy()
	loose.ResourceVersion, loose.Annotations = "loose", nil
	elsewhere := torn.DeepCopy()
	elsewhere.Namespace = "elsewhere"
	var m scanMemory
	steps := []struct {
		what    string
		parts   []corev1.ConfigMap
		leaf    string
		problem string
	}{
		{"nothing", nil, "", ""},
		{"what cannot be read", []corev1.ConfigMap{*loose}, "", "no ConfigMap with the label"},
		{"a first scan", []corev1.ConfigMap{first}, "000000000000000a", ""},
		{"the same once more", []corev1.ConfigMap{first}, "000000000000000a", ""},
		{"a second one that is torn", []corev1.ConfigMap{*torn, first}, "000000000000000a", "generation 2"},
		{"only what is torn", []corev1.ConfigMap{*torn}, "000000000000000a", "no scan of the fabric is whole"},
		{"the second one", []corev1.ConfigMap{first, second}, "000000000000000b", ""},
		{"what is torn in another namespace", []corev1.ConfigMap{*elsewhere}, "", "no scan of the fabric is whole"},
		{"the second one again", []corev1.ConfigMap{second}, "000000000000000b", ""},
		{"nothing again", nil, "", ""},
	}
	for _, step := range steps {
		scan, problem := m.read(step.parts)
		leaf := ""
		if len(scan.Leaves) > 0 {
			leaf = scan.Leaves[0].GUID
		}
		if leaf != step.leaf || !strings.Contains(problem, step.problem) || (problem == "") != (step.problem == "") {
			t.Errorf("%s: leaf %q, problem %q; want %q, %q", step.what, leaf, problem, step.leaf, step.problem)
		}
	}
}

// A world has the scan that is stored.
func TestWorldHasTheScan(t *testing.T) {
	s := testkit.APIServer(t)
	part := stored(t, s.Namespace, 1, "000000000000000a")
	part.ResourceVersion = ""
	unrelated := &corev1.ConfigMap{}
	unrelated.Name = "unrelated"
	s.Create(t, &part, unrelated)
	world, err := World(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	want := topology.Scan{Leaves: []topology.LeafSwitch{{GUID: "000000000000000a", Fabric: "00000000000000f0", Adapters: []uint64{1}}}}
	if diff := cmp.Diff(want, world.Scan); diff != "" || world.ScanProblem != "" {
		t.Errorf("the scan has problem %q (-want +got):\n%s", world.ScanProblem, diff)
	}
}
