package topology

// Source is the evidence that a domain comes from.
type Source string

const (
	// Declared: the platform team says so.
	Declared Source = "Declared"
	// Reported: agents say so, by the driver of at least one of its nodes or by
	// the subnets of its nodes' RoCE ports.
	Reported Source = "Reported"
	// Scanned: a scan of the InfiniBand fabric shows it.
	Scanned Source = "Scanned"
	// Labels: node labels say so.
	Labels Source = "Labels"
)

// The labels that mirror a node's place. They are written, never read.
const (
	BlockLabel        = "topology.k8s4ai.io/block"
	LeafLabel         = "topology.k8s4ai.io/leaf"
	NVLinkDomainLabel = "topology.k8s4ai.io/nvlink-domain"
)

// mirrors is indexed by level.
var mirrors = [Node]string{Block: BlockLabel, Leaf: LeafLabel, NVLinkDomain: NVLinkDomainLabel}

// maxLabelValue is the longest value that the API server accepts for a label.
const maxLabelValue = 63

// Declaration is a domain that the platform team has declared.
type Declaration struct {
	Vertex
	// Members are the nodes that are listed or selected, by name. A node that is
	// also listed further inside belongs to the innermost domain.
	Members []string
}

// Labelled is a node of the cluster with its labels.
type Labelled struct {
	Name   string
	Labels map[string]string
	// In are declared domains that the node is in beyond those that list it as a
	// member: a selector takes it, or its own TopologyDomain says so.
	In []string
}

// Domain is one domain above the nodes.
type Domain struct {
	Vertex
	// Source is the strongest evidence for the domain.
	Source Source
	// Nodes are directly in the domain, AllNodes at any depth, both in natural
	// order.
	Nodes    []string
	AllNodes []string
}

// Place is where a node sits.
type Place struct {
	Node string
	// Domain is the innermost domain, "" for a node outside of every fabric.
	Domain string
	Path   Path
	// Labels are all mirrored labels that the node is to have. A mirrored label
	// that is not in it is to be removed. It is nil when there are none.
	Labels map[string]string
}

// Assembly is the fabric as far as the evidence carries.
type Assembly struct {
	// Domains are ordered outer levels first, then by name.
	Domains []Domain
	// Nodes has one entry per node of the cluster, in natural order.
	Nodes    []Place
	Problems []Problem
}

// Vertices lists the domains without their nodes, parents first.
func (a Assembly) Vertices() []Vertex {
	out := make([]Vertex, len(a.Domains))
	for i, d := range a.Domains {
		out[i] = d.Vertex
	}
	return out
}

func mirrored(path Path) map[string]string {
	var labels map[string]string
	for level, key := range mirrors {
		name := path[level]
		if key == "" || name == "" || len(name) > maxLabelValue {
			continue
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = name
	}
	return labels
}
