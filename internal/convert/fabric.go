package convert

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
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

// BuildFabric assembles the fabric from TopologyDomain objects, nodes and a scan.
// Domains that the manager itself derived are no evidence and are left out.
func BuildFabric(domains []v1alpha1.TopologyDomain, nodes []corev1.Node, scan topology.Scan) Fabric {
	out := Fabric{Reports: map[string]*v1alpha1.NodeReport{}, Distrusted: map[string]bool{}, Findings: map[string][]Finding{}}
	declared := ReadDeclared(domains)
	own := map[string][]*v1alpha1.TopologyDomain{}
	for i := range domains {
		if domains[i].Spec.Level == v1alpha1.LevelNode {
			own[domains[i].Spec.NodeName] = append(own[domains[i].Spec.NodeName], &domains[i])
		}
	}
	state := topology.NewState()
	state.Declare(declared.Declarations)
	state.SetScan(scan)
	evidence := make([]NodeEvidence, len(nodes))
	for i := range nodes {
		e := declared.Evidence(&nodes[i], own[nodes[i].Name])
		state.SetNode(e.Labelled, e.Report, topology.NodeRoom{})
		if e.Stored != nil {
			out.Reports[nodes[i].Name] = e.Stored
		}
		if e.Distrusted {
			out.Distrusted[nodes[i].Name] = true
		}
		evidence[i] = e
	}
	out.Assembly = state.Assembly()
	tell := func(name string, findings []Finding) {
		if len(findings) > 0 {
			out.Findings[name] = findings
		}
	}
	for i := range nodes {
		_, problems, _ := state.Place(nodes[i].Name)
		for _, domain := range own[nodes[i].Name] {
			tell(domain.Name, evidence[i].FindingsOf(domain.Name, problems))
		}
		delete(own, nodes[i].Name)
	}
	for node, orphans := range own {
		for _, domain := range orphans {
			tell(domain.Name, []Finding{NodeNotFound(node)})
		}
	}
	for _, d := range declared.Declarations {
		domain, _ := state.Domain(d.Name)
		tell(d.Name, declared.FindingsOf(d.Name, domain.Problems))
	}
	return out
}

// Declared is what people say of the fabric above the nodes. It is read once, and
// asked for every node.
type Declared struct {
	Declarations []topology.Declaration
	names        map[string]bool
	// selecting are the domains with a selector: those that ask for one label with
	// one value by that label, and the others.
	selecting map[labelValue][]taker
	others    []taker
	keys      []string
	unread    map[string]Finding
}

type labelValue struct{ key, value string }

// taker is a domain that takes nodes by their labels.
type taker struct {
	domain   string
	selector labels.Selector
}

// ReadDeclared takes what is declared from all TopologyDomains.
func ReadDeclared(domains []v1alpha1.TopologyDomain) *Declared {
	out := &Declared{names: map[string]bool{}, selecting: map[labelValue][]taker{}, unread: map[string]Finding{}}
	for i := range domains {
		if IsDeclared(&domains[i]) {
			out.add(&domains[i])
		}
	}
	return out
}

// IsDeclared says whether a TopologyDomain is a declared one above the nodes.
func IsDeclared(domain *v1alpha1.TopologyDomain) bool {
	return domain.Spec.Level != v1alpha1.LevelNode && domain.Labels[v1alpha1.LabelTopologySource] == ""
}

func (d *Declared) add(domain *v1alpha1.TopologyDomain) {
	d.names[domain.Name] = true
	out := topology.Declaration{Vertex: topology.Vertex{
		Name: domain.Name, Level: level(domain.Spec.Level), Parent: domain.Spec.ParentName, UplinkGbps: domain.Spec.UplinkGbps,
	}}
	members := domain.Spec.Members
	if members != nil {
		out.Members = members.NodeNames
	}
	d.Declarations = append(d.Declarations, out)
	if members == nil || members.NodeSelector == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(members.NodeSelector)
	if err != nil {
		d.unread[domain.Name] = finding(true, v1alpha1.ReasonInvalidSelector, "members.nodeSelector: %v", err)
		return
	}
	by := taker{domain.Name, selector}
	if len(members.NodeSelector.MatchLabels) == 0 {
		d.others = append(d.others, by)
		return
	}
	key := slices.Min(slices.Collect(maps.Keys(members.NodeSelector.MatchLabels)))
	if !slices.Contains(d.keys, key) {
		d.keys = append(d.keys, key)
	}
	at := labelValue{key, members.NodeSelector.MatchLabels[key]}
	d.selecting[at] = append(d.selecting[at], by)
}

// takers lists the domains whose selector takes a node.
func (d *Declared) takers(node *corev1.Node) []string {
	var out []string
	take := func(candidates []taker) {
		for _, c := range candidates {
			if c.selector.Matches(labels.Set(node.Labels)) {
				out = append(out, c.domain)
			}
		}
	}
	take(d.others)
	for _, key := range d.keys {
		if value, ok := node.Labels[key]; ok {
			take(d.selecting[labelValue{key, value}])
		}
	}
	return out
}

// FindingsOf are the findings of a declared domain with these problems.
func (d *Declared) FindingsOf(name string, problems []topology.Problem) []Finding {
	var own []Finding
	if f, ok := d.unread[name]; ok {
		own = append(own, f)
	}
	return withProblems(own, problems)
}

// NodeEvidence is what is known of one node's place.
type NodeEvidence struct {
	Labelled topology.Labelled
	// Report and Stored are the trusted report, nil for none.
	Report *topology.Report
	Stored *v1alpha1.NodeReport
	// Distrusted means that there is a report that cannot be true.
	Distrusted bool
	// findings are by TopologyDomain of the node.
	findings map[string][]Finding
}

// FindingsOf are the findings of a node's own TopologyDomain, given the problems
// of the node.
func (e *NodeEvidence) FindingsOf(domain string, problems []topology.Problem) []Finding {
	return withProblems(e.findings[domain], problems)
}

// Evidence gathers what is known of a node's place. own are the TopologyDomains
// of level Node that name it.
func (d *Declared) Evidence(node *corev1.Node, own []*v1alpha1.TopologyDomain) NodeEvidence {
	out := NodeEvidence{Labelled: topology.Labelled{Name: node.Name, Labels: node.Labels, In: d.takers(node)}, findings: map[string][]Finding{}}
	find := func(domain string, f Finding) { out.findings[domain] = append(out.findings[domain], f) }
	var names []string
	for _, domain := range own {
		names = append(names, domain.Name)
		// With a parent it is a declaration of the node's place.
		switch parent := domain.Spec.ParentName; {
		case parent == "":
		case d.names[parent]:
			out.Labelled.In = append(out.Labelled.In, parent)
		default:
			find(domain.Name, finding(true, v1alpha1.ReasonParentNotFound, "there is no declared TopologyDomain %q: correct parentName, or remove it", parent))
		}
	}
	if len(own) > 1 {
		slices.Sort(names)
		out.Distrusted = true
		for _, name := range names {
			find(name, finding(true, v1alpha1.ReasonNodeClaimedTwice, "node %s has several TopologyDomains (%s): keep one", node.Name, strings.Join(names, ", ")))
		}
		return out
	}
	if len(own) == 0 || own[0].Status.Node == nil {
		return out
	}
	report, unread := Report(node.Name, own[0].Status.Node)
	for _, why := range unread {
		find(names[0], finding(false, v1alpha1.ReasonIgnoredEvidence, "%s", why))
	}
	if problems := topology.ValidateReport(report); len(problems) > 0 {
		find(names[0], finding(true, v1alpha1.ReasonImpossibleReport, "the node report cannot be true, so that the node takes no gangs: %s", joinProblems(problems)))
		out.Distrusted = true
		return out
	}
	out.Report, out.Stored = &report, own[0].Status.Node
	return out
}

// NodeNotFound is the finding of a TopologyDomain whose node does not exist.
func NodeNotFound(node string) Finding {
	return finding(true, v1alpha1.ReasonNodeNotFound, "there is no Node %q: correct nodeName, or delete this TopologyDomain", node)
}

func finding(stalls bool, reason, format string, args ...any) Finding {
	return Finding{Reason: reason, Message: Message(fmt.Sprintf(format, args...)), Stalls: stalls}
}

// withProblems adds problems to findings, and puts what stalls first.
func withProblems(own []Finding, problems []topology.Problem) []Finding {
	out := slices.Clone(own)
	for _, p := range problems {
		reason, stalls := reasonOf(p.Kind)
		out = append(out, finding(stalls, reason, "%s", p.String()))
	}
	slices.SortStableFunc(out, func(x, y Finding) int { return cmp.Compare(rank(x), rank(y)) })
	return out
}

func rank(f Finding) int {
	if f.Stalls {
		return 0
	}
	return 1
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
	case topology.NameTooLong, topology.ValueTooLong, topology.InvalidValue, topology.DuplicateGUID:
		return v1alpha1.ReasonIgnoredEvidence, false
	case topology.InvalidDomain, topology.DuplicateDomain, topology.UnknownDomain,
		topology.TooMany, topology.DuplicateDevice, topology.UnknownDevice, topology.OutOfRange:
	}
	return v1alpha1.ReasonInvalidDomain, true
}

// Report turns what an agent wrote into a value. unread says what in it has no
// meaning.
func Report(node string, in *v1alpha1.NodeReport) (out topology.Report, unread []string) {
	out.Node = node
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
		subnet, err := sharedSubnet(n.Subnet)
		if err != nil {
			unread = append(unread, fmt.Sprintf("NIC %q: subnet: %v", n.Name, err))
		}
		out.NICs = append(out.NICs, topology.NIC{
			Name: n.Name, GUID: n.GUID, SystemGUID: n.SystemGUID, Subnet: subnet, LinkLayer: string(n.LinkLayer), RateGbps: int64(n.RateGbps), Active: n.State == v1alpha1.NICActive, NUMANode: numa(n.NUMANode),
		})
	}
	if f := in.NVLinkFabric; f != nil && f.CliqueID != nil && *f.CliqueID <= maxCliqueID {
		out.Fabric = &topology.NVLinkFabric{
			ClusterUUID: f.ClusterUUID, CliqueID: uint32(*f.CliqueID), State: topology.FabricCompleted, Health: topology.FabricHealth(f.Health),
		}
	}
	return out, unread
}

// sharedSubnet is the canonical form of a subnet that says something of what its
// machines reach, "" for one that every machine has, such as a link-local one.
func sharedSubnet(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return "", err
	}
	prefix = prefix.Masked()
	if a := prefix.Addr(); prefix.Bits() == 0 || a.IsLinkLocalUnicast() || a.IsLoopback() || a.IsMulticast() {
		return "", nil
	}
	return prefix.String(), nil
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
