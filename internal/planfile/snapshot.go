package planfile

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// APIVersion is that of every file and output of plan.
const APIVersion = "plan.k8s4ai.io/v1"

// KindSnapshot is the kind of a Snapshot.
const KindSnapshot = "Snapshot"

// Snapshot is a cluster as placement sees it at one moment, as a file.
type Snapshot struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Taken is when the cluster was read. Unset for machines from a description.
	Taken *metav1.Time `json:"taken,omitempty"`
	// Domains are the domains above the nodes.
	Domains []Domain `json:"domains,omitempty"`
	// Classes are the AcceleratorClasses, with their spec and what was measured.
	Classes []Class `json:"classes,omitempty"`
	Nodes   []Node  `json:"nodes"`
	// Gangs are all gangs: those with status.placement hold room, which is in
	// Nodes[].Used. Of their templates only what placement needs is here.
	Gangs []v1alpha1.GangSchedulingGroup `json:"gangs,omitempty"`
}

// Domain is one domain of the fabric.
type Domain struct {
	Name string `json:"name"`
	// Level is Fabric, Block, Leaf or NVLinkDomain.
	Level v1alpha1.TopologyLevel `json:"level"`
	// Parent is the next wider domain. Unset for an outermost one.
	Parent string `json:"parent,omitempty"`
	// UplinkGbps is the bandwidth to the parent in gigabits per second and
	// direction. 0 means not known.
	UplinkGbps int64 `json:"uplinkGbps,omitempty"`
}

// Class is an AcceleratorClass without what is about its storage.
type Class struct {
	Name     string                        `json:"name"`
	Spec     v1alpha1.AcceleratorClassSpec `json:"spec"`
	Measured []v1alpha1.MeasuredFigure     `json:"measured,omitempty"`
}

// Node is one node, with the fields and units of placement.Node.
type Node struct {
	Name string `json:"name"`
	// Domain is the innermost domain above the node. Unset outside of every fabric.
	Domain string `json:"domain,omitempty"`
	// Classes are the AcceleratorClasses of the node's devices.
	Classes []string          `json:"classes,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Taints  []Taint           `json:"taints,omitempty"`
	// Capacity is what the node offers, Used what is taken: millicores of cpu,
	// bytes of memory and storage, pieces of everything else.
	Capacity map[string]int64 `json:"capacity,omitempty"`
	Used     map[string]int64 `json:"used,omitempty"`
	// Unavailable says why the node takes no new Pods. Unset when it does.
	Unavailable string `json:"unavailable,omitempty"`
	// Islands are the devices per NUMA or NVLink island, by resource.
	Islands map[string][]int64 `json:"islands,omitempty"`
	// NICGbps and LinkGbps are in gigabits per second and direction, 0 for unknown.
	NICGbps  int64 `json:"nicGbps,omitempty"`
	LinkGbps int64 `json:"linkGbps,omitempty"`
}

// Taint keeps Pods without a matching toleration away.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Take makes a snapshot of a cluster that was worked out. gangs are all gangs of
// the cluster.
func Take(scene convert.Scene, classes []v1alpha1.AcceleratorClass, gangs []v1alpha1.GangSchedulingGroup, taken *metav1.Time) *Snapshot {
	out := &Snapshot{APIVersion: APIVersion, Kind: KindSnapshot, Taken: taken, Nodes: make([]Node, len(scene.Nodes))}
	for _, v := range scene.Fabric.Assembly.Vertices() {
		out.Domains = append(out.Domains, Domain{
			Name: v.Name, Level: v1alpha1.TopologyLevel(v.Level.String()), Parent: v.Parent, UplinkGbps: v.UplinkGbps,
		})
	}
	for i := range scene.Nodes {
		out.Nodes[i] = nodeOf(&scene.Nodes[i].Node)
	}
	for i := range classes {
		out.Classes = append(out.Classes, Class{Name: classes[i].Name, Spec: classes[i].Spec, Measured: classes[i].Status.Measured})
	}
	for i := range gangs {
		out.Gangs = append(out.Gangs, Trim(&gangs[i]))
	}
	slices.SortFunc(out.Classes, func(a, b Class) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Placement is the snapshot in the form in which gangs are placed on it.
func (s *Snapshot) Placement() (*placement.Snapshot, error) {
	out, err := placement.NewSnapshot(s.Vertices(), s.PlacementNodes())
	if err != nil {
		return nil, fmt.Errorf("reading the snapshot: %w", err)
	}
	return out, nil
}

// Vertices are the domains as placement takes them.
func (s *Snapshot) Vertices() []topology.Vertex {
	out := make([]topology.Vertex, len(s.Domains))
	for i, d := range s.Domains {
		level, _ := topology.ParseLevel(string(d.Level))
		out[i] = topology.Vertex{Name: d.Name, Level: level, Parent: d.Parent, UplinkGbps: d.UplinkGbps}
	}
	return out
}

// PlacementNodes are the nodes as placement takes them.
func (s *Snapshot) PlacementNodes() []placement.Node {
	out := make([]placement.Node, len(s.Nodes))
	for i := range s.Nodes {
		out[i] = s.Nodes[i].node()
	}
	return out
}

// AcceleratorClasses are the classes as objects.
func (s *Snapshot) AcceleratorClasses() []v1alpha1.AcceleratorClass {
	out := make([]v1alpha1.AcceleratorClass, len(s.Classes))
	for i := range s.Classes {
		c := &s.Classes[i]
		out[i].Name, out[i].Spec, out[i].Status.Measured = c.Name, c.Spec, c.Measured
	}
	return out
}

func nodeOf(n *placement.Node) Node {
	out := Node{
		Name: n.Name, Domain: n.Domain, Classes: n.Classes, Labels: n.Labels,
		Capacity: n.Capacity, Used: n.Used, Unavailable: n.Unavailable,
		Islands: n.Islands, NICGbps: n.NICGbps, LinkGbps: n.LinkGbps,
	}
	for _, t := range n.Taints {
		out.Taints = append(out.Taints, Taint(t))
	}
	return out
}

func (n *Node) node() placement.Node {
	out := placement.Node{
		Name: n.Name, Domain: n.Domain, Classes: n.Classes, Labels: n.Labels,
		Capacity: n.Capacity, Used: n.Used, Unavailable: n.Unavailable,
		Islands: n.Islands, NICGbps: n.NICGbps, LinkGbps: n.LinkGbps,
	}
	for _, t := range n.Taints {
		out.Taints = append(out.Taints, placement.Taint(t))
	}
	return out
}
