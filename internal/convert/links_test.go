package convert

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

const gpuResource = "nvidia.com/gpu"

// wired is what a scene knows of a node's links.
type wired struct {
	Islands           map[string][]int64
	NICGbps, LinkGbps int64
}

func wiring(n *SceneNode) wired { return wired{n.Islands, n.NICGbps, n.LinkGbps} }

func islandsOf(counts ...int64) map[string][]int64 { return map[string][]int64{gpuResource: counts} }

// nvLink is a bundle of active connections of 100 Gbps.
func nvLink(from, to string, links int32) v1alpha1.NVLink {
	return v1alpha1.NVLink{From: from, To: to, Links: links, ActiveLinks: new(links), LinkGbps: 100}
}

// bridged are links between two devices, as each of them tells.
func bridged(a, b string) []v1alpha1.NVLink {
	return []v1alpha1.NVLink{nvLink(a, b, 4), nvLink(b, a, 4)}
}

// onSwitch are links of devices with a switch.
func onSwitch(devices ...string) []v1alpha1.NVLink {
	var out []v1alpha1.NVLink
	for _, d := range devices {
		out = append(out, nvLink(d, "switch-0", 4))
	}
	return out
}

// numaReport has a device for every number: that of its NUMA node, -1 for none.
func numaReport(numbers ...int32) *v1alpha1.NodeReport {
	out := &v1alpha1.NodeReport{NUMANodes: []v1alpha1.NUMANode{{ID: new(int32(0))}, {ID: new(int32(1))}}}
	for i, n := range numbers {
		device := v1alpha1.Accelerator{UUID: string(rune('a' + i)), Health: ok}
		if n >= 0 {
			device.NUMANode = new(n)
		}
		out.Accelerators = append(out.Accelerators, device)
	}
	return out
}

func TestIslands(t *testing.T) {
	cases := map[string]struct {
		report *v1alpha1.NodeReport
		change func(*v1alpha1.NodeReport)
		room   []string
		want   map[string][]int64
	}{
		"no report": {nil, nil, []string{gpuResource, "4"}, nil},
		"NUMA nodes where nothing else joins devices": {numaReport(0, 0, 1, 1), nil, []string{gpuResource, "4"}, islandsOf(2, 2)},
		"NUMA nodes where one switch joins them all": {
			numaReport(0, 0, 0, 1), func(r *v1alpha1.NodeReport) { r.NVLinks = onSwitch("a", "b", "c", "d") }, []string{gpuResource, "4"}, islandsOf(3, 1),
		},
		"NVLink bridges before NUMA nodes": {
			numaReport(0, 0, 0, 0), func(r *v1alpha1.NodeReport) { r.NVLinks = append(bridged("a", "b"), bridged("c", "d")...) },
			[]string{gpuResource, "4"}, islandsOf(2, 2),
		},
		"a device that no bridge joins": {
			numaReport(0, 0, 1, 1), func(r *v1alpha1.NodeReport) { r.NVLinks = append(bridged("a", "b"), bridged("b", "c")...) },
			[]string{gpuResource, "4"}, islandsOf(3, 1),
		},
		"links that are down join nothing": {
			numaReport(0, 0, 1, 1), func(r *v1alpha1.NodeReport) {
				r.NVLinks = bridged("a", "b")
				r.NVLinks[0].ActiveLinks, r.NVLinks[1].ActiveLinks = new(int32(0)), nil
			}, []string{gpuResource, "4"}, islandsOf(2, 2),
		},
		"links to devices of other machines say nothing": {
			numaReport(0, 1), func(r *v1alpha1.NodeReport) {
				r.NVLinks = []v1alpha1.NVLink{nvLink("a", "z", 4), nvLink("b", "z", 4), nvLink("y", "a", 4)}
			},
			[]string{gpuResource, "2"}, islandsOf(1, 1),
		},
		"a broken device is in no island": {
			numaReport(0, 0, 1, 1), func(r *v1alpha1.NodeReport) { r.Accelerators[0].Health = broken }, []string{gpuResource, "4"}, islandsOf(2, 1),
		},
		"a NUMA node that is not told": {numaReport(0, 0, -1, 1), nil, []string{gpuResource, "4"}, nil},
		"one NUMA node needs no telling": {
			numaReport(-1, -1, -1, -1), func(r *v1alpha1.NodeReport) { r.NUMANodes = r.NUMANodes[:1] }, []string{gpuResource, "4"}, islandsOf(4),
		},
		"one device needs no telling":                        {numaReport(-1), nil, []string{gpuResource, "1"}, islandsOf(1)},
		"devices that are shared":                            {numaReport(0, 1), nil, []string{gpuResource, "1"}, nil},
		"a device that is partitioned":                       {numaReport(0, 1), func(r *v1alpha1.NodeReport) { r.Accelerators[0].MIGMode = v1alpha1.MIGEnabled }, []string{gpuResource, "2"}, nil},
		"devices of two resources":                           {numaReport(0, 1), nil, []string{gpuResource, "2", "amd.com/gpu", "2"}, nil},
		"devices that the node does not offer":               {numaReport(0, 1), nil, []string{"cpu", "2"}, nil},
		"more islands than placement takes":                  {numaReport(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), nil, []string{gpuResource, "17"}, nil},
		"no device works":                                    {numaReport(0, 1), func(r *v1alpha1.NodeReport) { r.Accelerators[0].Health, r.Accelerators[1].Health = broken, broken }, []string{gpuResource, "2"}, nil},
		"a report that tells of no devices, but of adapters": {&v1alpha1.NodeReport{NICs: []v1alpha1.NIC{{Name: "x"}}}, nil, []string{gpuResource, "2"}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(tc.report)
			}
			got := ReadKinds(nil, nil).SceneNode(new(machine("n", tc.room...)), tc.report, false, nil)
			if diff := cmp.Diff(tc.want, got.Islands); diff != "" {
				t.Errorf("islands (-want +got):\n%s", diff)
			}
			if _, err := placement.NewSnapshot(nil, []placement.Node{got.Node}); err != nil {
				t.Errorf("placement does not accept the node: %v", err)
			}
		})
	}
}

// linked is a class of nodes with a label, whose devices have a link of that many
// gigabytes per second that joins up to size of them.
func linked(name string, gigabytes int64, size int32) v1alpha1.AcceleratorClass {
	return v1alpha1.AcceleratorClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AcceleratorClassSpec{
		Vendor: "NVIDIA", Interconnect: &v1alpha1.AcceleratorInterconnect{Kind: "NVLink", BandwidthGBps: gigabytes, DomainSize: size},
		Match: v1alpha1.AcceleratorMatch{NodeLabels: []v1alpha1.NodeLabelMatch{{Key: "class", Values: []string{name}}}},
	}}
}

func TestLinkGbps(t *testing.T) {
	both := func(r *v1alpha1.NodeReport) { r.NVLinks = append(bridged("a", "b"), onSwitch("a")...) }
	cases := map[string]struct {
		report *v1alpha1.NodeReport
		change func(*v1alpha1.NodeReport)
		class  v1alpha1.AcceleratorClass
		want   int64
	}{
		"the class of a node without a report":            {nil, nil, linked("h", 900, 8), 3600},
		"a link that joins fewer devices than there are":  {nil, nil, linked("h", 600, 1), 0},
		"a class without a figure":                        {nil, nil, linked("h", 0, 8), 0},
		"a class that does not say how many it joins":     {nil, nil, linked("h", 900, 0), 0},
		"the device that is joined worst":                 {numaReport(0, 0), both, linked("h", 900, 8), 400},
		"devices that NVLink does not join":               {numaReport(0, 0), nil, linked("h", 900, 8), 0},
		"a broken device does not count":                  {numaReport(0, 0, 0), func(r *v1alpha1.NodeReport) { both(r); r.Accelerators[2].Health = broken }, linked("h", 900, 8), 400},
		"links that are down":                             {numaReport(0, 0), func(r *v1alpha1.NodeReport) { both(r); r.NVLinks[1].ActiveLinks = new(int32(1)) }, linked("h", 900, 8), 100},
		"links of unknown speed leave it to the class":    {numaReport(0, 0), func(r *v1alpha1.NodeReport) { both(r); r.NVLinks[0].LinkGbps = 0 }, linked("h", 900, 8), 3600},
		"two pairs that only other links join":            {numaReport(0, 0, 0, 0), func(r *v1alpha1.NodeReport) { r.NVLinks = append(bridged("a", "b"), bridged("c", "d")...) }, linked("h", 900, 8), 0},
		"no device works":                                 {numaReport(0), func(r *v1alpha1.NodeReport) { r.Accelerators[0].Health = broken }, linked("h", 900, 8), 0},
		"a report without devices leaves it to the class": {&v1alpha1.NodeReport{}, nil, linked("h", 900, 8), 3600},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(tc.report)
			}
			n := machine("n", gpuResource, "4")
			n.Labels["class"] = "h"
			got := ReadKinds([]v1alpha1.AcceleratorClass{tc.class}, nil).SceneNode(&n, tc.report, false, nil)
			if got.LinkGbps != tc.want {
				t.Errorf("LinkGbps is %d, want %d", got.LinkGbps, tc.want)
			}
		})
	}
}

func TestNICGbps(t *testing.T) {
	active := func(gbps int32, rail int32) v1alpha1.NIC {
		out := v1alpha1.NIC{State: v1alpha1.NICActive, RateGbps: gbps}
		if rail >= 0 {
			out.Rail = new(rail)
		}
		return out
	}
	down, sick := active(400, 1), active(400, 1)
	down.State, sick.Health = v1alpha1.NICDown, broken
	cases := map[string]struct {
		nics []v1alpha1.NIC
		want int64
	}{
		"no ports":                {nil, 0},
		"the sum of all":          {[]v1alpha1.NIC{active(400, -1), active(200, -1)}, 600},
		"a port that is down":     {[]v1alpha1.NIC{active(400, 0), down}, 400},
		"a port that is broken":   {[]v1alpha1.NIC{active(400, 0), sick}, 400},
		"a port of unknown speed": {[]v1alpha1.NIC{active(400, -1), active(0, -1)}, 0},
		"ports on no rail where each device has its own": {[]v1alpha1.NIC{active(400, 0), active(400, 1), active(100, -1)}, 800},
		"the speed of a port that does not count":        {[]v1alpha1.NIC{active(400, 0), active(400, 1), active(0, -1)}, 800},
		"ports on no rail where some devices have none":  {[]v1alpha1.NIC{active(400, 0), active(100, -1)}, 500},
		"two ports on a rail":                            {[]v1alpha1.NIC{active(400, 0), active(400, 0), active(400, 1), active(400, 1)}, 1600},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			report := numaReport(0, 1)
			report.NICs = tc.nics
			if got := nicGbps(report); got != tc.want {
				t.Errorf("nicGbps() = %d, want %d", got, tc.want)
			}
		})
	}
}

// What reports of every ready-made shape of machine say of its links.
func TestWiringOfFleets(t *testing.T) {
	cases := map[string]map[string]wired{
		"mixed-1k": {
			"h100":  {islandsOf(4, 4), 3200, 3600},
			"b200":  {islandsOf(4, 4), 3200, 7200},
			"gb200": {islandsOf(2, 2), 1600, 7200},
			"a100":  {islandsOf(2, 2), 200, 0},
			"l40s":  {islandsOf(1), 0, 0},
			"cpu":   {},
		},
		"hgx-64":        {"hgx": {islandsOf(4, 4), 3200, 3600}},
		"nvl72-4racks":  {"gb200": {islandsOf(2, 2), 1600, 7200}},
		"doks-rails-32": {"doks": {islandsOf(8), 3200, 3600}},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			f, err := fleet.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			checkWiring(t, f, want)
		})
	}
}

// A shape that no ready-made fleet has: AMD devices that XGMI joins in pairs of
// all.
func TestWiringOfXGMI(t *testing.T) {
	f := &fleet.Fleet{
		Name: "amd", Provider: fleet.ProviderDOKS, Fabric: fleet.Fabric{Name: "fabric-a", LinkLayer: "Ethernet"},
		Pools: []fleet.Pool{{Name: "mi300x", Shape: "MI300Xx8", Nodes: 2, NICGbps: 400}},
	}
	checkWiring(t, f, map[string]wired{"mi300x": {map[string][]int64{"amd.com/gpu": {8}}, 3200, 3584}})
	f.Provider = fleet.ProviderNone
	checkWiring(t, f, map[string]wired{"mi300x": {map[string][]int64{"amd.com/gpu": {4, 4}}, 3200, 3584}})
}

// checkWiring compares the nodes of a fleet with what is wanted of their pools.
func checkWiring(t *testing.T, f *fleet.Fleet, want map[string]wired) {
	t.Helper()
	pools := map[string]string{}
	for _, m := range f.Machines() {
		pools[m.Name] = m.Pool
	}
	scene := World{Nodes: f.Nodes(), Domains: append(f.Domains(), f.Reports()...)}.Scene()
	seen := map[string]bool{}
	for i := range scene.Nodes {
		n := &scene.Nodes[i]
		pool := pools[n.Name]
		seen[pool] = true
		if diff := cmp.Diff(want[pool], wiring(n)); diff != "" {
			t.Fatalf("%s of pool %s (-want +got):\n%s", n.Name, pool, diff)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("pools %v were seen, want %d", seen, len(want))
	}
	if _, err := scene.Snapshot(); err != nil {
		t.Error(err)
	}
}

// Whatever a report says, islands and bandwidths are such that a snapshot can be
// taken, and islands hold what the node offers.
func FuzzWiring(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, []byte{0, 1, 4, 1, 0, 4}, uint8(4))
	f.Add([]byte{9, 0x80, 2}, []byte{0, 200, 36, 7, 7, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, devices, links []byte, offered uint8) {
		report := numaReport()
		for i, b := range devices {
			device := v1alpha1.Accelerator{UUID: string(rune('a' + i%40)), Health: ok, NUMANode: new(int32(b % 32))}
			switch {
			case b&0x80 != 0:
				device.Health = broken
			case b&0x40 != 0:
				device.NUMANode = nil
			}
			report.Accelerators = append(report.Accelerators, device)
		}
		for i := 0; i+2 < len(links); i += 3 {
			to := string(rune('a' + links[i+1]%40))
			if links[i+1] > 127 {
				to = nvSwitchPrefix + to
			}
			report.NVLinks = append(report.NVLinks, v1alpha1.NVLink{
				From: string(rune('a' + links[i]%40)), To: to, ActiveLinks: new(int32(links[i+2])), LinkGbps: math.MaxInt32 * int32(links[i+2]&1),
			})
			report.NICs = append(report.NICs, v1alpha1.NIC{State: v1alpha1.NICActive, RateGbps: int32(links[i+2]) << 23, Rail: new(int32(links[i]))})
		}
		n := machine("n")
		n.Status.Allocatable = corev1.ResourceList{gpuResource: *resource.NewQuantity(int64(offered), resource.DecimalSI)}
		got := ReadKinds(nil, nil).SceneNode(&n, report, false, nil)
		if _, err := placement.NewSnapshot(nil, []placement.Node{got.Node}); err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for _, count := range got.Islands[gpuResource] {
			sum += count
		}
		if len(got.Islands) > 0 && sum != got.Capacity[gpuResource] {
			t.Errorf("islands of %d devices on a node that offers %d", sum, got.Capacity[gpuResource])
		}
		if got.LinkGbps < 0 || got.NICGbps < 0 {
			t.Errorf("negative bandwidth: %d, %d", got.LinkGbps, got.NICGbps)
		}
	})
}
