package sysfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// hostile is a root where everything that can be wrong is, around one sound RDMA
// device, NVMe controller, NUMA node and AMD accelerator. crowd is the number of
// links to nothing in each class of devices.
func hostile(t *testing.T, crowd int) string {
	t.Helper()
	garbage := "\xff\x00\x1b[2J" + strings.Repeat("9", 4000)
	huge := strings.Repeat("1: CA ", 64<<10)
	files := []map[string]string{
		pciAt(nearCPU, "0"), pciAt(farCPU, garbage), adapter("mlx5_0", nearCPU, nil),
		adapter("mlx5_1", farCPU, map[string]string{"node_type": garbage}),
		adapter("mlx5_2", farCPU, map[string]string{"node_guid": garbage, "ports/1/state": huge, "ports/1/rate": garbage, "ports/1/link_layer": "Ethernet", "ports/1/gids/0": huge}),
		adapter("mlx5_3", farCPU, map[string]string{"ports/1/link_layer": "-> link_layer", "node_guid": "-> ../mlx5_3/node_guid"}),
		adapter("mlx5_4", farCPU, map[string]string{"node_guid/deeper": "a directory", "node_guid": "none", "ports/1": "none", "ports/1/state/deeper": "", "ports/1/state": "none"}),
		adapter("mlx5_5", farCPU, map[string]string{"ports/99999999999/state": "4: ACTIVE", "ports/1/state": "none"}),
		prefixed("sys/class/nvme/nvme0", map[string]string{"model": "sound", "transport": "pcie", "nvme0n1/size": "2"}),
		prefixed("sys/class/nvme/nvme1", map[string]string{"model": huge, "transport": "pcie", "nvme1n1/size": garbage, "device": "-> ../../../../../../../../../etc"}),
		{"sys/class/nvme/nvme2": "-> nvme3", "sys/class/nvme/nvme3": "-> nvme2"},
		prefixed("sys/devices/system/node", map[string]string{
			"node0/cpulist": "0-3", "node0/meminfo": "Node 0 MemTotal: 4 kB", "node1/cpulist": garbage, "node1/meminfo": garbage,
			"node99999999999999999999/cpulist": "0", "node2/cpulist": huge, "node3": "a file", "node4/cpulist": "-> /dev/zero", "node4/meminfo": "-> /dev/zero",
		}),
		accelerator(2, nil), {kfdNodes + "/3/properties": garbage, kfdNodes + "/4/properties": huge, kfdNodes + "/5/properties": "simd_count 1\ngfx_target_version " + garbage},
		{
			kfdNodes + "/2/io_links/0/properties": garbage, kfdNodes + "/2/mem_banks/7/properties": "heap_type 1\nsize_in_bytes 0",
			"proc/cpuinfo": garbage, "proc/1/net/route": garbage + huge, "proc/1/net/ipv6_route": huge,
			"proc/sys/kernel/random/boot_id": garbage, "sys/class/dmi/id/sys_vendor": huge, "sys/hypervisor/type": "-> type", amdgpu: huge,
		},
	}
	for _, class := range []string{rdmaClass, "sys/class/nvme"} {
		many := map[string]string{}
		for i := range crowd {
			many[fmt.Sprintf("%s/zz%d", class, i)] = "-> ../../devices/zz"
		}
		many[class+"/a\nname\x1b[2J"], many[class+"/"+strings.Repeat("long", 60)] = "", ""
		files = append(files, many)
	}
	dir := treeAt(t, files...)
	fifo := dir + "/sys/devices/" + nearCPU + "/infiniband/mlx5_0/ports/2/link_layer"
	if err := os.MkdirAll(path.Dir(fifo), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a report may carry, whatever the kernel says.
func check(t *testing.T, host Host) {
	t.Helper()
	plain := func(what, text string, limit int) {
		if len(text) > limit || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%s is %q", what, text)
		}
	}
	if len(host.Problems) > maxProblems+1 {
		t.Errorf("%d problems", len(host.Problems))
	}
	for _, p := range host.Problems {
		plain("device", p.Device, maxName)
		plain("problem", p.What, maxWhat)
	}
	for _, n := range host.NICs {
		plain("name", n.Name, maxName+4)
		plain("interface", n.Interface, maxName)
		plain("subnet", n.Subnet, maxName)
		if n.State == "" || n.LinkLayer == "" || n.NUMANode < machine.Unknown || n.Gbps < 0 || n.Gbps > maxGbps {
			t.Errorf("port %+v", n)
		}
	}
	for _, n := range host.NVMes {
		plain("name", n.Name, maxName)
		plain("model", n.Model, maxText)
		if n.SizeBytes < 0 {
			t.Errorf("NVMe %+v", n)
		}
	}
	for _, gpu := range host.GPUs {
		plain("GPU's name", gpu.Name, maxText)
		if _, isAddress := parseAddress(gpu.PCIAddress); !isAddress || gpu.UUID == "" || len(gpu.PCIID) != 9 {
			t.Errorf("GPU %+v", gpu)
		}
	}
	plain("driver", host.AMDDriver, maxName)
	plain("boot id", host.BootID, maxName)
}

func TestHostileTree(t *testing.T) {
	host := Read(os.DirFS(hostile(t, 5000)))
	check(t, host)
	if len(host.Problems) != maxProblems+1 {
		t.Errorf("%d problems: want %d and the count of the rest", len(host.Problems), maxProblems)
	}
	if len(host.NUMANodes) == 0 || host.NUMANodes[0] != (machine.NUMANode{ID: 0, CPUs: "0-3", MemoryBytes: 4096}) {
		t.Errorf("NUMA nodes %v", host.NUMANodes)
	}
	if len(host.NVMes) > maxEntries || len(host.NICs) > maxEntries {
		t.Errorf("%d NVMe controllers and %d ports", len(host.NVMes), len(host.NICs))
	}
	if len(host.GPUs) != 1 || host.GPUs[0].UUID != "GPU-000000000000abc2" {
		t.Errorf("GPUs %+v", host.GPUs)
	}
}

// A sound device stands among broken ones.
func TestBadDevicesHideNone(t *testing.T) {
	host := Read(os.DirFS(hostile(t, 0)))
	check(t, host)
	if len(host.NICs) == 0 || host.NICs[0] != port("mlx5_0", nil) {
		t.Errorf("ports %+v", host.NICs)
	}
	if len(host.NVMes) == 0 || host.NVMes[0].Model != "sound" || host.NVMes[0].SizeBytes != 1024 {
		t.Errorf("NVMe %+v", host.NVMes)
	}
	for _, device := range []string{"mlx5_0/2", "mlx5_1", "mlx5_2", "mlx5_3", "mlx5_4", "nvme1", "nvme2", "NUMA node1", "NUMA node2", "NUMA node3", "NUMA node4", "AMD node 3", "AMD node 4", "AMD node 5", "machine"} {
		found := false
		for _, p := range host.Problems {
			found = found || p.Device == device
		}
		if !found {
			t.Errorf("no problem names %s: %v", device, host.Problems)
		}
	}
}

// locked refuses to open some names, as for an agent without the right to.
type locked struct {
	fs.FS
	names []string
}

func (l locked) Open(name string) (fs.File, error) {
	for _, hidden := range l.names {
		if strings.HasPrefix(name, hidden) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
	}
	return l.FS.Open(name)
}

func (l locked) ReadLink(name string) (string, error)   { return fs.ReadLink(l.FS, name) }
func (l locked) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(l.FS, name) }
func (l locked) Stat(name string) (fs.FileInfo, error)  { return fs.Stat(l.FS, name) }

func TestNoPermission(t *testing.T) {
	root := tree(t, pciAt(nearCPU, "0"), adapter("mlx5_0", nearCPU, nil), accelerator(2, nil), map[string]string{"sys/class/nvme/nvme0/model": "m"})
	for _, hidden := range []string{"sys/class/nvme", "sys/class/kfd", "proc/", "sys/devices", "sys/class/infiniband/mlx5_0/ports"} {
		t.Run(hidden, func(t *testing.T) {
			host := Read(locked{root, []string{hidden}})
			check(t, host)
			found := false
			for _, p := range host.Problems {
				found = found || strings.Contains(p.What, "permission denied")
			}
			if !found {
				t.Errorf("no problem tells of it: %v", host.Problems)
			}
			if !strings.HasPrefix(hidden, "sys/class/inf") && len(host.NICs) != 1 {
				t.Errorf("ports %v", host.NICs)
			}
		})
	}
}
