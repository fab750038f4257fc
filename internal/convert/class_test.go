package convert

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
)

func readClass(t *testing.T, file string) v1alpha1.AcceleratorClass {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", file))
	if err != nil {
		t.Fatal(err)
	}
	var class v1alpha1.AcceleratorClass
	if err := yaml.UnmarshalStrict(data, &class); err != nil {
		t.Fatal(err)
	}
	return class
}

func samples(t *testing.T) []v1alpha1.AcceleratorClass {
	t.Helper()
	return []v1alpha1.AcceleratorClass{readClass(t, "acceleratorclass_h100_sxm_80gb.yaml"), readClass(t, "acceleratorclass_h200_sxm_141gb.yaml")}
}

func quantity(text string) *resource.Quantity { return new(resource.MustParse(text)) }

func TestProfilesOfTheSamples(t *testing.T) {
	classes := samples(t)
	classes[0].Status.Measured = []v1alpha1.MeasuredFigure{
		{Name: v1alpha1.FigureBF16, P50: quantity("790.5")},
		{Name: v1alpha1.FigureAllReduce, P50: quantity("370")},
		{Name: v1alpha1.FigureFP16},
	}
	classes[1].Spec.Match.MinMemory = quantity("100Gi")
	classes[1].Spec.Match.ProductNames = []string{"NVIDIA H200"}
	label := func(key string, values ...string) capability.Term { return capability.Term{{Key: key, Values: values}} }
	nvlink := capability.Interconnect{Kind: "NVLink", Generation: 4, GBps: capability.Figure{Datasheet: 900}}
	want := []capability.Profile{
		{
			Name: "h100-sxm-80gb", Vendor: "NVIDIA", Family: "Hopper", Model: "H100 SXM5 80GB",
			MemoryBytes: 80e9, MemoryGBps: capability.Figure{Datasheet: 3350},
			TFLOPS: [5]capability.Figure{
				capability.BF16: {Datasheet: 989, Measured: 790.5}, capability.FP8: {Datasheet: 1979}, capability.FP64: {Datasheet: 67},
			},
			Features: []string{"BF16", "FP8", "MIG"}, Interconnect: nvlink,
			Match: capability.Match{PCIIDs: []string{"10de:2330"}, NodeLabels: []capability.Term{
				label("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"),
				label("cloud.google.com/gke-accelerator", "nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
				label("doks.digitalocean.com/gpu-model", "h100"),
			}},
		},
		{
			Name: "h200-sxm-141gb", Vendor: "NVIDIA", Family: "Hopper", Model: "H200 SXM 141GB",
			MemoryBytes: 141e9, MemoryGBps: capability.Figure{Datasheet: 4800},
			TFLOPS:   [5]capability.Figure{capability.BF16: {Datasheet: 989}, capability.FP8: {Datasheet: 1979}},
			Features: []string{"BF16", "FP8", "MIG"}, Interconnect: nvlink, Fallback: []string{"h100-sxm-80gb"},
			Match: capability.Match{
				PCIIDs: []string{"10de:2335"}, Products: []string{"NVIDIA H200"}, MinMemoryBytes: 100 << 30,
				NodeLabels: []capability.Term{label("nvidia.com/gpu.product", "NVIDIA-H200")},
			},
		},
	}
	if diff := cmp.Diff(want, Profiles(classes)); diff != "" {
		t.Errorf("Profiles() (-want +got):\n%s", diff)
	}
}

func TestResourceName(t *testing.T) {
	cases := map[string]struct {
		spec v1alpha1.AcceleratorClassSpec
		want string
	}{
		"what the class says":              {v1alpha1.AcceleratorClassSpec{Vendor: "NVIDIA", ResourceName: "example.com/gpu"}, "example.com/gpu"},
		"NVIDIA, however it is written":    {v1alpha1.AcceleratorClassSpec{Vendor: "nvidia"}, "nvidia.com/gpu"},
		"AMD":                              {v1alpha1.AcceleratorClassSpec{Vendor: "AMD"}, "amd.com/gpu"},
		"another vendor offers no devices": {v1alpha1.AcceleratorClassSpec{Vendor: "Intel"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ResourceName(&tc.spec); got != tc.want {
				t.Errorf("ResourceName() = %q, want %q", got, tc.want)
			}
		})
	}
}

func capabilities(c v1alpha1.AcceleratorCapabilities) *v1alpha1.AcceleratorRequest {
	return &v1alpha1.AcceleratorRequest{Capabilities: &c}
}

func figure0(name v1alpha1.FigureName, value string) []v1alpha1.MinFigure {
	return []v1alpha1.MinFigure{{Name: name, Value: quantity(value)}}
}

func TestRoleClasses(t *testing.T) {
	cases := map[string]struct {
		request *v1alpha1.AcceleratorRequest
		none    bool
		want    []string
		wantErr string
	}{
		"no request, any node": {},
		"a class by name":      {request: &v1alpha1.AcceleratorRequest{ClassName: "h100-sxm-80gb"}, want: []string{"h100-sxm-80gb"}},
		"a class and then its fallback": {
			request: &v1alpha1.AcceleratorRequest{ClassName: "h200-sxm-141gb"}, want: []string{"h200-sxm-141gb", "h100-sxm-80gb"},
		},
		"what is not there has to be created": {
			request: &v1alpha1.AcceleratorRequest{ClassName: "b200"},
			wantErr: "roles[w].accelerator: there is no AcceleratorClass \"b200\": create it, or name one of `kubectl get acceleratorclasses`",
		},
		"the least class that suffices first": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{MinMemory: quantity("80G"), Features: []string{"FP8"}}),
			want:    []string{"h100-sxm-80gb", "h200-sxm-141gb"},
		},
		"memory leaves one": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{MinMemory: quantity("100G")}), want: []string{"h200-sxm-141gb"},
		},
		"a rate leaves one": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{MinFigures: figure0(v1alpha1.FigureMemoryBandwidth, "4000")}),
			want:    []string{"h200-sxm-141gb"},
		},
		"nothing offers it: how far the nearest are": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{MinMemory: quantity("180G"), Features: []string{"FP4"}, MinFigures: figure0(v1alpha1.FigureFP4, "5000")}),
			wantErr: "roles[w].accelerator: no AcceleratorClass offers these capabilities, ask for less or create one that does; nearest: " +
				"h200-sxm-141gb (memoryBytes is 141000000000, wanted 180000000000, FP4 TFLOPS is unknown, lacks feature FP4); " +
				"h100-sxm-80gb (memoryBytes is 80000000000, wanted 180000000000, FP4 TFLOPS is unknown, lacks feature FP4)",
		},
		"a figure that cannot be asked for": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{MinFigures: figure0(v1alpha1.FigureAllReduce, "1")}),
			wantErr: "roles[w].accelerator: minFigures[AllReduceGBps]: cannot be asked for: use a TeraFLOPS figure or MemoryGBps",
		},
		"no classes at all": {
			request: capabilities(v1alpha1.AcceleratorCapabilities{Features: []string{"FP8"}}), none: true,
			wantErr: "roles[w].accelerator: no AcceleratorClass exists: create one, or remove accelerator",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			profiles := Profiles(samples(t))
			if tc.none {
				profiles = nil
			}
			worker := role("w", 1)
			worker.Accelerator = tc.request
			got, err := RoleClasses(&v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker))}, profiles)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(tc.wantErr, text); diff != "" {
				t.Fatalf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, got["w"]); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodeFacts(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}}
	report := &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{
		{UUID: "GPU-0", PCIID: "10de:2330", ProductName: "NVIDIA H100 80GB HBM3", MemoryBytes: 80 << 30, ComputeCapability: "9.0"},
	}}
	want := capability.Facts{
		Labels:  node.Labels,
		Devices: []capability.Device{{ID: "GPU-0", PCIID: "10de:2330", Product: "NVIDIA H100 80GB HBM3", MemoryBytes: 80 << 30, ComputeCapability: "9.0"}},
	}
	if diff := cmp.Diff(want, NodeFacts(node, report)); diff != "" {
		t.Errorf("NodeFacts() (-want +got):\n%s", diff)
	}
	if got := NodeFacts(node, nil); got.Devices != nil {
		t.Errorf("NodeFacts() without a report has devices: %v", got.Devices)
	}
}
