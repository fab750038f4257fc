package topology

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

const (
	gkeBlock = "cloud.google.com/gce-topology-block"
	gkeLeaf  = "cloud.google.com/gce-topology-subblock"
)

func (s *stage) wantTree(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.tree()); diff != "" {
		s.t.Errorf("domains (-want +got):\n%s", diff)
	}
}

func (s *stage) wantLabels(node string, want map[string]string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.labels(node)); diff != "" {
		s.t.Errorf("labels of %s (-want +got):\n%s", node, diff)
	}
}

// A fleet with labels of its provider: blocks and leaves appear with what is in
// them, every node says where it is, and a further pass writes nothing.
func TestDomainsFromLabels(t *testing.T) {
	f := loadFleet(t, "hgx-64")
	nodes := f.Nodes()
	s := newStage(t, pointers(nodes)...)
	s.settle()
	s.wantTree(
		`block-a Block < "" labels; nodes 32/32 gpus 256/256`,
		`block-b Block < "" labels; nodes 32/32 gpus 256/256`,
		`block-a-leaf-0 Leaf < "block-a" labels; nodes 16/16 gpus 128/128`,
		`block-a-leaf-1 Leaf < "block-a" labels; nodes 16/16 gpus 128/128`,
		`block-b-leaf-0 Leaf < "block-b" labels; nodes 16/16 gpus 128/128`,
		`block-b-leaf-1 Leaf < "block-b" labels; nodes 16/16 gpus 128/128`,
	)
	for _, m := range f.Machines() {
		s.wantLabels(m.Name, map[string]string{"block": m.Block, "leaf": m.Leaf})
	}
	for _, d := range s.domains() {
		s.wantCondition(d.Name, v1alpha1.ConditionReady, "True Accepted")
		s.wantCondition(d.Name, v1alpha1.ConditionStalled, "False AsExpected")
		s.wantCondition(d.Name, v1alpha1.ConditionReconciling, "False AsExpected")
		s.wantCondition(d.Name, v1alpha1.ConditionHealthy, "True Healthy")
	}

	busy := testkit.Pod("busy").On("hgx-a-0-03").GPUs(6).Obj()
	s.Create(t, busy)
	edit(s, &nodes[20], func(n *corev1.Node) { n.Spec.Unschedulable = true })
	s.settle()
	s.wantTree(
		`block-a Block < "" labels; nodes 31/32 gpus 242/256`,
		`block-b Block < "" labels; nodes 32/32 gpus 256/256`,
		`block-a-leaf-0 Leaf < "block-a" labels; nodes 16/16 gpus 122/128`,
		`block-a-leaf-1 Leaf < "block-a" labels; nodes 15/16 gpus 120/128`,
		`block-b-leaf-0 Leaf < "block-b" labels; nodes 16/16 gpus 128/128`,
		`block-b-leaf-1 Leaf < "block-b" labels; nodes 16/16 gpus 128/128`,
	)

	s.remove(pointers(nodes[16:])...)
	s.settle()
	s.wantTree(
		`block-a Block < "" labels; nodes 16/16 gpus 122/128`,
		`block-a-leaf-0 Leaf < "block-a" labels; nodes 16/16 gpus 122/128`,
	)
	s.remove(pointers(nodes[:16])...)
	s.settle()
	s.wantTree()
}

func leafNode(name, block, leaf string) *corev1.Node {
	return testkit.Node(name).GPUs(8).Label(gkeBlock, block).Label(gkeLeaf, leaf).Obj()
}

// A node that moves, and one that leaves the fabric: labels and domains follow.
func TestDomainsFollowLabels(t *testing.T) {
	n1, n2 := leafNode("n1", "b", "x"), leafNode("n2", "b", "x")
	s := newStage(t, n1, n2)
	s.settle()
	s.wantLabels("n1", map[string]string{"block": "b", "leaf": "x"})
	edit(s, n1, func(n *corev1.Node) { n.Labels[gkeLeaf] = "y" })
	edit(s, n2, func(n *corev1.Node) { delete(n.Labels, gkeLeaf); delete(n.Labels, gkeBlock) })
	s.settle()
	s.wantTree(
		`b Block < "" labels; nodes 1/1 gpus 8/8`,
		`y Leaf < "b" labels; nodes 1/1 gpus 8/8`,
	)
	s.wantLabels("n1", map[string]string{"block": "b", "leaf": "y"})
	s.wantLabels("n2", map[string]string{})
	edit(s, n1, func(n *corev1.Node) {
		n.Labels[v1alpha1.LabelLeaf] = "lie"
		n.Labels[v1alpha1.LabelNVLinkDomain] = "lie"
	})
	s.settle()
	s.wantLabels("n1", map[string]string{"block": "b", "leaf": "y"})
}

// Whatever a person does to a derived domain, the next passes put it right.
func TestDerivedDomainsArePutRight(t *testing.T) {
	cases := map[string]func(*v1alpha1.TopologyDomain){
		"another parent": func(d *v1alpha1.TopologyDomain) { d.Spec.ParentName = "elsewhere" },
		"no parent":      func(d *v1alpha1.TopologyDomain) { d.Spec.ParentName = "" },
		"an uplink":      func(d *v1alpha1.TopologyDomain) { d.Spec.UplinkGbps = 400 },
		"members": func(d *v1alpha1.TopologyDomain) {
			d.Spec.Members = &v1alpha1.TopologyDomainMembers{NodeNames: []string{"n2"}}
		},
		"another source":   func(d *v1alpha1.TopologyDomain) { d.Labels[v1alpha1.LabelTopologySource] = "rumour" },
		"labels of others": func(d *v1alpha1.TopologyDomain) { d.Labels["team"] = "a" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "c", "z"))
			s.settle()
			want := s.domain("x")
			edit(s, s.domain("x"), change)
			s.settle()
			got := s.domain("x")
			if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if source := got.Labels[v1alpha1.LabelTopologySource]; source != v1alpha1.TopologySourceLabels {
				t.Errorf("source is %q", source)
			}
			if got.UID != want.UID {
				t.Error("the domain was made anew")
			}
			s.wantCondition("x", v1alpha1.ConditionReady, "True Accepted")
		})
	}
}

// A derived domain that is deleted, or whose name a domain of another level has,
// comes back as it should be.
func TestDerivedDomainsComeBack(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"))
	wrong := testkit.Domain("x", v1alpha1.LevelFabric).Obj()
	wrong.Labels = map[string]string{v1alpha1.LabelTopologySource: v1alpha1.TopologySourceLabels}
	s.Create(t, wrong)
	want := []string{`b Block < "" labels; nodes 1/1 gpus 8/8`, `x Leaf < "b" labels; nodes 1/1 gpus 8/8`}
	s.settle()
	s.wantTree(want...)
	s.remove(s.domain("x"), s.domain("b"))
	s.settle()
	s.wantTree(want...)
}

// A declared domain keeps its name: the one from labels takes another.
func TestDerivedDomainsGiveWay(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"), testkit.Domain("x", v1alpha1.LevelFabric).Obj())
	s.settle()
	var names []string
	for _, d := range s.domains() {
		if d.Spec.Level == v1alpha1.LevelLeaf {
			names = append(names, d.Name)
		}
	}
	if len(names) != 1 || !strings.HasPrefix(names[0], "x-") {
		t.Fatalf("leaves are %v", names)
	}
	s.wantLabels("n1", map[string]string{"block": "b", "leaf": names[0]})
	s.wantCondition("x", v1alpha1.ConditionReady, "True Accepted")
}

// A node that goes while a pass looks at it stays gone, and does not disturb.
func TestDeletedNodeIsNotMadeAgain(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "b", "x"))
	s.reconciler.Client = interceptor.NewClient(s.Client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if nodes, ok := list.(*corev1.NodeList); ok && err == nil && len(nodes.Items) == 2 {
				s.remove(&nodes.Items[0])
			}
			return err
		},
	})
	s.pass()
	var gone corev1.Node
	if err := s.Client.Get(t.Context(), client.ObjectKey{Name: "n1"}, &gone); !apierrors.IsNotFound(err) {
		t.Errorf("the node is back: %v", err)
	}
	s.wantLabels("n2", map[string]string{"block": "b", "leaf": "x"})
	s.settle()
	s.wantTree(`b Block < "" labels; nodes 1/1 gpus 8/8`, `x Leaf < "b" labels; nodes 1/1 gpus 8/8`)
}

// One object that cannot be written does not keep a pass from the others.
func TestOneFailureLeavesTheRest(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "b", "x"))
	s.reconciler.Client = interceptor.NewClient(s.Client, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if o.GetName() == "n1" {
				return testkit.ErrInjected
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	_, err := s.reconciler.Reconcile(t.Context(), ctrl.Request{})
	if err == nil || !strings.Contains(err.Error(), "labelling node n1: injected fault") {
		t.Errorf("the pass ended with %v", err)
	}
	s.wantLabels("n2", map[string]string{"block": "b", "leaf": "x"})
}

// A node with more devices than a status can count does not stop the pass.
func TestAbsurdNodesAreCounted(t *testing.T) {
	s := newStage(t, testkit.Node("n1").Allocatable(testkit.GPU, "9223372036854775807").Label(gkeBlock, "b").Obj(),
		testkit.Node("n2").Allocatable(testkit.GPU, "9223372036854775807").Label(gkeBlock, "b").Obj())
	s.settle()
	s.wantTree(`b Block < "" labels; nodes 2/2 gpus 2147483647/2147483647`)
}
