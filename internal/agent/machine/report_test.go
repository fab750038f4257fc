package machine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// hgx is a machine with n GPUs behind two NVLink switches, and an RDMA port on the
// PCIe switch of each.
func hgx(n int) Facts {
	f := Facts{BootID: "boot-1", Driver: "580.95.05", NUMANodes: []NUMANode{{ID: 0, CPUs: "0-47", MemoryBytes: 1 << 40}, {ID: 1, CPUs: "48-95", MemoryBytes: 1 << 40}}}
	for i := range n {
		gpu := GPU{
			UUID: fmt.Sprintf("GPU-%d", i), Index: i, Name: "NVIDIA H100 80GB HBM3", PCIAddress: fmt.Sprintf("0000:%02x:00.0", 0x10+i), PCIID: "10de:2330",
			NUMANode: i * 2 / n, MemoryTotal: 81559 << 20, MemoryReserved: 500 << 20, ComputeCapability: "9.0", TemperatureC: 40, MIGMode: new(false),
		}
		for j := range n {
			if j != i {
				gpu.Peers = append(gpu.Peers, Peer{UUID: fmt.Sprintf("GPU-%d", j), Path: "SYS", Access: new(true), NVLinkAccess: new(true)})
			}
		}
		f.GPUs = append(f.GPUs, gpu)
		for s := range 2 {
			f.Links = append(f.Links, Link{From: gpu.UUID, To: fmt.Sprintf("switch-0000:0%d:00.0", s), Total: 9, Active: 9, Gbps: 200, Version: "4.0"})
		}
		f.NICs = append(f.NICs, NIC{
			Name: fmt.Sprintf("mlx5_%d", i), GUID: fmt.Sprintf("0a7f:bc12:0034:%04x", i), PCIAddress: fmt.Sprintf("0000:%02x:00.0", 0x40+i),
			NUMANode: i * 2 / n, LinkLayer: "InfiniBand", Gbps: 400, State: "Active",
		})
	}
	for i := range n {
		for j := range n {
			path := "SYS"
			if i == j {
				path = "PIX"
			} else if i*2/n == j*2/n {
				path = "NODE"
			}
			f.Relations = append(f.Relations, Relation{From: f.GPUs[i].UUID, To: f.NICs[j].Name, Path: path})
		}
	}
	return f
}

// told is a condition as one text.
func told(t *testing.T, conditions []metav1.Condition, kind string) string {
	t.Helper()
	for _, c := range conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	t.Fatalf("there is no condition %s", kind)
	return ""
}

// A healthy machine is reported whole.
func TestReport(t *testing.T) {
	report, conditions, _ := Report(hgx(2), History{})
	want := v1alpha1.NodeReport{
		BootID: "boot-1", DriverVersion: "580.95.05", PCITopology: v1alpha1.PCITopologyPhysical,
		NUMANodes: []v1alpha1.NUMANode{{ID: new(int32(0)), CPUs: "0-47", MemoryBytes: 1 << 40}, {ID: new(int32(1)), CPUs: "48-95", MemoryBytes: 1 << 40}},
	}
	for i := range 2 {
		uuid, nic := fmt.Sprintf("GPU-%d", i), fmt.Sprintf("mlx5_%d", i)
		want.Accelerators = append(want.Accelerators, v1alpha1.Accelerator{
			UUID: uuid, Index: new(int32(i)), ProductName: "NVIDIA H100 80GB HBM3", PCIAddress: fmt.Sprintf("0000:%02x:00.0", 0x10+i), PCIID: "10de:2330",
			NUMANode: new(int32(i)), MemoryBytes: 81559 << 20, MemoryReservedBytes: new(int64(500 << 20)), ComputeCapability: "9.0",
			Health: v1alpha1.DeviceHealthy, MIGMode: v1alpha1.MIGDisabled,
		})
		for s := range 2 {
			want.NVLinks = append(want.NVLinks, v1alpha1.NVLink{
				From: uuid, To: fmt.Sprintf("switch-0000:0%d:00.0", s), Links: 9, ActiveLinks: new(int32(9)), LinkGbps: 200, Version: "4.0",
			})
		}
		want.NICs = append(want.NICs, v1alpha1.NIC{
			Name: nic, GUID: fmt.Sprintf("0a7f:bc12:0034:%04x", i), PCIAddress: fmt.Sprintf("0000:%02x:00.0", 0x40+i), NUMANode: new(int32(i)),
			LinkLayer: v1alpha1.LinkLayerInfiniBand, RateGbps: 400, State: v1alpha1.NICActive, Health: v1alpha1.DeviceHealthy, Rail: new(int32(i)),
		})
		want.PCIeRelations = append(want.PCIeRelations, v1alpha1.PCIeRelation{From: uuid, To: nic, Path: v1alpha1.PCIePIX})
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	wantConditions := []metav1.Condition{
		{Type: "Healthy", Status: "True", Reason: "Healthy"}, {Type: "Discovered", Status: "True", Reason: "Complete"},
	}
	if diff := cmp.Diff(wantConditions, conditions, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// What cannot be reported is left out and named; the rest is there.
func TestReportOfBadFacts(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	cases := map[string]struct {
		spoil      func(*Facts)
		gpus, nics int
		named      string
	}{
		"two GPUs with one UUID": {func(f *Facts) { f.GPUs[1].UUID = "GPU-0" }, 1, 2, "GPU 1: it has the UUID of GPU 0 and is left out"},
		"4,096 GPUs":             {func(f *Facts) { *f = many(*f) }, 64, 2, "GPUs: there are 4096, the report holds 64"},
		"a name of 10 MB":        {func(f *Facts) { f.GPUs[0].Name = long }, 2, 2, "GPU 0: its name has 10485760 bytes and is cut"},
		"a UUID of 10 MB":        {func(f *Facts) { f.GPUs[0].UUID = long }, 1, 2, "GPU 0: its UUID has 10485760 bytes"},
		"a UUID of control bytes": {
			func(f *Facts) { f.GPUs[0].UUID = "\x1b[31m" }, 1, 2, `GPU 0: its UUID is "[31m" and not plain text`,
		},
		"a port without a name":    {func(f *Facts) { f.NICs[0].Name = "" }, 2, 1, "an RDMA port: it has no name"},
		"a port of another layer":  {func(f *Facts) { f.NICs[0].LinkLayer = "Token Ring" }, 2, 1, `mlx5_0: its link layer "Token Ring"`},
		"two ports of one name":    {func(f *Facts) { f.NICs[1].Name = "mlx5_0" }, 2, 1, "mlx5_0: it is there twice"},
		"one address for two":      {func(f *Facts) { f.GPUs[1].PCIAddress = f.GPUs[0].PCIAddress }, 2, 2, "GPU 1: its PCI address 0000:10:00.0 is taken"},
		"an address of no form":    {func(f *Facts) { f.GPUs[1].PCIAddress = "00000000:1B:00.0" }, 2, 2, `GPU 1: "00000000:1B:00.0" is no PCI address`},
		"more memory than can be":  {func(f *Facts) { f.GPUs[1].MemoryTotal = 1 << 60 }, 2, 2, "GPU 1: memory 1152921504606846976 cannot be"},
		"a link to nowhere":        {func(f *Facts) { f.Links[0].To = "GPU-9" }, 2, 2, "NVLink GPU-0 to GPU-9: it ends on no device"},
		"more active than there":   {func(f *Facts) { f.Links[0].Active = 10 }, 2, 2, "10 of 9 connections cannot be"},
		"a GUID of no form":        {func(f *Facts) { f.NICs[0].GUID = "0x0a7fbc1200345678" }, 2, 2, `mlx5_0: "0x0a7fbc1200345678" is no GUID`},
		"what the readers noticed": {func(f *Facts) { f.Problems = []Problem{{Device: "mlx5_3", What: "no state"}} }, 2, 2, "mlx5_3: no state"},
		"a fabric that GPUs disagree about": {
			func(f *Facts) { f.GPUs[0].Fabric, f.GPUs[1].Fabric = rack(1), rack(2) }, 2, 2,
			"GPU 1: its NVLink fabric 5c1f0000-0000-4000-8000-000000000001.2 is not the 5c1f0000-0000-4000-8000-000000000001.1 of GPU 0",
		},
		"a fabric that one GPU is not in": {
			func(f *Facts) { f.GPUs[0].Fabric, f.GPUs[1].Fabric = rack(1), &Fabric{State: "InProgress", Rack: "r1"} }, 2, 2,
			"GPU 1: it is outside of the NVLink fabric that GPU 0 is in (InProgress)",
		},
	}
	s := statusSchema(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(2)
			tc.spoil(&facts)
			report, conditions, _ := Report(facts, History{})
			if refused := s.check(t, report, conditions); refused != nil {
				t.Errorf("the API server would refuse: %v", refused)
			}
			if len(report.Accelerators) != tc.gpus || len(report.NICs) != tc.nics {
				t.Errorf("%d accelerators and %d ports are left, want %d and %d", len(report.Accelerators), len(report.NICs), tc.gpus, tc.nics)
			}
			if got := told(t, conditions, "Discovered"); !strings.HasPrefix(got, "False Incomplete: ") || !strings.Contains(got, tc.named) {
				t.Errorf("Discovered is %q, want it to name %q", got, tc.named)
			}
			if report.NVLinkFabric != nil {
				t.Errorf("there is a fabric: %+v", report.NVLinkFabric)
			}
		})
	}
}

func many(f Facts) Facts {
	for i := len(f.GPUs); i < 4096; i++ {
		gpu := f.GPUs[0]
		gpu.UUID, gpu.Index, gpu.PCIAddress = fmt.Sprintf("GPU-%d", i), i, ""
		f.GPUs = append(f.GPUs, gpu)
	}
	return f
}

func rack(clique uint32) *Fabric {
	return &Fabric{ClusterUUID: "5c1f0000-0000-4000-8000-000000000001", CliqueID: clique, State: "Completed", Health: "Healthy", Rack: "r1"}
}

// A multi-node fabric needs more than a driver that says Completed.
func TestNVLinkFabric(t *testing.T) {
	const uuid = "5c1f0000-0000-4000-8000-000000000001"
	of := func(health v1alpha1.DeviceHealth, clique int64) *v1alpha1.NVLinkFabric {
		return &v1alpha1.NVLinkFabric{ClusterUUID: uuid, CliqueID: &clique, Health: health}
	}
	cases := map[string]struct {
		fabric Fabric
		c2c    int
		want   *v1alpha1.NVLinkFabric
	}{
		"a tray of a rack":                     {Fabric{uuid, 7, "Completed", "Healthy", "r1"}, 0, of(v1alpha1.DeviceHealthy, 7)},
		"with a Grace CPU":                     {Fabric{uuid, 7, "Completed", "Healthy", ""}, 10, of(v1alpha1.DeviceHealthy, 7)},
		"the clique that every rack has":       {Fabric{uuid, 32766, "Completed", "Healthy", "r1"}, 10, of(v1alpha1.DeviceHealthy, 32766)},
		"an HGX H100 that says Completed":      {Fabric{uuid, 7, "Completed", "Healthy", ""}, 0, nil},
		"no cluster":                           {Fabric{"00000000-0000-0000-0000-000000000000", 0, "Completed", "Healthy", "r1"}, 10, nil},
		"not supported":                        {Fabric{"", 0, "NotSupported", "", ""}, 10, nil},
		"still joining":                        {Fabric{uuid, 7, "InProgress", "Healthy", "r1"}, 10, nil},
		"unhealthy although Completed":         {Fabric{uuid, 7, "Completed", "Unhealthy", "r1"}, 10, of(v1alpha1.DeviceUnhealthy, 7)},
		"limited":                              {Fabric{uuid, 7, "Completed", "Limited", "r1"}, 10, of(v1alpha1.DeviceUnhealthy, 7)},
		"of a driver that tells no health yet": {Fabric{uuid, 7, "Completed", "", "r1"}, 10, of(v1alpha1.DeviceUnknown, 7)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(2)
			for i := range facts.GPUs {
				facts.GPUs[i].Fabric, facts.GPUs[i].C2CLinks = &tc.fabric, tc.c2c
			}
			report, conditions, _ := Report(facts, History{})
			if diff := cmp.Diff(tc.want, report.NVLinkFabric); diff != "" {
				t.Errorf("fabric (-want +got):\n%s", diff)
			}
			isBroken := tc.want != nil && tc.want.Health == v1alpha1.DeviceUnhealthy
			if got := told(t, conditions, "Healthy"); strings.HasPrefix(got, "False FabricUnhealthy: NVLink fabric "+uuid) != isBroken {
				t.Errorf("Healthy is %q", got)
			}
			if got := told(t, conditions, "Discovered"); got != "True Complete: " {
				t.Errorf("Discovered is %q", got)
			}
		})
	}
}

// A machine without a GPU is complete, and reports the rest.
func TestReportWithoutGPU(t *testing.T) {
	facts := hgx(2)
	facts.GPUs, facts.Links, facts.Relations, facts.Driver = nil, nil, nil, ""
	report, conditions, _ := Report(facts, History{})
	if len(report.NICs) != 2 || len(report.NUMANodes) != 2 || report.NICs[0].Rail != nil {
		t.Errorf("the report is %+v", report)
	}
	got := told(t, conditions, "Discovered") + told(t, conditions, "Healthy")
	if want := "True NoAccelerator: True Healthy: "; got != want {
		t.Errorf("the conditions are %q, want %q", got, want)
	}
}

// NUMA node -1 is unknown and not 0. A virtual machine's PCI tree tells nothing,
// and what the driver says of access does.
func TestReportOfVirtualMachine(t *testing.T) {
	facts := hgx(2)
	facts.Virtual = true
	for i := range facts.GPUs {
		facts.GPUs[i].NUMANode, facts.NICs[i].NUMANode = Unknown, Unknown
	}
	report, _, _ := Report(facts, History{})
	if report.PCITopology != v1alpha1.PCITopologyVirtualized || report.Accelerators[1].NUMANode != nil || report.NICs[1].NUMANode != nil {
		t.Errorf("the report is %+v", report)
	}
	want := []v1alpha1.PCIeRelation{{From: "GPU-0", To: "GPU-1", Path: v1alpha1.PCIeSYS, PeerAccess: v1alpha1.PeerAccessSupported}}
	if diff := cmp.Diff(want, report.PCIeRelations); diff != "" {
		t.Errorf("relations (-want +got):\n%s", diff)
	}
	if rail := report.NICs[1].Rail; rail == nil || *rail != 1 {
		t.Errorf("the rail of the second port is %v, want 1", rail)
	}
}

func TestRails(t *testing.T) {
	rails := func(f Facts) (out []int32) {
		report, _, _ := Report(f, History{})
		for _, n := range report.NICs {
			rail := int32(-1)
			if n.Rail != nil {
				rail = *n.Rail
			}
			out = append(out, rail)
		}
		return out
	}
	cases := map[string]struct {
		change func(*Facts)
		want   []int32
	}{
		"one port beside each GPU": {func(*Facts) {}, []int32{0, 1, 2, 3}},
		"ports in another order than GPUs": {func(f *Facts) {
			for i := range f.Relations {
				f.Relations[i].To = "mlx5_" + string('3'-f.Relations[i].To[5]+'0')
			}
		}, []int32{3, 2, 1, 0}},
		"a port that is near none":                  {func(f *Facts) { f.NICs = append(f.NICs, NIC{Name: "mlx5_9", LinkLayer: "Ethernet"}) }, []int32{0, 1, 2, 3, -1}},
		"no tree, equal numbers":                    {func(f *Facts) { f.Relations = nil }, []int32{0, 1, 2, 3}},
		"no tree, other numbers":                    {func(f *Facts) { f.Relations, f.NICs = nil, f.NICs[:3] }, []int32{-1, -1, -1}},
		"names sort by number, not by their letter": {func(f *Facts) { f.Relations, f.NICs[0].Name = nil, "mlx5_10" }, []int32{0, 1, 2, 3}},
		"one port for two GPUs, in the tree": {func(f *Facts) {
			f.NICs = f.NICs[1:2]
			f.Relations = []Relation{{"GPU-3", "mlx5_1", "PIX"}, {"GPU-2", "mlx5_1", "PIX"}, {"GPU-0", "mlx5_1", "PXB"}}
		}, []int32{2}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(4)
			tc.change(&facts)
			if diff := cmp.Diff(tc.want, rails(facts)); diff != "" {
				t.Errorf("rails (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMaterial(t *testing.T) {
	cases := map[string]struct {
		change func(*Facts)
		want   bool
	}{
		"nothing":            {func(*Facts) {}, false},
		"memory in use":      {func(f *Facts) { f.GPUs[0].MemoryUsed = 1 << 30 }, false},
		"temperature":        {func(f *Facts) { f.GPUs[0].TemperatureC = 85 }, false},
		"a power limit":      {func(f *Facts) { f.GPUs[0].Throttle = []string{"SwPowerCap"} }, false},
		"corrected figures":  {func(f *Facts) { f.GPUs[0].UncorrectableECC = 3 }, false},
		"the order of links": {func(f *Facts) { f.NICs[0], f.NICs[1] = f.NICs[1], f.NICs[0] }, false},
		"a port":             {func(f *Facts) { f.NICs[0].State = "Down" }, true},
		"an NVLink":          {func(f *Facts) { f.Links[0].Active = 8 }, true},
		"MIG":                {func(f *Facts) { f.GPUs[0].MIGMode = new(true) }, true},
		"the driver":         {func(f *Facts) { f.Driver = "590.1" }, true},
		"the boot":           {func(f *Facts) { f.BootID = "boot-2" }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(2)
			before, _, history := Report(facts, History{})
			before.ObservedTime = new(metav1.Unix(1, 0))
			tc.change(&facts)
			after, _, _ := Report(facts, history)
			if got := Material(before, after); got != tc.want {
				t.Errorf("Material() = %v", got)
			}
		})
	}
}

func TestClean(t *testing.T) {
	cases := map[string]struct {
		text string
		most int
		want string
	}{
		"plain":               {"abc", 3, "abc"},
		"cut":                 {"abcd", 3, "abc"},
		"cut before a rune":   {"abé", 3, "ab"},
		"no space is left":    {" a b ", 2, "a"},
		"control bytes":       {"a\x00\x1b[0m\nb", 20, "a  [0m b"},
		"bytes of no text":    {"a\xff\xfeb", 20, "a  b"},
		"a turn of direction": {"a\u202eb", 20, "a b"},
		"nothing":             {"\n\t", 5, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := clean(tc.text, tc.most); got != tc.want {
				t.Errorf("clean(%q, %d) = %q, want %q", tc.text, tc.most, got, tc.want)
			}
		})
	}
}
