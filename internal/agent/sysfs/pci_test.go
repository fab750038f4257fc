package sysfs

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// The words of `nvidia-smi topo -m`, from the real paths of two devices.
func TestRelation(t *testing.T) {
	const (
		root   = "pci0000:15/0000:15:01.0"
		gpu    = root + "/0000:16:00.0/0000:17:00.0/0000:18:00.0"
		second = "pci0000:37/0000:37:01.0/0000:38:00.0"
	)
	cases := map[string]struct {
		a, b         string
		numaA, numaB int
		want         string
	}{
		"two ports of one switch":                    {gpu, root + "/0000:16:00.0/0000:17:04.0/0000:1b:00.0", 0, 0, "PIX"},
		"two functions of one card":                  {gpu, root + "/0000:16:00.0/0000:17:00.0/0000:18:00.1", 0, 0, "PIX"},
		"a card behind a root port without a switch": {root + "/0000:16:00.0", root + "/0000:16:00.1", 0, 0, "PIX"},
		"a switch below the switch":                  {gpu, root + "/0000:16:00.0/0000:17:01.0/0000:19:00.0/0000:1a:00.0/0000:1b:00.0", 0, 0, "PXB"},
		"a bridge on the card below the switch":      {gpu, root + "/0000:16:00.0/0000:17:04.0/0000:1a:00.0/0000:1b:00.0", 0, 0, "PXB"},
		"two root ports":                             {gpu, "pci0000:15/0000:15:02.0/0000:20:00.0", 0, 0, "PHB"},
		"part of the processor itself":               {gpu, "pci0000:15/0000:15:00.4", 0, 0, "PHB"},
		"below a volume management device":           {gpu, "pci0000:15/0000:15:00.5/pci10000:e0/10000:e0:01.0/10000:e1:00.0", 0, 0, "PHB"},
		"one NUMA node":                              {gpu, second, 0, 0, "NODE"},
		"two NUMA nodes":                             {gpu, second, 0, 1, "SYS"},
		"NUMA node of one unknown":                   {gpu, second, machine.Unknown, 1, ""},
		"NUMA nodes of both unknown":                 {gpu, second, machine.Unknown, machine.Unknown, ""},
		"NUMA unknown on one host bridge":            {gpu, "pci0000:15/0000:15:02.0/0000:20:00.0", machine.Unknown, machine.Unknown, "PHB"},
		"equal buses of two domains":                 {gpu, strings.ReplaceAll(gpu, "0000:", "0001:"), 0, 0, "NODE"},
		"a host bridge below something else":         {"platform/x/" + gpu, "platform/x/pci0000:15/0000:15:02.0/0000:20:00.0", 0, 0, "PHB"},
		"not on the PCI bus":                         {gpu, "virtual/net/lo", 0, 0, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			at := func(dir string, numa int) device {
				_, _, chain := pciChain("sys/devices/" + dir)
				return device{chain: chain, numa: numa}
			}
			a, b := at(tc.a, tc.numaA), at(tc.b, tc.numaB)
			if got := relation(a, b); got != tc.want {
				t.Errorf("relation() = %q, want %q", got, tc.want)
			}
			if got := relation(b, a); got != tc.want {
				t.Errorf("the other way: relation() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPCIChain(t *testing.T) {
	deep := "sys/devices/pci0000:00" + strings.Repeat("/0000:00:01.0", maxDepth+1)
	cases := map[string]struct{ address, dir string }{
		"sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0":          {"0000:01:00.0", "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"},
		"sys/devices/pci0000:00/0000:00:01.0/mlx5_core.sf.4/infiniband/mlx5_5": {"0000:00:01.0", "sys/devices/pci0000:00/0000:00:01.0"},
		"sys/devices/pci0000:e0/0000:e0:00.5/pci10000:e0/10000:e1:00.0/nvme/n": {"10000:e1:00.0", "sys/devices/pci0000:e0/0000:e0:00.5/pci10000:e0/10000:e1:00.0"},
		"sys/devices/virtual/nvme-fabrics/ctl/nvme1":                           {},
		"sys/devices/pci0000:00":   {},
		"sys/devices/0000:00:01.0": {},
		deep:                       {},
		"":                         {},
	}
	for real, want := range cases {
		if address, dir, _ := pciChain(real); address != want.address || dir != want.dir {
			t.Errorf("pciChain(%.80q) = %q, %q; want %+v", real, address, dir, want)
		}
	}
}

func TestNUMAOf(t *testing.T) {
	files := []map[string]string{
		pciAt("pci0000:00/0000:00:01.0", "1"), pciAt("pci0000:00/0000:00:02.0", "-1"), pciAt("pci0000:00/0000:00:03.0", "many"),
		pciAt("pci0000:00/0000:00:04.0", "99999"), {"sys/bus/pci/devices/0000:00:05.0": "-> /sys/devices/pci0000:00/0000:00:01.0"},
		{"sys/bus/pci/devices/0000:00:06.0": "-> ../../../../../../etc/passwd"}, {"sys/bus/pci/devices/0000:00:07.0": "no link"},
		{"sys/bus/pci/devices/0000:00:08.0": "-> 0000:00:08.0"}, pciAt("pci0000:00/10000:00:01.0", "0"),
		{"sys/devices/pci0000:00/0000:00:09.0/numa_node": "1", "sys/bus/pci/devices/0000:00:09.0": "-> /sys/devices/pci0000:00/0000:00:09.0"},
	}
	host := Read(tree(t, files...))
	for address, want := range map[string]int{
		"0000:00:01.0": 1, "00000000:00:01.0": 1, "10000:00:01.0": 0, "0000:00:09.0": 1,
		"0000:00:02.0": -1, "0000:00:03.0": -1, "0000:00:04.0": -1, "0000:00:05.0": -1, "0000:00:06.0": -1, "0000:00:07.0": -1,
		"0000:00:08.0": -1, "0000:ff:00.0": -1, "": -1, "../../../proc": -1,
	} {
		if got := host.NUMAOf(address); got != want {
			t.Errorf("NUMAOf(%q) = %d, want %d", address, got, want)
		}
	}
	if got := (Host{}).NUMAOf("0000:00:01.0"); got != machine.Unknown {
		t.Errorf("a Host that nobody read knows NUMA node %d", got)
	}
}

// The NUMA node that a driver tells counts before the kernel's, and a GPU that the
// kernel does not know is related to nothing.
func TestRelate(t *testing.T) {
	host := Read(tree(t, pciAt("pci0000:10/0000:10:01.0/0000:11:00.0", "-1"), pciAt("pci0000:20/0000:20:01.0/0000:21:00.0", "1"),
		map[string]string{
			"sys/class/nvme/nvme0": "-> ../../devices/pci0000:20/0000:20:01.0/0000:21:00.0/nvme/nvme0",
			"sys/devices/pci0000:20/0000:20:01.0/0000:21:00.0/nvme/nvme0/model": "m",
		}))
	got := host.Relate([]machine.GPU{
		{UUID: "silent", PCIAddress: "0000:11:00.0", NUMANode: machine.Unknown}, {UUID: "near", PCIAddress: "0000:11:00.0", NUMANode: 1},
		{UUID: "far", PCIAddress: "0000:11:00.0", NUMANode: 0}, {UUID: "nowhere", PCIAddress: "0000:99:00.0", NUMANode: 1}, {UUID: "none"},
	})
	want := []machine.Relation{{From: "near", To: "nvme0", Path: "NODE"}, {From: "far", To: "nvme0", Path: "SYS"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if relations := (Host{}).Relate([]machine.GPU{{PCIAddress: "0000:11:00.0"}}); relations != nil {
		t.Errorf("relations %v of nothing", relations)
	}
	if got := Read(os.DirFS(t.TempDir() + "/none")); len(got.Problems) == 0 {
		t.Error("a root that is not there has no problem")
	}
}
