package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Finding is something about a TopologyDomain that its conditions tell.
type Finding struct {
	// Reason is one of the reasons of a TopologyDomain.
	Reason  string
	Message string
	// Stalls is true when a person has to change something.
	Stalls bool
}

// Fabric is the assembled fabric with what was found on the way.
type Fabric struct {
	Assembly topology.Assembly
	// Reports are the trusted node reports, by node.
	Reports map[string]*v1alpha1.NodeReport
	// Distrusted are the nodes whose report holds figures that cannot be.
	Distrusted map[string]bool
	// Findings are by name of the TopologyDomain, the worst first.
	Findings map[string][]Finding
}

// BuildFabric assembles the fabric from TopologyDomain objects and nodes.
// Domains that the manager itself derived are no evidence and are left out.
func BuildFabric(domains []v1alpha1.TopologyDomain, nodes []corev1.Node) Fabric {
	b := &fabricBuilder{
		nodes:    map[string]*corev1.Node{},
		declared: map[string]*topology.Declaration{},
		vertexOf: map[string][]string{},
		out:      Fabric{Reports: map[string]*v1alpha1.NodeReport{}, Distrusted: map[string]bool{}, Findings: map[string][]Finding{}},
	}
	for i := range nodes {
		b.nodes[nodes[i].Name] = &nodes[i]
		b.in.Nodes = append(b.in.Nodes, topology.Labelled{Name: nodes[i].Name, Labels: nodes[i].Labels})
	}
	for i := range domains {
		if domains[i].Spec.Level != v1alpha1.LevelNode && domains[i].Labels[v1alpha1.LabelTopologySource] == "" {
			b.declare(&domains[i], nodes)
		}
	}
	for i := range domains {
		if domains[i].Spec.Level == v1alpha1.LevelNode {
			b.addVertex(&domains[i])
		}
	}
	b.addReports(domains)
	for _, name := range b.order {
		b.in.Declared = append(b.in.Declared, *b.declared[name])
	}
	b.out.Assembly = topology.Assemble(b.in)
	b.spread(b.out.Assembly.Problems)
	for _, findings := range b.out.Findings {
		slices.SortStableFunc(findings, func(x, y Finding) int { return cmp.Compare(rank(x), rank(y)) })
	}
	return b.out
}

func rank(f Finding) int {
	if f.Stalls {
		return 0
	}
	return 1
}

// fabricBuilder collects the evidence of BuildFabric.
type fabricBuilder struct {
	nodes    map[string]*corev1.Node
	declared map[string]*topology.Declaration
	order    []string
	// vertexOf are the TopologyDomains of level Node, by node.
	vertexOf map[string][]string
	// memberOf is the inverse of the members of declared, made when it is asked for.
	memberOf map[string][]string
	in       topology.Input
	out      Fabric
}

func (b *fabricBuilder) find(domain string, stalls bool, reason, format string, args ...any) {
	b.out.Findings[domain] = append(b.out.Findings[domain], Finding{Reason: reason, Message: Message(fmt.Sprintf(format, args...)), Stalls: stalls})
}

// declare takes over a declared domain above the nodes.
func (b *fabricBuilder) declare(domain *v1alpha1.TopologyDomain, nodes []corev1.Node) {
	out := &topology.Declaration{Vertex: topology.Vertex{
		Name: domain.Name, Level: level(domain.Spec.Level), Parent: domain.Spec.ParentName, UplinkGbps: domain.Spec.UplinkGbps,
	}}
	b.declared[domain.Name] = out
	b.order = append(b.order, domain.Name)
	members := domain.Spec.Members
	if members == nil {
		return
	}
	out.Members = append(out.Members, members.NodeNames...)
	if members.NodeSelector == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(members.NodeSelector)
	if err != nil {
		b.find(domain.Name, true, v1alpha1.ReasonInvalidSelector, "members.nodeSelector: %v", err)
		return
	}
	named := make(map[string]bool, len(members.NodeNames))
	for _, name := range members.NodeNames {
		named[name] = true
	}
	for i := range nodes {
		if selector.Matches(labels.Set(nodes[i].Labels)) && !named[nodes[i].Name] {
			out.Members = append(out.Members, nodes[i].Name)
		}
	}
}

// addVertex takes over a domain of level Node. With a parent it is a
// declaration of the node's place.
func (b *fabricBuilder) addVertex(domain *v1alpha1.TopologyDomain) {
	node := domain.Spec.NodeName
	if b.nodes[node] == nil {
		b.find(domain.Name, true, v1alpha1.ReasonNodeNotFound, "there is no Node %q: correct nodeName, or delete this TopologyDomain", node)
		return
	}
	b.vertexOf[node] = append(b.vertexOf[node], domain.Name)
	if parent := domain.Spec.ParentName; parent != "" {
		if b.declared[parent] == nil {
			b.find(domain.Name, true, v1alpha1.ReasonParentNotFound, "there is no declared TopologyDomain %q: correct parentName, or remove it", parent)
			return
		}
		if !slices.Contains(b.declared[parent].Members, node) {
			b.declared[parent].Members = append(b.declared[parent].Members, node)
		}
	}
}

// addReports takes over what agents report, unless it cannot be true.
func (b *fabricBuilder) addReports(domains []v1alpha1.TopologyDomain) {
	for i := range domains {
		domain := &domains[i]
		node := domain.Spec.NodeName
		if domain.Spec.Level != v1alpha1.LevelNode || b.nodes[node] == nil {
			continue
		}
		if owners := b.vertexOf[node]; len(owners) > 1 {
			b.find(domain.Name, true, v1alpha1.ReasonNodeClaimedTwice, "node %s has several TopologyDomains (%s): keep one", node, strings.Join(owners, ", "))
			b.out.Distrusted[node] = true
			continue
		}
		if domain.Status.Node == nil {
			continue
		}
		report := Report(node, domain.Status.Node)
		if problems := topology.ValidateReport(report); len(problems) > 0 {
			b.find(domain.Name, true, v1alpha1.ReasonImpossibleReport, "the node report cannot be true, so that the node takes no gangs: %s", joinProblems(problems))
			b.out.Distrusted[node] = true
			continue
		}
		b.out.Reports[node] = domain.Status.Node
		b.in.Reports = append(b.in.Reports, report)
	}
}

// spread turns problems of the assembly into findings of the domains that they
// concern. A problem of a node concerns its own domain and the domains that
// declare it.
func (b *fabricBuilder) spread(problems []topology.Problem) {
	for _, p := range problems {
		reason, stalls := reasonOf(p.Kind)
		concerned := map[string]bool{}
		if p.Domain != "" {
			concerned[p.Domain] = true
		}
		if p.Node != "" {
			for _, name := range b.vertexOf[p.Node] {
				concerned[name] = true
			}
			if p.Kind == topology.DoublyParented || p.Kind == topology.Disagreement {
				for _, name := range b.declaredIn(p.Node) {
					concerned[name] = true
				}
			}
		}
		for _, name := range sortedNames(concerned) {
			b.find(name, stalls, reason, "%s", p.String())
		}
	}
}

// declaredIn lists the declared domains that name a node as a direct member.
func (b *fabricBuilder) declaredIn(node string) []string {
	if b.memberOf == nil {
		b.memberOf = map[string][]string{}
		for _, name := range b.order {
			for _, member := range b.declared[name].Members {
				b.memberOf[member] = append(b.memberOf[member], name)
			}
		}
	}
	return b.memberOf[node]
}

func sortedNames(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func joinProblems(problems []topology.Problem) string {
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "; ")
}

// reasonOf gives the reason for a kind of problem, and whether it stalls.
func reasonOf(kind topology.ProblemKind) (reason string, stalls bool) {
	switch kind {
	case topology.Cycle:
		return v1alpha1.ReasonCycle, true
	case topology.MissingParent:
		return v1alpha1.ReasonParentNotFound, true
	case topology.ParentNotWider:
		return v1alpha1.ReasonParentNotWider, true
	case topology.ParentLeftOut, topology.DomainLeftOut:
		return v1alpha1.ReasonParentNotAccepted, true
	case topology.DoublyParented:
		return v1alpha1.ReasonNodeClaimedTwice, true
	case topology.UnknownNode:
		return v1alpha1.ReasonNodeNotFound, false
	case topology.Disagreement:
		return v1alpha1.ReasonDisagreement, false
	case topology.SpansDomains:
		return v1alpha1.ReasonSpansDomains, false
	case topology.NameOfNode:
		return v1alpha1.ReasonNameOfNode, true
	case topology.FabricUnhealthy:
		return v1alpha1.ReasonFabricUnhealthy, false
	case topology.NameTooLong, topology.ValueTooLong, topology.InvalidValue:
		return v1alpha1.ReasonIgnoredEvidence, false
	case topology.InvalidDomain, topology.DuplicateDomain, topology.UnknownDomain, topology.DuplicateNode,
		topology.TooMany, topology.DuplicateDevice, topology.UnknownDevice, topology.OutOfRange:
	}
	return v1alpha1.ReasonInvalidDomain, true
}

// Report turns what an agent wrote into a value.
func Report(node string, in *v1alpha1.NodeReport) topology.Report {
	out := topology.Report{Node: node}
	switches := map[string]bool{}
	for _, a := range in.Accelerators {
		out.GPUs = append(out.GPUs, topology.GPU{
			UUID: a.UUID, PCIAddress: a.PCIAddress, NUMANode: numa(a.NUMANode), MemoryBytes: a.MemoryBytes, Healthy: isUsable(a.Health),
		})
	}
	for _, l := range in.NVLinks {
		if strings.HasPrefix(l.To, nvSwitchPrefix) && !switches[l.To] {
			switches[l.To] = true
			out.Switches = append(out.Switches, l.To)
		}
		out.Links = append(out.Links, topology.Link{A: l.From, B: l.To, Count: int(l.Links), GbpsPerLink: int64(l.LinkGbps)})
	}
	for _, n := range in.NICs {
		out.NICs = append(out.NICs, topology.NIC{
			Name: n.Name, GUID: n.GUID, LinkLayer: string(n.LinkLayer), RateGbps: int64(n.RateGbps), Active: n.State == v1alpha1.NICActive, NUMANode: numa(n.NUMANode),
		})
	}
	if f := in.NVLinkFabric; f != nil && f.CliqueID != nil && *f.CliqueID <= maxCliqueID {
		out.Fabric = &topology.NVLinkFabric{
			ClusterUUID: f.ClusterUUID, CliqueID: uint32(*f.CliqueID), State: topology.FabricCompleted, Health: topology.FabricHealth(f.Health),
		}
	}
	return out
}

const (
	// nvSwitchPrefix begins the names of NVLink switches in a report.
	nvSwitchPrefix = "switch-"
	// maxCliqueID is the largest number that the driver's 32 bits hold.
	maxCliqueID = 1<<32 - 1
)

func numa(n *int32) int {
	if n == nil {
		return -1
	}
	return int(*n)
}

// isUsable says whether a device of that health may get work.
func isUsable(h v1alpha1.DeviceHealth) bool {
	return h == v1alpha1.DeviceHealthy || h == v1alpha1.DeviceUnknown
}
