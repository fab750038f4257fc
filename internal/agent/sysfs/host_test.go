package sysfs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const boot = "7d9c0f0e-3c3c-4a55-9d3b-9b1f5c3f3a10"

// tree is treeAt as a file system.
func tree(t *testing.T, files ...map[string]string) fs.FS {
	t.Helper()
	return os.DirFS(treeAt(t, files...))
}

// treeAt writes files below a new directory. A value that starts with "-> " is the
// target of a symbolic link. What every machine has comes with it.
func treeAt(t *testing.T, files ...map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"proc/sys/kernel/random/boot_id": boot,
		"proc/cpuinfo":                   "processor\t: 0\nflags\t\t: fpu lm\n",
	}
	for _, some := range files {
		maps.Copy(all, some)
	}
	for name, content := range all {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(content, "-> ")
		var err error
		if isLink {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(content+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// prefixed puts files below a directory.
func prefixed(dir string, files map[string]string) map[string]string {
	out := map[string]string{}
	for name, content := range files {
		out[dir+"/"+name] = content
	}
	return out
}

// about lists the devices that problems name.
func about(problems []machine.Problem) []string {
	var devices []string
	for _, p := range problems {
		devices = append(devices, p.Device)
	}
	slices.Sort(devices)
	return slices.Compact(devices)
}

var ignoreState = cmpopts.IgnoreUnexported(Host{})

func TestMachine(t *testing.T) {
	cases := map[string]struct {
		files    map[string]string
		want     Host
		problems []string
	}{
		"nothing else": {nil, Host{BootID: boot}, nil},
		"no boot id":   {map[string]string{"proc/sys/kernel/random/boot_id": ""}, Host{}, []string{"machine"}},
		"x86 guest":    {map[string]string{"proc/cpuinfo": "p: 0\nflags\t: fpu hypervisor lm\n"}, Host{BootID: boot, Virtual: true}, nil},
		"x86 with the name of a hypervisor": {
			map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU"}, Host{BootID: boot}, nil,
		},
		"Arm guest": {
			map[string]string{"proc/cpuinfo": "p: 0\nFeatures: fp\n", "sys/class/dmi/id/sys_vendor": "Google", "sys/class/dmi/id/product_name": "Google Compute Engine"},
			Host{BootID: boot, Virtual: true}, nil,
		},
		"Arm server":       {map[string]string{"proc/cpuinfo": "p: 0\nFeatures: fp\n", "sys/class/dmi/id/sys_vendor": "NVIDIA"}, Host{BootID: boot}, nil},
		"Arm guest of Xen": {map[string]string{"proc/cpuinfo": "p: 0\n", "sys/hypervisor/type": "xen"}, Host{BootID: boot, Virtual: true}, nil},
		"NUMA nodes, empty ones and bad ones": {prefixed("sys/devices/system/node", map[string]string{
			"node0/cpulist": "0-3", "node0/meminfo": "Node 0 MemTotal: 4 kB",
			"node2/cpulist": "", "node2/meminfo": "Node 2 MemTotal: 8 kB",
			"node3/cpulist": "", "node3/meminfo": "Node 3 MemTotal: 0 kB",
			"node4/cpulist": "4-7", "node4/meminfo": "what",
			"node10/cpulist": "8-x", "node10/meminfo": "Node 10 MemTotal: 1 kB",
			"node5/cpulist": "9", "possible": "0-10", "nodeX/cpulist": "1",
		}), Host{BootID: boot, NUMANodes: []machine.NUMANode{
			{ID: 0, CPUs: "0-3", MemoryBytes: 4096}, {ID: 2, MemoryBytes: 8192}, {ID: 4, CPUs: "4-7"}, {ID: 5, CPUs: "9"}, {ID: 10, MemoryBytes: 1024},
		}}, []string{"NUMA node10", "NUMA node4", "NUMA node5"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Read(tree(t, tc.files))
			if diff := cmp.Diff(tc.problems, about(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
			}
			got.Problems = nil
			if diff := cmp.Diff(tc.want, got, ignoreState); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// pciAt is a PCI function with a NUMA node.
func pciAt(dir, numa string) map[string]string {
	address := dir[strings.LastIndex(dir, "/")+1:]
	return map[string]string{
		"sys/devices/" + dir + "/numa_node": numa,
		"sys/bus/pci/devices/" + address:    "-> ../../../devices/" + dir,
	}
}

func TestNVMe(t *testing.T) {
	const disk = "pci0000:f0/0000:f0:01.0/0000:f1:00.0"
	at := "sys/devices/" + disk + "/nvme/nvme0"
	good := map[string]string{
		"model": "Fast Disk   ", "transport": "pcie", "address": "0000:f1:00.0", "nvme0n1/size": "1000", "nvme0c0n2/size": "24", "ng0n1/dev": "1",
	}
	link := map[string]string{"sys/class/nvme/nvme0": "-> ../../devices/" + disk + "/nvme/nvme0"}
	want := machine.NVMe{Name: "nvme0", Model: "Fast Disk", PCIAddress: "0000:f1:00.0", NUMANode: 1, SizeBytes: 1024 * 512}
	noSize, elsewhere := want, want
	noSize.SizeBytes = 24 * 512
	elsewhere.PCIAddress, elsewhere.NUMANode = "", machine.Unknown
	cases := map[string]struct {
		files    map[string]string
		want     []machine.NVMe
		problems []string
	}{
		"two namespaces, one of them a path": {nil, []machine.NVMe{want}, nil},
		"one namespace as disk and as path":  {map[string]string{at + "/nvme0c0n1/size": "24", at + "/nvme0n1/size": "24", at + "/nvme0c0n2/size": "1000"}, []machine.NVMe{want}, nil},
		"over a network":                     {map[string]string{at + "/transport": "tcp"}, nil, nil},
		"size that is no number":             {map[string]string{at + "/nvme0n1/size": "-5"}, []machine.NVMe{noSize}, []string{"nvme0"}},
		"size that overflows":                {map[string]string{at + "/nvme0n1/size": "9223372036854775807"}, []machine.NVMe{noSize}, []string{"nvme0"}},
		"another one that is a loop":         {map[string]string{"sys/class/nvme/nvme1": "-> nvme1"}, []machine.NVMe{want, {Name: "nvme1", NUMANode: machine.Unknown}}, []string{"nvme1", "sys/class/nvme/nvme1"}},
		"not on the PCI bus": {map[string]string{"sys/class/nvme/nvme0": "-> ../../devices/platform/x/nvme/nvme0", "sys/devices/platform/x/nvme/nvme0": "-> ../../../" + disk + "/nvme/nvme0"},
			[]machine.NVMe{elsewhere}, []string{"nvme0"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Read(tree(t, pciAt(disk, "1"), prefixed(at, good), link, tc.files))
			if diff := cmp.Diff(tc.want, got.NVMes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problems, about(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
			}
		})
	}
}
