package convert

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// World is everything in a cluster that bears on where a gang may go. Its
// objects may be shared with a cache: nothing here changes them.
type World struct {
	Nodes   []corev1.Node
	Domains []v1alpha1.TopologyDomain
	Classes []v1alpha1.AcceleratorClass
	Pods    []corev1.Pod
	// Slices are all devices that DRA drivers publish.
	Slices []resourcev1.ResourceSlice
	// Scan is the switch tree of the InfiniBand fabric, as far as one is known, and
	// ScanProblem says why a newer one does not count, "" for no reason.
	Scan        topology.Scan
	ScanProblem string
	// Committed is the room of committed placements. Pods for which IsCommitted
	// says true are in it, and are not counted again.
	Committed   []placement.Use
	IsCommitted func(*corev1.Pod) bool
}

// Scene is a world worked out: who is where, of which class, with what room.
type Scene struct {
	Fabric   Fabric
	Profiles []capability.Profile
	// Nodes are in the order of World.Nodes.
	Nodes []SceneNode
}

// SceneNode is one node of a scene.
type SceneNode struct {
	placement.Node
	// Devices are the classes of the node's accelerators.
	Devices []capability.DeviceClass
	// Accelerators counts the node's accelerators of every kind.
	Accelerators topology.Accelerators
	// Broken are the devices that cannot be used, by ID.
	Broken []string
	// Faults say what is broken on the node, in one word each.
	Faults []string
}

// Scene works the world out.
func (w World) Scene() Scene {
	kinds := ReadKinds(w.Classes, w.Slices)
	out := Scene{Fabric: BuildFabric(w.Domains, w.Nodes, w.Scan), Profiles: kinds.Profiles}
	used := w.Used()
	places := map[string]string{}
	for _, place := range out.Fabric.Assembly.Nodes {
		places[place.Node] = place.Domain
	}
	for i := range w.Nodes {
		node := &w.Nodes[i]
		scene := kinds.SceneNode(node, out.Fabric.Reports[node.Name], out.Fabric.Distrusted[node.Name], used[node.Name])
		scene.Domain = places[node.Name]
		out.Nodes = append(out.Nodes, scene)
	}
	return out
}

// Kinds are the accelerator classes in the form in which nodes are compared with
// them.
type Kinds struct {
	Profiles []capability.Profile
	// resources are the extended resources by which nodes offer accelerators.
	resources []string
	// links are what classes say of the links between devices.
	links map[string]classLink
	dra   DRA
}

// ReadKinds takes over the classes, and the devices that DRA drivers publish.
func ReadKinds(classes []v1alpha1.AcceleratorClass, published []resourcev1.ResourceSlice) Kinds {
	return Kinds{
		Profiles: Profiles(classes), resources: acceleratorResources(classes), links: classLinks(classes), dra: ReadDRA(classes, published),
	}
}

// SceneNode works out one node, without its place. report is the trusted report
// of its agent, nil for none; used is what its Pods and commitments take.
func (k Kinds) SceneNode(node *corev1.Node, report *v1alpha1.NodeReport, distrusted bool, used placement.Resources) SceneNode {
	facts := NodeFacts(node, report)
	facts.DRA = k.dra.On(node.Name, report)
	out := SceneNode{
		Node: placement.Node{
			Name: node.Name, Labels: node.Labels, Taints: taints(node), Capacity: Resources(node.Status.Allocatable), Used: used,
		},
		Devices: capability.Classify(k.Profiles, facts),
		Faults:  faults(report),
	}
	for _, device := range out.Devices {
		if device.Class != "" && !slices.Contains(out.Classes, device.Class) {
			out.Classes = append(out.Classes, device.Class)
		}
	}
	out.Unavailable = unavailable(node, distrusted, out.Faults)
	out.withhold(report, k.resources)
	if out.Accelerators.Total == 0 {
		out.Accelerators.Total = int64(len(facts.DRA))
	}
	out.wire(report, k.resources, k.links)
	return out
}

// Room is what the node adds to the domains above it.
func (n *SceneNode) Room() topology.NodeRoom {
	room := topology.NodeRoom{Node: n.Name, Ready: n.Unavailable == "", Accelerators: n.Accelerators, Reasons: n.Faults}
	devices := map[string]int64{}
	for _, d := range n.Devices {
		switch {
		case d.Class == "":
		case d.Device == "":
			// The class is known of the node, and not of each device.
			devices[d.Class] = Sum(devices[d.Class], n.Accelerators.Total)
		default:
			devices[d.Class]++
		}
	}
	for class, count := range devices {
		room.Classes = append(room.Classes, topology.ClassCount{Class: class, Devices: count})
	}
	return room
}

// Snapshot is the scene as placement sees it.
func (s Scene) Snapshot() (*placement.Snapshot, error) {
	nodes := make([]placement.Node, len(s.Nodes))
	for i := range s.Nodes {
		nodes[i] = s.Nodes[i].Node
	}
	snapshot, err := placement.NewSnapshot(s.Fabric.Assembly.Vertices(), nodes)
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot of the cluster: %w", err)
	}
	return snapshot, nil
}

// Used adds up what Pods and committed placements take, by node.
func (w World) Used() map[string]placement.Resources {
	out := map[string]placement.Resources{}
	take := func(node string, amount placement.Resources) {
		if out[node] == nil {
			out[node] = placement.Resources{}
		}
		add(out[node], amount)
	}
	for i := range w.Pods {
		pod := &w.Pods[i]
		if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if w.IsCommitted == nil || !w.IsCommitted(pod) {
			take(pod.Spec.NodeName, PodRequests(pod))
		}
	}
	for _, use := range w.Committed {
		take(use.Node, use.Resources)
	}
	return out
}

// acceleratorResources are the extended resources by which nodes offer
// accelerators: those of the classes, and the two that device plugins use.
func acceleratorResources(classes []v1alpha1.AcceleratorClass) []string {
	out := []string{"nvidia.com/gpu", "amd.com/gpu"}
	for i := range classes {
		if name := ResourceName(&classes[i].Spec); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// withhold counts the node's accelerators, and takes broken ones out of its
// capacity. A device plugin does the same, later.
func (n *SceneNode) withhold(report *v1alpha1.NodeReport, resources []string) {
	counts := &n.Accelerators
	for _, name := range resources {
		counts.Total = Sum(counts.Total, n.Capacity[name])
	}
	if report != nil && len(report.Accelerators) > 0 {
		for _, a := range report.Accelerators {
			if !isUsable(a.Health) {
				n.Broken = append(n.Broken, a.UUID)
			}
		}
		counts.Total = int64(len(report.Accelerators))
		counts.Unhealthy = int64(len(n.Broken))
		healthy := counts.Total - counts.Unhealthy
		for _, name := range resources {
			if n.Capacity[name] > healthy {
				n.Capacity[name] = healthy
			}
		}
	}
	if n.Unavailable != "" {
		return // What no Pod can get is not free.
	}
	for _, name := range resources {
		counts.Free = Sum(counts.Free, max(0, n.Capacity[name]-n.Used[name]))
	}
}

// faults say what is broken on a node according to its agent.
func faults(report *v1alpha1.NodeReport) []string {
	if report == nil {
		return nil
	}
	var out []string
	if report.NVLinkFabric != nil && !isUsable(report.NVLinkFabric.Health) {
		out = append(out, v1alpha1.ReasonFabricUnhealthy)
	}
	for _, a := range report.Accelerators {
		if !isUsable(a.Health) {
			return append(out, v1alpha1.ReasonAcceleratorUnhealthy)
		}
	}
	return out
}

// unavailable says why a node takes no new pods, "" when it does. A broken
// accelerator alone leaves the rest of the node usable.
func unavailable(node *corev1.Node, distrusted bool, faults []string) string {
	switch {
	case !node.DeletionTimestamp.IsZero():
		return "being deleted"
	case distrusted:
		return "report not trusted"
	case !isReady(node):
		return "not ready"
	case node.Spec.Unschedulable:
		return "cordoned"
	case slices.Contains(faults, v1alpha1.ReasonFabricUnhealthy):
		return "NVLink fabric unhealthy"
	}
	return ""
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func taints(node *corev1.Node) []placement.Taint {
	var out []placement.Taint
	for _, t := range node.Spec.Taints {
		out = append(out, placement.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	return out
}

// DeviceCounts writes counts of accelerators in the form of a status.
func DeviceCounts(a topology.Accelerators) *v1alpha1.DeviceCounts {
	return &v1alpha1.DeviceCounts{Total: new(Count(a.Total)), Free: new(Count(a.Free)), Unhealthy: new(Count(a.Unhealthy))}
}

// Count writes a count in the form of a status. One that is too large becomes
// the largest: a node that lies about what it has must not make a status that
// cannot be stored.
func Count(n int64) int32 {
	return int32(min(max(n, 0), math.MaxInt32))
}
