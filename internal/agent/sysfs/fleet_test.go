package sysfs

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// oneOf is a fleet of one machine of the shape, or of one rack.
func oneOf(t testing.TB, shape string, provider fleet.Provider, layer string) *fleet.Fleet {
	t.Helper()
	place, speed := "blocks: 1, leaves: 1, nodes: 1", ", nicGbps: 400"
	switch shape {
	case "GB200-NVL72":
		place = "blocks: 1, racks: 1, nodes: 18"
	case "CPU", "L40S":
		speed = ""
	}
	f, err := fleet.Parse(fmt.Appendf(nil, "name: one\nprovider: %s\nfabric: {name: fabric-a, linkLayer: %s}\npools:\n- {name: p, shape: %s, %s%s}\n",
		provider, layer, shape, place, speed))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// driverOf is what an NVIDIA driver tells of the reported GPUs; it leaves NUMA to
// the kernel.
func driverOf(report *v1alpha1.NodeReport) []machine.GPU {
	var gpus []machine.GPU
	for _, a := range report.Accelerators {
		gpu := machine.GPU{
			UUID: a.UUID, Index: int(*a.Index), Name: a.ProductName, PCIAddress: a.PCIAddress, PCIID: a.PCIID, NUMANode: machine.Unknown,
			MemoryTotal: a.MemoryBytes, MemoryReserved: machine.Unknown, ComputeCapability: a.ComputeCapability,
			C2CGBps: int(a.C2CGBps), TemperatureC: machine.Unknown,
		}
		if a.MIGMode != "" {
			gpu.MIGMode = new(bool)
		}
		if a.MemoryReservedBytes != nil {
			gpu.MemoryReserved = *a.MemoryReservedBytes
		}
		gpus = append(gpus, gpu)
	}
	return gpus
}

// Every generated machine reads as its fleet's report says.
func TestEveryShape(t *testing.T) {
	for _, shape := range fleet.ShapeNames() {
		for _, provider := range []fleet.Provider{fleet.ProviderNone, fleet.ProviderDOKS, fleet.ProviderGKE} {
			for _, layer := range []string{"InfiniBand", "Ethernet"} {
				if provider == fleet.ProviderDOKS && layer == "InfiniBand" {
					continue // DOKS has RoCE only.
				}
				t.Run(fmt.Sprintf("%s on %s over %s", shape, provider, layer), func(t *testing.T) {
					if shape == "CPU" || provider == fleet.ProviderGKE && (shape == "MI300Xx8" || shape == "L40S" || shape == "A100-PCIe") {
						t.Skip("no report, or not offered")
					}
					f := oneOf(t, shape, provider, layer)
					dir := t.TempDir()
					if err := f.Sysfs(f.Machines()[0], dir); err != nil {
						t.Fatal(err)
					}
					compare(t, Read(os.DirFS(dir)), f.Reports()[0].Status.Node, layer)
				})
			}
		}
	}
}

func compare(t *testing.T, host Host, want *v1alpha1.NodeReport, layer string) {
	t.Helper()
	gpus, isAMD := host.GPUs, len(host.GPUs) > 0
	if !isAMD {
		gpus = driverOf(want)
		for i := range gpus {
			gpus[i].NUMANode = host.NUMAOf(gpus[i].PCIAddress)
		}
	}
	got, _, _ := machine.Report(machine.Facts{
		BootID: host.BootID, Virtual: host.Virtual, Driver: host.AMDDriver, NUMANodes: host.NUMANodes, GPUs: gpus, Links: host.Links,
		NICs: host.NICs, NVMes: host.NVMes, Relations: host.Relate(gpus), Problems: host.Problems,
	}, machine.History{})
	if len(host.Problems) > 0 {
		t.Errorf("problems: %v", host.Problems)
	}
	got.AgentVersion = want.AgentVersion
	if !isAMD {
		// What only the driver tells.
		got.DriverVersion, got.NVLinks, got.NVLinkFabric = want.DriverVersion, want.NVLinks, want.NVLinkFabric
	}
	var nearGPUs []v1alpha1.PCIeRelation
	want.PCIeRelations, nearGPUs = split(want)
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("report over %s (-want +got):\n%s", layer, diff)
	}
	address := map[string]string{}
	for _, a := range want.Accelerators {
		address[a.UUID] = a.PCIAddress
	}
	r := &reader{fsys: host.fsys}
	for _, pair := range nearGPUs {
		if path := relation(r.pciDevice(address[pair.From]), r.pciDevice(address[pair.To])); path != string(pair.Path) {
			t.Errorf("%s to %s is %q, want %s", address[pair.From], address[pair.To], path, pair.Path)
		}
	}
}

// split separates the relations to other devices from those among GPUs, which
// the driver tells.
func split(report *v1alpha1.NodeReport) (devices, gpus []v1alpha1.PCIeRelation) {
	isGPU := map[string]bool{}
	for _, a := range report.Accelerators {
		isGPU[a.UUID] = true
	}
	for _, relation := range report.PCIeRelations {
		if isGPU[relation.To] {
			gpus = append(gpus, relation)
		} else {
			devices = append(devices, relation)
		}
	}
	return devices, gpus
}
