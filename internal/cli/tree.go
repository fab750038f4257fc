package cli

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// levelNone is the level of the group of nodes outside of every fabric.
const levelNone v1alpha1.TopologyLevel = ""

// Vertex is one domain or node of the tree, as `topology -o json` prints it.
type Vertex struct {
	Name  string                 `json:"name"`
	Level v1alpha1.TopologyLevel `json:"level,omitempty"`
	// Nodes and Ready count machines, Accelerators the devices below.
	Nodes        int32    `json:"nodes"`
	Ready        int32    `json:"ready"`
	Accelerators int32    `json:"accelerators"`
	Free         int32    `json:"free"`
	Broken       int32    `json:"broken"`
	Classes      []string `json:"classes,omitempty"`
	// States are what is wrong, the worst first; none means that all is well.
	States   []string  `json:"states,omitempty"`
	Children []*Vertex `json:"children,omitempty"`

	domain *v1alpha1.TopologyDomain
}

// buildTree joins domains and nodes. Nodes that no agent reports are placed by
// the labels that mirror the fabric. What is outside of every fabric comes last,
// in a group without a level.
func buildTree(domains []v1alpha1.TopologyDomain, nodes []corev1.Node) []*Vertex {
	vertices := map[string]*Vertex{}
	parents := map[string]string{}
	reported := map[string]bool{}
	machines := map[string]*corev1.Node{}
	for i := range nodes {
		machines[nodes[i].Name] = &nodes[i]
	}
	for i := range domains {
		domain := &domains[i]
		v := domainVertex(domain, machines[domain.Spec.NodeName])
		vertices[domain.Name] = v
		parents[domain.Name] = cmp.Or(domain.Status.ParentName, parentBeforeStatus(domain))
		reported[domain.Spec.NodeName] = true
	}
	for i := range nodes {
		if !reported[nodes[i].Name] && vertices[nodes[i].Name] == nil {
			vertices[nodes[i].Name] = bareVertex(&nodes[i])
			parents[nodes[i].Name] = mirroredParent(nodes[i].Labels)
		}
	}
	outside := &Vertex{Name: "outside of every fabric", Level: levelNone}
	var roots []*Vertex
	for _, name := range slices.SortedFunc(maps.Keys(vertices), topology.CompareNatural) {
		v := vertices[name]
		parent := vertices[parents[name]]
		switch {
		case parent != nil && rung(parent.Level) < rung(v.Level):
			parent.Children = append(parent.Children, v)
		case v.Level == v1alpha1.LevelNode:
			outside.take(v)
		default:
			roots = append(roots, v)
		}
	}
	for _, v := range vertices {
		slices.SortStableFunc(v.Children, byLevel)
	}
	slices.SortStableFunc(roots, byLevel)
	if len(outside.Children) > 0 {
		roots = append(roots, outside)
	}
	return roots
}

// rung orders levels, outer first.
func rung(level v1alpha1.TopologyLevel) int {
	return slices.Index([]v1alpha1.TopologyLevel{
		v1alpha1.LevelFabric, v1alpha1.LevelBlock, v1alpha1.LevelLeaf, v1alpha1.LevelNVLinkDomain, v1alpha1.LevelNode,
	}, level)
}

func byLevel(a, b *Vertex) int { return cmp.Compare(rung(a.Level), rung(b.Level)) }

// parentBeforeStatus is the parent of a domain that the manager has not seen yet.
func parentBeforeStatus(domain *v1alpha1.TopologyDomain) string {
	if len(domain.Status.Conditions) > 0 {
		return ""
	}
	return domain.Spec.ParentName
}

func mirroredParent(labels map[string]string) string {
	return cmp.Or(labels[v1alpha1.LabelNVLinkDomain], labels[v1alpha1.LabelLeaf], labels[v1alpha1.LabelBlock])
}

// take adds a node to the group of those outside.
func (v *Vertex) take(node *Vertex) {
	v.Children = append(v.Children, node)
	v.Nodes += node.Nodes
	v.Ready += node.Ready
	v.Accelerators += node.Accelerators
	v.Free += node.Free
	v.Broken += node.Broken
	for _, class := range node.Classes {
		if !slices.Contains(v.Classes, class) {
			v.Classes = append(v.Classes, class)
		}
	}
}

func domainVertex(domain *v1alpha1.TopologyDomain, node *corev1.Node) *Vertex {
	v := &Vertex{Name: domain.Name, Level: domain.Spec.Level, domain: domain}
	if counts := domain.Status.Nodes; counts != nil {
		v.Nodes, v.Ready = number(counts.Total), number(counts.Ready)
	}
	if counts := domain.Status.Accelerators; counts != nil {
		v.Accelerators, v.Free, v.Broken = number(counts.Total), number(counts.Free), number(counts.Unhealthy)
	}
	for _, class := range domain.Status.Classes {
		v.Classes = append(v.Classes, class.Name)
	}
	v.States = append(states(domain), nodeStates(node)...)
	return v
}

// bareVertex is a node that no agent reports.
func bareVertex(node *corev1.Node) *Vertex {
	v := &Vertex{Name: node.Name, Level: v1alpha1.LevelNode, Nodes: 1, States: nodeStates(node)}
	if len(v.States) == 0 {
		v.Ready = 1
	}
	for label := range node.Labels {
		if class, found := strings.CutPrefix(label, v1alpha1.LabelClassPrefix); found {
			v.Classes = append(v.Classes, class)
		}
	}
	slices.Sort(v.Classes)
	for _, name := range []corev1.ResourceName{"nvidia.com/gpu", "amd.com/gpu"} {
		if amount, found := node.Status.Allocatable[name]; found {
			v.Accelerators += int32(min(max(amount.Value(), 0), 1<<20))
		}
	}
	v.Free = unknownCount
	return v
}

// unknownCount stands for a number that nobody reports.
const unknownCount = -1

func number(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
