package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// A fleet whose provider publishes nothing: what was declared is the fabric, and
// agents say what is in the machines.
func TestDeclaredFleet(t *testing.T) {
	f := loadFleet(t, "doks-rails-32")
	s := newStage(t, append(pointers(f.Nodes()), pointers(f.Domains())...)...)
	class := testkit.Class("h100").Obj()
	class.Spec.Match.PCIIDs = []string{"10de:2330"}
	s.Create(t, class)
	reports := f.Reports()
	reports[0].Status.Node.Accelerators[3].Health = v1alpha1.DeviceUnhealthy
	s.agentReports(reports...)
	before := specs(s.domains())
	s.settle()
	s.wantTree(
		`fabric-a Fabric < "" declared; nodes 32/32 gpus 255/256 broken 1`,
		`block-a Block < "fabric-a" declared; nodes 16/16 gpus 127/128 broken 1`,
		`block-b Block < "fabric-a" declared; nodes 16/16 gpus 128/128`,
		`block-a-leaf-0 Leaf < "block-a" declared; nodes 8/8 gpus 63/64 broken 1`,
		`block-a-leaf-1 Leaf < "block-a" declared; nodes 8/8 gpus 64/64`,
		`block-b-leaf-0 Leaf < "block-b" declared; nodes 8/8 gpus 64/64`,
		`block-b-leaf-1 Leaf < "block-b" declared; nodes 8/8 gpus 64/64`,
	)
	s.wantLabels("doks-b-1-00", map[string]string{"block": "block-b", "leaf": "block-b-leaf-1"})
	for _, sick := range []string{"fabric-a", "block-a", "block-a-leaf-0"} {
		s.wantCondition(sick, v1alpha1.ConditionHealthy, "False NodesUnhealthy: nodes: 1 with AcceleratorUnhealthy")
	}
	s.wantCondition("block-b", v1alpha1.ConditionHealthy, "True Healthy")

	node := s.domain("doks-a-0-00")
	if got := line(node); got != `doks-a-0-00 Node < "block-a-leaf-0" declared; nodes 1/1 gpus 7/8 broken 1` {
		t.Errorf("the node's domain is %s", got)
	}
	if len(node.Status.Classes) != 1 || len(node.Status.Classes[0].UUIDs) != 8 || node.Status.Classes[0].UUIDs[0] != fleet.GPUUUID("doks-a-0-00", 0) {
		t.Errorf("the node's classes are %v", node.Status.Classes)
	}
	want := []v1alpha1.DomainClass{{Name: "h100", Devices: new(int32(64))}}
	if diff := cmp.Diff(want, s.domain("block-a-leaf-0").Status.Classes); diff != "" {
		t.Errorf("classes of a leaf (-want +got):\n%s", diff)
	}

	s.remove(pointers(f.Nodes())...)
	s.settle()
	if diff := cmp.Diff(before, specs(s.domains())); diff != "" {
		t.Errorf("the manager changed what was declared (-want +got):\n%s", diff)
	}
	s.wantCondition("doks-a-0-00", v1alpha1.ConditionStalled, `True NodeNotFound: there is no Node "doks-a-0-00": correct nodeName, or delete this TopologyDomain`)
}

func specs(domains []v1alpha1.TopologyDomain) map[string]v1alpha1.TopologyDomainSpec {
	out := map[string]v1alpha1.TopologyDomainSpec{}
	for _, d := range domains {
		out[d.Name] = d.Spec
	}
	return out
}

// Racks that the platform team declared are NVLink domains.
func TestDeclaredRacks(t *testing.T) {
	f := loadFleet(t, "nvl72-4racks")
	s := newStage(t, append(pointers(f.Nodes()), pointers(f.Domains())...)...)
	s.settle()
	s.wantTree(
		`fabric-a Fabric < "" declared; nodes 72/72 gpus 288/288`,
		`block-a Block < "fabric-a" declared; nodes 36/36 gpus 144/144`,
		`block-b Block < "fabric-a" declared; nodes 36/36 gpus 144/144`,
		`block-a-rack-0 NVLinkDomain < "block-a" declared; nodes 18/18 gpus 72/72`,
		`block-a-rack-1 NVLinkDomain < "block-a" declared; nodes 18/18 gpus 72/72`,
		`block-b-rack-0 NVLinkDomain < "block-b" declared; nodes 18/18 gpus 72/72`,
		`block-b-rack-1 NVLinkDomain < "block-b" declared; nodes 18/18 gpus 72/72`,
	)
	s.wantLabels("gb200-a-1-04", map[string]string{"block": "block-a", "nvlink-domain": "block-a-rack-1"})
}

const cliqueLabel = "nvidia.com/gpu.clique"

// Without a declaration the cliques are the NVLink domains: first by the label
// of feature discovery, then, by the same name, by the word of the driver.
func TestCliquesAreNVLinkDomains(t *testing.T) {
	f := loadFleet(t, "nvl72-4racks")
	nodes, reports := f.Nodes()[:20], f.Reports()[:20]
	first, second := nodes[0].Labels[cliqueLabel], nodes[19].Labels[cliqueLabel]
	s := newStage(t, pointers(nodes)...)
	s.settle()
	want := func(source string) []string {
		lines := []string{
			first + ` NVLinkDomain < "" ` + source + `; nodes 18/18 gpus 72/72`,
			second + ` NVLinkDomain < "" ` + source + `; nodes 2/2 gpus 8/8`,
		}
		if second < first {
			lines[0], lines[1] = lines[1], lines[0]
		}
		return lines
	}
	s.wantTree(want("labels")...)
	s.agentReports(reports...)
	s.settle()
	s.wantTree(want("reported")...)
	s.wantLabels(nodes[0].Name, map[string]string{"nvlink-domain": first})
}

// What a person declares is stronger than a label, and both are told.
func TestDeclaredBeatsLabels(t *testing.T) {
	declared := testkit.Domain("rack", v1alpha1.LevelLeaf).Nodes("n1", "n2", "n3").Obj()
	declared.Spec.UplinkGbps = 800
	s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "b", "x"), leafNode("n3", "b", "y"), declared)
	s.agentReports(v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: "n3"}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: "n3"},
		Status: v1alpha1.TopologyDomainStatus{Node: &v1alpha1.NodeReport{AgentVersion: "1"}},
	})
	generation := s.domain("rack").Generation
	s.settle()
	s.wantTree(`rack Leaf < "" declared; nodes 3/3 gpus 24/24`)
	for _, name := range []string{"rack", "n3"} {
		s.wantCondition(name, v1alpha1.ConditionReady, `True Disagreement: Disagreement node "n3": declared Leaf "rack"; label `+gkeLeaf+` says "y"`)
		s.wantCondition(name, v1alpha1.ConditionStalled, "False AsExpected")
	}
	s.wantLabels("n3", map[string]string{"leaf": "rack"})
	if got := s.domain("rack"); got.Generation != generation {
		t.Errorf("the manager changed the spec of a declared domain: %+v", got.Spec)
	}
}

// Nothing that is declared wrongly stops a pass: each object says what is wrong
// with it, and the rest works.
func TestWrongDeclarations(t *testing.T) {
	s := newStage(t, testkit.Node("n1").GPUs(8).Obj(), testkit.Node("n2").GPUs(8).Obj(),
		testkit.Node("n3").GPUs(8).Obj(), testkit.Node("n4").GPUs(8).Obj(), testkit.Node("n5").GPUs(8).Obj(),
		testkit.Domain("a", v1alpha1.LevelBlock).Parent("b").Obj(), testkit.Domain("b", v1alpha1.LevelBlock).Parent("a").Nodes("n1").Obj(),
		testkit.Domain("orphan", v1alpha1.LevelLeaf).Parent("gone").Nodes("n2").Obj(),
		testkit.Domain("upside", v1alpha1.LevelBlock).Parent("orphan").Obj(),
		testkit.Domain("one", v1alpha1.LevelLeaf).Nodes("n3", "n9").Obj(), testkit.Domain("two", v1alpha1.LevelLeaf).Nodes("n3").Obj(),
		testkit.Domain("good", v1alpha1.LevelLeaf).Nodes("n4", "n5").Obj(),
		testkit.Domain("n4", v1alpha1.LevelLeaf).Obj(),
	)
	s.agentReports(
		nodeDomain("ghost", "nobody", ""), nodeDomain("n5", "n5", "", "GPU-1"),
		nodeDomain("n2", "n2", "gone"), nodeDomain("twin", "n5", ""),
	)
	s.settle()
	const claimed = `DoublyParented node "n3": listed in "one"; listed in "two"`
	const twins = "node n5 has several TopologyDomains (n5, twin): keep one"
	for name, want := range map[string]string{
		"a": `False Cycle: Cycle domain "a": "a" in "b" in "a"`, "b": `False Cycle: Cycle domain "b": "a" in "b" in "a"`,
		"orphan": `False ParentNotFound: MissingParent domain "orphan": parent "gone" does not exist`,
		"upside": `False ParentNotWider: ParentNotWider domain "upside": Block "upside"; parent Leaf "orphan"`,
		"one":    `False NodeClaimedTwice: ` + claimed + `; UnknownNode domain "one": node "n9" does not exist`,
		"two":    `False NodeClaimedTwice: ` + claimed,
		"n4":     `False NameOfNode: NameOfNode domain "n4": a node has the same name`,
		"ghost":  `False NodeNotFound: there is no Node "nobody": correct nodeName, or delete this TopologyDomain`,
		"n2":     `False ParentNotFound: there is no declared TopologyDomain "gone": correct parentName, or remove it`,
		"n5":     `False NodeClaimedTwice: ` + twins, "twin": `False NodeClaimedTwice: ` + twins,
	} {
		s.wantCondition(name, v1alpha1.ConditionReady, want)
		s.wantCondition(name, v1alpha1.ConditionStalled, strings.Replace(want, "False", "True", 1))
	}
	s.wantCondition("good", v1alpha1.ConditionReady, "True Accepted")
	if got := line(s.domain("good")); got != `good Leaf < "" declared; nodes 1/2 gpus 8/16` {
		t.Errorf("the sound domain is %s", got)
	}
	s.wantLabels("n1", map[string]string{})
	s.wantLabels("n2", map[string]string{"leaf": "orphan"})
	s.wantLabels("n3", map[string]string{})
	s.wantLabels("n4", map[string]string{"leaf": "good"})
}

// nodeDomain is a domain of level Node with the devices that its agent reports.
func nodeDomain(name, node, parent string, uuids ...string) v1alpha1.TopologyDomain {
	out := v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: node, ParentName: parent},
		Status:     v1alpha1.TopologyDomainStatus{Node: &v1alpha1.NodeReport{AgentVersion: "1"}},
	}
	for i, uuid := range uuids {
		out.Status.Node.Accelerators = append(out.Status.Node.Accelerators, v1alpha1.Accelerator{
			UUID: uuid, Index: new(int32(i)), PCIID: "10de:2330", Health: v1alpha1.DeviceHealthy,
		})
	}
	return out
}

// A report that cannot be true: its node takes no gangs, and both are told.
func TestImpossibleReport(t *testing.T) {
	s := newStage(t, testkit.Node("n1").GPUs(8).Obj(), testkit.Domain("good", v1alpha1.LevelLeaf).Nodes("n1").Obj())
	liar := nodeDomain("n1", "n1", "", "GPU-1", "GPU-2")
	liar.Status.Node.Accelerators[0].PCIAddress = "0000:1b:00.0"
	liar.Status.Node.Accelerators[1].PCIAddress = "0000:1b:00.0"
	s.agentReports(liar)
	s.settle()
	const why = `the node report cannot be true, so that the node takes no gangs: DuplicateDevice node "n1": GPU "GPU-2": PCI address "0000:1b:00.0" is taken`
	s.wantCondition("n1", v1alpha1.ConditionReady, "False ImpossibleReport: "+why)
	s.wantCondition("n1", v1alpha1.ConditionStalled, "True ImpossibleReport: "+why)
	s.wantTree(`good Leaf < "" declared; nodes 0/1 gpus 0/8`)
	liar.Status.Node.Accelerators = liar.Status.Node.Accelerators[:1]
	s.agentReports(liar)
	s.settle()
	s.wantCondition("n1", v1alpha1.ConditionReady, "True Accepted")
	s.wantTree(`good Leaf < "" declared; nodes 1/1 gpus 1/1`)
}

// A domain that is left out of the fabric no longer says how those below it do.
func TestHealthOfADomainThatIsLeftOut(t *testing.T) {
	s := newStage(t, testkit.Node("n1").Obj(), testkit.Domain("a", v1alpha1.LevelBlock).Nodes("n1").Obj(), testkit.Domain("b", v1alpha1.LevelBlock).Parent("a").Obj())
	s.settle()
	s.wantCondition("a", v1alpha1.ConditionHealthy, "True Healthy")
	edit(s, s.domain("a"), func(d *v1alpha1.TopologyDomain) { d.Spec.ParentName = "b" })
	s.settle()
	s.wantCondition("a", v1alpha1.ConditionHealthy, "none")
	s.wantCondition("a", v1alpha1.ConditionReady, `False Cycle: Cycle domain "a": "a" in "b" in "a"`)
}

// The agent's part of a Node domain and the manager's live in one status, and
// neither touches the other's.
func TestAgentAndManagerShareAStatus(t *testing.T) {
	f := loadFleet(t, "doks-rails-32")
	s := newStage(t, append(pointers(f.Nodes()[:1]), pointers(f.Domains())...)...)
	reports := f.Reports()[:1]
	name := reports[0].Name
	s.agentReports(reports...)
	agents := s.domain(name)
	s.settle()
	both := s.domain(name)
	if diff := cmp.Diff(agents.Status.Node, both.Status.Node); diff != "" {
		t.Errorf("the agent's report changed (-want +got):\n%s", diff)
	}
	s.wantCondition(name, v1alpha1.ConditionHealthy, "True Healthy: the agent says so")
	s.wantCondition(name, v1alpha1.ConditionReady, "True Accepted")
	for _, entry := range both.ManagedFields {
		fields := entry.FieldsV1.GetRawString()
		if entry.Manager == owner && (strings.Contains(fields, `"f:node"`) || strings.Contains(fields, `Healthy`)) {
			t.Errorf("the manager owns what is the agent's: %s", fields)
		}
	}

	reports[0].Status.Node.Accelerators[0].Health = v1alpha1.DeviceUnhealthy
	s.agentReports(reports...)
	again := s.domain(name)
	ignore := cmpopts.IgnoreFields(v1alpha1.TopologyDomainStatus{}, "Node")
	if diff := cmp.Diff(both.Status, again.Status, ignore); diff != "" {
		t.Errorf("the agent changed the manager's part (-want +got):\n%s", diff)
	}
	s.settle()
	if got := *s.domain(name).Status.Accelerators.Free; got != 7 {
		t.Errorf("%d accelerators are free, want 7", got)
	}
	var node corev1.Node
	if err := s.Client.Get(t.Context(), client.ObjectKey{Name: name}, &node); err != nil || len(node.OwnerReferences) > 0 {
		t.Errorf("the node has owners %v, %v", node.OwnerReferences, err)
	}
}
