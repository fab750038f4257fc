package sysfs

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// accelerator is node n of the topology: a device at PCI bus n with two banks of
// memory, with changes to its properties.
func accelerator(n int, changes map[string]string) map[string]string {
	properties := map[string]string{
		"simd_count": "1216", "gfx_target_version": "90402", "vendor_id": "4098", "device_id": "29857",
		"location_id": fmt.Sprint(n << 8), "domain": "0", "unique_id": fmt.Sprint(0xabc0 + n),
	}
	maps.Copy(properties, changes)
	var text strings.Builder
	for name, value := range properties {
		fmt.Fprintf(&text, "%s %s\n", name, value)
	}
	return prefixed(fmt.Sprintf("%s/%d", kfdNodes, n), map[string]string{
		"properties": text.String(), "name": "ip discovery",
		"mem_banks/0/properties": "heap_type 1\nsize_in_bytes 1024", "mem_banks/1/properties": "heap_type 0\nsize_in_bytes 4096",
	})
}

func cpuNode(n int) map[string]string {
	return map[string]string{fmt.Sprintf("%s/%d/properties", kfdNodes, n): "cpu_cores_count 48\nsimd_count 0\ngfx_target_version 0"}
}

func ioLink(from, k, kind, to, one, all int) map[string]string {
	return map[string]string{fmt.Sprintf("%s/%d/io_links/%d/properties", kfdNodes, from, k): fmt.Sprintf(
		"type %d\nnode_from %d\nnode_to %d\nmin_bandwidth %d\nmax_bandwidth %d", kind, from, to, one, all)}
}

// amdGPU is what accelerator(n) reads as in a machine without PCI tree.
func amdGPU(n int, uuid string) machine.GPU {
	return machine.GPU{
		UUID: uuid, Name: "ip discovery", PCIAddress: fmt.Sprintf("0000:%02x:00.0", n), PCIID: "1002:74a1", NUMANode: machine.Unknown,
		MemoryTotal: 1024, MemoryReserved: machine.Unknown, MemoryUsed: machine.Unknown, ComputeCapability: "gfx942", TemperatureC: machine.Unknown,
	}
}

func TestAMD(t *testing.T) {
	const second, third = "GPU-000000000000abc2", "GPU-000000000000abc3"
	both := func(a, b machine.GPU) []machine.GPU {
		b.Index = 1
		a.Peers, b.Peers = []machine.Peer{{UUID: b.UUID}}, []machine.Peer{{UUID: a.UUID}}
		return []machine.GPU{a, b}
	}
	pair := both(amdGPU(2, second), amdGPU(3, third))
	made := func(n int) string { return "made for " + fmt.Sprint(n) } // filled in below
	cases := map[string]struct {
		files    []map[string]string
		gpus     []machine.GPU
		links    []machine.Link
		problems []string
	}{
		"two with one link and a way to the CPU": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), ioLink(2, 0, 2, 0, 64000, 64000), ioLink(2, 1, 11, 3, 50000, 50000), ioLink(3, 0, 11, 2, 64000, 128000)},
			pair, []machine.Link{{From: second, To: third, Total: 1, Active: 1, Gbps: 400}, {From: third, To: second, Total: 2, Active: 2, Gbps: 512}}, nil,
		},
		"XGMI to the CPU is no link among devices": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), ioLink(2, 0, 11, 0, 64000, 64000)}, pair, nil, nil,
		},
		"links of unknown speed, twice, to nowhere, and garbage": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), ioLink(2, 0, 11, 3, 0, 0), ioLink(2, 1, 11, 3, 1, 1), ioLink(2, 2, 11, 9, 1, 1),
				ioLink(3, 0, 11, 2, 1<<62, 1<<62), {kfdNodes + "/3/io_links/7/properties": "type"}, {kfdNodes + "/3/io_links/8/x": ""}},
			pair, []machine.Link{{From: second, To: third, Total: 1, Active: 1}, {From: third, To: second, Total: 1, Active: 1}}, []string{"AMD node 2", "AMD node 3"},
		},
		"far more connections than a device has": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), ioLink(2, 0, 11, 3, 125, 1<<40)},
			pair, []machine.Link{{From: second, To: third, Total: maxLinks, Active: maxLinks, Gbps: 1}}, nil,
		},
		"no unique ids": {
			[]map[string]string{accelerator(2, map[string]string{"unique_id": "0"}), accelerator(3, map[string]string{"unique_id": "0"}), {"etc/machine-id": "m"}},
			both(amdGPU(2, made(2)), amdGPU(3, made(3))), nil, nil,
		},
		"no unique id of the machine either": {
			[]map[string]string{accelerator(2, nil), accelerator(3, map[string]string{"unique_id": "0"})},
			both(amdGPU(2, second), amdGPU(3, made(3))), nil, []string{"0000:03:00.0"},
		},
		"one unique id twice": {
			[]map[string]string{accelerator(2, nil), accelerator(3, map[string]string{"unique_id": fmt.Sprint(0xabc2)}), {"sys/class/dmi/id/product_uuid": "p"}},
			both(amdGPU(2, second), amdGPU(3, made(3))), nil, nil,
		},
		"partitions of one device": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), accelerator(4, map[string]string{"location_id": fmt.Sprint(2<<8 | 1<<28)}), ioLink(3, 0, 11, 4, 64000, 64000)},
			pair, []machine.Link{{From: third, To: second, Total: 1, Active: 1, Gbps: 512}}, nil,
		},
		"one that is no device, one no version, one unreadable": {
			[]map[string]string{accelerator(2, nil), accelerator(3, nil), accelerator(4, map[string]string{"vendor_id": "0"}),
				accelerator(5, map[string]string{"gfx_target_version": "7"}), {kfdNodes + "/6/name": ""}, {kfdNodes + "/x/name": ""}},
			pair, nil, []string{"AMD node 4", "AMD node 5", "AMD node 6"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			files := append(tc.files, cpuNode(0), cpuNode(1))
			for n := 2; n < 6; n++ { // The PCI bus knows the devices, at places that say nothing.
				files = append(files, map[string]string{fmt.Sprintf("sys/bus/pci/devices/0000:%02x:00.0", n): fmt.Sprintf("-> ../../../devices/pci00%02x:00/00%02x:00:00.0/0000:%02x:00.0", n, n, n)})
			}
			root := tree(t, files...)
			got := Read(root)
			for i := range tc.gpus {
				tc.gpus[i] = replaceMade(&reader{fsys: root}, tc.gpus[i])
			}
			if diff := cmp.Diff(tc.gpus, got.GPUs); diff != "" {
				t.Errorf("GPUs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.links, got.Links); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problems, about(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
			}
		})
	}
}

// replaceMade fills in UUIDs that follow from the machine.
func replaceMade(r *reader, gpu machine.GPU) machine.GPU {
	uuid := func(text string) string {
		if n, found := strings.CutPrefix(text, "made for "); found {
			return r.madeUUID("0000:0" + n + ":00.0")
		}
		return text
	}
	gpu.UUID = uuid(gpu.UUID)
	for i := range gpu.Peers {
		gpu.Peers[i].UUID = uuid(gpu.Peers[i].UUID)
	}
	return gpu
}

// A made id stays the same, and is another one on another machine and in another
// slot.
func TestMadeUUID(t *testing.T) {
	one, two := &reader{fsys: tree(t, map[string]string{"etc/machine-id": "one"})}, &reader{fsys: tree(t, map[string]string{"etc/machine-id": "two"})}
	ids := []string{one.madeUUID("0000:03:00.0"), one.madeUUID("0000:04:00.0"), two.madeUUID("0000:03:00.0")}
	if ids[0] == ids[1] || ids[0] == ids[2] || ids[1] == ids[2] || ids[0] != one.madeUUID("0000:03:00.0") {
		t.Errorf("ids %v", ids)
	}
}

// The driver's own figures count before those of the topology.
func TestAMDMemory(t *testing.T) {
	at := "sys/devices/pci0002:00/0002:00:00.0/"
	got := Read(tree(t, accelerator(2, nil), pciAt("pci0002:00/0002:00:00.0/0000:02:00.0", "1"), map[string]string{
		at + "0000:02:00.0/mem_info_vram_total": "2048", at + "0000:02:00.0/mem_info_vram_used": "5", at + "0000:02:00.0/product_name": "AMD Instinct",
		amdgpu: "6.12.12",
	}))
	want := amdGPU(2, "GPU-000000000000abc2")
	want.Name, want.NUMANode, want.MemoryTotal, want.MemoryUsed = "AMD Instinct", 1, 2048, 5
	if diff := cmp.Diff([]machine.GPU{want}, got.GPUs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.AMDDriver != "6.12.12" || len(got.Problems) > 0 {
		t.Errorf("driver %q, problems %v", got.AMDDriver, got.Problems)
	}
}
