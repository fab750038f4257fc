package topology

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// storeScan stores a scan as the agent that looks at the fabric does.
func (s *stage) storeScan(generation int64, leaves ...topology.LeafSwitch) []corev1.ConfigMap {
	s.t.Helper()
	parts, err := fabricscan.Parts(topology.Scan{Leaves: leaves}, fabricscan.Sets[generation%2], fabricscan.Info{Generation: generation, Time: s.clock, Host: "n1"})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range parts {
		parts[i].Namespace = s.Namespace
		if err := s.Client.Patch(s.t.Context(), parts[i].DeepCopy(), client.Merge); err == nil {
			continue
		}
		s.Create(s.t, &parts[i])
	}
	return parts
}

func leafSwitch(n int, block string, adapters ...uint64) topology.LeafSwitch {
	return topology.LeafSwitch{GUID: fmt.Sprintf("%016x", n), Block: block, Fabric: "00000000000000f0", Adapters: adapters}
}

// withPorts is the domain of a node with InfiniBand ports.
func withPorts(name string, guids ...int) v1alpha1.TopologyDomain {
	out := nodeDomain(name, name, "", "GPU-"+name)
	for i, guid := range guids {
		out.Status.Node.NICs = append(out.Status.Node.NICs, v1alpha1.NIC{
			Name: fmt.Sprintf("mlx5_%d", i), GUID: fmt.Sprintf("0000:0000:0000:%04x", guid), LinkLayer: v1alpha1.LinkLayerInfiniBand, State: v1alpha1.NICActive,
		})
	}
	return out
}

// A scan makes domains, a new one changes them, and one that is written by half
// changes nothing and is told.
func TestScan(t *testing.T) {
	s := newStage(t, testkit.Node("n1").GPUs(1).Obj(), testkit.Node("n2").GPUs(1).Obj(), testkit.Node("n3").GPUs(1).Obj())
	s.agentReports(withPorts("n1", 1, 2), withPorts("n2", 3), withPorts("n3", 9))
	s.settle()
	s.wantTree()

	const block = "00000000000000b0"
	s.storeScan(1, leafSwitch(0xa, block, 1), leafSwitch(0xb, block, 2), leafSwitch(0xc, block, 3))
	s.settle()
	s.wantTree(
		`fabric-00000000000000f0 Fabric < "" scanned; nodes 2/2 gpus 2/2`,
		`block-00000000000000b0 Block < "fabric-00000000000000f0" scanned; nodes 2/2 gpus 2/2`,
		`leaf-000000000000000a Leaf < "block-00000000000000b0" scanned; nodes 1/1 gpus 1/1`,
		`leaf-000000000000000c Leaf < "block-00000000000000b0" scanned; nodes 1/1 gpus 1/1`,
	)
	s.wantLabels("n1", map[string]string{"block": "block-" + block, "leaf": "leaf-000000000000000a"})
	s.wantLabels("n3", map[string]string{})

	s.storeScan(2, leafSwitch(0xa, block, 1, 3), leafSwitch(0xb, block, 2))
	s.settle()
	s.wantLabels("n2", map[string]string{"block": "block-" + block, "leaf": "leaf-000000000000000a"})
	s.wantCondition("fabric-00000000000000f0", v1alpha1.ConditionReady, "True Accepted")

	torn := s.storeScan(3, leafSwitch(0xd, block, 1))
	torn[0].BinaryData = map[string][]byte{"scan.json.gz": []byte("torn")}
	if err := s.Client.Patch(t.Context(), torn[0].DeepCopy(), client.Merge); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.wantLabels("n1", map[string]string{"block": "block-" + block, "leaf": "leaf-000000000000000a"})
	ready := conditionLine(s.domain("fabric-00000000000000f0"), v1alpha1.ConditionReady)
	if !strings.HasPrefix(ready, "True IgnoredEvidence: the newest scan does not count: generation 3: ") {
		t.Errorf("Ready of the fabric is %s", ready)
	}

	if err := s.Client.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(s.Namespace), client.HasLabels{v1alpha1.LabelFabricScan}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.wantTree()
}

// Two machines that report one GUID are told so, each in its own domain.
func TestDuplicateGUIDs(t *testing.T) {
	s := newStage(t, testkit.Node("n1").Obj(), testkit.Node("n2").Obj())
	s.agentReports(withPorts("n1", 1), withPorts("n2", 1))
	s.storeScan(1, leafSwitch(0xa, "", 1))
	s.settle()
	s.wantTree()
	s.wantCondition("n1", v1alpha1.ConditionReady, `True IgnoredEvidence: DuplicateGUID node "n1": GUID 0000:0000:0000:0001 is on node "n2", too`)
	fixed := withPorts("n2", 2)
	s.agentReports(fixed)
	s.wantWrites("a GUID that is put right", s.events(&fixed), "apply fabric-00000000000000f0", "apply leaf-000000000000000a", "patch n1", "status n1", "status n2")
}

// Rails say which machines reach each other: one fabric, which goes when they
// have nothing in common.
func TestRails(t *testing.T) {
	onRails := func(name string, subnets ...string) v1alpha1.TopologyDomain {
		out := nodeDomain(name, name, "", "GPU-"+name)
		for i, subnet := range subnets {
			out.Status.Node.NICs = append(out.Status.Node.NICs, v1alpha1.NIC{
				Name: fmt.Sprintf("mlx5_%d", i), LinkLayer: v1alpha1.LinkLayerEthernet, State: v1alpha1.NICActive, Subnet: subnet,
			})
		}
		return out
	}
	s := newStage(t, testkit.Node("n1").GPUs(1).Obj(), testkit.Node("n2").GPUs(1).Obj(), testkit.Node("n3").GPUs(1).Obj())
	s.agentReports(onRails("n1", "10.0.0.0/16", "10.1.0.0/16"), onRails("n2", "10.0.4.7/16"), onRails("n3", "fe80::/64"))
	s.settle()
	s.wantTree(`rails-10.0.0.0-16 Fabric < "" reported; nodes 2/2 gpus 2/2`)
	s.wantLabels("n1", map[string]string{})
	third := onRails("n3", "10.1.0.0/16", "nonsense")
	s.agentReports(third)
	s.wantWrites("a machine on the second rail", s.events(&third), "status n3", "status rails-10.0.0.0-16")
	s.wantTree(`rails-10.0.0.0-16 Fabric < "" reported; nodes 3/3 gpus 3/3`)
	s.wantCondition("n3", v1alpha1.ConditionReady, `True IgnoredEvidence: NIC "mlx5_1": subnet: netip.ParsePrefix("nonsense"): no '/'`)
	s.remove(&corev1.Node{ObjectMeta: s.node("n1").ObjectMeta})
	s.settle()
	s.wantTree()
}
