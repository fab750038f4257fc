package convert

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// machine is a Ready node with that room.
func machine(name string, room ...string) corev1.Node {
	out := node(name)
	out.Status.Allocatable = list(room...)
	out.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return out
}

func reporting(name string, health ...v1alpha1.DeviceHealth) v1alpha1.TopologyDomain {
	report := &v1alpha1.NodeReport{}
	for i, h := range health {
		report.Accelerators = append(report.Accelerators, v1alpha1.Accelerator{UUID: string(rune('a' + i)), PCIID: "10de:2330", Health: h})
	}
	return vertex(name, name, "", report)
}

func podOn(name, node string, phase corev1.PodPhase, requests ...string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{container(list(requests...), nil)}},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

const (
	ok     = v1alpha1.DeviceHealthy
	broken = v1alpha1.DeviceUnhealthy
)

func TestSceneAvailability(t *testing.T) {
	sick := reporting("n1", ok)
	sick.Status.Node.NVLinkFabric = &v1alpha1.NVLinkFabric{ClusterUUID: fabricID, CliqueID: new(int64(1)), Health: broken}
	liar := vertex("n1", "n1", "", &v1alpha1.NodeReport{Accelerators: gpus("a", "a")})
	cases := map[string]struct {
		change func(*corev1.Node)
		report *v1alpha1.TopologyDomain
		want   string
	}{
		"a node in order":             {},
		"a cordoned node":             {change: func(n *corev1.Node) { n.Spec.Unschedulable = true }, want: "cordoned"},
		"a node that is not ready":    {change: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }, want: "not ready"},
		"a node that does not answer": {change: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, want: "not ready"},
		"a node without conditions":   {change: func(n *corev1.Node) { n.Status.Conditions = nil }, want: "not ready"},
		"a node that is being deleted": {change: func(n *corev1.Node) {
			n.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			n.Spec.Unschedulable = true
		}, want: "being deleted"},
		"a broken NVLink fabric":       {report: &sick, want: "NVLink fabric unhealthy"},
		"a report that cannot be true": {report: &liar, want: "report not trusted"},
		"a broken GPU leaves the rest": {report: new(reporting("n1", ok, broken))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			world := World{Nodes: []corev1.Node{machine("n1", "pods", "10")}}
			if tc.change != nil {
				tc.change(&world.Nodes[0])
			}
			if tc.report != nil {
				world.Domains = []v1alpha1.TopologyDomain{*tc.report}
			}
			if got := world.Scene().Nodes[0].Unavailable; got != tc.want {
				t.Errorf("unavailable is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSceneCounts(t *testing.T) {
	cases := map[string]struct {
		room    []string
		health  []v1alpha1.DeviceHealth
		pods    []corev1.Pod
		want    topology.Accelerators
		offered int64
		broken  []string
		faults  []string
	}{
		"without a report the node's word counts": {
			room: []string{"nvidia.com/gpu", "8"}, want: topology.Accelerators{Total: 8, Free: 8}, offered: 8,
		},
		"a broken device is withheld": {
			room: []string{"nvidia.com/gpu", "4"}, health: []v1alpha1.DeviceHealth{ok, broken, ok, "Odd"},
			want: topology.Accelerators{Total: 4, Free: 2, Unhealthy: 2}, offered: 2,
			broken: []string{"b", "d"}, faults: []string{v1alpha1.ReasonAcceleratorUnhealthy},
		},
		"a device plugin that knew first is not counted twice": {
			room: []string{"nvidia.com/gpu", "3"}, health: []v1alpha1.DeviceHealth{ok, broken, ok, ok},
			want: topology.Accelerators{Total: 4, Free: 3, Unhealthy: 1}, offered: 3,
			broken: []string{"b"}, faults: []string{v1alpha1.ReasonAcceleratorUnhealthy},
		},
		"pods take what is free, ended ones do not": {
			room: []string{"nvidia.com/gpu", "8"},
			pods: []corev1.Pod{
				podOn("a", "n1", corev1.PodRunning, "nvidia.com/gpu", "2"), podOn("b", "n1", corev1.PodPending, "nvidia.com/gpu", "1"),
				podOn("c", "n1", corev1.PodSucceeded, "nvidia.com/gpu", "2"), podOn("d", "n1", corev1.PodFailed, "nvidia.com/gpu", "2"),
				podOn("e", "", corev1.PodPending, "nvidia.com/gpu", "2"), podOn("f", "elsewhere", corev1.PodRunning, "nvidia.com/gpu", "2"),
			},
			want: topology.Accelerators{Total: 8, Free: 5}, offered: 8,
		},
		"a node that is overcommitted has nothing free": {
			room: []string{"nvidia.com/gpu", "1"}, pods: []corev1.Pod{podOn("a", "n1", corev1.PodRunning, "nvidia.com/gpu", "2")},
			want: topology.Accelerators{Total: 1}, offered: 1,
		},
		"more than an integer holds is the largest integer": {
			room: []string{"nvidia.com/gpu", "9223372036854775807", "amd.com/gpu", "9223372036854775807"},
			want: topology.Accelerators{Total: math.MaxInt64, Free: math.MaxInt64}, offered: math.MaxInt64,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			world := World{Nodes: []corev1.Node{machine("n1", tc.room...)}, Pods: tc.pods}
			if tc.health != nil {
				world.Domains = []v1alpha1.TopologyDomain{reporting("n1", tc.health...)}
			}
			got := world.Scene().Nodes[0]
			if diff := cmp.Diff(tc.want, got.Accelerators); diff != "" {
				t.Errorf("accelerators (-want +got):\n%s", diff)
			}
			if got.Capacity["nvidia.com/gpu"] != tc.offered {
				t.Errorf("the node offers %d, want %d", got.Capacity["nvidia.com/gpu"], tc.offered)
			}
			if diff := cmp.Diff(tc.broken, got.Broken); diff != "" {
				t.Errorf("broken (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.faults, got.Faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// What a node adds to its domains: devices by class where each is known, all of
// them where the class is known of the node alone.
func TestRoom(t *testing.T) {
	accelerators := topology.Accelerators{Total: 8, Free: 3, Unhealthy: 1}
	of := func(device, class string) capability.DeviceClass {
		return capability.DeviceClass{Device: device, Class: class}
	}
	cases := map[string]struct {
		node SceneNode
		want topology.NodeRoom
	}{
		"a class of the node": {
			SceneNode{Node: placement.Node{Name: "n"}, Accelerators: accelerators, Devices: []capability.DeviceClass{of("", "h100")}},
			topology.NodeRoom{Node: "n", Ready: true, Accelerators: accelerators, Classes: []topology.ClassCount{{Class: "h100", Devices: 8}}},
		},
		"classes of devices": {
			SceneNode{Accelerators: accelerators, Devices: []capability.DeviceClass{of("a", "h100"), of("b", ""), of("c", "h100")}},
			topology.NodeRoom{Ready: true, Accelerators: accelerators, Classes: []topology.ClassCount{{Class: "h100", Devices: 2}}},
		},
		"no class": {
			SceneNode{Accelerators: accelerators, Devices: []capability.DeviceClass{of("", "")}}, topology.NodeRoom{Ready: true, Accelerators: accelerators},
		},
		"a node that takes nothing": {
			SceneNode{Node: placement.Node{Unavailable: "cordoned"}, Faults: []string{"NICDown"}}, topology.NodeRoom{Reasons: []string{"NICDown"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.node.Room()); diff != "" {
				t.Errorf("Room() (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever Pods and nodes claim, a snapshot can be taken: one object must not
// stop all placement.
func TestSceneOfAbsurdClaims(t *testing.T) {
	const most = "9223372036854775807"
	huge := podOn("huge", "n1", corev1.PodRunning, "nvidia.com/gpu", most, "cpu", most)
	huge.Spec.Containers = append(huge.Spec.Containers, huge.Spec.Containers[0])
	world := World{
		Nodes:     []corev1.Node{machine("n1", "nvidia.com/gpu", most, "cpu", most), machine("n2", "nvidia.com/gpu", most)},
		Pods:      []corev1.Pod{huge, huge},
		Committed: []placement.Use{{Node: "n1", Resources: placement.Resources{"nvidia.com/gpu": math.MaxInt64}}},
	}
	scene := world.Scene()
	if _, err := scene.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(topology.Accelerators{Total: math.MaxInt64}, scene.Nodes[0].Accelerators); diff != "" {
		t.Errorf("accelerators (-want +got):\n%s", diff)
	}
	counts := DeviceCounts(scene.Nodes[1].Accelerators)
	if diff := cmp.Diff(&v1alpha1.DeviceCounts{Total: new(int32(math.MaxInt32)), Free: new(int32(math.MaxInt32)), Unhealthy: new(int32(0))}, counts); diff != "" {
		t.Errorf("DeviceCounts() (-want +got):\n%s", diff)
	}
}

func TestSceneClasses(t *testing.T) {
	odd := machine("odd", "example.com/npu", "4")
	odd.Labels["pool"] = "npu"
	npu := v1alpha1.AcceleratorClass{ObjectMeta: metav1.ObjectMeta{Name: "npu"}, Spec: v1alpha1.AcceleratorClassSpec{
		Vendor: "Example", ResourceName: "example.com/npu",
		Match: v1alpha1.AcceleratorMatch{NodeLabels: []v1alpha1.NodeLabelMatch{{Key: "pool", Values: []string{"npu"}}}},
	}}
	mixed := reporting("mixed", ok, ok)
	mixed.Status.Node.Accelerators[1].PCIID = "10de:2335"
	world := World{
		Nodes:   []corev1.Node{odd, machine("mixed", "nvidia.com/gpu", "2"), machine("plain")},
		Domains: []v1alpha1.TopologyDomain{mixed},
		Classes: append(samples(t), npu),
	}
	scene := world.Scene()
	got := map[string][]string{}
	for _, n := range scene.Nodes {
		got[n.Name] = n.Classes
	}
	want := map[string][]string{"odd": {"npu"}, "mixed": {"h100-sxm-80gb", "h200-sxm-141gb"}, "plain": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if total := scene.Nodes[0].Accelerators.Total; total != 4 {
		t.Errorf("the resource of a class counts %d devices, want 4", total)
	}
	devices := []capability.DeviceClass{
		{Device: "a", Class: "h100-sxm-80gb", Evidence: capability.DeviceFacts, Conditions: 1},
		{Device: "b", Class: "h200-sxm-141gb", Evidence: capability.DeviceFacts, Conditions: 1},
	}
	if diff := cmp.Diff(devices, scene.Nodes[1].Devices); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

// The Pods of a committed placement and the placement are one and the same room.
func TestSceneCountsCommittedOnce(t *testing.T) {
	gang := v1alpha1.GangSchedulingGroup{ObjectMeta: metav1.ObjectMeta{Name: "g", UID: "gang"}}
	gang.Status.Epoch = 2
	gang.Status.Placement = &v1alpha1.GangPlacement{Roles: []v1alpha1.RolePlacement{
		{Name: "w", Replicas: 2, Hosts: "n1*2", SpareHosts: "n2", Slot: list("nvidia.com/gpu", "2")},
	}}
	finished := gang
	finished.UID = "finished"
	finished.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
	unreadable := gang
	unreadable.UID = "unreadable"
	unreadable.Status.Placement = &v1alpha1.GangPlacement{Roles: []v1alpha1.RolePlacement{{Name: "w", Replicas: 2, Hosts: "n1"}}}
	world := World{
		Nodes: []corev1.Node{machine("n1", "nvidia.com/gpu", "16"), machine("n2", "nvidia.com/gpu", "16")},
		Pods: []corev1.Pod{
			memberOf("a", "gang", "2"), memberOf("stale", "gang", "1"), memberOf("b", "finished", "2"),
			memberOf("c", "unreadable", "2"), memberOf("d", "unknown", "2"), podOn("e", "n1", corev1.PodRunning, "nvidia.com/gpu", "1"),
		},
	}
	world.Commit([]v1alpha1.GangSchedulingGroup{gang, finished, unreadable})
	want := map[string]placement.Resources{
		// Two slots of the gang, and every Pod but its own: 4 + 4*1 + 1.
		"n1": {"nvidia.com/gpu": 9, podSlots: 7},
		"n2": {"nvidia.com/gpu": 2, podSlots: 1},
	}
	got := map[string]placement.Resources{}
	for _, n := range world.Scene().Nodes {
		got[n.Name] = n.Used
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
}

// memberOf is a Pod on n1 that a gang controls.
func memberOf(name string, gang types.UID, epoch string) corev1.Pod {
	pod := podOn(name, "n1", corev1.PodRunning, "nvidia.com/gpu", "1")
	pod.Labels = map[string]string{v1alpha1.LabelEpoch: epoch}
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "GangSchedulingGroup", Name: "g", UID: gang, Controller: new(true),
	}}
	return pod
}

func TestGangOf(t *testing.T) {
	foreign := memberOf("p", "gang", "3")
	foreign.OwnerReferences[0].APIVersion = "example.com/v1"
	loose := memberOf("p", "gang", "3")
	loose.OwnerReferences[0].Controller = nil
	cases := map[string]struct {
		pod   corev1.Pod
		uid   types.UID
		epoch int64
	}{
		"a member":                           {memberOf("p", "gang", "3"), "gang", 3},
		"a member that does not say":         {memberOf("p", "gang", ""), "gang", 0},
		"a member with an epoch of nonsense": {memberOf("p", "gang", "x"), "gang", 0},
		"a Pod of nobody":                    {podOn("p", "n1", corev1.PodRunning), "", 0},
		"an owner of another group":          {foreign, "", 0},
		"an owner that does not control":     {loose, "", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if uid, epoch := GangOf(&tc.pod); uid != tc.uid || epoch != tc.epoch {
				t.Errorf("GangOf() = %q, %d, want %q, %d", uid, epoch, tc.uid, tc.epoch)
			}
		})
	}
}

// A whole fleet becomes a snapshot that places the largest gang it holds.
func TestSceneOfFleets(t *testing.T) {
	for _, name := range []string{"hgx-64", "doks-rails-32", "nvl72-4racks"} {
		t.Run(name, func(t *testing.T) {
			f, err := fleet.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			world := World{Nodes: f.Nodes(), Domains: append(f.Domains(), f.Reports()...)}
			scene := world.Scene()
			if got := findings(scene.Fabric); len(got) > 0 {
				t.Errorf("findings: %v", got)
			}
			snapshot, err := scene.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			gpus := scene.Nodes[0].Capacity["nvidia.com/gpu"]
			worker := role("w", int32(len(world.Nodes)))
			worker.Template.Spec.Containers = []corev1.Container{{}}
			worker.Template.Spec.Containers[0].Resources.Limits = list("nvidia.com/gpu", string(rune('0'+gpus)))
			worker.Template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			request, err := GangRequest(&v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if verdict := placement.Place(snapshot, request); verdict.Placement == nil {
				t.Errorf("a gang of all nodes is refused: %+v", verdict)
			}
		})
	}
}
