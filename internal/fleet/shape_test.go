package fleet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// fleetOf is one machine of a shape in a leaf.
func fleetOf(t *testing.T, shape string, provider Provider, layer string) *Fleet {
	t.Helper()
	s := shapes[shape]
	pool := Pool{Name: "p", Shape: shape, Blocks: 1, Leaves: 1, Nodes: 1}
	if s.trays > 0 {
		pool.Leaves, pool.Racks, pool.Nodes = 0, 1, s.trays
	}
	if len(s.nics) > 0 {
		pool.NICGbps = 400
	}
	f := &Fleet{Name: "one", Provider: provider, Fabric: Fabric{Name: "fabric-a", LinkLayer: layer}, Pools: []Pool{pool}}
	if err := f.validate(); err != nil {
		t.Fatal(err)
	}
	return f
}

// What a provider publishes of a shape follows from the maker of its GPUs.
func TestVendors(t *testing.T) {
	type published struct {
		Resource, Taint string
		Labels          map[string]string
	}
	const brand, model = "doks.digitalocean.com/gpu-brand", "doks.digitalocean.com/gpu-model"
	cases := map[string]struct {
		shape    string
		provider Provider
		want     published
	}{
		"H200 on doks": {"HGX-H200x8", ProviderDOKS, published{
			"nvidia.com/gpu", "nvidia.com/gpu", map[string]string{brand: "nvidia", model: "h200"},
		}},
		"H200 on gke": {"HGX-H200x8", ProviderGKE, published{"nvidia.com/gpu", "", map[string]string{
			"cloud.google.com/gke-accelerator": "nvidia-h200-141gb", "nvidia.com/gpu.product": "NVIDIA-H200",
			"nvidia.com/gpu.memory": "143771", "nvidia.com/gpu.compute.major": "9",
		}}},
		"MI300X on doks": {"MI300Xx8", ProviderDOKS, published{
			"amd.com/gpu", "amd.com/gpu", map[string]string{brand: "amd", model: "mi300x"},
		}},
		"MI300X on bare metal": {"MI300Xx8", ProviderNone, published{"amd.com/gpu", "", map[string]string{
			"amd.com/gpu.device-id": "74a1", "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM",
			"amd.com/gpu.vram": "192G", "amd.com/gpu.family": "AI",
		}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			node := fleetOf(t, tc.shape, tc.provider, "Ethernet").Nodes()[0]
			got := published{Labels: map[string]string{}}
			for _, resource := range []string{"nvidia.com/gpu", "amd.com/gpu"} {
				if amount, found := node.Status.Allocatable[corev1.ResourceName(resource)]; found && amount.Value() == 8 {
					got.Resource += resource
				}
			}
			for _, taint := range node.Spec.Taints {
				got.Taint += taint.Key
			}
			for key, value := range node.Labels {
				_, wanted := tc.want.Labels[key]
				if wanted || strings.HasPrefix(key, "amd.com/") || tc.want.Resource == "amd.com/gpu" && strings.HasPrefix(key, "nvidia.com/") {
					got.Labels[key] = value
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	f := fleetOf(t, "MI300Xx8", ProviderNone, "Ethernet")
	f.Provider = ProviderGKE
	if err := f.validate(); err == nil || !strings.Contains(err.Error(), "gke does not offer it") {
		t.Errorf("MI300X on gke: %v; want it refused", err)
	}
}

// XGMI runs between every two GPUs and ends on no switch.
func TestXGMI(t *testing.T) {
	report := fleetOf(t, "MI300Xx8", ProviderNone, "InfiniBand").Reports()[0].Status.Node
	got := map[string]int{}
	for _, link := range report.NVLinks {
		if link.Links != 1 || link.From == link.To {
			t.Errorf("bundle %+v", link)
		}
		got[link.From+link.To]++
	}
	want := map[string]int{}
	for i, from := range report.Accelerators {
		for j, to := range report.Accelerators {
			if i != j {
				want[from.UUID+to.UUID] = 1
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bundles (-want +got):\n%s", diff)
	}
	first := report.Accelerators[0]
	if first.ComputeCapability != "gfx942" || first.PCIID != "1002:74a1" || first.MemoryBytes>>30 != 191 {
		t.Errorf("GPU 0 is %+v", first)
	}
	if len(first.UUID) != len("GPU-")+16 {
		t.Errorf("UUID %s; want GPU- and 16 digits", first.UUID)
	}
	h200 := fleetOf(t, "HGX-H200x8", ProviderNone, "InfiniBand").Reports()[0].Status.Node.Accelerators[0]
	if h200.PCIID != "10de:2335" || h200.MemoryBytes>>20 != 143771 || h200.ComputeCapability != "9.0" || h200.Health != v1alpha1.DeviceHealthy {
		t.Errorf("H200 is %+v", h200)
	}
}
