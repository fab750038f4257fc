package convert

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

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
	out := Scene{Fabric: BuildFabric(w.Domains, w.Nodes), Profiles: Profiles(w.Classes)}
	resources := acceleratorResources(w.Classes)
	used := w.used()
	places := map[string]string{}
	for _, place := range out.Fabric.Assembly.Nodes {
		places[place.Node] = place.Domain
	}
	for i := range w.Nodes {
		node := &w.Nodes[i]
		report := out.Fabric.Reports[node.Name]
		scene := SceneNode{
			Node: placement.Node{
				Name: node.Name, Domain: places[node.Name], Labels: node.Labels, Taints: taints(node),
				Capacity: Resources(node.Status.Allocatable), Used: used[node.Name],
			},
			Devices: capability.Classify(out.Profiles, NodeFacts(node, report)),
			Faults:  faults(report),
		}
		for _, device := range scene.Devices {
			if device.Class != "" && !slices.Contains(scene.Classes, device.Class) {
				scene.Classes = append(scene.Classes, device.Class)
			}
		}
		scene.Unavailable = unavailable(node, out.Fabric.Distrusted[node.Name], scene.Faults)
		scene.withhold(report, resources)
		out.Nodes = append(out.Nodes, scene)
	}
	return out
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

// used adds up what Pods and committed placements take, by node.
func (w World) used() map[string]placement.Resources {
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
