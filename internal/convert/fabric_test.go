package convert

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// domain makes a declared domain with the nodes that it names.
func domain(name string, level v1alpha1.TopologyLevel, parent string, nodes ...string) v1alpha1.TopologyDomain {
	out := v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.TopologyDomainSpec{Level: level, ParentName: parent}}
	if len(nodes) > 0 {
		out.Spec.Members = &v1alpha1.TopologyDomainMembers{NodeNames: nodes}
	}
	return out
}

// vertex makes a domain of level Node.
func vertex(name, node, parent string, report *v1alpha1.NodeReport) v1alpha1.TopologyDomain {
	return v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: node, ParentName: parent},
		Status:     v1alpha1.TopologyDomainStatus{Node: report},
	}
}

func node(name string, labels ...string) corev1.Node {
	out := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for i := 0; i+1 < len(labels); i += 2 {
		out.Labels[labels[i]] = labels[i+1]
	}
	return out
}

func nodes(names ...string) []corev1.Node {
	var out []corev1.Node
	for _, name := range names {
		out = append(out, node(name))
	}
	return out
}

func selecting(d v1alpha1.TopologyDomain, selector metav1.LabelSelector) v1alpha1.TopologyDomain {
	if d.Spec.Members == nil {
		d.Spec.Members = &v1alpha1.TopologyDomainMembers{}
	}
	d.Spec.Members.NodeSelector = &selector
	return d
}

func gpus(uuids ...string) []v1alpha1.Accelerator {
	var out []v1alpha1.Accelerator
	for i, uuid := range uuids {
		out = append(out, v1alpha1.Accelerator{UUID: uuid, Index: new(int32(i)), Health: v1alpha1.DeviceHealthy, PCIID: "10de:2330"})
	}
	return out
}

const (
	gkeBlock = "cloud.google.com/gce-topology-block"
	gkeLeaf  = "cloud.google.com/gce-topology-subblock"
	clique   = "nvidia.com/gpu.clique"
	fabricID = "11111111-2222-3333-4444-555555555555"
)

// findings shows the findings of a domain as lines "Reason!: message", the mark
// for those that stall.
func findings(f Fabric) map[string][]string {
	out := map[string][]string{}
	for name, all := range f.Findings {
		for _, one := range all {
			mark := ""
			if one.Stalls {
				mark = "!"
			}
			out[name] = append(out[name], one.Reason+mark+": "+one.Message)
		}
	}
	return out
}

type fabricCase struct {
	domains []v1alpha1.TopologyDomain
	nodes   []corev1.Node
	want    map[string][]string
	// places are the innermost domains of nodes, those outside left out.
	places     map[string]string
	distrusted []string
}

func (tc fabricCase) run(t *testing.T) {
	t.Helper()
	got := BuildFabric(tc.domains, tc.nodes, topology.Scan{})
	if tc.want == nil {
		tc.want = map[string][]string{}
	}
	if diff := cmp.Diff(tc.want, findings(got)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	places := map[string]string{}
	for _, place := range got.Assembly.Nodes {
		if place.Domain != "" {
			places[place.Node] = place.Domain
		}
	}
	if tc.places == nil {
		tc.places = map[string]string{}
	}
	if diff := cmp.Diff(tc.places, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(tc.distrusted, setOf(got.Distrusted)); diff != "" {
		t.Errorf("distrusted (-want +got):\n%s", diff)
	}
}

func setOf(set map[string]bool) []string {
	if len(set) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(set))
}

// leaf is a declared tree that is in order.
func leaf(members ...string) []v1alpha1.TopologyDomain {
	return []v1alpha1.TopologyDomain{domain("f", v1alpha1.LevelFabric, ""), domain("l", v1alpha1.LevelLeaf, "f", members...)}
}

func TestBuildFabricOfDeclarations(t *testing.T) {
	derived := domain("old", v1alpha1.LevelBlock, "")
	derived.Labels = map[string]string{v1alpha1.LabelTopologySource: v1alpha1.TopologySourceLabels}
	wide := metav1.LabelSelector{}
	rack := metav1.LabelSelector{MatchLabels: map[string]string{"rack": "2"}}
	broken := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: "Near"}}}
	cases := map[string]fabricCase{
		"a sound tree has no findings":         {domains: leaf("n1"), nodes: nodes("n1", "n2"), places: map[string]string{"n1": "l"}},
		"a selector adds to the names":         {domains: append(leaf(), selecting(domain("r", v1alpha1.LevelLeaf, "f", "n1"), rack)), nodes: []corev1.Node{node("n1", "rack", "2"), node("n2", "rack", "2"), node("n3")}, places: map[string]string{"n1": "r", "n2": "r"}},
		"an empty selector is every node":      {domains: []v1alpha1.TopologyDomain{selecting(domain("f", v1alpha1.LevelFabric, ""), wide)}, nodes: nodes("n1", "n2"), places: map[string]string{"n1": "f", "n2": "f"}},
		"a derived domain is no evidence":      {domains: []v1alpha1.TopologyDomain{derived, domain("l", v1alpha1.LevelLeaf, "old", "n1")}, nodes: nodes("n1"), places: map[string]string{"n1": "l"}, want: map[string][]string{"l": {`ParentNotFound!: MissingParent domain "l": parent "old" does not exist`}}},
		"a selector that cannot be read":       {domains: []v1alpha1.TopologyDomain{selecting(domain("f", v1alpha1.LevelFabric, "", "n1"), broken)}, nodes: nodes("n1"), places: map[string]string{"n1": "f"}, want: map[string][]string{"f": {`InvalidSelector!: members.nodeSelector: "Near" is not a valid label selector operator`}}},
		"a member that does not exist":         {domains: leaf("n1", "gone"), nodes: nodes("n1"), places: map[string]string{"n1": "l"}, want: map[string][]string{"l": {`NodeNotFound: UnknownNode domain "l": node "gone" does not exist`}}},
		"a parent that does not exist":         {domains: []v1alpha1.TopologyDomain{domain("l", v1alpha1.LevelLeaf, "gone", "n1")}, nodes: nodes("n1"), places: map[string]string{"n1": "l"}, want: map[string][]string{"l": {`ParentNotFound!: MissingParent domain "l": parent "gone" does not exist`}}},
		"a parent that is not wider":           {domains: append(leaf(), domain("b", v1alpha1.LevelBlock, "l", "n1")), nodes: nodes("n1"), want: map[string][]string{"b": {`ParentNotWider!: ParentNotWider domain "b": Block "b"; parent Leaf "l"`}}},
		"a domain that has the name of a node": {domains: append(leaf("n1"), domain("n2", v1alpha1.LevelLeaf, "f")), nodes: nodes("n1", "n2"), places: map[string]string{"n1": "l"}, want: map[string][]string{"n2": {`NameOfNode!: NameOfNode domain "n2": a node has the same name`}}},
		"a cycle, and what hangs on it": {
			domains: []v1alpha1.TopologyDomain{domain("a", v1alpha1.LevelBlock, "b"), domain("b", v1alpha1.LevelBlock, "a"), domain("l", v1alpha1.LevelLeaf, "a", "n1"), vertex("n1", "n1", "", nil)},
			nodes:   nodes("n1"),
			want: map[string][]string{
				"a":  {`Cycle!: Cycle domain "a": "a" in "b" in "a"`},
				"b":  {`Cycle!: Cycle domain "b": "a" in "b" in "a"`},
				"l":  {`ParentNotAccepted!: ParentLeftOut domain "l": parent "a" is left out`},
				"n1": {`ParentNotAccepted!: DomainLeftOut node "n1": domain "l" is left out`},
			},
		},
		"a node in two leaves is in none": {
			domains: append(leaf("n1", "n2"), domain("m", v1alpha1.LevelLeaf, "f", "n1"), vertex("n1", "n1", "", nil)),
			nodes:   nodes("n1", "n2"), places: map[string]string{"n2": "l"},
			want: map[string][]string{
				"l":  {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
				"m":  {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
				"n1": {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
			},
		},
		"what was declared is stronger than labels": {
			domains: append(leaf("n1", "n2", "n3"), vertex("n3", "n3", "", nil)),
			nodes:   []corev1.Node{node("n1", gkeLeaf, "x"), node("n2", gkeLeaf, "x"), node("n3", gkeLeaf, "y")},
			places:  map[string]string{"n1": "l", "n2": "l", "n3": "l"},
			want: map[string][]string{
				"l":  {`Disagreement: Disagreement node "n3": declared Leaf "l"; label ` + gkeLeaf + ` says "y"`},
				"n3": {`Disagreement: Disagreement node "n3": declared Leaf "l"; label ` + gkeLeaf + ` says "y"`},
			},
		},
		"a label across declared blocks is left out": {
			domains: []v1alpha1.TopologyDomain{domain("a", v1alpha1.LevelBlock, "", "n1"), domain("b", v1alpha1.LevelBlock, "", "n2")},
			nodes:   []corev1.Node{node("n1", gkeLeaf, "x"), node("n2", gkeLeaf, "x")},
			places:  map[string]string{"n1": "a", "n2": "b"},
			want: map[string][]string{
				"a": {`SpansDomains: SpansDomains domain "a": Leaf "x" of ` + gkeLeaf + `; has nodes in declared domain "a"; has nodes in declared domain "b"`},
				"b": {`SpansDomains: SpansDomains domain "b": Leaf "x" of ` + gkeLeaf + `; has nodes in declared domain "a"; has nodes in declared domain "b"`},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, tc.run)
	}
}

func TestBuildFabricOfNodeVertices(t *testing.T) {
	sick := &v1alpha1.NodeReport{NVLinkFabric: &v1alpha1.NVLinkFabric{ClusterUUID: fabricID, CliqueID: new(int64(1)), Health: v1alpha1.DeviceUnhealthy}}
	cases := map[string]fabricCase{
		"a vertex with a parent declares the place of its node": {
			domains: append(leaf(), vertex("n1", "n1", "l", nil)), nodes: nodes("n1"), places: map[string]string{"n1": "l"},
		},
		"a vertex and its domain may say the same": {
			domains: append(leaf("n1"), vertex("n1", "n1", "l", nil)), nodes: nodes("n1"), places: map[string]string{"n1": "l"},
		},
		"a vertex may have another name than its node": {
			domains: append(leaf(), vertex("other", "n1", "l", nil)), nodes: nodes("n1"), places: map[string]string{"n1": "l"},
		},
		"a vertex of a node that does not exist": {
			domains: append(leaf(), vertex("n9", "n9", "l", &v1alpha1.NodeReport{Accelerators: gpus("x", "x")})), nodes: nodes("n1"),
			want: map[string][]string{"n9": {`NodeNotFound!: there is no Node "n9": correct nodeName, or delete this TopologyDomain`}},
		},
		"a vertex whose parent does not exist": {
			domains: []v1alpha1.TopologyDomain{vertex("n1", "n1", "gone", nil)}, nodes: nodes("n1"),
			want: map[string][]string{"n1": {`ParentNotFound!: there is no declared TopologyDomain "gone": correct parentName, or remove it`}},
		},
		"a vertex that contradicts a declared domain": {
			domains: append(leaf("n1"), domain("m", v1alpha1.LevelLeaf, "f"), vertex("n1", "n1", "m", nil)), nodes: nodes("n1"),
			want: map[string][]string{
				"l":  {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
				"m":  {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
				"n1": {`NodeClaimedTwice!: DoublyParented node "n1": listed in "l"; listed in "m"`},
			},
		},
		"two vertices of one node: neither report counts": {
			domains:    append(leaf("n1"), vertex("n1", "n1", "", &v1alpha1.NodeReport{Accelerators: gpus("a")}), vertex("twin", "n1", "", nil)),
			nodes:      nodes("n1"),
			places:     map[string]string{"n1": "l"},
			distrusted: []string{"n1"},
			want: map[string][]string{
				"n1":   {`NodeClaimedTwice!: node n1 has several TopologyDomains (n1, twin): keep one`},
				"twin": {`NodeClaimedTwice!: node n1 has several TopologyDomains (n1, twin): keep one`},
			},
		},
		"a report that cannot be true": {
			domains: append(leaf("n1"), vertex("n1", "n1", "", &v1alpha1.NodeReport{Accelerators: gpus("a", "a")})), nodes: nodes("n1"),
			places: map[string]string{"n1": "l"}, distrusted: []string{"n1"},
			want: map[string][]string{"n1": {`ImpossibleReport!: the node report cannot be true, so that the node takes no gangs: DuplicateDevice node "n1": GPU "a" is listed twice`}},
		},
		"a broken NVLink fabric is told and keeps the node's place": {
			domains: append(leaf("n1"), vertex("n1", "n1", "", sick)), nodes: nodes("n1"),
			places: map[string]string{"n1": fabricID + ".1"},
			want:   map[string][]string{"n1": {`FabricUnhealthy: FabricUnhealthy node "n1": NVML says the NVLink fabric is Unhealthy`}},
		},
		"what stalls comes first": {
			domains: []v1alpha1.TopologyDomain{vertex("n1", "n1", "gone", nil)},
			nodes:   []corev1.Node{node("n1", clique, "nonsense")},
			want: map[string][]string{"n1": {
				`ParentNotFound!: there is no declared TopologyDomain "gone": correct parentName, or remove it`,
				`IgnoredEvidence: InvalidValue node "n1": label nvidia.com/gpu.clique is "nonsense", not <cluster UUID>.<clique id>`,
			}},
		},
	}
	for name, tc := range cases {
		t.Run(name, tc.run)
	}
}

func TestBuildFabricKeepsTrustedReports(t *testing.T) {
	good, bad := &v1alpha1.NodeReport{Accelerators: gpus("a")}, &v1alpha1.NodeReport{Accelerators: gpus("b", "b")}
	got := BuildFabric([]v1alpha1.TopologyDomain{vertex("n1", "n1", "", good), vertex("n2", "n2", "", bad), vertex("n3", "n3", "", nil)}, nodes("n1", "n2", "n3"), topology.Scan{})
	if diff := cmp.Diff(map[string]*v1alpha1.NodeReport{"n1": good}, got.Reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// Every kind of problem has a reason that the API documents for TopologyDomains.
func TestReasonOf(t *testing.T) {
	cases := map[topology.ProblemKind]Finding{
		topology.Cycle:           {Reason: v1alpha1.ReasonCycle, Stalls: true},
		topology.MissingParent:   {Reason: v1alpha1.ReasonParentNotFound, Stalls: true},
		topology.ParentNotWider:  {Reason: v1alpha1.ReasonParentNotWider, Stalls: true},
		topology.ParentLeftOut:   {Reason: v1alpha1.ReasonParentNotAccepted, Stalls: true},
		topology.DomainLeftOut:   {Reason: v1alpha1.ReasonParentNotAccepted, Stalls: true},
		topology.DoublyParented:  {Reason: v1alpha1.ReasonNodeClaimedTwice, Stalls: true},
		topology.NameOfNode:      {Reason: v1alpha1.ReasonNameOfNode, Stalls: true},
		topology.UnknownNode:     {Reason: v1alpha1.ReasonNodeNotFound},
		topology.Disagreement:    {Reason: v1alpha1.ReasonDisagreement},
		topology.SpansDomains:    {Reason: v1alpha1.ReasonSpansDomains},
		topology.FabricUnhealthy: {Reason: v1alpha1.ReasonFabricUnhealthy},
		topology.NameTooLong:     {Reason: v1alpha1.ReasonIgnoredEvidence},
		topology.ValueTooLong:    {Reason: v1alpha1.ReasonIgnoredEvidence},
		topology.InvalidValue:    {Reason: v1alpha1.ReasonIgnoredEvidence},
		topology.DuplicateGUID:   {Reason: v1alpha1.ReasonIgnoredEvidence},
		topology.DuplicateDomain: {Reason: v1alpha1.ReasonInvalidDomain, Stalls: true},
		topology.InvalidDomain:   {Reason: v1alpha1.ReasonInvalidDomain, Stalls: true},
		"of a later version":     {Reason: v1alpha1.ReasonInvalidDomain, Stalls: true},
	}
	for kind, want := range cases {
		t.Run(string(kind), func(t *testing.T) {
			reason, stalls := reasonOf(kind)
			if diff := cmp.Diff(want, Finding{Reason: reason, Stalls: stalls}); diff != "" {
				t.Errorf("reasonOf() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReport(t *testing.T) {
	in := &v1alpha1.NodeReport{
		Accelerators: []v1alpha1.Accelerator{
			{UUID: "a", PCIAddress: "0000:1b:00.0", NUMANode: new(int32(1)), MemoryBytes: 5, Health: v1alpha1.DeviceHealthy},
			{UUID: "b", Health: v1alpha1.DeviceUnknown},
			{UUID: "c", Health: "Sleepy"},
		},
		NVLinks:      []v1alpha1.NVLink{{From: "a", To: "switch-0", Links: 4, LinkGbps: 200}, {From: "b", To: "switch-0", Links: 4}, {From: "a", To: "b", Links: 1}},
		NICs:         []v1alpha1.NIC{{Name: "mlx5_0", GUID: "g", SystemGUID: "s", Subnet: "10.8.3.7/16", LinkLayer: v1alpha1.LinkLayerEthernet, RateGbps: 400, State: v1alpha1.NICActive}, {Name: "mlx5_1", State: v1alpha1.NICDown, NUMANode: new(int32(0))}},
		NVLinkFabric: &v1alpha1.NVLinkFabric{ClusterUUID: fabricID, CliqueID: new(int64(7)), Health: v1alpha1.DeviceHealthy},
	}
	want := topology.Report{
		Node:     "n",
		GPUs:     []topology.GPU{{UUID: "a", PCIAddress: "0000:1b:00.0", NUMANode: 1, MemoryBytes: 5, Healthy: true}, {UUID: "b", NUMANode: -1, Healthy: true}, {UUID: "c", NUMANode: -1}},
		Switches: []string{"switch-0"},
		Links:    []topology.Link{{A: "a", B: "switch-0", Count: 4, GbpsPerLink: 200}, {A: "b", B: "switch-0", Count: 4}, {A: "a", B: "b", Count: 1}},
		NICs:     []topology.NIC{{Name: "mlx5_0", GUID: "g", SystemGUID: "s", Subnet: "10.8.0.0/16", LinkLayer: "Ethernet", RateGbps: 400, Active: true, NUMANode: -1}, {Name: "mlx5_1"}},
		Fabric:   &topology.NVLinkFabric{ClusterUUID: fabricID, CliqueID: 7, State: topology.FabricCompleted, Health: topology.Healthy},
	}
	got, unread := Report("n", in)
	if diff := cmp.Diff(want, got); diff != "" || len(unread) > 0 {
		t.Errorf("Report() has %q unread (-want +got):\n%s", unread, diff)
	}
	in.NVLinkFabric.CliqueID = new(int64(1 << 32))
	if got, _ := Report("n", in); got.Fabric != nil {
		t.Errorf("a clique that no driver can name became %v", got.Fabric)
	}
}

// A finding fits into a status whatever the names in it.
func TestFindingsAreBounded(t *testing.T) {
	selector := metav1.LabelSelector{MatchLabels: map[string]string{strings.Repeat("é", 4000): "x"}}
	got := BuildFabric([]v1alpha1.TopologyDomain{selecting(domain("f", v1alpha1.LevelFabric, ""), selector)}, nodes("n1"), topology.Scan{})
	if len(got.Findings["f"]) != 1 || len(got.Findings["f"][0].Message) > maxMessage {
		t.Errorf("findings are %v", got.Findings["f"])
	}
}

// A subnet counts where sharing it says something, in one form.
func TestSharedSubnet(t *testing.T) {
	cases := map[string]struct {
		text, want string
		wrong      bool
	}{
		"none":                     {},
		"its canonical form":       {text: "10.8.0.0/16", want: "10.8.0.0/16"},
		"an address in it":         {text: "10.8.3.7/16", want: "10.8.0.0/16"},
		"IPv6":                     {text: "FD00:0:0:1::5/64", want: "fd00:0:0:1::/64"},
		"everything":               {text: "0.0.0.0/0"},
		"link-local":               {text: "fe80::/64"},
		"link-local of IPv4":       {text: "169.254.0.0/16"},
		"loopback":                 {text: "127.0.0.0/8"},
		"an address alone":         {text: "10.8.3.7", wrong: true},
		"what is no subnet":        {text: "rail-0", wrong: true},
		"more bits than there are": {text: "10.8.0.0/33", wrong: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := sharedSubnet(tc.text)
			if got != tc.want || (err != nil) != tc.wrong {
				t.Errorf("sharedSubnet(%q) = %q, %v", tc.text, got, err)
			}
		})
	}
}

// A selector takes the same nodes whether it is found by a label or not.
func TestSelectorsAreFound(t *testing.T) {
	domains := []v1alpha1.TopologyDomain{
		selecting(domain("all", v1alpha1.LevelFabric, ""), metav1.LabelSelector{}),
		selecting(domain("rack", v1alpha1.LevelLeaf, ""), metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1"}}),
		selecting(domain("both", v1alpha1.LevelLeaf, ""), metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1", "row": "a"}}),
		selecting(domain("wide", v1alpha1.LevelLeaf, ""), metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: metav1.LabelSelectorOpExists}}}),
		selecting(domain("empty", v1alpha1.LevelLeaf, ""), metav1.LabelSelector{MatchLabels: map[string]string{"rack": ""}}),
	}
	declared := ReadDeclared(domains)
	for want, n := range map[string]corev1.Node{
		"all":                node("n"),
		"all both rack wide": node("n", "rack", "1", "row", "a"),
		"all rack wide":      node("n", "rack", "1"),
		"all empty wide":     node("n", "rack", ""),
		"all wide":           node("n", "rack", "2"),
	} {
		got := slices.Sorted(slices.Values(declared.Evidence(&n, nil).Labelled.In))
		if strings.Join(got, " ") != want {
			t.Errorf("a node with labels %v is in %v, want %s", n.Labels, got, want)
		}
	}
}

// Whatever a subnet is, its canonical form is its own.
func FuzzSharedSubnet(f *testing.F) {
	f.Add("10.8.3.7/16")
	f.Add("fe80::1%eth0/64")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sharedSubnet(text)
		if again, wrong := sharedSubnet(got); again != got || wrong != nil || err != nil && got != "" || len(got) > 64 {
			t.Errorf("sharedSubnet(%q) = %q, %v; again: %q, %v", text, got, err, again, wrong)
		}
	})
}
